//! Numbers that one thread writes and others read, without a lock.

use crate::sync::{AtomicU64, Ordering, fence};

/// A sequence lock (seqlock) over `N` numbers. One thread writes them with plain stores, and never waits. A reader gets
/// the numbers of one write, never a mixture of two.
///
/// The version is odd during a write, and grows with each write. A reader reads again if the version is odd, or if it
/// differs before and after the numbers are read.
#[derive(Debug)]
pub(crate) struct Seqlock<const N: usize> {
    version: AtomicU64,
    numbers: [AtomicU64; N],
}

impl<const N: usize> Seqlock<N> {
    pub(crate) fn new() -> Self {
        Self { version: AtomicU64::new(0), numbers: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Writes all numbers. Only one thread may write at a time.
    pub(crate) fn write(&self, numbers: [u64; N]) {
        self.write_from(0, numbers);
    }

    /// Writes the numbers from the index `first` on. The other numbers stay. Only one thread may write at a time.
    pub(crate) fn write_from<const M: usize>(&self, first: usize, numbers: [u64; M]) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release); // a reader that sees a new number also sees the odd version
        for (cell, number) in self.numbers[first..].iter().zip(numbers) {
            cell.store(number, Ordering::Relaxed);
        }
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// The numbers of one write. If a write is in progress, yields the thread until it ends.
    pub(crate) fn read(&self) -> [u64; N] {
        loop {
            if let Some(numbers) = self.try_read() {
                return numbers;
            }
            std::thread::yield_now(); // the writer was interrupted between two stores
        }
    }

    /// The numbers of one write. `None` if a write was in progress.
    pub(crate) fn try_read(&self) -> Option<[u64; N]> {
        let before = self.version.load(Ordering::Acquire);
        let numbers = std::array::from_fn(|index| self.numbers[index].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let after = self.version.load(Ordering::Relaxed);
        (before == after && before.is_multiple_of(2)).then_some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_never_sees_half_a_writing() {
        let seqlock = Seqlock::<8>::new();
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=100_000).for_each(|number| seqlock.write([number; 8])));
            let mut last = 0;
            while last < 100_000 {
                let numbers = seqlock.read();
                assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
                assert!(numbers[0] >= last);
                last = numbers[0];
            }
        });
    }
}
