//! A rate limit.

use std::time::{Duration, Instant};

/// Admits `per_second` events on average, and `burst` at once after a quiet time.
///
/// It is the leaky bucket as a meter in its virtual-scheduling form (GCRA, ITU-T I.371): the only state is one instant,
/// and it is exact to the nanosecond.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    interval: Duration,
    /// How far the schedule may be ahead of the clock.
    tolerance: Duration,
    /// When the next event would be due at an even rate.
    due: Option<Instant>,
}

impl TokenBucket {
    /// `per_second` and `burst` are at least 1.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second;
        Self { interval, tolerance: interval * (burst - 1), due: None }
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let due = self.due.map_or(now, |due| due.max(now));
        let admitted = due.saturating_duration_since(now) <= self.tolerance;
        if admitted {
            self.due = Some(due + self.interval);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_goes_through_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 5);
        let admitted = |bucket: &mut TokenBucket, at| (0..20).filter(|_| bucket.take(at)).count();
        assert_eq!(admitted(&mut bucket, start), 5);
        assert_eq!(admitted(&mut bucket, start + Duration::from_millis(99)), 0);
        assert_eq!(admitted(&mut bucket, start + Duration::from_millis(100)), 1);
        assert_eq!(admitted(&mut bucket, start + Duration::from_millis(400)), 3);
        assert_eq!(
            admitted(&mut bucket, start + Duration::from_secs(60)),
            5,
            "no more than a burst is saved"
        );
    }

    proptest! {
        #[test]
        fn no_window_sees_more_than_the_rate_and_a_burst(
            per_second in 1..1_000u32,
            burst in 1..50u32,
            gaps in prop::collection::vec(0..20_000u64, 1..300),
        ) {
            let start = Instant::now();
            let mut bucket = TokenBucket::new(per_second, burst);
            let mut now = start;
            let mut admitted = Vec::new();
            for gap in gaps {
                now += Duration::from_micros(gap);
                if bucket.take(now) {
                    admitted.push(now);
                }
            }
            for (first, from) in admitted.iter().enumerate() {
                for (last, to) in admitted.iter().enumerate().skip(first) {
                    let most = f64::from(burst) + (*to - *from).as_secs_f64() * f64::from(per_second);
                    prop_assert!((last - first + 1) as f64 <= most + 1e-3);
                }
            }
        }
    }
}
