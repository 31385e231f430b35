//! Listeners: they are added, suspended and closed.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use super::Reactor;
use super::accept::Acceptor;
use crate::addr::Addr;
use crate::error::Error;
use crate::handler::Handler;
use crate::net::{ListenOn, ListenOptions, ListenerConfig, Net, Token};
use crate::step_error::StepError;
use crate::suspension::Suspension;
use crate::table::Listener;

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Listens on an address, and returns it. A reactor can listen on several addresses.
    ///
    /// The result is a [`SocketAddr`] and not an [`Addr`], because the caller has named an IP address and needs the
    /// port.
    ///
    /// On Linux this calls
    /// 1. `socket`, with `SOCK_CLOEXEC`, and `fcntl` for `O_NONBLOCK`
    /// 2. `setsockopt`, as the options say
    /// 3. `bind`
    /// 4. `listen`
    /// 5. `epoll_ctl`
    /// 6. `getsockname`, for the port
    ///
    /// For an [inherited](ListenOptions::from_std) socket it calls `getsockopt` for `SO_ACCEPTCONN`, `getsockname`,
    /// `fcntl` for `FD_CLOEXEC` and `O_NONBLOCK`, `setsockopt` and `epoll_ctl`.
    ///
    /// # Errors
    /// - [`Error::Resolve`] if the name has no address.
    /// - [`Error::Listen`] if the system refuses: the address is in use or does not belong to this machine, or a port
    ///   below 1024 needs a privilege.
    /// - [`Error::Stopped`] if the reactor has stopped or drains.
    /// - [`Error::Config`] if the [overrides](ListenOptions::overrides) contradict each other or the reactor's
    ///   [`Config`](crate::Config), or if an inherited socket does not listen or is no TCP socket. Then no socket is
    ///   made.
    pub fn listen(&mut self, options: impl Into<ListenOptions>) -> Result<SocketAddr, Error> {
        let ListenOptions { on, config } = options.into();
        self.may_listen(&config)?;
        let addrs = match on {
            ListenOn::Addrs(addrs) => addrs.map_err(Error::Resolve)?,
            ListenOn::Inherited(listener) => {
                let addr = N::addr_of_inherited(&listener).map_err(Error::Config)?;
                let adopt = |net: &mut N, token| Ok((net.adopt(listener, &config, token)?, addr));
                let added = self.add_listener(&config, true, adopt);
                return added.map_err(|error| Error::refused(addr, error));
            }
        };
        let mut refusal = Error::Resolve(io::Error::new(ErrorKind::NotFound, "no address"));
        for addr in addrs {
            let make = |net: &mut N, token| net.listen(addr, &config, token);
            match self.add_listener(&config, false, make) {
                Ok(addr) => return Ok(addr),
                Err(error) => refusal = Error::refused(addr, error),
            }
        }
        Err(refusal)
    }

    /// Whether the reactor drains or has stopped: it opens no listener any more.
    fn is_past_listening(&self) -> bool {
        self.is_shut_down || self.is_draining()
    }

    fn may_listen(&self, config: &ListenerConfig) -> Result<(), Error> {
        if self.is_past_listening() {
            return Err(Error::Stopped);
        }
        if self.index != 0 {
            return Err(Error::Config("only the first reactor of a server listens".to_owned()));
        }
        self.table.config().validate_overrides(&config.overrides)
    }

    fn add_listener(
        &mut self,
        config: &ListenerConfig,
        is_inherited: bool,
        make: impl FnOnce(&mut N, Token) -> Result<(N::Listener, SocketAddr), StepError>,
    ) -> Result<SocketAddr, StepError> {
        const TOO_MANY: &str = "a reactor has at most 65,535 listeners";
        let too_many = || StepError { step: "register", source: io::Error::other(TOO_MANY) };
        let free = self.acceptors.iter().position(Option::is_none);
        let place = free.unwrap_or(self.acceptors.len());
        let index = u16::try_from(place).map_err(|_| too_many())?;
        let (listener, addr) = make(&mut self.net, Token::Listener(index))?;
        let known_as = Arc::new(Listener::new(addr, config));
        let number = self.table.number_of(&known_as).ok_or_else(too_many)?;
        if place == self.acceptors.len() {
            self.acceptors.push(None);
        }
        let acceptor = Acceptor::new(listener, known_as, number, config.clone(), is_inherited);
        self.acceptors[place] = Some(acceptor);
        self.has_listeners_again();
        log::info!("listening on {addr}");
        Ok(addr)
    }

    /// See [`Handle::close_listener`](crate::Handle::close_listener).
    pub(crate) fn close_listener(&mut self, addr: Addr) -> bool {
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

    /// See [`Handle::suspend`](crate::Handle::suspend).
    pub(crate) fn suspend(&mut self, how: Suspension) {
        self.is_suspended = true;
        if how == Suspension::CloseListeners {
            let acceptors = self.acceptors.iter_mut().flatten();
            let own = acceptors.filter(|acceptor| !acceptor.is_inherited);
            own.for_each(|acceptor| acceptor.listener = None);
        }
        log::info!("suspended: new connections are not accepted");
    }

    /// See [`Handle::resume`](crate::Handle::resume).
    pub(crate) fn resume(&mut self) -> Result<(), Error> {
        if self.is_past_listening() {
            return Err(Error::Stopped);
        }
        self.is_suspended = false;
        let mut result = Ok(());
        for (index, acceptor) in (0..).zip(&mut self.acceptors) {
            let Some(acceptor) = acceptor.as_mut().filter(|acceptor| !acceptor.is_alive()) else {
                continue;
            };
            let addr = acceptor.addr();
            match self.net.listen(addr, &acceptor.config, Token::Listener(index)) {
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
