//! Why a connection ended.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::connect_error::ConnectError;
use crate::one_line::{Escaped, OneLine};
use crate::result::BoxError;

/// Why a connection ended, as [`on_close`](crate::Handler::on_close) learns it.
///
/// The first cause wins, with one exception: a connection that was to close in order, and failed
/// before everything queued for it was sent, reports the failure.
///
/// [`Display`](fmt::Display) shows the reason with its cause, on one line, whatever a handler's error or panic says:
/// `the connection failed: Connection reset by peer (os error 104)`. [`source`](Error::source) gives the cause to
/// code that looks at it; a program that prints the sources too shows it twice.
///
/// # Examples
/// ```
/// use readyloop::CloseReason;
///
/// fn is_worth_a_warning(reason: &CloseReason) -> bool {
///     !matches!(reason, CloseReason::PeerFinished | CloseReason::Closed | CloseReason::Stopped)
/// }
/// # assert!(is_worth_a_warning(&CloseReason::Aborted));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer finished sending (FIN), and all that was queued for it was sent.
    PeerFinished,
    /// The handler closed it with [`close`](crate::Conn::close), and all that was queued was sent.
    Closed,
    /// The handler aborted it with [`abort`](crate::Conn::abort): the peer sees a RST.
    Aborted,
    /// A callback returned an error. What was queued was sent, if the peer took it.
    Handler(BoxError),
    /// A callback panicked with this message. Queued bytes are lost: the peer sees a RST.
    Panic(String),
    /// The network or the peer ended it: most often a reset, or a peer that is gone.
    Io(io::Error),
    /// The handler left more than [`max_input`](crate::Config::max_input) bytes untaken: a message
    /// of the peer's is too large. What was queued before was sent, if the peer took it.
    InputOverflow {
        /// The limit, in bytes.
        limit: usize,
    },
    /// More was sent while more than the [`queue_limit`](crate::Config::queue_limit) was queued: the handler
    /// sends faster than the peer reads. Queued bytes are lost: the peer sees a RST.
    OutboxOverflow {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The [`queue_budget`](crate::Config::queue_budget) was used up, others waited for room, and this
    /// connection stalled: its peer took nothing of what was queued for it, or did not complete its message.
    /// The peer sees a RST.
    Shed {
        /// The budget, in bytes.
        budget: usize,
    },
    /// Not a byte came within the [`first_byte_timeout`](crate::Config::first_byte_timeout). What was
    /// queued was sent, if the peer took it.
    FirstByteTimeout {
        /// The time that was allowed.
        limit: Duration,
    },
    /// Nothing came for the [`idle_timeout`](crate::Config::idle_timeout). What was queued was sent, if
    /// the peer took it.
    IdleTimeout {
        /// The time that was allowed.
        limit: Duration,
    },
    /// Bytes were queued, and for the [`write_timeout`](crate::Config::write_timeout) the kernel took
    /// none of them: the peer does not read, or is gone. Queued bytes are lost: the peer sees a RST.
    WriteTimeout {
        /// The time that was allowed.
        limit: Duration,
    },
    /// It had lived for the [`max_age`](crate::Config::max_age), or up to a tenth less. All that was
    /// queued was sent.
    MaxAge {
        /// The time that was allowed.
        limit: Duration,
    },
    /// The reactor drains, and there was nothing left to do for it: see
    /// [`Reactor::drain`](crate::Reactor::drain). All that was queued was sent.
    Drained,
    /// The reactor drains, and at the deadline something was left to do: an answer that was not sent or not
    /// begun, or a request that came while the connection was closed. If queued bytes were lost by it, the
    /// peer sees a RST.
    DrainTimeout {
        /// The time that was allowed.
        limit: Duration,
    },
    /// It was to be opened outward, and none of its addresses could be connected to; so it never was, and
    /// [`on_connect_failed`](crate::Handler::on_connect_failed) learns it instead of `on_close`.
    NotConnected(ConnectError),
    /// There were as many connections as there may be, and this one had been silent the longest: see
    /// [`Overflow::EvictIdlest`](crate::Overflow::EvictIdlest).
    Evicted,
    /// The reactor stopped. If queued bytes were lost by it, the peer sees a RST.
    Stopped,
}

