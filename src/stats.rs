//! What is counted, for one connection and for the whole reactor.

/// The traffic of one connection.
///
/// # Examples
/// ```
/// # use readyloop::Conn;
/// fn describe(conn: &Conn) -> String {
///     let traffic = conn.info().traffic;
///     format!("{} bytes in {} reads", traffic.bytes_in, traffic.reads)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Bytes that the peer sent and the kernel handed over.
    pub bytes_in: u64,
    /// Bytes that the kernel took for the peer.
    pub bytes_out: u64,
    /// System calls that brought bytes in.
    pub reads: u64,
    /// System calls that took bytes out.
    pub writes: u64,
}

impl Counters {
    pub(crate) fn read(&mut self, bytes: usize) {
        self.bytes_in += bytes as u64;
        self.reads += 1;
    }

    pub(crate) fn written(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
        self.writes += 1;
    }
}

/// What a reactor has done since it was made. Every field only grows, but for
/// [`open`](Self::open) and [`waiting_bytes`](Self::waiting_bytes).
///
/// At the end of every turn, `accepted + dialled = open + closed + unregistered + refused_full +
/// refused_per_ip + refused_rate`. With several reactors that holds for their sum, but for those connections that are on their
/// way from the one which accepted them to the one that will serve them.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use std::time::Duration;
/// use readyloop::{Config, Reactor, services::Echo};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// reactor.listen("127.0.0.1:0")?;
/// let _ = reactor.turn(Some(Duration::ZERO))?;
/// assert_eq!(reactor.stats().turns, 1);
/// assert_eq!(reactor.stats().open, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that hold a slot now, those that flush or linger or are being opened included.
    pub open: u64,
    /// Connections that `accept` returned.
    pub accepted: u64,
    /// Connections whose slot was given back, and those that were on their way from one reactor to another
    /// when that stopped.
    pub closed: u64,
    /// Connections that `on_open` refused, by an error or a panic. They count as closed too.
    pub refused: u64,
    /// Connections that were dropped at once, because the system would not watch them
    /// (`epoll_ctl` failed: see `max_user_watches` in epoll(7)).
    pub unregistered: u64,
    /// Newcomers that were turned away as there were [`max_connections`](crate::Config::max_connections).
    pub refused_full: u64,
    /// Newcomers that were turned away as their address held
    /// [`max_per_ip`](crate::Config::max_per_ip) connections.
    pub refused_per_ip: u64,
    /// Newcomers that were turned away by the [`accept_rate`](crate::Config::accept_rate).
    pub refused_rate: u64,
    /// Connections that had to make room for others. They count as closed too.
    pub evicted: u64,
    /// Connections that ended because the [`queue_budget`](crate::Config::queue_budget) was exceeded.
    /// They count as closed too.
    pub shed: u64,
    /// How often a deadline has ended a connection, or its waiting for the end.
    pub expired: Expired,
    /// How often a budget has made somebody wait for the next turn.
    pub exhausted: Exhausted,
    /// Calls of `accept` that failed, but not for lack of descriptors or memory: ECONNABORTED, EPERM and others.
    /// After some of them in a row the acceptor pauses. The error does not tell whether a connection was lost
    /// by it: some remove one from the backlog, and some do not.
    pub accepts_failed: u64,
    /// Calls of `accept` that failed for lack of descriptors or memory, and made the acceptor pause.
    pub accepts_starved: u64,
    /// Listeners that died. See [`drain_without_listeners`](crate::Config::drain_without_listeners).
    pub listeners_lost: u64,
    /// Callbacks that panicked.
    pub panics: u64,
    /// The traffic of all connections, the closed ones included.
    pub traffic: Counters,
    /// Bytes that wait now: output that the kernel has not taken, and input that handlers have left. A body that
    /// several connections [share](crate::Conn::send_bytes) counts once for each reactor.
    pub waiting_bytes: u64,
    /// Connections that were to be opened outward, by [`connect`](crate::Reactor::connect) and the like.
    pub dialled: u64,
    /// Those of them that came to nothing; [`on_connect_failed`](crate::Handler::on_connect_failed) was told
    /// of each. They count as closed too.
    pub not_connected: u64,
    /// Timers that came, of connections and of the reactor itself.
    pub timers_fired: u64,
    /// Messages from other threads that were seen to: posts, calls, and what is sent by a
    /// [`Handle`](crate::Handle).
    pub messages: u64,
    /// Turns that took longer than [`slow_turn`](crate::Config::slow_turn), so that everybody waited.
    pub slow_turns: u64,
    /// Turns of the loop.
    pub turns: u64,
}

/// How often each deadline was missed, as part of [`Stats`].
///
/// # Examples
/// ```
/// # fn report(stats: &readyloop::Stats) {
/// if stats.expired.write > 0 {
///     println!("{} peers did not take what was sent to them", stats.expired.write);
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expired {
    /// By [`first_byte_timeout`](crate::Config::first_byte_timeout).
    pub first_byte: u64,
    /// By [`idle_timeout`](crate::Config::idle_timeout).
    pub idle: u64,
    /// By [`write_timeout`](crate::Config::write_timeout).
    pub write: u64,
    /// By [`linger_timeout`](crate::Config::linger_timeout): the peer had everything, but did not finish.
    pub linger: u64,
    /// By [`max_age`](crate::Config::max_age).
    pub age: u64,
}

