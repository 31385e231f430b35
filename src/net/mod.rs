//! The seam to the operating system: all that a reactor needs of it, the clock included.
//!
//! The reactor is generic over [`Net`] and names no socket type of its own, so that the same code
//! runs on the kernel's network ([`Os`]) and on one that lives in memory.

mod options;
mod os;
#[cfg(feature = "sim")]
pub mod sim;

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{fmt, io};

pub use options::{ConnectOptions, ListenOptions};
pub(crate) use os::Os;

mod sealed {
    /// Keeps [`Net`](super::Net) to this crate, so that it can grow.
    pub trait Sealed {}

    /// What a connected socket can be asked and told, whatever its network is.
    pub trait Socket {
        fn local_addr(&self) -> super::io::Result<super::SocketAddr>;

        fn set_no_delay(&self, no_delay: bool) -> super::io::Result<()>;

        fn set_keep_alive(&self, after: Option<super::Duration>) -> super::io::Result<()>;
    }
}
pub(crate) use sealed::Socket;

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
    type Stream: sealed::Socket;

    /// Whether a read or write that moved less than it was asked to has used up the readiness, and
    /// an edge follows when there is more. True for epoll (epoll(7), question 9) and kqueue; elsewhere
    /// mio promises it only after `WouldBlock`.
    fn partial_means_blocked(&self) -> bool;

    /// The time now. Monotonic.
    fn now(&self) -> Instant;

    /// How many descriptors the process may have open, if there is a limit.
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
    ) -> Result<(Self::Listener, SocketAddr), StepError>;

    /// Takes one connection out of the listener's queue. It is not yet watched.
    ///
    /// # Errors
    /// As accept(2).
    fn accept(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Begins to connect to an address. It is not yet watched.
    ///
    /// # Errors
    /// The system call that failed, and how. That the connection is under way is none.
    fn connect(
        &mut self,
        addr: SocketAddr,
        options: &ConnectOptions,
    ) -> Result<Self::Stream, StepError>;

    /// Whether a connection that was begun is there now. To be asked after an event.
    ///
    /// # Errors
    /// As connect(2): why there will be none.
    fn is_connected(&mut self, stream: &mut Self::Stream) -> io::Result<bool>;

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
    fn shutdown_write(&mut self, stream: &mut Self::Stream) -> io::Result<()>;

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

/// Which of several system calls failed.
#[derive(Debug)]
pub struct StepError {
    /// The system call.
    pub step: &'static str,
    /// What it said.
    pub source: io::Error,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.step, self.source)
    }
}

impl std::error::Error for StepError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
