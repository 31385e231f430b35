//! Who has been idle the longest.

/// No slot.
const NONE: u32 = u32::MAX;

/// Slots in the order in which they were last heard of: a doubly linked list through an array, O(1) for
/// every operation, 8 bytes a slot.
#[derive(Debug)]
pub(crate) struct Recency {
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

impl Recency {
    pub(crate) fn new() -> Self {
        Self { links: Vec::new(), idlest: NONE, latest: NONE }
    }

    /// The slot that was heard of least recently.
    pub(crate) fn idlest(&self) -> Option<u32> {
        (self.idlest != NONE).then_some(self.idlest)
    }

    /// A slot is heard of, perhaps for the first time.
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

    /// A slot is free.
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
            let mut recency = Recency::new();
            let mut model: Vec<u32> = Vec::new();
            for (slot, is_touch) in steps {
                model.retain(|known| *known != slot);
                if is_touch {
                    recency.touch(slot);
                    model.push(slot);
                } else {
                    recency.forget(slot);
                }
                prop_assert_eq!(recency.idlest(), model.first().copied());
            }
            for slot in model {
                prop_assert_eq!(recency.idlest(), Some(slot));
                recency.forget(slot);
            }
            prop_assert_eq!(recency.idlest(), None);
        }
    }
}
