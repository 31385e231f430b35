//! Draining: the reactor ends after its connections have finished their work.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Reactor;
use crate::close_reason::CloseReason;
use crate::core::phase::Phase;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::Net;
use crate::report::Report;

/// How far draining has come.
#[derive(Debug)]
pub(super) struct Drain {
    timeout: Duration,
    /// `None` if that is beyond the end of time.
    deadline: Option<Instant>,
    /// Whose handler has not been told yet.
    to_tell: VecDeque<ConnId>,
    closes: Quiet,
    /// The deadline has passed. Until this time connections that were closed wait for the FIN of their peers.
    ends: Option<Instant>,
}

/// Which connections a drain closes when they are quiet. It comes to more and more.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Quiet {
    /// None: not all handlers have been told.
    None,
    /// The accepted ones. Their handlers may wait for answers on outbound ones.
    Accepted,
    /// All: no accepted connection is left in the server.
    All,
}

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Whether the reactor drains.
    pub(super) fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    pub(super) fn begin_drain(&mut self, timeout: Duration) {
        let deadline = self.table.clock.now().checked_add(timeout);
        if let Some(drain) = &mut self.drain {
            if drain.ends.is_none() {
                (drain.timeout, drain.deadline) = (timeout, deadline);
            } // else the deadline that has passed is the one to name
            return;
        }
        self.empty_the_backlog();
        self.acceptors.clear();
        if self.index == 0 {
            self.table.admission().end(); // this reactor accepts for all
            self.group.wake_others(self.index);
        }
        let (name, open) = (self.name(), self.table.stats.get().open);
        log::info!("{name}draining: {open} connections have {timeout:?} to finish");
        self.report = Report::default();
        self.table.is_draining = true;
        let to_tell = self.table.opened_ids().collect();
        self.drain = Some(Drain { timeout, deadline, to_tell, closes: Quiet::None, ends: None });
    }

    /// A connection is there while the reactor drains: it was on its way from another one, or being opened.
    pub(super) fn tell_late(&mut self, id: ConnId) {
        if let Some(drain) = &mut self.drain {
            drain.to_tell.push_back(id);
        }
    }

    /// Does what draining needs in this turn.
    pub(super) fn go_on_draining(&mut self) {
        if self.drain.is_none() {
            return;
        }
        let now = self.table.clock.now();
        let is_past = |time: &Option<Instant>| time.is_some_and(|time| time <= now);
        let is_over = self.drain.as_ref().is_some_and(|drain| is_past(&drain.deadline));
        let is_end = self.drain.as_ref().is_some_and(|drain| is_past(&drain.ends));
        self.tell(is_over);
        let closes = self.is_to_close();
        if let Some(drain) = self.drain.as_mut().filter(|drain| drain.closes < closes) {
            drain.closes = closes;
            self.table.close_the_quiet(closes == Quiet::All);
        }
        if is_over {
            self.close_the_rest();
        }
        if is_end {
            self.end_all(|_| CloseReason::Drained);
        }
    }

    /// How much time connections had to finish, if it is over.
    pub(super) fn missed_drain_timeout(&self) -> Option<Duration> {
        let drain = self.drain.as_ref().filter(|drain| drain.ends.is_some())?;
        Some(drain.timeout)
    }

    /// When draining has something to do next by the clock.
    pub(super) fn drain_deadline(&self) -> Option<Instant> {
        let drain = self.drain.as_ref()?;
        drain.ends.or(drain.deadline)
    }

    /// `on_shutdown` may send, so that it waits while the memory budget is used up, unless this is the last chance.
    fn tell(&mut self, is_last_chance: bool) {
        let budget = self.table.config().budgets.timers;
        for _ in 0..if is_last_chance { usize::MAX } else { budget } {
            if !is_last_chance && self.table.memory.is_used_up() {
                return;
            }
            let next = self.drain.as_mut().and_then(|drain| drain.to_tell.pop_front());
            let Some(id) = next else { return };
            self.visit(id, |handler, conn, state| handler.on_shutdown(conn, state));
        }
    }

    /// The deadline has passed. Connections may still come: they were on their way from another reactor.
    fn close_the_rest(&mut self) {
        self.table.is_ending = true; // or a handler that connects again and again would never let it end
        let config = self.table.config();
        let grace = config.drain_quiet.min(config.conn_settings().linger_timeout);
        let ends = self.table.clock.now().checked_add(grace);
        let Some(drain) = &mut self.drain else { return };
        drain.ends = drain.ends.or(ends);
        let limit = drain.timeout;
        let ids: Vec<_> = self.table.ids().collect();
        for id in ids {
            let phase = self.table.entry(id).phase;
            if phase != Phase::Lingering && !phase.is_closed() {
                self.close_at_deadline(id, limit);
            }
        }
        self.reap();
    }

    /// Sends what the kernel takes, and then a FIN. What has come meanwhile, if anything, stays unanswered.
    fn close_at_deadline(&mut self, id: ConnId, limit: Duration) {
        let entry = self.table.entry(id);
        // The kernel is asked, whatever events have told: it tells of little room not at all, and of a reset perhaps
        // only in the next turn.
        entry.readable |= entry.phase.hears();
        entry.writable |= entry.queued() > 0;
        let is_cut = entry.is_worked_at();
        let reason =
            if is_cut { CloseReason::DrainTimeout { limit } } else { CloseReason::Drained };
        self.close_in_order(id, reason);
        while self.table.entry(id).wants_write() {
            self.begin(id);
        }
        if self.table.entry(id).queued() > 0 {
            self.table.entry(id).cut(CloseReason::DrainTimeout { limit }, true);
        }
        self.read(id);
        let entry = self.table.entry(id);
        if entry.phase.is_closed() {
            self.closed.push(id);
        } else {
            self.relist(id);
            self.table.watch(id);
        }
    }

    /// Whether a connection's handler has yet to hear of the drain. It came late, and waits for memory.
    pub(super) fn is_to_be_told(&self, id: ConnId) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.to_tell.contains(&id))
    }

    /// Whether there is something to do about draining now.
    pub(super) fn has_to_drain(&self) -> bool {
        let is_telling = |drain: &Drain| !drain.to_tell.is_empty();
        (self.drain.as_ref().is_some_and(is_telling) && !self.table.memory.is_used_up())
            || self.drain.as_ref().is_some_and(|drain| drain.closes < self.is_to_close())
    }

    /// Which quiet connections are to be closed by now.
    fn is_to_close(&self) -> Quiet {
        match &self.drain {
            None => Quiet::None,
            Some(drain) if drain.closes == Quiet::All || !drain.to_tell.is_empty() => drain.closes,
            Some(_) if self.table.admission().is_deserted() => Quiet::All,
            Some(_) => Quiet::Accepted,
        }
    }

    /// Whether the drain is over: no connection is left.
    pub(super) fn is_drained(&self) -> bool {
        // In this order: each turn asks, and hardly ever is one draining.
        self.drain.is_some() && self.table.stats.get().open == 0 && !self.own_arrivals().has_some()
    }
}
