//! What a callback sends to its own connection.

use std::ops::Range;

/// What the callback at hand has sent to its own connection; empty between callbacks.
///
/// Most of what is sent is input, as it came: that is not copied, but sent from where it stands. It is known by
/// its place in memory, which it does not leave before it is sent.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// From which address to which the input stands that the callback is shown.
    input: Range<usize>,
    /// The part of it that comes first, by its place in it.
    part: Range<usize>,
    /// What comes after that.
    copied: Vec<u8>,
}

impl Staged {
    pub(crate) fn len(&self) -> usize {
        self.part.len() + self.copied.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.part.is_empty() && self.copied.is_empty()
    }

    /// The callback that follows is shown this.
    pub(crate) fn show(&mut self, input: &[u8]) {
        let Range { start, end } = input.as_ptr_range();
        self.input = start as usize..end as usize;
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self.place_of(bytes) {
            Some(place) if self.is_empty() => self.part = place,
            Some(place) if self.copied.is_empty() && place.start == self.part.end => {
                self.part.end = place.end;
            }
            _ => self.copied.extend_from_slice(bytes),
        }
    }

    /// Where in the input these bytes stand, if they do.
    fn place_of(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let Range { start, end } = bytes.as_ptr_range();
        let (start, end) = (start as usize, end as usize);
        let is_input = start < end && self.input.start <= start && end <= self.input.end;
        is_input.then(|| start - self.input.start..end - self.input.start)
    }

    /// The bytes, in order, if this is the input that the callback was shown.
    pub(crate) fn pieces<'a>(&'a self, input: &'a [u8]) -> [&'a [u8]; 2] {
        // Nothing of it was sent if none was shown.
        [input.get(self.part.clone()).unwrap_or_default(), &self.copied]
    }

    /// Makes it empty. What it has taken from the heap above so many bytes it gives back.
    pub(crate) fn clear(&mut self, most: usize) {
        (self.input, self.part) = (0..0, 0..0);
        self.copied.clear();
        self.copied.shrink_to(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(staged: &Staged, input: &[u8]) -> Vec<u8> {
        staged.pieces(input).concat()
    }

    #[test]
    fn what_is_sent_goes_out_in_its_order_whether_it_is_input_or_not() {
        let input = b"one two three four".to_vec();
        let mut staged = Staged::default();
        staged.show(&input);
        let mut sent = Vec::new();
        for bytes in [&input[0..4], &input[4..8], b"", b"and ", &input[8..13], &input[0..3]] {
            staged.push(bytes);
            sent.extend_from_slice(bytes);
            assert_eq!(all(&staged, &input), sent);
            assert_eq!((staged.len(), staged.is_empty()), (sent.len(), false));
        }
        staged.clear(0);
        assert!(staged.is_empty() && all(&staged, &input).is_empty());
    }

    #[test]
    fn input_that_is_sent_on_is_not_copied() {
        let input = b"one two".to_vec();
        let mut staged = Staged::default();
        staged.show(&input);
        staged.push(&input[1..]);
        assert_eq!(staged.pieces(&input)[0].as_ptr(), input[1..].as_ptr());
        assert!(staged.copied.is_empty());
        let other = input.clone();
        staged.push(&other);
        assert_eq!(staged.copied, other);
    }

    #[test]
    fn what_leaves_a_gap_or_goes_back_is_copied() {
        let input = b"abcdefgh".to_vec();
        let mut staged = Staged::default();
        staged.show(&input);
        for part in [&input[2..4], &input[5..6], &input[4..5]] {
            staged.push(part);
        }
        assert_eq!(all(&staged, &input), b"cdfe");
    }
}
