//! One connection.

use std::net::SocketAddr;

use bytes::Bytes;

use super::dial::Dial;
use crate::close_reason::CloseReason;
use crate::conn_info::Direction;
use crate::core::deadlines::Standing;
use crate::core::memory::Held;
use crate::core::outbox::Outbox;
use crate::core::peer_addr::PeerAddr;
use crate::core::phase::{Phase, Reads};
use crate::core::shared_bodies::SharedBodies;
use crate::core::u48::U48;
use crate::core::unread::Unread;
use crate::net::Event;

/// In the place of a listener's number: it was opened outbound.
const OUTBOUND: u16 = u16::MAX;

/// How many listeners can have a number here.
pub(super) const MOST_LISTENERS: usize = OUTBOUND as usize;

/// The number of calls of `on_data` is not limited.
const WITHOUT_END: u16 = u16::MAX;

/// What is known of one connection. The flags are sticky: an edge is told once, so what it said stays
/// true until a system call says otherwise. Times are in milliseconds since the table was made.
///
/// There may be a hundred thousand of these, so what most connections do not have at a time is apart.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) serial: u64,
    bytes_in: u64,
    bytes_out: u64,
    extra: Option<Box<Extra>>,
    reads: U48,
    writes: U48,
    opened: U48,
    /// When it was last heard of; in the phases that wait for the end, when that began.
    since: U48,
    peer: PeerAddr,
    /// Or [`OUTBOUND`].
    listener: u16,
    /// How often the handler may be offered input.
    calls_left: u16,
    pub(crate) phase: Phase,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// A read that returns less than was asked for does not mean that there is no more: a FIN, a
    /// reset or an urgent mark stands behind it. Until a read says `WouldBlock`.
    pub(crate) more_follows: bool,
    /// Both directions are said to be down. It is readable and writable then, so that a read or a write
    /// will tell; this is kept for the cases in which neither does.
    pub(crate) hung_up: bool,
    /// The queue rose above high water and has not fallen to low water since.
    pub(crate) throttled: bool,
    /// It is read from all the same.
    pub(crate) reads_above: bool,
    /// Kept input that the handler was not offered to its end.
    pub(crate) undelivered: bool,
    /// It is on the ready list.
    pub(super) listed: bool,
    /// It waits for room in the memory budget: its handler is to be called, or it is to be read from.
    pub(super) waits_for_call: bool,
    pub(super) waits_for_read: bool,
    /// Input arrived, or was unread, that will not be answered: the reactor had closed the connection.
    pub(crate) unanswered: bool,
}

/// What a connection has only at times.
#[derive(Debug, Default)]
struct Extra {
    outbox: Outbox,
    unread: Unread,
    /// Why it ends.
    reason: Option<CloseReason>,
    /// Until it is open, if it is opened outbound.
    dial: Option<Box<Dial>>,
    /// Since when the kernel has taken nothing of the outbox.
    stalled: u64,
    /// How many of its bytes are counted in the sum over all connections.
    counted: Held,
}

impl Entry {
    pub(super) fn new(serial: u64, peer: SocketAddr, listener: u16, now: u64) -> Self {
        Self {
            serial,
            bytes_in: 0,
            bytes_out: 0,
            extra: None,
            reads: U48::default(),
            writes: U48::default(),
            opened: now.into(),
            since: now.into(),
            peer: peer.into(),
            listener,
            calls_left: WITHOUT_END,
            phase: Phase::Open,
            readable: false,
            // A new socket's send buffer is empty, so the first edge need not be waited for.
            writable: true,
            more_follows: false,
            hung_up: false,
            throttled: false,
            reads_above: false,
            undelivered: false,
            listed: false,
            waits_for_call: false,
            waits_for_read: false,
            unanswered: false,
        }
    }

