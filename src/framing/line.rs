//! Lines of text.

use super::error::FrameError;
use super::framer::Framer;
use crate::input::Input;

/// The framing of lines. A received line may end with LF or with CRLF. The variant only chooses the ending of sent
/// lines.
///
/// The ending is not part of the payload. Any other carriage return is.
///
/// # Examples
/// ```
/// use readyloop::{Conn, Input, Line, Result};
///
/// fn on_data(conn: &mut Conn, input: &mut Input) -> Result {
///     if let Some(command) = input.take_line()? {
///         conn.send_frame(&Line::CrLf, command)?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Line {
    /// Sends lines that end with LF.
    Lf,
    /// Sends lines that end with CRLF, as most protocols of the internet do.
    CrLf,
}

impl Framer for Line {
    type Error = FrameError;

    fn decode<'a>(&self, input: &mut Input<'a>) -> Result<Option<&'a [u8]>, FrameError> {
        let max = input.max_frame();
        let Some(end) = input.find(b"\n").filter(|end| *end < max) else {
            let may_end_in_time = input.len() < max;
            return if may_end_in_time { Ok(None) } else { Err(FrameError::LineTooLong { max }) };
        };
        let line = input.take_at_most(end + 1);
        Ok(Some(line[..end].strip_suffix(b"\r").unwrap_or(&line[..end])))
    }

    fn encode(&self, payload: &[u8], output: &mut dyn FnMut(&[u8])) -> Result<(), FrameError> {
        if let Some(at) = payload.iter().position(|byte| *byte == b'\n') {
            return Err(FrameError::LineEndInPayload { at });
        }
        let ending: &[u8] = match (self, payload) {
            (Self::Lf, [rest @ .., b'\r']) => {
                return Err(FrameError::LineEndInPayload { at: rest.len() });
            }
            (Self::Lf, _) => b"\n",
            (Self::CrLf, _) => b"\r\n",
        };
        output(payload);
        output(ending);
        Ok(())
    }
}

impl<'a> Input<'a> {
    /// Takes the next line and returns it without its ending, which is LF or CRLF. Takes nothing and returns `None` if
    /// no line ending has arrived yet. A carriage return elsewhere is part of the line.
    ///
    /// A line has at most [`max_frame`](Self::max_frame) bytes, its ending included. The cost of a line is linear in
    /// its length, however the network splits it.
    ///
    /// When the peer has finished, a last line without an ending is still in the input of
    /// [`on_eof`](crate::Handler::on_eof). [`take`](Self::take) returns it.
    ///
    /// # Errors
    /// [`FrameError::LineTooLong`] as soon as the line cannot end within the limit. Nothing is taken.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), readyloop::FrameError> {
    /// let mut input = readyloop::Input::new(b"one\r\ntwo\nthr");
    /// assert_eq!(input.take_line()?, Some(&b"one"[..]));
    /// assert_eq!(input.take_line()?, Some(&b"two"[..]));
    /// assert_eq!(input.take_line()?, None);
    /// assert_eq!(input.peek(), b"thr");
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_line(&mut self) -> Result<Option<&'a [u8]>, FrameError> {
        self.take_frame(&Line::Lf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<&[u8]> {
        let mut input = Input::new(bytes);
        std::iter::from_fn(|| input.take_line().unwrap()).collect()
    }

    fn sent(framing: Line, payload: &[u8]) -> Result<Vec<u8>, FrameError> {
        let mut frame = Vec::new();
        framing.encode(payload, &mut |bytes| frame.extend_from_slice(bytes))?;
        Ok(frame)
    }

    #[test]
    fn a_line_ends_with_lf_or_crlf_and_another_carriage_return_is_content() {
        assert_eq!(
            lines(b"a\nb\r\n\n\r\nc\rd\ne\r\r\nrest"),
            [&b"a"[..], b"b", b"", b"", b"c\rd", b"e\r"]
        );
    }

    #[test]
    fn a_line_is_too_long_as_soon_as_it_cannot_end_within_the_limit_and_not_before() {
        for (bytes, expected) in [
            (&b"abcd"[..], Ok(None)),
            (b"abcd\n", Ok(Some(&b"abcd"[..]))),
            (b"abc\r\n", Ok(Some(b"abc"))),
            (b"abcde", Err(FrameError::LineTooLong { max: 5 })),
            (b"abcd\r", Err(FrameError::LineTooLong { max: 5 })),
            (b"abcde\n", Err(FrameError::LineTooLong { max: 5 })),
        ] {
            let mut input = Input::new(bytes);
            assert_eq!(input.limit_frames(5).take_line(), expected, "{bytes:?}");
            if expected.is_err() {
                assert_eq!(input.peek(), bytes, "nothing is taken");
            }
        }
    }

    #[test]
    fn a_line_that_would_not_come_back_as_it_was_is_not_sent() {
        assert_eq!(sent(Line::Lf, b"a\rb").unwrap(), b"a\rb\n");
        assert_eq!(sent(Line::CrLf, b"a\r").unwrap(), b"a\r\r\n");
        let refused = |at| Err(FrameError::LineEndInPayload { at });
        assert_eq!(sent(Line::Lf, b"a\nb"), refused(1));
        assert_eq!(sent(Line::CrLf, b"a\n"), refused(1));
        assert_eq!(sent(Line::Lf, b"ab\r"), refused(2));
    }
}
