//! The results of each second.

use std::collections::VecDeque;

use serde::Serialize;

use super::latency::Latencies;

/// One second of the measured time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Second {
    /// Counted from 0.
    pub(super) second: u64,
    /// How many messages were answered in it.
    pub(super) messages: u64,
    /// `None` if no message was answered.
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
}

/// Sums up the seconds of several threads.
///
/// Each thread reports its seconds in order until it ends. A second is summed up when every running thread has reported
/// it. So latencies are only kept for the seconds between the slowest thread and the fastest.
#[derive(Debug)]
pub(super) struct Series {
    /// How many threads have not ended.
    threads: usize,
    done: Vec<Second>,
    pending: VecDeque<(usize, Latencies)>,
    all: Latencies,
}

impl Series {
    pub(super) fn new(threads: usize) -> Self {
        Self { threads, done: Vec::new(), pending: VecDeque::new(), all: Latencies::new() }
    }

    /// Adds a second of one thread.
    pub(super) fn add(&mut self, second: u64, latencies: &Latencies) {
        self.all.add(latencies);
        let index = second as usize - self.done.len();
        while self.pending.len() <= index {
            self.pending.push_back((0, Latencies::new()));
        }
        let (threads, sum) = &mut self.pending[index];
        *threads += 1;
        sum.add(latencies);
        self.finish_some();
    }

    /// A thread has ended. It has reported `seconds` seconds.
    pub(super) fn end(&mut self, seconds: u64) {
        self.threads = self.threads.saturating_sub(1);
        // In the seconds that it has reported, it no longer counts as a running thread.
        let reported = (seconds as usize).saturating_sub(self.done.len());
        self.pending.iter_mut().take(reported).for_each(|(threads, _)| *threads -= 1);
        self.finish_some();
    }

    fn finish_some(&mut self) {
        while self.pending.front().is_some_and(|(threads, _)| *threads == self.threads) {
            self.finish_one();
        }
    }

    fn finish_one(&mut self) {
        let Some((_, sum)) = self.pending.pop_front() else { return };
        let percentile = |percent| (!sum.is_empty()).then(|| sum.percentile(percent));
        self.done.push(Second {
            second: self.done.len() as u64,
            messages: sum.len(),
            p50_us: percentile(50.0),
            p99_us: percentile(99.0),
        });
    }

    /// The last second that all threads have reported.
    pub(super) fn last(&self) -> Option<&Second> {
        self.done.last()
    }

    /// Returns all seconds, and the latencies of all seconds together.
    pub(super) fn finish(mut self) -> (Vec<Second>, Latencies) {
        while !self.pending.is_empty() {
            self.finish_one();
        }
        (self.done, self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(values: &[u64]) -> Latencies {
        let mut latencies = Latencies::new();
        values.iter().for_each(|value| latencies.record(*value));
        latencies
    }

    #[test]
    fn a_second_is_summed_up_when_all_threads_have_reported_of_it() {
        let mut series = Series::new(2);
        series.add(0, &latencies(&[1_000, 1_000]));
        series.add(1, &latencies(&[5_000]));
        assert_eq!(series.last(), None);
        series.add(0, &latencies(&[1_000]));
        assert_eq!(series.last().map(|second| (second.second, second.messages)), Some((0, 3)));
        let (seconds, all) = series.finish();
        let counts: Vec<_> = seconds.iter().map(|second| second.messages).collect();
        assert_eq!((counts, all.len()), (vec![3, 1], 4));
        assert_eq!((seconds[0].p50_us, seconds[1].p99_us), (Some(1.0), Some(5.0)));
    }

    #[test]
    fn a_thread_that_has_ended_is_not_waited_for() {
        let mut series = Series::new(3);
        (0..2).for_each(|second| series.add(second, &latencies(&[1])));
        (0..5).for_each(|second| series.add(second, &latencies(&[1])));
        series.end(2);
        assert_eq!((series.done.len(), series.pending.len()), (0, 5));
        (0..4).for_each(|second| series.add(second, &latencies(&[1])));
        assert_eq!((series.done.len(), series.pending.len()), (4, 1));
        series.end(4);
        (5..100).for_each(|second| series.add(second, &latencies(&[1])));
        assert!(series.pending.is_empty());
        series.end(100);
        let (seconds, all) = series.finish();
        let counts: Vec<_> = seconds.iter().map(|second| second.messages).collect();
        assert_eq!((&counts[..5], counts.len(), all.len()), (&[3, 3, 2, 2, 1][..], 100, 106));
    }

    #[test]
    fn a_second_without_answers_is_there_and_has_no_latency() {
        let mut series = Series::new(1);
        series.add(0, &latencies(&[]));
        series.add(1, &latencies(&[1]));
        let (seconds, _) = series.finish();
        assert_eq!((seconds[0].messages, seconds[0].p99_us), (0, None));
        assert_eq!(seconds[1].messages, 1);
    }
}
