//! What is known of the connections, without their sockets: who they are, where they stand, what
//! waits for them, and who has work.
//!
//! It is apart from the sockets so that it has no type parameters: a callback's
//! [`Conn`](crate::Conn) borrows it whole and can reach the other connections too.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::close_reason::CloseReason;
use crate::config::Config;
use crate::conn::SendError;
use crate::core::admission::{Admission, Limits};
use crate::core::kept::Kept;
use crate::core::outbox::Outbox;
use crate::core::peer_addr::PeerAddr;
use crate::core::phase::{Phase, Reads};
use crate::id::ConnId;
use crate::net::Event;
use crate::stats::{Counters, Stats};

/// One connection. The flags are sticky: an edge is told once, so what it said stays true until a
/// system call says otherwise.
#[derive(Debug)]
pub(crate) struct Entry {
    serial: u64,
    peer: PeerAddr,
    /// When it was accepted, in time since the table was made.
    opened: u64,
    pub(crate) counters: Counters,
    /// Why it ends; boxed, as most connections have none.
    reason: Option<Box<CloseReason>>,
    pub(crate) outbox: Outbox,
    pub(crate) kept: Kept,
    listener: u16,
    pub(crate) phase: Phase,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// A read that returns less than was asked for does not mean that there is no more: a FIN, a
    /// reset or an urgent mark stands behind it. Until a read says `WouldBlock`.
    pub(crate) more_follows: bool,
    /// Both directions are said to be down. It is readable and writable then, so that a read or a write
    /// will tell; this is kept for the one case in which neither does.
    pub(crate) hung_up: bool,
    /// The queue rose above high water and has not fallen to low water since.
    pub(crate) throttled: bool,
    /// Kept input that the handler was not offered to its end.
    pub(crate) undelivered: bool,
    /// It is on the ready list.
    listed: bool,
}

impl Entry {
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer.into()
    }

    /// Closes in order, as soon as everything queued has been sent.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        let _unused = self.note(reason);
        self.phase = self.phase.after_close();
    }

    /// Ends both directions now. `reset` asks for a RST.
    pub(crate) fn cut(&mut self, reason: CloseReason, reset: bool) {
        let _unused = self.note(reason);
        self.phase = self.phase.after_end(reset);
    }

    /// Nothing reaches the peer any more.
    pub(crate) fn cannot_write(&mut self, reason: CloseReason) {
        let _unused = self.note(reason);
        self.phase = self.phase.after_write_failure();
        self.outbox.clear();
        self.throttled = false;
        self.writable = false;
        // What the peer sent before may wait without an edge of its own.
        self.readable = true;
        self.more_follows = true;
    }

    /// Remembers why it ends: the first reason stays, but an orderly one gives way to a failure as
    /// long as not all that was queued has been sent.
    ///
    /// Returns the one that is not kept, to be dropped when all is in order: it may hold a handler's
    /// error, and who knows what that does when it is dropped.
    pub(crate) fn note(&mut self, reason: CloseReason) -> Option<CloseReason> {
        let replace = match &self.reason {
            None => true,
            Some(old) => {
                old.is_orderly()
                    && !reason.is_orderly()
                    && !matches!(self.phase, Phase::Lingering | Phase::Closed { .. })
            }
        };
        if replace { self.reason.replace(Box::new(reason)).map(|old| *old) } else { Some(reason) }
    }

    pub(crate) fn take_reason(&mut self) -> CloseReason {
        self.reason.take().map_or(CloseReason::Closed, |reason| *reason)
    }

    /// The last read found nothing, so what was said of a hang-up is no longer believed.
    pub(crate) fn read_blocked(&mut self) {
        self.readable = false;
        self.more_follows = false;
        self.hung_up = false;
    }

    /// Whether the handler may be offered input.
    pub(crate) fn takes_input(&self) -> bool {
        self.phase.reads() == Reads::Deliver && !self.throttled
    }

    pub(crate) fn wants_read(&self) -> bool {
        self.readable
            && match self.phase.reads() {
                Reads::Deliver => self.takes_input() && !self.undelivered,
                Reads::Discard => true,
                Reads::Nothing => false,
            }
    }

    /// Whether a reset may have followed the peer's FIN. Reading does not tell: recv(2) goes on
    /// returning 0.
    pub(crate) fn may_be_reset(&self) -> bool {
        self.hung_up && self.phase == Phase::PeerFinished
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.writable && !self.outbox.is_empty()
    }

    pub(crate) fn has_drained(&self, low_water: usize) -> bool {
        self.throttled && self.outbox.len() <= low_water
    }

    fn has_work(&self, low_water: usize) -> bool {
        self.phase.is_closed()
            || self.wants_write()
            || self.wants_read()
            || self.may_be_reset()
            || (matches!(self.phase, Phase::Flushing { .. }) && self.outbox.is_empty())
            || (self.undelivered && self.takes_input())
            || self.has_drained(low_water)
    }
}