    /// One that is to be opened outbound.
    pub(super) fn outbound(serial: u64, dial: Dial, peer: SocketAddr, now: u64) -> Self {
        let extra = Extra { dial: Some(Box::new(dial)), ..Extra::default() };
        Self {
            extra: Some(Box::new(extra)),
            phase: Phase::Connecting,
            writable: false,
            ..Self::new(serial, peer, OUTBOUND, now)
        }
    }

    /// The number of the listener where it came in.
    pub(super) fn listener(&self) -> Option<u16> {
        (self.listener != OUTBOUND).then_some(self.listener)
    }

    pub(crate) fn direction(&self) -> Direction {
        if self.listener == OUTBOUND { Direction::Outbound } else { Direction::Inbound }
    }

    /// What is left to do to open it; `None` once it is open.
    pub(crate) fn dial(&mut self) -> Option<&mut Dial> {
        self.extra.as_mut()?.dial.as_deref_mut()
    }

    /// Another address is tried, of which nothing is known yet.
    pub(crate) fn calls(&mut self, peer: SocketAddr) {
        self.peer = peer.into();
        (self.readable, self.writable) = (false, false);
        (self.more_follows, self.hung_up) = (false, false);
    }

    /// It is connected. What was said of it meanwhile holds: above all that it is writable.
    pub(crate) fn has_connected(&mut self, now: u64) {
        self.phase = Phase::Open;
        (self.opened, self.since) = (now.into(), now.into());
        if let Some(extra) = &mut self.extra {
            extra.dial = None;
        }
        self.recount();
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer.into()
    }

    pub(crate) fn opened(&self) -> u64 {
        self.opened.get()
    }

    pub(crate) fn since(&self) -> u64 {
        self.since.get()
    }

    /// What is stamped with one time happened at another.
    pub(super) fn restamp(&mut self, from: u64, to: u64) {
        for time in [&mut self.opened, &mut self.since] {
            if time.get() == from {
                *time = to.into();
            }
        }
        if let Some(extra) = self.extra.as_mut().filter(|extra| extra.stalled == from) {
            extra.stalled = to;
        }
        if let Some(dial) = self.dial() {
            dial.restamp(from, to);
        }
    }

