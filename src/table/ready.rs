//! The ready list: who has work that can be done now.

use super::{Entry, Table};
use crate::id::ConnId;
use crate::net::Event;

/// The low water of a connection that is not throttled does not matter.
const NOT_THROTTLED: usize = 0;

impl Table {
    /// Sets the sticky flags that an event tells of. An event for a slot's former tenant is dropped:
    /// its tag is another.
    #[inline]
    pub(crate) fn mark(&mut self, slot: u32, tag: u32, event: Event) {
        let Some(entry) = self.entries.get_mut(slot as usize) else { return };
        let id = ConnId { serial: entry.serial, slot };
        if id.tag() != tag {
            return;
        }
        entry.mark(event);
        self.list_if_busy(id);
    }

    /// Puts a connection on the ready list if it has work that can be done now.
    pub(crate) fn list_if_busy(&mut self, id: ConnId) {
        if self.becomes_listed(id) {
            self.ready.push(id);
        }
    }

    /// The same for one that has just had its turn.
    pub(crate) fn relist_if_busy(&mut self, id: ConnId) {
        if self.becomes_listed(id) {
            self.leftover.push_back(id);
        }
    }

    /// Whether there is something to do for a connection now.
    #[inline]
    fn becomes_listed(&mut self, id: ConnId) -> bool {
        let is_short_of_memory = self.reads_wait();
        let Some(entry) = self.get_mut(id) else { return false };
        if entry.listed {
            return false;
        }
        if entry.throttled {
            return self.throttled_becomes_listed(id);
        }
        if !entry.has_work(NOT_THROTTLED) {
            return false;
        }
        if is_short_of_memory {
            return self.becomes_listed_without_memory(id);
        }
        entry.listed = true;
        true
    }

    /// The same for one whose queue may have fallen to low water.
    #[cold]
    fn throttled_becomes_listed(&mut self, id: ConnId) -> bool {
        let (low_water, is_short_of_memory) = (self.marks(id).low, self.reads_wait());
        let Some(entry) = self.get_mut(id) else { return false };
        if !entry.has_work(low_water) {
            return false;
        }
        if is_short_of_memory {
            return self.becomes_listed_without_memory(id);
        }
        entry.listed = true;
        true
    }

    /// What calls a handler has to wait for room in the memory budget, and so has what is read for one.
    #[cold]
    fn becomes_listed_without_memory(&mut self, id: ConnId) -> bool {
        let (low_water, calls_wait) = (self.marks(id).low, self.calls_wait());
        let Some(entry) = self.get_mut(id) else { return false };
        let wants_call = entry.wants_call(low_water);
        if entry.has_work_without_calls() || (wants_call && !calls_wait) {
            entry.listed = true;
            return true;
        }
        let waits = if wants_call { &mut entry.waits_for_call } else { &mut entry.waits_for_read };
        if !std::mem::replace(waits, true) {
            let list =
                if wants_call { &mut self.waiting_for_call } else { &mut self.waiting_for_read };
            list.push_back(id);
        }
        false
    }

    /// Whether handlers that want to be called have to wait for memory: there is none, or others have waited
    /// longer for it. What is to be read waits then, too.
    #[inline]
    pub(crate) fn calls_wait(&self) -> bool {
        self.memory.is_used_up() || !self.waiting_for_call.is_empty()
    }

    /// The same for what is to be read for handlers.
    #[inline]
    pub(crate) fn reads_wait(&self) -> bool {
        self.memory.takes_no_input() || self.waiting_for_memory() > 0
    }

    /// How many connections wait for memory.
    #[inline]
    pub(crate) fn waiting_for_memory(&self) -> usize {
        self.waiting_for_call.len() + self.waiting_for_read.len()
    }

    /// Whether one of them has to wait no longer.
    #[inline]
    pub(crate) fn has_memory_for_one(&self) -> bool {
        self.waiting_for_memory() > 0
            && ((!self.memory.is_used_up() && !self.waiting_for_call.is_empty())
                || (!self.memory.takes_no_input() && !self.waiting_for_read.is_empty()))
    }

    /// The connection whose turn it is of those that have waited for memory. Its peer could not be heard until
    /// now, so that its silence counts from now on.
    pub(crate) fn next_with_memory(&mut self) -> Option<ConnId> {
        while self.has_memory_for_one() {
            let may_call = !self.memory.is_used_up() && !self.waiting_for_call.is_empty();
            let may_read = !self.memory.takes_no_input() && !self.waiting_for_read.is_empty();
            // One of each in turn, or those that are owed call after call would leave nothing to the others.
            let is_for_call = may_call && !(may_read && self.had_call);
            self.had_call = is_for_call;
            let list =
                if is_for_call { &mut self.waiting_for_call } else { &mut self.waiting_for_read };
            let id = list.pop_front()?;
            let now = self.clock.stamp();
            if let Some(entry) = self.get_mut(id) {
                let waits =
                    if is_for_call { &mut entry.waits_for_call } else { &mut entry.waits_for_read };
                *waits = false;
                entry.heard_of(now);
                return Some(id);
            }
        }
        None
    }

    /// Takes a connection off the ready list, as its turn has come.
    #[inline]
    pub(crate) fn unlist(&mut self, id: ConnId) -> Option<&mut Entry> {
        let entry = self.get_mut(id)?;
        entry.listed = false;
        Some(entry)
    }

    pub(crate) fn has_ready(&self) -> bool {
        !(self.ready.is_empty() && self.leftover.is_empty())
    }

    /// How many wait that have had their turn already.
    pub(crate) fn leftovers(&self) -> usize {
        self.leftover.len()
    }

    /// The one of them whose turn comes next.
    pub(crate) fn next_leftover(&mut self) -> Option<ConnId> {
        self.leftover.pop_front()
    }

    /// Exchanges the ready list for an empty one: those who are added now wait for the next turn.
    pub(crate) fn swap_ready(&mut self, list: &mut Vec<ConnId>) {
        std::mem::swap(&mut self.ready, list);
    }
}
