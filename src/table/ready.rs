//! The ready list: the connections with work that can be done now.

use super::{Entry, Table};
use crate::id::ConnId;
use crate::net::Event;

impl Table {
    /// Records what an event reports, and lists its connection if there is work now. An event for a former connection
    /// of the slot is dropped: its tag is another.
    #[inline]
    pub(crate) fn mark(&mut self, slot: u32, tag: u32, event: Event) {
        let is_short_of_memory = self.reads_wait();
        let Some(entry) = self.entries.get_mut(slot as usize) else { return };
        let id = ConnId { serial: entry.serial, slot };
        if id.tag() != tag {
            return;
        }
        entry.mark(event);
        let is_listed = entry.list(is_short_of_memory);
        if is_listed.unwrap_or_else(|| self.becomes_listed_by_marks_and_memory(id)) {
            self.ready.push(id);
        }
    }

    /// Puts a connection on the ready list if it has work that can be done now.
    pub(crate) fn list_if_busy(&mut self, id: ConnId) {
        if self.becomes_listed(id) {
            self.ready.push(id);
        }
    }

    /// The same for a connection that has just had its turn.
    pub(crate) fn relist_if_busy(&mut self, id: ConnId) {
        if self.becomes_listed(id) {
            self.leftover.push_back(id);
        }
    }

    #[inline]
    fn becomes_listed(&mut self, id: ConnId) -> bool {
        let is_short_of_memory = self.reads_wait();
        let Some(entry) = self.get_mut(id) else { return false };
        let is_listed = entry.list(is_short_of_memory);
        is_listed.unwrap_or_else(|| self.becomes_listed_by_marks_and_memory(id))
    }

    /// Lists a connection, not on which list, if it has work that can be done now: its queue has fallen to low water,
    /// or there is memory for its callbacks. Without memory it waits in a list of its own.
    #[cold]
    fn becomes_listed_by_marks_and_memory(&mut self, id: ConnId) -> bool {
        let (is_short_of_memory, calls_wait) = (self.reads_wait(), self.calls_wait());
        let low_water = self.marks(id).low;
        let Some(entry) = self.get_mut(id) else { return false };
        if !entry.has_work(low_water) {
            return false;
        }
        let wants_call = entry.wants_call(low_water);
        if !is_short_of_memory || entry.has_work_without_calls() || (wants_call && !calls_wait) {
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

    /// Exchanges the ready list for an empty one: connections that are added now wait for the next turn.
    pub(crate) fn swap_ready(&mut self, list: &mut Vec<ConnId>) {
        std::mem::swap(&mut self.ready, list);
    }
}
