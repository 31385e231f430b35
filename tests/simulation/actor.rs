//! The handler under test: it does what the scenario says and checks every call that it gets.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use readyloop::{
    Addr, BoxError, Bytes, CloseReason, Conn, ConnId, Context, Handler, Input, TimerKey,
};

use crate::bodies::Bodies;
use crate::dials::{self, Dial, Dials};
use crate::scenario::{Limits, Reaction, WhenFull};

/// The reactor reads at most so much at once.
const READ: usize = 64 * 1024;

/// The smallest body that is not copied.
const SMALLEST_SHARED: usize = 1024;

/// What a queue holds of a shared body, beside the body.
const REFERENCE: usize = 96;

/// The byte that a peer sends at this place of its stream.
pub(crate) fn pattern(peer: SocketAddr, at: usize) -> u8 {
    let SocketAddr::V4(addr) = peer else { return 0 };
    let peer = addr.ip().to_bits() ^ u32::from(addr.port()) << 8;
    let mut x = peer.wrapping_mul(0x9e37_79b9) ^ (at as u32).wrapping_mul(0x85eb_ca6b);
    x ^= x >> 15;
    (x ^ (x >> 7)) as u8
}

/// The address of a connection's peer.
fn addr_of(conn: &Conn) -> SocketAddr {
    match conn.peer_addr() {
        Addr::Ip(addr) => addr,
        other => panic!("{other}: there are no other addresses"),
    }
}

/// What is known of one connection, from both sides.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) outbound: bool,
    /// Of the listener that it came by.
    pub(crate) tag: u64,
    /// `on_open` has returned a state.
    pub(crate) opened: bool,
    /// `on_open` has refused, or panicked.
    pub(crate) refused: bool,
    pub(crate) closed: bool,
    pub(crate) finished: bool,
    /// How many bytes the handler has taken, and how many more it was shown last.
    pub(crate) taken: usize,
    pub(crate) shown: usize,
    /// It left something in its last call though it took something, or was above high water: it has to
    /// be called again without more bytes.
    pub(crate) owed_a_call: bool,
    /// How many calls of `on_data` it may still get, if they are counted.
    pub(crate) calls_left: Option<u16>,
    /// When it was opened, and when something was last heard of it as far as its handler can know: bytes
    /// or the end have come, or it was resumed.
    opened_at: Option<Instant>,
    heard_at: Option<Instant>,
    paused_at: Option<Instant>,
    bytes_in: u64,
    /// All that the handler has sent to it.
    pub(crate) sent: Vec<u8>,
    /// What it was asked to do: it may end for that reason.
    pub(crate) asked_to_close: bool,
    pub(crate) asked_to_abort: bool,
    pub(crate) asked_to_fail: bool,
    pub(crate) asked_to_panic: bool,
    pub(crate) asked_too_much: bool,
    /// It was above high water after its last callback, and has not heard of its draining since.
    pub(crate) owed_a_drain: bool,
    /// It had closed in order after its peer had finished: then every byte has to arrive, and a FIN.
    pub(crate) owed_a_fin: bool,
    /// The timers that are set, and when they are due.
    pub(crate) timers: BTreeMap<u64, Instant>,
    told_to_drain: bool,
    /// The library closes it, and has said so.
    told_of_closing: bool,
    /// Nothing more is sent to it. If its peer had finished, that has closed it.
    pub(crate) has_finished: bool,
    /// It is read from above high water, too.
    reads_above: bool,
}

impl Life {
    /// No callback but `on_close` may follow.
    fn is_over(&self) -> bool {
        self.asked_to_close
            || self.asked_to_abort
            || self.asked_to_fail
            || self.asked_to_panic
            || self.told_of_closing
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.calls_left == Some(0)
    }

    fn pause(&mut self, now: Instant) {
        if !self.is_paused() {
            (self.calls_left, self.paused_at) = (Some(0), Some(now));
        }
    }

    fn resume(&mut self, calls: Option<u16>, now: Instant) {
        (self.calls_left, self.heard_at) = (calls, Some(now));
        if calls == Some(0) {
            self.paused_at = Some(now);
        }
    }

    fn shutdown_write(&mut self) {
        (self.has_finished, self.owed_a_drain) = (true, false);
        self.asked_to_close |= self.finished;
    }

    fn set_timer(&mut self, key: u64, due: Instant) {
        self.timers.insert(key, due);
    }

    fn spend_call(&mut self, now: Instant) {
        match self.calls_left {
            Some(1) => self.pause(now),
            calls => self.calls_left = calls.map(|calls| calls.saturating_sub(1)),
        }
    }

    /// Whether it could have been told to end for its silence: it may have been paused since then.
    fn was_silent_for(&self, time: Duration) -> bool {
        let due = self.heard_at.expect("it was opened") + time;
        !self.is_paused() || self.paused_at.is_some_and(|paused| paused >= due)
    }
}

