//! Taking nobody in for a while.

use super::Reactor;
use crate::error::Error;
use crate::handler::Handler;
use crate::net::{Net, Token};

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
    CloseListeners,
}

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Takes nobody in from now on, until [`resume`](Self::resume). Who is connected is served as before. To
    /// suspend in the other way while suspended changes to that way, as far as that can be: what was closed
    /// stays closed.
    pub fn suspend(&mut self, how: Suspension) {
        self.is_suspended = true;
        if how == Suspension::CloseListeners {
            self.acceptors.iter_mut().for_each(|acceptor| acceptor.listener = None);
        }
        log::info!("suspended: nobody new is taken in");
    }

    /// Goes on taking newcomers in. Also listens again where a listener has died.
    ///
    /// # Errors
    /// [`Error::Listen`] for the first address that the system refuses, most often because another process
    /// listens there now. The others are back, and to resume once more tries those again that are not.
    /// [`Error::Stopped`] if the reactor has stopped or drains.
    pub fn resume(&mut self) -> Result<(), Error> {
        if self.is_shut_down || self.is_draining() {
            return Err(Error::Stopped);
        }
        self.is_suspended = false;
        let mut result = Ok(());
        for (index, acceptor) in (0..).zip(&mut self.acceptors) {
            if acceptor.listener.is_some() {
                continue;
            }
            let addr = acceptor.addr;
            match self.net.listen(addr, &acceptor.options, Token::Listener(index)) {
                Ok((listener, _)) => acceptor.listens_again(listener),
                Err(error) if result.is_ok() => result = Err(Error::refused(addr, error)),
                Err(_) => {}
            }
        }
        log::info!("resumed: newcomers are taken in again");
        result
    }
}
