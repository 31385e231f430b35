//! What is logged no more than once a second, however often it happens.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::core::admission::Refusal;
use crate::core::rate_limiter::RateLimiter;
use crate::id::ConnId;

/// An event that may come in floods: peers can cause it, or it lasts.
#[derive(Debug)]
pub(super) enum Notice {
    /// `accept` failed, and another try may succeed.
    AcceptFailed {
        listener: SocketAddr,
        error: String,
    },
    /// `accept` failed for lack of descriptors or memory.
    AcceptStarved {
        listener: SocketAddr,
        error: String,
    },
    /// A connection could not be begun for lack of descriptors or memory.
    DialStarved {
        step: &'static str,
        error: String,
    },
    /// The system does not watch a connection.
    Unregistered {
        peer: SocketAddr,
        error: String,
    },
    Refused {
        peer: SocketAddr,
        refusal: Refusal,
    },
    Evicted {
        peer: SocketAddr,
    },
    Shed {
        peer: SocketAddr,
        budget: usize,
        held: usize,
    },
    SlowTurn {
        took: Duration,
        why: String,
    },
    /// A callback returned an error, which ends its connection.
    HandlerFailed {
        id: ConnId,
        peer: SocketAddr,
        error: String,
    },
}

/// How many kinds of notices there are; each has a second of its own.
const KINDS: usize = 11;

impl Notice {
    fn kind(&self) -> usize {
        match self {
            Self::AcceptFailed { .. } => 0,
            Self::AcceptStarved { .. } => 1,
            Self::DialStarved { .. } => 2,
            Self::Unregistered { .. } => 3,
            Self::Refused { refusal: Refusal::Full, .. } => 4,
            Self::Refused { refusal: Refusal::PerIp, .. } => 5,
            Self::Refused { refusal: Refusal::Rate, .. } => 6,
            Self::Evicted { .. } => 7,
            Self::Shed { .. } => 8,
            Self::SlowTurn { .. } => 9,
            Self::HandlerFailed { .. } => 10,
        }
    }

    /// One line for all that were counted, of which this is the last.
    fn log(&self, times: u64) {
        let (connections, attempts) = (Count(times, "connection"), Count(times, "time"));
        match self {
            Self::AcceptFailed { listener, error } => {
                log::warn!("accept on {listener} failed {attempts}, the last time: {error}");
            }
            Self::AcceptStarved { listener, error } => {
                log::warn!("cannot accept on {listener} for now ({attempts}): {error}");
            }
            Self::DialStarved { step, error } => {
                log::warn!("cannot open connections for now ({attempts}): {step} failed: {error}");
            }
            Self::Unregistered { peer, error } => {
                log::warn!("reset {connections}, the last from {peer}: register failed: {error}")
            }
            Self::Refused { peer, refusal } => {
                let why = match refusal {
                    Refusal::Full => "max_connections is reached",
                    Refusal::PerIp => "its address has reached max_per_ip",
                    Refusal::Rate => "accept_rate is exceeded",
                };
                log::warn!("refused {connections}, the last from {peer}: {why}");
            }
            Self::Evicted { peer } => {
                log::warn!("evicted {connections} to make room for new ones, the last from {peer}");
            }
            Self::Shed { peer, budget, held } => log::warn!(
                "reset {connections}, the last from {peer}: the queue_budget of {budget} bytes is used up, and the \
                 {held} bytes that the connection holds have not moved"
            ),
            Self::SlowTurn { took, why } => {
                let turns = Count(times, "turn");
                log::warn!("{turns} took too long, the last {took:.1?}: {why}");
            }
            Self::HandlerFailed { id, peer, error } => {
                log::warn!(
                    "errors of the handler ended {connections}, the last {id} {peer}: {error}"
                );
            }
        }
    }
}

/// A number of things, in words.
struct Count(u64, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, thing) = self;
        write!(f, "{number} {thing}{}", if *number == 1 { "" } else { "s" })
    }
}

/// Logs each kind of notice once a second at most, with the number of those that were held back since. These are
/// logged when the second is over, and at the end of the reactor: the numbers in the log add up.
#[derive(Debug, Default)]
pub(super) struct RateLimitedLog {
    kinds: [RateLimiter<Notice>; KINDS],
    /// When the first of what was held back is due: every turn asks, and hardly ever was something held back.
    due: Option<Instant>,
}

impl RateLimitedLog {
    pub(super) fn add(&mut self, notice: Notice, now: Instant) {
        if !Self::is_enabled() {
            return;
        }
        let limiter = &mut self.kinds[notice.kind()];
        match limiter.count(notice, now) {
            Some((times, last)) => {
                last.log(times);
                self.find_due();
            }
            None => self.due = [self.due, limiter.due()].into_iter().flatten().min(),
        }
    }

    /// Whether anything is logged at all: if not, a notice need not be made.
    pub(super) fn is_enabled() -> bool {
        log::log_enabled!(log::Level::Warn)
    }

    /// When the reactor has to wake up for what was held back.
    #[inline]
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Logs what is due.
    #[inline]
    pub(super) fn go_on(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.log_if(now, |due| due <= now);
        }
    }

    /// Logs whatever was held back.
    pub(super) fn finish(&mut self, now: Instant) {
        self.log_if(now, |_| true);
    }

    fn log_if(&mut self, now: Instant, is_time: impl Fn(Instant) -> bool) {
        for limiter in &mut self.kinds {
            if limiter.due().is_some_and(&is_time)
                && let Some((times, last)) = limiter.take(now)
            {
                last.log(times);
            }
        }
        self.find_due();
    }

    fn find_due(&mut self) {
        self.due = self.kinds.iter().filter_map(RateLimiter::due).min();
    }
}
