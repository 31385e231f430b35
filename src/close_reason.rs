//! Why a connection ended.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::connect_error::ConnectError;
use crate::one_line::{Escaped, OneLine};
use crate::result::BoxError;

/// Why a connection ended. The handler receives it in [`on_close`](crate::Handler::on_close).
///
/// The first cause is reported, with one exception: if a connection is closing gracefully and fails before all queued
/// bytes were sent, the failure is reported.
///
/// [`Display`](fmt::Display) shows the reason and its cause on one line, with control characters escaped. For example:
/// `the connection failed: Connection reset by peer (os error 104)`. [`source`](Error::source) returns the cause to
/// code that needs its type. A program that prints the sources too prints each cause twice.
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
    /// The peer finished sending (FIN), and all queued bytes were sent.
    PeerFinished,
    /// The handler called [`close`](crate::Conn::close), and all queued bytes were sent.
    Closed,
    /// The handler called [`abort`](crate::Conn::abort). The peer sees a RST.
    Aborted,
    /// A callback returned an error. The queued bytes were sent, if the peer took them.
    Handler(BoxError),
    /// A callback panicked with this message. Queued bytes are lost: the peer sees a RST.
    Panic(String),
    /// The network or the peer ended the connection: most often with a reset, or because the peer is gone.
    Io(io::Error),
    /// The handler left more than [`max_input`](crate::Config::max_input) bytes unread: a message of the peer is too
    /// long. The queued bytes were sent, if the peer took them.
    InputOverflow {
        /// The limit, in bytes.
        limit: usize,
    },
    /// More than [`queue_limit`](crate::Config::queue_limit) bytes were queued, and the handler sent again: it sends
    /// faster than the peer reads. Queued bytes are lost: the peer sees a RST.
    OutboxOverflow {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The memory budget ([`queue_budget`](crate::Config::queue_budget)) had no room, and other work waited for room.
    /// This connection was stalled: its peer read none of the queued bytes, or did not complete its message. The peer
    /// sees a RST.
    Shed {
        /// The budget, in bytes.
        budget: usize,
    },
    /// No byte arrived within [`first_byte_timeout`](crate::Config::first_byte_timeout). The queued bytes were sent, if
    /// the peer took them.
    FirstByteTimeout {
        /// The configured time.
        limit: Duration,
    },
    /// The peer sent nothing for [`idle_timeout`](crate::Config::idle_timeout). The queued bytes were sent, if the peer
    /// took them.
    IdleTimeout {
        /// The configured time.
        limit: Duration,
    },
    /// Bytes were queued, and the kernel took none of them for [`write_timeout`](crate::Config::write_timeout): the
    /// peer does not read, or is gone. Queued bytes are lost: the peer sees a RST.
    WriteTimeout {
        /// The configured time.
        limit: Duration,
    },
    /// The connection was closed at the age of [`max_age`](crate::Config::max_age), or up to a tenth earlier. All
    /// queued bytes were sent.
    MaxAge {
        /// The configured time.
        limit: Duration,
    },
    /// The reactor drained, and the connection had no work left: see [`Handle::drain`](crate::Handle::drain). All
    /// queued bytes were sent.
    Drained,
    /// The reactor drained, and the connection still had work at the deadline: an answer was not sent or not begun, or
    /// a request arrived while the connection was being closed. If queued bytes are lost, the peer sees a RST.
    DrainTimeout {
        /// The timeout of the drain.
        limit: Duration,
    },
    /// An outbound connection was not opened, because none of its addresses could be connected to. The handler receives
    /// this in [`on_connect_failed`](crate::Handler::on_connect_failed), not in `on_close`.
    NotConnected(ConnectError),
    /// [`max_connections`](crate::Config::max_connections) was reached, and this connection had received nothing for
    /// the longest time: see [`Overflow::EvictIdlest`](crate::Overflow::EvictIdlest).
    Evicted,
    /// The reactor stopped. If queued bytes are lost, the peer sees a RST.
    Stopped,
}

impl CloseReason {
    /// Whether the reactor closed the connection gracefully, not the peer or the handler. A request of the peer may
    /// arrive after such a close.
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

    /// Whether nothing went wrong. A later failure replaces such a reason.
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
                write!(f, "the handler left more than {limit} bytes of input unread")
            }
            Self::OutboxOverflow { limit } => {
                write!(
                    f,
                    "the handler sends faster than the peer reads: over {limit} bytes were queued"
                )
            }
            Self::Shed { budget } => {
                write!(
                    f,
                    "the connection stalled while the memory budget of {budget} bytes was used up"
                )
            }
            Self::FirstByteTimeout { limit } => write!(f, "no byte arrived within {limit:?}"),
            Self::IdleTimeout { limit } => write!(f, "the peer sent nothing for {limit:?}"),
            Self::WriteTimeout { limit } => {
                write!(f, "the peer read none of the queued bytes for {limit:?}")
            }
            Self::MaxAge { limit } => {
                write!(f, "the connection reached its maximum age of {limit:?}")
            }
            Self::Drained => f.write_str("the server drained, and the connection was idle"),
            Self::DrainTimeout { limit } => {
                write!(f, "the connection was still busy when the drain timed out after {limit:?}")
            }
            Self::NotConnected(error) => write!(f, "cannot connect: {error}"),
            Self::Evicted => f.write_str("evicted to make room for a new connection"),
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
        assert_eq!(shown(reason, true), "cannot connect: no time to try any of 2 addresses");
        assert_eq!(shown(CloseReason::Closed, false), "closed by the handler");
    }

    #[test]
    fn an_error_of_the_handler_shows_its_own_causes_too() {
        let inner = CloseReason::Handler(io::Error::other("no disk").into());
        let outer = CloseReason::Handler(Box::new(inner));
        let expected = "the handler failed: the handler failed: no disk";
        assert_eq!(outer.to_string(), expected);
        assert_eq!(OneLine(&outer).to_string(), expected, "no cause is shown twice");
    }
}
