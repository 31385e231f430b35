//! The simulated system: time, and the edges that it tells of. Its calls and its wires have files of
//! their own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::faults::Faults;
use super::link::{Answer, Call, Link, ServerEnd, Watched};
use super::log::set_time;
use super::rng::Rng;
use crate::net::{Event, Token};

/// Names a link for ever: links are never removed.
pub(super) type LinkId = usize;

/// What one turn of the reactor takes, so that time goes on even if it never waits.
const TURN: u64 = 1_000;

/// How long the process sleeps at most.
const LONGEST_SLEEP: u64 = 60_000_000_000;

/// How far a reading of the clock can be behind the time.
const MOST_BEHIND: u64 = 10_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Arrive(LinkId),
    Answer(LinkId),
    GiveUp(LinkId),
    ToServer(LinkId),
    ToPeer(LinkId),
    PeerReads(LinkId, u32),
    ResetServer(LinkId),
    ResetPeer(LinkId),
}

/// Why an edge is owed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Readable,
    Writable,
    HungUp,
}

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) addr: SocketAddr,
    pub(super) watched: Watched,
    pub(super) backlog: usize,
    pub(super) queue: VecDeque<LinkId>,
    pub(super) edge: Option<u64>,
    pub(super) open: bool,
    pub(super) shut_down: bool,
    /// What every `accept` fails with, whoever is in the queue.
    pub(super) fails: Option<i32>,
}