/// What all callbacks and the oracle know together.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) lives: HashMap<ConnId, Life>,
    /// In the order of their opening, so that nothing depends on a hash.
    pub(crate) ids: Vec<ConnId>,
    /// What peers have sent, and whether they have done something that can break a connection.
    pub(crate) peers: HashMap<SocketAddr, PeerDid>,
    pub(crate) violations: Vec<String>,
    pub(crate) stopping: bool,
    /// Nothing new is begun any more.
    pub(crate) calm: bool,
    /// The tag that the second listener has now: each that takes the place of another has a greater one.
    pub(crate) newest_tag: u64,
    /// No connection is to be let in. With several reactors one may be on the way.
    pub(crate) suspended: bool,
    /// Since when the reactors drain, and for how long at least.
    pub(crate) draining: Option<(Instant, Duration)>,
    /// The timers of the reactors themselves.
    pub(crate) ticks: BTreeMap<(usize, u64), Instant>,
    pub(crate) posts_run: usize,
    /// When the world began.
    pub(crate) start: Option<Instant>,
    /// What the callback at hand has sent, to whomever; and the most that one has.
    said: usize,
    pub(crate) most_said: usize,
    /// What was sent by callbacks that come also while the memory budget is used up: by `on_close`, and as a
    /// reactor drains or stops.
    pub(crate) last_words: usize,
    is_at_end: bool,
    pub(crate) bodies: Bodies,
    /// Outbound connections that are to be opened.
    pub(crate) dials: Dials,
    calls: usize,
}

#[derive(Debug, Default)]
pub(crate) struct PeerDid {
    pub(crate) sent: usize,
    /// The tag that the second listener had when it dialled that one. If that is closed meanwhile, it may meet the
    /// next one there.
    pub(crate) least_tag: Option<u64>,
    pub(crate) finished: bool,
    /// It has closed or reset, so that a write or a read may fail.
    pub(crate) broke: bool,
    /// It has sent a RST.
    pub(crate) reset: bool,
    /// When it has read something last, since the world began.
    pub(crate) read_at: Duration,
}

impl Ledger {
    /// The addresses that a seed says to connect to, none of them used before; `None` if there are no more.
    pub(crate) fn plan(&mut self, seed: u64) -> Option<(Vec<SocketAddr>, Duration)> {
        let (addrs, timeout) = self.dials.plan(seed).filter(|_| !self.calm)?;
        self.peers.extend(addrs.iter().map(|addr| (*addr, PeerDid::default())));
        Some((addrs, timeout))
    }

    /// How many outbound connections may hold a slot.
    pub(crate) fn outbound(&self) -> usize {
        let may_be_there = |life: &Life| !life.closed; // the departure of a refused client is not reported
        self.dials.without_socket() + self.count_outbound(may_be_there)
    }

    pub(crate) fn count_outbound(&self, so: impl Fn(&Life) -> bool) -> usize {
        self.lives.values().filter(|life| life.outbound && so(life)).count()
    }

    /// How many connections are served that came by the listener with this tag.
    pub(crate) fn count_tagged(&self, tag: u64) -> usize {
        let is_served = |life: &&Life| life.tag == tag && life.opened && !life.closed;
        self.lives.values().filter(is_served).count()
    }

    /// Whether it is an address that is called, and does not call.
    pub(crate) fn was_called(&self, addr: SocketAddr) -> bool {
        dials::remotes().any(|(remote, _)| remote == addr)
    }

    pub(crate) fn begin(&mut self, id: ConnId, dial: Dial) {
        let is_over = |(began, timeout): (Instant, Duration)| dial.begun - began >= timeout;
        let is_late = self.stopping || self.draining.is_some_and(is_over);
        let is_new = self.dials.begin(id, dial, is_late) && !self.lives.contains_key(&id);
        self.expect(is_new, id, "an id that was used before");
    }

    /// A callback begins.
    fn begin_call(&mut self, is_at_end: bool) {
        (self.said, self.is_at_end) = (0, is_at_end);
    }

    /// A callback has sent bytes.
    fn says(&mut self, bytes: usize) {
        if self.is_at_end {
            self.last_words += bytes;
        } else {
            self.said += bytes;
            self.most_said = self.most_said.max(self.said);
        }
    }

    fn expect(&mut self, so: bool, id: ConnId, what: &str) {
        if !so {
            self.violations.push(format!("{id}: {what}"));
        }
    }
}

pub(crate) struct Actor {
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    pub(crate) limits: Limits,
    /// The limits in force before: a connection that ended by them may still linger.
    pub(crate) former: Vec<Limits>,
    pub(crate) reactions: Vec<Reaction>,
    /// How often a handler has taken over.
    pub(crate) version: u32,
    /// How many reactors there are.
    pub(crate) reactors: usize,
    /// The number of its reactor.
    pub(crate) index: usize,
}

/// Panics when it is dropped, if it was told to.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) id: ConnId,
    pub(crate) version: u32,
    panics_in_drop: bool,
}

impl State {
    /// What the next version of the handler keeps.
    pub(crate) fn migrated(&self) -> Self {
        Self { id: self.id, version: self.version + 1, panics_in_drop: self.panics_in_drop }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if self.panics_in_drop && !std::thread::panicking() {
            scripted_panic();
        }
    }
}

