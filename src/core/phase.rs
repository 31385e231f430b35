//! The life cycle of a connection.

/// The state of a connection.
///
/// ```text
///   Connecting (outbound only) ─ failed, given up ──► Closed
///    │ connected
///    ▼       peer's FIN                  close, finish
///   Open ────────────────► PeerFinished ───────► Flushing, peer finished
///    │ │ │                                           ▲   │ all sent
///    │ │ │ finish              peer's FIN            │   │
///    │ │ └──────► Finishing ─────────────────────────┘   │
///    │ │              │ all sent: FIN goes out           │
///    │ │              ▼            peer's FIN            │
///    │ │          HalfClosed ────────────────────────────┤
///    │ │ close (also Finishing, HalfClosed)   peer's FIN │
///    │ └──────► Flushing, peer not finished ─────────────┤
///    │              │ all sent: FIN goes out             │
///    │              ▼          peer's FIN, deadline      ▼
///    │          Lingering ────────────────────────────► Closed
///    │ a write failed (also Finishing, HalfClosed)       ▲
///    └──────► Deaf ──────────────────────────────────────┤
///                     all input is read                  │
///   any state, on abort or a failed read ────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// An outbound connection is being opened. `on_open` was not called yet.
    Connecting,
    /// Both directions are open.
    Open,
    /// The peer has sent its FIN. The handler may still send.
    PeerFinished,
    /// The handler has called `shutdown_write`: the queued bytes are sent, then a FIN. Input is delivered.
    Finishing,
    /// Our FIN was sent. The peer may still send, and input is delivered.
    HalfClosed,
    /// The connection is being closed: the queued bytes are sent. Input is discarded.
    Flushing { peer_finished: bool },
    /// Our FIN was sent. Input is discarded until the peer's FIN, because closing a socket with unread input sends a
    /// RST, which can destroy the last answer on its way (RFC 2525, 2.17).
    Lingering,
    /// Nothing reaches the peer any more, but the bytes that it has sent are still read.
    Deaf,
    /// Waits to be reaped. `reset` asks for a RST instead of a FIN.
    Closed { reset: bool },
}

/// What happens to the bytes that a connection receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// The handler gets them.
    Deliver,
    /// They are read and discarded.
    Discard,
    /// There are none: the peer has finished.
    Nothing,
}

