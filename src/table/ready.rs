//! The ready list: who has work that can be done now.

use super::{Entry, Table};
use crate::id::ConnId;
use crate::net::Event;

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

    fn becomes_listed(&mut self, id: ConnId) -> bool {
        let low_water = self.marks().low;
        let Some(entry) = self.get_mut(id) else { return false };
        let becomes = !entry.listed && entry.has_work(low_water);
        entry.listed |= becomes;
        becomes
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
