//! Why another thread did not get what it wanted of a reactor.

use std::error;
use std::fmt;

use crate::one_line::Escaped;

/// Why a reactor takes no message.
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
    /// Its mailbox is full: see [`mailbox_limit`](crate::Config::mailbox_limit). It helps to wait.
    Full,
    /// It has stopped.
    Stopped,
    /// The caller's fault: the id names a connection of another server.
    OtherServer,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the reactor's mailbox is full",
            Self::Stopped => "the reactor has stopped",
            Self::OtherServer => "the id names a connection of another server",
        })
    }
}

impl error::Error for Refusal {}

/// What a reactor did not take, and why.
///
/// # Examples
/// ```
/// # use readyloop::{Bytes, ConnId, Handle};
/// /// Returns what has to be tried again.
/// fn send(handle: &Handle, id: ConnId, bytes: Bytes) -> Option<Bytes> {
///     handle.send(id, bytes).err().map(|refused| refused.returned)
/// }
/// ```
#[non_exhaustive]
pub struct Refused<T> {
    /// The closure, or the bytes, as they were.
    pub returned: T,
    /// Why it was refused.
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
///         Err(CallError::Refused(_)) => None, // it is not there any more, or has too much to do
///         Err(error) => panic!("{error}"),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The reactor did not take it.
    Refused(Refusal),
    /// The answer did not come in time.
    TimedOut,
    /// The closure has ended without one: it has panicked (the log has the message), or its reactor has
    /// failed or was dropped before it ran.
    NoAnswer,
    /// The caller's fault: the call came from a callback or a posted closure of the same server, which would
    /// have waited for itself. What is needed is at hand there.
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
            Self::NoAnswer => f.write_str("what was called has panicked, or was never run"),
            Self::OwnThread => f.write_str("a reactor was called from its own thread"),
        }
    }
}

impl error::Error for CallError {}

/// Why the handlers were not replaced. The old ones go on.
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
    /// A reactor could not be reached, or not in time.
    Call(CallError),
    /// `new` or `migrate` has panicked, with this message.
    Panicked(String),
    /// The caller's fault: the server's handler is of another type than the new one. Make the server with a
    /// `Box<dyn Handler<State = S>>` to change from one type to another.
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
                f.write_str("the handler was not replaced: the new one is of another type")
            }
            Self::Panicked(message) => {
                let message = Escaped(message);
                write!(f, "the new handler or the migration of a state panicked: {message}")
            }
        }
    }
}

impl error::Error for ReplaceError {}
