//! An end that finishes the work.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Reactor;
use super::laps::Served;
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
    pub(super) deadline: Option<Instant>,
    /// Whose handler has not been told yet.
    to_tell: VecDeque<ConnId>,
    stage: Stage,
}

/// ```text
///   Telling ──── everybody was told ───► Closing ──── the deadline ───► Cutting
///   on_drain for each, within a budget   idle ones are closed           the rest is cut off
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Telling,
    Closing,
    Cutting,
}

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Begins an end that finishes the work, on all reactors of the server:
    ///
    /// 1. The listeners are closed: nobody new comes in.
    /// 2. [`on_drain`](Handler::on_drain) tells each connection's handler, once.
    /// 3. A connection is closed in order as soon as nothing waits for it (no output, no input that is
    ///    unread or of which the rest is missing), and its peer has been quiet for
    ///    [`drain_quiet`](crate::Config::drain_quiet). Until then it is served as before.
    /// 4. After `timeout` what is left is cut off, with
    ///    [`CloseReason::DrainTimeout`].
    ///
    /// [`run`](Self::run) then returns, as soon as nobody is left. It says how many were cut. To drain once
    /// more sets another timeout, from now on.
    pub fn drain(&mut self, timeout: Duration) {
        self.group.order_drain(timeout);
    }

    /// Whether an end was begun that finishes the work.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    pub(super) fn begin_drain(&mut self, timeout: Duration) {
        let deadline = self.table.now().checked_add(timeout);
        if let Some(drain) = &mut self.drain {
            (drain.timeout, drain.deadline) = (timeout, deadline);
            return;
        }
        log::info!("draining: {} connections have {timeout:?} to finish", self.table.stats.open);
        self.acceptors.clear();
        self.report = Report::default();
        let to_tell = self.table.ids().collect();
        self.drain = Some(Drain { timeout, deadline, to_tell, stage: Stage::Telling });
    }

    /// A connection has come in while draining: it was on its way from another reactor.
    pub(super) fn tell_late(&mut self, id: ConnId) {
        if let Some(drain) = &mut self.drain {
            drain.to_tell.push_back(id);
        }
    }

    /// Does the next thing that draining needs.
    pub(super) fn go_on_draining(&mut self) {
        if self.drain.is_none() {
            return;
        }
        self.tell();
        let Some(drain) = &mut self.drain else { return };
        if drain.stage == Stage::Telling && drain.to_tell.is_empty() {
            drain.stage = Stage::Closing;
            self.table.close_the_quiet();
        }
        let Some(drain) = &mut self.drain else { return };
        let is_over = drain.deadline.is_some_and(|deadline| deadline <= self.table.now());
        if drain.stage != Stage::Cutting && is_over {
            drain.stage = Stage::Cutting;
            let limit = drain.timeout;
            self.cut_the_rest(limit);
        }
    }

    fn tell(&mut self) {
        for _ in 0..self.table.config().timer_budget {
            let next = self.drain.as_mut().and_then(|drain| drain.to_tell.pop_front());
            let Some(id) = next else { return };
            if self.table.get(id).is_some_and(|entry| entry.phase.is_before_the_end()) {
                self.lap(Served::Conn(id));
                self.begin(id);
                self.callback(id, |handler, conn, state| handler.on_drain(conn, state));
                self.relist(id);
            }
        }
    }

    /// Who only lingers has got everything.
    fn cut_the_rest(&mut self, limit: Duration) {
        let ids: Vec<_> = self.table.ids().collect();
        for &id in &ids {
            let entry = self.table.entry(id);
            match entry.phase {
                Phase::Lingering => entry.phase = entry.phase.after_linger(),
                _ => entry.cut(CloseReason::DrainTimeout { limit }, false),
            }
        }
        self.closed.extend(ids);
        self.reap();
    }

    /// Whether there is something to do about draining now.
    pub(super) fn has_to_tell(&self) -> bool {
        self.drain
            .as_ref()
            .is_some_and(|drain| !drain.to_tell.is_empty() || drain.stage == Stage::Telling)
    }

    /// Whether everybody has ended who was to.
    pub(super) fn is_drained(&self) -> bool {
        let is_expecting = self.group.remotes[self.index].arrivals.has_some();
        self.drain.is_some() && self.table.stats.open == 0 && !is_expecting
    }
}
