//! The numbers of simulated reactors.

use std::cell::RefCell;

use crate::id::SIMULATED;

thread_local! {
    /// The ranges of numbers of the worlds on this thread, in order: the first number, and the one after the last.
    static TAKEN: RefCell<Vec<(u32, u32)>> = const { RefCell::new(Vec::new()) };
}

/// The numbers of the reactors of a world, until it is dropped.
///
/// Each world takes the lowest numbers that no other world on its thread has. So the ids in a world do not depend on
/// earlier worlds in the process, and a seed gives the same run each time.
#[derive(Debug)]
pub(super) struct WorldNumbers {
    pub(super) first: u32,
}

impl WorldNumbers {
    pub(super) fn take(reactors: usize) -> Self {
        let count = u32::try_from(reactors).expect("a world has few reactors");
        TAKEN.with_borrow_mut(|taken| {
            let mut first = SIMULATED;
            let mut place = 0;
            while let Some((start, end)) = taken.get(place)
                && start - first < count
            {
                first = *end;
                place += 1;
            }
            taken.insert(place, (first, first + count));
            Self { first }
        })
    }
}

impl Drop for WorldNumbers {
    fn drop(&mut self) {
        TAKEN.with_borrow_mut(|taken| taken.retain(|(first, _)| *first != self.first));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_world_has_the_lowest_numbers_that_are_free() {
        let first = WorldNumbers::take(2);
        let second = WorldNumbers::take(1);
        let third = WorldNumbers::take(3);
        let firsts = [&first, &second, &third].map(|numbers| numbers.first - SIMULATED);
        assert_eq!(firsts, [0, 2, 3]);
        drop(first);
        let too_large = WorldNumbers::take(3);
        let fits = WorldNumbers::take(2);
        assert_eq!((too_large.first - SIMULATED, fits.first - SIMULATED), (6, 0));
        drop((second, third, too_large, fits));
        assert_eq!(WorldNumbers::take(9).first, SIMULATED);
    }
}