/// A panic that is part of the script; the hook that prints panics leaves it out.
pub(crate) const SCRIPTED: &str = "scripted";

fn scripted_panic() -> ! {
    std::panic::panic_any(SCRIPTED)
}

impl Actor {
    pub(crate) fn change(&mut self, limits: Limits) {
        self.former.push(std::mem::replace(&mut self.limits, limits));
    }

    /// Whether the limits of connections with this tag are or were like that.
    fn had(&self, tag: u64, so: impl Fn(&Limits) -> bool) -> bool {
        self.former.iter().chain([&self.limits]).any(|limits| so(&limits.of(tag)))
    }

    /// What holds for a connection.
    fn limits_of(&self, conn: &Conn) -> Limits {
        self.limits.of(conn.listener_tag())
    }

    fn check_state(&self, ledger: &mut Ledger, id: ConnId, state: &State) {
        ledger.expect(state.id == id, id, "another connection's state");
        ledger.expect(state.version == self.version, id, "another handler's state");
    }

    /// What a posted closure does to a connection.
    pub(crate) fn posted(&self, reactor: &mut Context<'_>, id: ConnId) {
        self.ledger.borrow_mut().posts_run += 1;
        let Some(mut conn) = reactor.get(id).filter(|conn| conn.info().is_open) else { return };
        self.enter(&mut conn, "a posted closure");
        let state = conn.state().expect("no callback has it");
        self.check_state(&mut self.ledger.borrow_mut(), id, state);
        let reaction = self.next();
        if !matches!(reaction, Reaction::Fail | Reaction::Panic) {
            self.react(&mut conn, reaction).expect("only one reaction fails");
        }
        self.leave(&mut conn);
    }

    fn next(&self) -> Reaction {
        let mut ledger = self.ledger.borrow_mut();
        ledger.calls += 1;
        self.reactions[ledger.calls % self.reactions.len()]
    }

    /// Checks what holds in every callback.
    fn enter(&self, conn: &mut Conn<'_>, what: &str) {
        let id = conn.id();
        let mut ledger = self.ledger.borrow_mut();
        let is_ending = ledger.draining.is_some() || ledger.stopping;
        ledger.begin_call(matches!(what, "on_close" | "on_closing") || is_ending);
        let life = &ledger.lives[&id];
        let over = life.is_over() && what != "on_close";
        ledger.expect(!over, id, &format!("{what} after the end"));
        let life = &ledger.lives[&id];
        let alive = life.opened && !life.closed;
        let right = (life.peer, life.tag) == (Some(addr_of(conn)), conn.listener_tag());
        ledger.expect(alive, id, &format!("{what} outside of its life"));
        ledger.expect(right, id, "the peer's address or the tag has changed");
        let life = ledger.lives.get_mut(&id).expect("it was opened");
        let bytes_in = conn.info().bytes_in;
        // What comes after the end is thrown away, and counts as nothing.
        if what == "on_eof" || (what != "on_close" && bytes_in > life.bytes_in) {
            (life.bytes_in, life.heard_at) = (bytes_in, Some(conn.reactor().now()));
        }
    }

    /// Checks that there is memory for what a callback may send.
    fn check_memory(&self, conn: &mut Conn<'_>, what: &str) {
        let waiting = conn.reactor().stats().waiting_bytes as usize;
        let mut ledger = self.ledger.borrow_mut();
        let open = ledger.lives.values().filter(|life| !life.closed);
        let input: usize = open.map(|life| life.shown - life.taken).sum();
        // Of what earlier calls for the same input have taken, it is not yet known that it no longer waits.
        let input = input + ledger.lives[&conn.id()].taken;
        let (budget, output) = (self.limits.queue_budget, waiting.saturating_sub(input));
        let has_room = waiting < budget || output < (budget / 2).max(1);
        let what = format!("{what} while {waiting} bytes wait, {output} of them to be sent");
        ledger.expect(has_room, conn.id(), &what);
    }

    /// Writes down what a callback leaves behind that was not for input. Input that is unread is offered again.
    fn leave(&self, conn: &mut Conn<'_>) {
        self.note(conn.id(), |life| life.owed_a_call |= life.shown > life.taken);
        self.leave_data(conn);
    }

    fn leave_data(&self, conn: &mut Conn<'_>) {
        let asks = self.ledger.borrow().calls.is_multiple_of(2);
        let above = asks
            && conn.is_above_high_water()
            && conn.info().queued > self.limits_of(conn).high_water;
        self.note(conn.id(), |life| life.owed_a_drain |= above && !life.has_finished);
    }