/// All connections of a reactor, and what belongs to none of them alone.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) config: Config,
    pub(crate) stats: Stats,
    /// The time of this turn.
    pub(crate) now: Instant,
    pub(crate) stopping: bool,
    pub(crate) admission: Admission,
    /// What the callback at hand has sent to its own connection; empty between callbacks.
    pub(crate) staged: Vec<u8>,
    /// Where each listener listens. They are never removed, so an index stays good.
    pub(crate) listeners: Vec<SocketAddr>,
    entries: Slab<Entry>,
    ready: Vec<ConnId>,
    last_serial: u64,
    epoch: Instant,
}

impl Table {
    /// `descriptors` is how many the system allows, if that is known.
    pub(crate) fn new(config: Config, descriptors: Option<usize>, now: Instant) -> Self {
        Self {
            admission: Admission::new(config.admission(descriptors)),
            config,
            stats: Stats::default(),
            now,
            stopping: false,
            staged: Vec::new(),
            listeners: Vec::new(),
            entries: Slab::new(),
            ready: Vec::new(),
            last_serial: 0,
            epoch: now,
        }
    }

    /// The id that the next [`insert`](Self::insert) gives.
    pub(crate) fn next_id(&self) -> ConnId {
        let slot = u32::try_from(self.entries.vacant_key())
            .expect("descriptors are 32 bits wide, and each slot holds one");
        ConnId { serial: self.last_serial + 1, slot }
    }

    /// Gives a slot to a connection that has just been accepted.
    pub(crate) fn insert(&mut self, peer: SocketAddr, listener: u16) -> ConnId {
        let id = self.next_id();
        self.last_serial = id.serial;
        self.entries.insert(Entry {
            serial: id.serial,
            peer: peer.into(),
            opened: u64::try_from((self.now - self.epoch).as_nanos()).unwrap_or(u64::MAX),
            counters: Counters::default(),
            reason: None,
            outbox: Outbox::default(),
            kept: Kept::default(),
            listener,
            phase: Phase::Open,
            readable: false,
            // A new socket's send buffer is empty, so the first edge need not be waited for.
            writable: true,
            more_follows: false,
            hung_up: false,
            throttled: false,
            undelivered: false,
            listed: false,
        });
        self.stats.open += 1;
        self.admission.opened(id.slot, peer.ip());
        id
    }