    pub(crate) fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    pub(crate) fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads.get()
    }

    pub(crate) fn writes(&self) -> u64 {
        self.writes.get()
    }

    pub(crate) fn count_read(&mut self, bytes: usize) {
        self.bytes_in += bytes as u64;
        self.reads.increment();
    }

    pub(crate) fn count_write(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
        self.writes.increment();
    }

    // What waits:

    /// It is open, and nothing waits.
    pub(crate) fn is_at_ease(&self) -> bool {
        self.phase == Phase::Open && self.extra.is_none()
    }

    /// It is open, and nothing has to be done for it before it is read from.
    pub(crate) fn has_only_to_be_read(&self) -> bool {
        self.is_at_ease() && !self.throttled && !self.undelivered
    }

    /// It is open, nothing waits, and nothing that is known of it has yet to be seen to.
    pub(crate) fn is_done(&self) -> bool {
        let has_news = self.readable || self.undelivered || self.hung_up || self.throttled;
        self.is_at_ease() && !has_news
    }

    pub(crate) fn queued(&self) -> usize {
        self.extra.as_ref().map_or(0, |extra| extra.outbox.len())
    }

    /// The queued bytes in order.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.extra.iter().flat_map(|extra| extra.outbox.slices())
    }

    /// Queues bytes. Those that are the first ones have been waiting since `now`.
    pub(crate) fn push(&mut self, bytes: &[u8], now: u64) {
        if bytes.is_empty() {
            return;
        }
        self.outbox_from(now).push(bytes);
    }

    /// Queues a body without copying it, less the first `sent` bytes.
    pub(crate) fn push_shared(
        &mut self,
        body: Bytes,
        sent: usize,
        now: u64,
        bodies: &mut SharedBodies,
    ) {
        self.outbox_from(now).push_shared(body, sent, bodies);
    }

    /// The queue, to which bytes are added now.
    fn outbox_from(&mut self, now: u64) -> &mut Outbox {
        let extra = self.extra.get_or_insert_default();
        if extra.outbox.is_empty() {
            extra.stalled = now;
        }
        &mut extra.outbox
    }

    /// The kernel has taken so many of the queued bytes.
    pub(crate) fn consume(&mut self, count: usize, now: u64, bodies: &mut SharedBodies) {
        if let Some(extra) = &mut self.extra {
            extra.outbox.consume(count, bodies);
            extra.stalled = now;
        }
    }

    pub(crate) fn take_unread(&mut self) -> Unread {
        self.extra.as_mut().map_or_else(Unread::default, |extra| std::mem::take(&mut extra.unread))
    }

    pub(crate) fn put_unread(&mut self, unread: Unread) {
        if !unread.is_empty() {
            self.extra.get_or_insert_default().unread = unread;
        }
    }

    /// How many bytes wait for the rest of their message.
    pub(crate) fn unread(&self) -> usize {
        self.extra.as_ref().map_or(0, |extra| extra.unread.len())
    }

    /// How many bytes it holds: what its peer has not taken yet, and what it has not completed.
    pub(crate) fn held(&self) -> usize {
        self.unread() + self.queued()
    }

    /// How many bytes of memory are given back if it ends.
    pub(super) fn gives_back(&self, bodies: &SharedBodies) -> usize {
        let output = self.extra.as_ref().map_or(0, |extra| extra.outbox.gives_back(bodies));
        self.unread() + output
    }

    /// Whether its peer has to act before it holds less.
    pub(super) fn is_holding(&self) -> bool {
        let waits_for_peer = self.queued() > 0 || !self.undelivered;
        self.held() > 0 && waits_for_peer && !self.phase.is_closed()
    }

    /// Since when nothing of what it holds has moved.
    pub(crate) fn stalled_since(&self) -> u64 {
        match &self.extra {
            Some(extra) if !extra.outbox.is_empty() => extra.stalled,
            _ => self.since(),
        }
    }

    /// Discards everything that waits: the connection has ended.
    pub(super) fn clear(&mut self, bodies: &mut SharedBodies) {
        if let Some(extra) = &mut self.extra {
            extra.outbox.clear(bodies);
            extra.unread = Unread::default();
        }
    }

    /// How many bytes were counted for it, and how many are now, without the shared bodies. Gives back what it has no
    /// use for.
    pub(super) fn recount(&mut self) -> Option<(Held, Held)> {
        let extra = self.extra.as_mut()?;
        let held = Held { output: extra.outbox.copied(), input: extra.unread.len() };
        let before = std::mem::replace(&mut extra.counted, held);
        if extra.outbox.is_empty()
            && held.input == 0
            && extra.reason.is_none()
            && extra.dial.is_none()
        {
            self.extra = None;
        }
        Some((before, held))
    }

    // How it ends:

    /// Input has come and is thrown away. If the reactor has closed the connection, its peer lost that.
    pub(crate) fn throws_away(&mut self) {
        let reason = self.extra.as_ref().and_then(|extra| extra.reason.as_ref());
        self.unanswered |= reason.is_some_and(CloseReason::is_of_reactor);
    }

    /// Closes in order, as soon as everything queued has been sent.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        let _unused = self.note(reason);
        self.phase = self.phase.after_close();
    }

    /// Sends a FIN as soon as everything queued has been sent, and goes on hearing the peer.
    pub(crate) fn shutdown_write(&mut self) {
        if self.phase == Phase::PeerFinished {
            let _unused = self.note(CloseReason::Closed);
        }
        self.phase = self.phase.after_finish();
    }

    /// Ends both directions now. `reset` asks for a RST.
    pub(crate) fn cut(&mut self, reason: CloseReason, reset: bool) {
        let _unused = self.note(reason);
        self.phase = self.phase.after_end(reset);
    }

    /// Nothing reaches the peer any more.
    pub(crate) fn cannot_write(
        &mut self,
        reason: CloseReason,
        now: u64,
        bodies: &mut SharedBodies,
    ) {
        let _unused = self.note(reason);
        self.phase = self.phase.after_write_failure();
        if let Some(extra) = &mut self.extra {
            extra.outbox.clear(bodies);
        }
        self.since = now.into();
        self.throttled = false;
        self.writable = false;
        // What the peer sent before may wait without an edge of its own.
        self.readable = true;
        self.more_follows = true;
    }

    /// All is sent, and so is the FIN.
    pub(crate) fn wait_for_fin(&mut self, now: u64) {
        self.since = now.into();
    }

    /// Remembers why it ends: the first reason stays, but an orderly one gives way to a failure as
    /// long as not all that was queued has been sent.
    ///
    /// Returns the one that is not kept, to be dropped when all is in order: it may hold a handler's
    /// error, whose `Drop` may panic.
    pub(crate) fn note(&mut self, reason: CloseReason) -> Option<CloseReason> {
        let is_over = matches!(self.phase, Phase::Lingering | Phase::Closed { .. });
        let known = &mut self.extra.get_or_insert_default().reason;
        let replace = match known {
            None => true,
            Some(old) => old.is_orderly() && !reason.is_orderly() && !is_over,
        };
        if replace { known.replace(reason) } else { Some(reason) }
    }

    /// Why it ends, as far as is known.
    pub(crate) fn reason_mut(&mut self) -> &mut Option<CloseReason> {
        &mut self.extra.get_or_insert_default().reason
    }

    pub(crate) fn take_reason(&mut self) -> CloseReason {
        let reason = self.extra.as_mut().and_then(|extra| extra.reason.take());
        reason.unwrap_or(CloseReason::Closed)
    }

    // Whether it is read from:

    pub(super) fn mark(&mut self, event: Event) {
        self.readable |= event.readable;
        self.writable |= event.writable;
        self.more_follows |= event.more_follows;
        self.hung_up |= event.hung_up;
    }

    /// Bytes have come, or the peer's FIN.
    pub(crate) fn heard_of(&mut self, now: u64) {
        if self.phase.sends() || self.phase.hears() {
            self.since = now.into();
        }
    }

    /// The last read found nothing, so what was said of a hang-up is no longer believed.
    pub(crate) fn read_blocked(&mut self) {
        self.readable = false;
        self.more_follows = false;
        self.hung_up = false;
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.calls_left == 0
    }

    /// Offers the handler input so many times, or without end; what it has left before is offered again. The
    /// peer's silence counts from now on.
    pub(crate) fn resume(&mut self, calls: Option<u16>, now: u64) {
        self.calls_left = calls.unwrap_or(WITHOUT_END);
        self.heard_of(now);
        self.offer_again();
    }

    /// Has unread input offered once more, though no more of it has come: after a callback the handler may
    /// be able to use it.
    pub(crate) fn offer_again(&mut self) {
        self.undelivered |= self.unread() > 0;
    }

    pub(crate) fn pause(&mut self) {
        self.calls_left = 0;
    }

    /// One call of `on_data` follows.
    pub(crate) fn spend_call(&mut self) {
        if self.calls_left != WITHOUT_END {
            self.calls_left = self.calls_left.saturating_sub(1);
        }
    }

    /// Whether the handler may be offered input.
    pub(crate) fn takes_input(&self) -> bool {
        self.phase.delivers() && !self.is_above_high_water() && !self.is_paused()
    }

    /// Whether the handler is offered no input until the queue has fallen to low water.
    fn is_above_high_water(&self) -> bool {
        self.throttled && !self.reads_above
    }

    pub(crate) fn wants_read(&self) -> bool {
        self.readable
            && match self.phase.reads() {
                Reads::Deliver => self.takes_input() && !self.undelivered,
                Reads::Discard => true,
                Reads::Nothing => false,
            }
    }

    /// Whether a reset may have come that reading does not tell of: behind the peer's FIN recv(2) goes on
    /// returning 0, and a paused connection is not read from.
    pub(crate) fn may_be_reset(&self) -> bool {
        let is_paused = self.phase.hears() && self.is_paused();
        self.hung_up && (self.phase == Phase::PeerFinished || is_paused)
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.writable && self.queued() > 0
    }

    pub(crate) fn has_drained(&self, low_water: usize) -> bool {
        self.throttled && self.queued() <= low_water
    }

    /// Whether something has happened to what is being connected.
    pub(crate) fn may_be_connected(&self) -> bool {
        self.phase == Phase::Connecting && self.writable
    }

    /// Lists the connection if it has work that can be done now. Returns whether it was listed; `None` if that depends
    /// on its marks or on memory, which the table knows.
    #[inline]
    pub(super) fn list(&mut self, is_short_of_memory: bool) -> Option<bool> {
        /// The low water of a connection that is not throttled does not matter.
        const NOT_THROTTLED: usize = 0;
        if self.listed {
            return Some(false);
        }
        if self.throttled {
            return None;
        }
        if !self.has_work(NOT_THROTTLED) {
            return Some(false);
        }
        self.listed = !is_short_of_memory;
        self.listed.then_some(true)
    }

    pub(super) fn has_work(&self, low_water: usize) -> bool {
        self.wants_read() // first, as it is the usual one
            || self.wants_call(low_water)
            || self.has_work_without_calls()
    }

    /// Whether its handler is to be called, for something else than what is to be read.
    pub(super) fn wants_call(&self, low_water: usize) -> bool {
        self.may_be_connected()
            || (self.undelivered && self.takes_input())
            || self.has_drained(low_water)
    }

    /// Whether there is something to do that calls no handler, so that it queues nothing.
    pub(super) fn has_work_without_calls(&self) -> bool {
        self.phase.is_closed()
            || self.wants_write()
            || self.may_be_reset()
            || (self.phase.reads() == Reads::Discard && self.wants_read())
            || (matches!(self.phase, Phase::Flushing { .. } | Phase::Finishing)
                && self.queued() == 0)
    }

    /// Whether the connection has work left: queued output, unread input or an incomplete message, a pause until an
    /// answer is made, or a half-close that was not answered.
    pub(crate) fn is_unfinished(&self) -> bool {
        let is_over = matches!(self.phase, Phase::Lingering | Phase::Closed { .. });
        let has_bytes = self.waits() || self.queued() > 0;
        !is_over && (has_bytes || self.is_worked_at())
    }

    /// The same, if the system's queues are looked at elsewhere: for input that is unread, and for output that it
    /// may take.
    pub(crate) fn is_worked_at(&self) -> bool {
        let is_busy = self.unread() > 0 || self.is_paused();
        // One side has said all, and has been answered neither by an end nor by a close.
        let is_midway = matches!(
            self.phase,
            Phase::Connecting | Phase::PeerFinished | Phase::Finishing | Phase::HalfClosed
        );
        is_busy || is_midway
    }

    /// Whether the handler has not seen all that has come.
    fn waits(&self) -> bool {
        let has_unread = self.readable && self.phase.reads() == Reads::Deliver;
        has_unread || (self.undelivered && self.phase.delivers())
    }

    fn dial_until(&self) -> Option<u64> {
        self.extra.as_ref()?.dial.as_ref()?.until()
    }

    pub(super) fn standing(&self) -> Standing {
        let extra = self.extra.as_ref().filter(|extra| !extra.outbox.is_empty());
        Standing {
            phase: self.phase,
            opened: self.opened.get(),
            since: self.since.get(),
            silent: self.bytes_in == 0
                && self.phase.hears()
                && self.direction() == Direction::Inbound,
            unheard: self.waits() || self.is_paused() || self.is_above_high_water(),
            unfinished: self.is_unfinished(),
            stalled: extra.map(|extra| extra.stalled),
            // Once it has answered, it waits for this side.
            connect_by: self.dial_until().filter(|_| !self.may_be_connected()),
            serial: self.serial,
        }
    }
}
