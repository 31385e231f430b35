//! Ending connections that miss a deadline, or that hold memory and stall.

use std::time::Duration;

use super::Reactor;
use super::rate_limited_log::Notice;
use super::turn_timer::Served;
use crate::close_reason::CloseReason;
use crate::core::deadlines::{Deadline, millis};
use crate::core::wheel::{SECOND_HALF, Step};
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::Net;
use crate::stats::Expired;
use crate::table::{Entry, Owner};

/// How often a connection is read from before its lingering is over, each time within the read budget: with
/// the default one, this is as much as a receive buffer of Linux holds by default (tcp(7), `tcp_rmem`).
const LAST_READS: usize = 96;

/// An alarm whose callback waits for memory rings again after so many milliseconds.
const LATER: u64 = 20;

/// While the memory budget is used up stalled connections are looked for this often.
const BETWEEN_SHEDDINGS: Duration = Duration::from_millis(250);

/// After this time a peer that takes nothing is tried once more.
const FIRST_PROBE: Duration = Duration::from_secs(1);

/// A peer that takes nothing for so long stalls, or for a quarter of the write timeout if that is less.
const STALL: Duration = Duration::from_secs(15);

/// If many are shed in short order, a peer stalls after this time.
const SHORTEST_STALL: Duration = Duration::from_secs(2);

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Sees to the deadlines that have come, within the budget: what is left rings in the next turn.
    pub(super) fn expire(&mut self) {
        let now = self.table.clock.passed();
        let budget = self.table.config().budgets.timers;
        for _ in 0..self.held_timers.len().min(budget) {
            if self.table.memory.is_used_up() {
                break;
            }
            let Some(slot) = self.held_timers.pop_front() else { break };
            if self.table.has_timer(slot) {
                self.ring_timer(slot);
            }
        }
        for _ in 0..budget {
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

    /// The alarm of a connection rings. An alarm is not moved when its deadline moves, so most alarms ring before the
    /// deadline, and are then set to the one that comes next.
    fn ring(&mut self, slot: u32, now: u64) {
        let Some(id) = self.table.id_in(slot) else { return };
        match self.table.next_deadline(id) {
            Some((time, deadline)) if time <= now => self.miss(id, deadline),
            _ => self.table.watch(id),
        }
    }

    /// Unless its connection is about to end. It may send, so that it waits while the memory budget is used up.
    fn ring_timer(&mut self, slot: u32) {
        if self.table.memory.is_used_up() {
            return self.held_timers.push_back(slot);
        }
        match self.table.ring(slot) {
            Some((Owner::Reactor, key)) => {
                self.table.stats.count().timers_fired += 1;
                self.serves(Served::Tick);
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
        if deadline == Deadline::Quiet && self.is_to_be_told(id) {
            return self.table.alarms.set(id.slot, self.table.clock.stamp() + LATER);
        }
        let is_for_silence =
            matches!(deadline, Deadline::FirstByte | Deadline::Idle | Deadline::Quiet);
        if is_for_silence && !self.is_silent(id, deadline) {
            return;
        }
        let config = self.table.settings(id);
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
            Deadline::Quiet => return self.end_in_time(id, CloseReason::Drained),
            Deadline::Write => return self.write_timed_out(id, limit(config.write_timeout)),
            Deadline::Linger => return self.linger_timed_out(id),
        };
        *count(&mut self.table.stats.count().expired) += 1;
        self.end_in_time(id, reason);
    }

    /// Whether nothing has come, though the kernel was asked once more: that no event has told of input does
    /// not mean that there is none.
    fn is_silent(&mut self, id: ConnId, deadline: Deadline) -> bool {
        let has_memory = !self.table.memory.takes_no_input();
        let entry = self.table.entry(id);
        // Without memory to read into, what events have told has to do: or none would be idle for ever.
        entry.readable |= entry.phase.hears() && has_memory;
        self.begin(id);
        self.read(id);
        let now = self.table.clock.passed();
        let next = self.table.next_deadline(id);
        let is_silent = next.is_some_and(|(time, next)| time <= now && next == deadline);
        if !is_silent {
            self.relist(id);
            self.table.watch(id);
        }
        is_silent
    }

    fn end_in_time(&mut self, id: ConnId, reason: CloseReason) {
        self.close_in_order(id, reason);
        self.relist(id);
    }

    fn write_timed_out(&mut self, id: ConnId, limit: Duration) {
        if !self.has_moved(id) {
            self.table.entry(id).cut(CloseReason::WriteTimeout { limit }, true);
            self.table.stats.count().expired.write += 1;
            self.closed.push(id);
        }
    }

    /// Whether the kernel takes some of what is queued for a connection after all. It tells of room only when a
    /// third of its buffer is free (socket(7) and tcp(7) do not say so; Linux does it in
    /// `sk_stream_write_space`), which can be megabytes: a slow reader may have taken much without an event.
    fn has_moved(&mut self, id: ConnId) -> bool {
        let queued = self.table.entry(id).queued();
        if queued == 0 {
            return false;
        }
        self.table.entry(id).writable = true;
        self.begin(id);
        let entry = self.table.entry(id);
        let has_moved = entry.queued() < queued || entry.phase.is_closed();
        if has_moved {
            self.relist(id);
            self.table.watch(id);
        }
        has_moved
    }

    /// Reads as much as a receive buffer commonly holds.
    pub(super) fn read_to_the_end(&mut self, id: ConnId) {
        for _ in 0..LAST_READS {
            if !self.table.entry(id).wants_read() {
                break;
            }
            self.read(id);
        }
    }

    /// After a sleep, a FIN may stand behind more than one turn reads: what is here is read first.
    fn linger_timed_out(&mut self, id: ConnId) {
        self.read_to_the_end(id);
        let entry = self.table.entry(id);
        if entry.phase.is_closed() {
            return;
        }
        entry.phase = entry.phase.after_linger();
        self.table.stats.count().expired.linger += 1;
        self.closed.push(id);
    }

    /// While the memory budget is used up and work waits for it, ends connections that stall, until an eighth
    /// of the budget is free. A peer that takes some of its bytes in time keeps its connection.
    #[inline]
    pub(super) fn shed(&mut self) {
        let is_due =
            self.table.memory.takes_no_input() && self.next_shedding <= self.table.clock.now();
        if is_due && (self.waits_for_memory() || self.table.memory.is_awaited()) {
            self.next_shedding = self.table.clock.now() + BETWEEN_SHEDDINGS;
            self.shed_the_stalled();
            if self.waits_for_memory() {
                self.group.wake_others(self.index); // what stalls may be theirs
            }
        }
    }

    fn shed_the_stalled(&mut self) {
        let now = self.table.clock.now();
        if now.saturating_duration_since(self.last_shedding) > 2 * STALL {
            self.sheddings = 0;
        }
        self.probe_the_stalled();
        let shed_before = self.table.stats.get().shed;
        let sheddings = self.sheddings;
        let mut stalled =
            self.table.stalled(|settings| longest_stall(settings.write_timeout, sheddings));
        stalled.retain(|id| self.helps_to_shed(*id)); // to sort takes time
        self.table.sort_for_shedding(&mut stalled);
        for id in stalled {
            if self.helps_to_shed(id) && !self.has_moved(id) {
                self.shed_one(id);
            }
        }
        if self.table.stats.get().shed > shed_before {
            self.sheddings += 1;
            self.last_shedding = now;
        }
        self.reap();
    }

    /// Whether memory of the kind that a connection holds is short.
    fn helps_to_shed(&self, id: ConnId) -> bool {
        let memory = &self.table.memory;
        match self.table.get(id) {
            Some(entry) if entry.phase.is_closed() => false, // by the `on_close` of another
            Some(entry) if entry.queued() > 0 => memory.has_too_much_output(),
            Some(_) => memory.has_too_much_input(),
            None => false,
        }
    }

    /// Offers the kernel more for each peer that has begun to stall: what it has room for without telling would
    /// pass for a peer that reads when its time is over.
    fn probe_the_stalled(&mut self) {
        let first = millis(FIRST_PROBE);
        for id in self.table.stalled(|_| FIRST_PROBE) {
            let stalled_for =
                |entry: &Entry| self.table.clock.stamp().saturating_sub(entry.stalled_since());
            let is_due = |entry: &Entry| stalled_for(entry) < first + millis(BETWEEN_SHEDDINGS);
            if self.table.get(id).is_some_and(is_due) {
                self.has_moved(id);
            }
        }
    }

    fn shed_one(&mut self, id: ConnId) {
        let budget = self.table.memory.limit();
        let entry = self.table.entry(id);
        let (peer, held) = (entry.peer(), entry.held());
        entry.cut(CloseReason::Shed { budget }, true);
        self.table.stats.count().shed += 1;
        self.log.add(Notice::Shed { peer, budget, held }, self.table.clock.now());
        self.bury(id);
    }
}

/// How long a peer may take nothing while others wait for memory. Many peers that never read would take turns
/// with the memory, and each would hold it for that long. So the time is halved each time that connections
/// were shed, until none was for a while.
fn longest_stall(write_timeout: Option<Duration>, sheddings: u32) -> Duration {
    let quarter = write_timeout.map_or(STALL, |time| time / 4);
    let longest = quarter.min(STALL);
    let halved = longest / 2_u32.pow(sheddings.min(10));
    halved.max(SHORTEST_STALL).min(longest)
}
