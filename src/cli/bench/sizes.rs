//! How long messages are.

use std::fmt;
use std::str::FromStr;

use crate::cli::args::Size;

/// One size, or a range in which all are equally likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    smallest: Size,
    largest: Size,
}

impl Sizes {
    pub(super) fn smallest(self) -> usize {
        self.smallest.0
    }

    pub(super) fn largest(self) -> usize {
        self.largest.0
    }

    /// One of them, by chance: 32 random bits.
    pub(super) fn pick(self, chance: u64) -> usize {
        let (smallest, largest) = (self.smallest.0, self.largest.0);
        let choices = (largest - smallest) as u64 + 1;
        smallest + (((chance & 0xffff_ffff) * choices) >> 32) as usize
    }
}

impl FromStr for Sizes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (smallest, largest) = text.split_once('-').unwrap_or((text, text));
        let (smallest, largest): (Size, Size) = match (smallest.parse(), largest.parse()) {
            (Ok(smallest), Ok(largest)) => (smallest, largest),
            _ => return Err("not a size or a range of sizes, such as 64, 4KiB or 64-4096"),
        };
        if smallest > largest {
            return Err("the range ends before it begins");
        }
        if u32::try_from(largest.0).is_err() {
            return Err("a message has less than 4 GiB");
        }
        Ok(Self { smallest, largest })
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.smallest == self.largest {
            write!(f, "{} bytes", self.smallest.0)
        } else {
            write!(f, "{} to {} bytes", self.smallest.0, self.largest.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str) -> (usize, usize) {
        let sizes: Sizes = text.parse().unwrap();
        (sizes.smallest(), sizes.largest())
    }

    #[test]
    fn one_size_or_a_range_with_units_is_taken_and_nothing_else() {
        assert_eq!(ends("64"), (64, 64));
        assert_eq!(ends("64-4096"), (64, 4_096));
        assert_eq!(ends("1KiB-1MiB"), (1_024, 1_048_576));
        assert_eq!(ends("7-7"), (7, 7));
        for bad in ["", "0", "-", "64-", "-64", "0-5", "9-5", "1-2-3", "some", "5GiB"] {
            assert!(bad.parse::<Sizes>().is_err(), "{bad}");
        }
    }

    #[test]
    fn picking_reaches_both_ends_and_nothing_beyond() {
        let sizes: Sizes = "10-19".parse().unwrap();
        assert_eq!(sizes.pick(0), 10);
        assert_eq!(sizes.pick(u64::from(u32::MAX)), 19);
        assert_eq!(sizes.pick(u64::MAX), 19);
    }
}
