//! Who takes how long.

use std::time::{Duration, Instant};

use super::Reactor;
use super::rate_limited_log::Notice;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::Net;

/// What a part of a turn was spent on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Served {
    Conn(ConnId),
    /// A timer of the reactor itself.
    Tick,
    Message,
}

/// The time of a turn, divided up.
#[derive(Debug)]
pub(super) struct Laps {
    /// Since when the turn is spent on what. A bare reading of the clock, which may step back: it only names who
    /// took the longest.
    begun: Instant,
    current: Option<Served>,
    longest: Option<(Duration, Served)>,
}

impl Laps {
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: now, current: None, longest: None }
    }

    fn begin(&mut self, served: Option<Served>, now: Instant) {
        if let Some(former) = std::mem::replace(&mut self.current, served) {
            let took = now.saturating_duration_since(self.begun);
            if self.longest.is_none_or(|(longest, _)| longest < took) {
                self.longest = Some((took, former));
            }
        }
        self.begun = now;
    }
}

impl<H: Handler, N: Net> Reactor<H, N> {
    /// From now on the turn is spent on this. The clock is read for it, but for the first in a turn: for the
    /// name of who blocks there is no cheaper way, and it costs no system call.
    pub(super) fn lap(&mut self, served: Served) {
        if self.laps.current.is_none() {
            self.laps.current = Some(served);
        } else if self.table.config().slow_turn.is_some() {
            let now = self.net.now();
            self.laps.begin(Some(served), now);
        }
    }

    /// A turn is over. If it took long, everybody has waited: says for whom.
    pub(super) fn judge_turn(&mut self, took: Duration) {
        if self.table.config().slow_turn.is_none_or(|limit| took <= limit) {
            return;
        }
        self.laps.begin(None, self.table.now() + took);
        self.table.stats.count().slow_turns += 1;
        let why = match self.laps.longest {
            None => "nobody was served in it".to_owned(),
            Some((time, served)) => format!("{} took {time:.1?} of it", self.describe(served)),
        };
        self.log.add(Notice::SlowTurn { took, why }, self.table.now());
    }

    fn describe(&self, served: Served) -> String {
        match served {
            Served::Conn(id) => match self.table.get(id) {
                Some(entry) => format!("{id} {}", entry.peer()),
                None => format!("{id}, which has ended,"),
            },
            Served::Tick => "a timer of the reactor".to_owned(),
            Served::Message => "a message of another thread".to_owned(),
        }
    }
}
