//! When messages are due.

/// The messages of an open loop: at a fixed rate over all connections, which send in turn.
///
/// All times are in nanoseconds since the measured time began. They follow from the numbers alone: the server cannot
/// change them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// Messages a second.
    pub(super) rate: u64,
    /// How many connections send them.
    pub(super) connections: u64,
}

const SECOND: u64 = 1_000_000_000;

impl Schedule {
    /// When message `number` of connection `connection` is due, both counted from 0.
    pub(super) fn due(&self, connection: u64, number: u64) -> u64 {
        self.due_of_all(number.saturating_mul(self.connections).saturating_add(connection))
    }

    /// How many messages of all connections are due by `time`.
    fn due_by(&self, time: u64) -> u64 {
        // Message n is due at the whole part of n / rate, so those before (time + 1) * rate are.
        let end = (u128::from(time) + 1) * u128::from(self.rate);
        u64::try_from(end.div_ceil(u128::from(SECOND))).unwrap_or(u64::MAX)
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
    /// The connection that sends next.
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

    /// Takes the next message if it is due at `now`. Returns the index of this thread's connection that has to send it,
    /// and when it was due.
    pub(super) fn take(&mut self, now: u64) -> Option<(usize, u64)> {
        let due = self.next().filter(|due| *due <= now)?;
        let turn = self.turn;
        self.turn += 1;
        if self.turn == self.connections.len() {
            (self.turn, self.round) = (0, self.round + 1);
        }
        Some((turn, due))
    }

    /// How many messages that are due at `now` were not taken, for each of this thread's connections.
    pub(super) fn left(&self, now: u64) -> impl Iterator<Item = u64> {
        let (due, of) = (self.schedule.due_by(now), self.schedule.connections);
        self.connections.iter().enumerate().map(move |(turn, connection)| {
            let taken = self.round + u64::from(turn < self.turn);
            due.saturating_sub(*connection).div_ceil(of).saturating_sub(taken)
        })
    }

    /// Takes all messages that are due at `now`. Its cost does not grow with their number.
    pub(super) fn skip(&mut self, now: u64) {
        let (due, of) = (self.schedule.due_by(now), self.schedule.connections);
        let (mut round, mut turn) = (due / of, self.connections.partition_point(|c| *c < due % of));
        if turn == self.connections.len() {
            (round, turn) = (round + 1, 0);
        }
        (self.round, self.turn) = (self.round, self.turn).max((round, turn));
    }

    /// The same, and returns the number of these messages. Its cost grows with the number of connections.
    pub(super) fn count_and_skip(&mut self, now: u64) -> u64 {
        let skipped = self.left(now).sum();
        self.skip(now);
        skipped
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
    fn skipping_is_taking_one_after_the_other() {
        for (rate, of, mine) in
            [(3, 2, vec![0, 1]), (1_000, 5, vec![1, 4]), (7, 3, vec![2]), (999_983, 4, vec![0, 2])]
        {
            let schedule = Schedule { rate, connections: of };
            for now in [0, 1, 999_999, 333_333_333, 1_000_000, 2 * SECOND, 2 * SECOND + 1] {
                let mut one_by_one = Due::new(schedule, mine.clone());
                one_by_one.take(now);
                let mut at_once = one_by_one.clone();
                let mut left = vec![0; mine.len()];
                while let Some((turn, _)) = one_by_one.take(now) {
                    left[turn] += 1;
                }
                assert_eq!(at_once.left(now).collect::<Vec<_>>(), left, "{rate} {of} {now}");
                assert_eq!(at_once.count_and_skip(now), left.iter().sum::<u64>());
                assert_eq!(
                    (at_once.next(), at_once.turn, at_once.round),
                    (one_by_one.next(), one_by_one.turn, one_by_one.round)
                );
                assert_eq!(at_once.count_and_skip(now), 0);
            }
        }
    }

    #[test]
    fn a_rate_beyond_all_measure_is_counted_at_once() {
        let schedule = Schedule { rate: u64::from(u32::MAX), connections: 100 };
        let mut due = Due::new(schedule, (0..100).collect());
        assert_eq!(due.count_and_skip(3_600 * SECOND - 1), 3_600 * u64::from(u32::MAX));
        assert_eq!(due.next(), Some(3_600 * SECOND));
    }

    #[test]
    fn a_thread_without_connections_has_nothing_to_send() {
        let mut due = Due::new(Schedule { rate: 1, connections: 1 }, Vec::new());
        assert_eq!((due.next(), due.take(u64::MAX)), (None, None));
        assert_eq!((due.count_and_skip(SECOND), due.next()), (0, None));
    }
}
