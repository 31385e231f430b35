//! Failures of a reactor as a whole.

use std::net::SocketAddr;
use std::{error, fmt, io};

use crate::addr::Addr;
use crate::one_line::OneLine;
use crate::refusal::CallError;
use crate::report::Report;
use crate::result::BoxError;
use crate::step_error::StepError;

/// Why a reactor could not be made, could not listen, or could not continue.
///
/// A failure of one connection is never such an error. It ends that connection, with a
/// [`CloseReason`](crate::CloseReason).
///
/// [`Display`](fmt::Display) shows the error and its cause on one line, as for every error of this crate.
/// [`Debug`](fmt::Debug) shows the same line, because Rust prints the `Debug` text of an error that `main` returns.
/// [`source`](error::Error::source) returns the cause to code that needs its type.
///
/// # Examples
/// ```
/// use readyloop::{Config, Echo, Error, Reactor};
///
/// let refused = Reactor::new(Config::new().high_water(10).low_water(20), Echo);
/// let error = refused.unwrap_err();
/// assert!(matches!(error, Error::Config(_)));
/// assert_eq!(error.to_string(), "low_water (20) is above high_water (10): lower it, or raise high_water");
/// ```
#[non_exhaustive]
pub enum Error {
    /// The caller's fault: two settings contradict each other, or one has a value that cannot work. The text names it.
    Config(String),
    /// The caller's or the resolver's fault: the name has no address.
    Resolve(io::Error),
    /// The system refused to listen on an address.
    Listen {
        /// The address that the caller named.
        addr: Addr,
        /// The system call that failed: `socket`, `fcntl`, `setsockopt`, `bind`, `listen`, `getsockname`, or `register`
        /// for the call that adds the socket to the event queue.
        step: &'static str,
        /// The error of the system call.
        source: io::Error,
    },
    /// The system could not create an event queue (epoll or kqueue), its waker, or a thread.
    Setup(io::Error),
    /// The caller's fault: the reactor has stopped, or it drains and cannot listen any more.
    Stopped,
    /// The caller's fault: `turn` or `run` was called inside a turn, from a callback or a posted closure.
    InTurn,
    /// A reactor did not carry out a call from another thread.
    Call(CallError),
    /// A reactor of a [`Server`](crate::Server) failed. The others were stopped.
    Reactor {
        /// The index of the reactor.
        index: usize,
        /// The cause: another `Error`, or the message of a panic of its thread.
        source: BoxError,
    },
    /// Waiting for events failed. The reactor cannot continue.
    Poll(io::Error),
    /// The last listener died: its socket was shut down or closed under the reactor. The reactor has drained because of
    /// that (see [`drain_without_listeners`](crate::Config::drain_without_listeners)). Or it ended because nothing else
    /// could happen: there was no connection, no timer and no [`Handle`](crate::Handle).
    ListenersLost {
        /// The address of that listener.
        addr: Addr,
        /// The error of `accept`.
        source: io::Error,
        /// How the connections ended.
        report: Report,
    },
}

impl Error {
    /// The system refused to listen on an address.
    pub(crate) fn refused(addr: SocketAddr, error: StepError) -> Self {
        Self::Listen { addr: addr.into(), step: error.step, source: error.source }
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(what) => f.write_str(what),
            Self::Resolve(error) => write!(f, "cannot resolve the address: {error}"),
            Self::Listen { addr, step, source } => {
                write!(f, "cannot listen on {addr}: {step} failed: {source}")
            }
            Self::Stopped => {
                f.write_str("the reactor has stopped, or drains and cannot listen any more")
            }
            Self::Call(error) => error.fmt(f),
            Self::InTurn => {
                f.write_str("the reactor is in a turn: call turn and run outside of callbacks")
            }
            Self::Reactor { index, source } => {
                write!(f, "reactor {index} failed: {}", OneLine(&**source))
            }
            Self::Setup(error) => {
                write!(f, "cannot create an event queue or a thread: {error}")
            }
            Self::Poll(error) => write!(f, "waiting for events failed: {error}"),
            Self::ListenersLost { addr, source, report } => {
                write!(f, "the last listener, {addr}, is lost ({report}): accept failed: {source}")
            }
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Config(_) | Self::Stopped | Self::InTurn | Self::Call(_) => None,
            Self::Reactor { source, .. } => Some(&**source),
            Self::Listen { source, .. }
            | Self::Resolve(source)
            | Self::Setup(source)
            | Self::ListenersLost { source, .. }
            | Self::Poll(source) => Some(source),
        }
    }
}
