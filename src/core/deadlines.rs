//! Deadlines that all lie the same time ahead.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A queue of things that are due a fixed time after they were added.
///
/// As they all wait equally long, they come due in the order of adding: a plain queue is a timer
/// wheel for one duration, with O(1) for adding and for expiring. Nothing is ever cancelled; what
/// has ended meanwhile is for the caller to recognise.
#[derive(Debug)]
pub(crate) struct Deadlines<T> {
    after: Duration,
    queue: VecDeque<(Instant, T)>,
}

impl<T> Deadlines<T> {
    pub(crate) fn new(after: Duration) -> Self {
        Self { after, queue: VecDeque::new() }
    }

    /// What is added from now on waits so long, and at least as long as what was added before.
    pub(crate) fn set_time(&mut self, after: Duration) {
        self.after = after;
    }

    /// A time that lies beyond the clock's end never comes: then nothing is added.
    pub(crate) fn add(&mut self, now: Instant, item: T) {
        if let Some(due) = now.checked_add(self.after) {
            self.queue.push_back((due, item));
        }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.front().map(|(due, _)| *due)
    }

    /// Takes out the next one that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let item = self.queue.pop_front_if(|(due, _)| *due <= now).map(|(_, item)| item);
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_due_in_order_and_not_before_their_time() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(Duration::from_secs(5));
        deadlines.add(start, 'a');
        deadlines.add(start + Duration::from_secs(1), 'b');
        assert_eq!(deadlines.next(), Some(start + Duration::from_secs(5)));
        assert_eq!(deadlines.pop_due(start + Duration::from_millis(4_999)), None);
        assert_eq!(deadlines.pop_due(start + Duration::from_secs(5)), Some('a'));
        assert_eq!(deadlines.pop_due(start + Duration::from_secs(5)), None);
        assert_eq!(deadlines.pop_due(start + Duration::from_secs(6)), Some('b'));
        assert_eq!(deadlines.next(), None);
    }
}
