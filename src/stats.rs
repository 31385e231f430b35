//! Counters of a reactor.

/// What a reactor has counted since it was made. Only [`open`](Self::open) and [`waiting_bytes`](Self::waiting_bytes)
/// can decrease.
///
/// At the end of each turn, `accepted + dialled = open + closed + unregistered + refused_full + refused_per_ip +
/// refused_rate`. For a [`Server`](crate::Server) this is true for the sum over its reactors, except for connections
/// that are on their way from the reactor that has accepted them to the reactor that will serve them.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use std::time::Duration;
/// use readyloop::{Config, Echo, Reactor};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// reactor.listen("127.0.0.1:0")?;
/// let _ = reactor.turn(Some(Duration::ZERO))?;
/// assert_eq!(reactor.context().stats().turns, 1);
/// assert_eq!(reactor.context().stats().open, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Open connections, including those that flush, linger or are being opened.
    pub open: u64,
    /// Connections that `accept` has returned.
    pub accepted: u64,
    /// Connections that have ended and freed their slot. Also connections that were on their way between two reactors
    /// when the server stopped.
    pub closed: u64,
    /// Connections that `on_open` has refused, with an error or a panic. They count as closed too.
    pub refused: u64,
    /// Accepted connections that were reset at once, because the system refused to watch them (`epoll_ctl` failed: see
    /// `max_user_watches` in epoll(7)).
    pub unregistered: u64,
    /// New connections that were refused because [`max_connections`](crate::Config::max_connections) was reached.
    pub refused_full: u64,
    /// New connections that were refused because their address had reached [`max_per_ip`](crate::Config::max_per_ip).
    pub refused_per_ip: u64,
    /// New connections that were refused because of [`accept_rate`](crate::Config::accept_rate).
    pub refused_rate: u64,
    /// Connections that were evicted: see [`Overflow::EvictIdlest`](crate::Overflow::EvictIdlest). They count as closed
    /// too.
    pub evicted: u64,
    /// Connections that were reset for memory: see [`CloseReason::Shed`](crate::CloseReason::Shed). They count as
    /// closed too.
    pub shed: u64,
    /// How many connections each deadline has ended.
    pub expired: Expired,
    /// How often each budget was used up while there was more work.
    pub exhausted: Exhausted,
    /// Calls of `accept` that failed, except for lack of descriptors or memory: ECONNABORTED, EPERM and others. After
    /// several failures in a row the reactor stops accepting for up to 200 ms. The error does not tell whether a
    /// connection was lost: some errors remove one from the backlog, some do not.
    pub accepts_failed: u64,
    /// Calls of `accept` that failed for lack of descriptors or memory. After each the reactor stops accepting for up
    /// to 200 ms.
    pub accepts_starved: u64,
    /// Listeners that have died. See [`drain_without_listeners`](crate::Config::drain_without_listeners).
    pub listeners_lost: u64,
    /// Callbacks that have panicked.
    pub panics: u64,
    /// Bytes that were received, over all connections, closed ones included.
    pub bytes_in: u64,
    /// Bytes that the kernel has taken for the peers.
    pub bytes_out: u64,
    /// System calls that have returned bytes.
    pub reads: u64,
    /// System calls that have sent bytes.
    pub writes: u64,
    /// Bytes that wait now: output that the kernel has not taken, and unread input. A body that several connections
    /// [share](crate::Conn::send_bytes) counts once for each reactor.
    pub waiting_bytes: u64,
    /// Outbound connections that [`connect`](crate::Context::connect) has begun.
    pub dialled: u64,
    /// Outbound connections that were not opened. [`on_connect_failed`](crate::Handler::on_connect_failed) was called
    /// for each. They count as closed too.
    pub not_connected: u64,
    /// Timers that were due, of connections and of the reactor itself.
    pub timers_fired: u64,
    /// Messages from other threads that were handled: posts, calls and sends of a [`Handle`](crate::Handle).
    pub messages: u64,
    /// Turns that took longer than [`slow_turn`](crate::Config::slow_turn).
    pub slow_turns: u64,
    /// Turns of the reactor.
    pub turns: u64,
}

