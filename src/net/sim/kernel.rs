//! The simulated system: sockets, the way between them, edges and time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::faults::Faults;
use super::link::{Ending, Link, Reading, ServerEnd};
use super::rng::Rng;
use crate::net::{Event, Token};

/// Names a link for ever: links are never removed.
pub(super) type LinkId = usize;

/// Errors of accept(2) that pass: ECONNABORTED, EPERM, EPROTO, ENOPROTOOPT, ENETDOWN, EHOSTDOWN,
/// ENONET, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT, EMFILE, ENFILE, ENOMEM, ENOBUFS.
const ACCEPT_ERRORS: [i32; 14] = [103, 1, 71, 92, 100, 112, 64, 113, 101, 110, 24, 23, 12, 105];
const ENOMEM: i32 = 12;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;

/// A SYN that finds the backlog full is sent again after this.
const SYN_AGAIN: u64 = 1_000_000_000;

/// What one turn of the reactor takes, so that time goes on even if it never waits.
const TURN: u64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Arrive(LinkId),
    ToServer(LinkId),
    ToPeer(LinkId),
    PeerReads(LinkId),
    ResetServer(LinkId),
    ResetPeer(LinkId),
}

/// Why an edge is owed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Readable,
    Writable,
    HungUp,
}

#[derive(Debug)]
struct Listener {
    addr: SocketAddr,
    token: Token,
    backlog: usize,
    queue: VecDeque<LinkId>,
    edge: Option<u64>,
    open: bool,
    shut_down: bool,
}

#[derive(Debug)]
pub(super) struct Kernel {
    /// Nanoseconds since the world began.
    pub(super) now: u64,
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    pub(super) links: Vec<Link>,
    pub(super) woken: bool,
    /// FNV-1a over all that has happened.
    pub(super) trace: u64,
    /// How many bytes the server has read and written.
    pub(super) traffic: (u64, u64),
    /// What the next calls of `accept` fail with.
    pub(super) accept_errors: VecDeque<i32>,
    listeners: Vec<Listener>,
    agenda: BinaryHeap<Reverse<(u64, u64, Action)>>,
    /// Links with an edge owed; may name one twice, or in vain.
    owed: Vec<LinkId>,
    stale: Vec<Token>,
    sequence: u64,
    ports: u16,
}

