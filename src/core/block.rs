//! Buffers whose memory returns to the system when they are dropped.
//!
//! Bytes for slow peers are allocated in one order and freed in another. No common allocator returns such memory: of
//! 240 MiB that had waited for 6,000 peers, glibc kept all when the peers had gone, mimalloc 138 MiB and jemalloc 119
//! MiB. glibc returns its mapped blocks, but it stops mapping blocks of a size once one of them was freed. So here each
//! block from [`SMALLEST_MAPPED`] on is a mapping of its own, with any allocator.
//!
//! A system call for each block, and a page fault for each of its pages, would make slow peers expensive. So a few
//! blocks are kept for the next connection that needs one: see [`most_spare`].

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memmap2::MmapMut;

/// Smaller blocks come from the allocator. This is the most common size of a page.
pub(crate) const SMALLEST_MAPPED: usize = 4 * 1024;

/// Mapped blocks up to this size are kept for reuse.
const LARGEST_REUSED: usize = 64 * 1024;

/// How many sizes of blocks are reused: each power of two.
const SIZES: usize = (LARGEST_REUSED / SMALLEST_MAPPED).ilog2() as usize + 1;

/// The limit of mapped blocks. Further blocks come from the allocator: Linux allows 65,530 mappings, and refuses to
/// unmap a part of one if more would be left.
const MOST_MAPPED: usize = 32 * 1024;

/// How many free blocks of a size are kept while this many are in use.
///
/// A new page costs more than copying into it: a queue of 1 MiB that fills and drains takes 30 times as long with new
/// blocks. The blocks that are kept while none is in use are enough for queues of 4 MiB. They take 5 MiB over all
/// sizes.
fn most_spare(bytes: usize, used: usize) -> usize {
    let always = if bytes == LARGEST_REUSED { 64 } else { 16 };
    always + used / 2
}

/// A buffer of bytes that does not grow.
#[derive(Debug)]
pub(crate) enum Block {
    Allocated(Vec<u8>),
    Mapped { mapping: Mapping, len: usize },
}

impl Block {
    /// A block for at least this many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        match Mapping::new(bytes) {
            Some(mapping) => Self::Mapped { mapping, len: 0 },
            None => Self::Allocated(Vec::with_capacity(bytes)),
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        match self {
            Self::Allocated(bytes) => bytes.capacity(),
            Self::Mapped { mapping, .. } => mapping.bytes().len(),
        }
    }

    /// Appends as many bytes as fit, and returns the others.
    pub(crate) fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (fits, rest) = bytes.split_at(bytes.len().min(self.capacity() - self.len()));
        match self {
            Self::Allocated(all) => all.extend_from_slice(fits),
            Self::Mapped { mapping, len } => {
                mapping.bytes_mut()[*len..*len + fits.len()].copy_from_slice(fits);
                *len += fits.len();
            }
        }
        rest
    }

    /// Removes the first bytes.
    pub(crate) fn remove_first(&mut self, count: usize) {
        match self {
            Self::Allocated(bytes) => drop(bytes.drain(..count)),
            Self::Mapped { mapping, len } => {
                mapping.bytes_mut().copy_within(count..*len, 0);
                *len -= count;
            }
        }
    }
}

impl Default for Block {
    /// A block without room, which owns no memory.
    fn default() -> Self {
        Self::Allocated(Vec::new())
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Allocated(bytes) => bytes,
            Self::Mapped { mapping, len } => &mapping.bytes()[..*len],
        }
    }
}

/// Memory that is mapped on its own. It may contain bytes of an earlier use.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// `None` only while it is dropped.
    map: Option<MmapMut>,
}

impl Mapping {
    /// `None` if the block is too small, if there are too many mappings, or if the system refuses.
    fn new(bytes: usize) -> Option<Self> {
        if bytes < SMALLEST_MAPPED {
            return None;
        }
        let bytes = bytes.checked_next_power_of_two()?;
        let map = match pool().begin(bytes)? {
            Source::Spare(map) => map,
            Source::System => match MmapMut::map_anon(bytes) {
                Ok(map) => map,
                Err(_) => {
                    pool().end(bytes);
                    return None;
                }
            },
        };
        Some(Self { map: Some(map) })
    }

    fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.map.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let Some(map) = self.map.take() else { return };
        let unmapped = pool().put_back(map);
        drop(unmapped); // after the lock is released, as it takes system calls
    }
}

/// The mapped blocks of the process.
struct Pool {
    sizes: [OfSize; SIZES],
    /// In use or spare, of any size.
    mapped: usize,
}

/// The mapped blocks of one reusable size.
struct OfSize {
    used: usize,
    spare: Vec<MmapMut>,
}

enum Source {
    Spare(MmapMut),
    System,
}

/// One pool for all reactors: a block that one reactor returns can serve another. A connection without queued output
/// and unread input does not use it.
static POOL: Mutex<Pool> =
    Mutex::new(Pool { sizes: [const { OfSize { used: 0, spare: Vec::new() } }; SIZES], mapped: 0 });

