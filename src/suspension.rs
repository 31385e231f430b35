//! How a reactor stops accepting for a while.

/// What becomes of newcomers while a reactor takes nobody in.
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
    /// They wait in the kernel's backlog, and are taken in afterwards.
    KeepListening,
    /// They are refused by the kernel (ECONNREFUSED), so that they can try elsewhere at once; those who are
    /// in the backlog are reset. The address and the number of the port are kept for the return, but not
    /// reserved: another process may take them meanwhile.
    ///
    /// A listener that was [inherited](crate::Reactor::listen_from_std) stays open, as with
    /// [`KeepListening`](Self::KeepListening): the process that made it may hold its socket too, so that closing it
    /// here would not refuse anyone, and the reactor could not get it back.
    CloseListeners,
}
