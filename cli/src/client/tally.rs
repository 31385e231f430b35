//! Counts of messages and replies.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// A reply that takes longer than a day counts as one of a day, in microseconds.
const LONGEST: u64 = 24 * 3_600 * 1_000_000;

/// A shorter wait for standard output is no large part of a latency.
const NOTABLE: Duration = Duration::from_millis(10);

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
    /// How long the client waited for standard output. Replies that came meanwhile were read later.
    printing: Duration,
    /// In microseconds, to three digits.
    latencies: Histogram<u64>,
    /// Exact.
    greatest: u64,
    /// The first error.
    first_error: Option<String>,
}

impl Tally {
    pub(crate) fn new(clients: u32, count: u32) -> Self {
        let latencies =
            Histogram::new_with_max(LONGEST, 3).expect("a histogram takes 0 to 5 digits");
        Self {
            clients,
            wanted: u64::from(clients) * u64::from(count),
            sent: 0,
            right: 0,
            wrong: 0,
            failed: 0,
            unprinted: 0,
            printing: Duration::ZERO,
            latencies,
            greatest: 0,
            first_error: None,
        }
    }

    /// A reply is complete.
    pub(crate) fn reply(&mut self, is_right: bool, latency: Duration) {
        if is_right {
            self.right += 1
        } else {
            self.wrong += 1
        }
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(micros);
        self.greatest = self.greatest.max(micros);
    }

    /// More bytes came after a reply that was right.
    pub(crate) fn wrong_after_all(&mut self) {
        self.right -= 1;
        self.wrong += 1;
    }

    /// The part of a reply that came is wrong.
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

    /// Adds to the time for printing.
    pub(crate) fn printed_for(&mut self, time: Duration) {
        self.printing += time;
    }

    pub(crate) fn is_printed(&self) -> bool {
        self.unprinted == 0
    }

    /// Only the first is kept: ten thousand clients of a stopped server have the same error.
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
        write!(f, "; connections failed: {failed}")?;
        if !self.latencies.is_empty() {
            // The histogram returns the upper end of a bucket, which may exceed all values in it.
            let median = self.latencies.value_at_quantile(0.5).min(self.greatest);
            let [median, greatest] = [median, self.greatest].map(|micros| micros as f64 / 1_000.0);
            write!(f, "; latency: median {median:.2} ms, greatest {greatest:.2} ms")?;
            if self.printing >= NOTABLE {
                let seconds = self.printing.as_secs_f64();
                write!(f, " (standard output was waited for {seconds:.2} s, which is part of it)")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_one_latency_is_that_latency() {
        let mut tally = Tally::new(1, 1);
        tally.sent = 1;
        tally.reply(true, Duration::from_micros(1_234_567));
        let text = tally.to_string();
        assert!(text.ends_with("latency: median 1234.57 ms, greatest 1234.57 ms"), "{text}");
    }

    #[test]
    fn messages_that_were_not_sent_and_replies_that_were_not_printed_are_told() {
        let mut tally = Tally::new(3, 5);
        tally.sent = 9;
        (0..9).for_each(|_| tally.reply(true, Duration::ZERO));
        assert!(tally.is_all_right());
        assert!(tally.to_string().contains("messages sent: 9 of 15; replies right: 9"), "{tally}");
        tally.unprinted(2);
        assert!(!tally.is_all_right());
        assert!(tally.to_string().contains(", missing: 0, not printed: 2; "), "{tally}");
    }
}
