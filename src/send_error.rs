//! Why bytes were not queued.

use std::{error, fmt};

/// Why [`Conn::try_send`](crate::Conn::try_send) has queued nothing.
///
/// # Examples
/// ```
/// use readyloop::{Conn, SendError};
///
/// fn send_if_there_is_room(conn: &mut Conn, news: &[u8]) {
///     match conn.try_send(news) {
///         Err(SendError::Full) => {} // a slow reader misses this one
///         _ => {}
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The queue of the connection is at its limit, or all queues together are at the
    /// [`queue_budget`](crate::Config::queue_budget).
    Full,
    /// The connection is closed, is closing, or is not open yet; or
    /// [`shutdown_write`](crate::Conn::shutdown_write) was called.
    Closed,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the bytes were not queued: the queue is full",
            Self::Closed => "the bytes were not queued: the connection is closed for sending",
        })
    }
}

impl error::Error for SendError {}
