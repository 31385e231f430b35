//! Taking connections in.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use super::callback::guarded;
use super::{Reactor, Socket};
use crate::conn::Conn;
use crate::core::accept_fault::{AcceptFault, PAUSE};
use crate::handler::Handler;
use crate::net::{Net, Token};

/// A listener and what is known of it.
pub(super) struct Acceptor<L> {
    /// `None` once it has died under us.
    listener: Option<L>,
    /// Somebody may wait: sticky until `accept` says `WouldBlock`.
    ready: bool,
    /// For want of descriptors or memory it waits until then.
    paused_until: Option<Instant>,
    /// It has been in want since its last success, and said so.
    complained: bool,
}

impl<L> Acceptor<L> {
    pub(super) fn new(listener: L) -> Self {
        Self { listener: Some(listener), ready: false, paused_until: None, complained: false }
    }

    pub(super) fn mark_ready(&mut self) {
        self.ready = true;
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready && self.paused_until.is_none() && self.listener.is_some()
    }

    pub(super) fn resumes_at(&self) -> Option<Instant> {
        self.paused_until
    }

    fn resume_if_due(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
    }
}

impl<H: Handler, N: Net> Reactor<H, N> {
    pub(super) fn accept(&mut self) {
        for index in 0..self.acceptors.len() {
            self.acceptors[index].resume_if_due(self.table.now);
            self.accept_from(index);
        }
    }

    fn accept_from(&mut self, index: usize) {
        for _ in 0..self.table.config.accept_budget {
            let acceptor = &mut self.acceptors[index];
            if !acceptor.is_ready() {
                return;
            }
            let Some(listener) = &mut acceptor.listener else { return };
            match self.net.accept(listener) {
                Ok((stream, peer)) => {
                    acceptor.complained = false;
                    self.admit(index, stream, peer);
                }
                Err(error) => self.accept_failed(index, &error),
            }
        }
    }

    fn accept_failed(&mut self, index: usize, error: &io::Error) {
        let acceptor = &mut self.acceptors[index];
        let addr = self.table.listeners[index];
        match AcceptFault::of(error) {
            AcceptFault::Empty => {
                acceptor.ready = false;
                return;
            }
            AcceptFault::Retry => log::debug!("a connection to {addr} was lost: {error}"),
            AcceptFault::Pause => {
                acceptor.paused_until = self.table.now.checked_add(PAUSE);
                if !acceptor.complained {
                    acceptor.complained = true;
                    log::warn!(
                        "cannot accept on {addr} for now: {error}; trying again every {PAUSE:?}"
                    );
                }
            }
            AcceptFault::Dead => {
                acceptor.listener = None;
                log::error!(
                    "cannot accept on {addr} any more: {error}; its connections are still served"
                );
            }
        }
        self.table.stats.accept_errors += 1;
    }

    fn admit(&mut self, listener: usize, mut stream: N::Stream, peer: SocketAddr) {
        self.table.stats.accepted += 1;
        let id = self.table.next_id();
        let token = Token::Conn { slot: id.slot, tag: id.tag() };
        if let Err(error) = self.net.register(&mut stream, token) {
            self.table.stats.unregistered += 1;
            log::warn!("{peer} was turned away, as the system does not watch it: {error}");
            self.net.reset(stream);
            return;
        }
        let listener = u16::try_from(listener).expect("listen_on counts listeners in 16 bits");
        self.table.insert(peer, listener);
        self.put_socket(id.slot as usize, Socket { stream, state: None });
        log::debug!("{id} {peer} opened");
        let handler = &mut self.handler;
        let state =
            guarded(&mut self.table, id, |table| handler.on_open(&mut Conn::new(table, id)));
        self.table.stats.refused += u64::from(state.is_none());
        if let Some(socket) = &mut self.sockets[id.slot as usize] {
            socket.state = state;
        }
        self.settle(id);
        self.relist(id);
    }

    fn put_socket(&mut self, slot: usize, socket: Socket<N::Stream, H::State>) {
        if slot >= self.sockets.len() {
            self.sockets.resize_with(slot + 1, || None);
        }
        self.sockets[slot] = Some(socket);
    }
}
