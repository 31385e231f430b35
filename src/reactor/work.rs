//! Serving those who are ready: flush, read, call back, flush.

use std::io::{self, ErrorKind, IoSlice};
use std::{iter, mem};

use super::preview::Preview;
use super::{Reactor, uninterrupted};
use crate::close_reason::CloseReason;
use crate::core::kept::Kept;
use crate::core::outbox::Outbox;
use crate::core::phase::{Phase, Reads};
use crate::handler::Handler;
use crate::id::ConnId;
use crate::input::Input;
use crate::net::Net;

/// How many pieces one write takes at most. As a piece is at most 64 KiB, it also bounds what a
/// connection writes in a turn.
const SLICES: usize = 16;

/// How often `on_data` is called on the same bytes in a turn, for a handler that takes one small
/// message a call: the others wait meanwhile.
const CALLS: usize = 64;

/// The buffer for what callbacks send is given back when one of them has made it larger than this.
const LARGEST_STAGED: usize = 1024 * 1024;

impl<H: Handler, N: Net> Reactor<H, N> {
    pub(super) fn work(&mut self) {
        let mut working = mem::take(&mut self.working);
        self.table.swap_ready(&mut working);
        for id in working.drain(..) {
            self.serve(id);
        }
        self.working = working;
    }

    fn serve(&mut self, id: ConnId) {
        if self.table.unlist(id).is_none() {
            return; // it was reaped after it had been listed
        }
        self.settle(id);
        let low_water = self.table.config.low_water_bytes();
        let entry = self.table.entry(id);
        let drained = entry.has_drained(low_water);
        if drained {
            entry.throttled = false;
        }
        if entry.undelivered && entry.takes_input() {
            self.deliver(id, 0);
        }
        self.read(id);
        if self.table.entry(id).may_be_reset() {
            self.look_for_reset(id);
        }
        // After reading, or a handler that produces endlessly would never read.
        let entry = self.table.entry(id);
        if drained && !entry.throttled && entry.phase.sends() {
            self.callback(id, |handler, conn, state| handler.on_drained(conn, state));
        }
        self.relist(id);
    }

    /// Puts a connection that has more to do on the ready list, unless it only waits to be reaped.
    pub(super) fn relist(&mut self, id: ConnId) {
        if !self.table.entry(id).phase.is_closed() {
            self.table.list_if_busy(id);
        }
    }

    /// Sends what can be sent, and takes the next step of closing if all is sent.
    pub(super) fn settle(&mut self, id: ConnId) {
        self.flush(id);
        let entry = self.table.entry(id);
        if entry.outbox.is_empty() && matches!(entry.phase, Phase::Flushing { .. }) {
            entry.phase = entry.phase.after_flush();
            if entry.phase == Phase::Lingering {
                self.start_lingering(id);
            }
        }
        let entry = self.table.entry(id);
        if entry.phase.reads() != Reads::Deliver {
            entry.kept.clear();
        }
        if entry.phase.is_closed() {
            self.closed.push(id);
        }
    }

    fn start_lingering(&mut self, id: ConnId) {
        let Some(socket) = &mut self.sockets[id.slot as usize] else { return };
        match uninterrupted(|| self.net.finish(&mut socket.stream)) {
            Ok(()) => self.lingering.add(self.table.now, id),
            // The peer is gone already: all was handed over, and there is nobody to wait for.
            Err(_) => {
                let entry = self.table.entry(id);
                entry.phase = entry.phase.after_end(false);
            }
        }
    }

    /// Sends what is queued and what the last callback has staged, in one system call. Only what the
    /// kernel refuses is copied to the outbox.
    fn flush(&mut self, id: ConnId) {
        if self.table.staged.is_empty() && self.table.entry(id).outbox.is_empty() {
            return;
        }
        let mut staged = mem::take(&mut self.table.staged);
        let high_water = self.table.config.high_water;
        let entry = self.table.entry(id);
        if !(entry.phase.is_closed() || entry.phase == Phase::Deaf) {
            entry.throttled |= entry.outbox.len() + staged.len() > high_water;
            let sent = self.transmit(id, &staged);
            let entry = self.table.entry(id);
            if entry.phase != Phase::Deaf {
                entry.outbox.push(&staged[sent..]);
            }
        }
        staged.clear();
        staged.shrink_to(LARGEST_STAGED);
        self.table.staged = staged;
    }

