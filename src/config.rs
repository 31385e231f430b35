//! The settings of a reactor.

use std::time::Duration;

use crate::budgets::Budgets;
use crate::conn_settings::{ConnSettings, Setting};
use crate::core::admission::{Limits, WhenFull};
use crate::error::Error;

const KIB: usize = 1024;

/// How many leading bits of an IPv6 address count as one address. A provider gives each customer at least such a
/// network (RFC 6177).
const IPV6_PREFIX: u8 = 64;

/// Descriptors that are reserved for listeners, logs and the like.
const RESERVED: usize = 64;

/// Descriptors that each further reactor takes: its event queue and its waker.
const REACTOR: usize = 2;

pub(crate) const DEFAULT_QUEUE_LIMIT: usize = 16 * 1024 * KIB;

const DEFAULT_HIGH_WATER: usize = 32 * KIB;

const DEFAULT_QUEUE_BUDGET: usize = 256 * 1024 * KIB;

const NO_TIME: Option<Duration> = Some(Duration::ZERO);

const ONLY_OF_CONNECTIONS: &str = "a listener cannot override settings of the whole reactor: set these in the \
     reactor's Config; a listener can override only max_connections, first_byte_timeout, idle_timeout, write_timeout, \
     linger_timeout, max_age, max_input, high_water, low_water and queue_limit";

/// The settings of a reactor. A builder: each setter returns the changed settings. They are checked when the
/// [`Reactor`](crate::Reactor) is made.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Echo, Reactor};
///
/// let config = Config::new().high_water(256 * 1024).low_water(64 * 1024);
/// let reactor = Reactor::new(config, Echo)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    max_input: Setting<usize>,
    high_water: Setting<usize>,
    low_water: Option<usize>,
    queue_limit: Option<usize>,
    pub(crate) queue_budget: usize,
    pub(crate) budgets: Budgets,
    pub(crate) mailbox_limit: usize,
    pub(crate) slow_turn: Option<Duration>,
    pub(crate) drain_quiet: Duration,
    pub(crate) drain_without_listeners: Option<Duration>,
    first_byte_timeout: Setting<Option<Duration>>,
    idle_timeout: Setting<Option<Duration>>,
    write_timeout: Setting<Option<Duration>>,
    linger_timeout: Setting<Duration>,
    max_age: Setting<Option<Duration>>,
    max_connections: Option<usize>,
    pub(crate) overflow: Overflow,
    max_per_ip: Option<u32>,
    accept_rate: Option<(u32, u32)>,
}