    /// Sends, and writes down what was taken.
    fn say(&self, conn: &mut Conn<'_>, bytes: &[u8], politely: bool) {
        let id = conn.id();
        let before = conn.info().queued;
        let taken = if politely {
            conn.try_send(bytes).is_ok()
        } else {
            conn.send(bytes);
            conn.info().queued == before + bytes.len()
        };
        let fits = before == 0 || before + bytes.len() <= self.limits_of(conn).queue_limit;
        let mut ledger = self.ledger.borrow_mut();
        ledger.expect(!(politely && taken && !fits), id, "try_send went over the limit");
        let life = ledger.lives.get_mut(&id).expect("it was opened");
        if taken {
            life.sent.extend_from_slice(bytes);
            ledger.says(bytes.len());
        } else if !politely {
            life.asked_too_much = true;
        }
    }

    fn say_noise(&self, conn: &mut Conn<'_>, count: usize, politely: bool) {
        let at = self.ledger.borrow().lives[&conn.id()].sent.len();
        if at < self.limits.enough {
            let bytes: Vec<u8> =
                (at..at + count).map(|at| pattern(addr_of(conn), at * 3)).collect();
            self.say(conn, &bytes, politely);
        }
    }

    fn produce(&self, conn: &mut Conn<'_>) {
        let sent = self.ledger.borrow().lives[&conn.id()].sent.len();
        if self.limits_of(conn).high_water > self.limits.enough || sent >= self.limits.enough {
            return;
        }
        for _ in 0..=self.limits.enough {
            if conn.is_above_high_water() {
                return;
            }
            self.say(conn, b"p", false);
        }
        self.ledger.borrow_mut().expect(false, conn.id(), "producing never ends");
    }

    fn note(&self, id: ConnId, change: impl FnOnce(&mut Life)) {
        change(self.ledger.borrow_mut().lives.get_mut(&id).expect("it was opened"));
    }

    fn choose(&self, other: usize) -> Option<ConnId> {
        let ledger = self.ledger.borrow();
        (!ledger.ids.is_empty()).then(|| ledger.ids[other % ledger.ids.len()])
    }

    fn send_to(&self, conn: &mut Conn<'_>, other: ConnId, count: usize) {
        if self.ledger.borrow().lives[&other].sent.len() >= self.limits.enough {
            return;
        }
        let bytes = vec![b'o'; count];
        let mut reactor = conn.reactor();
        // By turns the one that refuses and the one that cuts off.
        let result = match reactor.get(other) {
            None => false,
            Some(mut conn) if count.is_multiple_of(2) => conn.try_send(&bytes).is_ok(),
            Some(mut conn) => {
                self.note(other, |life| life.asked_too_much = true); // perhaps: it is not told
                let is_writable = conn.is_writable();
                conn.send(&bytes);
                is_writable
            }
        };
        if result {
            self.note(other, |life| life.sent.extend_from_slice(&bytes));
            self.ledger.borrow_mut().says(bytes.len());
        }
        let mut ledger = self.ledger.borrow_mut();
        let gone = ledger.lives[&other].closed;
        ledger.expect(!(gone && result), other, "a stale id was taken");
    }

    /// Sends one body to this connection and to all others, without a copy.
    fn share(&self, conn: &mut Conn<'_>, count: usize) {
        let id = conn.id();
        if self.ledger.borrow().lives[&id].sent.len() >= self.limits.enough {
            return;
        }
        let count = SMALLEST_SHARED + count;
        let bytes: Vec<u8> = (0..count).map(|at| pattern(addr_of(conn), at * 7)).collect();
        let body = self.ledger.borrow().bodies.make(bytes.clone());
        let others = ids_of_others(conn);
        self.ledger.borrow_mut().says(count);
        self.share_with(conn, &body, &bytes);
        for other in others {
            let is_hungry = self.ledger.borrow().lives[&other].sent.len() < self.limits.enough;
            if let Some(mut other) = conn.reactor().get(other).filter(|_| is_hungry) {
                self.share_with(&mut other, &body, &bytes);
            }
        }
    }

    fn share_with(&self, conn: &mut Conn<'_>, body: &Bytes, bytes: &[u8]) {
        let before = conn.info().queued;
        conn.send_bytes(body.clone());
        let is_taken = conn.info().queued == before + bytes.len();
        self.ledger.borrow_mut().says(REFERENCE);
        self.note(conn.id(), |life| {
            if is_taken {
                life.sent.extend_from_slice(bytes);
            } else {
                life.asked_too_much = true;
            }
        });
    }

