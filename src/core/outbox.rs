//! The send queue of a connection: the bytes that the kernel has not taken yet.

use std::collections::VecDeque;
use std::ops::Deref;

use bytes::Bytes;

use super::block::{Block, SMALLEST_MAPPED};
use super::shared_bodies::{REFERENCE, SharedBodies};

/// The largest chunk. Chunks are limited so that a long queue is freed chunk by chunk while it drains, and is never
/// copied in order to grow.
const LARGEST_CHUNK: usize = 64 * 1024;

/// Small sends to a blocked peer share chunks of at least this size.
const SMALLEST_CHUNK: usize = 1024;

/// The size of the first block behind a shared body. Usually only a short header stands between two shared bodies. A
/// block of [`SMALLEST_CHUNK`] for each header would take ten times the memory that the budget counts for the header
/// and the reference.
const BEHIND_SHARED: usize = 32;

/// While the queue is not empty, the list of chunks keeps room for at least this many.
const KEPT_ROOM: usize = 16;

/// If a queue holds more copied bytes than this, its next block is mapped, because an allocator may not return memory
/// to the system: see [`block`](super::block).
const LARGEST_ALLOCATED: usize = 2 * SMALLEST_CHUNK;

/// A queue of bytes. It owns no memory while it is empty.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Chunk>,
    /// How much of the first chunk the kernel has taken.
    sent: usize,
    len: usize,
    /// How many of the queued bytes are in blocks of this queue.
    copied: usize,
}

#[derive(Debug)]
enum Chunk {
    Copied(Block),
    /// Other queues, and the program, may hold the same bytes.
    Shared(Bytes),
}

