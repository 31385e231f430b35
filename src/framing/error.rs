//! Why a frame cannot be received or sent.

use std::{error, fmt};

/// Why bytes cannot be decoded as a frame, or a payload cannot be sent as one.
///
/// The errors of received frames are the peer's fault, unless a limit is too low. Nothing was taken from the input. The
/// start of the next frame is unknown, so the connection should end. If a callback returns the error with `?`, the
/// connection ends with [`CloseReason::Handler`](crate::CloseReason::Handler), whose source is the error.
///
/// The errors of frames to be sent are the handler's fault. Nothing was sent.
///
/// # Examples
/// ```
/// use readyloop::{FrameError, Input};
///
/// let mut input = Input::new(b"a line without an end");
/// let error = input.limit_frames(10).take_line().unwrap_err();
/// assert_eq!(error, FrameError::LineTooLong { max: 10 });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Received: no line ends within the limit.
    LineTooLong {
        /// The limit of a line with its ending, in bytes.
        max: usize,
    },
    /// Received: a length prefix that announces a frame above the limit. The body is not awaited.
    TooLong {
        /// The announced length of the body, in bytes. If the prefix itself exceeds the limit: the part of a varint
        /// that was read, or 0 for a prefix of fixed width.
        length: u64,
        /// The limit of a frame with its prefix, in bytes.
        max: usize,
    },
    /// Received: a varint that does not end within 10 bytes, overflows 64 bits, or is not the shortest encoding of
    /// its number.
    InvalidVarint,
    /// To be sent: a payload that the framing cannot carry.
    PayloadTooLong {
        /// The length of the payload, in bytes.
        length: usize,
        /// The longest payload that the framing can carry, in bytes.
        max: usize,
    },
    /// To be sent: a line that contains a line feed, or ends with the carriage return of a line ending.
    LineEndInPayload {
        /// The index of that byte in the payload, from 0.
        at: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong { max } => write!(
                f,
                "received {max} bytes without a line ending, but a line with its ending has at most {max}: \
                 if longer lines are valid, raise max_input, or the limit that the handler sets with limit_frames"
            ),
            Self::TooLong { length, max } => write!(
                f,
                "received a length prefix of {length}, but a frame with its prefix has at most {max} bytes: \
                 if longer frames are valid, raise max_input, or the limit that the handler sets with limit_frames"
            ),
            Self::InvalidVarint => f.write_str(
                "received a length prefix that is not a varint of at most 64 bits in its shortest encoding: \
                 check that the peer uses the same framing",
            ),
            Self::PayloadTooLong { length, max } => write!(
                f,
                "cannot send a payload of {length} bytes: a frame carries at most {max}; \
                 split the payload, or use a framing for longer payloads"
            ),
            Self::LineEndInPayload { at } => write!(
                f,
                "cannot send the payload as a line: byte {at} is part of a line ending; \
                 escape it, or send one line at a time"
            ),
        }
    }
}

impl error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close_reason::CloseReason;
    use crate::result::Result;
    use std::error::Error;

    #[test]
    fn an_error_says_what_came_what_the_limit_is_and_what_to_do() {
        for (error, texts) in [
            (FrameError::LineTooLong { max: 512 }, ["512 bytes", "raise max_input"]),
            (FrameError::TooLong { length: 70_000, max: 512 }, ["70000", "at most 512 bytes"]),
            (FrameError::InvalidVarint, ["64 bits", "check that the peer"]),
            (FrameError::PayloadTooLong { length: 256, max: 255 }, ["256 bytes", "at most 255"]),
            (FrameError::LineEndInPayload { at: 7 }, ["byte 7", "escape it"]),
        ] {
            let shown = error.to_string();
            assert!(texts.iter().all(|text| shown.contains(text)), "{shown}");
            assert!(!shown.contains(['\n', '\r']) && !shown.contains("  "), "{shown}");
        }
    }

    #[test]
    fn a_callback_returns_it_with_a_question_mark_and_the_close_reason_keeps_it() {
        fn callback() -> Result {
            Err(FrameError::InvalidVarint)?;
            Ok(())
        }
        let reason = CloseReason::Handler(callback().unwrap_err());
        let cause = reason.source().and_then(|cause| cause.downcast_ref::<FrameError>());
        assert_eq!(cause, Some(&FrameError::InvalidVarint));
    }
}