    /// Does what can be done in any callback.
    fn react(&self, conn: &mut Conn<'_>, reaction: Reaction) -> Result<(), BoxError> {
        let id = conn.id();
        match reaction {
            Reaction::Echo
            | Reaction::EchoSome(_)
            | Reaction::Take(_)
            | Reaction::Leave
            | Reaction::PanicInDrop => {}
            Reaction::Send(count) => self.say_noise(conn, count, false),
            Reaction::TrySend(count) => self.say_noise(conn, count, true),
            Reaction::Produce => self.produce(conn),
            Reaction::Close => {
                self.note(id, |life| life.asked_to_close = true);
                conn.close();
            }
            Reaction::ReadAbove(reads) => {
                self.note(id, |life| life.reads_above = reads);
                conn.read_above_high_water(reads);
            }
            Reaction::Finish => {
                self.note(id, Life::shutdown_write);
                conn.shutdown_write();
            }
            Reaction::FinishOther { other } => {
                if let Some(other) = self.choose(other)
                    && let Some(mut conn) = conn.reactor().get(other).filter(Conn::is_writable)
                {
                    conn.shutdown_write();
                    self.note(other, Life::shutdown_write);
                }
            }
            Reaction::SendAndClose(count) => {
                self.say_noise(conn, count, true);
                self.note(id, |life| life.asked_to_close = true);
                conn.close();
            }
            Reaction::Abort => {
                self.note(id, |life| life.asked_to_abort = true);
                conn.abort();
            }
            Reaction::Fail => {
                self.note(id, |life| life.asked_to_fail = true);
                return Err("scripted failure".into());
            }
            Reaction::Panic => {
                self.note(id, |life| life.asked_to_panic = true);
                scripted_panic();
            }
            Reaction::SendToOther { other, bytes } => {
                if let Some(other) = self.choose(other) {
                    self.send_to(conn, other, bytes);
                }
            }
            Reaction::CloseOther { other } => {
                if let Some(other) = self.choose(other)
                    && let Some(mut conn) = conn.reactor().get(other)
                {
                    conn.close();
                    self.note(other, |life| life.asked_to_close = true);
                }
            }
            Reaction::Connect { seed } => {
                let plan = self.ledger.borrow_mut().plan(seed);
                if let Some((addrs, timeout)) = plan {
                    let options = dials::options(timeout, seed);
                    let other = conn.reactor().connect(&addrs, &options);
                    let dial = Dial::new(addrs, timeout, conn.reactor().now());
                    self.ledger.borrow_mut().begin(other, dial);
                }
            }
            Reaction::CloseDialled { other } => {
                let id = self.ledger.borrow().dials.choose(other);
                if let Some(id) = id
                    && let Some(mut conn) = conn.reactor().get(id)
                {
                    conn.close();
                    let mut ledger = self.ledger.borrow_mut();
                    match ledger.lives.get_mut(&id) {
                        Some(life) => life.asked_to_close = true,
                        None => ledger.dials.is_given_up(id),
                    }
                }
            }
            Reaction::AbortOther { other } => {
                if let Some(other) = self.choose(other)
                    && let Some(mut conn) = conn.reactor().get(other)
                {
                    conn.abort();
                    self.note(other, |life| life.asked_to_abort = true);
                }
            }
            Reaction::Broadcast(count) => {
                let ids = ids_of_others(conn);
                for other in ids {
                    self.send_to(conn, other, count);
                }
            }
            Reaction::Share(count) => self.share(conn, count),
            Reaction::Pause => {
                let now = conn.reactor().now();
                self.note(id, |life| life.pause(now));
                conn.pause();
            }
            Reaction::Resume => {
                let now = conn.reactor().now();
                self.note(id, |life| life.resume(None, now));
                conn.resume();
            }
            Reaction::ResumeFor(calls) => {
                let now = conn.reactor().now();
                self.note(id, |life| life.resume(Some(calls), now));
                conn.resume_for(calls);
            }
            Reaction::PauseOther { other } => {
                let now = conn.reactor().now();
                if let Some(other) = self.choose(other)
                    && let Some(mut conn) =
                        conn.reactor().get(other).filter(|conn| conn.info().is_open)
                {
                    conn.pause();
                    self.note(other, |life| life.pause(now));
                }
            }
            Reaction::ResumeOther { other, calls } => {
                let now = conn.reactor().now();
                if let Some(other) = self.choose(other)
                    && let Some(mut conn) =
                        conn.reactor().get(other).filter(|conn| conn.info().is_open)
                {
                    match calls {
                        Some(calls) => conn.resume_for(calls),
                        None => conn.resume(),
                    }
                    self.note(other, |life| life.resume(calls, now));
                }
            }
            Reaction::SetTimer { key, millis } => {
                let after = Duration::from_millis(millis);
                self.note(id, |life| life.set_timer(key, conn.reactor().now() + after));
                conn.set_timer(after, TimerKey(key));
            }
            Reaction::CancelTimer { key } => {
                let was_set = conn.cancel_timer(TimerKey(key));
                let mut ledger = self.ledger.borrow_mut();
                let life = ledger.lives.get_mut(&id).expect("it was opened");
                let agreed = life.timers.remove(&key).is_some() == was_set;
                ledger.expect(agreed, id, "a timer is not as set as it should be");
            }
            Reaction::SetTimerOf { other, key, millis } => {
                let after = Duration::from_millis(millis);
                if let Some(other) = self.choose(other)
                    && let Some(mut conn) =
                        conn.reactor().get(other).filter(|conn| conn.info().is_open)
                {
                    conn.set_timer(after, TimerKey(key));
                    self.note(other, |life| life.set_timer(key, conn.reactor().now() + after));
                }
            }
            Reaction::SetTick { key, millis } => {
                let after = Duration::from_millis(millis);
                let due = conn.reactor().now() + after;
                self.ledger.borrow_mut().ticks.insert((self.index, key), due);
                conn.reactor().set_timer(after, TimerKey(key));
            }
            Reaction::Stop => {
                self.ledger.borrow_mut().stopping = true;
                conn.reactor().stop();
            }
        }
        Ok(())
    }

