//! What a socket is told before it listens or connects.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::Config;

/// How to listen. What it sets, it sets once on the listener: Linux lets accepted sockets inherit
/// it, so it costs no system call a connection.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, ListenOptions, Reactor, services::Echo};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// let options = ListenOptions::new().backlog(128);
/// let addr = reactor.listen_with("127.0.0.1:0", &options)?;
/// assert_ne!(addr.port(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    pub(super) backlog: u32,
    pub(super) reuse_port: bool,
    pub(super) only_v6: bool,
    pub(super) no_delay: bool,
    pub(super) keep_alive: Option<Duration>,
    pub(crate) tag: u64,
    pub(crate) overrides: Config,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ListenOptions {
    /// The defaults, as each setter names them.
    #[must_use]
    pub const fn new() -> Self {
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

    /// How many connections the kernel holds ready for `accept`. Default 1024. The kernel lowers it
    /// to its own limit in silence (listen(2): `/proc/sys/net/core/somaxconn`).
    #[must_use]
    pub const fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    pub(crate) fn most_waiting(&self) -> usize {
        usize::try_from(self.backlog).unwrap_or(usize::MAX)
    }

    /// Whether other sockets that say so too may listen on the same port (`SO_REUSEPORT`, socket(7)); the
    /// kernel gives each newcomer to one of them by a hash of its address. Default false. For several
    /// processes on one port; the reactors of a [`Server`](crate::Server) need it not. Where the system does
    /// not know it, it changes nothing.
    #[must_use]
    pub const fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Whether a listener on an IPv6 wildcard leaves IPv4 alone (`IPV6_V6ONLY`, ipv6(7)). Default
    /// false: `[::]:7000` takes both, and then `0.0.0.0:7000` is in use. To listen on both, with two listeners,
    /// set it to true.
    #[must_use]
    pub const fn only_v6(mut self, only: bool) -> Self {
        self.only_v6 = only;
        self
    }

    /// Whether small messages are sent at once (`TCP_NODELAY`, tcp(7)). Default true: what a callback
    /// sends is gathered already, so waiting for more gains nothing.
    #[must_use]
    pub const fn no_delay(mut self, no_delay: bool) -> Self {
        self.no_delay = no_delay;
        self
    }

    /// After how much silence the kernel probes whether the peer is still there (`SO_KEEPALIVE` and
    /// `TCP_KEEPIDLE`, tcp(7)); `None` for never. Default `None`. Rounded down to seconds, at least 1 and at most
    /// 32,767 (9 hours), which is the most that Linux takes (`MAX_TCP_KEEPIDLE`); a longer time counts as that.
    #[must_use]
    pub const fn keep_alive(mut self, after: Option<Duration>) -> Self {
        self.keep_alive = after;
        self
    }

    /// A number of your own, by which a handler tells listeners apart: it reads it with
    /// [`Conn::listener_tag`](crate::Conn::listener_tag). Default 0. Several listeners may have the same one.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), readyloop::Error> {
    /// use readyloop::{Config, ListenOptions, Reactor, from_fn};
    ///
    /// const PUBLIC: u64 = 1;
    /// const ADMIN: u64 = 2;
    ///
    /// let handler = from_fn(|conn, input| match (conn.listener_tag(), input.take_until(b"\n")) {
    ///     (ADMIN, Some(b"stop")) => conn.reactor().stop(),
    ///     (_, Some(line)) => conn.send(line),
    ///     (_, None) => {}
    /// });
    /// let mut reactor = Reactor::new(Config::new(), handler)?;
    /// reactor.listen_with("127.0.0.1:0", &ListenOptions::new().tag(PUBLIC))?;
    /// reactor.listen_with("127.0.0.1:0", &ListenOptions::new().tag(ADMIN))?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }

    /// Other deadlines and limits for the connections of this listener than for those of the reactor. Default
    /// none: `Config::new()`.
    ///
    /// What this `Config` sets overrides the reactor's, also if it is set to the default. What it does not set
    /// follows the reactor's, at once also when that is [reconfigured](crate::Reactor::reconfigure). These can be
    /// overridden:
    /// - [`first_byte_timeout`](Config::first_byte_timeout), [`idle_timeout`](Config::idle_timeout),
    ///   [`write_timeout`](Config::write_timeout), [`linger_timeout`](Config::linger_timeout),
    ///   [`max_age`](Config::max_age)
    /// - [`max_input`](Config::max_input), [`high_water`](Config::high_water), [`low_water`](Config::low_water),
    ///   [`queue_limit`](Config::queue_limit). If the reactor is reconfigured so that they contradict each other,
    ///   `high_water` holds: a higher `low_water` counts as that, and so does a lower `queue_limit`.
    /// - [`max_connections`](Config::max_connections): how many connections that came by this listener there may
    ///   be, within the limit of the reactor. Exact. Newcomers above it wait in the backlog of this listener,
    ///   whatever [`overflow`](Config::overflow) says.
    ///
    /// [`listen_with`](crate::Reactor::listen_with) fails with [`Error::Config`](crate::Error::Config) if another
    /// setting differs from its default, or if the settings contradict each other or those of the reactor.
    ///
    /// An echo costs the same whether its listener overrides settings or not.
    ///
    /// # Examples
    /// Operators may be silent for as long as they like, and do not take the places of clients:
    /// ```
    /// # fn main() -> Result<(), readyloop::Error> {
    /// use std::time::Duration;
    /// use readyloop::{Config, ListenOptions, Reactor, services::Echo};
    ///
    /// let config = Config::new().idle_timeout(Some(Duration::from_secs(60)));
    /// let mut reactor = Reactor::new(config, Echo)?;
    /// reactor.listen("127.0.0.1:0")?;
    /// let admin = Config::new().idle_timeout(None).max_connections(10);
    /// reactor.listen_with("127.0.0.1:0", &ListenOptions::new().overrides(admin))?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn overrides(mut self, overrides: Config) -> Self {
        self.overrides = overrides;
        self
    }
}