impl CloseReason {
    /// Whether the reactor has closed the connection in order, and neither of its ends: a request may cross
    /// with that.
    pub(crate) fn is_of_reactor(&self) -> bool {
        matches!(
            self,
            Self::FirstByteTimeout { .. }
                | Self::IdleTimeout { .. }
                | Self::MaxAge { .. }
                | Self::Drained
                | Self::DrainTimeout { .. }
        )
    }

    /// Whether nothing went wrong: such a reason gives way to a failure that comes after it.
    pub(crate) fn is_orderly(&self) -> bool {
        matches!(self, Self::PeerFinished | Self::Closed | Self::MaxAge { .. } | Self::Drained)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerFinished => f.write_str("the peer finished"),
            Self::Closed => f.write_str("closed by the handler"),
            Self::Aborted => f.write_str("aborted by the handler"),
            Self::Handler(error) => write!(f, "the handler failed: {}", OneLine(&**error)),
            Self::Panic(message) => write!(f, "the handler panicked: {}", Escaped(message)),
            Self::Io(error) => write!(f, "the connection failed: {error}"),
            Self::InputOverflow { limit } => {
                write!(f, "the handler left more than {limit} bytes of input untaken")
            }
            Self::OutboxOverflow { limit } => {
                write!(f, "more was sent than its peer reads: over {limit} bytes were queued")
            }
            Self::Shed { budget } => {
                write!(f, "the memory budget of {budget} bytes was used up, and it stalled")
            }
            Self::FirstByteTimeout { limit } => write!(f, "not a byte came within {limit:?}"),
            Self::IdleTimeout { limit } => write!(f, "nothing came for {limit:?}"),
            Self::WriteTimeout { limit } => {
                write!(f, "the peer took nothing of what was queued for {limit:?}")
            }
            Self::MaxAge { limit } => write!(f, "it had reached the age of {limit:?}"),
            Self::Drained => f.write_str("the server drains, and nothing was left to do"),
            Self::DrainTimeout { limit } => {
                write!(f, "it was still busy when the server had drained for {limit:?}")
            }
            Self::NotConnected(error) => write!(f, "it could not be opened: {error}"),
            Self::Evicted => f.write_str("it had to make room for another"),
            Self::Stopped => f.write_str("the reactor stopped"),
        }
    }
}

impl Error for CloseReason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Handler(error) => Some(&**error),
            Self::Io(error) => Some(error),
            Self::NotConnected(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_shows_its_cause_on_one_line_and_keeps_it_as_its_source() {
        let shown = |reason: CloseReason, has_source: bool| {
            assert_eq!(reason.source().is_some(), has_source, "{reason}");
            reason.to_string()
        };
        let reason = CloseReason::Handler("no such\ncommand".into());
        assert_eq!(shown(reason, true), r"the handler failed: no such\ncommand");
        let reason = CloseReason::Panic("two\nlines \x1b[31m".to_owned());
        assert_eq!(shown(reason, false), r"the handler panicked: two\nlines \u{1b}[31m");
        let reason = CloseReason::Io(io::ErrorKind::ConnectionReset.into());
        assert_eq!(shown(reason, true), "the connection failed: connection reset");
        let reason = CloseReason::NotConnected(ConnectError::new(Vec::new(), 2));
        assert_eq!(
            shown(reason, true),
            "it could not be opened: no time to try any of 2 addresses"
        );
        assert_eq!(shown(CloseReason::Closed, false), "closed by the handler");
    }

    #[test]
    fn an_error_of_the_handler_shows_its_own_causes_too() {
        let inner = CloseReason::Handler(io::Error::other("no disk").into());
        let outer = CloseReason::Handler(Box::new(inner));
        let expected = "the handler failed: the handler failed: no disk";
        assert_eq!(outer.to_string(), expected);
        assert_eq!(OneLine(&outer).to_string(), expected, "and nothing is shown twice");
    }
}
