//! Messages with a length prefix.

use super::error::FrameError;
use super::framer::Framer;
use super::varint::{self, Number};
use crate::input::Input;

/// The framing of messages with a length prefix.
///
/// The length counts the bytes of the body, without the prefix.
///
/// # Examples
/// ```
/// use readyloop::{Conn, Input, LengthPrefix, Result};
///
/// fn on_data(conn: &mut Conn, input: &mut Input) -> Result {
///     if let Some(request) = input.take_length_prefixed(LengthPrefix::U32)? {
///         conn.send_frame(&LengthPrefix::Varint, request)?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LengthPrefix {
    /// One byte: bodies of up to 255 bytes.
    U8,
    /// Two bytes in network byte order, the most significant first (big endian): bodies of up to 65,535 bytes.
    U16,
    /// Four bytes in network byte order.
    U32,
    /// Two bytes, the least significant first (little endian).
    U16Le,
    /// Four bytes, the least significant first.
    U32Le,
    /// A varint of [Protocol Buffers](https://protobuf.dev/programming-guides/encoding/#varints) (unsigned LEB128):
    /// 1 to 10 bytes, in the shortest encoding.
    Varint,
}

impl LengthPrefix {
    /// The width of the prefix in bytes, and whether it is little endian. `None` for a varint.
    const fn layout(self) -> Option<(usize, bool)> {
        match self {
            Self::U8 => Some((1, false)),
            Self::U16 => Some((2, false)),
            Self::U32 => Some((4, false)),
            Self::U16Le => Some((2, true)),
            Self::U32Le => Some((4, true)),
            Self::Varint => None,
        }
    }

    fn read(self, bytes: &[u8]) -> Number {
        let Some((width, is_little)) = self.layout() else { return varint::read(bytes) };
        let Some(field) = bytes.get(..width) else { return Number::Incomplete { so_far: 0 } };
        let append = |value, byte: &u8| value << 8 | u64::from(*byte);
        let value = if is_little {
            field.iter().rev().fold(0, append)
        } else {
            field.iter().fold(0, append)
        };
        Number::Complete { value, width }
    }

    /// The prefix of a body of this length, and the number of bytes that the prefix has.
    fn write(self, length: u64) -> ([u8; varint::LONGEST], usize) {
        let Some((width, is_little)) = self.layout() else { return varint::write(length) };
        let mut bytes = [0; varint::LONGEST];
        let number = if is_little {
            length.to_le_bytes()
        } else {
            (length << (64 - 8 * width)).to_be_bytes()
        };
        bytes[..8].copy_from_slice(&number);
        (bytes, width)
    }

    /// The longest body whose length fits into the prefix.
    fn longest_body(self) -> u64 {
        self.layout().map_or(u64::MAX, |(width, _)| u64::MAX >> (64 - 8 * width))
    }
}

impl Framer for LengthPrefix {
    type Error = FrameError;

    fn decode<'a>(&self, input: &mut Input<'a>) -> Result<Option<&'a [u8]>, FrameError> {
        let max = input.max_frame();
        // Bytes beyond the limit are not looked at, not even for the prefix. So the result does not depend on how many
        // bytes have arrived at once.
        let bytes = &input.peek()[..input.len().min(max)];
        let (length, width) = match self.read(bytes) {
            Number::Complete { value, width } => (value, width),
            Number::Incomplete { .. } if bytes.len() < max => return Ok(None),
            Number::Incomplete { so_far } => {
                return Err(FrameError::TooLong { length: so_far, max });
            }
            Number::Invalid => return Err(FrameError::InvalidVarint),
        };
        let frame = usize::try_from(length).ok().and_then(|length| length.checked_add(width));
        let Some(frame) = frame.filter(|frame| *frame <= max) else {
            return Err(FrameError::TooLong { length, max });
        };
        Ok(input.take_exact(frame).map(|frame| &frame[width..]))
    }

    fn encode(&self, payload: &[u8], output: &mut dyn FnMut(&[u8])) -> Result<(), FrameError> {
        let (length, longest) = (payload.len(), self.longest_body());
        if length as u64 > longest {
            let max = usize::try_from(longest).unwrap_or(usize::MAX);
            return Err(FrameError::PayloadTooLong { length, max });
        }
        let (prefix, width) = self.write(length as u64);
        output(&prefix[..width]);
        output(payload);
        Ok(())
    }
}

