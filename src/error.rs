//! What can go wrong with a reactor as a whole.

use std::net::SocketAddr;
use std::{error, fmt, io};

use crate::addr::Addr;
use crate::net::StepError;
use crate::one_line::OneLine;
use crate::refusal::CallError;
use crate::report::Report;
use crate::result::BoxError;

/// Why a reactor could not be made, could not listen, or could not go on.
///
/// Trouble with one connection never shows up here: it ends that connection, with a
/// [`CloseReason`](crate::CloseReason).
///
/// [`Display`](fmt::Display) shows the whole of it on one line, the cause included, as with every error of this
/// crate. [`source`](error::Error::source) gives the cause to code that looks at it.
///
/// # Examples
/// ```
/// use readyloop::{Config, Error, Reactor, services::Echo};
///
/// let refused = Reactor::new(Config::new().high_water(10).low_water(20), Echo);
/// let error = refused.unwrap_err();
/// assert!(matches!(error, Error::Config(_)));
/// assert_eq!(error.to_string(), "low_water (20) is above high_water (10): lower it, or raise high_water");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The caller's fault: two settings contradict each other, or one makes no sense. The text says
    /// which.
    Config(String),
    /// The caller's fault, or the resolver's: the name gave no address.
    Resolve(io::Error),
    /// The system refused to listen on an address.
    Listen {
        /// The address that was asked for.
        addr: Addr,
        /// The system call that failed: `socket`, `setsockopt`, `bind`, `listen` or `register`.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused what every reactor needs: an epoll or kqueue instance and its waker.
    Setup(io::Error),
    /// The caller's fault: the reactor has stopped or drains, and cannot listen or connect any more.
    Stopped,
    /// The caller's fault: a turn was to be made inside of a turn, from a callback or a posted closure.
    InTurn,
    /// A reactor did not do what it was asked from another thread.
    Call(CallError),
    /// One of the reactors of a [`Server`](crate::Server) has failed, and the others were stopped for it.
    Reactor {
        /// Its number.
        index: usize,
        /// Why: another `Error`, or what its thread has panicked with.
        source: BoxError,
    },
    /// Waiting for events failed. The reactor cannot go on.
    Poll(io::Error),
    /// The last listener has died: its socket was shut down or closed under the reactor. The reactor has
    /// drained for that (see [`drain_without_listeners`](crate::Config::drain_without_listeners)), or nothing
    /// else could have happened: there was no connection, no timer and no [`Handle`](crate::Handle).
    ListenersLost {
        /// Where it listened.
        addr: Addr,
        /// What `accept` said.
        source: io::Error,
        /// How the connections fared.
        report: Report,
    },
}

impl Error {
    /// The system refused to listen.
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
            Self::Resolve(error) => write!(f, "the address could not be resolved: {error}"),
            Self::Listen { addr, step, source } => {
                write!(f, "cannot listen on {addr}: {step} failed: {source}")
            }
            Self::Stopped => f.write_str("the reactor has been stopped, or drains"),
            Self::Call(error) => error.fmt(f),
            Self::InTurn => f.write_str("a turn cannot be made inside of a turn"),
            Self::Reactor { index, source } => {
                write!(f, "reactor {index} has failed: {}", OneLine(&**source))
            }
            Self::Setup(error) => {
                write!(f, "the system's event queue could not be made: {error}")
            }
            Self::Poll(error) => write!(f, "waiting for events failed: {error}"),
            Self::ListenersLost { addr, source, report } => {
                write!(f, "the last listener, {addr}, is lost ({report}): accept failed: {source}")
            }
        }
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