    /// Frees a slot. Only at the end of a turn, so that no slot changes hands within one.
    pub(crate) fn remove(&mut self, id: ConnId) {
        if self.get(id).is_some() {
            let entry = self.entries.remove(id.slot as usize);
            self.admission.closed(id.slot, entry.peer().ip());
            self.stats.open -= 1;
            self.stats.closed += 1;
        }
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&Entry> {
        self.entries.get(id.slot as usize).filter(|entry| entry.serial == id.serial)
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Entry> {
        self.entries.get_mut(id.slot as usize).filter(|entry| entry.serial == id.serial)
    }

    /// The entry of a connection that is known to be there.
    ///
    /// # Panics
    /// If it is not: slots are freed by the reactor alone, between callbacks.
    pub(crate) fn entry(&mut self, id: ConnId) -> &mut Entry {
        self.get_mut(id).expect("the reactor works on connections that hold a slot")
    }

    /// Starts to judge newcomers by other limits, as if all who are here had come under them.
    pub(crate) fn limit_newcomers(&mut self, limits: Limits) {
        let mut admission = Admission::new(limits);
        for (slot, entry) in &self.entries {
            let slot = u32::try_from(slot).expect("slots are counted in 32 bits by next_id");
            admission.opened(slot, entry.peer().ip());
        }
        self.admission = admission;
    }

    /// The id of whoever is in a slot.
    pub(crate) fn id_in(&self, slot: u32) -> Option<ConnId> {
        self.entries.get(slot as usize).map(|entry| ConnId { serial: entry.serial, slot })
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ConnId> {
        self.entries.iter().map(|(slot, entry)| ConnId {
            serial: entry.serial,
            slot: u32::try_from(slot).expect("slots are counted in 32 bits by next_id"),
        })
    }

    pub(crate) fn age(&self, entry: &Entry) -> Duration {
        (self.now - self.epoch).saturating_sub(Duration::from_nanos(entry.opened))
    }

    pub(crate) fn listener_of(&self, entry: &Entry) -> SocketAddr {
        self.listeners[usize::from(entry.listener)]
    }

    /// Sets the sticky flags that an event tells of. An event for a slot's former tenant is dropped:
    /// its tag is another.
    pub(crate) fn mark(&mut self, slot: u32, tag: u32, event: Event) {
        let Some(entry) = self.entries.get_mut(slot as usize) else { return };
        let id = ConnId { serial: entry.serial, slot };
        if id.tag() != tag {
            return;
        }
        entry.readable |= event.readable;
        entry.writable |= event.writable;
        entry.more_follows |= event.more_follows;
        entry.hung_up |= event.hung_up;
        self.list_if_busy(id);
    }

    /// Puts a connection on the ready list if it has work that can be done now.
    pub(crate) fn list_if_busy(&mut self, id: ConnId) {
        let low_water = self.config.low_water_bytes();
        let Some(entry) = self.get_mut(id) else { return };
        if !entry.listed && entry.has_work(low_water) {
            entry.listed = true;
            self.ready.push(id);
        }
    }

    /// Takes a connection off the ready list, as its turn has come.
    pub(crate) fn unlist(&mut self, id: ConnId) -> Option<&mut Entry> {
        let entry = self.get_mut(id)?;
        entry.listed = false;
        Some(entry)
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Exchanges the ready list for an empty one: those who are added now wait for the next turn.
    pub(crate) fn swap_ready(&mut self, list: &mut Vec<ConnId>) {
        std::mem::swap(&mut self.ready, list);
    }

    /// What is queued for a connection, with what the callback at hand has sent to it if it is the
    /// `current` one.
    pub(crate) fn queued(&self, id: ConnId, current: ConnId) -> usize {
        let staged = if id == current { self.staged.len() } else { 0 };
        self.get(id).map_or(0, |entry| entry.outbox.len()) + staged
    }

    /// Queues bytes for a connection, or nothing.
    pub(crate) fn try_send(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        current: ConnId,
    ) -> Result<(), SendError> {
        if !self.get(id).is_some_and(|entry| entry.phase.sends()) {
            return Err(SendError::Gone);
        }
        let limit = self.config.queue_limit_bytes();
        if self.queued(id, current).checked_add(bytes.len()).is_none_or(|total| total > limit) {
            return Err(SendError::Full);
        }
        if id == current {
            self.staged.extend_from_slice(bytes);
        } else {
            self.entry(id).outbox.push(bytes);
            self.list_if_busy(id);
        }
        Ok(())
    }

    /// Queues bytes for a connection, and ends it if they are too many.
    pub(crate) fn send(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        current: ConnId,
    ) -> Result<(), SendError> {
        let sent = self.try_send(id, bytes, current);
        if sent != Err(SendError::Full) {
            return sent;
        }
        let limit = self.config.queue_limit_bytes();
        self.entry(id).cut(CloseReason::OutboxOverflow { limit }, true);
        self.list_if_busy(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Token;
    use std::net::Ipv4Addr;

    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

    const READABLE: Event = Event {
        token: Token::Conn { slot: 0, tag: 0 },
        readable: true,
        writable: false,
        more_follows: false,
        hung_up: false,
    };

    fn table() -> Table {
        Table::new(Config::new(), None, Instant::now())
    }

    #[test]
    fn an_entry_fits_in_two_cache_lines_beside_its_socket() {
        // Of 128 bytes, the descriptor and the tag of a handler's state take 8. The option stands for
        // what the slab adds to an entry to mark a vacant slot.
        assert!(size_of::<Option<Entry>>() <= 112, "{} bytes", size_of::<Option<Entry>>());
    }

    #[test]
    fn an_id_never_names_its_slots_next_tenant() {
        let mut table = table();
        let first = table.insert(PEER, 0);
        table.remove(first);
        let second = table.insert(PEER, 0);
        assert_eq!(first.slot, second.slot, "the slot is used again");
        assert!(table.get(first).is_none());
        assert_eq!(table.try_send(first, b"x", second), Err(SendError::Gone));
        table.remove(first);
        assert!(table.get(second).is_some(), "a stale id removes nobody");
    }

    #[test]
    fn two_events_for_one_connection_list_it_once() {
        let mut table = table();
        let id = table.insert(PEER, 0);
        table.mark(id.slot, id.tag(), READABLE);
        table.mark(id.slot, id.tag(), READABLE);
        let mut ready = Vec::new();
        table.swap_ready(&mut ready);
        assert_eq!(ready, [id]);
    }

    #[test]
    fn a_writable_connection_with_nothing_to_send_has_no_work() {
        let mut table = table();
        let id = table.insert(PEER, 0);
        let event = Event { readable: false, writable: true, ..READABLE };
        table.mark(id.slot, id.tag(), event);
        assert!(!table.has_ready());
    }

    #[test]
    fn an_event_for_a_slots_former_tenant_is_dropped() {
        let mut table = table();
        let first = table.insert(PEER, 0);
        table.remove(first);
        let second = table.insert(PEER, 0);
        table.mark(first.slot, first.tag(), READABLE);
        assert!(!table.has_ready());
        table.mark(second.slot, second.tag(), READABLE);
        assert!(table.has_ready());
    }

    #[test]
    fn a_failure_replaces_an_orderly_reason_only_while_bytes_are_owed() {
        let mut table = table();
        let id = table.insert(PEER, 0);
        let entry = table.entry(id);
        entry.close(CloseReason::Closed);
        entry.phase = entry.phase.after_flush();
        entry.cut(CloseReason::Aborted, true);
        assert!(matches!(entry.take_reason(), CloseReason::Closed));

        let id = table.insert(PEER, 0);
        let entry = table.entry(id);
        entry.close(CloseReason::Closed);
        entry.cut(CloseReason::Aborted, true);
        assert!(matches!(entry.take_reason(), CloseReason::Aborted));
    }
}
