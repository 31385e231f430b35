//! Where newcomers come in, and not for a while.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};

use super::Reactor;
use super::accept::Acceptor;
use crate::error::Error;
use crate::handler::Handler;
use crate::net::{ListenOptions, Net, StepError, Token};

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
    /// Listens on an address with the default [`ListenOptions`], and returns it; with port 0 it is
    /// the one that the system chose. A reactor can listen on several.
    ///
    /// # Errors
    /// As [`listen_with`](Self::listen_with).
    pub fn listen(&mut self, addr: impl ToSocketAddrs) -> Result<SocketAddr, Error> {
        self.listen_with(addr, &ListenOptions::new())
    }

    /// Listens on an address. If a name stands for several, the first that works is taken. An IPv6 address of one
    /// link names its interface by its number (`[fe80::1%2]:7000`).
    ///
    /// On Linux this calls
    /// 1. `socket`, with `SOCK_CLOEXEC`, and `fcntl` for `O_NONBLOCK`
    /// 2. `setsockopt`, for what `options` says
    /// 3. `bind`
    /// 4. `listen`
    /// 5. `epoll_ctl`
    /// 6. `getsockname`, for the port
    ///
    /// # Errors
    /// [`Error::Resolve`] if there is no such address; [`Error::Listen`] if the system refuses: the
    /// address is in use or not this machine's, or the port is below 1024 and needs a privilege;
    /// [`Error::Stopped`] after the reactor has stopped or has begun to drain; [`Error::Config`] if it is not
    /// the first of its [`Server`](crate::Server).
    pub fn listen_with(
        &mut self,
        addr: impl ToSocketAddrs,
        options: &ListenOptions,
    ) -> Result<SocketAddr, Error> {
        if self.is_shut_down || self.is_draining() {
            return Err(Error::Stopped);
        }
        if self.index != 0 {
            return Err(Error::Config("only the first reactor of a server listens".to_owned()));
        }
        let mut refusal = Error::Resolve(io::Error::new(ErrorKind::NotFound, "no address"));
        for addr in addr.to_socket_addrs().map_err(Error::Resolve)? {
            match self.listen_on(addr, options) {
                Ok(addr) => return Ok(addr),
                Err(error) => refusal = Error::refused(addr, error),
            }
        }
        Err(refusal)
    }

    fn listen_on(
        &mut self,
        addr: SocketAddr,
        options: &ListenOptions,
    ) -> Result<SocketAddr, StepError> {
        let index = u16::try_from(self.acceptors.len()).map_err(|_| StepError {
            step: "register",
            source: io::Error::other("a reactor has at most 65,536 listeners"),
        })?;
        let (listener, addr) = self.net.listen(addr, options, Token::Listener(index))?;
        self.acceptors.push(Acceptor::new(listener, addr, options.clone()));
        self.has_listeners_again();
        log::info!("listening on {addr}");
        Ok(addr)
    }

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
        self.has_listeners_again();
        log::info!("resumed: newcomers are taken in again");
        result
    }
}
