//! What a reactor may be told.

use std::time::Duration;

use crate::budgets::Budgets;
use crate::conn_settings::{ConnSettings, Setting};
use crate::core::admission::{Limits, WhenFull};
use crate::error::Error;

const KIB: usize = 1024;

/// The bits of an IPv6 address that count as one address: what a provider gives to one customer at least (RFC 6177).
const IPV6_PREFIX: u8 = 64;

/// How many descriptors are left for what is not a connection.
const RESERVED: usize = 64;

/// How many more each further reactor takes: for its event queue, and to be woken.
const REACTOR: usize = 2;

pub(crate) const DEFAULT_QUEUE_LIMIT: usize = 16 * 1024 * KIB;

const DEFAULT_HIGH_WATER: usize = 32 * KIB;

const DEFAULT_QUEUE_BUDGET: usize = 256 * 1024 * KIB;

const NO_TIME: Option<Duration> = Some(Duration::ZERO);

const ONLY_OF_CONNECTIONS: &str = "a listener cannot override settings of the whole reactor: leave in its overrides \
     max_connections, first_byte_timeout, idle_timeout, write_timeout, linger_timeout, max_age, max_input, high_water, \
     low_water and queue_limit, and set the others in the reactor's Config";

/// The settings of a reactor: a builder, checked when the [`Reactor`](crate::Reactor) is made.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Reactor, services::Echo};
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

