//! The content of messages, and the comparison of answers.

use super::sizes::Sizes;

/// A message of this length or more begins with the number of its connection and its own number. So an answer that is
/// doubled, swapped or sent on another connection is always wrong.
const HEADER: usize = 8;

/// How many different windows there are.
const WINDOWS: usize = 1 << 16;

/// The content of all messages: each is a window into one buffer of noise. The place of the window follows from the
/// numbers of the connection and the message. So the bench keeps no copy of a message that was sent, and compares
/// answers at the speed of memory.
pub(super) struct Content {
    noise: Box<[u8]>,
    sizes: Sizes,
    seed: u64,
}

impl Content {
    pub(super) fn new(sizes: Sizes, seed: u64) -> Self {
        let len = (WINDOWS + sizes.largest()).next_multiple_of(8);
        let words = (0..len as u64 / 8).map(|index| mix(seed ^ mix(index)));
        let noise = words.flat_map(u64::to_le_bytes).collect();
        Self { noise, sizes, seed }
    }

    /// The message with this number, from 0, on this connection.
    #[expect(clippy::cast_possible_truncation, reason = "numbers may repeat after 2^32")]
    pub(super) fn message(&self, connection: u32, number: u64) -> Message<'_> {
        let chance = mix(self.seed ^ mix(u64::from(connection) << 32) ^ number);
        let len = self.sizes.pick(chance >> 32);
        let start = (chance as usize) % WINDOWS;
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&connection.to_be_bytes());
        header[4..].copy_from_slice(&(number as u32).to_be_bytes());
        let headed = if len < HEADER { 0 } else { HEADER };
        Message { header, headed, body: &self.noise[start..start + len - headed] }
    }
}

/// One message.
pub(super) struct Message<'a> {
    header: [u8; HEADER],
    headed: usize,
    body: &'a [u8],
}

impl Message<'_> {
    pub(super) fn len(&self) -> usize {
        self.headed + self.body.len()
    }

    /// The parts of the message, in order.
    pub(super) fn pieces(&self) -> [&[u8]; 2] {
        [&self.header[..self.headed], self.body]
    }

    /// The first position at which this message differs from `bytes`. `from` is the position of `bytes` in the message.
    ///
    /// # Panics
    /// If `bytes` would reach beyond the end of the message.
    pub(super) fn first_difference(&self, from: usize, bytes: &[u8]) -> Option<usize> {
        let (in_header, in_body) =
            bytes.split_at(bytes.len().min(self.headed.saturating_sub(from)));
        let into_body = from.saturating_sub(self.headed);
        let header = &self.header[from.min(self.headed)..][..in_header.len()];
        let body = &self.body[into_body..][..in_body.len()];
        if header == in_header && body == in_body {
            return None; // the usual case, at the speed of memory
        }
        let expected = header.iter().chain(body);
        let at = expected.zip(bytes).position(|(expected, byte)| expected != byte);
        at.map(|at| from + at)
    }

    /// The byte at a place.
    pub(super) fn byte(&self, at: usize) -> u8 {
        if at < self.headed { self.header[at] } else { self.body[at - self.headed] }
    }
}

/// Spreads all bits over all bits: the finalizer of splitmix64 (Steele, Lea, Flood: Fast Splittable
/// Pseudorandom Number Generators, 2014).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn content(size: usize) -> Content {
        Content::new(Sizes::of(size), 7)
    }

    fn bytes(message: &Message<'_>) -> Vec<u8> {
        message.pieces().concat()
    }

    #[test]
    fn messages_of_sixteen_bytes_are_all_different() {
        let content = content(16);
        let all: HashSet<_> = (0..100)
            .flat_map(|connection| (0..100).map(move |number| (connection, number)))
            .map(|(connection, number)| bytes(&content.message(connection, number)))
            .collect();
        assert_eq!(all.len(), 10_000);
    }

    #[test]
    fn a_message_is_the_same_each_time_and_another_with_another_seed() {
        let one = Content::new(Sizes::new(1, 300).unwrap(), 7);
        let other = Content::new(Sizes::new(1, 300).unwrap(), 8);
        let all = |content: &Content| {
            (0..50).map(|number| bytes(&content.message(3, number))).collect::<Vec<_>>()
        };
        assert_eq!(all(&one), all(&one));
        assert_ne!(all(&one), all(&other));
    }

    #[test]
    fn sizes_keep_to_their_range_and_reach_both_ends() {
        let content = Content::new(Sizes::new(5, 9).unwrap(), 7);
        let seen: HashSet<_> = (0..1_000).map(|number| content.message(1, number).len()).collect();
        assert_eq!(seen, HashSet::from([5, 6, 7, 8, 9]));
    }

    #[test]
    fn an_answer_in_any_pieces_has_no_difference() {
        for size in [1, 7, 8, 9, 64, 5_000] {
            let content = content(size);
            let message = content.message(9, 4);
            let sent = bytes(&message);
            assert_eq!(sent.len(), message.len());
            for cut in 0..=sent.len() {
                assert_eq!(message.first_difference(0, &sent[..cut]), None);
                assert_eq!(message.first_difference(cut, &sent[cut..]), None);
            }
        }
    }

    #[test]
    fn each_byte_that_is_changed_is_found_where_it_is() {
        for size in [1, 8, 9, 64] {
            let content = content(size);
            let message = content.message(2, 11);
            for at in 0..message.len() {
                let mut wrong = bytes(&message);
                wrong[at] ^= 1;
                assert_eq!(message.first_difference(0, &wrong), Some(at));
                assert_eq!(message.first_difference(at, &wrong[at..]), Some(at));
                assert_eq!(message.byte(at) ^ 1, wrong[at]);
            }
        }
    }
}