/// How often each budget ran out while there was more to do, as part of [`Stats`]. That is no fault: it
/// is what keeps one from holding up all others. A figure that grows with nearly every turn says that
/// the budget is small for the load.
///
/// # Examples
/// ```
/// # fn report(stats: &readyloop::Stats) {
/// let share = stats.exhausted.reads as f64 / stats.turns as f64;
/// println!("in one of {:.0} turns somebody had more to say", 1.0 / share);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exhausted {
    /// The [`read`](crate::Budgets::read) of a connection.
    pub reads: u64,
    /// The [`write`](crate::Budgets::write) of a connection.
    pub writes: u64,
    /// The [`calls`](crate::Budgets::calls) of a connection.
    pub calls: u64,
    /// The [`accepts`](crate::Budgets::accepts) of a listener.
    pub accepts: u64,
    /// The [`connects`](crate::Budgets::connects) of the reactor.
    pub connects: u64,
    /// The [`timers`](crate::Budgets::timers) of the reactor.
    pub timers: u64,
    /// The [`messages`](crate::Budgets::messages) of the reactor.
    pub messages: u64,
}

/// How many figures [`Stats`] has.
pub(crate) const FIGURES: usize = 37;

/// So many of them change with every turn that serves somebody: the traffic, and the number of turns.
const BUSY: usize = 5;

/// All figures of some [`Stats`] in one order, the busy ones last, borrowed as is said or copied: what is published to other
/// threads and what is added up goes by this list.
macro_rules! figures {
    ($stats:ident $($borrowed:tt)*) => {
        [
            $($borrowed)* $stats.open,
            $($borrowed)* $stats.accepted,
            $($borrowed)* $stats.closed,
            $($borrowed)* $stats.refused,
            $($borrowed)* $stats.unregistered,
            $($borrowed)* $stats.refused_full,
            $($borrowed)* $stats.refused_per_ip,
            $($borrowed)* $stats.refused_rate,
            $($borrowed)* $stats.evicted,
            $($borrowed)* $stats.shed,
            $($borrowed)* $stats.expired.first_byte,
            $($borrowed)* $stats.expired.idle,
            $($borrowed)* $stats.expired.write,
            $($borrowed)* $stats.expired.linger,
            $($borrowed)* $stats.expired.age,
            $($borrowed)* $stats.exhausted.reads,
            $($borrowed)* $stats.exhausted.writes,
            $($borrowed)* $stats.exhausted.calls,
            $($borrowed)* $stats.exhausted.accepts,
            $($borrowed)* $stats.exhausted.connects,
            $($borrowed)* $stats.exhausted.timers,
            $($borrowed)* $stats.exhausted.messages,
            $($borrowed)* $stats.accepts_failed,
            $($borrowed)* $stats.accepts_starved,
            $($borrowed)* $stats.listeners_lost,
            $($borrowed)* $stats.panics,
            $($borrowed)* $stats.waiting_bytes,
            $($borrowed)* $stats.dialled,
            $($borrowed)* $stats.not_connected,
            $($borrowed)* $stats.timers_fired,
            $($borrowed)* $stats.messages,
            $($borrowed)* $stats.slow_turns,
            $($borrowed)* $stats.traffic.bytes_in,
            $($borrowed)* $stats.traffic.bytes_out,
            $($borrowed)* $stats.traffic.reads,
            $($borrowed)* $stats.traffic.writes,
            $($borrowed)* $stats.turns,
        ]
    };
}

impl Stats {
    fn figures(&mut self) -> [&mut u64; FIGURES] {
        figures!(self &mut)
    }

    pub(crate) fn numbers(&self) -> [u64; FIGURES] {
        figures!(self)
    }

    /// The last of the [`numbers`](Self::numbers), beginning with the one at this place.
    pub(crate) fn busy_numbers(&self) -> (usize, [u64; BUSY]) {
        let Counters { bytes_in, bytes_out, reads, writes } = self.traffic;
        (FIGURES - BUSY, [bytes_in, bytes_out, reads, writes, self.turns])
    }

    pub(crate) fn from_numbers(numbers: [u64; FIGURES]) -> Self {
        let mut stats = Self::default();
        for (figure, number) in stats.figures().into_iter().zip(numbers) {
            *figure = number;
        }
        stats
    }

    /// Adds what another reactor has counted.
    pub(crate) fn add(&mut self, mut other: Self) {
        for (figure, more) in self.figures().into_iter().zip(other.figures()) {
            *figure += *more;
        }
    }
}

/// Stats that are being counted. It knows whether more than the busy figures has changed: to publish
/// all of them with every turn would cost a good part of it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    stats: Stats,
    has_news: bool,
}

impl Tally {
    pub(crate) fn get(&self) -> &Stats {
        &self.stats
    }

    /// To count what does not happen with every turn.
    pub(crate) fn count(&mut self) -> &mut Stats {
        self.has_news = true;
        &mut self.stats
    }

    pub(crate) fn read(&mut self, bytes: usize) {
        self.stats.traffic.read(bytes);
    }

    pub(crate) fn written(&mut self, bytes: usize) {
        self.stats.traffic.written(bytes);
    }

    pub(crate) fn turned(&mut self) {
        self.stats.turns += 1;
    }

    /// Whether anything else was counted since this was asked last.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_figure_is_left_out() {
        assert_eq!(size_of::<Stats>(), FIGURES * size_of::<u64>());
        let numbers = std::array::from_fn(|index| index as u64 + 1);
        let mut stats = Stats::from_numbers(numbers);
        assert_eq!(stats.numbers(), numbers, "none is listed twice");
        let (first, busy) = stats.busy_numbers();
        assert_eq!(numbers[first..], busy, "they are the last ones, in the same order");
        stats.add(stats);
        assert_eq!(stats.numbers(), numbers.map(|number| 2 * number));
    }
}