    /// Takes as the reaction says, and checks that it is what the peer has sent.
    fn take(&self, conn: &mut Conn<'_>, reaction: Reaction, input: &mut Input<'_>) {
        let (id, peer) = (conn.id(), addr_of(conn));
        let at = self.ledger.borrow().lives[&id].taken;
        let right = input.peek().iter().zip(at..).all(|(byte, at)| *byte == pattern(peer, at));
        self.ledger.borrow_mut().expect(right, id, "the input is not what its peer has sent");
        let taken = match reaction {
            Reaction::Leave => &[],
            Reaction::Take(count) | Reaction::EchoSome(count) => {
                input.take_exact(count.min(input.len())).unwrap_or(&[])
            }
            _ => input.take(),
        };
        let left = input.len();
        if matches!(reaction, Reaction::Echo | Reaction::EchoSome(_)) {
            self.say(conn, taken, false);
        }
        self.note(id, |life| {
            life.taken += taken.len();
            life.shown = life.taken + left;
            life.owed_a_call = left > 0 && !taken.is_empty();
        });
    }
}

fn ids_of_others(conn: &mut Conn<'_>) -> Vec<ConnId> {
    let mut ids = Vec::new();
    conn.reactor().for_each(|other| ids.push(other.id()));
    ids
}

impl Handler for Actor {
    type State = State;

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<State, BoxError> {
        let id = conn.id();
        {
            let mut ledger = self.ledger.borrow_mut();
            let known = ledger.lives.contains_key(&id);
            ledger.expect(!known, id, "it was opened twice");
            let outbound = conn.is_outbound();
            let listener = conn.info().listener;
            ledger.expect(listener.is_none() == outbound, id, "a listener that it does not have");
            let was_dialled = ledger.dials.opened(id, addr_of(conn));
            ledger.expect(was_dialled == outbound, id, "its direction is not the one of its dial");
            let may_come = !ledger.suspended || self.reactors > 1 || outbound;
            ledger.expect(may_come, id, "it was let in though no connection was to be");
            let tag = conn.listener_tag();
            let right = match ledger.peers[&addr_of(conn)].least_tag {
                Some(least) => (least..=ledger.newest_tag).contains(&tag),
                None => tag == 0,
            };
            ledger.expect(right, id, &format!("a listener's tag that is wrong: {tag}"));
            ledger.expect(conn.info().listener_tag == tag, id, "two tags");
            ledger.ids.push(id);
            let life = Life {
                peer: Some(addr_of(conn)),
                outbound,
                tag,
                refused: true,
                opened_at: Some(conn.reactor().now()),
                heard_at: Some(conn.reactor().now()),
                ..Life::default()
            };
            ledger.lives.insert(id, life);
        }
        let is_draining = self.ledger.borrow().draining.is_some();
        self.ledger.borrow_mut().begin_call(is_draining);
        let reaction = self.next();
        self.react(conn, reaction)?;
        self.note(id, |life| (life.opened, life.refused) = (true, false));
        Ok(State { id, version: self.version, panics_in_drop: reaction == Reaction::PanicInDrop })
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut State,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        self.enter(conn, "on_data");
        self.check_memory(conn, "on_data");
        let id = conn.id();
        {
            let mut ledger = self.ledger.borrow_mut();
            let peer = &ledger.peers[&addr_of(conn)];
            let paused = conn.info().queued > self.limits_of(conn).high_water && !peer.broke;
            let paused = paused && !ledger.lives[&id].reads_above;
            let finished = ledger.lives[&id].finished;
            let left = ledger.lives[&id].shown - ledger.lives[&id].taken;
            ledger.expect(!paused, id, "on_data above high water");
            let may_be_called = !ledger.lives[&id].is_paused();
            ledger.expect(may_be_called, id, "on_data while it is paused");
            let may_come = !finished || input.len() == left;
            ledger.expect(may_come, id, "on_data after on_eof, for what was not left in it");
            self.check_state(&mut ledger, id, state);
            ledger.expect(!input.is_empty(), id, "on_data without data");
            ledger.expect(
                input.len() <= self.limits_of(conn).max_input + READ,
                id,
                "too much input",
            );
        }
        self.note(id, |life| life.spend_call(conn.reactor().now()));
        let reaction = self.next();
        self.take(conn, reaction, input);
        let result = self.react(conn, reaction);
        let paused = !input.is_empty() && conn.info().queued > self.limits_of(conn).high_water;
        self.note(id, |life| life.owed_a_call |= paused);
        self.leave_data(conn);
        result
    }