#[derive(Debug)]
pub(super) struct Kernel {
    /// Nanoseconds since the world began.
    pub(super) now: u64,
    /// How far the clock that reactors read has stepped back, in nanoseconds.
    pub(super) stepped_back: u64,
    /// Until when the process does not sleep again.
    awake_until: u64,
    /// How long the reactor that makes a turn now is busy behind it, in nanoseconds.
    pub(super) stall: u64,
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    pub(super) links: Vec<Link>,
    /// A hash over all that has happened, word by word in the manner of FNV-1a.
    pub(super) trace: u64,
    /// How many bytes the server has read and written.
    pub(super) traffic: (u64, u64),
    /// How often it has called to do so.
    pub(super) calls: (u64, u64),
    /// How many sockets the server may hold, its listeners included.
    pub(super) descriptors: Option<usize>,
    /// What the next calls of `accept` fail with.
    pub(super) accept_errors: VecDeque<i32>,
    /// What the next connections outward fail with.
    pub(super) connect_errors: VecDeque<(&'static str, i32)>,
    /// All addresses that were tried.
    pub(super) calls_out: Vec<Call>,
    /// How often a reactor has waited.
    pub(super) waits: u64,
    /// Who is there to be called.
    pub(super) answers: HashMap<SocketAddr, Answer>,
    /// Those that were, and have taken it.
    pub(super) called: Vec<LinkId>,
    pub(super) listeners: Vec<Listener>,
    agenda: BinaryHeap<Reverse<(u64, u64, Action)>>,
    /// Links with an edge owed; may name one twice, or in vain.
    owed: Vec<LinkId>,
    pub(super) stale: Vec<Watched>,
    sequence: u64,
    pub(super) ports: u16,
}

impl Kernel {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: 0,
            stepped_back: 0,
            stall: 0,
            awake_until: 0,
            rng: Rng::new(seed),
            faults: Faults::none(),
            links: Vec::new(),
            trace: 0xcbf2_9ce4_8422_2325,
            traffic: (0, 0),
            calls: (0, 0),
            descriptors: None,
            accept_errors: VecDeque::new(),
            connect_errors: VecDeque::new(),
            calls_out: Vec::new(),
            waits: 0,
            answers: HashMap::new(),
            called: Vec::new(),
            listeners: Vec::new(),
            agenda: BinaryHeap::new(),
            owed: Vec::new(),
            stale: Vec::new(),
            sequence: 0,
            ports: 0,
        }
    }

    /// How many sockets the server holds, its listeners aside.
    pub(super) fn open_sockets(&self) -> usize {
        let is_held = |link: &&Link| matches!(link.server, ServerEnd::Open | ServerEnd::Calling);
        self.links.iter().filter(is_held).count()
    }

    /// Whether it may hold no more.
    pub(super) fn is_out_of_descriptors(&self) -> bool {
        let listeners = self.listeners.iter().filter(|listener| listener.open).count();
        self.descriptors.is_some_and(|most| self.open_sockets() + listeners >= most)
    }

    /// What a reactor reads of its clock: the time, and how far that is to be put back.
    pub(super) fn read_clock(&mut self) -> (Duration, Duration) {
        // Where it never happens no chance is drawn: the world goes as it would without.
        let chance = self.faults.clock_behind;
        let is_behind = chance > 0 && self.rng.happens(chance);
        let behind = if is_behind { self.rng.below(MOST_BEHIND) } else { 0 };
        let behind = self.stepped_back.saturating_add(behind);
        (Duration::from_nanos(self.now), Duration::from_nanos(behind))
    }

    /// The reactor that makes a turn now is busy for so long behind it, while the others go on.
    pub(super) fn stall(&mut self, nanos: u64) {
        self.stall = self.stall.saturating_add(nanos);
    }

    /// Adds to the trace.
    pub(super) fn note(&mut self, what: u64, detail: u64) {
        self.mix([what, detail, self.now]);
    }

    pub(super) fn note_bytes(&mut self, bytes: &[u8]) {
        self.mix(bytes.iter().map(|byte| u64::from(*byte)));
    }

    fn mix(&mut self, words: impl IntoIterator<Item = u64>) {
        for word in words {
            self.trace = (self.trace ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(super) fn schedule(&mut self, after: u64, action: Action) {
        self.sequence += 1;
        self.agenda.push(Reverse((self.now.saturating_add(after), self.sequence, action)));
    }

    pub(super) fn latency(&mut self) -> u64 {
        1 + self.rng.below(nanos(self.faults.latency))
    }

    /// When something happens next without anybody's doing, if ever: of the edges, only those that are told to
    /// some reactors.
    pub(super) fn next_time_of(&self, counts: impl Fn(&Watched) -> bool) -> Option<u64> {
        let agenda = self.agenda.peek().map(|Reverse((at, ..))| *at);
        let links = self.owed.iter().map(|link| &self.links[*link]);
        let links = links.filter(|link| link.watched.as_ref().is_some_and(&counts));
        let links = links.filter_map(|link| link.edge);
        let listeners = self.listeners.iter().filter(|listener| counts(&listener.watched));
        let listeners = listeners.filter_map(|listener| listener.edge);
        agenda.into_iter().chain(links).chain(listeners).min()
    }

    /// Whether an edge can be told to this reactor now.
    pub(super) fn has_events(&self, by: usize) -> bool {
        let is_due = |edge: Option<u64>| edge.is_some_and(|due| due <= self.now);
        let links = self.owed.iter().map(|link| &self.links[*link]);
        links.filter(|link| link.is_watched_by(by)).any(|link| is_due(link.edge))
            || self
                .listeners
                .iter()
                .any(|listener| listener.open && listener.watched.by == by && is_due(listener.edge))
    }

    /// Lets time pass on the wires and at the peers, step by step, while the server does nothing.
    pub(super) fn pass(&mut self, until: u64) {
        while let Some(Reverse((at, _, action))) = self.agenda.peek().copied()
            && at <= until
        {
            self.agenda.pop();
            self.now = self.now.max(at);
            match action {
                Action::Arrive(link) => self.arrive(link),
                Action::Answer(link) => self.answer(link),
                Action::GiveUp(link) => self.give_up(link),
                Action::ToServer(link) => self.move_to_server(link),
                Action::ToPeer(link) => self.move_to_peer(link),
                Action::PeerReads(link, plan) => self.peer_reads(link, plan),
                Action::ResetServer(link) => self.reset_server(link),
                Action::ResetPeer(link) => self.reset_peer(link),
            }
        }
        self.now = self.now.max(until);
        set_time(self.now);
    }

    /// Something may happen between two calls of the server.
    pub(super) fn meanwhile(&mut self) {
        if self.rng.happens(self.faults.meanwhile) {
            let until = self.now.saturating_add(self.latency());
            self.pass(until);
        }
    }

    /// After the network has changed: all that was owed under the old one is owed under the new one.
    pub(super) fn set_faults(&mut self, faults: Faults) {
        self.faults = Faults { buffer: faults.buffer.max(1), ..faults };
        for id in 0..self.links.len() {
            (self.links[id].read_armed, self.links[id].write_armed) = (true, true);
            self.links[id].write_blocked = false;
            self.owe(id, Change::HungUp);
            self.start_to_server(id);
            self.start_to_peer(id);
        }
    }

    /// Owes an edge to whoever watches the link. That it comes is what the kernel promises; when,
    /// is its own affair.
    pub(super) fn owe(&mut self, id: LinkId, change: Change) {
        let due = self.due();
        let link = &mut self.links[id];
        let strict = !self.faults.partial_means_blocked;
        let unarmed = match change {
            Change::Readable => !link.read_armed,
            Change::Writable => !link.write_armed,
            Change::HungUp => false,
        };
        if link.watched.is_none() || (strict && unarmed) {
            return;
        }
        if link.edge.is_none() {
            link.edge = Some(due);
            self.owed.push(id);
        }
    }

    /// When an edge may be told that is owed from now on.
    pub(super) fn due(&mut self) -> u64 {
        let late = self.rng.happens(self.faults.delayed);
        let most = nanos(self.faults.latency).saturating_mul(10).min(50_000_000);
        self.now.saturating_add(if late { self.rng.below(most) } else { 0 })
    }

    /// The wait of the reactor `by`, which somebody may have woken.
    pub(super) fn poll(
        &mut self,
        by: usize,
        woken: bool,
        events: &mut Vec<Event>,
        timeout: Option<Duration>,
    ) -> io::Result<bool> {
        self.waits += u64::from(timeout != Some(Duration::ZERO));
        let sleeps = self.rng.happens(self.faults.time_jump) && self.now >= self.awake_until;
        let slept = if sleeps { self.rng.below(LONGEST_SLEEP) } else { 0 };
        self.pass(self.now.saturating_add(TURN + slept));
        if sleeps {
            self.awake_until = self.now.saturating_add(slept);
        }
        self.interrupted()?;
        self.wait(by, woken, events, timeout.map(|time| self.now.saturating_add(nanos(time))));
        let is_due = |link: &LinkId| {
            let link = &self.links[*link];
            link.is_watched_by(by) && link.edge.is_some_and(|due| due <= self.now)
        };
        let events_are_left = self.owed.iter().any(is_due);
        self.disturb(by, events);
        self.note_events(events);
        Ok(!events_are_left)
    }

    /// Lets time pass until there is an event, a wake-up, or the deadline.
    fn wait(&mut self, by: usize, woken: bool, events: &mut Vec<Event>, deadline: Option<u64>) {
        loop {
            self.collect(by, events);
            if !events.is_empty() || woken {
                return;
            }
            match (self.next_time_of(|watched| watched.by == by), deadline) {
                (Some(next), deadline) if deadline.is_none_or(|deadline| next <= deadline) => {
                    self.pass(next);
                }
                (_, Some(deadline)) => {
                    self.pass(deadline);
                    return self.collect(by, events);
                }
                (_, None) => panic!("the reactor waits for ever: nothing will happen by itself"),
            }
        }
    }

    fn note_events(&mut self, events: &[Event]) {
        for event in events {
            let flags = [event.readable, event.writable, event.more_follows, event.hung_up];
            let detail = match event.token {
                Token::Listener(index) => u64::from(index) << 32 | u64::from(u32::MAX),
                Token::Conn { slot, .. } => u64::from(slot),
            };
            let flags = flags.iter().fold(0, |sum, flag| sum << 1 | u64::from(*flag));
            self.note(0x100 + flags, detail);
        }
    }

    /// Moves the edges that are due into the batch, as far as they fit.
    fn collect(&mut self, by: usize, events: &mut Vec<Event>) {
        let batch = self.faults.batch.max(1);
        for listener in &mut self.listeners {
            let is_here = listener.open && listener.watched.by == by;
            if is_here && listener.edge.take_if(|due| *due <= self.now).is_some() {
                events.push(event(listener.watched.token, listener.shut_down));
            }
        }
        let mut owed = std::mem::take(&mut self.owed);
        owed.retain(|id| {
            let link = &mut self.links[*id];
            match link.edge {
                None => false,
                Some(_) if link.watched.is_some() && !link.is_watched_by(by) => true,
                Some(due) if due > self.now || events.len() >= batch => true,
                Some(_) => {
                    link.edge = None;
                    events.extend(link.tell());
                    false
                }
            }
        });
        self.owed = owed;
    }

    /// Does to a batch what a kernel may do.
    fn disturb(&mut self, by: usize, events: &mut Vec<Event>) {
        if self.rng.happens(self.faults.spurious) && !self.links.is_empty() {
            let id = self.rng.size_below(self.links.len());
            if let Some(Watched { token, .. }) =
                self.links[id].watched.filter(|watched| watched.by == by)
            {
                let (readable, writable) = (self.rng.happens(128), self.rng.happens(128));
                let more_follows = readable && self.rng.happens(64);
                events.push(Event { readable, writable, more_follows, ..event(token, false) });
            }
        }
        if self.rng.happens(self.faults.stale) && !self.stale.is_empty() {
            let index = self.rng.size_below(self.stale.len());
            if self.stale[index].by == by {
                let token = self.stale.swap_remove(index).token;
                events.push(event(token, self.rng.happens(128)));
            }
        }
        for index in 0..events.len() {
            if self.rng.happens(self.faults.doubled) {
                events.push(events[index]);
            }
        }
        if self.faults.delayed > 0 {
            for index in (1..events.len()).rev() {
                events.swap(index, self.rng.size_below(index + 1));
            }
        }
    }

    pub(super) fn interrupted(&mut self) -> io::Result<()> {
        self.meanwhile();
        if self.rng.happens(self.faults.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}

/// A time in nanoseconds, which reach for 584 years.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn event(token: Token, hung_up: bool) -> Event {
    Event { token, readable: true, writable: hung_up, more_follows: hung_up, hung_up }
}
