//! One simulated connection, both its ends.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::net::{Event, Token};

/// Whom an edge is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    pub(super) by: usize,
    pub(super) token: Token,
}

/// How a peer reads what the server sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As soon as it arrives. The default.
    AtOnce,
    /// At most so many bytes, again and again after so much time.
    Slowly {
        /// The most it reads at once. 0 is like never.
        bytes: usize,
        /// The time between two reads.
        every: Duration,
    },
    /// Not at all; what arrives stays in its socket's buffer until that is full.
    Never,
}

/// What becomes of a connection that the server opens outward, at the address that it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Somebody takes it: a [`Peer`](super::Peer), which
    /// [`World::called`](super::World::called) lists.
    Takes,
    /// Nobody listens: ECONNREFUSED. What an address does of which nothing is said.
    Refuses,
    /// Nothing is heard of it. After two minutes the system gives up (tcp(7), `tcp_syn_retries`):
    /// ETIMEDOUT.
    KeepsSilent,
    /// There is no way to it: connect(2) fails at once, with ENETUNREACH.
    IsUnreachable,
}

/// An address that the server has begun to connect to, or has tried to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The address.
    pub addr: SocketAddr,
    /// When, since the world began.
    pub at: Duration,
    /// The system call that failed at once, if one did, and its error number.
    pub failed: Option<(&'static str, i32)>,
    /// How often the reactor had waited before, for events or for time to pass. If this is the same for two
    /// calls of one reactor, it has not waited between them. Only counted in a world with one reactor.
    pub waits: u64,
}

/// How a connection has ended for its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It has read everything and the server's FIN.
    Fin,
    /// The server has reset it.
    Reset,
    /// Nobody listened, or the backlog was full for two minutes.
    Refused,
    /// It has closed or reset the connection itself.
    Own,
}

/// The server's end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerEnd {
    /// The peer's SYN is on its way.
    Connecting,
    /// The server's own SYN is.
    Calling,
    /// In the listener's backlog.
    Queued,
    /// The server holds the socket.
    Open,
    /// The server has closed the socket; the kernel still sends what it had taken.
    Orphan,
    /// Nothing is left of it.
    Gone,
}

/// A connection and what is on its way. Bytes move `outgoing` → `queue` to the server and `sending` →
/// `arrived` → `received` to the peer.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) peer_addr: SocketAddr,
    pub(super) server_addr: SocketAddr,

    pub(super) outgoing: VecDeque<u8>,
    pub(super) arrived: VecDeque<u8>,
    pub(super) received: Vec<u8>,
    pub(super) reading: Reading,
    /// Counts the changes of `reading`.
    pub(super) plan: u32,
    /// A FIN follows the outgoing bytes.
    pub(super) peer_finished: bool,
    /// Whatever reaches the peer now is answered with a RST.
    pub(super) peer_closed: bool,
    /// It has sent a RST: no FIN follows.
    pub(super) peer_reset: bool,
    /// Nothing comes from it or is taken by it any more.
    pub(super) vanished: bool,
    pub(super) fin_at_peer: bool,
    pub(super) ending: Option<Ending>,

    pub(super) server: ServerEnd,
    /// How often its SYN found the backlog full.
    pub(super) syns: u32,
    pub(super) queue: VecDeque<u8>,
    pub(super) sending: VecDeque<u8>,
    /// A FIN follows the bytes that are being sent.
    pub(super) server_finished: bool,
    pub(super) fin_at_server: bool,
    pub(super) is_reset: bool,
    /// `SO_ERROR`: the number that the next call to ask takes away.
    pub(super) error: Option<i32>,

    /// Which reactor has it watched, and how it wants it called.
    pub(super) watched: Option<Watched>,
    /// When the edge that is owed may be told.
    pub(super) edge: Option<u64>,
    /// A read or a write has said `WouldBlock` since the last event.
    pub(super) read_armed: bool,
    pub(super) write_armed: bool,
    /// A write found less room than it wanted: an edge is owed when there is.
    pub(super) write_blocked: bool,

    pub(super) to_server_scheduled: bool,
    pub(super) to_peer_scheduled: bool,
    /// By which plan of reading.
    pub(super) reading_scheduled: Option<u32>,
}

impl Link {
    pub(super) fn new(peer_addr: SocketAddr, server_addr: SocketAddr) -> Self {
        Self {
            peer_addr,
            server_addr,
            outgoing: VecDeque::new(),
            arrived: VecDeque::new(),
            received: Vec::new(),
            reading: Reading::AtOnce,
            plan: 0,
            peer_finished: false,
            peer_closed: false,
            peer_reset: false,
            vanished: false,
            fin_at_peer: false,
            ending: None,
            server: ServerEnd::Connecting,
            syns: 0,
            queue: VecDeque::new(),
            sending: VecDeque::new(),
            server_finished: false,
            fin_at_server: false,
            is_reset: false,
            error: None,
            watched: None,
            edge: None,
            read_armed: true,
            write_armed: true,
            write_blocked: false,
            to_server_scheduled: false,
            to_peer_scheduled: false,
            reading_scheduled: None,
        }
    }

    pub(super) fn has_something_for_server(&self) -> bool {
        let is_there = !matches!(self.server, ServerEnd::Connecting | ServerEnd::Calling);
        let flows = is_there && !self.vanished && !self.peer_reset;
        let fin = self.peer_finished && !self.fin_at_server;
        flows && !self.is_reset && (!self.outgoing.is_empty() || fin)
    }

    pub(super) fn has_something_for_peer(&self) -> bool {
        let fin = self.server_finished && !self.fin_at_peer;
        let flows = self.server != ServerEnd::Gone && !self.vanished;
        flows && !self.is_reset && (!self.sending.is_empty() || fin)
    }

    pub(super) fn is_watched_by(&self, by: usize) -> bool {
        self.watched.is_some_and(|watched| watched.by == by)
    }

    /// The event that tells how the socket is now, if there is anything to tell: as epoll_wait does,
    /// it says all that is so, not only what has changed.
    pub(super) fn tell(&mut self) -> Option<Event> {
        let token = self.watched?.token;
        if self.server == ServerEnd::Calling && !self.is_reset {
            return None;
        }
        let hung_up = self.is_reset || (self.fin_at_server && self.server_finished);
        let more_follows = hung_up || self.fin_at_server;
        let readable = more_follows || !self.queue.is_empty();
        let writable = hung_up || !self.write_blocked;
        self.read_armed &= !readable;
        self.write_armed &= !writable;
        (readable || writable).then_some(Event { token, readable, writable, more_follows, hung_up })
    }
}
