//! How long to wait before the next try.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(200);

/// Failures that may each concern a single connection are retried at once. After this many in a row there is a wait.
const FAILURES: u32 = 16;

/// The wait after failures in a row. It doubles from 10 ms to 200 ms: a short shortage is hardly noticed, and a long
/// one costs almost nothing.
#[derive(Debug)]
pub(crate) struct Backoff {
    wait: Duration,
    /// How many failures were followed by a try at once.
    failures: u32,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { wait: FIRST, failures: 0 }
    }

    /// A try failed, and another one would fail too. Returns how long to wait.
    pub(crate) fn starved(&mut self) -> Duration {
        let wait = self.wait;
        self.wait = (wait * 2).min(LONGEST);
        self.failures = 0;
        wait
    }

    /// A try failed, and another one may succeed. Returns how long to wait if too many have failed in a row.
    pub(crate) fn failed(&mut self) -> Option<Duration> {
        self.failures += 1;
        (self.failures >= FAILURES).then(|| self.starved())
    }

    /// A try succeeded.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_its_end_and_starts_again_after_a_success() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..7).map(|_| backoff.starved().as_millis()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 200, 200]);
        backoff.reset();
        assert_eq!(backoff.starved(), FIRST);
    }

    #[test]
    fn some_failures_in_a_row_are_tried_again_at_once_and_then_it_waits() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..3 * FAILURES).map(|_| backoff.failed()).collect();
        let pauses: Vec<_> = waits.iter().flatten().map(Duration::as_millis).collect();
        assert_eq!(pauses, [10, 20, 40]);
        assert!(waits[..FAILURES as usize - 1].iter().all(Option::is_none));
        backoff.reset();
        assert_eq!(backoff.failed(), None);
        assert_eq!(backoff.starved(), FIRST);
    }
}
