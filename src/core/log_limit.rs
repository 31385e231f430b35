//! Saying the same thing no more than once a second.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// Lets one line a second through, with how often it would have been said since the last.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    said: Option<Instant>,
    held_back: u64,
}

impl LogLimit {
    /// Something happened: returns how often, this time included, if it is time to say so.
    pub(crate) fn count(&mut self, now: Instant) -> Option<u64> {
        self.held_back += 1;
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < INTERVAL) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_and_no_occurrence_goes_uncounted() {
        let start = Instant::now();
        let mut limit = LogLimit::default();
        let said: Vec<_> =
            (0..35).filter_map(|at| limit.count(start + Duration::from_millis(at * 100))).collect();
        assert_eq!(said, [1, 10, 10, 10]);
    }
}
