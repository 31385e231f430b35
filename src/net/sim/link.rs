//! A simulated connection with both its ends.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::net::{Event, Token};

/// The receiver of an edge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    pub(super) by: usize,
    pub(super) token: Token,
}

/// How a peer reads the bytes of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As soon as they arrive. The default.
    AtOnce,
    /// At most a given number of bytes at a time, at regular intervals.
    Slowly {
        /// How many bytes it reads at once, at most. 0 is the same as [`Never`](Self::Never).
        bytes: usize,
        /// The interval between two reads.
        every: Duration,
    },
    /// Not at all. Bytes that arrive stay in the peer's socket buffer until it is full.
    Never,
}

/// How an address answers an outbound connection of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The connection is accepted. [`World::dialled`](super::World::dialled) returns its [`Peer`](super::Peer).
    Accept,
    /// The connection is refused: ECONNREFUSED. The default of each address.
    Refuse,
    /// There is no answer. After two minutes the system gives up (tcp(7), `tcp_syn_retries`): ETIMEDOUT.
    Silence,
    /// There is no route: connect(2) fails at once with ENETUNREACH.
    Unreachable,
}

/// An attempt of the server to open an outbound connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialAttempt {
    /// The address.
    pub addr: SocketAddr,
    /// The time of the attempt, since the world began.
    pub at: Duration,
    /// If a system call failed at once: its name and the error number.
    pub failed: Option<(&'static str, i32)>,
    /// How often the reactor had waited before, for events or for time to pass. If two attempts have the same number,
    /// the reactor has not waited between them. Counted only in a world with one reactor.
    pub waits: u64,
}

/// How a connection has ended for its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The peer has read all bytes and the server's FIN.
    Fin,
    /// The server has reset the connection.
    Reset,
    /// No listener was there, or the backlog was full for two minutes.
    Refused,
    /// The peer has closed or reset the connection.
    Own,
}

/// The server's end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerEnd {
    /// The SYN of the peer is on its way.
    Connecting,
    /// The SYN of the server is on its way.
    Calling,
    /// In the listener's backlog.
    Queued,
    /// The server holds the socket.
    Open,
    /// The server has closed the socket. The kernel still sends the bytes that it has taken.
    Orphan,
    /// The socket does not exist any more.
    Gone,
}

/// A connection and the bytes on their way. They move `outgoing` → `queue` to the server, and `sending` → `arrived` →
/// `received` to the peer.
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
    /// Bytes that reach the peer now are answered with a RST.
    pub(super) peer_closed: bool,
    /// The peer has sent a RST: no FIN follows.
    pub(super) peer_reset: bool,
    /// The peer neither sends nor receives anything any more.
    pub(super) vanished: bool,
    pub(super) fin_at_peer: bool,
    pub(super) ending: Option<Ending>,

    pub(super) server: ServerEnd,
    /// How often the SYN of the peer found the backlog full.
    pub(super) syns: u32,
    pub(super) queue: VecDeque<u8>,
    pub(super) sending: VecDeque<u8>,
    /// A FIN follows the bytes in `sending`.
    pub(super) server_finished: bool,
    pub(super) fin_at_server: bool,
    pub(super) is_reset: bool,
    /// `SO_ERROR`: the error number that the next call returns and clears.
    pub(super) error: Option<i32>,

    /// The reactor that watches the link, and the token that it uses.
    pub(super) watched: Option<Watched>,
    /// When the edge that is owed may be delivered.
    pub(super) edge: Option<u64>,
    /// A read or a write has returned `WouldBlock` since the last event.
    pub(super) read_armed: bool,
    pub(super) write_armed: bool,
    /// A write found less room than it needed: an edge is owed when there is room.
    pub(super) write_blocked: bool,

    pub(super) to_server_scheduled: bool,
    pub(super) to_peer_scheduled: bool,
    /// The `plan` of the scheduled read.
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

    /// The event that reports the state of the socket, if there is anything to report. Like epoll_wait, it reports the
    /// whole state, not only the changes.
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
