//! What is known of a connection.

use std::time::Duration;

use crate::addr::Addr;
use crate::id::ConnId;
use crate::stats::Counters;

/// A snapshot of a connection: [`Conn::info`](crate::Conn::info) and
/// [`Handle::connections`](crate::Handle::connections) make one.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use readyloop::{CallError, Handle};
///
/// fn list(handle: &Handle) -> Result<(), CallError> {
///     for conn in handle.connections(Duration::from_secs(1))? {
///         println!("{} {} idle for {:?}", conn.id, conn.peer, conn.idle);
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnInfo {
    /// Its id.
    pub id: ConnId,
    /// The number of its reactor.
    pub reactor: usize,
    /// The address of the peer. Of one that is being opened: the address that is tried.
    pub peer: Addr,
    /// The address of the listener that accepted it. `None` for an outward connection.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The peer: a listener has accepted it.
    Inbound,
    /// This side.
    Outbound,
}
