//! What a callback sends to its own connection.

use std::cell::Cell;
use std::iter;
use std::ops::Range;

use bytes::Bytes;

use crate::contain::contain;

/// Less is copied: it takes less time than to find out where it stands.
const WORTH_IT: usize = 4 * 1024;

/// Room for so many shared bodies is kept from one callback to the next.
const KEPT_ROOM: usize = 16;

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
    /// What comes after that, without the shared bodies.
    copied: Vec<u8>,
    /// Bodies that are sent from where they stand, each with how much of `copied` comes before it.
    shared: Vec<(usize, Bytes)>,
    /// Of all of it.
    len: usize,
    /// The callback has asked, and was told that it is above high water: so it waits for `on_low_water`.
    is_told: Cell<bool>,
}

impl Staged {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
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
            self.copied.extend_from_slice(bytes);
        } else {
            self.push_large(bytes);
        }
        self.len += bytes.len();
    }

    fn push_large(&mut self, bytes: &[u8]) {
        match self.place_of(bytes) {
            Some(place) if self.is_empty() => self.part = place,
            Some(place) if self.part.len() == self.len && place.start == self.part.end => {
                self.part.end = place.end;
            }
            _ => self.copied.extend_from_slice(bytes),
        }
    }

    pub(crate) fn push_shared(&mut self, body: Bytes) {
        self.len += body.len();
        self.shared.push((self.copied.len(), body));
    }

    /// Where in the input these bytes stand, if they do.
    fn place_of(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let Range { start, end } = bytes.as_ptr_range();
        let (start, end) = (start as usize, end as usize);
        let is_input = self.input.start <= start && end <= self.input.end;
        is_input.then(|| start - self.input.start..end - self.input.start)
    }

    /// The bytes, if they stand in one place. `input` is what the callback was shown.
    #[inline]
    pub(crate) fn only<'a>(&'a self, input: &'a [u8]) -> Option<&'a [u8]> {
        if self.copied.len() == self.len {
            return Some(&self.copied); // the usual case
        }
        (self.part.len() == self.len).then(|| &input[self.part.clone()])
    }

    /// The bytes, in order. `input` is what the callback was shown.
    pub(crate) fn pieces<'a>(&'a self, input: &'a [u8]) -> impl Iterator<Item = Piece<'a>> {
        let mut done = 0;
        let upto_shared = self.shared.iter().flat_map(move |(at, body)| {
            let before = &self.copied[std::mem::replace(&mut done, *at)..*at];
            [Piece::Plain(before), Piece::Shared(body)]
        });
        let last = self.shared.last().map_or(0, |(at, _)| *at);
        iter::once(Piece::Plain(&input[self.part.clone()]))
            .chain(upto_shared)
            .chain(iter::once(Piece::Plain(&self.copied[last..])))
    }

    /// Makes it empty. What it has taken from the heap above so many bytes it gives back.
    #[inline]
    pub(crate) fn clear(&mut self, most: usize) {
        self.part = 0..0;
        self.len = 0;
        self.is_told.set(false);
        self.copied.clear();
        self.copied.shrink_to(most);
        if !self.shared.is_empty() {
            for (_, body) in self.shared.drain(..) {
                contain(|| drop(body)); // its owner is a type of the program
            }
            self.shared.shrink_to(KEPT_ROOM);
        }
    }
}

/// Some of what was sent.
pub(crate) enum Piece<'a> {
    Plain(&'a [u8]),
    Shared(&'a Bytes),
}

impl<'a> Piece<'a> {
    pub(crate) fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Shared(body) => body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(staged: &Staged, input: &[u8]) -> Vec<u8> {
        staged.pieces(input).flat_map(|piece| piece.bytes().to_vec()).collect()
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
        assert_eq!(staged.only(&input).unwrap().as_ptr(), input[1..].as_ptr());
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
