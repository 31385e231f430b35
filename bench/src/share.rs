//! Which connections belong to which thread.

use std::ops::Range;

/// One of several equal shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) index: u32,
    pub(super) of: u32,
}

impl Share {
    /// How many of `total` connections are in this share. No two shares differ by more than one.
    pub(super) fn part(self, total: u32) -> u32 {
        total / self.of + u32::from(self.index < total % self.of)
    }

    /// The number, among all connections, of connection `mine` of this share. A share has every `of`-th connection. So
    /// the active connections, which come first, are also shared out evenly.
    pub(super) fn number(self, mine: u32) -> u32 {
        mine * self.of + self.index
    }

    /// The numbers of all connections of this share.
    pub(super) fn numbers(self, total: u32) -> impl Iterator<Item = u32> {
        let mine: Range<u32> = 0..self.part(total);
        mine.map(move |mine| self.number(mine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_cover_everything_once() {
        for (total, of) in [(0, 1), (1, 1), (1, 4), (7, 3), (100, 7), (8, 8)] {
            let shares = || (0..of).map(|index| Share { index, of });
            let mut all: Vec<_> = shares().flat_map(|share| share.numbers(total)).collect();
            all.sort_unstable();
            assert_eq!(all, (0..total).collect::<Vec<_>>());
            let parts: Vec<_> = shares().map(|share| share.part(total)).collect();
            assert!(parts.iter().max().unwrap() - parts.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn the_active_ones_are_dealt_out_evenly_too() {
        let share = Share { index: 1, of: 2 };
        assert_eq!(share.numbers(5).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(share.numbers(10).filter(|number| *number < 5).count(), 2);
    }
}
