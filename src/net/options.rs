//! Options of sockets.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::time::Duration;

use crate::config::Config;

/// Where and how to listen: an address or an inherited socket, with options.
///
/// An address alone converts to it, so that `listen("127.0.0.1:7000")` has the default options.
///
/// The options are set once on the listening socket. On Linux accepted sockets inherit them, so they cost no system
/// call per connection.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Echo, ListenOptions, Reactor};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// let addr = reactor.listen(ListenOptions::new("127.0.0.1:0").backlog(128))?;
/// assert_ne!(addr.port(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ListenOptions {
    pub(crate) on: ListenOn,
    pub(crate) config: ListenerConfig,
}

/// The address or the socket to listen on.
#[derive(Debug)]
pub(crate) enum ListenOn {
    /// The addresses for a new socket, or the error of the name resolution. The first address that works is used.
    Addrs(io::Result<Vec<SocketAddr>>),
    /// A socket that listens already.
    Inherited(TcpListener),
}

/// The options of a listener, without its address.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    pub(crate) backlog: u32,
    pub(crate) reuse_port: bool,
    pub(crate) only_v6: bool,
    pub(crate) no_delay: bool,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) tag: u64,
    pub(crate) overrides: Config,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            backlog: 1024,
            reuse_port: false,
            only_v6: false,
            no_delay: true,
            keep_alive: None,
            tag: 0,
            overrides: Config::new(),
        }
    }
}

impl ListenerConfig {
    pub(crate) fn most_waiting(&self) -> usize {
        usize::try_from(self.backlog).unwrap_or(usize::MAX)
    }
}

/// An address with the default options.
impl<A: ToSocketAddrs> From<A> for ListenOptions {
    fn from(addr: A) -> Self {
        Self::new(addr)
    }
}

impl ListenOptions {
    /// An address to listen on, with all options at their defaults. Each setter names its default.
    ///
    /// With port 0 the system chooses the port. A name is resolved here, which may block. If it has several addresses,
    /// the first one that works is used. A link-local IPv6 address names its interface by number (`[fe80::1%2]:7000`).
    #[must_use]
    pub fn new(addr: impl ToSocketAddrs) -> Self {
        let addrs = addr.to_socket_addrs().map(Iterator::collect);
        Self { on: ListenOn::Addrs(addrs), config: ListenerConfig::default() }
    }