    fn on_eof(
        &mut self,
        conn: &mut Conn<'_>,
        _state: &mut State,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        self.enter(conn, "on_eof");
        self.check_memory(conn, "on_eof");
        let id = conn.id();
        {
            let mut ledger = self.ledger.borrow_mut();
            let life = &ledger.lives[&id];
            let (twice, seen) = (life.finished, life.taken + input.len());
            let peer = &ledger.peers[&addr_of(conn)];
            let (all, finished) = (seen == peer.sent, peer.finished);
            let may_be_called = !ledger.lives[&id].is_paused();
            ledger.expect(may_be_called, id, "on_eof while it is paused");
            ledger.expect(!twice, id, "on_eof twice");
            ledger.expect(finished, id, "on_eof of a peer that has not finished");
            ledger.expect(all, id, "on_eof before the last byte");
        }
        self.note(id, |life| life.finished = true);
        let reaction = self.next();
        self.take(conn, reaction, input);
        self.react(conn, reaction)?;
        if reaction != Reaction::Leave {
            self.note(id, |life| life.asked_to_close = true);
            conn.close();
        }
        self.leave(conn);
        Ok(())
    }

    fn on_low_water(&mut self, conn: &mut Conn<'_>, _state: &mut State) -> Result<(), BoxError> {
        self.enter(conn, "on_low_water");
        self.check_memory(conn, "on_low_water");
        let now = conn.reactor().now();
        // It was not read from until now, so that its silence counts from now on.
        self.note(conn.id(), |life| life.heard_at = Some(now));
        let roomy = conn.info().queued <= self.limits_of(conn).high_water;
        self.ledger.borrow_mut().expect(roomy, conn.id(), "on_low_water above high water");
        self.note(conn.id(), |life| life.owed_a_drain = false);
        let reaction = self.next();
        let result = self.react(conn, reaction);
        self.leave(conn);
        result
    }

    fn on_timer(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut State,
        key: TimerKey,
    ) -> Result<(), BoxError> {
        self.enter(conn, "on_timer");
        self.check_memory(conn, "on_timer");
        let id = conn.id();
        {
            let mut ledger = self.ledger.borrow_mut();
            let life = ledger.lives.get_mut(&id).expect("it was opened");
            let due = life.timers.remove(&key.0);
            ledger.expect(due.is_some(), id, "a timer that was not set");
            let is_due = due.is_none_or(|due| due <= conn.reactor().now());
            ledger.expect(is_due, id, "a timer that is early");
            self.check_state(&mut ledger, id, state);
        }
        if self.ledger.borrow().calm {
            return Ok(());
        }
        let reaction = self.next();
        let result = self.react(conn, reaction);
        self.leave(conn);
        result
    }

    fn on_tick(&mut self, reactor: &mut Context<'_>, key: TimerKey) {
        let mut ledger = self.ledger.borrow_mut();
        let due = ledger.ticks.remove(&(self.index, key.0));
        if due.is_none_or(|due| due > reactor.now()) {
            ledger.violations.push(format!("a timer of the reactor that was to come at {due:?}"));
        }
    }

    fn on_connect_failed(&mut self, reactor: &mut Context<'_>, id: ConnId, reason: &CloseReason) {
        let mut ledger = self.ledger.borrow_mut();
        let was_opened = ledger.lives.contains_key(&id);
        ledger.expect(!was_opened, id, "on_connect_failed of one that was opened");
        let now = reactor.now();
        let right = match reason {
            CloseReason::Stopped => ledger.stopping,
            CloseReason::DrainTimeout { limit } => {
                ledger.draining.is_some_and(|(began, _)| now - began >= *limit)
            }
            other => ledger.dials.may_fail(id, other, now),
        };
        ledger.expect(right, id, &format!("not connected for no reason: {reason:?}"));
        let once = ledger.dials.failed(id);
        ledger.expect(once, id, "on_connect_failed twice, or of what was never begun");
        ledger.expect(reactor.get(id).is_none(), id, "it has failed, and can be used");
    }

    fn on_shutdown(&mut self, conn: &mut Conn<'_>, state: &mut State) -> Result<(), BoxError> {
        self.enter(conn, "on_shutdown");
        let id = conn.id();
        {
            let mut ledger = self.ledger.borrow_mut();
            let (drains, twice) = (ledger.draining.is_some(), ledger.lives[&id].told_to_drain);
            ledger.expect(drains, id, "on_shutdown without a drain");
            ledger.expect(!twice, id, "on_shutdown twice");
            self.check_state(&mut ledger, id, state);
        }
        self.note(id, |life| life.told_to_drain = true);
        let reaction = self.next();
        let result = self.react(conn, reaction);
        self.leave(conn);
        result
    }