// A reference counts at least the memory that it takes of the queue: two chunks, because `VecDeque` doubles its
// capacity when it grows.
const _: () = assert!(2 * size_of::<Chunk>() <= REFERENCE);

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Copied(block) => block,
            Self::Shared(body) => body,
        }
    }
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes are in blocks of this queue. [`SharedBodies`] counts the others.
    pub(crate) fn copied(&self) -> usize {
        self.copied
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        self.copied += bytes.len();
        if let Some(Chunk::Copied(last)) = self.chunks.back_mut() {
            bytes = last.fill(bytes);
        }
        while !bytes.is_empty() {
            let size = bytes.len().max(self.next_block()).min(LARGEST_CHUNK);
            let mut block = Block::with_capacity(size);
            bytes = block.fill(bytes);
            self.chunks.push_back(Chunk::Copied(block));
        }
    }

    /// The smallest size of the next block: a quarter of the copied bytes. So many small sends take few chunks, and
    /// little memory is wasted. Behind a shared body the first block is small, and each further one is up to four times
    /// as large.
    fn next_block(&self) -> usize {
        let least = if self.copied > LARGEST_ALLOCATED { SMALLEST_MAPPED } else { SMALLEST_CHUNK };
        let most = match self.chunks.back() {
            Some(Chunk::Shared(_)) => BEHIND_SHARED,
            Some(Chunk::Copied(last)) => 4 * last.capacity(),
            None => LARGEST_CHUNK,
        };
        (self.copied / 4).clamp(least, LARGEST_CHUNK).min(most)
    }

    /// Queues a body without copying it. The kernel has already taken its first `sent` bytes.
    ///
    /// # Panics
    /// If no byte of the body is left, or if `sent` is not 0 although other bytes are queued.
    pub(crate) fn push_shared(&mut self, body: Bytes, sent: usize, bodies: &mut SharedBodies) {
        assert!(sent < body.len(), "nothing of the body is left");
        if sent > 0 {
            assert!(self.chunks.is_empty(), "the kernel takes bytes in their order");
            self.sent = sent;
        }
        self.len += body.len() - sent;
        bodies.hold(&body);
        self.chunks.push_back(Chunk::Shared(body));
    }

    /// The queued bytes in order, as one slice a chunk.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = self.sent;
        self.chunks.iter().map(move |chunk| &chunk[std::mem::take(&mut skip)..])
    }

    /// Removes the first `count` bytes: the kernel has taken them.
    pub(crate) fn consume(&mut self, count: usize, bodies: &mut SharedBodies) {
        debug_assert!(count <= self.len, "more consumed than queued");
        self.len -= count;
        let mut left = count;
        while let Some(first) = self.chunks.front()
            && left > 0
        {
            let taken = left.min(first.len() - self.sent);
            if matches!(first, Chunk::Copied(_)) {
                self.copied -= taken;
            }
            left -= taken;
            self.sent += taken;
            if self.sent == first.len() {
                self.sent = 0;
                if let Some(Chunk::Shared(body)) = self.chunks.pop_front() {
                    bodies.release(body);
                }
            }
        }
        if self.len == 0 {
            *self = Self::default();
        } else if self.chunks.capacity() > KEPT_ROOM.max(4 * self.chunks.len()) {
            // Otherwise a queue that once held thousands of references would keep room for them.
            self.chunks.shrink_to(2 * self.chunks.len());
        }
    }

    /// Discards all bytes: the connection has ended.
    pub(crate) fn clear(&mut self, bodies: &mut SharedBodies) {
        self.consume(self.len, bodies);
    }

    /// How many bytes of the memory budget are freed if this queue is cleared.
    pub(crate) fn gives_back(&self, bodies: &SharedBodies) -> usize {
        let shared = self.chunks.iter().map(|chunk| match chunk {
            Chunk::Copied(_) => 0,
            Chunk::Shared(body) => bodies.gives_back(body),
        });
        self.copied + shared.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contents(outbox: &Outbox) -> Vec<u8> {
        outbox.slices().flatten().copied().collect()
    }

    fn blocks(outbox: &Outbox) -> impl Iterator<Item = &Block> {
        outbox.chunks.iter().filter_map(|chunk| match chunk {
            Chunk::Copied(block) => Some(block),
            Chunk::Shared(_) => None,
        })
    }

    #[test]
    fn an_empty_outbox_owns_nothing() {
        let (mut outbox, mut bodies) = (Outbox::default(), SharedBodies::default());
        outbox.push(b"");
        assert!(outbox.is_empty());
        outbox.push(b"hello");
        outbox.consume(5, &mut bodies);
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
            let allocated = blocks(&outbox).filter(|block| matches!(block, Block::Allocated(_)));
            let allocated: usize = allocated.map(Block::capacity).sum();
            assert!(allocated <= LARGEST_ALLOCATED, "{allocated} bytes with sends of {size}");
        }
    }

    #[test]
    fn a_queue_that_never_empties_does_not_grow_in_memory() {
        let (mut outbox, mut bodies) = (Outbox::default(), SharedBodies::default());
        outbox.push(&[7; 5_000]);
        for _ in 0..10_000 {
            outbox.push(&[7; 700]);
            outbox.consume(700, &mut bodies);
            let capacity: usize = blocks(&outbox).map(Block::capacity).sum();
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
        let (mut outbox, mut bodies) = (Outbox::default(), SharedBodies::default());
        outbox.push(&vec![7; 10 * LARGEST_CHUNK]);
        assert_eq!(outbox.slices().count(), 10);
        outbox.consume(9 * LARGEST_CHUNK + 1, &mut bodies);
        assert_eq!(outbox.slices().count(), 1);
        assert_eq!(outbox.len(), LARGEST_CHUNK - 1);
    }

    #[test]
    fn a_shared_body_is_queued_without_a_copy_and_released_when_its_last_byte_is_taken() {
        let (mut outbox, mut bodies) = (Outbox::default(), SharedBodies::default());
        let body = Bytes::from(vec![7; 10_000]);
        outbox.push_shared(body.clone(), 4_000, &mut bodies);
        outbox.push(b"tail");
        assert_eq!(outbox.slices().next().unwrap().as_ptr(), body[4_000..].as_ptr());
        assert_eq!((outbox.len(), outbox.copied(), bodies.held()), (6_004, 4, 10_000 + REFERENCE));
        outbox.consume(5_999, &mut bodies);
        assert_eq!((outbox.len(), bodies.held()), (5, 10_000 + REFERENCE));
        assert_eq!(outbox.gives_back(&bodies), 4 + 10_000 + REFERENCE);
        outbox.consume(1, &mut bodies);
        assert_eq!((outbox.len(), outbox.copied(), bodies.held()), (4, 4, 0));
        assert!(body.is_unique(), "the queue holds the body no more");
    }

    #[test]
    fn a_body_that_others_wait_for_gives_nothing_but_its_reference_back() {
        let (mut one, mut other) = (Outbox::default(), Outbox::default());
        let mut bodies = SharedBodies::default();
        let body = Bytes::from(vec![7; 10_000]);
        one.push_shared(body.clone(), 0, &mut bodies);
        other.push_shared(body, 9_999, &mut bodies);
        assert_eq!((one.gives_back(&bodies), bodies.held()), (REFERENCE, 10_000 + 2 * REFERENCE));
        one.clear(&mut bodies);
        assert_eq!((one.len(), one.chunks.capacity()), (0, 0));
        assert_eq!(bodies.held(), other.gives_back(&bodies));
    }

    #[test]
    fn headers_between_shared_bodies_take_little_more_memory_than_is_counted() {
        for header in [1, 8, 33, 200, 1_000] {
            let (mut outbox, mut bodies) = (Outbox::default(), SharedBodies::default());
            let body = Bytes::from(vec![7; 4_096]);
            for _ in 0..1_000 {
                outbox.push(&vec![7; header]);
                outbox.push_shared(body.clone(), 0, &mut bodies);
            }
            let blocks: usize = blocks(&outbox).map(Block::capacity).sum();
            let taken = blocks + outbox.chunks.capacity() * size_of::<Chunk>();
            let counted = outbox.copied() + bodies.held();
            assert!(taken <= 2 * counted, "{taken} bytes for {counted} with headers of {header}");
        }
    }

    #[test]
    fn many_small_sends_behind_a_shared_body_share_chunks() {
        let (mut outbox, mut bodies) = (Outbox::default(), SharedBodies::default());
        outbox.push_shared(Bytes::from(vec![7; 4_096]), 0, &mut bodies);
        for _ in 0..100_000 {
            outbox.push(b"x");
        }
        assert!(outbox.slices().count() < 28, "{} chunks", outbox.slices().count());
    }

    #[test]
    fn a_queue_that_has_held_thousands_of_references_keeps_no_room_for_them() {
        let (mut outbox, mut bodies) = (Outbox::default(), SharedBodies::default());
        let body = Bytes::from(vec![7; 4_096]);
        for _ in 0..4_000 {
            outbox.push_shared(body.clone(), 0, &mut bodies);
        }
        for left in (1..4_000).rev() {
            outbox.consume(4_096, &mut bodies);
            assert!(outbox.chunks.capacity() <= KEPT_ROOM.max(4 * left), "with {left} left");
        }
        assert_eq!((outbox.len(), bodies.held()), (4_096, 4_096 + REFERENCE));
    }

    proptest! {
        #[test]
        fn keeps_the_order_of_a_plain_queue(
            steps in prop::collection::vec((1..200_000usize, 0..100u8, any::<u8>()), 1..40)
        ) {
            let (mut outbox, mut bodies) = (Outbox::default(), SharedBodies::default());
            let mut model: Vec<u8> = Vec::new();
            for (size, drained_percent, fill) in steps {
                if fill % 3 == 0 {
                    let sent = if outbox.is_empty() { size / 2 } else { 0 };
                    outbox.push_shared(vec![fill; size + sent].into(), sent, &mut bodies);
                } else {
                    outbox.push(&vec![fill; size]);
                }
                model.extend(std::iter::repeat_n(fill, size));
                let count = model.len() * usize::from(drained_percent) / 99;
                outbox.consume(count, &mut bodies);
                model.drain(..count);
                prop_assert_eq!(outbox.len(), model.len());
                prop_assert_eq!(outbox.is_empty(), model.is_empty());
            }
            prop_assert!(contents(&outbox) == model);
            prop_assert_eq!(outbox.gives_back(&bodies), outbox.copied() + bodies.held());
            outbox.clear(&mut bodies);
            prop_assert_eq!((outbox.len(), outbox.copied(), bodies.held()), (0, 0, 0));
        }
    }
}
