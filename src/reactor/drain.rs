//! An end that finishes the work.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Reactor;
use crate::close_reason::CloseReason;
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
    /// All who were here at the beginning have been told, so that who is quiet is closed.
    all_are_told: bool,
}

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Begins an end that finishes the work, on all reactors of the server, each with its next turn:
    ///
    /// 1. Who waits in the backlog is taken in, as far as there is room and that is not
    ///    [suspended](Self::suspend), and the listeners are closed: nobody else comes in.
    /// 2. [`on_drain`](Handler::on_drain) tells each connection's handler, once.
    /// 3. A connection is closed in order as soon as nothing waits for it (no output, no input that is
    ///    unread or of which the rest is missing), and its peer has been quiet for
    ///    [`drain_quiet`](crate::Config::drain_quiet). Until then it is served as before. While it is
    ///    [paused](crate::Conn::pause) somebody works for it, and it is not closed; nor while one side has
    ///    finished and waits for what the other has to say.
    /// 4. After `timeout` who still has something to do is cut off, with [`CloseReason::DrainTimeout`]. Until
    ///    then connections can be opened [outward](Self::connect), and are waited for like others.
    ///
    /// [`run`](Self::run) then returns, as soon as nobody is left. It says how many were cut. To drain once
    /// more sets another timeout, from then on.
    pub fn drain(&mut self, timeout: Duration) {
        self.group.order_drain(timeout);
    }

    /// Whether an end has begun that finishes the work.
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
        self.empty_the_backlog();
        self.acceptors.clear();
        let (name, open) = (self.name(), self.table.stats.get().open);
        log::info!("{name}draining: {open} connections have {timeout:?} to finish");
        self.report = Report::default();
        let to_tell = self.table.opened_ids().collect();
        self.drain = Some(Drain { timeout, deadline, to_tell, all_are_told: false });
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
        let is_over = self.drain_deadline().is_some_and(|deadline| deadline <= self.table.now());
        self.tell(if is_over { usize::MAX } else { self.table.config().timer_budget });
        let Some(drain) = &mut self.drain else { return };
        if drain.to_tell.is_empty() && !drain.all_are_told {
            drain.all_are_told = true;
            self.table.close_the_quiet();
        }
        if is_over {
            self.cut_the_rest();
        }
    }

    /// When who is left is cut off.
    pub(super) fn drain_deadline(&self) -> Option<Instant> {
        self.drain.as_ref()?.deadline
    }

    fn tell(&mut self, most: usize) {
        for _ in 0..most {
            let next = self.drain.as_mut().and_then(|drain| drain.to_tell.pop_front());
            let Some(id) = next else { return };
            self.visit(id, |handler, conn, state| handler.on_drain(conn, state));
        }
    }

    /// Also those who come late. Who has nothing to do has got everything.
    fn cut_the_rest(&mut self) {
        self.table.is_ending = true; // or one who tries again and again would never let it end
        let Some(&Drain { timeout: limit, .. }) = self.drain.as_ref() else { return };
        self.end_all(|entry| {
            if entry.is_unfinished() {
                CloseReason::DrainTimeout { limit }
            } else {
                CloseReason::Drained
            }
        });
    }

    /// Whether there is something to do about draining now.
    pub(super) fn has_to_tell(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| !(drain.to_tell.is_empty() && drain.all_are_told))
    }

    /// Whether everybody has ended who was to.
    pub(super) fn is_drained(&self) -> bool {
        // In this order: each turn asks, and hardly ever is one draining.
        self.drain.is_some()
            && self.table.stats.get().open == 0
            && !self.remote().arrivals.has_some()
    }
}
