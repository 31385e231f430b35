//! Unread input.

use super::block::Block;
use super::search::Search;

/// Input that the handler has left for a later call. Without input it owns no memory.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    block: Block,
    /// The position of the first unread byte.
    start: usize,
    search: Search,
}

impl Unread {
    pub(crate) fn len(&self) -> usize {
        self.block.len() - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.block[self.start..]
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let rest = self.block.fill(bytes);
        if !rest.is_empty() {
            let needed = self.len() + rest.len();
            self.move_to(needed.max(self.len() * 2));
            self.block.fill(rest);
        }
    }

    /// Discards the first `count` bytes: the handler has taken them.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.is_empty() {
            *self = Self::default();
        } else if self.start > self.block.len() / 2 {
            // Moves fewer bytes than were taken since the last move, so the total stays linear.
            if self.len() < self.block.capacity() / 4 {
                self.move_to(self.len() * 2);
            } else {
                self.block.remove_first(self.start);
                self.start = 0;
            }
        }
    }

    /// Moves the unread bytes to a block of this capacity.
    fn move_to(&mut self, capacity: usize) {
        let mut block = Block::with_capacity(capacity);
        block.fill(self.bytes());
        (self.block, self.start) = (block, 0);
    }

    pub(crate) fn take_search(&mut self) -> Search {
        std::mem::take(&mut self.search)
    }

    /// Keeps the state of a search for the unread bytes.
    pub(crate) fn put_search(&mut self, search: Search) {
        if !self.is_empty() {
            self.search = search;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::block::SMALLEST_MAPPED;
    use proptest::prelude::*;

    #[test]
    fn kept_input_is_given_back_when_all_of_it_is_taken() {
        let mut unread = Unread::default();
        unread.append(b"half a mess");
        unread.append(b"age");
        assert_eq!(unread.bytes(), b"half a message");
        unread.consume(14);
        assert!(unread.is_empty());
        assert_eq!(unread.block.capacity(), 0);
    }

    #[test]
    fn bytes_are_moved_only_when_more_have_been_taken_than_are_left() {
        let mut unread = Unread::default();
        unread.append(&[7; 1_000]);
        for (taken, start) in [(1, 1), (499, 500), (1, 0), (249, 249), (1, 0)] {
            unread.consume(taken);
            assert_eq!(unread.start, start, "after {taken} more");
        }
        assert_eq!(unread.len(), 249);
    }

    #[test]
    fn a_buffer_that_is_much_too_large_is_given_back() {
        let mut unread = Unread::default();
        let capacity = |unread: &Unread| unread.block.capacity();
        unread.append(&[7; 100_000]);
        let before = capacity(&unread);
        unread.consume(60_000);
        assert_eq!(capacity(&unread), before, "that is not much too large");
        unread.consume(30_000);
        assert!((10_000..before / 2).contains(&capacity(&unread)), "{}", capacity(&unread));
        assert_eq!(unread.bytes(), &[7; 10_000]);
    }

    #[test]
    fn long_input_takes_no_memory_of_the_allocator() {
        let mut unread = Unread::default();
        for len in 1..100 {
            unread.append(&[7; 500]);
            let is_mapped = matches!(unread.block, Block::Mapped { .. });
            assert!(is_mapped || len * 500 < SMALLEST_MAPPED, "{len}");
        }
    }

    #[test]
    fn the_state_of_a_search_is_kept() {
        let mut unread = Unread::default();
        unread.append(b"no line yet");
        let mut search = Search::default();
        assert_eq!(search.find(unread.bytes(), b"\n"), None);
        let before = format!("{search:?}");
        unread.put_search(search);
        assert_eq!(format!("{:?}", unread.take_search()), before);
    }

    proptest! {
        #[test]
        fn holds_the_appended_bytes_less_the_taken_ones(
            steps in prop::collection::vec((0..300usize, 0..100u8, any::<u8>()), 1..60)
        ) {
            let mut unread = Unread::default();
            let mut model: Vec<u8> = Vec::new();
            for (size, taken_percent, fill) in steps {
                unread.append(&vec![fill; size]);
                model.extend(std::iter::repeat_n(fill, size));
                let count = model.len() * usize::from(taken_percent) / 99;
                unread.consume(count);
                model.drain(..count);
                prop_assert_eq!(unread.bytes(), &model[..]);
                prop_assert_eq!(unread.is_empty(), model.is_empty());
            }
        }
    }
}
