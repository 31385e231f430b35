//! The time of a reactor.

use std::time::{Duration, Instant};

/// A turn that takes so long is a slow one.
const SLOW_TURN: Duration = Duration::from_millis(10);

/// The clock of a reactor. All that happens in a turn happens at the time at which the turn began. So the clock of the
/// system is read twice a turn, and not for each event.
///
/// Times are integers since the epoch of the server, as calculations with [`Instant`] take many times as long.
///
/// The clock never goes back. A monotonic clock should not either, but it may where processors disagree or a virtual
/// machine moves. A reading below the last one counts as the last one: time stands still until the system's clock has
/// caught up, and nothing that is due comes early.
#[derive(Debug)]
pub(crate) struct TurnClock {
    epoch: Instant,
    /// The last reading, in nanoseconds.
    latest: u64,
    /// The beginning of this turn, in nanoseconds.
    turn: u64,
    /// The same in milliseconds, rounded down.
    passed: u64,
    /// The same in milliseconds, rounded up.
    stamp: u64,
    /// No turn is stamped earlier than this: a slow turn moves what it has stamped to its end. If the next turn had the
    /// same stamp, and was slow too, it would move that again, and so without end.
    earliest_stamp: u64,
}

impl TurnClock {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch, latest: 0, turn: 0, passed: 0, stamp: 0, earliest_stamp: 0 }
    }

    /// Takes a reading of the system's clock.
    #[inline]
    pub(crate) fn read(&mut self, at: Instant) {
        self.latest = self.latest_with(at);
    }

    /// The last reading, in nanoseconds since the epoch.
    #[inline]
    pub(crate) fn latest(&self) -> u64 {
        self.latest
    }

    /// What the last reading would be after this one.
    #[inline]
    pub(crate) fn latest_with(&self, at: Instant) -> u64 {
        self.nanos_at(at).max(self.latest)
    }

    /// A turn begins with this reading.
    #[inline]
    pub(crate) fn begin_turn(&mut self, at: Instant) {
        self.read(at);
        self.turn = self.latest;
        self.passed = self.turn / NANOS_PER_MILLI;
        self.stamp = self.turn.div_ceil(NANOS_PER_MILLI).max(self.earliest_stamp);
    }

    /// How long this turn has taken until the last reading.
    #[inline]
    pub(crate) fn turn_took(&self) -> Duration {
        Duration::from_nanos(self.latest - self.turn)
    }

    /// Whether this turn has delayed its connections.
    #[inline]
    pub(crate) fn is_slow_turn(&self) -> bool {
        self.turn_took() >= SLOW_TURN
    }

    /// This turn was slow, and ended with the last reading. Returns its stamp, and the stamp of its end.
    pub(crate) fn end_slow_turn(&mut self) -> (u64, u64) {
        let ended = self.latest.div_ceil(NANOS_PER_MILLI);
        self.earliest_stamp = ended + 1;
        (self.stamp, ended)
    }

    /// The time of this turn.
    pub(crate) fn now(&self) -> Instant {
        self.epoch + self.elapsed()
    }

    /// The time of this turn, since the epoch.
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.turn)
    }

    /// The time of this turn in milliseconds since the epoch, rounded up: for what happens in the turn, so that no
    /// deadline of it comes early.
    #[inline]
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp
    }

    /// The time of this turn in milliseconds since the epoch, rounded down: for what is due.
    #[inline]
    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    /// A time in nanoseconds since the epoch. 0 if it is before.
    #[inline]
    pub(crate) fn nanos_at(&self, time: Instant) -> u64 {
        let since = time.saturating_duration_since(self.epoch);
        let whole = since.as_secs().saturating_mul(NANOS_PER_SECOND);
        whole.saturating_add(u64::from(since.subsec_nanos()))
    }
}

pub(crate) const NANOS_PER_MILLI: u64 = 1_000_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_turn_is_stamped_with_the_next_millisecond_and_measured_by_the_last_one() {
        let epoch = Instant::now();
        let mut clock = TurnClock::new(epoch);
        clock.begin_turn(epoch + Duration::from_micros(1_500));
        assert_eq!((clock.passed(), clock.stamp()), (1, 2));
        clock.begin_turn(epoch + Duration::from_millis(3));
        assert_eq!((clock.passed(), clock.stamp()), (3, 3));
        assert_eq!(clock.now(), epoch + Duration::from_millis(3));
    }

    #[test]
    fn time_stands_still_while_the_clock_of_the_system_is_behind() {
        let epoch = Instant::now();
        let mut clock = TurnClock::new(epoch + SECOND);
        clock.begin_turn(epoch);
        assert_eq!(clock.elapsed(), Duration::ZERO);
        clock.begin_turn(epoch + 3 * SECOND);
        clock.read(epoch + 2 * SECOND);
        assert_eq!(clock.turn_took(), Duration::ZERO);
        clock.begin_turn(epoch + 2 * SECOND);
        assert_eq!(clock.elapsed(), 2 * SECOND);
        assert_eq!(clock.latest_with(epoch + 9 * SECOND), 8 * NANOS_PER_SECOND);
    }

    #[test]
    fn no_turn_has_the_stamp_of_the_end_of_a_slow_one() {
        let epoch = Instant::now();
        let mut clock = TurnClock::new(epoch);
        clock.begin_turn(epoch + SECOND);
        clock.read(epoch + 2 * SECOND);
        assert!(clock.is_slow_turn());
        assert_eq!(clock.end_slow_turn(), (1_000, 2_000));
        clock.begin_turn(epoch + 2 * SECOND);
        assert_eq!((clock.passed(), clock.stamp()), (2_000, 2_001));
    }

    #[test]
    fn a_time_beyond_the_range_is_the_last_one() {
        let epoch = Instant::now();
        let far =
            epoch.checked_add(Duration::from_secs(1 << 60)).expect("within the system's range");
        assert_eq!(TurnClock::new(epoch).nanos_at(far), u64::MAX);
    }
}
