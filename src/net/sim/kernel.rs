//! The simulated system: its time and its edges. The system calls and the wires have their own files.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::faults::Faults;
use super::link::{Answer, DialAttempt, Link, ServerEnd, Watched};
use super::log::set_time;
use super::rng::Rng;
use crate::net::{Event, Token};

/// Identifies a link for ever: links are never removed.
pub(super) type LinkId = usize;

/// The duration of a turn of the reactor, in nanoseconds. So time passes even if the reactor never waits.
const TURN: u64 = 1_000;

/// How long the process sleeps at most, in nanoseconds.
const LONGEST_SLEEP: u64 = 60_000_000_000;

/// How far a reading of the clock can be behind the time, in nanoseconds.
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
    /// The error of every `accept`, whatever the queue contains.
    pub(super) fails: Option<i32>,
}

#[derive(Debug)]
pub(super) struct Kernel {
    /// Nanoseconds since the world began.
    pub(super) now: u64,
    /// How far the reactors' clock has stepped back, in nanoseconds.
    pub(super) stepped_back: u64,
    /// The process does not sleep again before this time.
    awake_until: u64,
    /// How long the reactor whose turn it is stays busy after the turn, in nanoseconds.
    pub(super) stall: u64,
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    pub(super) links: Vec<Link>,
    /// A hash over everything that has happened, computed like FNV-1a but word by word.
    pub(super) trace: u64,
    /// How many bytes the server has read and written.
    pub(super) traffic: (u64, u64),
    /// How many calls of read and write the server has made.
    pub(super) calls: (u64, u64),
    /// How many sockets the server may hold, its listeners included.
    pub(super) descriptors: Option<usize>,
    /// The errors of the next calls of `accept`.
    pub(super) accept_errors: VecDeque<i32>,
    /// The errors of the next outbound connections.
    pub(super) connect_errors: VecDeque<(&'static str, i32)>,
    /// All addresses that the server has tried to connect to.
    pub(super) dial_attempts: Vec<DialAttempt>,
    /// How often a reactor has waited.
    pub(super) waits: u64,
    /// How each address answers outbound connections.
    pub(super) answers: HashMap<SocketAddr, Answer>,
    /// The outbound connections that were accepted.
    pub(super) dialled: Vec<LinkId>,
    pub(super) listeners: Vec<Listener>,
    agenda: BinaryHeap<Reverse<(u64, u64, Action)>>,
    /// Links with an edge owed. A link may be listed twice, or without one.
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
            dial_attempts: Vec::new(),
            waits: 0,
            answers: HashMap::new(),
            dialled: Vec::new(),
            listeners: Vec::new(),
            agenda: BinaryHeap::new(),
            owed: Vec::new(),
            stale: Vec::new(),
            sequence: 0,
            ports: 0,
        }
    }

    /// How many sockets the server holds, without its listeners.
    pub(super) fn open_sockets(&self) -> usize {
        let is_held = |link: &&Link| matches!(link.server, ServerEnd::Open | ServerEnd::Calling);
        self.links.iter().filter(is_held).count()
    }

    /// Whether the server may open no further socket.
    pub(super) fn is_out_of_descriptors(&self) -> bool {
        let listeners = self.listeners.iter().filter(|listener| listener.open).count();
        self.descriptors.is_some_and(|most| self.open_sockets() + listeners >= most)
    }

    /// The current time, and how far a reading of the clock is behind it.
    pub(super) fn read_clock(&mut self) -> (Duration, Duration) {
        // If the fault is off, no random number is drawn: the run is the same as without this feature.
        let chance = self.faults.clock_behind;
        let is_behind = chance > 0 && self.rng.happens(chance);
        let behind = if is_behind { self.rng.below(MOST_BEHIND) } else { 0 };
        let behind = self.stepped_back.saturating_add(behind);
        (Duration::from_nanos(self.now), Duration::from_nanos(behind))
    }

    /// Keeps the reactor whose turn it is busy for this time after the turn, while the other reactors continue.
    pub(super) fn stall(&mut self, nanos: u64) {
        self.stall = self.stall.saturating_add(nanos);
    }

    /// Adds an event to the trace.
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

    /// When something happens next without an action of the test, if ever. Only edges for the reactors that `counts`
    /// selects are considered.
    pub(super) fn next_time_of(&self, counts: impl Fn(&Watched) -> bool) -> Option<u64> {
        let agenda = self.agenda.peek().map(|Reverse((at, ..))| *at);
        let links = self.owed.iter().map(|link| &self.links[*link]);
        let links = links.filter(|link| link.watched.as_ref().is_some_and(&counts));
        let links = links.filter_map(|link| link.edge);
        let listeners = self.listeners.iter().filter(|listener| counts(&listener.watched));
        let listeners = listeners.filter_map(|listener| listener.edge);
        agenda.into_iter().chain(links).chain(listeners).min()
    }

    /// Whether an edge for this reactor can be delivered now.
    pub(super) fn has_events(&self, by: usize) -> bool {
        let is_due = |edge: Option<u64>| edge.is_some_and(|due| due <= self.now);
        let links = self.owed.iter().map(|link| &self.links[*link]);
        links.filter(|link| link.is_watched_by(by)).any(|link| is_due(link.edge))
            || self
                .listeners
                .iter()
                .any(|listener| listener.open && listener.watched.by == by && is_due(listener.edge))
    }

    /// Lets time pass on the wires and at the peers, step by step. The server does nothing meanwhile.
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

    /// Lets something happen between two calls of the server, if the faults say so.
    pub(super) fn meanwhile(&mut self) {
        if self.rng.happens(self.faults.meanwhile) {
            let until = self.now.saturating_add(self.latency());
            self.pass(until);
        }
    }

    /// Changes the network. Everything that was owed under the old faults is owed under the new ones.
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

    /// Owes an edge to the reactor that watches the link. The kernel promises that the edge is delivered, but not when.
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

    /// When an edge that is owed from now on is delivered.
    pub(super) fn due(&mut self) -> u64 {
        let late = self.rng.happens(self.faults.delayed);
        let most = nanos(self.faults.latency).saturating_mul(10).min(50_000_000);
        self.now.saturating_add(if late { self.rng.below(most) } else { 0 })
    }

    /// The wait of the reactor `by`. `woken`: another thread has woken it.
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
                (_, None) => panic!("the reactor waits without a timeout, and no event is pending"),
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

    /// Moves the edges that are due into the batch, as many as fit.
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

    /// Changes a batch in ways that a kernel may.
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

/// A duration in nanoseconds. The largest is 584 years.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn event(token: Token, hung_up: bool) -> Event {
    Event { token, readable: true, writable: hung_up, more_follows: hung_up, hung_up }
}
