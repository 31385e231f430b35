//! The interface to the operating system: everything that a reactor needs from it, including the clock.
//!
//! The reactor is generic over [`Net`] and names no socket type, so that the same code runs on the kernel's network
//! ([`Os`]) and on a network in memory.

mod options;
mod os;
#[cfg(feature = "sim")]
pub mod sim;
mod transfer;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

pub(crate) use options::ListenOn;
pub(crate) use options::ListenerConfig;
pub use options::{ConnectOptions, ListenOptions};
pub(crate) use os::Os;

use crate::step_error::StepError;

mod sealed {
    /// Seals [`Net`](super::Net): only this crate implements it, so methods can be added.
    pub trait Sealed {}

    /// The operations on a connected socket that do not depend on its network.
    pub trait Socket {
        fn local_addr(&self) -> super::io::Result<super::SocketAddr>;

        fn set_no_delay(&self, no_delay: bool) -> super::io::Result<()>;

        fn set_keep_alive(&self, after: Option<super::Duration>) -> super::io::Result<()>;
    }
}
pub(crate) use sealed::Socket;

/// A network and its clock.
///
/// All methods except [`poll`](Self::poll) return at once. They fail like the system calls of the same name, also with
/// [`ErrorKind::WouldBlock`](io::ErrorKind::WouldBlock) and [`ErrorKind::Interrupted`](io::ErrorKind::Interrupted).
///
/// This trait is sealed. It is public only so that the type of a reactor can be named.
pub trait Net: sealed::Sealed {
    /// A listening socket.
    type Listener;
    /// A connected socket.
    type Stream: sealed::Socket;

    /// Whether a read or write of fewer bytes than requested has used up the readiness. Then an edge follows when there
    /// is more. True for epoll (epoll(7), question 9) and kqueue. On other systems mio promises an edge only after
    /// `WouldBlock`.
    fn partial_means_blocked(&self) -> bool;

    /// The current time. Monotonic.
    fn now(&self) -> Instant;

    /// How many descriptors the process may have open. `None` if there is no limit.
    fn descriptor_limit(&self) -> Option<usize>;

    /// Returns the waker, which wakes [`poll`](Self::poll) from another thread.
    fn waker(&self) -> std::sync::Arc<dyn Wake>;

    /// Waits for events for at most `timeout`, or without limit if it is `None`. Readiness is reported by edges: once,
    /// when it begins.
    ///
    /// # Errors
    /// As epoll_wait(2). Then there are no events.
    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()>;

    /// Passes the events of the last [`poll`](Self::poll) to `mark`. Returns whether they were all that was pending.
    fn events(&self, mark: impl FnMut(Event)) -> bool;

    /// Listens on an address, registers the socket under a token, and returns its address. With port 0 the system
    /// chooses the port.
    ///
    /// # Errors
    /// The system call that failed, and its error.
    fn listen(
        &mut self,
        addr: SocketAddr,
        config: &ListenerConfig,
        token: Token,
    ) -> Result<(Self::Listener, SocketAddr), StepError>;

    /// Checks that an inherited socket is a listening TCP socket, and returns its address.
    ///
    /// # Errors
    /// A text that says what is wrong with the socket.
    fn addr_of_inherited(listener: &TcpListener) -> Result<SocketAddr, String>;

    /// Takes over an inherited socket that listens already, and registers it under a token.
    ///
    /// # Errors
    /// The system call that failed, and its error.
    fn adopt(
        &mut self,
        listener: TcpListener,
        config: &ListenerConfig,
        token: Token,
    ) -> Result<Self::Listener, StepError>;

    /// Takes one connection from the backlog of a listener. It is not registered yet.
    ///
    /// # Errors
    /// As accept(2).
    fn accept(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Begins to connect to an address. The connection is not registered yet.
    ///
    /// # Errors
    /// The system call that failed, and its error. A connection that is in progress is not an error.
    fn connect(
        &mut self,
        addr: SocketAddr,
        options: &ConnectOptions,
    ) -> Result<Self::Stream, StepError>;

    /// Whether a connection in progress is established. Called after an event.
    ///
    /// # Errors
    /// As connect(2): why the connection failed.
    fn is_connected(&mut self, stream: &mut Self::Stream) -> io::Result<bool>;

    /// Registers a connection under a token, for events of both directions, until it is closed.
    ///
    /// # Errors
    /// As epoll_ctl(2).
    fn register(&mut self, stream: &mut Self::Stream, token: Token) -> io::Result<()>;

    /// Reads bytes that have arrived. 0 means that the peer has finished.
    ///
    /// # Errors
    /// As recv(2).
    fn read(&mut self, stream: &mut Self::Stream, into: &mut [u8]) -> io::Result<usize>;

    /// Sends as many bytes as the kernel takes, in one system call. `slices` is not empty.
    ///
    /// # Errors
    /// As send(2).
    fn write(&mut self, stream: &mut Self::Stream, slices: &[io::IoSlice<'_>])
    -> io::Result<usize>;

    /// Returns and clears the pending error of the socket (`SO_ERROR`, socket(7)).
    ///
    /// # Errors
    /// As getsockopt(2).
    fn take_error(&mut self, stream: &mut Self::Stream) -> io::Result<Option<io::Error>>;

    /// Sends a FIN. Reading is still possible.
    ///
    /// # Errors
    /// As shutdown(2).
    fn shutdown_write(&mut self, stream: &mut Self::Stream) -> io::Result<()>;

    /// Closes the socket. The kernel still sends the bytes that it has taken.
    fn close(&mut self, stream: Self::Stream);

    /// Closes the socket and sends a RST. Bytes that the kernel has taken are discarded.
    fn reset(&mut self, stream: Self::Stream);
}

/// Wakes a waiting [`Net::poll`], or makes the next one return at once.
pub trait Wake: Send + Sync {
    /// Wakes the poll.
    ///
    /// # Errors
    /// As the system call, on Linux write(2) on an eventfd.
    fn wake(&self) -> io::Result<()>;
}

/// The socket that an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The listener with this index.
    Listener(u16),
    /// The connection in this slot.
    Conn {
        /// The slot.
        slot: u32,
        /// Tells successive connections in the slot apart.
        tag: u32,
    },
}

/// An edge. It is a hint, not a proof: only the results of read and write are relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The socket that it is about.
    pub token: Token,
    /// A read may return bytes, the end, or an error.
    pub readable: bool,
    /// A write may take bytes, or fail for good.
    pub writable: bool,
    /// Something follows the bytes that a short read returns: a FIN, a reset, or an urgent mark, at which recv(2)
    /// stops.
    pub more_follows: bool,
    /// Both directions are shut down, or an error is pending. Then `readable` and `writable` are set too.
    pub hung_up: bool,
}
