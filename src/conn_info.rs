//! What is known of a connection.

use std::time::Duration;

use crate::addr::Addr;
use crate::id::ConnId;
use crate::stats::Counters;

/// A snapshot of a connection: [`Conn::info`](crate::Conn::info), [`Context::infos`](crate::Context::infos) and
/// [`Handle::connections`](crate::Handle::connections) make one.
///
/// # Examples
/// ```
/// # use readyloop::Context;
/// fn list(reactor: &Context) {
///     for conn in reactor.infos() {
///         println!("{} {} idle for {:?}", conn.id, conn.peer, conn.idle);
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnInfo {
    /// Its id.
    pub id: ConnId,
    /// Which side has opened it.
    pub direction: Direction,
    /// The address of the peer. Of one that is being opened: the address that is tried.
    pub peer: Addr,
    /// The address of the listener that accepted it, if one did.
    pub listener: Option<Addr>,
    /// That listener's [`tag`](crate::ListenOptions::tag), or 0.
    pub listener_tag: u64,
    /// How long ago it was accepted or connected.
    pub age: Duration,
    /// How long ago the peer last sent something. If the connection is closing: for how long it has been.
    pub idle: Duration,
    /// Bytes and system calls, in and out.
    pub traffic: Counters,
    /// Bytes that wait to be sent.
    pub queued: usize,
}

/// Which side has opened a connection.
///
/// # Examples
/// ```
/// use readyloop::{Conn, Direction};
///
/// fn greet(conn: &mut Conn) {
///     match conn.direction() {
///         Direction::Outbound => conn.send(b"hello, server\n"),
///         _ => conn.send(b"hello, client\n"),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Direction {
    /// The peer: a listener has accepted it.
    Inbound,
    /// This side: [`Reactor::connect`](crate::Reactor::connect) and the like.
    Outbound,
}