    /// A socket that listens already. It may come from a service manager such as systemd ([socket
    /// activation](https://www.freedesktop.org/software/systemd/man/sd_listen_fds.html)), from another process, or from
    /// this program, if it has bound the socket before it gave up its privileges.
    ///
    /// The [tag](Self::tag), the [overrides](Self::overrides), [`no_delay`](Self::no_delay) and
    /// [`keep_alive`](Self::keep_alive) are applied. The other options were decided when the socket was made, but two
    /// of them are still used:
    /// - [`backlog`](Self::backlog): a [drain](crate::Handle::drain) accepts at most this many waiting connections. Set
    ///   it if the backlog of the socket is above 1024, the default of this option.
    /// - [`reuse_port`](Self::reuse_port): if the socket dies, [`resume`](crate::Handle::resume) makes a new one. Set
    ///   `reuse_port` if the socket has it.
    ///
    /// If another process also holds the socket, it continues to listen after this server has closed it: new
    /// connections wait in its backlog for the next process that accepts. So a service that systemd restarts loses no
    /// connection.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use readyloop::{Config, Echo, ListenOptions, Reactor};
    ///
    /// // The crate `listenfd` gives the sockets of systemd: `ListenFd::from_env().take_tcp_listener(0)`.
    /// let inherited = std::net::TcpListener::bind("127.0.0.1:0")?;
    ///
    /// let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// let addr = reactor.listen(ListenOptions::from_std(inherited))?;
    /// println!("listening on {addr}");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn from_std(listener: TcpListener) -> Self {
        Self { on: ListenOn::Inherited(listener), config: ListenerConfig::default() }
    }

    /// How many connections the kernel holds ready for `accept`. Default 1024. The kernel silently lowers a larger
    /// number to its own limit (listen(2): `/proc/sys/net/core/somaxconn`).
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.config.backlog = connections;
        self
    }

    /// Whether other sockets with this option may listen on the same port (`SO_REUSEPORT`, socket(7)). The kernel then
    /// passes each new connection to one of the listeners, by a hash of its addresses and ports. Default false. It
    /// serves several processes on one port. The reactors of a [`Server`](crate::Server) do not need it. It has no
    /// effect on systems without `SO_REUSEPORT`.
    #[must_use]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.config.reuse_port = reuse;
        self
    }

    /// Whether a listener on an IPv6 wildcard address accepts IPv6 only (`IPV6_V6ONLY`, ipv6(7)). Default false:
    /// `[::]:7000` accepts both, and `0.0.0.0:7000` is then in use. Set it to listen on both addresses with two
    /// listeners.
    #[must_use]
    pub fn only_v6(mut self, only: bool) -> Self {
        self.config.only_v6 = only;
        self
    }

    /// Whether small messages are sent at once (`TCP_NODELAY`, tcp(7)). Default true: the output of a callback is sent
    /// together anyway, so a delay gains nothing.
    #[must_use]
    pub fn no_delay(mut self, no_delay: bool) -> Self {
        self.config.no_delay = no_delay;
        self
    }

    /// The time without traffic after which the kernel sends keep-alive probes to the peer (`SO_KEEPALIVE` and
    /// `TCP_KEEPIDLE`, tcp(7)). `None` for never. Default `None`. Rounded down to seconds, and limited to the range
    /// that Linux accepts: from 1 to 32,767 seconds, about 9 hours (`MAX_TCP_KEEPIDLE`).
    #[must_use]
    pub fn keep_alive(mut self, after: Option<Duration>) -> Self {
        self.config.keep_alive = after;
        self
    }

    /// A number of the caller's choice, to tell listeners apart: a handler reads it with
    /// [`Conn::listener_tag`](crate::Conn::listener_tag). Default 0. Several listeners may have the same tag.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), readyloop::Error> {
    /// use readyloop::{Config, ListenOptions, Reactor, from_fn};
    ///
    /// const PUBLIC: u64 = 1;
    /// const ADMIN: u64 = 2;
    ///
    /// let handler = from_fn(|conn, input| {
    ///     match (conn.listener_tag(), input.take_line()?) {
    ///         (ADMIN, Some(b"stop")) => conn.reactor().stop(),
    ///         (_, Some(line)) => conn.send(line),
    ///         (_, None) => {}
    ///     }
    ///     Ok(())
    /// });
    /// let mut reactor = Reactor::new(Config::new(), handler)?;
    /// reactor.listen(ListenOptions::new("127.0.0.1:0").tag(PUBLIC))?;
    /// reactor.listen(ListenOptions::new("127.0.0.1:0").tag(ADMIN))?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn tag(mut self, tag: u64) -> Self {
        self.config.tag = tag;
        self
    }

    /// Deadlines and limits for the connections of this listener, in place of the reactor's. Default none:
    /// `Config::new()`.
    ///
    /// A setting that is set in this `Config` overrides the reactor's setting, even if it is set to its default. For an
    /// unset setting the reactor's applies, also after the reactor is [reconfigured](crate::Handle::reconfigure). These
    /// settings can be overridden:
    /// - [`first_byte_timeout`](Config::first_byte_timeout), [`idle_timeout`](Config::idle_timeout),
    ///   [`write_timeout`](Config::write_timeout), [`linger_timeout`](Config::linger_timeout),
    ///   [`max_age`](Config::max_age).
    /// - [`max_input`](Config::max_input), [`high_water`](Config::high_water), [`low_water`](Config::low_water),
    ///   [`queue_limit`](Config::queue_limit). If a later `reconfigure` makes them contradict each other, `high_water`
    ///   takes precedence: a higher `low_water` is lowered to it, and a lower `queue_limit` is raised to it.
    /// - [`max_connections`](Config::max_connections): the limit of connections from this listener, within the limit of
    ///   the reactor. Exact. Further connections wait in the backlog of this listener, whatever
    ///   [`overflow`](Config::overflow) says.
    ///
    /// [`listen`](crate::Reactor::listen) fails with [`Error::Config`](crate::Error::Config) if any other
    /// setting differs from its default, or if the settings contradict each other or the reactor's.
    ///
    /// Overrides cost nothing when bytes are read or written.
    ///
    /// # Examples
    /// Operators on the second listener have no idle deadline, and at most ten connections:
    /// ```
    /// # fn main() -> Result<(), readyloop::Error> {
    /// use std::time::Duration;
    /// use readyloop::{Config, Echo, ListenOptions, Reactor};
    ///
    /// let config = Config::new().idle_timeout(Some(Duration::from_secs(60)));
    /// let mut reactor = Reactor::new(config, Echo)?;
    /// reactor.listen("127.0.0.1:0")?;
    /// let admin = Config::new().idle_timeout(None).max_connections(10);
    /// reactor.listen(ListenOptions::new("127.0.0.1:0").overrides(admin))?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn overrides(mut self, overrides: Config) -> Self {
        self.config.overrides = overrides;
        self
    }
}

/// Options of an outbound connection.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use std::time::Duration;
/// use readyloop::{Config, ConnectOptions, Echo, Reactor};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// let options = ConnectOptions::new().timeout(Duration::from_secs(3));
/// let _id = reactor.context().connect(&[([127, 0, 0, 1], 7000).into()], &options);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    pub(crate) timeout: Duration,
    pub(crate) source: Option<SocketAddr>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ConnectOptions {
    /// All options at their defaults. Each setter names its default.
    #[must_use]
    pub const fn new() -> Self {
        Self { timeout: Duration::from_secs(10), source: None }
    }

    /// The time for connecting, over all addresses. Default 10 s. Each address that is tried gets an equal share of the
    /// time that is left, so that an address that never answers leaves time for the others.
    #[must_use]
    pub const fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// The local address to connect from. Default `None`: the system chooses. With port 0 the system chooses the port
    /// only.
    ///
    /// One source address has about 28,000 ports for outbound connections, over all destinations (ip(7),
    /// `ip_local_port_range`). For more connections, use several source addresses. A source with a fixed port cannot be
    /// used again while an earlier connection from it is in TIME_WAIT.
    #[must_use]
    pub const fn source(mut self, addr: Option<SocketAddr>) -> Self {
        self.source = addr;
        self
    }
}
