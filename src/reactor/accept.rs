//! Taking connections in.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::arrivals::Arrival;
use super::callback::guarded;
use super::owned::Others;
use super::rate_limited_log::Notice;
use super::turn_timer::Served;
use super::{Reactor, Socket, uninterrupted};
use crate::close_reason::CloseReason;
use crate::config::Overflow;
use crate::conn::Conn;
use crate::core::accept_fault::AcceptFault;
use crate::core::admission::{Idle, Refusal, Verdict};
use crate::core::backoff::Backoff;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::{ListenerConfig, Net, Token};
use crate::table::Listener;
use crate::view::View;

/// A listener and what is known of it.
pub(super) struct Acceptor<L> {
    /// `None` once it has died under us, and while it is suspended and closed.
    pub(super) listener: Option<L>,
    /// What its connections keep of it, and its number in the table.
    pub(super) known_as: Arc<Listener>,
    pub(super) number: u16,
    pub(super) config: ListenerConfig,
    /// Another process may hold the socket too: to close it here does not end its listening.
    pub(super) is_inherited: bool,
    /// A connection may wait in the backlog: sticky until `accept` says `WouldBlock`.
    ready: bool,
    /// For lack of descriptors or memory, or after many failures in a row, it waits until then.
    paused_until: Option<Instant>,
    backoff: Backoff,
}

impl<L> Acceptor<L> {
    pub(super) fn new(
        listener: L,
        known_as: Arc<Listener>,
        number: u16,
        config: ListenerConfig,
        is_inherited: bool,
    ) -> Self {
        Self {
            listener: Some(listener),
            known_as,
            number,
            config,
            is_inherited,
            ready: false,
            paused_until: None,
            backoff: Backoff::new(),
        }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.known_as.addr
    }

    /// As if it had never been gone.
    pub(super) fn listens_again(&mut self, listener: L) {
        (self.listener, self.ready, self.paused_until) = (Some(listener), false, None);
    }

    pub(super) fn mark_ready(&mut self) {
        self.ready = true;
    }

    pub(super) fn is_ready(&self) -> bool {
        let may_accept = self.ready && self.paused_until.is_none() && self.listener.is_some();
        may_accept && !self.known_as.is_full()
    }

    /// Whether no connection is known to wait in the backlog, and the acceptor is not paused.
    fn is_quiet(&self) -> bool {
        !self.ready && self.paused_until.is_none()
    }

    pub(super) fn is_alive(&self) -> bool {
        self.listener.is_some()
    }

    pub(super) fn resumes_at(&self) -> Option<Instant> {
        self.paused_until.filter(|_| self.listener.is_some())
    }

