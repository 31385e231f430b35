//! What was sent and what came back.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// A reply that takes longer than a day counts as one of a day, in microseconds.
const LONGEST: u64 = 24 * 3_600 * 1_000_000;

/// The count of a script. Each message that was sent has a reply that is right, one that is wrong, or none.
pub(crate) struct Tally {
    clients: u32,
    pub(crate) sent: u64,
    right: u64,
    wrong: u64,
    /// Clients whose connection could not be made, or ended before they were done.
    failed: u32,
    /// In microseconds.
    latencies: Histogram<u64>,
    /// What went wrong first.
    first_trouble: Option<String>,
}

impl Tally {
    pub(crate) fn new(clients: u32) -> Self {
        let latencies =
            Histogram::new_with_max(LONGEST, 3).expect("a histogram takes 0 to 5 digits");
        Self { clients, sent: 0, right: 0, wrong: 0, failed: 0, latencies, first_trouble: None }
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
    }

    /// Behind a reply that was right came more.
    pub(crate) fn wrong_after_all(&mut self) {
        self.right -= 1;
        self.wrong += 1;
    }

    /// What came of a reply before its end is wrong already.
    pub(crate) fn wrong_start(&mut self) {
        self.wrong += 1;
    }

    pub(crate) fn failed(&mut self) {
        self.failed += 1;
    }

    /// Only the first is kept: ten thousand clients of a server that is gone would all say the same.
    pub(crate) fn trouble(&mut self, what: impl FnOnce() -> String) {
        self.first_trouble.get_or_insert_with(what);
    }

    pub(crate) fn first_trouble(&self) -> Option<&str> {
        self.first_trouble.as_deref()
    }

    pub(crate) fn is_all_right(&self) -> bool {
        self.right == self.sent && self.failed == 0
    }

    fn missing(&self) -> u64 {
        self.sent - self.right - self.wrong
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, sent, right, wrong, failed, latencies, .. } = self;
        let missing = self.missing();
        write!(
            f,
            "clients: {clients}; messages sent: {sent}; replies right: {right}, wrong: {wrong}, "
        )?;
        write!(f, "missing: {missing}; connections failed: {failed}")?;
        if !latencies.is_empty() {
            let [median, greatest] = [latencies.value_at_quantile(0.5), latencies.max()]
                .map(|micros| micros as f64 / 1_000.0);
            write!(f, "; latency: median {median:.2} ms, greatest {greatest:.2} ms")?;
        }
        Ok(())
    }
}