impl Kernel {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: 0,
            rng: Rng::new(seed),
            faults: Faults::none(),
            links: Vec::new(),
            woken: false,
            trace: 0xcbf2_9ce4_8422_2325,
            traffic: (0, 0),
            accept_errors: VecDeque::new(),
            listeners: Vec::new(),
            agenda: BinaryHeap::new(),
            owed: Vec::new(),
            stale: Vec::new(),
            sequence: 0,
            ports: 0,
        }
    }

    /// Adds to the trace.
    fn note(&mut self, what: u64, detail: u64) {
        for word in [what, detail, self.now] {
            self.trace = (self.trace ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    // ---- time

    fn schedule(&mut self, after: u64, action: Action) {
        self.sequence += 1;
        self.agenda.push(Reverse((self.now + after, self.sequence, action)));
    }

    fn latency(&mut self) -> u64 {
        let most = u64::try_from(self.faults.latency.as_nanos()).unwrap_or(u64::MAX);
        1 + self.rng.below(most)
    }

    /// When something happens next without anybody's doing, if ever.
    pub(super) fn next_time(&self) -> Option<u64> {
        let agenda = self.agenda.peek().map(|Reverse((at, ..))| *at);
        let links = self.owed.iter().filter_map(|link| self.links[*link].edge);
        let listeners = self.listeners.iter().filter_map(|listener| listener.edge);
        agenda.into_iter().chain(links).chain(listeners).min()
    }

    fn run_agenda(&mut self) {
        while let Some(Reverse((at, _, action))) = self.agenda.peek().copied()
            && at <= self.now
        {
            self.agenda.pop();
            match action {
                Action::Arrive(link) => self.arrive(link),
                Action::ToServer(link) => self.move_to_server(link),
                Action::ToPeer(link) => self.move_to_peer(link),
                Action::PeerReads(link) => self.peer_reads(link),
                Action::ResetServer(link) => self.reset_server(link),
                Action::ResetPeer(link) => self.reset_peer(link),
            }
        }
    }

    // ---- epoll

    /// Owes an edge to whoever watches the link. That it comes is what the kernel promises; when,
    /// is its own affair.
    fn owe(&mut self, id: LinkId, change: Change) {
        let due = self.now + self.delay();
        let link = &mut self.links[id];
        let strict = !self.faults.partial_means_blocked;
        let unarmed = match change {
            Change::Readable => !link.read_armed,
            Change::Writable => !link.write_armed,
            Change::HungUp => false,
        };
        if link.token.is_none() || (strict && unarmed) {
            return;
        }
        if link.edge.is_none() {
            link.edge = Some(due);
            self.owed.push(id);
        }
    }

    fn delay(&mut self) -> u64 {
        if self.rng.happens(self.faults.delayed) { self.rng.below(50_000_000) } else { 0 }
    }

    pub(super) fn poll(
        &mut self,
        events: &mut Vec<Event>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.now += TURN;
        if self.rng.happens(self.faults.time_jump) {
            self.now += self.rng.below(600_000_000_000);
        }
        self.interrupted()?;
        let timeout = timeout.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        let deadline = timeout.map(|time| self.now.saturating_add(time));
        loop {
            self.run_agenda();
            self.collect(events);
            if !events.is_empty() || std::mem::take(&mut self.woken) {
                break;
            }
            match (self.next_time(), deadline) {
                (Some(next), deadline) if deadline.is_none_or(|deadline| next <= deadline) => {
                    self.now = self.now.max(next);
                }
                (_, Some(deadline)) => {
                    self.now = deadline;
                    break;
                }
                (_, None) => break, // nothing will ever happen: the world has to say what is next
            }
        }
        self.disturb(events);
        for event in events.iter() {
            let flags = [event.readable, event.writable, event.more_follows, event.hung_up];
            let detail = match event.token {
                Token::Listener(index) => u64::from(index) << 32 | u64::from(u32::MAX),
                Token::Conn { slot, .. } => u64::from(slot),
            };
            let flags = flags.iter().fold(0, |sum, flag| sum << 1 | u64::from(*flag));
            self.note(0x100 + flags, detail);
        }
        Ok(())
    }

    /// Moves the edges that are due into the batch.
    fn collect(&mut self, events: &mut Vec<Event>) {
        for listener in &mut self.listeners {
            if listener.open && listener.edge.take_if(|due| *due <= self.now).is_some() {
                events.push(event(listener.token, listener.shut_down));
            }
        }
        let mut owed = std::mem::take(&mut self.owed);
        owed.retain(|id| {
            let link = &mut self.links[*id];
            match link.edge {
                None => false,
                Some(due) if due > self.now => true,
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
    fn disturb(&mut self, events: &mut Vec<Event>) {
        if self.rng.happens(self.faults.spurious) && !self.links.is_empty() {
            let id = self.rng.size_below(self.links.len());
            if let Some(token) = self.links[id].token {
                let (readable, writable) = (self.rng.happens(128), self.rng.happens(128));
                let more_follows = readable && self.rng.happens(64);
                events.push(Event { readable, writable, more_follows, ..event(token, false) });
            }
        }
        if self.rng.happens(self.faults.stale) && !self.stale.is_empty() {
            let index = self.rng.size_below(self.stale.len());
            events.push(event(self.stale.swap_remove(index), self.rng.happens(128)));
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

    fn interrupted(&mut self) -> io::Result<()> {
        if self.rng.happens(self.faults.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    // ---- the server's system calls

    pub(super) fn listen(
        &mut self,
        addr: SocketAddr,
        backlog: usize,
        token: Token,
    ) -> io::Result<SocketAddr> {
        let mut addr = addr;
        if addr.port() == 0 {
            self.ports += 1;
            addr.set_port(49_151 + self.ports);
        }
        if self.listeners.iter().any(|listener| listener.open && listener.addr == addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.listeners.push(Listener {
            addr,
            token,
            backlog,
            queue: VecDeque::new(),
            edge: None,
            open: true,
            shut_down: false,
        });
        Ok(addr)
    }

    pub(super) fn close_listener(&mut self, addr: SocketAddr) {
        let Some(index) = self.listener_at(addr) else { return };
        self.listeners[index].open = false;
        self.listeners[index].edge = None;
        for link in std::mem::take(&mut self.listeners[index].queue) {
            self.send_reset(link);
        }
    }

    /// Shuts a listener down under its owner: from now on `accept` fails with EINVAL.
    pub(super) fn break_listener(&mut self, addr: SocketAddr) {
        let due = self.now + self.delay();
        if let Some(index) = self.listener_at(addr) {
            self.listeners[index].shut_down = true;
            self.listeners[index].edge = Some(due);
        }
    }

    fn listener_at(&self, addr: SocketAddr) -> Option<usize> {
        self.listeners.iter().position(|listener| listener.open && listener.addr == addr)
    }

    pub(super) fn accept(&mut self, addr: SocketAddr) -> io::Result<(LinkId, SocketAddr)> {
        self.interrupted()?;
        let index = self.listener_at(addr).ok_or_else(|| io::Error::from_raw_os_error(EINVAL))?;
        if self.listeners[index].shut_down {
            return Err(io::Error::from_raw_os_error(EINVAL));
        }
        let mut error = self.accept_errors.pop_front();
        if self.rng.happens(self.faults.accept_error) {
            error = Some(ACCEPT_ERRORS[self.rng.size_below(ACCEPT_ERRORS.len())]);
        }
        if let Some(error) = error {
            self.note(1, error as u64);
            return Err(io::Error::from_raw_os_error(error));
        }
        let blocks = self.rng.happens(self.faults.accept_blocks);
        let due = self.now + self.delay();
        let listener = &mut self.listeners[index];
        if blocks && !listener.queue.is_empty() {
            listener.edge = Some(due);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let id = listener.queue.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        self.links[id].server = ServerEnd::Open;
        self.note(2, id as u64);
        Ok((id, self.links[id].peer_addr))
    }

    pub(super) fn register(&mut self, id: LinkId, token: Token) -> io::Result<()> {
        if self.rng.happens(self.faults.register_refused) {
            let error = if self.rng.happens(128) { ENOSPC } else { ENOMEM };
            return Err(io::Error::from_raw_os_error(error));
        }
        self.links[id].token = Some(token);
        self.owe(id, Change::HungUp); // what is so already is told too, armed or not
        Ok(())
    }

    pub(super) fn read(&mut self, id: LinkId, into: &mut [u8]) -> io::Result<usize> {
        self.interrupted()?;
        let result = self.read_some(id, into);
        self.note(3, *result.as_ref().unwrap_or(&usize::MAX) as u64);
        if let Ok(count) = result {
            self.traffic.0 += count as u64;
        }
        result
    }

    fn read_some(&mut self, id: LinkId, into: &mut [u8]) -> io::Result<usize> {
        let (blocks, short) =
            (self.rng.happens(self.faults.read_blocks), self.rng.happens(self.faults.short_read));
        let link = &mut self.links[id];
        if link.queue.is_empty() {
            if let Some(error) = link.error.take() {
                return Err(io::Error::from_raw_os_error(error));
            }
            if link.is_reset || link.fin_at_server {
                return Ok(0);
            }
        }
        if link.queue.is_empty() || blocks {
            link.read_armed = true;
            if !link.queue.is_empty() {
                self.owe(id, Change::Readable);
            }
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut count = link.queue.len().min(into.len());
        if short {
            count = 1 + self.rng.size_below(count);
        }
        let asked = into.len();
        for (to, from) in into.iter_mut().zip(self.links[id].queue.drain(..count)) {
            *to = from;
        }
        if count < asked && !self.links[id].queue.is_empty() {
            self.owe(id, Change::Readable); // as if the rest had come a moment later
        }
        self.start_to_server(id);
        Ok(count)
    }

    pub(super) fn write(&mut self, id: LinkId, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.interrupted()?;
        let result = self.write_some(id, slices);
        self.note(4, *result.as_ref().unwrap_or(&usize::MAX) as u64);
        if let Ok(count) = result {
            self.traffic.1 += count as u64;
        }
        result
    }

    fn write_some(&mut self, id: LinkId, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let (blocks, short) =
            (self.rng.happens(self.faults.write_blocks), self.rng.happens(self.faults.short_write));
        let link = &mut self.links[id];
        if let Some(error) = link.error.take() {
            return Err(io::Error::from_raw_os_error(error));
        }
        if link.is_reset || link.server_finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let asked: usize = slices.iter().map(|slice| slice.len()).sum();
        let room = self.faults.buffer.saturating_sub(link.sending.len());
        if room == 0 || blocks {
            link.write_blocked = room == 0;
            link.write_armed = true;
            if room > 0 {
                self.owe(id, Change::Writable);
            }
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut count = asked.min(room);
        if short {
            count = 1 + self.rng.size_below(count);
        }
        let link = &mut self.links[id];
        link.sending.extend(slices.iter().flat_map(|slice| slice.iter()).take(count));
        link.write_blocked = count < asked && count == room;
        if count < asked && count < room {
            self.owe(id, Change::Writable); // as if there were room a moment later
        }
        self.start_to_peer(id);
        Ok(count)
    }

    pub(super) fn take_error(&mut self, id: LinkId) -> Option<io::Error> {
        self.links[id].error.take().map(io::Error::from_raw_os_error)
    }

    pub(super) fn finish(&mut self, id: LinkId) -> io::Result<()> {
        self.note(5, id as u64);
        if self.links[id].is_reset {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.links[id].server_finished = true;
        self.start_to_peer(id);
        Ok(())
    }

    pub(super) fn close(&mut self, id: LinkId) {
        self.note(6, id as u64);
        self.forget_token(id);
        let link = &mut self.links[id];
        if link.is_reset {
            link.server = ServerEnd::Gone;
        } else if link.queue.is_empty() {
            link.server = ServerEnd::Orphan;
            link.server_finished = true;
            self.start_to_peer(id);
            self.start_to_server(id);
        } else {
            self.send_reset(id); // unread input: RFC 2525, 2.17
        }
    }

    pub(super) fn reset(&mut self, id: LinkId) {
        self.note(7, id as u64);
        self.forget_token(id);
        self.send_reset(id);
    }

    fn forget_token(&mut self, id: LinkId) {
        self.links[id].edge = None;
        if let Some(token) = self.links[id].token.take()
            && self.faults.stale > 0
        {
            self.stale.push(token);
        }
    }

    fn send_reset(&mut self, id: LinkId) {
        let after = self.latency();
        let link = &mut self.links[id];
        link.server = ServerEnd::Gone;
        link.sending.clear();
        link.queue.clear();
        self.schedule(after, Action::ResetPeer(id));
    }

    // ---- the way between the ends

    fn segment(&mut self, most: usize) -> usize {
        match most {
            0 => 0,
            _ if self.faults.tiny_segments => 1 + self.rng.size_below(most.min(8)),
            _ if self.rng.happens(self.faults.split) => 1 + self.rng.size_below(most),
            _ => most,
        }
    }

    fn start_to_server(&mut self, id: LinkId) {
        let after = self.latency();
        let link = &mut self.links[id];
        if !link.to_server_scheduled && link.has_something_for_server() {
            link.to_server_scheduled = true;
            self.schedule(after, Action::ToServer(id));
        }
    }

    fn start_to_peer(&mut self, id: LinkId) {
        let after = self.latency();
        let link = &mut self.links[id];
        if !link.to_peer_scheduled && link.has_something_for_peer() {
            link.to_peer_scheduled = true;
            self.schedule(after, Action::ToPeer(id));
        }
    }

    fn arrive(&mut self, id: LinkId) {
        let addr = self.links[id].server_addr;
        if self.links[id].ending.is_some() {
            return; // it has given up
        }
        let Some(index) = self.listener_at(addr) else {
            self.links[id].ending = Some(Ending::Refused);
            return;
        };
        let due = self.now + self.delay();
        let listener = &mut self.listeners[index];
        if listener.queue.len() >= listener.backlog {
            self.schedule(SYN_AGAIN, Action::Arrive(id));
            return;
        }
        listener.queue.push_back(id);
        listener.edge.get_or_insert(due);
        self.links[id].server = ServerEnd::Queued;
        self.start_to_server(id);
    }

    fn move_to_server(&mut self, id: LinkId) {
        self.links[id].to_server_scheduled = false;
        let link = &self.links[id];
        match link.server {
            _ if link.vanished || link.peer_reset => return,
            ServerEnd::Connecting => return, // starts when it is connected
            ServerEnd::Orphan | ServerEnd::Gone if !link.outgoing.is_empty() => {
                // Nobody reads these bytes: what is still on its way back is lost with them.
                self.links[id].outgoing.clear();
                return self.send_reset(id);
            }
            _ => {}
        }
        let room = self.faults.buffer.saturating_sub(link.queue.len());
        let count = self.segment(link.outgoing.len().min(room));
        let link = &mut self.links[id];
        link.queue.extend(link.outgoing.drain(..count));
        let finishes = link.outgoing.is_empty() && link.peer_finished && !link.fin_at_server;
        link.fin_at_server |= finishes;
        if count > 0 || finishes {
            self.owe(id, Change::Readable);
        }
        if self.links[id].queue.len() < self.faults.buffer {
            self.start_to_server(id);
        }
    }

    fn move_to_peer(&mut self, id: LinkId) {
        self.links[id].to_peer_scheduled = false;
        let after = self.latency();
        let link = &self.links[id];
        if link.server == ServerEnd::Gone || link.vanished {
            return;
        }
        if link.peer_closed && !link.sending.is_empty() {
            self.schedule(after, Action::ResetServer(id));
            return;
        }
        let room = self.faults.buffer.saturating_sub(link.arrived.len());
        let count = self.segment(link.sending.len().min(room));
        let link = &mut self.links[id];
        link.arrived.extend(link.sending.drain(..count));
        link.fin_at_peer |= link.sending.is_empty() && link.server_finished;
        let free = self.faults.buffer - link.sending.len().min(self.faults.buffer);
        if link.write_blocked && free > self.faults.buffer / 3 {
            link.write_blocked = false;
            self.owe(id, Change::Writable);
        }
        self.start_peer_reading(id);
        if self.links[id].arrived.len() < self.faults.buffer {
            self.start_to_peer(id);
        }
    }

    fn start_peer_reading(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        let idle = link.arrived.is_empty() && !link.fin_at_peer;
        if link.reading_scheduled || idle || link.ending.is_some() {
            return;
        }
        let after = match link.reading {
            Reading::Never | Reading::Slowly { bytes: 0, .. } => return,
            Reading::AtOnce => 0,
            Reading::Slowly { every, .. } => u64::try_from(every.as_nanos()).unwrap_or(u64::MAX),
        };
        link.reading_scheduled = true;
        self.schedule(after, Action::PeerReads(id));
    }

    fn peer_reads(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        link.reading_scheduled = false;
        if link.vanished || link.ending.is_some() {
            return;
        }
        let most = match link.reading {
            Reading::Never => return,
            Reading::AtOnce => usize::MAX,
            Reading::Slowly { bytes, .. } => bytes,
        };
        let count = most.min(link.arrived.len());
        link.received.extend(link.arrived.drain(..count));
        if link.arrived.is_empty() && link.fin_at_peer {
            link.ending = Some(Ending::Fin);
        }
        self.start_peer_reading(id);
        self.start_to_peer(id);
    }

    fn reset_server(&mut self, id: LinkId) {
        let destroys = self.rng.happens(self.faults.reset_destroys);
        let link = &mut self.links[id];
        link.outgoing.clear();
        link.sending.clear();
        match link.server {
            ServerEnd::Queued | ServerEnd::Open if !link.is_reset => {
                const EPIPE: i32 = 32;
                const ECONNRESET: i32 = 104;
                link.is_reset = true;
                link.error = Some(if link.fin_at_server { EPIPE } else { ECONNRESET });
                if destroys {
                    link.queue.clear();
                }
                self.owe(id, Change::HungUp);
            }
            ServerEnd::Orphan => link.server = ServerEnd::Gone,
            _ => {}
        }
    }

    fn reset_peer(&mut self, id: LinkId) {
        let destroys = self.rng.happens(self.faults.reset_destroys);
        let link = &mut self.links[id];
        if link.ending.is_some() || link.vanished {
            return;
        }
        link.ending = Some(Ending::Reset);
        link.outgoing.clear();
        let arrived = std::mem::take(&mut link.arrived);
        if !destroys && link.reading != Reading::Never {
            link.received.extend(arrived);
        }
    }

    // ---- what peers do

    pub(super) fn dial(&mut self, from: SocketAddr, to: SocketAddr) -> LinkId {
        self.links.push(Link::new(from, to));
        let (id, after) = (self.links.len() - 1, self.latency());
        self.schedule(after, Action::Arrive(id));
        id
    }

    pub(super) fn peer_sends(&mut self, id: LinkId, bytes: &[u8]) -> bool {
        let link = &mut self.links[id];
        let can = !link.peer_finished && link.ending.is_none() && !link.vanished;
        if can {
            link.outgoing.extend(bytes);
            self.start_to_server(id);
        }
        can
    }

    pub(super) fn peer_finishes(&mut self, id: LinkId) {
        self.links[id].peer_finished = true;
        self.start_to_server(id);
    }

    pub(super) fn peer_closes(&mut self, id: LinkId) {
        if !self.links[id].arrived.is_empty() {
            return self.peer_resets(id);
        }
        self.peer_finishes(id);
        let link = &mut self.links[id];
        link.peer_closed = true;
        link.ending.get_or_insert(Ending::Own);
    }

    pub(super) fn peer_resets(&mut self, id: LinkId) {
        let after = self.latency();
        let link = &mut self.links[id];
        if matches!(link.ending, None | Some(Ending::Fin)) {
            link.ending = Some(Ending::Own);
            link.peer_closed = true;
            link.peer_reset = true;
            link.outgoing.clear();
            self.schedule(after, Action::ResetServer(id));
        }
    }

    pub(super) fn set_reading(&mut self, id: LinkId, reading: Reading) {
        self.links[id].reading = reading;
        self.start_peer_reading(id);
    }

    /// How many sockets the server holds, its listeners aside.
    pub(super) fn open_sockets(&self) -> usize {
        self.links.iter().filter(|link| link.server == ServerEnd::Open).count()
    }
}

fn event(token: Token, hung_up: bool) -> Event {
    Event { token, readable: true, writable: hung_up, more_follows: hung_up, hung_up }
}