impl<'a> Input<'a> {
    /// Takes the next message with a length prefix, and returns it without the prefix. Takes nothing and returns `None`
    /// if the message is not complete yet.
    ///
    /// A message has at most [`max_frame`](Self::max_frame) bytes, its prefix included.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] if the message is above that limit, as soon as the prefix has arrived. The body is
    /// neither awaited nor stored. [`FrameError::InvalidVarint`] if the prefix is not a valid number. Nothing is taken.
    ///
    /// # Examples
    /// ```
    /// use readyloop::{Input, LengthPrefix};
    ///
    /// # fn main() -> Result<(), readyloop::FrameError> {
    /// let mut input = Input::new(b"\0\x02hi\0\x05the");
    /// assert_eq!(input.take_length_prefixed(LengthPrefix::U16)?, Some(&b"hi"[..]));
    /// assert_eq!(input.take_length_prefixed(LengthPrefix::U16)?, None);
    /// assert_eq!(input.peek(), b"\0\x05the");
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_length_prefixed(
        &mut self,
        prefix: LengthPrefix,
    ) -> Result<Option<&'a [u8]>, FrameError> {
        self.take_frame(&prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(framing: LengthPrefix, payload: &[u8]) -> Result<Vec<u8>, FrameError> {
        let mut frame = Vec::new();
        framing.encode(payload, &mut |bytes| frame.extend_from_slice(bytes))?;
        Ok(frame)
    }

    #[test]
    fn the_length_stands_in_front_in_the_order_that_was_asked_for() {
        let payload = [b'x'; 0x102];
        for (framing, prefix) in [
            (LengthPrefix::U16, &[1, 2][..]),
            (LengthPrefix::U16Le, &[2, 1]),
            (LengthPrefix::U32, &[0, 0, 1, 2]),
            (LengthPrefix::U32Le, &[2, 1, 0, 0]),
            (LengthPrefix::Varint, &[0x82, 2]),
        ] {
            let frame = sent(framing, &payload).unwrap();
            assert_eq!(frame[..prefix.len()], *prefix, "{framing:?}");
            let mut input = Input::new(&frame);
            assert_eq!(input.take_length_prefixed(framing), Ok(Some(&payload[..])), "{framing:?}");
            assert!(input.is_empty());
        }
        assert_eq!(sent(LengthPrefix::U8, b"abc").unwrap(), b"\x03abc");
        assert_eq!(sent(LengthPrefix::U8, b"").unwrap(), b"\0");
    }

    #[test]
    fn a_length_above_the_limit_is_an_error_with_the_last_byte_of_the_prefix() {
        let too_long = |length| Err(FrameError::TooLong { length, max: 10 });
        for (bytes, framing, expected) in [
            (&b"\x09"[..], LengthPrefix::U8, Ok(None)),
            (b"\x0a", LengthPrefix::U8, too_long(10)),
            (b"\xff\xff\xff", LengthPrefix::U32, Ok(None)),
            (&[0xff; 4], LengthPrefix::U32, too_long(u64::from(u32::MAX))),
            (&[0xff; 9], LengthPrefix::Varint, Ok(None)),
            (&[0xff; 10], LengthPrefix::Varint, Err(FrameError::InvalidVarint)),
            (b"\xff\xff\x7f", LengthPrefix::Varint, too_long(0x1f_ffff)),
            (b"\x80\0", LengthPrefix::Varint, Err(FrameError::InvalidVarint)),
        ] {
            let mut input = Input::new(bytes);
            assert_eq!(input.limit_frames(10).take_length_prefixed(framing), expected, "{bytes:?}");
            assert_eq!(input.peek(), bytes, "nothing is taken");
        }
        let mut largest = Input::new(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        let expected = Err(FrameError::TooLong { length: u64::MAX, max: usize::MAX });
        assert_eq!(largest.take_length_prefixed(LengthPrefix::Varint), expected);
    }

    #[test]
    fn a_prefix_that_cannot_be_completed_within_the_limit_is_not_waited_for() {
        let mut input = Input::new(&[0, 0]);
        let expected = Err(FrameError::TooLong { length: 0, max: 2 });
        assert_eq!(input.limit_frames(2).take_length_prefixed(LengthPrefix::U32), expected);
        let mut input = Input::new(&[0x81, 0x80, 1]);
        let expected = Err(FrameError::TooLong { length: 1, max: 2 });
        assert_eq!(input.limit_frames(2).take_length_prefixed(LengthPrefix::Varint), expected);
    }

    #[test]
    fn a_payload_whose_length_does_not_fit_is_refused_and_nothing_of_it_is_sent() {
        let payload = vec![0; 70_000];
        for (framing, longest) in
            [(LengthPrefix::U8, 255), (LengthPrefix::U16, 65_535), (LengthPrefix::U16Le, 65_535)]
        {
            let mut pieces = 0;
            let refused = framing.encode(&payload[..=longest], &mut |_| pieces += 1);
            let expected = FrameError::PayloadTooLong { length: longest + 1, max: longest };
            assert_eq!((refused, pieces), (Err(expected), 0), "{framing:?}");
            let frame = sent(framing, &payload[..longest]).unwrap();
            let mut input = Input::new(&frame);
            assert_eq!(input.take_frame(&framing), Ok(Some(&payload[..longest])));
        }
        assert!(sent(LengthPrefix::U32, &payload).is_ok());
        assert!(sent(LengthPrefix::U32Le, &payload).is_ok());
        assert!(sent(LengthPrefix::Varint, &payload).is_ok());
    }
}