impl Phase {
    pub(crate) fn is_closed(self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// Whether the peer's FIN may still arrive, and the handler gets the input before it.
    pub(crate) fn hears(self) -> bool {
        matches!(self, Self::Open | Self::Finishing | Self::HalfClosed)
    }

    /// Whether the handler may still send.
    pub(crate) fn sends(self) -> bool {
        matches!(self, Self::Open | Self::PeerFinished)
    }

    /// Whether unread input may be offered to the handler.
    pub(crate) fn delivers(self) -> bool {
        self.reads() == Reads::Deliver || self == Self::PeerFinished
    }

    /// Whether a callback other than `on_close` may still follow.
    pub(crate) fn is_before_the_end(self) -> bool {
        self.sends() || self.hears() || self == Self::Deaf
    }

    pub(crate) fn reads(self) -> Reads {
        match self {
            Self::Open | Self::Finishing | Self::HalfClosed | Self::Deaf => Reads::Deliver,
            Self::Flushing { peer_finished: false } | Self::Lingering => Reads::Discard,
            Self::Connecting
            | Self::PeerFinished
            | Self::Flushing { peer_finished: true }
            | Self::Closed { .. } => Reads::Nothing,
        }
    }

    /// The peer's FIN was read.
    #[must_use]
    pub(crate) fn after_eof(self) -> Self {
        match self {
            Self::Open => Self::PeerFinished,
            Self::Finishing | Self::Flushing { .. } => Self::Flushing { peer_finished: true },
            Self::HalfClosed | Self::Lingering => Self::Closed { reset: false },
            Self::Deaf => Self::Closed { reset: true },
            Self::Connecting | Self::PeerFinished | Self::Closed { .. } => self,
        }
    }

    /// The handler has called `shutdown_write`.
    #[must_use]
    pub(crate) fn after_finish(self) -> Self {
        match self {
            Self::Open => Self::Finishing,
            Self::PeerFinished => Self::Flushing { peer_finished: true },
            other => other,
        }
    }

    /// The handler or the reactor has closed the connection in order.
    #[must_use]
    pub(crate) fn after_close(self) -> Self {
        match self {
            Self::Open | Self::Finishing | Self::HalfClosed => {
                Self::Flushing { peer_finished: false }
            }
            Self::PeerFinished => Self::Flushing { peer_finished: true },
            Self::Connecting => Self::Closed { reset: false },
            Self::Deaf => Self::Closed { reset: true },
            Self::Flushing { .. } | Self::Lingering | Self::Closed { .. } => self,
        }
    }

    /// The kernel has taken all queued bytes.
    #[must_use]
    pub(crate) fn after_flush(self) -> Self {
        match self {
            Self::Finishing => Self::HalfClosed,
            Self::Flushing { peer_finished: false } => Self::Lingering,
            Self::Flushing { peer_finished: true } => Self::Closed { reset: false },
            other => other,
        }
    }

    /// The kernel refused a write for good. Bytes are lost, so the connection must not end with a FIN, even if the
    /// socket is still alive.
    #[must_use]
    pub(crate) fn after_write_failure(self) -> Self {
        match self {
            Self::Open | Self::Finishing | Self::HalfClosed | Self::Deaf => Self::Deaf,
            other => other.after_end(true),
        }
    }

    /// The time for lingering is over.
    #[must_use]
    pub(crate) fn after_linger(self) -> Self {
        self.after_end(self == Self::Deaf)
    }

    /// Both directions end now. A closed connection stays as it is.
    #[must_use]
    pub(crate) fn after_end(self, reset: bool) -> Self {
        if self.is_closed() { self } else { Self::Closed { reset } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: Phase = Phase::Closed { reset: false };

    #[test]
    fn half_close_flushes_and_then_closes_without_lingering() {
        let phase = Phase::Open.after_eof().after_close();
        assert_eq!(phase, Phase::Flushing { peer_finished: true });
        assert_eq!(phase.after_flush(), CLOSED);
    }

    #[test]
    fn closing_first_lingers_until_the_peer_finishes() {
        let phase = Phase::Open.after_close().after_flush();
        assert_eq!(phase, Phase::Lingering);
        assert_eq!(phase.reads(), Reads::Discard);
        assert_eq!(phase.after_eof(), CLOSED);
    }

    #[test]
    fn a_fin_that_arrives_while_flushing_saves_the_lingering() {
        assert_eq!(Phase::Open.after_close().after_eof().after_flush(), CLOSED);
    }

    #[test]
    fn a_connection_that_has_finished_hears_its_peer_to_the_end() {
        let phase = Phase::Open.after_finish();
        assert!(!phase.sends() && phase.hears());
        assert_eq!(phase.after_eof(), Phase::Flushing { peer_finished: true });
        let half_closed = phase.after_flush();
        assert_eq!(half_closed, Phase::HalfClosed);
        assert_eq!(half_closed.reads(), Reads::Deliver);
        assert_eq!(half_closed.after_eof(), CLOSED);
        assert_eq!(half_closed.after_close().after_flush(), Phase::Lingering);
        assert_eq!(Phase::Open.after_eof().after_finish().after_flush(), CLOSED);
    }

    #[test]
    fn a_deaf_peer_is_read_to_its_end() {
        let phase = Phase::Open.after_write_failure();
        assert_eq!(phase.reads(), Reads::Deliver);
        assert!(!phase.sends());
        let reset = Phase::Closed { reset: true };
        assert_eq!(phase.after_eof(), reset);
        assert_eq!(phase.after_close(), reset);
        assert_eq!(Phase::PeerFinished.after_write_failure(), reset);
    }

    #[test]
    fn closed_is_final() {
        let closed = Phase::Closed { reset: true };
        for phase in [
            closed.after_eof(),
            closed.after_close(),
            closed.after_flush(),
            closed.after_end(false),
        ] {
            assert_eq!(phase, closed);
        }
    }
}
