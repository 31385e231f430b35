//! How a reactor stops accepting for a while.

/// What happens to new connections while a reactor is suspended.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Reactor, Suspension, services::Echo};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// let addr = reactor.listen("127.0.0.1:0")?;
/// reactor.suspend(Suspension::CloseListeners);
/// assert!(std::net::TcpStream::connect(addr).is_err());
/// reactor.resume()?;
/// assert!(std::net::TcpStream::connect(addr).is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suspension {
    /// They wait in the kernel's backlog, and are accepted when the reactor resumes.
    KeepListening,
    /// The kernel refuses them (ECONNREFUSED), so that clients can try another server at once. Connections in the
    /// backlog are reset. The reactor remembers the addresses and ports of its listeners, but does not reserve them:
    /// another process may take them meanwhile.
    ///
    /// An [inherited](crate::Reactor::listen_from_std) listener stays open, as with
    /// [`KeepListening`](Self::KeepListening). Another process may hold the same socket. Then a close here would not
    /// refuse connections, and the reactor could not open the listener again.
    CloseListeners,
}