/// What becomes of newcomers when there are as many connections as there may be.
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
    /// They stay in the kernel's backlog until there is room. It costs the reactor nothing, and when
    /// the backlog is full the kernel has them try again.
    Wait,
    /// They are accepted and closed at once.
    Reject {
        /// Sent before, if not empty. Only as much as the kernel takes at once, and a client that has
        /// sent something already may not see it.
        last_words: Vec<u8>,
    },
    /// They are served, and for each the connection from which nothing has come for the longest time
    /// ends, with [`CloseReason::Evicted`](crate::CloseReason::Evicted). It costs 8 bytes a connection.
    ///
    /// A newcomer counts as one of whom something has just come, so a flood of them drives out residents
    /// that are quiet meanwhile: limit it by address or by rate.
    EvictIdlest,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The defaults, as each setter names them.
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

    /// The most input that may wait for a handler that does not take it, in bytes. Default 64 KiB.
    ///
    /// It bounds a message. If a handler waits for the end of a longer one, the connection ends:
    /// [`take_line`](crate::Input::take_line) and the other framings fail with a [`FrameError`](crate::FrameError);
    /// without them the reason is [`CloseReason::InputOverflow`](crate::CloseReason::InputOverflow). (A longer
    /// message without framing is delivered if one read brings all of it, as nothing waits then.)
    ///
    /// A connection keeps what is left untaken in a buffer of up to four times that size. It holds nothing when all
    /// is taken.
    #[must_use]
    pub const fn max_input(mut self, bytes: usize) -> Self {
        self.max_input = Setting::to(bytes);
        self
    }

    /// Above this many queued bytes the reactor stops reading from the connection, so that a peer
    /// which does not read its answers is not asked for more. Default 32 KiB.
    ///
    /// A connection with nothing queued is read from 64 KiB at a time, and one with something queued no
    /// more than what is missing to this mark (but 4 KiB at least). So one whose answers are as long as the
    /// questions holds about this much when its peer does not read.
    #[must_use]
    pub const fn high_water(mut self, bytes: usize) -> Self {
        self.high_water = Setting::to(bytes);
        self
    }

    /// Once the queue of a paused connection has fallen to this many bytes, reading goes on and
    /// [`on_low_water`](crate::Handler::on_low_water) is called. Default a quarter of `high_water`, and
    /// at most that.
    #[must_use]
    pub const fn low_water(mut self, bytes: usize) -> Self {
        self.low_water = Some(bytes);
        self
    }

    /// A connection for which more than this many bytes are queued is sent no more. Default 16 MiB, or four
    /// times `high_water` if that is more. At least `high_water`.
    ///
    /// If more is sent to it, [`send`](crate::Conn::send) ends the connection with
    /// [`CloseReason::OutboxOverflow`](crate::CloseReason::OutboxOverflow). No input is offered above high
    /// water, so this concerns what is sent for other reasons: by timers, by other connections, by other
    /// threads, or by a callback that sends without end. [`try_send`](crate::Conn::try_send) refuses what
    /// would go over the limit.
    ///
    /// What is sent at once is taken whole, so that an answer may be longer than the limit. Bytes that the
    /// kernel was not offered yet are not held against the peer: a callback may send 16 MiB before it returns,
    /// however small the limit is. So a connection holds this much or those 16 MiB, and the last message.
    #[must_use]
    pub const fn queue_limit(mut self, bytes: usize) -> Self {
        self.queue_limit = Some(bytes);
        self
    }

    /// The memory budget: how many bytes may wait in all queues of all reactors of a server together. They are
    /// output that the kernel has not taken, and input that handlers have left. Default 256 MiB. Set it to half
    /// of what the process may use, as the buffers are larger than the bytes in them.
    ///
    /// The limits of each connection do not bound what a hundred thousand hold. This does, in three steps:
    ///
    /// 1. From three quarters of the budget on, until half of it is left, high water is an eighth of
    ///    [`high_water`](Self::high_water), and low water is 0. A connection with more queued is not read from
    ///    until all is sent. Connections are read from 4 KiB at a time.
    /// 2. While the budget is used up no callback is run that can send: connections, newcomers, timers and
    ///    messages of other threads wait for room, in their order. So the budget is exceeded by the output of
    ///    one callback for each reactor at most. (The callbacks that tell of an end are not held back:
    ///    [`on_close`](crate::Handler::on_close), [`on_connect_failed`](crate::Handler::on_connect_failed).)
    ///    Input stops being read already when it is half of the budget: what paused connections have left counts,
    ///    too.
    /// 3. While something waits for room, connections end that stall, with
    ///    [`CloseReason::Shed`](crate::CloseReason::Shed): first those whose end gives back the most memory, until
    ///    an eighth of the budget is free. A connection stalls if its peer has taken nothing of what is queued for it, or
    ///    sent nothing more of an unfinished message, for 15 seconds, or for a quarter of
    ///    [`write_timeout`](Self::write_timeout) if that is less. With each time that connections were shed
    ///    in short order this is halved, down to 2 seconds. A peer that takes some of its bytes within
    ///    this time is never reset for memory.
    ///
    /// A body that several connections [share](crate::Conn::send_bytes) counts once for each reactor.
    ///
    /// [`try_send`](crate::Conn::try_send) refuses while the budget is used up.
    #[must_use]
    pub const fn queue_budget(mut self, bytes: usize) -> Self {
        self.queue_budget = bytes;
        self
    }

    /// How many messages from other threads may wait; more are refused, and come back to their senders
    /// ([`Handle::post`](crate::Handle::post)). Default 16,384. At least 1.
    ///
    /// Each costs what its closure holds, and 24 bytes. The bytes that wait in them to be sent, by
    /// [`Handle::send`](crate::Handle::send), are bounded by [`queue_budget`](Self::queue_budget).
    #[must_use]
    pub const fn mailbox_limit(mut self, messages: usize) -> Self {
        self.mailbox_limit = messages;
        self
    }

    /// A turn that takes longer is counted ([`Stats::slow_turns`](crate::Stats::slow_turns)) and warned of,
    /// at most once a second, with the connection that was served longest: most often its callback has
    /// blocked, and everybody has waited. `None` for never. Default 100 ms.
    #[must_use]
    pub const fn slow_turn(mut self, time: Option<Duration>) -> Self {
        self.slow_turn = time;
        self
    }

    /// While the reactor drains, a connection is closed when nothing is left to do for it and nothing has come from
    /// it for this time: what its peer had sent before it knew may still be on its way. Default 250 ms, a
    /// round trip to the other side of the world. See [`Reactor::drain`](crate::Reactor::drain).
    #[must_use]
    pub const fn drain_quiet(mut self, time: Duration) -> Self {
        self.drain_quiet = time;
        self
    }

    /// For how long the server [drains](crate::Reactor::drain) when its last listener has died; then `run` returns
    /// [`Error::ListenersLost`]. `None`: it goes on without listeners. Default
    /// `None`, because a reactor may have connections to [open](crate::Reactor::connect), or may be told by a
    /// [`Handle`](crate::Handle) to listen again ([`resume`](crate::Reactor::resume)). Set it where a supervisor
    /// starts the process anew: a server that nobody can reach is best replaced.
    ///
    /// A listener dies if its socket is shut down or closed under the reactor, by another part of the program
    /// or by a sandbox. [`Stats::listeners_lost`](crate::Stats::listeners_lost) counts it, and the log tells of
    /// it. A reactor of its own for which nothing else can happen ends in any case: it has no connection, no
    /// timer, and no `Handle` exists.
    #[must_use]
    pub const fn drain_without_listeners(mut self, timeout: Option<Duration>) -> Self {
        self.drain_without_listeners = timeout;
        self
    }

    /// How soon a newcomer has to send its first byte, or end with
    /// [`CloseReason::FirstByteTimeout`](crate::CloseReason::FirstByteTimeout); `None` for as late as it
    /// likes. Default `None`, because in many protocols the server speaks first, or alone. Set it where
    /// clients speak first: it frees the places of those who only connect, long before
    /// [`idle_timeout`](Self::idle_timeout).
    ///
    /// This and the other deadlines are kept to two milliseconds and what a turn takes, and come no more
    /// than 10 ms early. Input that is there is read before they are judged, and a turn that took long
    /// counts for nobody, so a process that was suspended or a callback that blocked do not punish peers.
    #[must_use]
    pub const fn first_byte_timeout(mut self, time: Option<Duration>) -> Self {
        self.first_byte_timeout = Setting::to(time);
        self
    }

    /// How long nothing may come from a peer before its connection is closed with
    /// [`CloseReason::IdleTimeout`](crate::CloseReason::IdleTimeout); `None` for ever. Default an hour:
    /// more than people pause in, and soon enough that peers which vanished without a word do not add
    /// up.
    ///
    /// Only bytes that come in count: what is sent to a peer says nothing about whether it is there. For
    /// protocols in which clients just listen there is [`keep_alive`](crate::Conn::keep_alive), or `None`.
    /// While a connection is paused, or bytes of its peer wait to be read, silence is not held against it.
    #[must_use]
    pub const fn idle_timeout(mut self, time: Option<Duration>) -> Self {
        self.idle_timeout = Setting::to(time);
        self
    }

    /// How long the kernel may take none of the bytes that are queued for a peer before its connection is
    /// reset with [`CloseReason::WriteTimeout`](crate::CloseReason::WriteTimeout); `None` for ever. Default
    /// one minute.
    ///
    /// Any byte counts, so a peer may read slowly. One that takes less than a segment in this time may
    /// count as not reading (RFC 9293, section 3.8.6.2.2: a window is not opened by small amounts).
    #[must_use]
    pub const fn write_timeout(mut self, time: Option<Duration>) -> Self {
        self.write_timeout = Setting::to(time);
        self
    }

    /// After what time a connection is closed in order, with
    /// [`CloseReason::MaxAge`](crate::CloseReason::MaxAge), or up to a tenth before, so that those which
    /// came together do not all come again together; `None` for never. Default `None`: whoever
    /// has a conversation would not understand. Set it where clients come again by themselves and load is
    /// to spread over servers that were added.
    ///
    /// What is queued then is still sent, for as long as the peer takes some of it within each
    /// [`write_timeout`](Self::write_timeout).
    #[must_use]
    pub const fn max_age(mut self, time: Option<Duration>) -> Self {
        self.max_age = Setting::to(time);
        self
    }

    /// How long a closed connection waits for the peer's FIN after its own. Default 5 s.
    ///
    /// Closing a socket at once can destroy the last answer on its way, if the peer is still sending
    /// (RFC 2525, section 2.17); so the reactor reads on and throws away, until the peer has finished
    /// or this time has passed. The connection holds its slot and its descriptor meanwhile.
    ///
    /// So long a handler has, too, to resume a connection that it has paused and that its peer has reset:
    /// then it gets what the peer had sent before.
    #[must_use]
    pub const fn linger_timeout(mut self, time: Duration) -> Self {
        self.linger_timeout = Setting::to(time);
        self
    }

    /// How many connections there may be, those that linger included. Exact. Default: as many as the limit of
    /// open files allows.
    ///
    /// That is the limit at the time when the reactor is made or reconfigured (`RLIMIT_NOFILE`, getrlimit(2)),
    /// less 64 for listeners, logs and the like and 2 for each further reactor, or half of it, if that is
    /// more. A greater number is lowered to it with a warning in the log: beyond it `accept` would fail, and
    /// [`overflow`](Self::overflow) would never act.
    /// [`config_in_force`](crate::Context::config_in_force) tells the number in force. On a system without
    /// such a limit there is no limit by default.
    ///
    /// What a connection costs: 116 bytes and the handler's state while it is idle.
    #[must_use]
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// What becomes of newcomers when there are [`max_connections`](Self::max_connections). Default
    /// [`Overflow::Wait`].
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// How many connections one IPv4 address, or one IPv6 network, may hold; `None` for no limit. Default
    /// `None`, because behind a proxy or a NAT many clients have one address. Set it where clients reach
    /// the server themselves, against one that would take all places. Newcomers above it are reset.
    ///
    /// It costs some 25 bytes for each IPv4 address that is connected, and three times that for an IPv6 network.
    #[must_use]
    pub const fn max_per_ip(mut self, connections: Option<u32>) -> Self {
        self.max_per_ip = connections;
        self
    }

    /// How many connections are let in a second, and how many at once after a quiet time. Default: no
    /// limit, because whoever restarts in front of many clients meets them all at once. Set it where
    /// opening a connection costs the handler much. Newcomers above it are reset. Both at least 1.
    #[must_use]
    pub const fn accept_rate(mut self, per_second: u32, burst: u32) -> Self {
        self.accept_rate = Some((per_second, burst));
        self
    }

    /// The same, with what was not set filled in.
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

    /// The settings of a connection, with the default where nothing was set.
    pub(crate) fn conn_settings(&self) -> ConnSettings {
        let high_water = self.high_water.or(DEFAULT_HIGH_WATER);
        // A listener's own settings may contradict a later `reconfigure`: then high water decides.
        let low_water = self.low_water.unwrap_or(high_water / 4).min(high_water);
        let queue_limit = self.queue_limit_bytes(high_water).max(high_water);
        ConnSettings {
            max_input: self.max_input.or(64 * KIB),
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

    /// These settings, but for those of a connection that a listener overrides.
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

    /// How many connections were asked for, if that was set.
    pub(crate) fn asked_connections(&self) -> Option<usize> {
        self.max_connections
    }

    /// Checks what a listener overrides of these settings, and the two together.
    pub(crate) fn validate_overrides(&self, overrides: &Self) -> Result<(), Error> {
        if overrides.without_overridable() != Self::new() {
            return Err(Error::Config(ONLY_OF_CONNECTIONS.to_owned()));
        }
        let max_connections = overrides.max_connections.or(self.max_connections);
        Self { max_connections, ..self.overridden_by(overrides) }.validate()
    }

    /// What a listener cannot override.
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

    /// The limits on newcomers of so many reactors, if the system allows so many descriptors.
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

    /// Says so if there cannot be as many connections as these settings ask for.
    pub(crate) fn warn_if_lowered(&self, limits: &Limits, descriptors: Option<usize>) {
        if let (Some(asked), Some(files)) = (self.max_connections, descriptors)
            && limits.connections < asked
        {
            log::warn!(
                "max_connections is lowered from {asked} to {}, as the limit of open files is {files}: \
                 raise that (ulimit -n, LimitNOFILE= of systemd), or ask for fewer",
                limits.connections
            );
        }
    }

    /// How many bytes the mailbox of one of so many reactors takes: together no more than the queues may hold.
    pub(crate) fn mailbox_budget(&self, reactors: usize) -> usize {
        (self.queue_budget / reactors).max(1)
    }

    /// Whether the idlest may have to go.
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
            format!("low_water ({low}) is above high_water ({high})")
        } else if high > limit {
            format!("high_water ({high}) is above queue_limit ({limit})")
        } else if high == 0 {
            "high_water is 0: nothing could ever be sent".to_owned()
        } else if self.max_input == Setting::to(0) {
            "max_input is 0: nothing could ever be received".to_owned()
        } else if self.queue_budget == 0 {
            "queue_budget is 0: nothing could ever be queued".to_owned()
        } else if self.mailbox_limit == 0 {
            "mailbox_limit is 0: no message could ever be sent".to_owned()
        } else if let Some((name, _)) = self.budgets.named().iter().find(|(_, most)| *most == 0) {
            format!("{name} is 0: nothing could ever be done")
        } else if let Some((name, _)) = self.times().iter().find(|(_, time)| *time == NO_TIME) {
            format!("{name} is 0: everybody would be closed at once")
        } else if self.max_connections == Some(0) {
            "max_connections is 0: nobody could ever be served".to_owned()
        } else if self.max_per_ip == Some(0) {
            "max_per_ip is 0: nobody could ever be served".to_owned()
        } else if self.accept_rate.is_some_and(|(per_second, burst)| per_second == 0 || burst == 0)
        {
            "accept_rate has a 0: nobody could ever be accepted".to_owned()
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
