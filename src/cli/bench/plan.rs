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

impl Plan {
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
