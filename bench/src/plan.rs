//! What a run does.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::error::Error;
use super::schedule::Schedule;
use super::sizes::Sizes;

/// What a run does: the load, and the timeouts.
///
/// `Plan::default()` is what `readyloop bench` does without flags.
///
/// # Examples
/// See [above](crate#examples).
#[derive(Clone, Debug)]
pub struct Plan {
    /// When connections send messages.
    pub load: Load,
    /// How many connections are open at once.
    pub connections: u32,
    /// How many of them carry messages. The rest are open and idle. With [`Load::Idle`] and [`Load::Churn`], all.
    pub active: u32,
    /// How long messages are.
    pub sizes: Sizes,
    /// How long the run measures, once all connections are open.
    pub duration: Duration,
    /// How many connections are opened a second.
    pub ramp: u32,
    /// How many threads make the load, each with a reactor.
    pub threads: u32,
    /// A connection that is not open after this time has failed.
    pub connect_timeout: Duration,
    /// A message that is not answered after this time is an error, and its connection is given up. So is a connection
    /// that the server does not close, with [`Load::Churn`].
    pub timeout: Duration,
    /// Whether each byte of an answer is compared with what was sent. If not, bytes are only counted.
    pub verify: bool,
    /// The addresses to connect from, in turn; their ports are 0. If there are none, the kernel chooses. If one address
    /// of 127.0.0.0/8 does not have enough ports, the run uses several.
    pub sources: Vec<SocketAddr>,
    /// The server's process on this machine. The report then has its processor time and memory.
    pub server_pid: Option<u32>,
}

/// When connections send messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Load {
    /// Closed loop: each answer brings the next message.
    Closed {
        /// How many messages are under way on each active connection.
        pipeline: u32,
    },
    /// Open loop: messages are sent at a fixed rate, whether answers come or not. Latency counts from when a message
    /// was due.
    Open {
        /// How many messages a second are sent over all active connections.
        rate: u32,
    },
    /// Each connection echoes one message, is closed, and is replaced by another. Latency counts from the start of the
    /// connect.
    Churn,
    /// No connection sends for [`duration`](Plan::duration). Then each echoes one message.
    Idle,
}

/// A bound of the bytes that may be under way at once: they take memory here and in the server.
const MOST_UNDER_WAY: u64 = 1 << 30;

/// The same in messages: each takes some bytes beside its own.
const MOST_MESSAGES_UNDER_WAY: u64 = 1 << 24;

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

/// The limit of bytes under way in an open loop, over all threads: messages that the server does not answer take
/// memory.
const MOST_BYTES: u64 = 256 << 20;

/// The limit of messages under way in an open loop. Each takes some bytes beside its own.
const MOST_MESSAGES: u64 = 1 << 20;

/// How much longer sending may last in a short run: a thread that wakes up late is not too slow.
pub(super) const SLACK: Duration = Duration::from_millis(100);

/// How much longer sending may last in a long run.
const MOST_SLACK: Duration = Duration::from_secs(5);

impl Plan {
    /// Whether the plan can be carried out.
    ///
    /// # Errors
    /// [`Error::Plan`] if a number is 0, if numbers contradict each other, or if more than 1 GiB or 16,777,216 messages
    /// would be under way at once.
    ///
    /// # Examples
    /// ```
    /// use readyloop_bench::Plan;
    ///
    /// assert!(Plan::default().check().is_ok());
    /// assert!(Plan { active: 101, connections: 100, ..Plan::default() }.check().is_err());
    /// ```
    pub fn check(&self) -> Result<(), Error> {
        self.contradiction().map_or(Ok(()), |problem| Err(Error::Plan(problem)))
    }

    fn contradiction(&self) -> Option<String> {
        let Self { connections, active, threads, .. } = *self;
        if let Some(flag) = self.zero() {
            return Some(format!("{flag} 0: at least 1 is needed"));
        }
        if active > connections {
            return Some(format!("--active {active} is more than --connections {connections}"));
        }
        if self.load == Load::Churn && active < connections {
            return Some(format!(
                "--connections {connections} is more than --active {active}, but with --churn all connections \
                 are active: leave out --connections"
            ));
        }
        if threads > active {
            return Some(format!(
                "--threads {threads} is more than the number of active connections, {active}"
            ));
        }
        let messages = u64::from(active).saturating_mul(self.load.under_way());
        let bytes = messages.saturating_mul(self.sizes.largest() as u64);
        let (under_way, most, what) = match () {
            () if bytes > MOST_UNDER_WAY => (bytes, MOST_UNDER_WAY, "bytes"),
            () if messages > MOST_MESSAGES_UNDER_WAY => {
                (messages, MOST_MESSAGES_UNDER_WAY, "messages")
            }
            () => return None,
        };
        Some(format!(
            "{under_way} {what} would be under way at once, and the limit is {most}: lower --size, \
             --pipeline or --active"
        ))
    }

    /// The flag of a number that is 0 and must not be.
    fn zero(&self) -> Option<&'static str> {
        let of_load = match self.load {
            Load::Closed { pipeline } => ("--pipeline", pipeline.into()),
            Load::Open { rate } => ("--rate", rate.into()),
            Load::Churn | Load::Idle => ("", 1),
        };
        let numbers = [
            of_load,
            ("--connections", self.connections.into()),
            ("--active", self.active.into()),
            ("--ramp", self.ramp.into()),
            ("--threads", self.threads.into()),
            ("--duration", self.duration.as_nanos()),
            ("--connect-timeout", self.connect_timeout.as_nanos()),
            ("--timeout", self.timeout.as_nanos()),
        ];
        numbers.into_iter().find_map(|(flag, number)| (number == 0).then_some(flag))
    }

    /// How many messages may be under way in an open loop on all connections of one thread: at least one for each.
    pub(super) fn most_under_way(&self) -> u64 {
        let most = (MOST_BYTES / self.sizes.largest() as u64).min(MOST_MESSAGES);
        most.max(self.active.into()).div_ceil(self.threads.into())
    }

    /// How long after the end of the run the bench still sends messages that were due before the end.
    pub(super) fn slack(&self) -> Duration {
        (self.duration / 10).clamp(SLACK, MOST_SLACK)
    }

    pub(super) fn schedule(&self) -> Option<Schedule> {
        let Load::Open { rate } = self.load else { return None };
        Some(Schedule { rate: rate.into(), connections: self.active.into() })
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            load: Load::Closed { pipeline: 1 },
            connections: 100,
            active: 100,
            sizes: Sizes::default(),
            duration: Duration::from_secs(5),
            ramp: 10_000,
            threads: 1,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            verify: true,
            sources: Vec::new(),
            server_pid: None,
        }
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

#[cfg(test)]
impl Plan {
    /// A plan whose numbers differ from each other.
    pub(crate) fn sample() -> Self {
        Self {
            load: Load::Closed { pipeline: 2 },
            connections: 10,
            active: 4,
            duration: Duration::from_secs(2),
            ramp: 1,
            threads: 1,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            ..Self::default()
        }
    }
}