    fn on_closing(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut State,
        reason: &CloseReason,
    ) -> Result<(), BoxError> {
        self.enter(conn, "on_closing");
        let id = conn.id();
        self.check_state(&mut self.ledger.borrow_mut(), id, state);
        let is_drain = matches!(reason, CloseReason::DrainTimeout { .. });
        let right = is_drain || is_told_before(reason);
        self.ledger.borrow_mut().expect(right, id, &format!("on_closing for {reason:?}"));
        self.say_noise(conn, 5, true);
        self.note(id, |life| life.told_of_closing = true);
        let calls = self.ledger.borrow().calls;
        match calls % 4 {
            0 => conn.close(), // the reason stays
            1 => return Err("this error changes nothing".into()),
            _ => {}
        }
        Ok(())
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, state: State, reason: &CloseReason) {
        self.enter(conn, "on_close");
        let (id, now) = (conn.id(), conn.reactor().now());
        {
            let mut ledger = self.ledger.borrow_mut();
            let life = &ledger.lives[&id];
            let peer = &ledger.peers[&addr_of(conn)];
            let unsent = life.sent.len() as u64 > conn.info().bytes_out;
            let after = |from: Option<Instant>, limit: &Duration| {
                now - from.expect("it was opened") >= *limit
            };
            let right = match reason {
                CloseReason::PeerFinished => life.finished,
                CloseReason::Closed => life.asked_to_close,
                CloseReason::Aborted => life.asked_to_abort,
                CloseReason::Handler(_) => life.asked_to_fail,
                CloseReason::Panic(_) => life.asked_to_panic,
                CloseReason::Io(_) => peer.broke,
                CloseReason::InputOverflow { limit } => {
                    *limit == self.limits_of(conn).max_input && life.shown - life.taken > *limit
                }
                CloseReason::OutboxOverflow { .. } => life.asked_too_much,
                CloseReason::Shed { budget } => {
                    let now = now - ledger.start.expect("the world has begun");
                    let least = |was: &Limits| was.stall().min(Duration::from_secs(2));
                    let stalls = |was: &Limits| now - peer.read_at >= least(was);
                    // A fault can make the kernel refuse a write though its peer reads.
                    let has_stalled = self.had(life.tag, stalls) || ledger.dials.faults;
                    self.had(life.tag, |was| was.queue_budget == *budget)
                        && (life.shown > life.taken || (unsent && has_stalled))
                }
                CloseReason::FirstByteTimeout { limit } => {
                    life.bytes_in == 0
                        && !life.outbound
                        && after(life.opened_at, limit)
                        && self.had(life.tag, |was| was.first_byte == Some(*limit))
                }
                CloseReason::IdleTimeout { limit } => {
                    life.was_silent_for(*limit)
                        && after(life.heard_at, limit)
                        && self.had(life.tag, |was| was.idle == Some(*limit))
                }
                CloseReason::WriteTimeout { limit } => {
                    unsent
                        && after(life.opened_at, limit)
                        && self.had(life.tag, |was| was.write == Some(*limit))
                }
                CloseReason::MaxAge { limit } => {
                    conn.info().age >= *limit / 10 * 9
                        && self.had(life.tag, |was| was.max_age == Some(*limit))
                }
                CloseReason::Drained => {
                    let (began, timeout) = ledger.draining.expect("a drain was asked for");
                    let is_quiet =
                        life.told_to_drain && after(life.heard_at, &self.limits.drain_quiet);
                    !unsent
                        && life.shown == life.taken
                        && !life.is_paused()
                        && (is_quiet || after(Some(began), &timeout))
                }
                CloseReason::DrainTimeout { limit } => {
                    after(ledger.draining.map(|(began, _)| began), limit)
                }
                CloseReason::Evicted => self.limits.when_full == WhenFull::Evict && !life.outbound,
                CloseReason::Stopped => ledger.stopping,
                _ => false,
            };
            ledger.expect(right, id, &format!("closed for no reason: {reason:?}"));
            let told = ledger.lives[&id].told_of_closing || !is_told_before(reason);
            ledger.expect(told, id, &format!("closed without on_closing: {reason:?}"));
            self.check_state(&mut ledger, id, &state);
        }
        let orderly = matches!(
            reason,
            CloseReason::PeerFinished | CloseReason::Closed | CloseReason::Drained
        );
        self.note(id, |life| {
            life.closed = true;
            life.owed_a_fin = orderly && life.finished;
        });
        match self.next() {
            Reaction::Panic => scripted_panic(),
            reaction @ (Reaction::SendToOther { .. }
            | Reaction::CloseOther { .. }
            | Reaction::FinishOther { .. }
            | Reaction::Connect { .. }
            | Reaction::CloseDialled { .. }
            | Reaction::AbortOther { .. }
            | Reaction::Broadcast(_)
            | Reaction::Share(_)
            | Reaction::Send(_)
            | Reaction::Produce
            | Reaction::Close
            | Reaction::PauseOther { .. }
            | Reaction::ResumeOther { .. }
            | Reaction::Stop) => {
                let _ = self.react(conn, reaction);
            }
            _ => {}
        }
    }
}

/// Whether `on_closing` comes before each `on_close` with this reason.
fn is_told_before(reason: &CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::FirstByteTimeout { .. }
            | CloseReason::IdleTimeout { .. }
            | CloseReason::MaxAge { .. }
            | CloseReason::InputOverflow { .. }
            | CloseReason::Drained
    )
}