    fn resume_if_due(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
    }
}

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Whether connections may wait in a backlog, or an acceptor waits for descriptors or memory.
    #[inline]
    pub(super) fn has_acceptor_to_see_to(&self) -> bool {
        !self.is_suspended && !self.acceptors.iter().flatten().all(Acceptor::is_quiet)
    }

    pub(super) fn accept(&mut self) {
        if !self.has_acceptor_to_see_to() {
            return;
        }
        let now = self.table.clock.now();
        self.acceptors.iter_mut().flatten().for_each(|acceptor| acceptor.resume_if_due(now));
        let count = self.acceptors.len();
        // Each is the first in its turn: with one place free, that is the only one to get it.
        let first = self.table.stats.get().turns as usize;
        for index in (0..count).map(|step| first.wrapping_add(step) % count) {
            self.accept_from(index, self.table.config().budgets.accepts, false);
        }
        self.judge_what_is_lost();
    }

    /// Accepts the connections in the backlog before the listeners are closed: for their peers they are established.
    pub(super) fn empty_the_backlog(&mut self) {
        for index in 0..if self.is_suspended { 0 } else { self.acceptors.len() } {
            let Some(acceptor) = &mut self.acceptors[index] else { continue };
            (acceptor.ready, acceptor.paused_until) = (true, None); // there is no later try
            let backlog = acceptor.config.most_waiting();
            self.accept_from(index, backlog, true);
        }
    }

    /// Accepts within a budget. `on_open` may send, so the backlog waits while the memory budget is used up, unless
    /// this is its last chance.
    fn accept_from(&mut self, index: usize, budget: usize, is_last_chance: bool) {
        for _ in 0..budget {
            let Some(acceptor) = &mut self.acceptors[index] else { return };
            let has_memory = is_last_chance || !self.table.memory.is_used_up();
            if !acceptor.is_ready() || !has_memory || self.table.admission().keeps_waiting() {
                return;
            }
            let Some(listener) = &mut acceptor.listener else { return };
            match uninterrupted(|| self.net.accept(listener)) {
                Ok((stream, peer)) => {
                    acceptor.backoff.reset();
                    self.judge(index, stream, peer);
                }
                Err(error) => self.accept_failed(index, error),
            }
        }
        let is_ready = self.acceptors[index].as_ref().is_some_and(Acceptor::is_ready);
        self.table.stats.count().exhausted.accepts += u64::from(is_ready);
    }

    fn accept_failed(&mut self, index: usize, error: io::Error) {
        let Some(acceptor) = &mut self.acceptors[index] else { return };
        let (addr, now) = (acceptor.addr(), self.table.clock.now());
        match AcceptFault::of(&error) {
            AcceptFault::Empty => {
                acceptor.ready = false;
                acceptor.backoff.reset(); // the failures before have emptied the backlog
            }
            AcceptFault::Failed => {
                self.table.stats.count().accepts_failed += 1;
                let pause = acceptor.backoff.failed();
                acceptor.paused_until = pause.and_then(|pause| now.checked_add(pause));
                let error = error.to_string();
                self.log.add(Notice::AcceptFailed { listener: addr, error }, now);
            }
            AcceptFault::NoRoom => {
                self.table.stats.count().accepts_starved += 1;
                acceptor.paused_until = now.checked_add(acceptor.backoff.starved());
                let error = error.to_string();
                self.log.add(Notice::AcceptStarved { listener: addr, error }, now);
            }
            AcceptFault::Dead => {
                self.table.stats.count().listeners_lost += 1;
                (acceptor.listener, acceptor.ready) = (None, false);
                log::error!(
                    "cannot accept on {addr} any more: {error}; its connections are still served"
                );
                self.lost = Some((addr, error));
            }
        }
    }

    /// Decides about a new connection, before it has any state.
    fn judge(&mut self, index: usize, stream: N::Stream, peer: SocketAddr) {
        self.table.stats.count().accepted += 1;
        let now = self.table.clock.now();
        let mut admission = self.table.admission();
        let verdict = match admission.judge(peer.ip(), now) {
            Verdict::Admit => Ok((admission.choose(|index| self.is_stalled(index)), false)),
            Verdict::AdmitInsteadOfIdlest => {
                let replacing = admission.replaces_the_idlest(|index| self.idle(index));
                replacing.map(|index| (index, true)).ok_or(Refusal::Full)
            }
            Verdict::Refuse(refusal) => Err(refusal),
        };
        if let Ok((to, evicts)) = verdict {
            admission.opened(to, peer.ip(), evicts);
        }
        drop(admission);
        match verdict {
            Ok((to, evicts)) => self.hand_over(to, index, stream, peer, evicts),
            Err(refusal) => self.refuse(stream, peer, refusal),
        }
    }

    /// Whether another reactor has not come back from its turn for a while.
    fn is_stalled(&self, index: usize) -> bool {
        index != self.index && self.group.remotes[index].is_stalled(self.table.clock.passed())
    }

    /// For how long the idlest connection of a reactor is silent: of others, as of the end of their last turn.
    fn idle(&self, index: usize) -> Option<Idle> {
        let now = self.table.clock.passed();
        if index != self.index {
            return self.group.remotes[index].idle(now);
        }
        let (_, since) = self.table.idlest()?;
        Some(Idle { silence: now.saturating_sub(since), is_stalled: false })
    }

    /// Gives a new connection to its reactor. If that reactor has stopped, this one serves it.
    fn hand_over(
        &mut self,
        to: usize,
        acceptor: usize,
        stream: N::Stream,
        peer: SocketAddr,
        evicts: bool,
    ) {
        let acceptor = self.acceptors[acceptor].as_ref().expect("it has just accepted");
        let number = acceptor.number;
        acceptor.known_as.enters();
        if to == self.index {
            return self.take_in(number, stream, peer, evicts);
        }
        let listener = Arc::clone(&acceptor.known_as);
        let arrival = Arrival { stream, peer, listener, evicts };
        if let Some(Arrival { stream, .. }) = self.arrivals.hand_over(&self.group, to, arrival) {
            self.table.admission().moves(to, self.index, peer.ip(), evicts);
            self.take_in(number, stream, peer, evicts);
        }
    }

    /// A connection that another reactor has let in is here.
    pub(super) fn take_in_arrival(&mut self, arrival: Arrival<N::Stream>) {
        match self.table.number_of(&arrival.listener) {
            Some(number) => self.take_in(number, arrival.stream, arrival.peer, arrival.evicts),
            None => {
                self.turn_away(arrival);
                self.table.stats.count().unregistered += 1;
            }
        }
    }

    /// Resets a connection that was on its way to this reactor.
    pub(super) fn turn_away(&mut self, arrival: Arrival<N::Stream>) {
        self.net.reset(arrival.stream);
        self.table.admission().arrived(self.index, arrival.peer.ip(), arrival.evicts);
        self.table.frees_a_place_of(arrival.peer, &arrival.listener);
    }

    /// A connection that was let in is here.
    fn take_in(&mut self, listener: u16, stream: N::Stream, peer: SocketAddr, evicts: bool) {
        let is_too_many = self.table.admission().arrived(self.index, peer.ip(), evicts);
        if evicts && is_too_many && !self.evict_idlest() {
            self.table.frees_a_place(peer, listener);
            return self.refuse(stream, peer, Refusal::Full);
        }
        self.admit(listener, stream, peer);
    }

    /// Frees a slot before the turn ends, so that the count is never above the limit. That is safe here:
    /// all events have been marked and all work is done, so that nothing in this turn still means the
    /// slot's former tenant, and what is left on the lists carries its serial number.
    ///
    /// Returns whether there was one to evict.
    fn evict_idlest(&mut self) -> bool {
        let Some((id, _)) = self.table.idlest() else { return false };
        self.table.stats.count().evicted += 1;
        let peer = self.table.entry(id).peer();
        self.log.add(Notice::Evicted { peer }, self.table.clock.now());
        self.table.entry(id).cut(CloseReason::Evicted, false);
        self.bury(id);
        true
    }

    fn refuse(&mut self, mut stream: N::Stream, peer: SocketAddr, refusal: Refusal) {
        let stats = self.table.stats.count();
        *match refusal {
            Refusal::Full => &mut stats.refused_full,
            Refusal::PerIp => &mut stats.refused_per_ip,
            Refusal::Rate => &mut stats.refused_rate,
        } += 1;
        self.log.add(Notice::Refused { peer, refusal }, self.table.clock.now());
        match (&self.table.config().overflow, refusal) {
            (Overflow::Reject { last_words }, Refusal::Full) if !last_words.is_empty() => {
                // A new socket has room for them. If the write fails, the peer has gone.
                let _ = self.net.write(&mut stream, &[IoSlice::new(last_words)]);
                self.net.close(stream);
            }
            // No FIN handshake and no TIME_WAIT for refused connections.
            _ => self.net.reset(stream),
        }
    }

    fn admit(&mut self, listener: u16, mut stream: N::Stream, peer: SocketAddr) {
        let id = self.table.next_id();
        let token = Token::Conn { slot: id.slot, tag: id.tag() };
        if let Err(error) = self.net.register(&mut stream, token) {
            self.table.stats.count().unregistered += 1;
            let error = error.to_string();
            self.log.add(Notice::Unregistered { peer, error }, self.table.clock.now());
            self.net.reset(stream);
            self.table.frees_a_place(peer, listener);
            return;
        }
        self.table.insert(peer, listener);
        self.put_socket(id.slot as usize, Socket { stream, state: None });
        self.open(id);
    }

    /// A connection is there. Its handler sees it now.
    pub(super) fn open(&mut self, id: ConnId) {
        log::debug!("{id} {} opened", self.table.entry(id).peer());
        self.serves(Served::Conn(id));
        let handler = &mut self.program.handler;
        let (table, log) = (&mut self.table, &mut self.log);
        let owned = &mut Others::all(&mut self.program.sockets);
        let state = guarded(table, log, id, |table| {
            handler.on_open(&mut Conn::new(View { table, owned, current: Some(id) }, id))
        });
        self.table.stats.count().refused += u64::from(state.is_none());
        if let Some(socket) = &mut self.program.sockets[id.slot as usize] {
            socket.state = state;
        }
        self.begin(id);
        self.table.watch(id);
        self.relist(id);
        self.tell_late(id);
    }

    /// `None` if it has none: one that is being opened has none between two addresses.
    pub(super) fn take_socket(&mut self, id: ConnId) -> Option<Socket<N::Stream, H::State>> {
        self.program.sockets.get_mut(id.slot as usize)?.take()
    }

    pub(super) fn put_socket(&mut self, slot: usize, socket: Socket<N::Stream, H::State>) {
        if slot >= self.program.sockets.len() {
            self.program.sockets.resize_with(slot + 1, || None);
        }
        self.program.sockets[slot] = Some(socket);
    }
}
