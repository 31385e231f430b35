//! When messages are due.

/// An open loop's messages: so many a second for all connections together, dealt out in turn.
///
/// All times are in nanoseconds since the measured time began, and follow from the numbers alone: nothing
/// that a server does moves them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// Messages a second.
    pub(super) rate: u64,
    /// Among so many connections.
    pub(super) connections: u64,
}

const SECOND: u64 = 1_000_000_000;

impl Schedule {
    /// When message `number` of connection `connection` is due, both counted from 0.
    pub(super) fn due(&self, connection: u64, number: u64) -> u64 {
        self.due_of_all(number.saturating_mul(self.connections).saturating_add(connection))
    }

    /// When a message is due, counted over all connections.
    fn due_of_all(&self, number: u64) -> u64 {
        let (seconds, rest) = (number / self.rate, number % self.rate);
        let part = u128::from(rest) * u128::from(SECOND) / u128::from(self.rate);
        seconds.saturating_mul(SECOND).saturating_add(part as u64)
    }
}

/// The part of a schedule that belongs to the connections of one thread, in order.
#[derive(Clone, Debug)]
pub(super) struct Due {
    schedule: Schedule,
    /// The connections' numbers among all active ones, rising.
    connections: Vec<u64>,
    /// Whose message is the next.
    turn: usize,
    round: u64,
}

impl Due {
    pub(super) fn new(schedule: Schedule, connections: Vec<u64>) -> Self {
        Self { schedule, connections, turn: 0, round: 0 }
    }

    /// When the next message is due; `None` if this thread has no connections.
    pub(super) fn next(&self) -> Option<u64> {
        let connection = *self.connections.get(self.turn)?;
        Some(self.schedule.due(connection, self.round))
    }

    /// Takes the next message if it is due at `now`: which of this thread's connections has to send it, and
    /// when it was due.
    pub(super) fn take(&mut self, now: u64) -> Option<(usize, u64)> {
        let due = self.next().filter(|due| *due <= now)?;
        let turn = self.turn;
        self.turn += 1;
        if self.turn == self.connections.len() {
            (self.turn, self.round) = (0, self.round + 1);
        }
        Some((turn, due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_evenly_and_without_drift() {
        let schedule = Schedule { rate: 3, connections: 2 };
        let dues: Vec<_> =
            (0..3).flat_map(|round| [schedule.due(0, round), schedule.due(1, round)]).collect();
        assert_eq!(
            dues,
            [0, 333_333_333, 666_666_666, 1_000_000_000, 1_333_333_333, 1_666_666_666]
        );
        let hour = Schedule { rate: 999_983, connections: 7 };
        assert_eq!(hour.due_of_all(999_983 * 3_600), 3_600 * SECOND);
    }

    #[test]
    fn all_threads_together_send_each_message_once_and_in_order() {
        let schedule = Schedule { rate: 1_000, connections: 5 };
        let mut parts = [
            Due::new(schedule, vec![0, 3]),
            Due::new(schedule, vec![1, 4]),
            Due::new(schedule, vec![2]),
        ];
        let mut all = Vec::new();
        for part in &mut parts {
            let mine: Vec<_> = std::iter::from_fn(|| part.take(SECOND - 1)).collect();
            assert!(mine.is_sorted_by_key(|(_, due)| *due));
            all.extend(mine.into_iter().map(|(_, due)| due));
        }
        all.sort_unstable();
        let expected: Vec<_> = (0..1_000).map(|number| number * 1_000_000).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn nothing_is_taken_before_it_is_due_and_what_is_late_keeps_its_time() {
        let schedule = Schedule { rate: 10, connections: 1 };
        let mut due = Due::new(schedule, vec![0]);
        assert_eq!(due.take(0), Some((0, 0)));
        assert_eq!(due.take(99_999_999), None);
        assert_eq!(due.take(5 * SECOND), Some((0, 100_000_000)));
        assert_eq!(due.next(), Some(200_000_000));
    }

    #[test]
    fn a_thread_without_connections_has_nothing_to_send() {
        let mut due = Due::new(Schedule { rate: 1, connections: 1 }, Vec::new());
        assert_eq!((due.next(), due.take(u64::MAX)), (None, None));
    }
}
