//! Reports one kind of event at most once a second.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_secs(1);

/// Reports at most one event a second, with the number of events since the last report. No event is lost: events that
/// were held back are reported when the second is over, even if no further event happens.
#[derive(Debug)]
pub(crate) struct RateLimiter<E> {
    /// When the last report was made.
    told: Option<Instant>,
    /// How many events were held back since then, and the last of them.
    held_back: Option<(u64, E)>,
}

impl<E> Default for RateLimiter<E> {
    fn default() -> Self {
        Self { told: None, held_back: None }
    }
}

impl<E> RateLimiter<E> {
    /// Counts an event. If a report is due, returns it, and how many events it stands for.
    pub(crate) fn count(&mut self, event: E, now: Instant) -> Option<(u64, E)> {
        let times = 1 + self.held_back.take().map_or(0, |(times, _)| times);
        self.held_back = Some((times, event));
        if self.due().is_some_and(|due| now < due) { None } else { self.take(now) }
    }

    /// When the events that were held back have to be reported. `None` if there are none.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.held_back.as_ref()?;
        self.told?.checked_add(INTERVAL)
    }

    /// Returns the events that were held back, due or not.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(u64, E)> {
        let held_back = self.held_back.take()?;
        self.told = Some(now);
        Some(held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64, start: Instant) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn one_line_a_second_and_no_event_goes_uncounted() {
        let start = Instant::now();
        let mut limiter = RateLimiter::default();
        let told: Vec<_> =
            (0..35).filter_map(|event| limiter.count(event, at(event * 100, start))).collect();
        assert_eq!(told, [(1, 0), (10, 10), (10, 20), (10, 30)]);
        assert_eq!(limiter.due(), Some(at(4_000, start)));
        assert_eq!(limiter.take(at(4_000, start)), Some((4, 34)));
    }

    #[test]
    fn nothing_is_due_after_an_event_that_passed_at_once() {
        let start = Instant::now();
        let mut limiter = RateLimiter::default();
        assert_eq!(limiter.count("only", start), Some((1, "only")));
        assert_eq!((limiter.due(), limiter.take(at(5_000, start))), (None, None));
    }

    #[test]
    fn a_late_report_begins_another_second() {
        let start = Instant::now();
        let mut limiter = RateLimiter::default();
        limiter.count(1, start);
        assert_eq!(limiter.count(2, at(10, start)), None);
        assert_eq!(limiter.take(at(1_000, start)), Some((1, 2)));
        assert_eq!(limiter.count(3, at(1_010, start)), None);
        assert_eq!(limiter.due(), Some(at(2_000, start)));
    }

    #[test]
    fn a_clock_that_steps_back_changes_nothing() {
        let start = Instant::now();
        let mut limiter = RateLimiter::default();
        limiter.count(1, at(1_000, start));
        assert_eq!(limiter.count(2, start), None);
        assert_eq!(limiter.due(), Some(at(2_000, start)));
    }
}
