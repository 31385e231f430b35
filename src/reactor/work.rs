//! Serving the ready connections: flush, read, call back, flush.

use std::io::{self, ErrorKind, IoSlice};
use std::mem;

use super::preview::Preview;
use super::turn_timer::Served;
use super::{Reactor, uninterrupted};
use crate::close_reason::CloseReason;
use crate::core::phase::{Phase, Reads};
use crate::core::search::Search;
use crate::core::unread::Unread;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::input::Input;
use crate::net::Net;
use crate::table::{Outgoing, Piece};

/// So many connections that have had their turn go on in the next, however little else there is to do.
const LEFTOVERS: usize = 8;

/// How many pieces one write takes at most: what waits for a connection can be many small bodies with a header before
/// each.
const SLICES: usize = 64;

/// A connection that has output queued is read from in smaller pieces, lest the answers fill more than its
/// queue is meant to hold; but not in smaller ones than this.
const SMALLEST_READ: usize = 4 * 1024;

/// The buffer for what callbacks send is given back when one of them has made it larger than this.
const LARGEST_STAGED: usize = 1024 * 1024;

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Serves the connections with new events, and then as many of the connections that had used up their budget. So a
    /// new request does not wait for floods, of however many connections, and a flood does not wait for ever.
    pub(super) fn work(&mut self) {
        let mut working = mem::take(&mut self.working);
        self.table.swap_ready(&mut working);
        let leftovers = working.len().max(LEFTOVERS).min(self.table.leftovers());
        for id in working.drain(..) {
            self.serves(Served::Conn(id));
            self.serve(id);
        }
        for _ in 0..leftovers {
            let Some(id) = self.table.next_leftover() else { break };
            self.serves(Served::Conn(id));
            self.serve(id);
        }
        self.working = working;
    }

    /// Serves connections that have waited for memory. In every other turn that comes behind new connections,
    /// messages and timers. Whichever is first could use up what becomes free in a turn, again and again.
    pub(super) fn work_with_memory(&mut self, is_late: bool) {
        if (self.table.stats.get().turns % 2 == 1) != is_late {
            return;
        }
        // One after the other, for as long as there is memory: a call of one handler may use it up again.
        for _ in 0..self.table.waiting_for_memory() {
            let Some(id) = self.table.next_with_memory() else { break };
            self.serves(Served::Conn(id));
            self.serve_within(id, true, !self.table.memory.takes_no_input());
        }
    }

    fn serve(&mut self, id: ConnId) {
        let is_short_of_memory = self.table.reads_wait();
        let Some(entry) = self.table.unlist(id) else {
            return; // it was reaped after it had been listed
        };
        if is_short_of_memory {
            return self.serve_within(id, !self.table.calls_wait(), false);
        }
        if !entry.has_only_to_be_read() {
            return self.serve_within(id, true, true);
        }
        self.write_left = self.table.config().budgets.write;
        self.read(id);
        if !self.table.entry(id).is_done() {
            self.finish_turn(id, false); // not the usual case
        }
    }

    /// Does what there is to do for a connection, as far as there is memory to call its handler, and to read
    /// for it.
    fn serve_within(&mut self, id: ConnId, may_call: bool, may_read: bool) {
        let entry = self.table.entry(id);
        if entry.phase == Phase::Connecting {
            return if may_call { self.see_whether_connected(id) } else { self.relist(id) };
        }
        self.begin(id);
        if !may_call {
            if self.table.entry(id).phase.reads() == Reads::Discard {
                self.read(id);
            }
            return self.finish_turn(id, false);
        }
        let (low_water, now) = (self.table.marks(id).low, self.table.clock.stamp());
        let entry = self.table.entry(id);
        let drained = entry.has_drained(low_water);
        if drained {
            entry.throttled = false;
            entry.heard_of(now); // the peer was held back, so that its silence counts from now on
        }
        if entry.undelivered && entry.takes_input() {
            self.deliver(id, 0);
        }
        if may_read || self.table.entry(id).phase.reads() == Reads::Discard {
            self.read(id);
        }
        self.finish_turn(id, drained);
    }

    /// What there is to do for a connection once it was read from. It may have drained before.
    fn finish_turn(&mut self, id: ConnId, drained: bool) {
        if self.table.entry(id).may_be_reset() {
            self.look_for_reset(id);
        }
        // After reading, or a handler that produces endlessly would never read.
        let is_used_up = self.table.memory.is_used_up();
        let entry = self.table.entry(id);
        if drained && !entry.throttled && entry.phase.sends() {
            if is_used_up {
                entry.throttled = true; // so that it is still owed the call
            } else {
                self.callback(id, |handler, conn, state| handler.on_low_water(conn, state));
            }
        }
        // What could go on reading or writing has used up a budget of its own.
        let reads_wait = self.table.reads_wait();
        let entry = self.table.entry(id);
        let (reads, writes) = (entry.wants_read() && !reads_wait, entry.wants_write());
        let exhausted = &mut self.table.stats.count().exhausted;
        exhausted.reads += u64::from(reads);
        exhausted.writes += u64::from(writes);
        self.relist(id);
    }

    /// Puts a connection that has more to do on the ready list, unless it only waits to be reaped.
    pub(super) fn relist(&mut self, id: ConnId) {
        if !self.table.entry(id).phase.is_closed() {
            self.table.relist_if_busy(id);
        }
    }

    /// The turn of a connection begins, with all of its write budget.
    pub(super) fn begin(&mut self, id: ConnId) {
        self.write_left = self.table.config().budgets.write;
        self.settle(id);
    }

    /// Sends what can be sent, and takes the next step of closing if all is sent.
    pub(super) fn settle(&mut self, id: ConnId) {
        self.settle_shown(id, &[]);
    }

    /// The same after a callback that was shown input.
    pub(super) fn settle_shown(&mut self, id: ConnId, input: &[u8]) {
        if self.table.staged.is_empty() && self.table.entry(id).is_at_ease() {
            return; // the usual case before a callback
        }
        self.flush(id, input);
        if !self.table.entry(id).is_at_ease() {
            self.take_steps(id); // not the usual case after one
        }
    }

    /// Does for a connection what follows from where it stands.
    fn take_steps(&mut self, id: ConnId) {
        let entry = self.table.entry(id);
        if entry.queued() == 0 && matches!(entry.phase, Phase::Flushing { .. } | Phase::Finishing) {
            entry.phase = entry.phase.after_flush();
            if matches!(entry.phase, Phase::Lingering | Phase::HalfClosed) {
                self.send_fin(id);
            }
        }
        let entry = self.table.entry(id);
        if !entry.phase.delivers() {
            drop(entry.take_unread());
            entry.undelivered = false;
        }
        if entry.phase.is_closed() {
            self.closed.push(id);
        }
        // Only these can have a deadline that is nearer than the one before.
        if entry.queued() > 0 || entry.phase != Phase::Open {
            self.table.watch(id);
        }
        self.table.recount(id);
    }

    fn send_fin(&mut self, id: ConnId) {
        let Some(socket) = &mut self.program.sockets[id.slot as usize] else { return };
        let finished = uninterrupted(|| self.net.shutdown_write(&mut socket.stream));
        let now = self.table.clock.stamp();
        let entry = self.table.entry(id);
        match finished {
            _ if entry.phase == Phase::HalfClosed => {} // if the peer is gone, reading tells
            Ok(()) => entry.wait_for_fin(now),
            // The peer has gone already. The kernel has taken everything, and no FIN will come.
            Err(_) => entry.phase = entry.phase.after_end(false),
        }
    }

    /// Sends what is queued and what the last callback has staged, in one system call. Only what the
    /// kernel refuses is copied to the outbox.
    fn flush(&mut self, id: ConnId, input: &[u8]) {
        if self.table.staged.is_empty() && self.table.entry(id).queued() == 0 {
            return;
        }
        let now = self.table.clock.stamp();
        let entry = self.table.entry(id);
        if !(entry.phase.is_closed() || entry.phase == Phase::Deaf) {
            let mut sent = self.transmit(id, input);
            let Outgoing { entry, staged, bodies, .. } = self.table.outgoing(id);
            if entry.phase != Phase::Deaf {
                if sent < staged.len() {
                    for piece in staged.pieces(input) {
                        let (taken, rest) = piece.bytes().split_at(piece.bytes().len().min(sent));
                        sent -= taken.len();
                        match piece {
                            Piece::Plain(_) => entry.push(rest, now),
                            Piece::Shared(_) if rest.is_empty() => {}
                            Piece::Shared(body) => {
                                entry.push_shared(body.clone(), taken.len(), now, bodies);
                            }
                        }
                    }
                }
                // What the kernel takes at once was never queued. But a handler that was told to wait is told to go on.
                let (is_told, queued) = (staged.is_told(), entry.queued());
                if is_told || (queued > 0 && queued > self.table.marks(id).high) {
                    self.table.entry(id).throttled = true;
                }
            }
        }
        self.table.staged.clear(LARGEST_STAGED);
    }

    /// Returns how many of the staged bytes the kernel took.
    fn transmit(&mut self, id: ConnId, input: &[u8]) -> usize {
        let now = self.table.clock.stamp();
        let Outgoing { entry, staged, bodies, stats } = self.table.outgoing(id);
        if !entry.writable || self.write_left == 0 {
            return 0;
        }
        let (only, mut several);
        let slices = match staged.only(input) {
            Some(piece) if entry.queued() == 0 => {
                only = [IoSlice::new(&piece[..piece.len().min(self.write_left)])];
                &only[..] // the usual case
            }
            _ => {
                several = [IoSlice::new(&[]); SLICES];
                let staged = staged.pieces(input).map(|piece| piece.bytes());
                gather(entry.slices().chain(staged), self.write_left, &mut several)
            }
        };
        let asked: usize = slices.iter().map(|slice| slice.len()).sum();
        let Some(socket) = &mut self.program.sockets[id.slot as usize] else { return 0 };
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
                self.write_left -= written;
                let queued = entry.queued().min(written);
                entry.consume(queued, now, bodies);
                entry.count_write(written);
                entry.writable = written == asked || !self.net.partial_means_blocked();
                stats.written(written);
                written - queued
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                entry.writable = false;
                0
            }
            Err(error) => {
                entry.cannot_write(CloseReason::Io(error), now, bodies);
                0
            }
        }
    }

    /// Reads within the budget, for as long as there is something and it may be read.
    pub(super) fn read(&mut self, id: ConnId) {
        let mut budget = self.table.config().budgets.read;
        while budget > 0 {
            let most = if self.table.memory.is_high() { SMALLEST_READ } else { self.buffer.len() };
            let takes_no_input = self.table.memory.takes_no_input();
            let entry = self.table.entry(id);
            if !entry.wants_read() {
                return;
            }
            let is_heard = entry.phase.reads() == Reads::Deliver;
            if takes_no_input && is_heard {
                return;
            }
            let room = if entry.queued() == 0 { most } else { self.room(id, most) };
            if room == 0 {
                self.table.entry(id).throttled = true;
                return;
            }
            let Some(socket) = &mut self.program.sockets[id.slot as usize] else { return };
            let into = &mut self.buffer[..room];
            match uninterrupted(|| self.net.read(&mut socket.stream, into)) {
                Ok(0) => self.peer_finished(id),
                Ok(count) => {
                    let is_short = count < room && self.net.partial_means_blocked();
                    budget = budget.saturating_sub(count);
                    self.received(id, count, is_short);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.read_blocked(id),
                Err(error) => self.fail(id, error),
            }
        }
    }

    /// How much may be read at once from a connection that has output queued.
    fn room(&mut self, id: ConnId, most: usize) -> usize {
        let high_water = self.table.marks(id).high;
        let entry = self.table.entry(id);
        match entry.queued() {
            _ if entry.phase.reads() == Reads::Discard || entry.reads_above => most,
            queued if queued > high_water => 0, // not before, or it would have drained at once
            queued => (high_water - queued).max(SMALLEST_READ).min(most),
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
        let Some(socket) = &mut self.program.sockets[id.slot as usize] else { return };
        let pending = self.net.take_error(&mut socket.stream);
        let now = self.table.clock.stamp();
        let Outgoing { entry, bodies, .. } = self.table.outgoing(id);
        entry.hung_up = false;
        match pending {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) if entry.phase == Phase::PeerFinished => {
                self.fail(id, error);
            }
            Ok(Some(error)) | Err(error) => {
                entry.cannot_write(CloseReason::Io(error), now, bodies);
                self.settle(id);
            }
        }
    }

    /// `count` bytes have come and stand in the buffer. If that is a short read there are no more.
    fn received(&mut self, id: ConnId, count: usize, is_short: bool) {
        log::trace!(
            "{id} received {count} bytes: {}",
            Preview::new(&[IoSlice::new(&self.buffer[..count])], count)
        );
        self.table.stats.read(count);
        self.table.heard_of(id);
        let now = self.table.clock.stamp();
        let entry = self.table.entry(id);
        entry.count_read(count);
        entry.heard_of(now);
        if is_short && !entry.more_follows {
            entry.readable = false;
        }
        if entry.phase.reads() == Reads::Deliver {
            self.deliver(id, count);
        } else {
            entry.throws_away();
        }
    }

    /// Offers the handler the unread input of earlier calls and the first `fresh` bytes of the buffer, and keeps
    /// what it leaves.
    fn deliver(&mut self, id: ConnId, fresh: usize) {
        let buffer = mem::take(&mut self.buffer);
        let (unread, max) = self.table.unread(id);
        if unread == 0 {
            // The usual case: the handler reads where the kernel wrote, and nothing is copied.
            let mut input = Input::resume(&buffer[..fresh], Search::default(), max);
            self.offer(id, &buffer[..fresh], &mut input);
            if !input.is_empty() {
                let mut unread = Unread::default();
                unread.append(input.peek());
                self.keep(id, unread, input.into_search());
            }
        } else {
            let mut unread = self.table.entry(id).take_unread();
            unread.append(&buffer[..fresh]);
            let (search, shown) = (unread.take_search(), unread.len());
            let mut input = Input::resume(unread.bytes(), search, max);
            self.offer(id, unread.bytes(), &mut input);
            let (taken, search) = (shown - input.len(), input.into_search());
            unread.consume(taken);
            self.keep(id, unread, search);
        }
        self.buffer = buffer;
    }

    /// Calls `on_data` again and again: while it takes something and leaves something, the connection is not
    /// held back, and there is memory. The input is of this `whole`.
    ///
    /// What the calls send goes out together, so that a handler which takes one message a call costs no more
    /// system calls than one which takes all.
    fn offer(&mut self, id: ConnId, whole: &[u8], input: &mut Input<'_>) {
        self.table.staged.show(whole);
        let mut takes = true;
        let mut calls = self.table.config().budgets.calls;
        while calls > 0 {
            let before = input.len();
            let entry = self.table.entry(id);
            entry.undelivered = false;
            entry.spend_call();
            self.call(id, |handler, conn, state| handler.on_data(conn, state, input));
            calls -= 1;
            if input.is_empty() {
                break; // the usual case
            }
            takes = input.len() < before;
            if !takes || !self.may_offer_more(id, whole) {
                break;
            }
        }
        self.settle_shown(id, whole);
        self.table.staged.hide();
        if !input.is_empty() {
            self.note_unread(id, takes, calls);
        }
    }

    /// Whether the handler may be called again at once. What would hold it back is sent first, as the kernel may
    /// take it.
    fn may_offer_more(&mut self, id: ConnId, whole: &[u8]) -> bool {
        let queued = self.table.queued(id, Some(id));
        if queued > self.table.marks(id).high || self.table.staged.is_told() {
            self.settle_shown(id, whole);
        }
        let has_memory = self.table.memory.has_room_beside(self.table.staged.len());
        has_memory && self.table.entry(id).takes_input()
    }

    /// The handler has left input, and is owed another call for it, unless it took nothing though it could: then
    /// it needs more bytes, or another callback, first.
    fn note_unread(&mut self, id: ConnId, takes: bool, calls_left: usize) {
        let entry = self.table.entry(id);
        let is_held_back = !entry.takes_input();
        entry.undelivered = entry.phase.delivers() && (takes || is_held_back);
        if entry.undelivered && calls_left == 0 && !is_held_back {
            self.table.stats.count().exhausted.calls += 1;
        }
    }

    fn keep(&mut self, id: ConnId, mut unread: Unread, search: Search) {
        unread.put_search(search);
        let limit = self.table.settings(id).max_input;
        let entry = self.table.entry(id);
        if !entry.phase.delivers() {
            return;
        }
        let overflows = unread.len() > limit && !entry.undelivered;
        entry.put_unread(unread);
        if overflows {
            self.close_in_order(id, CloseReason::InputOverflow { limit });
        } else {
            self.table.recount(id);
        }
    }

    fn peer_finished(&mut self, id: ConnId) {
        let now = self.table.clock.stamp();
        let entry = self.table.entry(id);
        entry.readable = false;
        entry.heard_of(now);
        let was_heard = entry.phase.hears();
        if was_heard {
            let _unused = entry.note(CloseReason::PeerFinished);
        }
        entry.phase = entry.phase.after_eof();
        if was_heard {
            log::trace!("{id} the peer has finished");
            self.offer_end(id);
        } else {
            self.settle(id);
        }
    }

    fn offer_end(&mut self, id: ConnId) {
        let mut unread = self.table.entry(id).take_unread();
        let (search, shown) = (unread.take_search(), unread.len());
        let max = self.table.settings(id).max_input;
        let mut input = Input::resume(unread.bytes(), search, max);
        self.callback(id, |handler, conn, state| handler.on_eof(conn, state, &mut input));
        let (taken, search) = (shown - input.len(), input.into_search());
        unread.consume(taken);
        unread.put_search(search);
        let entry = self.table.entry(id);
        if entry.phase.delivers() {
            entry.put_unread(unread);
            entry.offer_again();
            self.table.recount(id);
        }
    }
}

/// The pieces in their order, as far as they fit and within the budget.
fn gather<'a, 's>(
    pieces: impl Iterator<Item = &'a [u8]>,
    budget: usize,
    into: &'s mut [IoSlice<'a>; SLICES],
) -> &'s [IoSlice<'a>] {
    let pieces = pieces.filter(|piece| !piece.is_empty());
    let (mut count, mut left) = (0, budget);
    for (slice, piece) in into.iter_mut().zip(pieces) {
        let piece = &piece[..piece.len().min(left)];
        if piece.is_empty() {
            break;
        }
        left -= piece.len();
        *slice = IoSlice::new(piece);
        count += 1;
    }
    &into[..count]
}
