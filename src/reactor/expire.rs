//! Ending those who do not do what they owe: in time, or in memory.

use std::time::Duration;

use super::Reactor;
use super::laps::Served;
use crate::close_reason::CloseReason;
use crate::core::deadlines::Deadline;
use crate::core::wheel::{SECOND_HALF, Step};
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::Net;
use crate::stats::Expired;
use crate::table::Owner;

/// How often a connection is read from before its lingering is over, each time within the read budget: with
/// the default one, this is as much as a receive buffer of Linux holds by default (tcp(7), `tcp_rmem`).
const LAST_READS: usize = 96;

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Sees to the deadlines that have come, within the budget: what is left rings in the next turn.
    pub(super) fn expire(&mut self) {
        let now = self.table.passed();
        for _ in 0..self.table.config().timer_budget {
            match self.table.alarms.step(now) {
                Some(Step::Rings(slot)) if slot >= SECOND_HALF => self.ring_timer(slot),
                Some(Step::Rings(slot)) => self.ring(slot, now),
                Some(Step::Moved) => {}
                None => return,
            }
        }
        let is_behind = self.table.alarms.next().is_some_and(|next| next <= now);
        self.table.stats.count().exhausted.timers += u64::from(is_behind);
    }

    /// An alarm is set once and not moved when its connection does what it owes: so most ring for nobody,
    /// and are set to the deadline that comes next.
    fn ring(&mut self, slot: u32, now: u64) {
        let Some(id) = self.table.id_in(slot) else { return };
        match self.table.next_deadline(id) {
            Some((time, deadline)) if time <= now => self.miss(id, deadline),
            _ => self.table.watch(id),
        }
    }

    /// Unless its connection is about to end.
    fn ring_timer(&mut self, slot: u32) {
        match self.table.ring(slot) {
            Some((Owner::Reactor, key)) => {
                self.table.stats.count().timers_fired += 1;
                self.lap(Served::Tick);
                self.callback_of_reactor(|handler, context| handler.on_tick(context, key));
            }
            Some((Owner::Conn(slot), key)) => {
                let Some(id) = self.table.id_in(slot) else { return };
                let called =
                    self.visit(id, |handler, conn, state| handler.on_timer(conn, state, key));
                self.table.stats.count().timers_fired += u64::from(called);
            }
            None => {}
        }
    }

    fn miss(&mut self, id: ConnId, deadline: Deadline) {
        let config = self.table.config();
        let limit = |time: Option<Duration>| time.unwrap_or_default();
        let (reason, count): (_, fn(&mut Expired) -> &mut u64) = match deadline {
            Deadline::FirstByte => {
                let limit = limit(config.first_byte_timeout);
                (CloseReason::FirstByteTimeout { limit }, |expired| &mut expired.first_byte)
            }
            Deadline::Idle => {
                let limit = limit(config.idle_timeout);
                (CloseReason::IdleTimeout { limit }, |expired| &mut expired.idle)
            }
            Deadline::Age => {
                let limit = limit(config.max_age);
                (CloseReason::MaxAge { limit }, |expired| &mut expired.age)
            }
            Deadline::Connect => return self.attempt_timed_out(id),
            Deadline::Quiet => return self.close_if_quiet(id),
            Deadline::Write => return self.write_timed_out(id, limit(config.write_timeout)),
            Deadline::Linger => return self.linger_timed_out(id),
        };
        *count(&mut self.table.stats.count().expired) += 1;
        self.end_in_time(id, reason);
    }

    /// While draining. That nobody has told of input does not mean that there is none: so it is asked.
    fn close_if_quiet(&mut self, id: ConnId) {
        let entry = self.table.entry(id);
        entry.readable |= entry.phase.hears();
        self.begin(id);
        self.read(id);
        let now = self.table.passed();
        match self.table.next_deadline(id) {
            Some((time, Deadline::Quiet)) if time <= now => {
                self.end_in_time(id, CloseReason::Drained);
            }
            _ => {
                self.relist(id);
                self.table.watch(id);
            }
        }
    }

    fn end_in_time(&mut self, id: ConnId, reason: CloseReason) {
        self.table.entry(id).close(reason);
        self.begin(id);
        self.relist(id);
    }

    /// The kernel tells of room only when a third of its buffer is free (socket(7) and tcp(7) do not say
    /// so; Linux does it in `sk_stream_write_space`), which can be megabytes: a slow reader may
    /// have taken much without a word. So it is asked once more.
    fn write_timed_out(&mut self, id: ConnId, limit: Duration) {
        let queued = self.table.entry(id).queued();
        self.table.entry(id).writable = true;
        self.begin(id);
        let entry = self.table.entry(id);
        if entry.queued() == queued && !entry.phase.is_closed() {
            entry.cut(CloseReason::WriteTimeout { limit }, true);
            self.table.stats.count().expired.write += 1;
            self.closed.push(id);
        } else {
            self.relist(id);
            self.table.watch(id);
        }
    }

    /// After a sleep, a FIN may stand behind more than one turn reads: what is here is read first.
    fn linger_timed_out(&mut self, id: ConnId) {
        for _ in 0..LAST_READS {
            if !self.table.entry(id).wants_read() {
                break;
            }
            self.read(id);
        }
        let entry = self.table.entry(id);
        if entry.phase.is_closed() {
            return;
        }
        entry.phase = entry.phase.after_linger();
        self.table.stats.count().expired.linger += 1;
        self.closed.push(id);
    }

    /// Ends those who hold the most of what nobody takes, if all together hold too much; those first for whom
    /// that is so for a while. That is known when all who have ended anyway are gone.
    #[inline]
    pub(super) fn shed(&mut self) {
        if let Some(excess) = self.table.pressure.excess() {
            self.shed_at_least(excess);
        }
    }

    fn shed_at_least(&mut self, mut excess: usize) {
        let budget = self.table.budget();
        let mut held_up: Vec<(bool, usize, ConnId)> = self.table.held_up().collect();
        held_up.sort_unstable_by(|a, b| b.cmp(a));
        for (_, held, id) in held_up {
            let entry = self.table.entry(id);
            let peer = entry.peer();
            entry.cut(CloseReason::Shed { budget }, true);
            self.table.stats.count().shed += 1;
            if let Some(times) = self.complaints.shed.count(self.table.now()) {
                log::warn!(
                    "{times} connections were cut off, the last {peer}: more than {budget} bytes \
                     were waiting, and it held {held} of them"
                );
            }
            self.closed.push(id);
            excess = excess.saturating_sub(held);
            if excess == 0 {
                break;
            }
        }
        self.reap();
    }
}
