//! Counts the bodies that the queues of a reactor share, each body once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;

use crate::contain::contain;

/// How many bytes each reference to a shared body counts: the memory of its place in a queue. Otherwise the memory
/// budget would miss the memory of many references to a few bodies.
pub(crate) const REFERENCE: usize = 96;

/// The address and the length of a body, which identify it. This is exact: while a queue holds a body, its memory is
/// not freed, so no other body has the same address.
type Place = (usize, usize);

/// The shared bodies in the queues of one reactor.
#[derive(Debug, Default)]
pub(crate) struct SharedBodies {
    /// How many references the queues hold to each body.
    references: HashMap<Place, usize>,
    /// How many bytes the bodies and the references count together.
    held: usize,
    /// `held` as of the last [`recount`](Self::recount).
    counted: usize,
}

impl SharedBodies {
    /// Counts one more reference to this body.
    pub(crate) fn hold(&mut self, body: &Bytes) {
        let references = self.references.entry(place_of(body)).or_default();
        *references += 1;
        self.held += REFERENCE + if *references == 1 { body.len() } else { 0 };
    }

    /// Drops one reference to this body, and counts one less.
    pub(crate) fn release(&mut self, body: Bytes) {
        let Entry::Occupied(mut references) = self.references.entry(place_of(&body)) else {
            unreachable!("a body was held before it is released");
        };
        self.held -= REFERENCE;
        *references.get_mut() -= 1;
        if *references.get() == 0 {
            references.remove();
            self.held -= body.len();
            if self.references.is_empty() {
                self.references = HashMap::new(); // frees the memory of the map after a broadcast
            }
        }
        contain(|| drop(body)); // the owner of the bytes may be a type of the program, whose `drop` may panic
    }

    /// How many bytes the bodies and the references count together.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Returns the count at the last call of `recount`, and the count now.
    pub(crate) fn recount(&mut self) -> (usize, usize) {
        (std::mem::replace(&mut self.counted, self.held), self.held)
    }

    /// By how many bytes the count falls if one reference to this body is released.
    pub(crate) fn gives_back(&self, body: &Bytes) -> usize {
        let is_last = self.references.get(&place_of(body)) == Some(&1);
        REFERENCE + if is_last { body.len() } else { 0 }
    }
}

fn place_of(body: &Bytes) -> Place {
    (body.as_ptr() as usize, body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_counts_once_and_each_reference_a_little() {
        let mut bodies = SharedBodies::default();
        let body = Bytes::from(vec![7; 5_000]);
        let part = body.slice(..4_999);
        for held in [&body, &body, &part] {
            bodies.hold(held);
        }
        assert_eq!(bodies.recount(), (0, 5_000 + 4_999 + 3 * REFERENCE));
        assert_eq!(
            [&body, &part].map(|body| bodies.gives_back(body)),
            [REFERENCE, REFERENCE + 4_999]
        );
        bodies.release(body.clone());
        assert_eq!(bodies.held(), 5_000 + 4_999 + 2 * REFERENCE);
        bodies.release(body);
        bodies.release(part);
        assert_eq!(bodies.recount(), (5_000 + 4_999 + 3 * REFERENCE, 0));
        assert_eq!(bodies.references.capacity(), 0);
    }

    #[test]
    fn an_owner_that_panics_when_it_is_dropped_harms_nothing() {
        struct Owner([u8; 8]);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        impl Drop for Owner {
            fn drop(&mut self) {
                panic!("a bug in the owner");
            }
        }
        let mut bodies = SharedBodies::default();
        let body = Bytes::from_owner(Owner([7; 8]));
        bodies.hold(&body);
        bodies.release(body);
        assert_eq!(bodies.held(), 0);
    }
}
