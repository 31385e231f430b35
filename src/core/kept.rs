//! The bytes that a handler was shown and did not take.

use super::search::Search;

/// Input that waits for the rest of its message; one pointer wide while there is none.
#[derive(Debug, Default)]
pub(crate) struct Kept(Option<Box<Store>>);

#[derive(Debug, Default)]
struct Store {
    bytes: Vec<u8>,
    /// Where the untaken bytes begin.
    start: usize,
    search: Search,
}

impl Kept {
    pub(crate) fn len(&self) -> usize {
        self.bytes().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |store| &store.bytes[store.start..])
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0.get_or_insert_default().bytes.extend_from_slice(bytes);
        }
    }

    /// Forgets the first `count` bytes: the handler has taken them.
    pub(crate) fn consume(&mut self, count: usize) {
        let Some(store) = &mut self.0 else { return };
        store.start += count;
        if store.start == store.bytes.len() {
            self.clear();
        } else if store.start > store.bytes.len() / 2 {
            // Moves fewer bytes than were taken since the last move, so the total stays linear.
            store.bytes.drain(..store.start);
            store.start = 0;
            if store.bytes.len() < store.bytes.capacity() / 4 {
                store.bytes.shrink_to(store.bytes.len() * 2);
            }
        }
    }

    pub(crate) fn take_search(&mut self) -> Search {
        self.0.as_mut().map_or_else(Search::default, |store| std::mem::take(&mut store.search))
    }

    pub(crate) fn put_search(&mut self, search: Search) {
        if let Some(store) = &mut self.0 {
            store.search = search;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kept_input_is_given_back_when_all_of_it_is_taken() {
        let mut kept = Kept::default();
        kept.append(b"half a mess");
        kept.append(b"age");
        assert_eq!(kept.bytes(), b"half a message");
        kept.consume(14);
        assert!(kept.is_empty());
        assert_eq!(size_of::<Kept>(), size_of::<usize>());
    }

    #[test]
    fn bytes_are_moved_only_when_more_have_been_taken_than_are_left() {
        let mut kept = Kept::default();
        kept.append(&[7; 1_000]);
        for (taken, start) in [(1, 1), (499, 500), (1, 0), (249, 249), (1, 0)] {
            kept.consume(taken);
            assert_eq!(kept.0.as_ref().unwrap().start, start, "after {taken} more");
        }
        assert_eq!(kept.len(), 249);
    }

    #[test]
    fn a_buffer_that_is_much_too_large_is_given_back() {
        let mut kept = Kept::default();
        let capacity = |kept: &Kept| kept.0.as_ref().unwrap().bytes.capacity();
        kept.append(&[7; 100_000]);
        kept.consume(70_000);
        assert_eq!(capacity(&kept), 100_000, "a third is not much too large");
        kept.consume(20_000);
        assert_eq!(capacity(&kept), 20_000);
    }

    #[test]
    fn what_was_searched_is_known_the_next_time() {
        let mut kept = Kept::default();
        kept.append(b"no line yet");
        let mut search = Search::default();
        assert_eq!(search.find(kept.bytes(), b"\n"), None);
        let before = format!("{search:?}");
        kept.put_search(search);
        assert_eq!(format!("{:?}", kept.take_search()), before);
    }

    proptest! {
        #[test]
        fn holds_what_was_appended_less_what_was_taken(
            steps in prop::collection::vec((0..300usize, 0..100u8, any::<u8>()), 1..60)
        ) {
            let mut kept = Kept::default();
            let mut model: Vec<u8> = Vec::new();
            for (size, taken_percent, fill) in steps {
                kept.append(&vec![fill; size]);
                model.extend(std::iter::repeat_n(fill, size));
                let count = model.len() * usize::from(taken_percent) / 99;
                kept.consume(count);
                model.drain(..count);
                prop_assert_eq!(kept.bytes(), &model[..]);
                prop_assert_eq!(kept.is_empty(), model.is_empty());
            }
        }
    }
}