/// How to connect to somebody.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use std::time::Duration;
/// use readyloop::{Config, ConnectOptions, Reactor, services::Echo};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// let options = ConnectOptions::new().timeout(Duration::from_secs(3));
/// let _id = reactor.connect("127.0.0.1:7000", &options)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    pub(crate) timeout: Duration,
    pub(crate) source: Option<SocketAddr>,
    pub(crate) no_delay: bool,
    pub(crate) keep_alive: Option<Duration>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ConnectOptions {
    /// The defaults, as each setter names them.
    #[must_use]
    pub const fn new() -> Self {
        Self { timeout: Duration::from_secs(10), source: None, no_delay: true, keep_alive: None }
    }

    /// How long it may take, over all addresses. Default 10 s. Each address that is tried gets an equal share
    /// of what is left, so that one that never answers leaves time for the others.
    #[must_use]
    pub const fn timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// From which address, one of this machine's. Default `None`: the system chooses. With port 0 it chooses
    /// the port. A source has some 28,000 ports to call from, whomever it calls (ip(7),
    /// `ip_local_port_range`); who needs more connections needs more sources. A port that is named cannot be used
    /// again while an earlier connection from it is in TIME_WAIT.
    #[must_use]
    pub const fn source(mut self, addr: Option<SocketAddr>) -> Self {
        self.source = addr;
        self
    }

    /// Whether small messages are sent at once (`TCP_NODELAY`, tcp(7)). Default true.
    #[must_use]
    pub const fn no_delay(mut self, no_delay: bool) -> Self {
        self.no_delay = no_delay;
        self
    }

    /// After how much silence the kernel probes whether the peer is still there, as
    /// [`ListenOptions::keep_alive`]. Default `None`.
    #[must_use]
    pub const fn keep_alive(mut self, after: Option<Duration>) -> Self {
        self.keep_alive = after;
        self
    }
}
