//! The time of the run.

use std::time::{Duration, Instant};

/// The time in nanoseconds since the run began. It is half as large as an `Instant`: each message under way has two.
///
/// It is read once in each callback that brings answers, before they are verified. That reading ends the latency of
/// these messages and begins that of the next ones, which go out when the callback returns. The time of the reactor's
/// turn would cost nothing, but would be wrong at both ends: in a turn that serves a thousand connections, the last is
/// served a whole turn later. A latency includes the verifying and the time that an answer waits while the bench is
/// busy with others. It is never less than what the server took.
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

/// `u64` holds the nanoseconds of more than five hundred years.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
