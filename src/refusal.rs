//! Why a reactor did not do what another thread asked for.

use std::error;
use std::fmt;

use crate::one_line::Escaped;

/// Why a reactor refuses a message.
///
/// # Examples
/// ```
/// # use readyloop::{Handle, Refusal};
/// fn is_alive(handle: &Handle) -> bool {
///     !matches!(handle.post(0, |_| ()), Err(refused) if refused.why == Refusal::Stopped)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The reactor's mailbox is full: see [`mailbox_limit`](crate::Config::mailbox_limit). Try again later.
    Full,
    /// The reactor has stopped, or no reactor of the server has this number.
    Stopped,
    /// The caller's fault: the id belongs to a connection of another server.
    OtherServer,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the reactor's mailbox is full: try again later, or raise mailbox_limit",
            Self::Stopped => "the reactor has stopped",
            Self::OtherServer => "the id belongs to a connection of another server",
        })
    }
}

impl error::Error for Refusal {}

/// A message that a reactor refused, and why.
///
/// # Examples
/// ```
/// # use readyloop::{Bytes, ConnId, Handle};
/// /// Returns the bytes if they have to be sent again.
/// fn send(handle: &Handle, id: ConnId, bytes: Bytes) -> Option<Bytes> {
///     handle.send(id, bytes).err().map(|refused| refused.returned)
/// }
/// ```
#[non_exhaustive]
pub struct Refused<T> {
    /// The closure or the bytes, unchanged.
    pub returned: T,
    /// The reason.
    pub why: Refusal,
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("why", &self.why).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl<T> error::Error for Refused<T> {}

/// Why a call has no answer.
///
/// # Examples
/// ```
/// # use std::time::Duration;
/// # use readyloop::{CallError, Handle};
/// fn open(handle: &Handle) -> Option<usize> {
///     match handle.connections(Duration::from_secs(1)) {
///         Ok(all) => Some(all.len()),
///         Err(CallError::Refused(_)) => None, // stopped, or its mailbox is full
///         Err(error) => panic!("{error}"),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The reactor refused the message.
    Refused(Refusal),
    /// The answer did not arrive in time.
    TimedOut,
    /// The closure ended without an answer: it panicked (the log has the message), or its reactor failed or was dropped
    /// before the closure ran.
    NoAnswer,
    /// The caller's fault: the call was made in a callback or a posted closure of the same server. It would have waited
    /// for its own reactor. Use the [`Context`](crate::Context) there.
    OwnThread,
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<T> From<Refused<T>> for CallError {
    fn from(refused: Refused<T>) -> Self {
        Self::Refused(refused.why)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => why.fmt(f),
            Self::TimedOut => f.write_str("the reactor did not answer in time"),
            Self::NoAnswer => {
                f.write_str("the closure panicked, or its reactor ended before the closure ran")
            }
            Self::OwnThread => {
                f.write_str("the call came from the reactor's own thread: use the Context there")
            }
        }
    }
}

impl error::Error for CallError {}

/// Why the handlers were not replaced. The old handlers continue.
///
/// # Examples
/// ```
/// # use readyloop::ReplaceError;
/// fn explain(error: &ReplaceError) -> String {
///     match error {
///         ReplaceError::Panicked(message) => format!("the new version is broken: {message}"),
///         other => other.to_string(),
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplaceError {
    /// A reactor did not take the call, or did not answer in time.
    Call(CallError),
    /// `new` or `migrate` panicked with this message.
    Panicked(String),
    /// The caller's fault: the type of the new handler differs from that of the server's handler. To change between
    /// types, make the server with a `Box<dyn Handler<State = S>>`.
    OtherType,
}

impl From<CallError> for ReplaceError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl fmt::Display for ReplaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::OtherType => {
                f.write_str("the handler was not replaced: the new handler has another type")
            }
            Self::Panicked(message) => {
                let message = Escaped(message);
                write!(f, "the handler was not replaced: new or migrate panicked: {message}")
            }
        }
    }
}

impl error::Error for ReplaceError {}
