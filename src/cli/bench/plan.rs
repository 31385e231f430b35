//! What is to be done.

use std::fmt;
use std::time::Duration;

use super::schedule::Schedule;
use super::sizes::Sizes;

/// The load, and the limits of patience.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) load: Load,
    pub(super) connections: u32,
    /// With `Load::Idle`, all.
    pub(super) active: u32,
    pub(super) sizes: Sizes,
    pub(super) duration: Duration,
    /// Connections a second, until all are open.
    pub(super) ramp: u32,
    pub(super) threads: u32,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) verify: bool,
}

/// Who sends when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// So many messages are under way on each active connection: an answer brings the next message.
    Closed { pipeline: u32 },
    /// So many messages a second are sent, whether answers come or not.
    Open { rate: u32 },
    /// Each connection echoes one message, and is closed and replaced by another.
    Churn,
    /// Nobody sends until the end, and then each one message.
    Idle,
}

impl Load {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::Open { .. } => "open",
            Self::Churn => "churn",
            Self::Idle => "idle",
        }
    }

    /// How many messages may be under way on each active connection while answers come in time.
    pub(super) fn under_way(self) -> u64 {
        match self {
            Self::Closed { pipeline } => pipeline.into(),
            Self::Open { .. } | Self::Churn | Self::Idle => 1,
        }
    }
}

/// In an open loop no more is under way than this, over all threads: what a server does not answer has to fit into
/// memory.
const MOST_BYTES: u64 = 256 << 20;

/// The same in messages, of which each takes some bytes beside its own.
const MOST_MESSAGES: u64 = 1 << 20;

/// Sending may last so much longer than it was to in a short run: a thread that is woken late is no want of speed.
pub(super) const SLACK: Duration = Duration::from_millis(100);

/// And no more than this in a long one.
const MOST_SLACK: Duration = Duration::from_secs(5);

impl Plan {
    /// How many messages may be under way in an open loop, on all connections of one thread: at least one for each.
    pub(super) fn most_under_way(&self) -> u64 {
        let most = (MOST_BYTES / self.sizes.largest() as u64).min(MOST_MESSAGES);
        most.max(self.active.into()).div_ceil(self.threads.into())
    }

    /// For so long after the end what was due before it is still sent.
    pub(super) fn slack(&self) -> Duration {
        (self.duration / 10).clamp(SLACK, MOST_SLACK)
    }

    pub(super) fn schedule(&self) -> Option<Schedule> {
        let Load::Open { rate } = self.load else { return None };
        Some(Schedule { rate: rate.into(), connections: self.active.into() })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, active, sizes, threads, .. } = self;
        match self.load {
            Load::Closed { pipeline } => {
                write!(f, "closed loop: {connections} connections, {active} active")?;
                write!(f, ", {pipeline} under way on each")?;
            }
            Load::Open { rate } => {
                write!(f, "open loop: {connections} connections, {active} active")?;
                write!(f, ", {rate} messages a second")?;
            }
            Load::Churn => write!(f, "churn: {active} connections at a time")?,
            Load::Idle => {
                write!(f, "idle: {connections} connections, held for {:?}", self.duration)?;
            }
        }
        let verified = if self.verify { "every byte verified" } else { "bytes counted only" };
        let plural = if *threads == 1 { "" } else { "s" };
        write!(f, ", {sizes} a message, {verified}, {threads} thread{plural}")
    }
}
