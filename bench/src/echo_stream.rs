//! The messages of one connection, and their answers.

use std::collections::VecDeque;

use super::content::{Content, Message};

/// Messages go out in order. Their answers come in this order, in any pieces.
///
/// The content of a message follows from its number. So only two times are kept for a message under way.
#[derive(Debug)]
pub(super) struct EchoStream {
    /// The number of the connection among those of all threads.
    number: u32,
    sent: u64,
    answered: u64,
    /// How many bytes of the current answer have come.
    position: usize,
    /// Whether the current answer is wrong already.
    is_wrong: bool,
    /// For each message under way, the oldest first.
    since: VecDeque<Since>,
}

/// In nanoseconds on the clock of the run.
#[derive(Clone, Copy, Debug)]
struct Since {
    /// When the message was due. Its latency counts from here.
    due: u64,
    /// When the message was sent. Its timeout counts from here, so that a late bench is not charged to the server.
    sent: u64,
}

/// How a message came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Right { since: u64 },
    Wrong,
}

/// The first byte of an answer that differs from the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    connection: u32,
    message: u64,
    at: usize,
    of: usize,
    expected: u8,
    found: u8,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { connection, message, at, of, expected, found } = self;
        write!(
            f,
            "connection {connection}, message {message}: byte {at} of {of} is {found:#04x} instead of \
             {expected:#04x}"
        )
    }
}

/// More bytes came back than were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Surplus(pub(super) usize);

impl EchoStream {
    pub(super) fn new(number: u32) -> Self {
        let since = VecDeque::new();
        Self { number, sent: 0, answered: 0, position: 0, is_wrong: false, since }
    }

    pub(super) fn under_way(&self) -> usize {
        self.since.len()
    }

    /// When the oldest message under way was sent.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.since.front().map(|since| since.sent)
    }

    /// The next message, which was due at `due` and is sent at `now`. It counts as under way.
    pub(super) fn next<'c>(&mut self, content: &'c Content, due: u64, now: u64) -> Message<'c> {
        let message = content.message(self.number, self.sent);
        self.sent += 1;
        self.since.push_back(Since { due, sent: now });
        message
    }

    /// Takes received bytes. Calls `answered` for each message that they complete, and `differs` for the first wrong
    /// byte of a message. Without `verify` bytes are only counted.
    ///
    /// # Errors
    /// [`Surplus`] if more bytes have come back than are under way.
    pub(super) fn receive(
        &mut self,
        content: &Content,
        verify: bool,
        mut bytes: &[u8],
        mut answered: impl FnMut(Answer),
        mut differs: impl FnMut(Difference),
    ) -> Result<(), Surplus> {
        while !bytes.is_empty() {
            let Some(&Since { due, .. }) = self.since.front() else {
                return Err(Surplus(bytes.len()));
            };
            let message = content.message(self.number, self.answered);
            let (piece, rest) = bytes.split_at(bytes.len().min(message.len() - self.position));
            if verify && let Some(difference) = self.compare(&message, piece) {
                differs(difference);
            }
            bytes = rest;
            self.position += piece.len();
            if self.position == message.len() {
                let is_wrong = self.complete();
                answered(if is_wrong { Answer::Wrong } else { Answer::Right { since: due } });
            }
        }
        Ok(())
    }

    fn compare(&mut self, message: &Message<'_>, piece: &[u8]) -> Option<Difference> {
        if self.is_wrong {
            return None;
        }
        let at = message.first_difference(self.position, piece)?;
        self.is_wrong = true;
        Some(Difference {
            connection: self.number,
            message: self.answered,
            at,
            of: message.len(),
            expected: message.byte(at),
            found: piece[at - self.position],
        })
    }

    /// Returns whether the current answer was wrong.
    fn complete(&mut self) -> bool {
        self.since.pop_front();
        self.answered += 1;
        self.position = 0;
        std::mem::take(&mut self.is_wrong)
    }

    /// Gives up what is under way: its connection has ended. Returns how many messages were wrong already, and how many
    /// others got no whole answer. Messages that are sent after that belong to another connection.
    pub(super) fn give_up(&mut self) -> Loss {
        let lost = self.since.len() as u64;
        let wrong = u64::from(self.is_wrong);
        self.since.clear();
        self.answered = self.sent;
        self.position = 0;
        self.is_wrong = false;
        Loss { wrong, unanswered: lost - wrong }
    }
}

/// What became of the messages under way when their connection ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) wrong: u64,
    pub(super) unanswered: u64,
}

#[cfg(test)]
mod tests {
    use super::super::sizes::Sizes;
    use super::*;

    /// A stream with messages under way, and what they consist of.
    fn under_way(content: &Content, number: u64) -> (EchoStream, Vec<u8>) {
        let mut stream = EchoStream::new(3);
        let mut bytes = Vec::new();
        for since in 0..number {
            bytes.extend(stream.next(content, since, since).pieces().concat());
        }
        (stream, bytes)
    }