/// What happens to new connections when [`max_connections`](Config::max_connections) is reached.
///
/// # Examples
/// ```
/// use readyloop::{Config, Overflow};
///
/// let config = Config::new()
///     .max_connections(1_000)
///     .overflow(Overflow::Reject { last_words: b"the house is full\n".to_vec() });
/// # let _ = config;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// New connections stay in the kernel's backlog until there is room. This costs the reactor nothing. When the
    /// backlog is full, the kernel makes the clients try again.
    Wait,
    /// New connections are accepted and closed at once.
    Reject {
        /// Sent before the close, if not empty. Only the bytes that the kernel takes at once are sent. A client that
        /// has already sent something may not receive them.
        last_words: Vec<u8>,
    },
    /// New connections are served. For each, the connection that has received nothing for the longest time ends with
    /// [`CloseReason::Evicted`](crate::CloseReason::Evicted). This costs 8 bytes a connection.
    ///
    /// A new connection counts as one that has just received something. So a flood of new connections evicts
    /// established ones that are quiet meanwhile. Limit the flood with [`max_per_ip`](Config::max_per_ip) or
    /// [`accept_rate`](Config::accept_rate).
    EvictIdlest,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// All settings at their defaults. Each setter names its default.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            max_input: Setting::UNSET,
            high_water: Setting::UNSET,
            low_water: None,
            queue_limit: None,
            queue_budget: DEFAULT_QUEUE_BUDGET,
            budgets: Budgets::DEFAULT,
            mailbox_limit: 16 * KIB,
            slow_turn: Some(Duration::from_millis(100)),
            drain_quiet: Duration::from_millis(250),
            drain_without_listeners: None,
            first_byte_timeout: Setting::UNSET,
            idle_timeout: Setting::UNSET,
            write_timeout: Setting::UNSET,
            linger_timeout: Setting::UNSET,
            max_age: Setting::UNSET,
            max_connections: None,
            overflow: Overflow::Wait,
            max_per_ip: None,
            accept_rate: None,
        }
    }

    /// How much work a turn does. Default [`Budgets::default`].
    #[must_use]
    pub const fn budgets(mut self, budgets: Budgets) -> Self {
        self.budgets = budgets;
        self
    }

    /// The limit of unread input of a connection, in bytes. Default 65 KiB: a message of 64 KiB, and its framing. At
    /// least 1.
    ///
    /// It bounds the length of a message. If a handler waits for the end of a longer message, the connection ends.
    /// [`take_line`](crate::Input::take_line) and the other framings fail with a [`FrameError`](crate::FrameError).
    /// Without framing the reason is [`CloseReason::InputOverflow`](crate::CloseReason::InputOverflow). A longer
    /// message without framing is still delivered if a single read returns all of it, because only input that the
    /// handler leaves counts.
    ///
    /// Unread input is kept in a buffer of up to four times this size. The buffer is freed when the handler has taken
    /// everything.
    #[must_use]
    pub const fn max_input(mut self, bytes: usize) -> Self {
        self.max_input = Setting::to(bytes);
        self
    }

    /// The high-water mark of a connection's queue, in bytes. Above it the reactor stops reading from the connection: a
    /// peer that does not read its answers cannot ask for more. Default 32 KiB. At least 1.
    ///
    /// A connection with an empty queue is read 64 KiB at a time. If bytes are queued, a read is limited to the room
    /// below this mark, but not to less than 4 KiB. So if answers are as long as requests, a connection whose peer does
    /// not read holds about this many bytes.
    #[must_use]
    pub const fn high_water(mut self, bytes: usize) -> Self {
        self.high_water = Setting::to(bytes);
        self
    }

    /// The low-water mark of a connection's queue, in bytes. A connection above high water is read from again when its
    /// queue has fallen to this mark. Then [`on_low_water`](crate::Handler::on_low_water) is called. Default a quarter
    /// of [`high_water`](Self::high_water). At most `high_water`.
    #[must_use]
    pub const fn low_water(mut self, bytes: usize) -> Self {
        self.low_water = Some(bytes);
        self
    }

    /// The limit of a connection's queue, in bytes. Default 16 MiB, or four times [`high_water`](Self::high_water) if
    /// that is more. At least `high_water`.
    ///
    /// If more than this is queued already, [`send`](crate::Conn::send) ends the connection with
    /// [`CloseReason::OutboxOverflow`](crate::CloseReason::OutboxOverflow). [`try_send`](crate::Conn::try_send) refuses
    /// bytes that would exceed the limit. Above high water the handler gets no input, so answers to input do not reach
    /// this limit. Other output can: that of timers, of other connections, of other threads, or of a callback that
    /// sends without end.
    ///
    /// A single call of `send` is queued whole, so an answer may be longer than the limit. Bytes that were not offered
    /// to the kernel yet do not count: a callback may send 16 MiB before it returns, even if the limit is lower. So a
    /// connection holds at most the larger of this limit and 16 MiB, plus one message.
    #[must_use]
    pub const fn queue_limit(mut self, bytes: usize) -> Self {
        self.queue_limit = Some(bytes);
        self
    }

    /// The memory budget: how many bytes may wait in all queues of all reactors of a server together. Both output that
    /// the kernel has not taken and unread input count. Default 256 MiB. At least 1. Set it to half of the memory that
    /// the process may use, because buffers are larger than the bytes in them.
    ///
    /// The limits of single connections do not bound a hundred thousand connections. This budget does, in three steps:
    ///
    /// 1. Memory pressure. It begins when three quarters of the budget are used, and ends when half is used. Meanwhile
    ///    the high-water mark is an eighth of [`high_water`](Self::high_water), and the low-water mark is 0: a
    ///    connection that was above high water is read from again when its queue is empty. Reads are limited to 4 KiB.
    /// 2. The budget is used up: all of it is held, and at least half of it is output. No callback that can send is
    ///    called: connections, new connections, timers and messages from other threads wait for room, in their order.
    ///    So the budget is exceeded by the output of at most one callback for each reactor. Callbacks that report an
    ///    end are still called: [`on_closing`](crate::Handler::on_closing), [`on_close`](crate::Handler::on_close) and
    ///    [`on_connect_failed`](crate::Handler::on_connect_failed). Reading stops earlier, when input is half of the
    ///    budget. The unread input of paused connections counts too.
    /// 3. Work waits for room. Then stalled connections end with [`CloseReason::Shed`](crate::CloseReason::Shed), until
    ///    an eighth of the budget is free. Connections with queued output end first. Of two such connections, the one
    ///    that frees more memory usually ends first.
    ///
    /// A connection is stalled if for 15 seconds its peer has read none of its queued bytes, or has sent nothing more
    /// of an unfinished message. A quarter of [`write_timeout`](Self::write_timeout) applies instead, if that is less.
    /// Each time that connections are shed, this time is halved, down to 2 seconds. It is restored when none was shed
    /// for 30 seconds. A peer that reads some of its bytes within this time is never reset for memory.
    ///
    /// A body that several connections [share](crate::Conn::send_bytes) counts once for each reactor.
    ///
    /// While the budget is used up, [`try_send`](crate::Conn::try_send) refuses.
    #[must_use]
    pub const fn queue_budget(mut self, bytes: usize) -> Self {
        self.queue_budget = bytes;
        self
    }

    /// How many messages from other threads may wait for a reactor. More are refused and returned to the sender: see
    /// [`Handle::post`](crate::Handle::post). Default 16,384. At least 1.
    ///
    /// A message takes 24 bytes and the size of its closure. [`queue_budget`](Self::queue_budget) bounds the bytes that
    /// wait in messages of [`Handle::send`](crate::Handle::send).
    #[must_use]
    pub const fn mailbox_limit(mut self, messages: usize) -> Self {
        self.mailbox_limit = messages;
        self
    }

    /// The duration above which a turn counts as slow. `None` for never. Default 100 ms.
    ///
    /// A slow turn is counted in [`Stats::slow_turns`](crate::Stats::slow_turns) and logged as a warning, at most once
    /// a second. The warning names the connection that took the longest. The usual cause is a callback that blocks: all
    /// other connections wait meanwhile.
    #[must_use]
    pub const fn slow_turn(mut self, time: Option<Duration>) -> Self {
        self.slow_turn = time;
        self
    }

    /// The quiet time of a drain: a connection without work is closed when it has received nothing for this long.
    /// Default 250 ms, a round trip to the other side of the world: the peer may have sent a request before it noticed
    /// the drain. See [`Handle::drain`](crate::Handle::drain).
    #[must_use]
    pub const fn drain_quiet(mut self, time: Duration) -> Self {
        self.drain_quiet = time;
        self
    }

    /// For how long the server [drains](crate::Handle::drain) after its last listener has died. Then `run` returns
    /// [`Error::ListenersLost`]. `None`: the server continues without listeners. Default `None`, because such a reactor
    /// may still [connect](crate::Context::connect), or listen again when a [`Handle`](crate::Handle)
    /// [resumes](crate::Handle::resume) it. Set it if a supervisor restarts the process: a server that cannot be
    /// reached should be replaced.
    ///
    /// A listener dies if another part of the program or a sandbox shuts its socket down or closes it.
    /// [`Stats::listeners_lost`](crate::Stats::listeners_lost) counts such listeners, and an error is logged. A single
    /// reactor ends in any case if nothing can happen any more: there is no connection, no timer and no `Handle`.
    #[must_use]
    pub const fn drain_without_listeners(mut self, timeout: Option<Duration>) -> Self {
        self.drain_without_listeners = timeout;
        self
    }

    /// The time within which the first byte of a new connection must arrive. Otherwise the connection is closed with
    /// [`CloseReason::FirstByteTimeout`](crate::CloseReason::FirstByteTimeout). `None` for no limit. Default `None`,
    /// because in many protocols the server speaks first, or alone. Set it if clients speak first: then it ends silent
    /// connections much earlier than [`idle_timeout`](Self::idle_timeout).
    ///
    /// All deadlines have the same precision: they are at most 10 ms early, and at most 2 ms and one turn late. Input
    /// that has arrived is read before a deadline is judged, and the time of a slow turn does not count. So a suspended
    /// process or a callback that blocks does not end connections.
    #[must_use]
    pub const fn first_byte_timeout(mut self, time: Option<Duration>) -> Self {
        self.first_byte_timeout = Setting::to(time);
        self
    }

    /// The time after which a connection is closed if its peer has sent nothing, with
    /// [`CloseReason::IdleTimeout`](crate::CloseReason::IdleTimeout). `None` for no limit. Default one hour: longer
    /// than the pauses of people, and short enough that connections of vanished peers do not add up.
    ///
    /// Only received bytes restart the deadline, because sending does not show that the peer is there. If clients of a
    /// protocol only listen, call [`Conn::restart_idle_timeout`](crate::Conn::restart_idle_timeout) or set `None`. The
    /// deadline does not run while the reactor does not read from the connection, for instance while it is paused, or
    /// while bytes that have arrived wait to be read.
    #[must_use]
    pub const fn idle_timeout(mut self, time: Option<Duration>) -> Self {
        self.idle_timeout = Setting::to(time);
        self
    }

    /// The time after which a connection is reset if the kernel has taken none of its queued bytes, with
    /// [`CloseReason::WriteTimeout`](crate::CloseReason::WriteTimeout). `None` for no limit. Default one minute.
    ///
    /// Each byte that the kernel takes restarts the deadline, so a peer may read slowly. A peer that reads less than a
    /// TCP segment within this time may count as one that reads nothing, because a receiver does not announce small
    /// windows (RFC 9293, section 3.8.6.2.2).
    #[must_use]
    pub const fn write_timeout(mut self, time: Option<Duration>) -> Self {
        self.write_timeout = Setting::to(time);
        self
    }

    /// The age at which a connection is closed gracefully, with [`CloseReason::MaxAge`](crate::CloseReason::MaxAge).
    /// `None` for no limit. Default `None`, because a close in the middle of a conversation surprises clients. Set it
    /// if clients reconnect by themselves, so that load moves to servers that were added.
    ///
    /// A connection is closed up to a tenth of this time earlier, so that connections that were opened together do not
    /// reconnect together.
    ///
    /// Queued bytes are still sent, if the peer reads some of them within each [`write_timeout`](Self::write_timeout).
    #[must_use]
    pub const fn max_age(mut self, time: Option<Duration>) -> Self {
        self.max_age = Setting::to(time);
        self
    }

    /// How long a closed connection waits for the FIN of the peer after its own FIN. Default 5 s.
    ///
    /// If a socket is closed while its peer still sends, the last answer can be destroyed on its way (RFC 2525, section
    /// 2.17). So the reactor reads and discards input until the peer finishes or this time is over. Meanwhile the
    /// connection keeps its slot and its descriptor.
    ///
    /// This time has a second use. If the peer resets a paused connection, the handler has this long to resume it and
    /// to receive the bytes that had arrived before.
    #[must_use]
    pub const fn linger_timeout(mut self, time: Duration) -> Self {
        self.linger_timeout = Setting::to(time);
        self
    }

    /// The limit of accepted connections, lingering ones included. Exact. Outbound connections do not count. Default:
    /// as many as the limit of open files allows. At least 1.
    ///
    /// The limit of open files (`RLIMIT_NOFILE`, getrlimit(2)) is read when the reactor is made or reconfigured. 64
    /// descriptors are reserved for listeners, logs and the like, and 2 for each further reactor, but never more than
    /// half of the limit. A `max_connections` above the rest is lowered to it, and a warning is logged: otherwise
    /// `accept` would fail before [`overflow`](Self::overflow) takes effect.
    /// [`config_in_force`](crate::Context::config_in_force) returns the limit in force. A system without a limit of
    /// open files has no default limit.
    ///
    /// An idle connection takes 116 bytes and the handler's state.
    #[must_use]
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// What happens to new connections when [`max_connections`](Self::max_connections) is reached. Default
    /// [`Overflow::Wait`].
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// The limit of connections from one IPv4 address, or from one IPv6 network of 64 bits. Further connections are
    /// reset. `None` for no limit. Default `None`, because many clients behind a proxy or a NAT share one address. Set
    /// it if clients reach the server directly, so that one client cannot take all connections. At least 1.
    ///
    /// It takes about 25 bytes for each connected IPv4 address, and about 75 bytes for each IPv6 network.
    #[must_use]
    pub const fn max_per_ip(mut self, connections: Option<u32>) -> Self {
        self.max_per_ip = connections;
        self
    }

    /// The limit of new connections: `per_second` on average, and `burst` at once after a quiet time. Further
    /// connections are reset. Default no limit, because all clients reconnect at once when a server restarts. Set it if
    /// opening a connection is expensive for the handler. Both at least 1.
    #[must_use]
    pub const fn accept_rate(mut self, per_second: u32, burst: u32) -> Self {
        self.accept_rate = Some((per_second, burst));
        self
    }

    /// These settings with the unset ones filled in.
    pub(crate) fn in_force(&self, most_connections: usize) -> Self {
        let conn = self.conn_settings();
        Self {
            max_input: Setting::to(conn.max_input),
            high_water: Setting::to(conn.high_water),
            low_water: Some(conn.low_water),
            queue_limit: Some(conn.queue_limit),
            first_byte_timeout: Setting::to(conn.first_byte_timeout),
            idle_timeout: Setting::to(conn.idle_timeout),
            write_timeout: Setting::to(conn.write_timeout),
            linger_timeout: Setting::to(conn.linger_timeout),
            max_age: Setting::to(conn.max_age),
            max_connections: Some(most_connections),
            ..self.clone()
        }
    }

    /// The settings of a connection, with the defaults filled in.
    pub(crate) fn conn_settings(&self) -> ConnSettings {
        let high_water = self.high_water.or(DEFAULT_HIGH_WATER);
        // The overrides of a listener may contradict a later `reconfigure`. Then high water takes precedence.
        let low_water = self.low_water.unwrap_or(high_water / 4).min(high_water);
        let queue_limit = self.queue_limit_bytes(high_water).max(high_water);
        ConnSettings {
            max_input: self.max_input.or(65 * KIB),
            high_water,
            low_water,
            queue_limit,
            first_byte_timeout: self.first_byte_timeout.or(None),
            idle_timeout: self.idle_timeout.or(Some(Duration::from_secs(3_600))),
            write_timeout: self.write_timeout.or(Some(Duration::from_secs(60))),
            linger_timeout: self.linger_timeout.or(Duration::from_secs(5)),
            max_age: self.max_age.or(None),
        }
    }

    /// These settings, with the settings of connections that a listener overrides.
    pub(crate) fn overridden_by(&self, overrides: &Self) -> Self {
        Self {
            max_input: overrides.max_input.or_else(self.max_input),
            high_water: overrides.high_water.or_else(self.high_water),
            low_water: overrides.low_water.or(self.low_water),
            queue_limit: overrides.queue_limit.or(self.queue_limit),
            first_byte_timeout: overrides.first_byte_timeout.or_else(self.first_byte_timeout),
            idle_timeout: overrides.idle_timeout.or_else(self.idle_timeout),
            write_timeout: overrides.write_timeout.or_else(self.write_timeout),
            linger_timeout: overrides.linger_timeout.or_else(self.linger_timeout),
            max_age: overrides.max_age.or_else(self.max_age),
            ..self.clone()
        }
    }

    /// The `max_connections` that was set, if any.
    pub(crate) fn asked_connections(&self) -> Option<usize> {
        self.max_connections
    }

    /// Checks the overrides of a listener, alone and together with these settings.
    pub(crate) fn validate_overrides(&self, overrides: &Self) -> Result<(), Error> {
        if overrides.without_overridable() != Self::new() {
            return Err(Error::Config(ONLY_OF_CONNECTIONS.to_owned()));
        }
        let max_connections = overrides.max_connections.or(self.max_connections);
        Self { max_connections, ..self.overridden_by(overrides) }.validate()
    }

    /// These settings without those that a listener can override.
    fn without_overridable(&self) -> Self {
        Self {
            max_input: Setting::UNSET,
            high_water: Setting::UNSET,
            low_water: None,
            queue_limit: None,
            first_byte_timeout: Setting::UNSET,
            idle_timeout: Setting::UNSET,
            write_timeout: Setting::UNSET,
            linger_timeout: Setting::UNSET,
            max_age: Setting::UNSET,
            max_connections: None,
            ..self.clone()
        }
    }

    /// The limits of admission for a server with this many reactors, in a process that may have this many descriptors.
    pub(crate) fn admission(&self, descriptors: Option<usize>, reactors: usize) -> Limits {
        let reserved = RESERVED + REACTOR * (reactors - 1);
        let most = descriptors.map_or(usize::MAX, |most| most - reserved.min(most / 2)).max(1);
        Limits {
            connections: self.max_connections.map_or(most, |asked| asked.min(most)),
            when_full: match self.overflow {
                Overflow::Wait => WhenFull::Wait,
                Overflow::Reject { .. } => WhenFull::Refuse,
                Overflow::EvictIdlest => WhenFull::Evict,
            },
            per_ip: self.max_per_ip,
            ipv6_prefix: IPV6_PREFIX,
            rate: self.accept_rate,
        }
    }

    /// Logs a warning if `max_connections` was lowered to fit the limit of open files.
    pub(crate) fn warn_if_lowered(&self, limits: &Limits, descriptors: Option<usize>) {
        if let (Some(asked), Some(files)) = (self.max_connections, descriptors)
            && limits.connections < asked
        {
            log::warn!(
                "max_connections is lowered from {asked} to {}: the limit of open files is {files}; raise that limit \
                 (ulimit -n, or LimitNOFILE= of systemd), or lower max_connections",
                limits.connections
            );
        }
    }

    /// The limit of bytes in the mailbox of one reactor: its equal part of the `queue_budget`.
    pub(crate) fn mailbox_budget(&self, reactors: usize) -> usize {
        (self.queue_budget / reactors).max(1)
    }

    /// Whether new connections may evict idle ones.
    pub(crate) fn evicts(&self) -> bool {
        self.overflow == Overflow::EvictIdlest
    }

    fn queue_limit_bytes(&self, high_water: usize) -> usize {
        self.queue_limit.unwrap_or_else(|| DEFAULT_QUEUE_LIMIT.max(high_water.saturating_mul(4)))
    }

    fn times(&self) -> [(&'static str, Option<Duration>); 4] {
        [
            ("first_byte_timeout", self.first_byte_timeout.or(None)),
            ("idle_timeout", self.idle_timeout.or(None)),
            ("write_timeout", self.write_timeout.or(None)),
            ("max_age", self.max_age.or(None)),
        ]
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let high = self.high_water.or(DEFAULT_HIGH_WATER);
        let (low, limit) = (self.low_water.unwrap_or(high / 4), self.queue_limit_bytes(high));
        let problem = if low > high {
            format!("low_water ({low}) is above high_water ({high}): lower it, or raise high_water")
        } else if high > limit {
            format!(
                "high_water ({high}) is above queue_limit ({limit}): lower it, or raise queue_limit"
            )
        } else if high == 0 {
            "high_water is 0: set it to at least 1 byte".to_owned()
        } else if self.max_input == Setting::to(0) {
            "max_input is 0: set it to at least 1 byte".to_owned()
        } else if self.queue_budget == 0 {
            "queue_budget is 0: set it to at least 1 byte".to_owned()
        } else if self.mailbox_limit == 0 {
            "mailbox_limit is 0: set it to at least 1 message".to_owned()
        } else if let Some((name, _)) = self.budgets.named().iter().find(|(_, most)| *most == 0) {
            format!("{name} is 0: set it to at least 1")
        } else if let Some((name, _)) = self.times().iter().find(|(_, time)| *time == NO_TIME) {
            format!("{name} is 0: set a longer time, or None for no limit")
        } else if self.max_connections == Some(0) {
            "max_connections is 0: set it to at least 1".to_owned()
        } else if self.max_per_ip == Some(0) {
            "max_per_ip is 0: set it to at least 1, or None for no limit".to_owned()
        } else if self.accept_rate.is_some_and(|(per_second, burst)| per_second == 0 || burst == 0)
        {
            "accept_rate has a 0: set per_second and burst to at least 1".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::Config(problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_connections_than_the_limit_of_open_files_allows() {
        let most = |config: &Config, files, reactors| config.admission(files, reactors).connections;
        let unset = Config::new();
        assert_eq!(most(&unset, Some(1_024), 1), 960);
        assert_eq!(most(&unset, Some(1_024), 3), 956);
        assert_eq!(most(&unset, Some(100), 1), 50);
        assert_eq!(most(&unset, Some(0), 1), 1);
        assert_eq!(most(&unset, None, 1), usize::MAX);
        let set = Config::new().max_connections(500);
        assert_eq!(most(&set, Some(1_024), 1), 500);
        assert_eq!(most(&set, Some(300), 1), 236);
        assert_eq!(most(&set, None, 1), 500);
    }

    #[test]
    fn the_defaults_are_valid() {
        assert!(Config::new().validate().is_ok());
    }

    #[test]
    fn a_contradiction_is_named_with_both_numbers() {
        let cases = [
            (Config::new().high_water(5).low_water(6), "low_water (6) is above high_water (5)"),
            (Config::new().queue_limit(9), "high_water (32768) is above queue_limit (9)"),
            (Config::new().high_water(0), "high_water is 0"),
            (Config::new().max_input(0), "max_input is 0"),
            (Config::new().budgets(Budgets { read: 0, ..Budgets::default() }), "budgets.read is 0"),
            (
                Config::new().budgets(Budgets { write: 0, ..Budgets::default() }),
                "budgets.write is 0",
            ),
            (
                Config::new().budgets(Budgets { calls: 0, ..Budgets::default() }),
                "budgets.calls is 0",
            ),
            (
                Config::new().budgets(Budgets { accepts: 0, ..Budgets::default() }),
                "budgets.accepts is 0",
            ),
            (
                Config::new().budgets(Budgets { connects: 0, ..Budgets::default() }),
                "budgets.connects is 0",
            ),
            (
                Config::new().budgets(Budgets { timers: 0, ..Budgets::default() }),
                "budgets.timers is 0",
            ),
            (Config::new().queue_budget(0), "queue_budget is 0"),
            (
                Config::new().budgets(Budgets { messages: 0, ..Budgets::default() }),
                "budgets.messages is 0",
            ),
            (Config::new().mailbox_limit(0), "mailbox_limit is 0"),
            (Config::new().idle_timeout(NO_TIME), "idle_timeout is 0"),
            (Config::new().first_byte_timeout(NO_TIME), "first_byte_timeout is 0"),
            (Config::new().write_timeout(NO_TIME), "write_timeout is 0"),
            (Config::new().max_age(NO_TIME), "max_age is 0"),
            (Config::new().max_connections(0), "max_connections is 0"),
            (Config::new().max_per_ip(Some(0)), "max_per_ip is 0"),
            (Config::new().accept_rate(1, 0), "accept_rate has a 0"),
        ];
        for (config, expected) in cases {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
