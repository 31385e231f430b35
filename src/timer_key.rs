//! Names of timers.

/// Tells the timers of a connection, or of a reactor, apart. The number has no other meaning.
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
