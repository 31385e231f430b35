//! Names of timers.

/// The name of a timer: any number that the handler chooses.
///
/// # Examples
/// ```
/// use readyloop::TimerKey;
///
/// const LOGIN: TimerKey = TimerKey(1);
/// const PING: TimerKey = TimerKey(2);
/// assert_ne!(LOGIN, PING);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerKey(pub u64);
