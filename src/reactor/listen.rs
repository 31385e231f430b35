//! Where connections come in: listeners are added, suspended and closed.

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
    /// Listens on an address with the default [`ListenOptions`], and returns it; with port 0 it is
    /// the one that the system chose. A reactor can listen on several.
    ///
    /// It returns a [`SocketAddr`] rather than an [`Addr`]: what was asked for is an IP address and a port, and
    /// the port is what the caller wants to know.
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
    /// the first of its [`Server`](crate::Server), or if what `options` [override](ListenOptions::overrides)
    /// contradicts itself or the reactor's [`Config`](crate::Config). Then no socket is made.
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

    /// Stops listening on an address, the one that [`listen`](Self::listen) has returned. The other listeners go on,
    /// and so do the connections that came by this one: they keep its address, its
    /// [tag](ListenOptions::tag) and its [overrides](ListenOptions::overrides). Returns whether there was a listener
    /// on this address; if there were several, all are closed.
    ///
    /// Newcomers are refused by the kernel from now on. Those that wait in the backlog are reset: their peers may
    /// believe that they are connected, and have sent something. To let them in before, call this after a
    /// [`turn`](Self::turn) without waiting; or [drain](Self::drain), if all listeners are to be closed. If another
    /// process holds the socket of an [inherited](Self::listen_from_std) listener, that goes on to listen.
    ///
    /// The address can be listened on again at once. A listener that was closed here counts as closed on purpose:
    /// [`resume`](Self::resume) does not bring it back, and
    /// [`drain_without_listeners`](crate::Config::drain_without_listeners) does not count it as one that has died.
    ///
    /// [`Handle::close_listener`](crate::Handle::close_listener) does so from another thread.
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

    /// Accepts no connections from now on, until [`resume`](Self::resume). Connections that are open are served as
    /// before. To suspend in the other way while suspended changes to that way, as far as that can be: what was
    /// closed stays closed.
    pub fn suspend(&mut self, how: Suspension) {
        self.is_suspended = true;
        if how == Suspension::CloseListeners {
            let acceptors = self.acceptors.iter_mut().flatten();
            let own = acceptors.filter(|acceptor| !acceptor.is_inherited);
            own.for_each(|acceptor| acceptor.listener = None);
        }
        log::info!("suspended: nobody new is taken in");
    }

    /// Goes on accepting connections. Also listens again where a listener has died, with a new socket.
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
        log::info!("resumed: newcomers are taken in again");
        result
    }
}

impl<H: Handler> Reactor<H> {
    /// Accepts connections from a socket that listens already: one that a service manager such as systemd has
    /// made ([socket activation](https://www.freedesktop.org/software/systemd/man/sd_listen_fds.html)), that
    /// another process hands over, or that this program has bound before it gave up its privileges. Returns its
    /// address.
    ///
    /// Of `options`, the [tag](ListenOptions::tag), the [overrides](ListenOptions::overrides),
    /// [`no_delay`](ListenOptions::no_delay) and [`keep_alive`](ListenOptions::keep_alive) are applied. The others
    /// were decided when the socket was made. Name its [`backlog`](ListenOptions::backlog) if it is above 1024: a
    /// [drain](Self::drain) accepts so many of those that wait. Name [`reuse_port`](ListenOptions::reuse_port) if
    /// the socket has it: [`resume`](Self::resume) makes a new socket if this one has died.
    ///
    /// A socket that another process holds too goes on to listen when this reactor closes it: newcomers wait in
    /// its backlog for the next one that accepts. So a service that systemd starts anew loses none of them.
    ///
    /// On Linux this calls
    /// 1. `getsockopt`, for `SO_ACCEPTCONN`
    /// 2. `getsockname`
    /// 3. `fcntl`, for `FD_CLOEXEC` and `O_NONBLOCK`
    /// 4. `setsockopt`, for what `options` says
    /// 5. `epoll_ctl`
    ///
    /// # Errors
    /// [`Error::Config`] if the socket does not listen: it is bound only, was shut down, or is none of TCP.
    /// [`Error::Listen`] if the system refuses one of the calls. Else as [`listen_with`](Self::listen_with).
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
