//! The time of the run.

use std::time::{Duration, Instant};

/// Nanoseconds since the run began: half as large as an `Instant`, and a message under way costs one.
///
/// It is read once in each callback that brings answers, behind the wait and before the verifying. That reading
/// is the end of those messages and the beginning of the next ones, which go out when the callback returns.
/// The alternative, the time of the reactor's turn, costs nothing, but would be wrong at both ends: in a turn
/// that serves a thousand connections the last of them would be sent to a whole turn after its time, and its
/// answer be counted a whole turn too early. What is measured includes the bench's own verifying, and the
/// time that an answer waits while the bench is busy with others; never less than the server took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    zero: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { zero: Instant::now() }
    }

    pub(super) fn now(self) -> u64 {
        nanoseconds(self.zero.elapsed())
    }

    /// How long it is until then.
    pub(super) fn until(self, time: u64) -> Duration {
        Duration::from_nanos(time.saturating_sub(self.now()))
    }
}

/// More than five hundred years are that many.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
