//! Sending to connections, from callbacks.

use bytes::Bytes;

use super::{Entry, HOLDS_A_SLOT, Staged, Table};
use crate::close_reason::CloseReason;
use crate::config::DEFAULT_QUEUE_LIMIT;
use crate::core::shared_bodies::SharedBodies;
use crate::id::ConnId;
use crate::send_error::SendError;
use crate::stats::Tally;

/// So much may be sent to a connection before the kernel is offered it, whatever its
/// [`queue_limit`](crate::Config::queue_limit).
const UNOFFERED: usize = DEFAULT_QUEUE_LIMIT;

/// Smaller bodies are copied. If the kernel takes a body at once, to copy 512 bytes takes as long as to share them: 30
/// ns, and 80 ns for 4 KiB. In a queue, to copy takes 0.6 µs for 1 KiB and 8 µs for 4 KiB, to share always 0.1 µs
/// (`cargo bench --bench pure`). But many small copies share a block, and are one piece of a write; and the queue of a
/// connection has blocks of 1 KiB at least, so that one copy of less takes no more memory than any other small send.
const SMALLEST_SHARED: usize = 1024;

/// What is there to send for a connection, and where to count what was sent.
pub(crate) struct Outgoing<'a> {
    pub(crate) entry: &'a mut Entry,
    pub(crate) staged: &'a Staged,
    pub(crate) bodies: &'a mut SharedBodies,
    pub(crate) stats: &'a mut Tally,
}

impl Table {
    /// What is queued for a connection, with what the callback at hand has sent to it if it is the
    /// `current` one.
    pub(crate) fn queued(&self, id: ConnId, current: Option<ConnId>) -> usize {
        self.get(id).map_or(0, Entry::queued) + self.staged_for(id, current)
    }

    /// What the callback at hand has sent to a connection, if it is the `current` one.
    #[inline]
    fn staged_for(&self, id: ConnId, current: Option<ConnId>) -> usize {
        if Some(id) == current { self.staged.len() } else { 0 }
    }

    /// Whether a considerate handler sends no more.
    pub(crate) fn is_above_high_water(&self, id: ConnId, current: Option<ConnId>) -> bool {
        if !self.sends(id) {
            return true;
        }
        let is_above = self.queued(id, current) > self.marks(id).high;
        if is_above && Some(id) == current {
            self.staged.tell();
        }
        is_above
    }

    /// The same for any connection. A handler that gets `true` waits for `on_low_water`, which is owed from now on,
    /// unless nothing can be sent any more.
    pub(crate) fn waits_to_drain(&mut self, id: ConnId, current: Option<ConnId>) -> bool {
        let is_above = self.is_above_high_water(id, current);
        let is_owed = is_above && Some(id) != current;
        if let Some(entry) = self.get_mut(id).filter(|entry| is_owed && entry.phase.sends()) {
            entry.throttled = true;
        }
        is_above
    }

    /// Queues bytes for a connection, or nothing.
    pub(crate) fn try_send(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        current: Option<ConnId>,
    ) -> Result<(), SendError> {
        if !self.sends(id) {
            return Err(SendError::Closed);
        }
        let queued = self.queued(id, current);
        // Where nothing waits one message may be of any length, or it never could be sent.
        let limit = self.settings(id).queue_limit;
        let has_room = queued == 0 || queued.saturating_add(bytes.len()) <= limit;
        if !has_room || !self.memory.has_room_beside(self.staged.len()) {
            return Err(SendError::Full);
        }
        self.push(id, bytes, current);
        Ok(())
    }

    /// Queues bytes for a connection, or ends it if its queue is over its limit.
    #[inline] // for `Conn::send`, which knows that it is the current one
    pub(crate) fn send(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        current: Option<ConnId>,
    ) -> Result<(), SendError> {
        if self.admits(id, current, bytes.is_empty())? {
            self.push(id, bytes, current);
        }
        Ok(())
    }

    /// Queues a body for a connection as [`send`](Self::send) does, without copying it unless it is small.
    pub(crate) fn send_bytes(
        &mut self,
        id: ConnId,
        body: Bytes,
        current: Option<ConnId>,
    ) -> Result<(), SendError> {
        if body.len() < SMALLEST_SHARED {
            return self.send(id, &body, current);
        }
        if self.admits(id, current, false)? {
            self.push_shared(id, body, current);
        }
        Ok(())
    }

    /// Whether a connection takes what is sent to it. Ends the connection if its queue is over its limit and something
    /// is sent.
    #[inline]
    fn admits(
        &mut self,
        id: ConnId,
        current: Option<ConnId>,
        is_empty: bool,
    ) -> Result<bool, SendError> {
        let staged = self.staged_for(id, current);
        let entry = self.get(id).filter(|entry| entry.phase.sends()).ok_or(SendError::Closed)?;
        let admits = is_empty || self.has_room(entry, staged);
        if !admits {
            self.overflow(id);
        }
        Ok(admits)
    }

    #[cold]
    fn overflow(&mut self, id: ConnId) {
        let limit = self.settings(id).queue_limit;
        self.entry(id).cut(CloseReason::OutboxOverflow { limit }, true);
        self.list_if_busy(id);
    }

    /// Queues more of what [`send`](Self::send) has begun to queue in the same callback. It is taken whole, as one
    /// `send` of all the bytes would be.
    pub(crate) fn send_more(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        current: Option<ConnId>,
    ) -> Result<(), SendError> {
        if !self.sends(id) {
            return Err(SendError::Closed);
        }
        self.push(id, bytes, current);
        Ok(())
    }

    /// Whether a connection can be sent to.
    pub(crate) fn sends(&self, id: ConnId) -> bool {
        self.get(id).is_some_and(|entry| entry.phase.sends())
    }

    /// Whether a connection goes on if more is sent to it. That it has more queued than its limit is held
    /// against the peer only if the kernel takes no more: what the kernel was not offered yet is bounded by
    /// [`UNOFFERED`] alone. And what is sent at once is taken whole, so that a message may be of any length.
    #[inline]
    fn has_room(&self, entry: &Entry, staged: usize) -> bool {
        if entry.queued() == 0 && staged <= UNOFFERED {
            return true; // the usual case
        }
        let queued = entry.queued() + staged;
        let limit = self.rules(entry).settings.queue_limit;
        (entry.queued() <= limit || entry.writable) && queued <= limit.max(UNOFFERED)
    }

    fn push(&mut self, id: ConnId, bytes: &[u8], current: Option<ConnId>) {
        if Some(id) == current {
            self.staged.push(bytes);
        } else {
            let now = self.clock.stamp();
            self.entry(id).push(bytes, now);
            self.recount(id);
            self.list_if_busy(id);
        }
    }

    fn push_shared(&mut self, id: ConnId, body: Bytes, current: Option<ConnId>) {
        if Some(id) == current {
            self.staged.push_shared(body);
        } else {
            let now = self.clock.stamp();
            let Outgoing { entry, bodies, .. } = self.outgoing(id);
            entry.push_shared(body, 0, now, bodies);
            self.recount(id);
            self.list_if_busy(id);
        }
    }

    /// # Panics
    /// As [`entry`](Self::entry).
    #[inline]
    pub(crate) fn outgoing(&mut self, id: ConnId) -> Outgoing<'_> {
        let entry = self.entries.get_mut(id.slot as usize);
        let entry = entry.filter(|entry| entry.serial == id.serial);
        Outgoing {
            entry: entry.expect(HOLDS_A_SLOT),
            staged: &self.staged,
            bodies: &mut self.bodies,
            stats: &mut self.stats,
        }
    }
}
