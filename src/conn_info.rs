//! A snapshot of a connection.

use std::time::Duration;

use crate::addr::Addr;
use crate::id::ConnId;

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
    /// The number of its reactor in the server, from 0.
    pub reactor: usize,
    /// The address of the peer. While an outbound connection is being opened: the address that is tried.
    pub peer: Addr,
    /// The address of the listener that accepted it. `None` for an outbound connection.
    pub listener: Option<Addr>,
    /// That listener's [`tag`](crate::ListenOptions::tag), or 0.
    pub listener_tag: u64,
    /// How long ago it was accepted or connected.
    pub age: Duration,
    /// For how long the peer has sent nothing. [`Conn::resume`](crate::Conn::resume) and
    /// [`Conn::restart_idle_timeout`](crate::Conn::restart_idle_timeout) restart this time. If the connection waits for
    /// the peer's FIN: how long it has waited.
    pub idle: Duration,
    /// Bytes that were received from the peer.
    pub bytes_in: u64,
    /// Bytes that the kernel has taken for the peer.
    pub bytes_out: u64,
    /// System calls that have returned bytes.
    pub reads: u64,
    /// System calls that have sent bytes.
    pub writes: u64,
    /// Bytes that wait to be sent.
    pub queued: usize,
    /// Whether the connection is open and not closing. False while an outbound connection is being opened. For a
    /// closing connection, [`on_close`](crate::Handler::on_close) is the only callback that may follow.
    pub is_open: bool,
}

/// Which side has opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The peer: a listener has accepted it.
    Inbound,
    /// This side.
    Outbound,
}
