//! The order in which connections have last received something.

/// No slot.
const NONE: u32 = u32::MAX;

/// A list of slots, the least recently used first: a doubly linked list in an array. Each operation is O(1). It takes
/// 8 bytes a slot.
#[derive(Debug)]
pub(crate) struct LruList {
    links: Vec<Link>,
    idlest: u32,
    latest: u32,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
}

const UNLINKED: Link = Link { before: NONE, after: NONE };

impl LruList {
    pub(crate) fn new() -> Self {
        Self { links: Vec::new(), idlest: NONE, latest: NONE }
    }

    /// The least recently used slot.
    pub(crate) fn idlest(&self) -> Option<u32> {
        (self.idlest != NONE).then_some(self.idlest)
    }

    /// Makes a slot the most recently used one. Adds it if it is new.
    pub(crate) fn touch(&mut self, slot: u32) {
        if self.latest == slot {
            return;
        }
        self.forget(slot);
        if self.links.len() <= slot as usize {
            self.links.resize(slot as usize + 1, UNLINKED);
        }
        self.links[slot as usize] = Link { before: self.latest, after: NONE };
        match self.latest {
            NONE => self.idlest = slot,
            latest => self.links[latest as usize].after = slot,
        }
        self.latest = slot;
    }

    /// Removes a slot from the list, if it is there.
    pub(crate) fn forget(&mut self, slot: u32) {
        let Some(&link) = self.links.get(slot as usize) else { return };
        let is_linked = link.before != NONE || link.after != NONE || self.idlest == slot;
        if !is_linked {
            return;
        }
        match link.before {
            NONE => self.idlest = link.after,
            before => self.links[before as usize].after = link.after,
        }
        match link.after {
            NONE => self.latest = link.before,
            after => self.links[after as usize].before = link.before,
        }
        self.links[slot as usize] = UNLINKED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keeps_the_order_of_a_plain_list(
            steps in prop::collection::vec((0..12u32, prop::bool::weighted(0.7)), 1..200)
        ) {
            let mut lru = LruList::new();
            let mut model: Vec<u32> = Vec::new();
            for (slot, is_touch) in steps {
                model.retain(|known| *known != slot);
                if is_touch {
                    lru.touch(slot);
                    model.push(slot);
                } else {
                    lru.forget(slot);
                }
                prop_assert_eq!(lru.idlest(), model.first().copied());
            }
            for slot in model {
                prop_assert_eq!(lru.idlest(), Some(slot));
                lru.forget(slot);
            }
            prop_assert_eq!(lru.idlest(), None);
        }
    }
}
