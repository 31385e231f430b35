//! Shared bodies that are counted while they are in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use readyloop::Bytes;

/// Makes bodies, and counts those that are in memory. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bodies(Arc<AtomicUsize>);

impl Bodies {
    pub(crate) fn make(&self, bytes: Vec<u8>) -> Bytes {
        self.0.fetch_add(1, Ordering::SeqCst);
        Bytes::from_owner(Owner { bytes, bodies: self.clone() })
    }

    pub(crate) fn in_memory(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

struct Owner {
    bytes: Vec<u8>,
    bodies: Bodies,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.bodies.0.fetch_sub(1, Ordering::SeqCst);
    }
}