    /// The answers and differences in these pieces.
    fn receive(
        stream: &mut EchoStream,
        content: &Content,
        pieces: &[&[u8]],
    ) -> (Vec<Answer>, Vec<Difference>, Result<(), Surplus>) {
        let (mut answers, mut differences, mut result) = (Vec::new(), Vec::new(), Ok(()));
        for piece in pieces {
            result = stream.receive(
                content,
                true,
                piece,
                |answer| answers.push(answer),
                |difference| differences.push(difference),
            );
        }
        (answers, differences, result)
    }

    fn content() -> Content {
        Content::new(Sizes::new(1, 40).unwrap(), 5)
    }

    #[test]
    fn answers_in_any_pieces_are_right_and_in_order() {
        let content = content();
        for step in [1, 2, 3, 7, 1_000] {
            let (mut stream, bytes) = under_way(&content, 20);
            let pieces: Vec<_> = bytes.chunks(step).collect();
            let (answers, differences, result) = receive(&mut stream, &content, &pieces);
            let expected: Vec<_> = (0..20).map(|since| Answer::Right { since }).collect();
            assert_eq!((answers, differences, result), (expected, vec![], Ok(())));
            assert_eq!((stream.under_way(), stream.oldest()), (0, None));
        }
    }

    #[test]
    fn a_changed_byte_makes_one_message_wrong_and_is_named() {
        let content = content();
        let (mut stream, mut bytes) = under_way(&content, 20);
        let len = content.message(3, 0).len();
        bytes[len] ^= 0xff;
        let (answers, differences, result) = receive(&mut stream, &content, &[&bytes]);
        assert_eq!(result, Ok(()));
        let wrong: Vec<_> = answers.iter().map(|answer| *answer == Answer::Wrong).collect();
        assert_eq!(wrong, (0..20).map(|number| number == 1).collect::<Vec<_>>());
        let [difference] = &differences[..] else { panic!("{differences:?}") };
        assert_eq!((difference.connection, difference.message, difference.at), (3, 1, 0));
        assert_eq!(difference.expected ^ 0xff, difference.found);
    }

    #[test]
    fn a_missing_byte_is_seen_and_leaves_a_message_without_its_end() {
        let content = Content::new(Sizes::of(64), 5);
        let (mut stream, mut bytes) = under_way(&content, 5);
        bytes.remove(100);
        let (answers, differences, _) = receive(&mut stream, &content, &[&bytes]);
        assert_eq!(answers.len(), 4);
        assert_eq!(answers[0], Answer::Right { since: 0 });
        assert!(answers[1..].iter().all(|answer| *answer == Answer::Wrong));
        assert_eq!(differences.len(), 4, "also of the one that is not whole");
        assert_eq!(stream.give_up(), Loss { wrong: 1, unanswered: 0 });
    }

    #[test]
    fn a_byte_too_many_is_seen() {
        let content = content();
        let (mut stream, mut bytes) = under_way(&content, 5);
        bytes.push(0);
        let (answers, _, result) = receive(&mut stream, &content, &[&bytes]);
        assert_eq!((answers.len(), result), (5, Err(Surplus(1))));
    }

    #[test]
    fn answers_in_the_wrong_order_are_wrong() {
        let content = Content::new(Sizes::of(16), 5);
        let (mut stream, bytes) = under_way(&content, 2);
        let (answers, _, _) = receive(&mut stream, &content, &[&bytes[16..], &bytes[..16]]);
        assert_eq!(answers, [Answer::Wrong, Answer::Wrong]);
    }

    #[test]
    fn after_giving_up_the_next_message_is_answered_as_any_other() {
        let content = Content::new(Sizes::of(16), 5);
        let (mut stream, bytes) = under_way(&content, 3);
        let _ = receive(&mut stream, &content, &[&bytes[..1]]);
        assert_eq!(stream.give_up(), Loss { wrong: 0, unanswered: 3 });
        let next = stream.next(&content, 9, 9).pieces().concat();
        let (answers, ..) = receive(&mut stream, &content, &[&next]);
        assert_eq!(answers, [Answer::Right { since: 9 }]);
    }

    #[test]
    fn a_message_that_is_sent_late_counts_from_when_it_was_due_and_is_waited_for_from_when_it_was_sent()
     {
        let content = content();
        let mut stream = EchoStream::new(3);
        let bytes = stream.next(&content, 4, 9).pieces().concat();
        assert_eq!(stream.oldest(), Some(9));
        assert_eq!(receive(&mut stream, &content, &[&bytes]).0, [Answer::Right { since: 4 }]);
    }

    #[test]
    fn without_verification_bytes_are_only_counted() {
        let content = content();
        let (mut stream, bytes) = under_way(&content, 4);
        let noise = vec![0xaa; bytes.len()];
        let mut right = 0;
        stream
            .receive(&content, false, &noise, |_| right += 1, |_| panic!("not compared"))
            .unwrap();
        assert_eq!(right, 4);
    }
}
