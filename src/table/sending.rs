//! Sending to connections, from callbacks.

use super::{Entry, HOLDS_A_SLOT, Staged, Table};
use crate::close_reason::CloseReason;
use crate::conn::SendError;
use crate::id::ConnId;
use crate::stats::Tally;

impl Table {
    /// What is queued for a connection, with what the callback at hand has sent to it if it is the
    /// `current` one.
    pub(crate) fn queued(&self, id: ConnId, current: Option<ConnId>) -> usize {
        let staged = if Some(id) == current { self.staged.len() } else { 0 };
        self.get(id).map_or(0, Entry::queued) + staged
    }

    /// Whether a considerate handler sends no more.
    pub(crate) fn is_above_high_water(&self, id: ConnId, current: Option<ConnId>) -> bool {
        if !self.sends(id) {
            return true;
        }
        let is_above = self.queued(id, current) > self.marks().high;
        if is_above && Some(id) == current {
            self.staged.tell();
        }
        is_above
    }

    /// The same for any connection. Who is told so waits for `on_drained`, so it is owed from now on.
    pub(crate) fn waits_to_drain(&mut self, id: ConnId, current: Option<ConnId>) -> bool {
        let is_above = self.is_above_high_water(id, current);
        if let Some(entry) = self.get_mut(id).filter(|_| is_above && Some(id) != current) {
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
        let has_room = self.has_room(id, bytes.len(), current).ok_or(SendError::Gone)?;
        let with_staged = self.staged.len().saturating_add(bytes.len());
        if !has_room || !self.pressure.has_room_for(with_staged) {
            return Err(SendError::Full);
        }
        self.push(id, bytes, current);
        Ok(())
    }

    /// Queues bytes for a connection, and ends it if they are too many for it. Whether they are too many
    /// for the reactor is seen at the end of the turn: it may not be this connection that has to go.
    #[inline] // for `Conn::send`, which knows that it is the current one
    pub(crate) fn send(
        &mut self,
        id: ConnId,
        bytes: &[u8],
        current: Option<ConnId>,
    ) -> Result<(), SendError> {
        if self.has_room(id, bytes.len(), current).ok_or(SendError::Gone)? {
            self.push(id, bytes, current);
        } else {
            let limit = self.config.queue_limit_bytes();
            self.entry(id).cut(CloseReason::OutboxOverflow { limit }, true);
            self.list_if_busy(id);
        }
        Ok(())
    }

    /// Whether a connection can be sent to.
    pub(crate) fn sends(&self, id: ConnId) -> bool {
        self.get(id).is_some_and(|entry| entry.phase.sends())
    }

    /// Whether a connection's queue takes so many bytes more; `None` if it cannot be sent to.
    fn has_room(&self, id: ConnId, bytes: usize, current: Option<ConnId>) -> Option<bool> {
        let entry = self.get(id).filter(|entry| entry.phase.sends())?;
        let staged = if Some(id) == current { self.staged.len() } else { 0 };
        let total = (entry.queued() + staged).checked_add(bytes);
        Some(total.is_some_and(|total| total <= self.config.queue_limit_bytes()))
    }

    fn push(&mut self, id: ConnId, bytes: &[u8], current: Option<ConnId>) {
        if Some(id) == current {
            self.staged.push(bytes);
        } else {
            let now = self.stamp();
            self.entry(id).push(bytes, now);
            self.recount(id);
            self.list_if_busy(id);
        }
    }

    /// What is there to send for a connection, and where to count what was sent.
    ///
    /// # Panics
    /// As [`entry`](Self::entry).
    #[inline]
    pub(crate) fn outgoing(&mut self, id: ConnId) -> (&mut Entry, &Staged, &mut Tally) {
        let entry = self.entries.get_mut(id.slot as usize);
        let entry = entry.filter(|entry| entry.serial == id.serial);
        (entry.expect(HOLDS_A_SLOT), &self.staged, &mut self.stats)
    }
}
