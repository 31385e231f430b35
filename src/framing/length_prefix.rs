//! Messages with their length in front.

use super::error::FrameError;
use super::framer::Framer;
use super::varint::{self, Number};
use crate::input::Input;

/// The framing of messages that follow their length.
///
/// The length counts the bytes of the body, without the prefix. It is in network byte order, the most significant
/// byte first (big endian), unless [`little_endian`](Self::little_endian) says otherwise.
///
/// # Examples
/// ```
/// use readyloop::{Conn, Input, LengthPrefix, Result};
///
/// const REQUEST: LengthPrefix = LengthPrefix::U32.max_len(4096);
///
/// fn on_data(conn: &mut Conn, input: &mut Input) -> Result {
///     if let Some(request) = input.take_length_prefixed(REQUEST)? {
///         conn.send_frame(&LengthPrefix::VARINT, request)?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthPrefix {
    field: Field,
    max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    BigEndian { width: usize },
    LittleEndian { width: usize },
    Varint,
}

impl LengthPrefix {
    /// A length of one byte: bodies of up to 255 bytes.
    pub const U8: Self = Self::big_endian(1);

    /// A length of two bytes: bodies of up to 65,535 bytes.
    pub const U16: Self = Self::big_endian(2);

    /// A length of four bytes.
    pub const U32: Self = Self::big_endian(4);

    /// A length of eight bytes.
    pub const U64: Self = Self::big_endian(8);

    /// A varint of [Protocol Buffers](https://protobuf.dev/programming-guides/encoding/#varints) (unsigned LEB128):
    /// 1 to 10 bytes, in the shortest encoding.
    pub const VARINT: Self = Self { field: Field::Varint, max: usize::MAX };

    const fn big_endian(width: usize) -> Self {
        Self { field: Field::BigEndian { width }, max: usize::MAX }
    }

    /// Has the length with its least significant byte first. A varint always has.
    #[must_use]
    pub const fn little_endian(mut self) -> Self {
        if let Field::BigEndian { width } = self.field {
            self.field = Field::LittleEndian { width };
        }
        self
    }

    /// Bounds a frame to this many bytes, its prefix included, in both directions. Received frames are bounded by
    /// [`max_input`](crate::Config::max_input) as well.
    #[must_use]
    pub const fn max_len(mut self, bytes: usize) -> Self {
        self.max = bytes;
        self
    }

    fn read(self, bytes: &[u8]) -> Number {
        let (width, is_little) = match self.field {
            Field::BigEndian { width } => (width, false),
            Field::LittleEndian { width } => (width, true),
            Field::Varint => return varint::read(bytes),
        };
        let Some(field) = bytes.get(..width) else { return Number::Incomplete { so_far: 0 } };
        let append = |value, byte: &u8| value << 8 | u64::from(*byte);
        let value = if is_little {
            field.iter().rev().fold(0, append)
        } else {
            field.iter().fold(0, append)
        };
        Number::Complete { value, width }
    }

    /// The prefix of a body: the first so many of these bytes.
    fn write(self, length: u64) -> ([u8; varint::LONGEST], usize) {
        let mut bytes = [0; varint::LONGEST];
        match self.field {
            Field::BigEndian { width } => {
                bytes[..8].copy_from_slice(&(length << (64 - 8 * width)).to_be_bytes());
                (bytes, width)
            }
            Field::LittleEndian { width } => {
                bytes[..8].copy_from_slice(&length.to_le_bytes());
                (bytes, width)
            }
            Field::Varint => varint::write(length),
        }
    }

    /// The longest body whose length fits into the prefix, and which is within the bound together with it.
    fn longest_body(self) -> u64 {
        let max = self.max as u64;
        let fits = |width, bits| max.saturating_sub(width).min(u64::MAX >> (64 - bits));
        match self.field {
            Field::BigEndian { width } | Field::LittleEndian { width } => {
                fits(width as u64, 8 * width as u64)
            }
            Field::Varint => {
                let widths = 1..=varint::LONGEST as u64;
                widths.map(|width| fits(width, (7 * width).min(64))).max().unwrap_or(0)
            }
        }
    }
}

impl Framer for LengthPrefix {
    type Error = FrameError;