fn pool() -> MutexGuard<'static, Pool> {
    // Nothing panics while the lock is held.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    fn of(&mut self, bytes: usize) -> Option<&mut OfSize> {
        let index = (bytes / SMALLEST_MAPPED).ilog2() as usize;
        self.sizes.get_mut(index)
    }

    /// Counts one more block as used. `None` if there are too many.
    fn begin(&mut self, bytes: usize) -> Option<Source> {
        if let Some(size) = self.of(bytes)
            && let Some(map) = size.spare.pop()
        {
            size.used += 1;
            return Some(Source::Spare(map));
        }
        if self.mapped >= MOST_MAPPED {
            return None;
        }
        self.mapped += 1;
        if let Some(size) = self.of(bytes) {
            size.used += 1;
        }
        Some(Source::System)
    }

    /// Counts one block less as used. It is not mapped any more.
    fn end(&mut self, bytes: usize) {
        self.mapped -= 1;
        if let Some(size) = self.of(bytes) {
            size.used -= 1;
        }
    }

    /// Counts one block less as used. Returns the blocks to unmap.
    fn put_back(&mut self, map: MmapMut) -> Vec<MmapMut> {
        let bytes = map.len();
        let unmapped = match self.of(bytes) {
            None => vec![map],
            Some(size) => {
                size.used -= 1;
                size.spare.push(map);
                let most = most_spare(bytes, size.used).min(size.spare.len());
                size.spare.split_off(most)
            }
        };
        self.mapped -= unmapped.len();
        unmapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_takes_as_many_bytes_as_fit() {
        for capacity in [10, SMALLEST_MAPPED, 5_000, LARGEST_REUSED, 100_000] {
            let mut block = Block::with_capacity(capacity);
            assert!(block.capacity() >= capacity);
            let bytes = vec![7; block.capacity() + 3];
            assert_eq!(block.fill(&bytes[..5]), b"");
            assert_eq!(block.fill(&bytes), &bytes[..8], "{capacity}");
            assert_eq!(block.len(), block.capacity());
            block.remove_first(4);
            assert_eq!(&*block, &bytes[..block.capacity() - 4]);
            assert_eq!(block.fill(b"abcdef"), b"ef");
            assert!(block.ends_with(b"abcd"), "{capacity}");
        }
    }

    #[test]
    fn bytes_of_an_earlier_use_are_not_shown() {
        drop(
            (0..100)
                .map(|_| {
                    let mut block = Block::with_capacity(SMALLEST_MAPPED);
                    block.fill(b"secret");
                    block
                })
                .collect::<Vec<_>>(),
        );
        let mut block = Block::with_capacity(SMALLEST_MAPPED);
        assert_eq!(&*block, b"");
        block.fill(b"x");
        assert_eq!(&*block, b"x");
    }

    /// A separate pool, because other tests use that of the process.
    fn new_pool() -> Pool {
        Pool { sizes: std::array::from_fn(|_| OfSize { used: 0, spare: Vec::new() }), mapped: 0 }
    }

    fn take(pool: &mut Pool, bytes: usize) -> Option<MmapMut> {
        Some(match pool.begin(bytes)? {
            Source::Spare(map) => map,
            Source::System => MmapMut::map_anon(bytes).unwrap(),
        })
    }

    #[test]
    fn blocks_that_come_and_go_are_reused_and_few_are_kept_when_all_have_gone() {
        let mut pool = new_pool();
        let mut used: Vec<_> = (0..1_000).map(|_| take(&mut pool, 8_192).unwrap()).collect();
        for _ in 0..10_000 {
            assert_eq!(pool.put_back(used.pop().unwrap()).len(), 0);
            used.push(take(&mut pool, 8_192).unwrap());
        }
        assert_eq!(pool.mapped, 1_000);
        for map in used {
            pool.put_back(map);
            let size = pool.of(8_192).unwrap();
            assert!(size.spare.len() <= most_spare(8_192, size.used));
        }
        assert_eq!(pool.mapped, most_spare(8_192, 0));
        let sizes = (0..SIZES).map(|index| SMALLEST_MAPPED << index);
        let spare: usize = sizes.map(|bytes| most_spare(bytes, 0) * bytes).sum();
        assert!(spare <= 5 << 20, "{spare} bytes over all sizes");
    }

    #[test]
    fn large_blocks_are_not_kept() {
        let mut pool = new_pool();
        let large = take(&mut pool, 2 * LARGEST_REUSED).unwrap();
        assert_eq!((pool.mapped, pool.put_back(large).len(), pool.mapped), (1, 1, 0));
    }

    #[test]
    fn no_more_blocks_are_mapped_than_the_system_can_bear() {
        let mut pool = new_pool();
        pool.mapped = MOST_MAPPED;
        assert!(pool.begin(8_192).is_none());
        pool.end(2 * LARGEST_REUSED);
        assert!(pool.begin(8_192).is_some() && pool.begin(8_192).is_none());
    }
}
