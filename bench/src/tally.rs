//! Counts.

use std::collections::BTreeMap;

use super::error_kind::ErrorKind;

/// The counts of one thread, or of all threads together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) opened: u64,
    pub(super) failed: u64,
    pub(super) lost: u64,
    /// Right answers.
    pub(super) messages: u64,
    pub(super) wrong: u64,
    pub(super) unanswered: u64,
    /// Messages that were under way, and connections that were being opened, when the run was interrupted.
    pub(super) under_way: u64,
    pub(super) opening: u64,
    /// Messages that were due on connections that were gone.
    pub(super) unsent: u64,
    /// Messages that were due and never sent, as the bench itself was too slow.
    pub(super) behind: u64,
    /// When the bench first stopped sending because its limit of messages under way was reached.
    pub(super) held_back: Option<HeldBack>,
    /// Bytes that came back, right or wrong.
    pub(super) bytes: u64,
    /// The first wrong byte.
    pub(super) first_wrong: Option<String>,
    pub(super) errors: BTreeMap<(ErrorKind, String), u64>,
    /// When the last answer came, in nanoseconds since the measured time began.
    pub(super) last_answer: u64,
    /// When all messages were sent, on the same clock.
    pub(super) all_sent: u64,
}

/// Why an open loop sends nothing for a while although messages are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldBack {
    /// In nanoseconds since the measured time began.
    pub(super) at: u64,
    /// How late the next message was at that time.
    pub(super) late: u64,
    /// How many messages were under way on the thread that was held back.
    pub(super) under_way: u64,
}

impl Tally {
    pub(super) fn error(&mut self, kind: ErrorKind, cause: &str, times: u64) {
        if times > 0 {
            *self.errors.entry((kind, cause.to_owned())).or_default() += times;
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.opened += other.opened;
        self.failed += other.failed;
        self.lost += other.lost;
        self.messages += other.messages;
        self.wrong += other.wrong;
        self.unanswered += other.unanswered;
        self.under_way += other.under_way;
        self.opening += other.opening;
        self.unsent += other.unsent;
        self.behind += other.behind;
        self.held_back =
            self.held_back.into_iter().chain(other.held_back).min_by_key(|held| held.at);
        self.bytes += other.bytes;
        self.last_answer = self.last_answer.max(other.last_answer);
        self.all_sent = self.all_sent.max(other.all_sent);
        if self.first_wrong.is_none() {
            self.first_wrong = other.first_wrong;
        }
        for ((kind, cause), times) in &other.errors {
            self.error(*kind, cause, *times);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tallies_add_up() {
        let mut one = Tally { messages: 3, last_answer: 9, ..Tally::default() };
        one.error(ErrorKind::Loss, "a", 2);
        let mut two = Tally { messages: 4, wrong: 1, last_answer: 5, ..Tally::default() };
        two.first_wrong = Some("there".to_owned());
        two.error(ErrorKind::Loss, "a", 1);
        two.error(ErrorKind::Connect, "b", 7);
        two.error(ErrorKind::Loss, "c", 0);
        one.add(two);
        assert_eq!((one.messages, one.wrong, one.last_answer), (7, 1, 9));
        assert_eq!(one.first_wrong.as_deref(), Some("there"));
        let errors: Vec<_> = one.errors.into_iter().collect();
        let expected =
            [((ErrorKind::Connect, "b".to_owned()), 7), ((ErrorKind::Loss, "a".to_owned()), 3)];
        assert_eq!(errors, expected);
    }
}
