//! How long messages are.

use std::fmt;

use super::error::Error;

/// How long messages are: one size, or a range in which all sizes are equally likely.
///
/// The default is 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    smallest: usize,
    largest: usize,
}

impl Sizes {
    /// From `smallest` to `largest` bytes.
    ///
    /// # Errors
    /// [`Error::Plan`] if the smallest is 0 or more than the largest, or if the largest is 4 GiB or more.
    ///
    /// # Examples
    /// ```
    /// use readyloop_bench::Sizes;
    ///
    /// assert!(Sizes::new(64, 4096).is_ok());
    /// assert!(Sizes::new(4096, 64).is_err());
    /// ```
    pub fn new(smallest: usize, largest: usize) -> Result<Self, Error> {
        let problem = if smallest == 0 {
            "a message has at least one byte"
        } else if smallest > largest {
            "the range ends before it begins"
        } else if u32::try_from(largest).is_err() {
            "a message has less than 4 GiB"
        } else {
            return Ok(Self { smallest, largest });
        };
        Err(Error::Plan(problem.to_owned()))
    }

    /// One size alone.
    #[cfg(test)]
    pub(crate) fn of(size: usize) -> Self {
        Self { smallest: size, largest: size }
    }

    pub(crate) fn smallest(self) -> usize {
        self.smallest
    }

    pub(crate) fn largest(self) -> usize {
        self.largest
    }

    /// One of them, by chance: 32 random bits.
    pub(crate) fn pick(self, chance: u64) -> usize {
        let choices = (self.largest - self.smallest) as u64 + 1;
        self.smallest + (((chance & 0xffff_ffff) * choices) >> 32) as usize
    }
}

impl Default for Sizes {
    fn default() -> Self {
        Self { smallest: 64, largest: 64 }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.smallest == self.largest {
            write!(f, "{} bytes", self.smallest)
        } else {
            write!(f, "{} to {} bytes", self.smallest, self.largest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_holds_no_size_is_refused() {
        assert_eq!(Sizes::new(7, 7), Ok(Sizes::of(7)));
        for (smallest, largest) in [(0, 0), (0, 5), (9, 5), (1, 5 << 30)] {
            assert!(Sizes::new(smallest, largest).is_err(), "{smallest} to {largest}");
        }
    }

    #[test]
    fn picking_reaches_both_ends_and_nothing_beyond() {
        let sizes = Sizes::new(10, 19).unwrap();
        assert_eq!(sizes.pick(0), 10);
        assert_eq!(sizes.pick(u64::from(u32::MAX)), 19);
        assert_eq!(sizes.pick(u64::MAX), 19);
    }
}
