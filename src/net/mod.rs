//! The seam to the operating system: all that a reactor needs of it, the clock included.
//!
//! The reactor is generic over [`Net`] and names no socket type of its own, so that the same code
//! runs on the kernel's network ([`Os`]) and on one that lives in memory.

mod os;
#[cfg(feature = "sim")]
pub mod sim;

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{fmt, io};

pub use os::Os;

mod sealed {
    /// Keeps [`Net`](super::Net) to this crate, so that it can grow.
    pub trait Sealed {}
}

/// A network and its clock.
///
/// Everything here returns at once, [`poll`](Self::poll) aside. The calls fail as the system calls
/// of the same name do, [`ErrorKind::WouldBlock`](io::ErrorKind::WouldBlock) and
/// [`ErrorKind::Interrupted`](io::ErrorKind::Interrupted) included.
///
/// This trait is sealed: it is here so that a reactor's type can be named, not to be implemented.
pub trait Net: sealed::Sealed {
    /// A socket that listens.
    type Listener;
    /// A socket that is connected.
    type Stream;

    /// Whether a read or write that moved less than it was asked to has used up the readiness, and
    /// an edge follows when there is more. True for epoll (epoll(7), question 9) and kqueue; elsewhere
    /// mio promises it only after `WouldBlock`.
    fn partial_means_blocked(&self) -> bool;

    /// The time now. Monotonic.
    fn now(&self) -> Instant;

    /// How many descriptors the process may have open, if there is a limit and it can be known.
    fn descriptor_limit(&self) -> Option<usize>;

    /// What wakes [`poll`](Self::poll) from another thread.
    fn waker(&self) -> std::sync::Arc<dyn Wake>;

    /// Waits for events and appends them; for ever if `timeout` is `None`. Readiness is told by
    /// edges: once, when it begins. Returns whether these are all that there are now.
    ///
    /// # Errors
    /// As epoll_wait(2).
    fn poll(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<bool>;

    /// Listens on an address, and says which: port 0 lets the system choose.
    ///
    /// # Errors
    /// The system call that failed, and how.
    fn listen(
        &mut self,
        addr: SocketAddr,
        options: &ListenOptions,
        token: Token,
    ) -> Result<(Self::Listener, SocketAddr), ListenError>;

    /// Takes one connection out of the listener's queue. It is not yet watched.
    ///
    /// # Errors
    /// As accept(2).
    fn accept(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Has events for this stream reported under this token, both directions, until it is closed.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    fn register(&mut self, stream: &mut Self::Stream, token: Token) -> io::Result<()>;

    /// Reads what has arrived. 0 means that the peer has finished.
    ///
    /// # Errors
    /// As recv(2).
    fn read(&mut self, stream: &mut Self::Stream, into: &mut [u8]) -> io::Result<usize>;

    /// Sends as much as the kernel takes, in one system call. `slices` is not empty.
    ///
    /// # Errors
    /// As send(2).
    fn write(&mut self, stream: &mut Self::Stream, slices: &[io::IoSlice<'_>])
    -> io::Result<usize>;

    /// The error that is pending on the socket, which is taken away by asking (`SO_ERROR`, socket(7)).
    ///
    /// # Errors
    /// As getsockopt(2).
    fn take_error(&mut self, stream: &mut Self::Stream) -> io::Result<Option<io::Error>>;

    /// Sends a FIN; reading goes on.
    ///
    /// # Errors
    /// As shutdown(2).
    fn finish(&mut self, stream: &mut Self::Stream) -> io::Result<()>;

    /// Closes the socket; what the kernel holds of it is still sent.
    fn close(&mut self, stream: Self::Stream);

    /// Closes the socket and sends a RST; what the kernel holds is thrown away.
    fn reset(&mut self, stream: Self::Stream);
}

/// Wakes a [`Net::poll`] that waits, or makes the next one return at once.
pub trait Wake: Send + Sync {
    /// Wakes it.
    ///
    /// # Errors
    /// As the system's means to do so, write(2) on an eventfd for Linux.
    fn wake(&self) -> io::Result<()>;
}

/// Whom an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The listener with this index.
    Listener(u16),
    /// The connection in this slot.
    Conn {
        /// The slot.
        slot: u32,
        /// Tells the slot's tenants apart.
        tag: u32,
    },
}

/// An edge: a hint to try, never a proof. Only what read and write return is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whom it is about.
    pub token: Token,
    /// A read may bring something: bytes, the end, or an error.
    pub readable: bool,
    /// A write may be taken, or fail for good.
    pub writable: bool,
    /// Something stands behind the bytes that a short read returns: a FIN, a reset, an urgent mark
    /// (at which recv(2) stops).
    pub more_follows: bool,
    /// Both directions are down, or an error is pending. Then it is readable and writable too.
    pub hung_up: bool,
}

/// Why [`Net::listen`] failed.
#[derive(Debug)]
pub struct ListenError {
    /// The system call.
    pub step: &'static str,
    /// What it said.
    pub source: io::Error,
}

/// How to listen. What it sets, it sets once on the listener: Linux lets accepted sockets inherit
/// it, so it costs no system call a connection.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, ListenOptions, Reactor, services::Echo};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// let options = ListenOptions::new().backlog(128);
/// let addr = reactor.listen_with("127.0.0.1:0", &options)?;
/// assert_ne!(addr.port(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    backlog: u32,
    reuse_address: bool,
    reuse_port: bool,
    only_v6: bool,
    no_delay: bool,
    keep_alive: Option<Duration>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ListenOptions {
    /// The defaults, as each setter names them.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            backlog: 1024,
            reuse_address: true,
            reuse_port: false,
            only_v6: false,
            no_delay: true,
            keep_alive: None,
        }
    }

