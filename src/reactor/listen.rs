//! Listeners: they are added, suspended and closed.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;

use super::Reactor;
use super::accept::Acceptor;
use crate::addr::Addr;
use crate::error::Error;
use crate::handler::Handler;
use crate::net::{ListenOptions, Net, Os, StepError, Token};
use crate::suspension::Suspension;
use crate::table::Listener;

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Listens on an address with the default [`ListenOptions`], and returns the address. With port 0 the system
    /// chooses the port. A reactor can listen on several addresses.
    ///
    /// The result is a [`SocketAddr`] and not an [`Addr`], because the caller has named an IP address and needs the
    /// port.
    ///
    /// # Errors
    /// As [`listen_with`](Self::listen_with).
    pub fn listen(&mut self, addr: impl ToSocketAddrs) -> Result<SocketAddr, Error> {
        self.listen_with(addr, &ListenOptions::new())
    }

    /// Listens on an address, and returns it. If a name has several addresses, the first one that works is used. A
    /// link-local IPv6 address names its interface by number (`[fe80::1%2]:7000`).
    ///
    /// On Linux this calls
    /// 1. `socket`, with `SOCK_CLOEXEC`, and `fcntl` for `O_NONBLOCK`
    /// 2. `setsockopt`, as `options` says
    /// 3. `bind`
    /// 4. `listen`
    /// 5. `epoll_ctl`
    /// 6. `getsockname`, for the port
    ///
    /// # Errors
    /// - [`Error::Resolve`] if the name has no address.
    /// - [`Error::Listen`] if the system refuses: the address is in use or does not belong to this machine, or a port
    ///   below 1024 needs a privilege.
    /// - [`Error::Stopped`] if the reactor has stopped or drains.
    /// - [`Error::Config`] if this is not the first reactor of its [`Server`](crate::Server), or if the
    ///   [overrides](ListenOptions::overrides) contradict each other or the reactor's [`Config`](crate::Config). Then
    ///   no socket is made.
    pub fn listen_with(
        &mut self,
        addr: impl ToSocketAddrs,
        options: &ListenOptions,
    ) -> Result<SocketAddr, Error> {
        self.may_listen(options)?;
        let mut refusal = Error::Resolve(io::Error::new(ErrorKind::NotFound, "no address"));
        for addr in addr.to_socket_addrs().map_err(Error::Resolve)? {
            let make = |net: &mut N, token| net.listen(addr, options, token);
            match self.add_listener(options, false, make) {
                Ok(addr) => return Ok(addr),
                Err(error) => refusal = Error::refused(addr, error),
            }
        }
        Err(refusal)
    }

    fn may_listen(&self, options: &ListenOptions) -> Result<(), Error> {
        if self.is_shut_down || self.is_draining() {
            return Err(Error::Stopped);
        }
        if self.index != 0 {
            return Err(Error::Config("only the first reactor of a server listens".to_owned()));
        }
        self.table.config().validate_overrides(&options.overrides)
    }

    fn add_listener(
        &mut self,
        options: &ListenOptions,
        is_inherited: bool,
        make: impl FnOnce(&mut N, Token) -> Result<(N::Listener, SocketAddr), StepError>,
    ) -> Result<SocketAddr, StepError> {
        const TOO_MANY: &str = "a reactor has at most 65,535 listeners";
        let too_many = || StepError { step: "register", source: io::Error::other(TOO_MANY) };
        let free = self.acceptors.iter().position(Option::is_none);
        let place = free.unwrap_or(self.acceptors.len());
        let index = u16::try_from(place).map_err(|_| too_many())?;
        let (listener, addr) = make(&mut self.net, Token::Listener(index))?;
        let known_as = Arc::new(Listener::new(addr, options));
        let number = self.table.number_of(&known_as).ok_or_else(too_many)?;
        if place == self.acceptors.len() {
            self.acceptors.push(None);
        }
        let acceptor = Acceptor::new(listener, known_as, number, options.clone(), is_inherited);
        self.acceptors[place] = Some(acceptor);
        self.has_listeners_again();
        log::info!("listening on {addr}");
        Ok(addr)
    }

    /// Stops listening on an address that [`listen`](Self::listen) has returned. Returns whether there was a listener
    /// on this address. If there were several, all are closed. Other listeners stay open.
    ///
    /// Connections from this listener stay open too. They keep its address, its [tag](ListenOptions::tag) and its
    /// [overrides](ListenOptions::overrides).
    ///
    /// From now on the kernel refuses connections to this address. Connections in the backlog are reset, although their
    /// peers may believe that they are connected, and may have sent something. To accept these first, make a
    /// [`turn`](Self::turn) with a timeout of zero before. To close all listeners, [drain](Self::drain) the reactor
    /// instead. If another process holds the socket of an [inherited](Self::listen_from_std) listener, that socket
    /// continues to listen.
    ///
    /// The reactor can listen on the address again at once. [`resume`](Self::resume) does not open a closed listener
    /// again, and [`drain_without_listeners`](crate::Config::drain_without_listeners) does not count it as dead.
    ///
    /// [`Handle::close_listener`](crate::Handle::close_listener) does the same from another thread.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), readyloop::Error> {
    /// use std::net::TcpStream;
    /// use readyloop::{Config, Reactor, services::Echo};
    ///
    /// let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// let old = reactor.listen("127.0.0.1:0")?;
    /// let new = reactor.listen("127.0.0.1:0")?;
    /// assert!(reactor.close_listener(old));
    /// assert!(TcpStream::connect(old).is_err() && TcpStream::connect(new).is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn close_listener(&mut self, addr: impl Into<Addr>) -> bool {
        let addr = addr.into();
        let mut was_there = false;
        for acceptor in &mut self.acceptors {
            if let Some(closed) = acceptor.take_if(|acceptor| addr == acceptor.addr()) {
                closed.known_as.close();
                was_there = true;
            }
        }
        if was_there {
            log::info!("no longer listening on {addr}");
            self.judge_what_is_lost();
        }
        was_there
    }

    /// Stops accepting connections until [`resume`](Self::resume). Open connections are served as before. A second call
    /// changes the kind of suspension, but listeners that were closed stay closed.
    pub fn suspend(&mut self, how: Suspension) {
        self.is_suspended = true;
        if how == Suspension::CloseListeners {
            let acceptors = self.acceptors.iter_mut().flatten();
            let own = acceptors.filter(|acceptor| !acceptor.is_inherited);
            own.for_each(|acceptor| acceptor.listener = None);
        }
        log::info!("suspended: new connections are not accepted");
    }

    /// Accepts connections again. If a listener has been closed by [`suspend`](Self::suspend) or has died, it is
    /// replaced by a new socket on the same address.
    ///
    /// # Errors
    /// [`Error::Listen`] for the first address that the system refuses, most often because another process listens
    /// there now. The other listeners are open again. Another call tries the missing ones again. [`Error::Stopped`] if
    /// the reactor has stopped or drains.
    pub fn resume(&mut self) -> Result<(), Error> {
        if self.is_shut_down || self.is_draining() {
            return Err(Error::Stopped);
        }
        self.is_suspended = false;
        let mut result = Ok(());
        for (index, acceptor) in (0..).zip(&mut self.acceptors) {
            let Some(acceptor) = acceptor.as_mut().filter(|acceptor| !acceptor.is_alive()) else {
                continue;
            };
            let addr = acceptor.addr();
            match self.net.listen(addr, &acceptor.options, Token::Listener(index)) {
                Ok((listener, _)) => acceptor.listens_again(listener),
                Err(error) if result.is_ok() => result = Err(Error::refused(addr, error)),
                Err(_) => {}
            }
        }
        self.has_listeners_again();
        log::info!("resumed: new connections are accepted");
        result
    }
}

