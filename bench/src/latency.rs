//! Latencies of answers.

use hdrhistogram::Histogram;
use serde::Serialize;

/// An hour, in nanoseconds. A longer latency counts as this.
const LONGEST: u64 = 3_600_000_000_000;

/// Latencies in nanoseconds, to three digits, in memory of a fixed size.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    histogram: Histogram<u64>,
    /// These three are exact.
    min: u64,
    max: u64,
    sum: u128,
}

impl Latencies {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 3);
        let histogram =
            histogram.expect("the bounds are apart and three digits are less than five");
        Self { histogram, min: u64::MAX, max: 0, sum: 0 }
    }

    pub(super) fn record(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds);
        self.min = self.min.min(nanoseconds);
        self.max = self.max.max(nanoseconds);
        self.sum += u128::from(nanoseconds);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("both have the same bounds");
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
    }

    pub(super) fn len(&self) -> u64 {
        self.histogram.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    /// The latency that this percentage did not exceed, in microseconds.
    pub(super) fn percentile(&self, percent: f64) -> f64 {
        // The value is the upper end of a bucket, which may be above the maximum, or the end of the last bucket, which
        // may be below it.
        let value = self.histogram.value_at_percentile(percent);
        microseconds(value.max(self.min).min(self.max))
    }

    pub(super) fn min(&self) -> f64 {
        microseconds(self.min)
    }

    pub(super) fn max(&self) -> f64 {
        microseconds(self.max)
    }

    /// The exact mean. The mean of the buckets may lie outside of `min` and `max`.
    #[expect(clippy::cast_precision_loss, reason = "a part in 2^53 is less than what is measured")]
    pub(super) fn mean(&self) -> f64 {
        let mean = self.sum as f64 / self.len().max(1) as f64 / 1_000.0;
        mean.max(self.min()).min(self.max())
    }
}

/// The latencies of a report, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct LatencyReport {
    pub(super) min: f64,
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) p9999: f64,
    pub(super) max: f64,
}

impl LatencyReport {
    /// `None` if there are no latencies.
    pub(super) fn new(latencies: &Latencies) -> Option<Self> {
        let at = |percent| latencies.percentile(percent);
        (!latencies.is_empty()).then(|| Self {
            min: latencies.min(),
            mean: latencies.mean(),
            p50: at(50.0),
            p90: at(90.0),
            p99: at(99.0),
            p999: at(99.9),
            p9999: at(99.99),
            max: latencies.max(),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a part in 2^53 is less than what is measured")]
fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_kept_to_three_digits_and_the_sum_of_two_is_theirs() {
        let (mut low, mut high) = (Latencies::new(), Latencies::new());
        (1..=500).for_each(|number| low.record(number * 1_000));
        (501..=1_000).for_each(|number| high.record(number * 1_000));
        low.add(&high);
        assert_eq!(low.len(), 1_000);
        for (percent, expected) in [(50.0, 500.0), (99.0, 990.0), (100.0, 1_000.0)] {
            let found = low.percentile(percent);
            assert!((found - expected).abs() <= expected / 1_000.0, "{percent}: {found}");
        }
        assert!(low.percentile(100.0) <= low.max());
    }

    #[test]
    fn no_figure_lies_outside_of_least_and_greatest() {
        let thousand: Vec<u64> = (0..1_000).map(|number| number * number * 7_919).collect();
        let longest = [u64::MAX - 1, u64::MAX];
        for values in [&[1_234_567][..], &[1_025, 1_025, 1_025], &[0], &longest, &thousand] {
            let mut all = Latencies::new();
            values.iter().for_each(|value| all.record(*value));
            let mut sum = Latencies::new();
            sum.add(&all);
            for latencies in [all, sum] {
                let (min, max) = (latencies.min(), latencies.max());
                let percentiles = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0];
                let percentiles = percentiles.map(|percent| latencies.percentile(percent));
                assert!(percentiles.is_sorted(), "{percentiles:?}");
                for figure in percentiles.into_iter().chain([latencies.mean()]) {
                    assert!((min..=max).contains(&figure), "{figure} of {min} to {max}");
                }
            }
        }
    }

    #[test]
    fn what_took_longer_than_an_hour_is_not_forgotten() {
        let mut latencies = Latencies::new();
        latencies.record(u64::MAX);
        assert_eq!(latencies.len(), 1);
        assert!(latencies.max() >= 3_600_000_000.0);
    }
}