    fn decode<'a>(&self, input: &mut Input<'a>) -> Result<Option<&'a [u8]>, FrameError> {
        let max = self.max.min(input.max_input());
        // A prefix must be within the bound, too. So what is behind the bound is not looked at, and the outcome does
        // not depend on how many bytes have come at once.
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
    /// Takes the next message that has its length in front, and returns it without the length. Takes nothing if it
    /// is not complete yet.
    ///
    /// A message has at most [`max_input`](crate::Config::max_input) bytes together with its prefix. For a bound of
    /// the protocol's own see [`LengthPrefix::max_len`].
    ///
    /// # Errors
    /// [`FrameError::TooLong`] if the length is above the bound, as soon as the prefix is there: the body is neither
    /// waited for nor kept. [`FrameError::InvalidVarint`] if it is not a number. Nothing is taken.
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

    const U24: LengthPrefix = LengthPrefix::big_endian(3);

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
            (LengthPrefix::U16.little_endian(), &[2, 1]),
            (U24, &[0, 1, 2]),
            (LengthPrefix::U32, &[0, 0, 1, 2]),
            (LengthPrefix::U32.little_endian(), &[2, 1, 0, 0]),
            (LengthPrefix::U64, &[0, 0, 0, 0, 0, 0, 1, 2]),
            (LengthPrefix::U64.little_endian(), &[2, 1, 0, 0, 0, 0, 0, 0]),
            (LengthPrefix::VARINT, &[0x82, 2]),
            (LengthPrefix::VARINT.little_endian(), &[0x82, 2]),
        ] {
            let frame = sent(framing, &payload).unwrap();
            assert_eq!(frame[..prefix.len()], *prefix, "{framing:?}");
            let mut input = Input::new(&frame);
            assert_eq!(input.take_length_prefixed(framing), Ok(Some(&payload[..])), "{framing:?}");
            assert!(input.is_empty());
        }
        assert_eq!(sent(LengthPrefix::U8, b"abc").unwrap(), b"\x03abc");
        assert_eq!(sent(LengthPrefix::U8.little_endian(), b"").unwrap(), b"\0");
    }

    #[test]
    fn a_length_above_the_bound_is_an_error_with_the_last_byte_of_the_prefix() {
        let too_long = |length, max| Err(FrameError::TooLong { length, max });
        for (bytes, framing, expected) in [
            (&b"\x09"[..], LengthPrefix::U8.max_len(10), Ok(None)),
            (b"\x0a", LengthPrefix::U8.max_len(10), too_long(10, 10)),
            (b"\xff\xff\xff", LengthPrefix::U32.max_len(10), Ok(None)),
            (&[0xff; 4], LengthPrefix::U32.max_len(10), too_long(u64::from(u32::MAX), 10)),
            (&[0xff; 8], LengthPrefix::U64, too_long(u64::MAX, usize::MAX)),
            (&[0xff; 9], LengthPrefix::VARINT.max_len(10), Ok(None)),
            (&[0xff; 10], LengthPrefix::VARINT.max_len(10), Err(FrameError::InvalidVarint)),
            (b"\xff\xff\x7f", LengthPrefix::VARINT.max_len(10), too_long(0x1f_ffff, 10)),
            (b"\x80\0", LengthPrefix::VARINT, Err(FrameError::InvalidVarint)),
        ] {
            let mut input = Input::new(bytes);
            assert_eq!(input.take_length_prefixed(framing), expected, "{bytes:?}");
            assert_eq!(input.peek(), bytes, "nothing is taken");
        }
    }

    #[test]
    fn a_prefix_that_cannot_be_completed_within_the_bound_is_not_waited_for() {
        let mut input = Input::new(&[0, 0]);
        let expected = Err(FrameError::TooLong { length: 0, max: 2 });
        assert_eq!(input.take_length_prefixed(LengthPrefix::U32.max_len(2)), expected);
        let mut input = Input::new(&[0x81, 0x80, 1]);
        let expected = Err(FrameError::TooLong { length: 1, max: 2 });
        assert_eq!(input.take_length_prefixed(LengthPrefix::VARINT.max_len(2)), expected);
    }

    #[test]
    fn a_payload_whose_length_does_not_fit_is_refused_and_nothing_of_it_is_sent() {
        let payload = vec![0; 70_000];
        for (framing, longest) in [
            (LengthPrefix::U8, 255),
            (LengthPrefix::U16, 65_535),
            (LengthPrefix::U16.little_endian().max_len(1_000), 998),
            (LengthPrefix::U32.max_len(1_000), 996),
            (LengthPrefix::VARINT.max_len(128), 127),
            (LengthPrefix::VARINT.max_len(129), 127),
            (LengthPrefix::VARINT.max_len(130), 128),
        ] {
            let mut pieces = 0;
            let refused = framing.encode(&payload[..=longest], &mut |_| pieces += 1);
            let expected = FrameError::PayloadTooLong { length: longest + 1, max: longest };
            assert_eq!((refused, pieces), (Err(expected), 0), "{framing:?}");
            let frame = sent(framing, &payload[..longest]).unwrap();
            let mut input = Input::new(&frame);
            assert_eq!(input.take_frame(&framing), Ok(Some(&payload[..longest])));
        }
        assert!(sent(LengthPrefix::U32, &payload).is_ok());
        assert!(sent(LengthPrefix::U64, &payload).is_ok());
        assert!(sent(LengthPrefix::VARINT, &payload).is_ok());
    }
}