impl<H: Handler> Reactor<H> {
    /// Accepts connections from a socket that listens already. The socket may come from a service manager such as
    /// systemd ([socket activation](https://www.freedesktop.org/software/systemd/man/sd_listen_fds.html)), from another
    /// process, or from this program, if it has bound the socket before it gave up its privileges. Returns the address
    /// of the socket.
    ///
    /// Of `options`, the [tag](ListenOptions::tag), the [overrides](ListenOptions::overrides),
    /// [`no_delay`](ListenOptions::no_delay) and [`keep_alive`](ListenOptions::keep_alive) are applied. The other
    /// options were decided when the socket was made, but two of them are still used:
    /// - [`backlog`](ListenOptions::backlog): a [drain](Self::drain) accepts at most this many waiting connections. Set
    ///   it if the backlog of the socket is above its default.
    /// - [`reuse_port`](ListenOptions::reuse_port): if the socket dies, [`resume`](Self::resume) makes a new one. Set
    ///   it if the socket has this option.
    ///
    /// If another process also holds the socket, it continues to listen after this reactor has closed it: new
    /// connections wait in its backlog for the next process that accepts. So a service that systemd restarts loses no
    /// connection.
    ///
    /// On Linux this calls
    /// 1. `getsockopt`, for `SO_ACCEPTCONN`
    /// 2. `getsockname`
    /// 3. `fcntl`, for `FD_CLOEXEC` and `O_NONBLOCK`
    /// 4. `setsockopt`, as `options` says
    /// 5. `epoll_ctl`
    ///
    /// # Errors
    /// [`Error::Config`] if the socket does not listen (it is only bound, or was shut down), or if it is not a TCP
    /// socket. [`Error::Listen`] if the system refuses one of the calls. Otherwise as
    /// [`listen_with`](Self::listen_with).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use readyloop::{Config, ListenOptions, Reactor, services::Echo};
    ///
    /// // The crate `listenfd` gives the sockets of systemd: `ListenFd::from_env().take_tcp_listener(0)`.
    /// let inherited = std::net::TcpListener::bind("127.0.0.1:0")?;
    ///
    /// let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// let addr = reactor.listen_from_std(inherited, &ListenOptions::new())?;
    /// println!("listening on {addr}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn listen_from_std(
        &mut self,
        listener: TcpListener,
        options: &ListenOptions,
    ) -> Result<SocketAddr, Error> {
        self.may_listen(options)?;
        let addr = Os::addr_of_listener(&listener).map_err(Error::Config)?;
        let make = |net: &mut Os, token| net.adopt(listener, options, token).map(|it| (it, addr));
        self.add_listener(options, true, make).map_err(|error| Error::refused(addr, error))
    }
}