    /// Returns how many of the staged bytes the kernel took.
    fn transmit(&mut self, id: ConnId, staged: &[u8]) -> usize {
        let entry = self.table.entry(id);
        if !entry.writable {
            return 0;
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let slices = gather(&entry.outbox, staged, &mut slices);
        let asked: usize = slices.iter().map(|slice| slice.len()).sum();
        let Some(socket) = &mut self.sockets[id.slot as usize] else { return 0 };
        let result = match uninterrupted(|| self.net.write(&mut socket.stream, slices)) {
            Ok(0) => Err(ErrorKind::WriteZero.into()),
            other => other,
        };
        match result {
            Ok(written) => {
                log::trace!(
                    "{id} sent {written} of {asked} bytes: {}",
                    Preview::new(slices, written)
                );
                let queued = entry.outbox.len().min(written);
                entry.outbox.consume(queued);
                entry.counters.written(written);
                entry.writable = written == asked || !self.net.partial_means_blocked();
                self.table.stats.traffic.written(written);
                written - queued
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                entry.writable = false;
                0
            }
            Err(error) => {
                entry.cannot_write(CloseReason::Io(error));
                0
            }
        }
    }

    /// Reads within the budget, for as long as there is something and it may be read.
    fn read(&mut self, id: ConnId) {
        let mut budget = self.table.config.read_budget;
        while budget > 0 {
            let entry = self.table.entry(id);
            if !entry.wants_read() {
                return;
            }
            let Some(socket) = &mut self.sockets[id.slot as usize] else { return };
            let into = &mut self.buffer[..];
            let room = into.len();
            match uninterrupted(|| self.net.read(&mut socket.stream, into)) {
                Ok(0) => self.peer_finished(id),
                Ok(count) => {
                    if count < room && self.net.partial_means_blocked() && !entry.more_follows {
                        entry.readable = false;
                    }
                    budget = budget.saturating_sub(count);
                    self.received(id, count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.read_blocked(id),
                Err(error) => self.fail(id, error),
            }
        }
    }

    fn read_blocked(&mut self, id: ConnId) {
        let entry = self.table.entry(id);
        entry.read_blocked();
        if entry.phase == Phase::Deaf {
            // All that the peer had sent is read, and no answer can reach it.
            entry.phase = entry.phase.after_end(true);
            self.settle(id);
        }
    }

    fn fail(&mut self, id: ConnId, error: io::Error) {
        self.table.entry(id).cut(CloseReason::Io(error), false);
        self.settle(id);
    }

    fn look_for_reset(&mut self, id: ConnId) {
        let Some(socket) = &mut self.sockets[id.slot as usize] else { return };
        match self.net.take_error(&mut socket.stream) {
            Ok(None) => self.table.entry(id).hung_up = false,
            Ok(Some(error)) | Err(error) => self.fail(id, error),
        }
    }

    /// `count` bytes have come and stand in the buffer.
    fn received(&mut self, id: ConnId, count: usize) {
        log::trace!(
            "{id} received {count} bytes: {}",
            Preview::new(&[IoSlice::new(&self.buffer[..count])], count)
        );
        self.table.stats.traffic.read(count);
        self.table.admission.heard_of(id.slot);
        let entry = self.table.entry(id);
        entry.counters.read(count);
        if entry.phase.reads() == Reads::Deliver {
            self.deliver(id, count);
        }
    }

    /// Offers the handler what was kept for it and the first `fresh` bytes of the buffer, and keeps
    /// what it leaves.
    fn deliver(&mut self, id: ConnId, fresh: usize) {
        let buffer = mem::take(&mut self.buffer);
        let mut kept = mem::take(&mut self.table.entry(id).kept);
        let search = if kept.is_empty() {
            // The usual case: the handler reads where the kernel wrote, and nothing is copied.
            let left = self.offer(id, Input::new(&buffer[..fresh]));
            kept.append(left.peek());
            left.into_search()
        } else {
            kept.append(&buffer[..fresh]);
            let search = kept.take_search();
            let shown = kept.len();
            let left = self.offer(id, Input::resume(kept.bytes(), search));
            let (taken, search) = (shown - left.len(), left.into_search());
            kept.consume(taken);
            search
        };
        kept.put_search(search);
        self.buffer = buffer;
        self.keep(id, kept);
    }

    /// Calls `on_data` until it has taken all it can use, or has to stop for now.
    fn offer<'i>(&mut self, id: ConnId, mut input: Input<'i>) -> Input<'i> {
        self.table.entry(id).undelivered = false;
        for _ in 0..CALLS {
            let before = input.len();
            self.callback(id, |handler, conn, state| handler.on_data(conn, state, &mut input));
            let entry = self.table.entry(id);
            if input.is_empty() || entry.phase.reads() != Reads::Deliver {
                return input;
            }
            if !entry.takes_input() {
                entry.undelivered = true;
                return input;
            }
            if input.len() == before {
                return input;
            }
        }
        self.table.entry(id).undelivered = true;
        input
    }

    fn keep(&mut self, id: ConnId, kept: Kept) {
        let limit = self.table.config.max_input;
        let entry = self.table.entry(id);
        if entry.phase.reads() != Reads::Deliver {
            return;
        }
        let overflows = kept.len() > limit && !entry.undelivered;
        entry.kept = kept;
        if overflows {
            entry.close(CloseReason::InputOverflow { limit });
            self.settle(id);
        }
    }

    fn peer_finished(&mut self, id: ConnId) {
        let entry = self.table.entry(id);
        entry.readable = false;
        let was_open = entry.phase == Phase::Open;
        if was_open {
            let _unused = entry.note(CloseReason::PeerFinished);
        }
        entry.phase = entry.phase.after_eof();
        if was_open {
            log::trace!("{id} the peer has finished");
            self.offer_end(id);
        } else {
            self.settle(id);
        }
    }

    fn offer_end(&mut self, id: ConnId) {
        let mut kept = mem::take(&mut self.table.entry(id).kept);
        let search = kept.take_search();
        let mut input = Input::resume(kept.bytes(), search);
        self.callback(id, |handler, conn, state| handler.on_eof(conn, state, &mut input));
    }
}

/// What is queued and what is staged, in order, as far as it fits.
fn gather<'a, 's>(
    outbox: &'a Outbox,
    staged: &'a [u8],
    into: &'s mut [IoSlice<'a>; SLICES],
) -> &'s [IoSlice<'a>] {
    let pieces = outbox.slices().chain(iter::once(staged)).filter(|piece| !piece.is_empty());
    let mut count = 0;
    for (slice, piece) in into.iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece);
        count += 1;
    }
    &into[..count]
}