/// How many connections each deadline has ended, as part of [`Stats`].
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
    /// Connections that [`first_byte_timeout`](crate::Config::first_byte_timeout) has ended.
    pub first_byte: u64,
    /// Connections that [`idle_timeout`](crate::Config::idle_timeout) has ended.
    pub idle: u64,
    /// Connections that [`write_timeout`](crate::Config::write_timeout) has ended.
    pub write: u64,
    /// Connections that [`linger_timeout`](crate::Config::linger_timeout) has ended: everything was sent, but the peer
    /// did not finish.
    pub linger: u64,
    /// Connections that [`max_age`](crate::Config::max_age) has ended.
    pub age: u64,
}

/// How often each budget was used up while there was more work, as part of [`Stats`]. This is not a fault: a budget
/// keeps one connection from delaying all others. If a number grows in nearly every turn, that budget is small for the
/// load.
///
/// # Examples
/// ```
/// # fn report(stats: &readyloop::Stats) {
/// let connections = stats.exhausted.reads as f64 / stats.turns as f64;
/// println!("{connections:.2} connections a turn had more to read");
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exhausted {
    /// The [`read`](crate::Budgets::read) budget of a connection.
    pub reads: u64,
    /// The [`write`](crate::Budgets::write) budget of a connection.
    pub writes: u64,
    /// The [`calls`](crate::Budgets::calls) budget of a connection.
    pub calls: u64,
    /// The [`accepts`](crate::Budgets::accepts) budget of a listener.
    pub accepts: u64,
    /// The [`connects`](crate::Budgets::connects) budget of the reactor.
    pub connects: u64,
    /// The [`timers`](crate::Budgets::timers) budget of the reactor.
    pub timers: u64,
    /// The [`messages`](crate::Budgets::messages) budget of the reactor.
    pub messages: u64,
}

/// How many numbers [`Stats`] has.
pub(crate) const FIGURES: usize = 37;

/// How many of them change in every turn that has work: the traffic, and the number of turns.
const BUSY: usize = 5;

/// All numbers of a [`Stats`] in one order, the busy ones last. The second argument is `&mut` to borrow them, or empty
/// to copy them. Publishing and adding up use this list.
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
            $($borrowed)* $stats.bytes_in,
            $($borrowed)* $stats.bytes_out,
            $($borrowed)* $stats.reads,
            $($borrowed)* $stats.writes,
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

    /// The busy part of the [`numbers`](Self::numbers), and the index where it begins.
    pub(crate) fn busy_numbers(&self) -> (usize, [u64; BUSY]) {
        let Self { bytes_in, bytes_out, reads, writes, .. } = *self;
        (FIGURES - BUSY, [bytes_in, bytes_out, reads, writes, self.turns])
    }

    pub(crate) fn from_numbers(numbers: [u64; FIGURES]) -> Self {
        let mut stats = Self::default();
        for (figure, number) in stats.figures().into_iter().zip(numbers) {
            *figure = number;
        }
        stats
    }

    /// Adds the numbers of another reactor.
    pub(crate) fn add(&mut self, mut other: Self) {
        for (figure, more) in self.figures().into_iter().zip(other.figures()) {
            *figure += *more;
        }
    }
}

/// The [`Stats`] of a running reactor. It remembers whether anything but the busy numbers has changed: to publish all
/// numbers in every turn would cost a good part of the turn.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    stats: Stats,
    has_news: bool,
}

impl Tally {
    pub(crate) fn get(&self) -> &Stats {
        &self.stats
    }

    /// The stats, to count what does not happen in every turn.
    pub(crate) fn count(&mut self) -> &mut Stats {
        self.has_news = true;
        &mut self.stats
    }

    pub(crate) fn read(&mut self, bytes: usize) {
        self.stats.bytes_in += bytes as u64;
        self.stats.reads += 1;
    }

    pub(crate) fn written(&mut self, bytes: usize) {
        self.stats.bytes_out += bytes as u64;
        self.stats.writes += 1;
    }

    pub(crate) fn turned(&mut self) {
        self.stats.turns += 1;
    }

    /// Whether anything but the busy numbers was counted since the last call.
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
        assert_eq!(stats.numbers(), numbers, "no number is listed twice");
        let (first, busy) = stats.busy_numbers();
        assert_eq!(numbers[first..], busy, "the busy numbers are the last, in the same order");
        stats.add(stats);
        assert_eq!(stats.numbers(), numbers.map(|number| 2 * number));
    }
}
