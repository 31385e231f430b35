//! A delimiter search that remembers where it stopped.

/// How far the untaken input has been searched for a delimiter, so that a line which trickles in
/// byte by byte is looked through once, not once a byte.
#[derive(Debug, Default)]
pub(crate) struct Search {
    delimiter: Vec<u8>,
    /// No match of `delimiter` starts in the first `clean` bytes.
    clean: usize,
}

impl Search {
    /// The position of the first `delimiter` in `bytes`.
    ///
    /// `bytes` must start where the last call's bytes started, or where
    /// [`advance`](Self::advance) has moved the start since.
    pub(crate) fn find(&mut self, bytes: &[u8], delimiter: &[u8]) -> Option<usize> {
        let from = if self.delimiter == delimiter { self.clean } else { 0 };
        let found = position(&bytes[from..], delimiter).map(|at| from + at);
        if found.is_none() && !bytes.is_empty() {
            if self.delimiter != delimiter {
                self.delimiter.clear();
                self.delimiter.extend_from_slice(delimiter);
            }
            self.clean = (bytes.len() + 1).saturating_sub(delimiter.len()).max(from);
        }
        found
    }

    /// The first `count` bytes have gone.
    pub(crate) fn advance(&mut self, count: usize) {
        self.clean = self.clean.saturating_sub(count);
    }
}

fn position(bytes: &[u8], delimiter: &[u8]) -> Option<usize> {
    match delimiter {
        [byte] => bytes.iter().position(|b| b == byte),
        _ => bytes.windows(delimiter.len()).position(|window| window == delimiter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_searched_is_not_searched_again() {
        let mut search = Search::default();
        let mut bytes = vec![b'x'; 1000];
        assert_eq!(search.find(&bytes, b"\r\n"), None);
        assert_eq!(search.clean, 999, "the last byte may begin a delimiter");
        bytes.extend_from_slice(b"\r\n");
        assert_eq!(search.find(&bytes, b"\r\n"), Some(1000));
    }

    #[test]
    fn another_delimiter_starts_afresh() {
        let mut search = Search::default();
        assert_eq!(search.find(b"a;b", b"\n"), None);
        assert_eq!(search.find(b"a;b", b";"), Some(1));
    }

    proptest! {
        #[test]
        fn finds_what_a_search_from_the_start_finds(
            bytes in prop::collection::vec(0..3u8, 0..60),
            delimiter in prop::collection::vec(0..3u8, 1..4),
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
                let expected = position(&bytes[start..cut], &delimiter);
                prop_assert_eq!(search.find(&bytes[start..cut], &delimiter), expected);
            }
        }
    }
}
