//! Admission of connections, which all reactors of a server share, and the LRU list of this table's connections.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};

use super::{Entry, Listener, Table, id_of};
use crate::conn_info::Direction;
use crate::core::admission::{Admission, Limits};
use crate::core::lru_list::LruList;
use crate::id::ConnId;

impl Table {
    /// An admitted connection has closed, or could not be served after all.
    pub(crate) fn frees_a_place(&mut self, peer: SocketAddr, listener: u16) {
        self.made_room |= self.listeners.get(listener).is_some_and(Listener::leaves);
        self.frees_a_place_of_all(peer);
    }

    /// The same for a connection whose listener has no number in this table.
    pub(crate) fn frees_a_place_of(&mut self, peer: SocketAddr, listener: &Listener) {
        self.made_room |= listener.leaves();
        self.frees_a_place_of_all(peer);
    }

    fn frees_a_place_of_all(&mut self, peer: SocketAddr) {
        self.made_room |= lock(&self.admission).closed(self.reactor(), peer.ip());
    }

    /// Applies other limits to admission.
    pub(super) fn limit_admission(&mut self, limits: Limits, evicts: bool) {
        let inbound = |entry: &Entry| entry.direction() == Direction::Inbound;
        let entries = self.entries.iter().filter(|(_, entry)| inbound(entry));
        let ips = entries.map(|(_, entry)| entry.peer().ip());
        lock(&self.admission).prepare(self.reactor(), limits, ips);
        let entries = self.entries.iter().filter(|(_, entry)| inbound(entry));
        let mut entries: Vec<_> = entries.collect();
        entries.sort_by_key(|(_, entry)| entry.since());
        self.lru = evicts.then(LruList::new);
        if let Some(lru) = &mut self.lru {
            entries.iter().for_each(|(slot, entry)| lru.touch(id_of(*slot, entry).slot));
        }
    }

    /// Locks the admission of all reactors.
    pub(crate) fn admission(&self) -> MutexGuard<'_, Admission> {
        lock(&self.admission)
    }

    /// Bytes have come from a connection.
    pub(crate) fn heard_of(&mut self, id: ConnId) {
        // Only an inbound connection takes a place that another may want.
        let inbound =
            |table: &Self| table.get(id).map(Entry::direction) == Some(Direction::Inbound);
        if self.lru.is_some()
            && inbound(self)
            && let Some(lru) = &mut self.lru
        {
            lru.touch(id.slot);
        }
    }

    /// The connection that has been silent the longest, and since when.
    pub(crate) fn idlest(&self) -> Option<(ConnId, u64)> {
        let id = self.id_in(self.lru.as_ref()?.idlest()?)?;
        Some((id, self.get(id)?.since()))
    }
}

/// Locks the admission of all reactors.
pub(super) fn lock(admission: &Mutex<Admission>) -> MutexGuard<'_, Admission> {
    admission.lock().expect("nothing panics while it holds this lock")
}
