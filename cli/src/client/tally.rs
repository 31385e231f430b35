//! Counts of messages and replies.

use std::fmt;

/// The counts of a script. The reply to each sent message is right, wrong or missing.
pub(crate) struct Tally {
    clients: u32,
    /// How many messages were to be sent.
    wanted: u64,
    pub(crate) sent: u64,
    right: u64,
    wrong: u64,
    /// Clients whose connection could not be made, or ended before they were done.
    failed: u32,
    /// Replies that standard output did not take.
    unprinted: u64,
    /// The first error.
    first_error: Option<String>,
}

impl Tally {
    pub(crate) fn new(clients: u32, count: u32) -> Self {
        Self {
            clients,
            wanted: u64::from(clients) * u64::from(count),
            sent: 0,
            right: 0,
            wrong: 0,
            failed: 0,
            unprinted: 0,
            first_error: None,
        }
    }

    /// A reply is complete.
    pub(crate) fn reply(&mut self, is_right: bool) {
        if is_right { self.right += 1 } else { self.wrong += 1 }
    }

    /// More bytes came after a reply that was right.
    pub(crate) fn wrong_after_all(&mut self) {
        self.right -= 1;
        self.wrong += 1;
    }

    /// An incomplete reply is wrong already.
    pub(crate) fn wrong_start(&mut self) {
        self.wrong += 1;
    }

    pub(crate) fn failed(&mut self) {
        self.failed += 1;
    }

    /// Standard output did not take these replies.
    pub(crate) fn unprinted(&mut self, replies: u64) {
        self.unprinted += replies;
    }

    pub(crate) fn is_printed(&self) -> bool {
        self.unprinted == 0
    }

    /// Only the first error is kept: ten thousand clients of a stopped server have the same one.
    pub(crate) fn error(&mut self, what: impl FnOnce() -> String) {
        self.first_error.get_or_insert_with(what);
    }

    pub(crate) fn first_error(&self) -> Option<&str> {
        self.first_error.as_deref()
    }

    pub(crate) fn is_all_right(&self) -> bool {
        self.right == self.sent && self.failed == 0 && self.unprinted == 0
    }

    fn missing(&self) -> u64 {
        self.sent - self.right - self.wrong
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, wanted, sent, right, wrong, failed, unprinted, .. } = self;
        let missing = self.missing();
        write!(f, "clients: {clients}; messages sent: {sent}")?;
        if sent < wanted {
            write!(f, " of {wanted}")?;
        }
        write!(f, "; replies right: {right}, wrong: {wrong}, missing: {missing}")?;
        if *unprinted > 0 {
            write!(f, ", not printed: {unprinted}")?;
        }
        write!(f, "; connections failed: {failed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_were_not_sent_and_replies_that_were_not_printed_are_told() {
        let mut tally = Tally::new(3, 5);
        tally.sent = 9;
        (0..9).for_each(|_| tally.reply(true));
        assert!(tally.is_all_right());
        assert!(tally.to_string().contains("messages sent: 9 of 15; replies right: 9"), "{tally}");
        tally.unprinted(2);
        assert!(!tally.is_all_right());
        assert!(tally.to_string().contains(", missing: 0, not printed: 2; "), "{tally}");
    }
}
