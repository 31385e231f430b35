//! How long to wait before trying again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(200);

/// After so many failures in a row, each of which might have been about one connection only, it waits.
const FAILURES: u32 = 16;

/// How long to wait after failures in a row. It doubles from 10 ms to 200 ms: a passing shortage is hardly
/// noticed, and a lasting one costs next to nothing.
#[derive(Debug)]
pub(crate) struct Backoff {
    wait: Duration,
    /// How many failures were followed by another try at once.
    failures: u32,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { wait: FIRST, failures: 0 }
    }

    /// It failed, and another try at once would fail too: returns how long to wait.
    pub(crate) fn starved(&mut self) -> Duration {
        let wait = self.wait;
        self.wait = (wait * 2).min(LONGEST);
        self.failures = 0;
        wait
    }

    /// It failed, and another try may succeed at once: returns how long to wait if too many have failed in a row.
    pub(crate) fn failed(&mut self) -> Option<Duration> {
        self.failures += 1;
        (self.failures >= FAILURES).then(|| self.starved())
    }

    /// It worked.
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
