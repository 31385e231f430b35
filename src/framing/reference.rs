//! A reference decoder, as simple as possible: it takes one byte at a time into a buffer. Tests and the fuzzer compare
//! the framings with it.

#[cfg(fuzzing)]
use super::Line;
use super::{FrameError, LengthPrefix};
use crate::input::Input;

/// A framing that the reference decodes. The number is the width of the length prefix in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Line,
    BigEndian(usize),
    LittleEndian(usize),
    Varint,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Line,
        Self::BigEndian(1),
        Self::BigEndian(2),
        Self::BigEndian(4),
        Self::LittleEndian(2),
        Self::LittleEndian(4),
        Self::Varint,
    ];

    /// Decodes with the framing under test, as a handler does.
    #[cfg(test)]
    pub(crate) fn take<'a>(self, input: &mut Input<'a>) -> Result<Option<&'a [u8]>, FrameError> {
        match self.prefix() {
            Some(prefix) => input.take_length_prefixed(prefix),
            None => input.take_line(),
        }
    }

    /// As `take`, with a lower limit.
    #[cfg(fuzzing)]
    pub(crate) fn take_within<'a>(
        self,
        input: &mut Input<'a>,
        max: usize,
    ) -> Result<Option<&'a [u8]>, FrameError> {
        match self.prefix() {
            Some(prefix) => input.limit_frames(max).take_frame(&prefix),
            None => input.limit_frames(max).take_frame(&Line::CrLf),
        }
    }

    pub(crate) fn prefix(self) -> Option<LengthPrefix> {
        match self {
            Self::Line => None,
            Self::BigEndian(1) => Some(LengthPrefix::U8),
            Self::BigEndian(2) => Some(LengthPrefix::U16),
            Self::BigEndian(_) => Some(LengthPrefix::U32),
            Self::LittleEndian(2) => Some(LengthPrefix::U16Le),
            Self::LittleEndian(_) => Some(LengthPrefix::U32Le),
            Self::Varint => Some(LengthPrefix::Varint),
        }
    }
}

/// Decodes one frame after another.
#[derive(Debug)]
pub(crate) struct Reference {
    kind: Kind,
    max: usize,
    prefix: Vec<u8>,
    /// The length of the body, once the prefix is complete.
    length: Option<u64>,
    payload: Vec<u8>,
    is_complete: bool,
}

impl Reference {
    pub(crate) fn new(kind: Kind, max: usize) -> Self {
        let (prefix, payload) = (Vec::new(), Vec::new());
        Self { kind, max, prefix, length: None, payload, is_complete: false }
    }

    /// The payload of the first frame, and the length of the frame with its prefix or ending. `None` if the frame is
    /// incomplete.
    #[cfg(fuzzing)]
    pub(crate) fn first(
        kind: Kind,
        max: usize,
        bytes: &[u8],
    ) -> Result<Option<(Vec<u8>, usize)>, FrameError> {
        let mut reference = Self::new(kind, max);
        for (at, byte) in bytes.iter().enumerate() {
            if let Some(payload) = reference.push(*byte)? {
                return Ok(Some((payload.to_vec(), at + 1)));
            }
        }
        Ok(None)
    }

    /// Decodes one more byte. If this completes a frame, returns its payload.
    pub(crate) fn push(&mut self, byte: u8) -> Result<Option<&[u8]>, FrameError> {
        if std::mem::take(&mut self.is_complete) {
            (self.prefix, self.length) = (Vec::new(), None);
            self.payload.clear();
        }
        self.is_complete = match self.kind {
            Kind::Line => self.push_to_line(byte)?,
            _ => self.push_to_message(byte)?,
        };
        Ok(self.is_complete.then_some(&self.payload))
    }

    fn push_to_line(&mut self, byte: u8) -> Result<bool, FrameError> {
        self.payload.push(byte);
        let count = self.payload.len();
        if byte == b'\n' && count <= self.max {
            self.payload.pop();
            if self.payload.last() == Some(&b'\r') {
                self.payload.pop();
            }
            return Ok(true);
        }
        if count >= self.max {
            return Err(FrameError::LineTooLong { max: self.max });
        }
        Ok(false)
    }

    fn push_to_message(&mut self, byte: u8) -> Result<bool, FrameError> {
        let Some(length) = self.length else {
            self.prefix.push(byte);
            return self.look_at_prefix();
        };
        self.payload.push(byte);
        Ok(self.payload.len() as u64 == length)
    }

    fn look_at_prefix(&mut self) -> Result<bool, FrameError> {
        let (length, is_known) = match self.kind {
            Kind::Varint => read_varint(&self.prefix)?,
            Kind::LittleEndian(width) => {
                let number =
                    self.prefix.iter().rev().fold(0, |all, byte| all * 256 + u128::from(*byte));
                (number, self.prefix.len() == width)
            }
            Kind::BigEndian(width) => {
                let number = self.prefix.iter().fold(0, |all, byte| all * 256 + u128::from(*byte));
                (number, self.prefix.len() == width)
            }
            Kind::Line => unreachable!("a line has no prefix"),
        };
        let max = self.max;
        if is_known {
            let length = u64::try_from(length).map_err(|_| FrameError::InvalidVarint)?;
            if self.prefix.len() as u128 + u128::from(length) > max as u128 {
                return Err(FrameError::TooLong { length, max });
            }
            self.length = Some(length);
            return Ok(length == 0);
        }
        if self.prefix.len() >= max {
            let length = if self.kind == Kind::Varint { length as u64 } else { 0 };
            return Err(FrameError::TooLong { length, max });
        }
        Ok(false)
    }
}

/// The number so far, and whether it is complete.
fn read_varint(bytes: &[u8]) -> Result<(u128, bool), FrameError> {
    let digits = bytes.iter().rev().map(|byte| u128::from(byte % 128));
    let number = digits.fold(0, |all, digit| all * 128 + digit);
    let (last, others) = bytes.split_last().ok_or(FrameError::InvalidVarint)?;
    let is_complete = *last < 128;
    if (is_complete && *last == 0 && !others.is_empty()) || (!is_complete && bytes.len() == 10) {
        return Err(FrameError::InvalidVarint);
    }
    Ok((number, is_complete))
}
