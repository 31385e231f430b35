//! A delimiter search that remembers where it stopped.

/// If a handler searches for more delimiters than this in the same bytes, some of them are searched again from the
/// start.
const REMEMBERED: usize = 4;

/// How far the unread input has been searched for each delimiter. So a line that arrives byte by byte is searched once,
/// not once for each byte.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// The delimiters that were not found, the latest last. Boxed, so that an unused search takes one word: each read
    /// makes one.
    tried: Option<Box<[Tried; REMEMBERED]>>,
}

#[derive(Debug, Default)]
struct Tried {
    /// Empty if this place is not in use.
    delimiter: Vec<u8>,
    /// No match starts in the first `clean` bytes.
    clean: usize,
}

impl Search {
    /// The position of the first `delimiter` in `bytes`.
    ///
    /// `bytes` must start where the bytes of the last call started, or where [`advance`](Self::advance) has moved the
    /// start since.
    pub(crate) fn find(&mut self, bytes: &[u8], delimiter: &[u8]) -> Option<usize> {
        if bytes.is_empty() {
            return None; // the remembered positions may belong to bytes that were taken
        }
        let mut remembered = self.tried.as_deref_mut().into_iter().flatten();
        let known = remembered.find(|tried| tried.delimiter == delimiter);
        let from = known.as_ref().map_or(0, |tried| tried.clean);
        let found = position(&bytes[from..], delimiter).map(|at| from + at);
        #[cfg(test)]
        EXAMINED.set(EXAMINED.get() + (found.map_or(bytes.len(), |at| at + 1) - from) as u64);
        if found.is_none() {
            let clean = (bytes.len() + 1).saturating_sub(delimiter.len()).max(from);
            match known {
                Some(tried) => tried.clean = clean,
                None => self.remember(delimiter, clean),
            }
        }
        found
    }

    fn remember(&mut self, delimiter: &[u8], clean: usize) {
        let tried = self.tried.get_or_insert_default();
        tried.rotate_left(1);
        tried[REMEMBERED - 1] = Tried { delimiter: delimiter.to_vec(), clean };
    }

    /// The first `count` bytes were taken.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
        if let Some(tried) = &mut self.tried {
            tried.iter_mut().for_each(|tried| tried.clean = tried.clean.saturating_sub(count));
        }
    }
}

fn position(bytes: &[u8], delimiter: &[u8]) -> Option<usize> {
    match delimiter {
        [byte] => bytes.iter().position(|b| b == byte),
        _ => bytes.windows(delimiter.len()).position(|window| window == delimiter),
    }
}

#[cfg(test)]
thread_local! {
    static EXAMINED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How many bytes this thread has examined.
#[cfg(test)]
pub(crate) fn examined() -> u64 {
    EXAMINED.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clean(search: &Search) -> [usize; REMEMBERED] {
        search
            .tried
            .as_deref()
            .map_or([0; REMEMBERED], |tried| std::array::from_fn(|at| tried[at].clean))
    }

    #[test]
    fn a_search_that_has_found_everything_is_one_word() {
        assert_eq!(size_of::<Search>(), size_of::<usize>());
        let mut search = Search::default();
        assert_eq!(search.find(b"a\n", b"\n"), Some(1));
        assert!(search.tried.is_none());
    }

    #[test]
    fn searched_bytes_are_not_searched_again() {
        let mut search = Search::default();
        let mut bytes = vec![b'x'; 1000];
        assert_eq!(search.find(&bytes, b"\r\n"), None);
        assert_eq!(clean(&search), [0, 0, 0, 999], "the last byte may begin a delimiter");
        bytes.extend_from_slice(b"\r\n");
        assert_eq!(search.find(&bytes, b"\r\n"), Some(1000));
    }

    #[test]
    fn delimiters_that_are_tried_by_turns_are_each_remembered() {
        let mut search = Search::default();
        let bytes = vec![b'x'; 1000];
        for _ in 0..3 {
            assert_eq!((search.find(&bytes, b"\n"), search.find(&bytes, b"\0")), (None, None));
        }
        assert_eq!(clean(&search), [0, 0, 1000, 1000]);
        for delimiter in 0..20 {
            search.find(&bytes, &[delimiter]);
        }
        let tried = search.tried.as_deref().unwrap().iter().map(|tried| tried.delimiter[0]);
        assert!(tried.eq(16..20), "the latest are remembered: {search:?}");
    }

    #[test]
    fn another_delimiter_starts_afresh() {
        let mut search = Search::default();
        assert_eq!(search.find(b"a;b", b"\n"), None);
        assert_eq!(search.find(b"a;b", b";"), Some(1));
    }

    proptest! {
        #[test]
        fn finds_the_same_as_a_search_from_the_start(
            bytes in prop::collection::vec(0..3u8, 0..60),
            delimiters in prop::collection::vec(prop::collection::vec(0..3u8, 1..4), 1..7),
            cuts in prop::collection::vec(0..60usize, 0..8),
            advanced in 0..20usize,
        ) {
            let mut search = Search::default();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut start = 0;
            for (index, cut) in cuts.into_iter().chain([bytes.len()]).enumerate() {
                if index == 2 {
                    start = advanced.min(cut);
                    search.advance(start);
                }
                for delimiter in &delimiters {
                    let expected = position(&bytes[start..cut], delimiter);
                    prop_assert_eq!(search.find(&bytes[start..cut], delimiter), expected);
                }
            }
        }
    }
}
