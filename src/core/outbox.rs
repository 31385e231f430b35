//! The bytes that the kernel has not taken yet.

use std::collections::VecDeque;

use crate::block::{Block, SMALLEST_MAPPED};

/// No chunk is larger than this, so that a long queue is given back piece by piece while it drains, and never
/// copied because it grows.
const LARGEST_CHUNK: usize = 64 * 1024;

/// Small sends to a blocked peer share chunks of at least this size.
const SMALLEST_CHUNK: usize = 1024;

/// A queue that is longer takes no memory from the allocator, which would not give it back.
const LARGEST_ALLOCATED: usize = 2 * SMALLEST_CHUNK;

/// A queue of bytes. It owns no memory while it is empty.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Block>,
    /// How much of the first chunk the kernel has taken.
    sent: usize,
    len: usize,
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        if let Some(last) = self.chunks.back_mut() {
            bytes = last.fill(bytes);
        }
        while !bytes.is_empty() {
            // A quarter of the queue at least: few chunks for many small sends, and little waste.
            let least = if self.len > LARGEST_ALLOCATED { SMALLEST_MAPPED } else { SMALLEST_CHUNK };
            let size = bytes.len().max(self.len / 4).clamp(least, LARGEST_CHUNK);
            let mut chunk = Block::with_capacity(size);
            bytes = chunk.fill(bytes);
            self.chunks.push_back(chunk);
        }
    }

    /// The queued bytes in order, as one slice a chunk.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = self.sent;
        self.chunks.iter().map(move |chunk| &chunk[std::mem::take(&mut skip)..])
    }

    /// Forgets the first `count` bytes: the kernel has them.
    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len, "more consumed than queued");
        self.len -= count;
        self.sent += count;
        while let Some(first) = self.chunks.front()
            && self.sent >= first.len()
        {
            self.sent -= first.len();
            self.chunks.pop_front();
        }
        if self.len == 0 {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contents(outbox: &Outbox) -> Vec<u8> {
        outbox.slices().flatten().copied().collect()
    }

    #[test]
    fn an_empty_outbox_owns_nothing() {
        let mut outbox = Outbox::default();
        outbox.push(b"");
        assert!(outbox.is_empty());
        outbox.push(b"hello");
        outbox.consume(5);
        assert_eq!(outbox.chunks.capacity(), 0, "the buffer is given back when it drains");
    }

    #[test]
    fn many_small_sends_share_chunks() {
        let mut outbox = Outbox::default();
        for _ in 0..100_000 {
            outbox.push(b"x");
        }
        assert!(outbox.slices().count() < 24, "{} chunks", outbox.slices().count());
    }

    #[test]
    fn a_long_queue_takes_little_memory_of_the_allocator_however_it_has_grown() {
        for size in [1, 100, 1_000, 3_000, 30_000] {
            let mut outbox = Outbox::default();
            for _ in 0..(100_000 / size) {
                outbox.push(&vec![7; size]);
            }
            let allocated =
                outbox.chunks.iter().filter(|chunk| matches!(chunk, Block::Allocated(_)));
            let allocated: usize = allocated.map(Block::capacity).sum();
            assert!(allocated <= LARGEST_ALLOCATED, "{allocated} bytes with sends of {size}");
        }
    }

    #[test]
    fn a_queue_that_never_empties_does_not_grow_in_memory() {
        let mut outbox = Outbox::default();
        outbox.push(&[7; 5_000]);
        for _ in 0..10_000 {
            outbox.push(&[7; 700]);
            outbox.consume(700);
            let capacity: usize = outbox.chunks.iter().map(Block::capacity).sum();
            assert!(capacity <= 5_000 + 3 * SMALLEST_MAPPED, "{capacity}");
        }
    }

    #[test]
    fn no_chunk_is_larger_than_the_largest() {
        let mut outbox = Outbox::default();
        for _ in 0..1_000 {
            outbox.push(&[7; 999]);
        }
        assert!(outbox.slices().all(|slice| slice.len() <= LARGEST_CHUNK));
        assert!(outbox.slices().count() < 40, "and they are filled");
    }

    #[test]
    fn a_long_queue_is_given_back_while_it_drains() {
        let mut outbox = Outbox::default();
        outbox.push(&vec![7; 10 * LARGEST_CHUNK]);
        assert_eq!(outbox.slices().count(), 10);
        outbox.consume(9 * LARGEST_CHUNK + 1);
        assert_eq!(outbox.slices().count(), 1);
        assert_eq!(outbox.len(), LARGEST_CHUNK - 1);
    }

    proptest! {
        #[test]
        fn keeps_the_order_of_a_plain_queue(
            steps in prop::collection::vec((0..200_000usize, 0..100u8, any::<u8>()), 1..40)
        ) {
            let mut outbox = Outbox::default();
            let mut model: Vec<u8> = Vec::new();
            for (size, drained_percent, fill) in steps {
                outbox.push(&vec![fill; size]);
                model.extend(std::iter::repeat_n(fill, size));
                let count = model.len() * usize::from(drained_percent) / 99;
                outbox.consume(count);
                model.drain(..count);
                prop_assert_eq!(outbox.len(), model.len());
                prop_assert_eq!(outbox.is_empty(), model.is_empty());
            }
            prop_assert!(contents(&outbox) == model);
        }
    }
}