    /// How many connections the kernel holds ready for `accept`. Default 1024. The kernel lowers it
    /// to its own limit in silence (listen(2): `/proc/sys/net/core/somaxconn`).
    #[must_use]
    pub const fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    pub(crate) fn most_waiting(&self) -> usize {
        usize::try_from(self.backlog).unwrap_or(usize::MAX)
    }

    /// Whether to bind though connections of an earlier server are still in TIME_WAIT
    /// (`SO_REUSEADDR`, socket(7)). Default true: a server that was killed can start again at once.
    #[must_use]
    pub const fn reuse_address(mut self, reuse: bool) -> Self {
        self.reuse_address = reuse;
        self
    }

    /// Whether other sockets that say so too may listen on the same port (`SO_REUSEPORT`, socket(7)); the
    /// kernel gives each newcomer to one of them by a hash of its address. Default false. For several
    /// processes on one port; the reactors of a [`Server`](crate::Server) need it not. Where the system does
    /// not know it, it changes nothing.
    #[must_use]
    pub const fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Whether a listener on an IPv6 wildcard leaves IPv4 alone (`IPV6_V6ONLY`, ipv6(7)). Default
    /// false: `[::]:7000` takes both.
    #[must_use]
    pub const fn only_v6(mut self, only: bool) -> Self {
        self.only_v6 = only;
        self
    }

    /// Whether small messages are sent at once (`TCP_NODELAY`, tcp(7)). Default true: what a callback
    /// sends is gathered already, so waiting for more gains nothing.
    #[must_use]
    pub const fn no_delay(mut self, no_delay: bool) -> Self {
        self.no_delay = no_delay;
        self
    }

    /// After how much silence the kernel probes whether the peer is still there (`SO_KEEPALIVE` and
    /// `TCP_KEEPIDLE`, tcp(7)); `None` for never. Default `None`. Rounded down to seconds, at least 1.
    #[must_use]
    pub const fn keep_alive(mut self, after: Option<Duration>) -> Self {
        self.keep_alive = after;
        self
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed", self.step)
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
