//! How long the reactor waits for events.

use std::time::Duration;

use super::Reactor;
use super::accept::Acceptor;
use crate::handler::Handler;
use crate::net::Net;

impl<H: Handler, N: Net> Reactor<H, N> {
    /// How long the next turn waits if nothing happens.
    pub(crate) fn waits_for(&self) -> Option<Duration> {
        self.poll_timeout(None, self.table.clock.latest_with(self.net.now()))
    }

    /// How long to wait for events, if it is `now`, in nanoseconds since the epoch.
    pub(super) fn poll_timeout(&self, timeout: Option<Duration>, now: u64) -> Option<Duration> {
        if self.table.has_ready() || self.has_something_to_do() {
            return Some(Duration::ZERO);
        }
        let mut next = self.table.next_alarm();
        let mut at_latest = |at| next = earlier(next, Some(self.table.clock.nanos_at(at)));
        if !self.is_suspended {
            let acceptors = self.acceptors.iter().flatten();
            acceptors.filter_map(Acceptor::resumes_at).for_each(&mut at_latest);
        }
        if self.drain.is_some() || self.log.due().is_some() {
            self.drain_deadline().into_iter().chain(self.log.due()).for_each(&mut at_latest);
        }
        if self.waits_for_memory() {
            if self.table.memory.await_room() {
                return Some(Duration::ZERO);
            }
            at_latest(self.next_shedding);
        }
        earlier(timeout, next.map(|next| Duration::from_nanos(next.saturating_sub(now))))
    }

    /// Whether there is work apart from the connections on the ready list.
    fn has_something_to_do(&self) -> bool {
        self.remote().has_orders()
            || self.table.has_to_dial()
            || self.table.has_memory_for_one()
            || (!self.table.memory.is_used_up() && self.holds_new_work())
            || (self.remote().mailbox.has_some() && !self.holds_messages)
            || !self.closed.is_empty()
            || self.has_to_drain()
            || self.is_drained()
    }

    /// Whether there is something that is only begun when the memory budget has room.
    pub(super) fn waits_for_memory(&self) -> bool {
        self.table.waiting_for_memory() > 0
            || (self.table.memory.is_used_up() && self.holds_new_work())
    }

    /// Apart from what established connections want.
    fn holds_new_work(&self) -> bool {
        self.holds_messages
            || !self.held_timers.is_empty()
            || self.own_arrivals().has_some()
            || self.can_accept()
    }

    fn can_accept(&self) -> bool {
        !self.is_suspended
            && self.acceptors.iter().flatten().any(Acceptor::is_ready)
            && !self.table.admission().keeps_waiting()
    }
}

/// The earlier of two times, of which each may not be.
fn earlier<T: Copy + Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}
