//! What takes long in a turn.

use std::time::{Duration, Instant};

use super::Reactor;
use super::rate_limited_log::Notice;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::Net;

/// What a part of a turn is spent on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Served {
    Conn(ConnId),
    /// A timer of the reactor itself.
    Tick,
    Message,
}

/// Finds out what takes the longest in a turn.
#[derive(Debug)]
pub(super) struct TurnTimer {
    /// When the current part has begun. A bare reading of the clock, which may step back: it only serves to name the
    /// longest part.
    begun: Instant,
    current: Option<Served>,
    longest: Option<(Duration, Served)>,
}

impl TurnTimer {
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
    /// A part of the turn begins. This reads the clock, except for the first part of a turn: there is no cheaper way to
    /// name the connection that blocks, and it costs no system call.
    pub(super) fn serves(&mut self, served: Served) {
        if self.turn_timer.current.is_none() {
            self.turn_timer.current = Some(served);
        } else if self.table.config().slow_turn.is_some() {
            let now = self.net.now();
            self.turn_timer.begin(Some(served), now);
        }
    }

    /// A turn is over. If it was slow, all other connections have waited: logs for which one.
    pub(super) fn judge_turn(&mut self) {
        let took = self.table.clock.turn_took();
        if self.table.config().slow_turn.is_none_or(|limit| took <= limit) {
            return;
        }
        self.turn_timer.begin(None, self.table.clock.now() + took);
        self.table.stats.count().slow_turns += 1;
        let why = match self.turn_timer.longest {
            None => "no callback was called in it".to_owned(),
            Some((time, served)) => format!("{} took {time:.1?} of it", self.describe(served)),
        };
        self.log.add(Notice::SlowTurn { took, why }, self.table.clock.now());
    }

    fn describe(&self, served: Served) -> String {
        match served {
            Served::Conn(id) => match self.table.get(id) {
                Some(entry) => format!("{id} {}", entry.peer()),
                None => format!("{id}, which has ended,"),
            },
            Served::Tick => "a timer of the reactor".to_owned(),
            Served::Message => "a message from another thread".to_owned(),
        }
    }
}
