//! What a callback sends to its own connection.

use std::cell::Cell;
use std::ops::Range;

/// Less is copied: it takes less time than to find out where it stands.
const WORTH_IT: usize = 4 * 1024;

/// What the callback at hand has sent to its own connection; empty between callbacks.
///
/// A large piece of input that is sent back as it came is not copied, but sent from where it stands. It is known
/// by its place in memory, which it does not leave before it is sent.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// From which address to which the input stands that the callback is shown.
    input: Range<usize>,
    /// The part of it that comes first, by its place in it.
    part: Range<usize>,
    /// What comes after that.
    copied: Vec<u8>,
    /// The callback has asked, and was told that it is above high water: so it waits for `on_low_water`.
    is_told: Cell<bool>,
}

impl Staged {
    pub(crate) fn len(&self) -> usize {
        self.part.len() + self.copied.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.part.is_empty() && self.copied.is_empty()
    }

    /// The callback that follows is shown this, until [`hide`](Self::hide).
    #[inline]
    pub(crate) fn show(&mut self, input: &[u8]) {
        if input.len() < WORTH_IT {
            return;
        }
        let Range { start, end } = input.as_ptr_range();
        self.input = start as usize..end as usize;
    }

    /// The callback is over: what stands at these addresses from now on may be something else.
    #[inline]
    pub(crate) fn hide(&mut self) {
        self.input = 0..0;
        self.is_told.set(false);
    }

    pub(crate) fn tell(&self) {
        self.is_told.set(true);
    }

    pub(crate) fn is_told(&self) -> bool {
        self.is_told.get()
    }

    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if bytes.len() < WORTH_IT {
            return self.copied.extend_from_slice(bytes);
        }
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
        let is_input = self.input.start <= start && end <= self.input.end;
        is_input.then(|| start - self.input.start..end - self.input.start)
    }

    /// The bytes, in order, if this is the input that the callback was shown.
    #[inline]
    pub(crate) fn pieces<'a>(&'a self, input: &'a [u8]) -> [&'a [u8]; 2] {
        [&input[self.part.clone()], &self.copied]
    }

    /// Makes it empty. What it has taken from the heap above so many bytes it gives back.
    #[inline]
    pub(crate) fn clear(&mut self, most: usize) {
        self.part = 0..0;
        self.is_told.set(false);
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
        let input: Vec<u8> = (0..40_000).map(|at| (at * at / 7) as u8).collect();
        let mut staged = Staged::default();
        staged.show(&input);
        let mut sent = Vec::new();
        let parts =
            [0..9_000, 9_000..18_000, 18_000..18_000, 18_000..18_004, 20_000..30_000, 0..9_000];
        for bytes in parts.map(|part| &input[part]) {
            staged.push(bytes);
            sent.extend_from_slice(bytes);
            assert!(all(&staged, &input) == sent);
            assert_eq!((staged.len(), staged.is_empty()), (sent.len(), false));
        }
        assert_eq!(staged.copied.len(), 4 + 10_000 + 9_000);
        staged.clear(0);
        assert!(staged.is_empty() && all(&staged, &input).is_empty());
    }

    #[test]
    fn input_that_is_sent_on_is_not_copied() {
        let input = vec![7; WORTH_IT + 1];
        let mut staged = Staged::default();
        staged.show(&input);
        staged.push(&input[1..]);
        assert_eq!(staged.pieces(&input)[0].as_ptr(), input[1..].as_ptr());
        assert!(staged.copied.is_empty());
        let other = input.clone();
        staged.push(&other);
        assert!(staged.copied == other);
    }

    #[test]
    fn what_was_shown_to_a_former_callback_is_copied() {
        let input = vec![7; WORTH_IT];
        let mut staged = Staged::default();
        staged.show(&input);
        staged.hide();
        staged.push(&input);
        assert!(staged.copied == input && staged.part.is_empty());
    }
}
