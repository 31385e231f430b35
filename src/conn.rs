//! What a callback sees of its connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{error, fmt};

use crate::close_reason::CloseReason;
use crate::context::Context;
use crate::handler::TimerKey;
use crate::id::ConnId;
use crate::stats::Counters;
use crate::table::{Entry, Owner, Table};

/// The connection that a callback is about.
///
/// It records what the callback wants; the reactor acts right after the callback has returned, in
/// the order in which it was said.
///
/// # Examples
/// ```
/// use readyloop::{BoxError, Conn, Input};
///
/// fn on_data(conn: &mut Conn<'_>, input: &mut Input<'_>) -> Result<(), BoxError> {
///     if let Some(line) = input.take_until(b"\n") {
///         match line {
///             b"quit" => conn.close(),
///             b"stop the server" => conn.stop_reactor(),
///             other => conn.send(other),
///         }
///     }
///     Ok(())
/// }
/// ```
pub struct Conn<'a> {
    table: &'a mut Table,
    id: ConnId,
}

impl<'a> Conn<'a> {
    pub(crate) fn new(table: &'a mut Table, id: ConnId) -> Self {
        Self { table, id }
    }

    /// The name of this connection.
    #[must_use]
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// Whether it came in or was opened outward.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.entry().direction()
    }

    /// The address of the peer: as `accept` told it, or that which was connected to.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.entry().peer()
    }

    /// The address of the listener that accepted this connection, as
    /// [`listen`](crate::Reactor::listen) returned it: a handler with several listeners tells them
    /// apart by it. `None` for one that was opened outward.
    #[must_use]
    pub fn listener_addr(&self) -> Option<SocketAddr> {
        self.table.listener_of(self.entry())
    }

    /// Queues bytes for the peer. They are sent when the callback returns, together with all else
    /// that it sends; what the kernel does not take then goes out as the peer reads.
    ///
    /// This never fails. If more than [`queue_limit`](crate::Config::queue_limit) bytes are queued already,
    /// the connection ends with [`CloseReason::OutboxOverflow`]; [`try_send`](Self::try_send) leaves that
    /// decision to the caller. After [`close`](Self::close) or [`finish`](Self::shutdown_write) it does nothing.
    pub fn send(&mut self, bytes: &[u8]) {
        // Gone means closed or cut off: then nobody is there to get the bytes, and on_close says so.
        let _ = self.table.send(self.id, bytes, Some(self.id));
    }

    /// Queues bytes as [`send`](Self::send) does, or takes none of them and says why.
    ///
    /// # Errors
    /// [`SendError::Full`] if bytes are queued, and with these they would be more than
    /// [`queue_limit`](crate::Config::queue_limit); or if the [`queue_budget`](crate::Config::queue_budget) is
    /// used up (no [`on_low_water`](crate::Handler::on_low_water) follows if nothing is queued here);
    /// [`SendError::Gone`] if the connection is closed or [finished](Self::shutdown_write), or its peer is gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.table.try_send(self.id, bytes, Some(self.id))
    }

    /// How many bytes wait to be sent, in bytes.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.table.queued(self.id, Some(self.id))
    }

    /// Whether so much is queued that a considerate handler sends no more until
    /// [`on_low_water`](crate::Handler::on_low_water), which follows if this says so. When the whole reactor holds much, little is so much:
    /// see [`queue_budget`](crate::Config::queue_budget). Also true when nothing can be sent any more, so
    /// that a loop like the one below always ends.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::Conn;
    /// fn produce(conn: &mut Conn<'_>) {
    ///     while !conn.is_above_high_water() {
    ///         conn.send(b"all work and no play makes jack a dull boy\n");
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn is_above_high_water(&self) -> bool {
        self.table.is_above_high_water(self.id, Some(self.id))
    }

    /// Stops offering input to the handler, and reading from the peer, until
    /// [`resume`](Self::resume): TCP then holds the peer back. From
    /// [`on_open`](crate::Handler::on_open) on if it is said there. What was read already is kept.
    ///
    /// A paused connection has no idle deadline, and does not learn that its peer has finished. That it
    /// was reset, it does: if it is not resumed within the
    /// [`linger_timeout`](crate::Config::linger_timeout), it ends.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::{BoxError, Conn, ConnId, Input};
    /// /// What one side sends goes to the other, no faster than that one takes it. The other side's
    /// /// `on_low_water` calls `conn.others().resume(…)`.
    /// fn relay(conn: &mut Conn<'_>, to: ConnId, input: &mut Input<'_>) -> Result<(), BoxError> {
    ///     conn.others().send(to, input.take())?;
    ///     if conn.others().is_above_high_water(to)? {
    ///         conn.pause();
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn pause(&mut self) {
        self.entry_mut().pause();
    }

    /// Goes on after [`pause`](Self::pause), without end. Input that the handler has left is offered again, also if
    /// the connection was not paused.
    pub fn resume(&mut self) {
        let now = self.table.stamp();
        self.entry_mut().resume(None, now);
    }

    /// Goes on for so many calls of [`on_data`](crate::Handler::on_data), and pauses then. With 1 it is
    /// the `{active, once}` of Erlang's `inet`, with more the `{active, N}`: a handler that can use one
    /// message at a time asks for the next when it is ready. It replaces what was left of an earlier
    /// number; 0 is a pause, and `u16::MAX` is without end.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::{BoxError, Conn, Input};
    /// fn on_data(conn: &mut Conn<'_>, input: &mut Input<'_>) -> Result<(), BoxError> {
    ///     match input.take_until(b"\n") {
    ///         Some(job) => start(job), // which resumes this connection when it is done
    ///         None => conn.resume_for(1), // not a whole message yet
    ///     }
    ///     Ok(())
    /// }
    /// # fn start(_: &[u8]) {}
    /// ```
    pub fn resume_for(&mut self, calls: u16) {
        let now = self.table.stamp();
        self.entry_mut().resume(Some(calls), now);
    }

    /// Whether input waits for [`resume`](Self::resume).
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.entry().is_paused()
    }

    /// Whether the peer is read from also while more is queued for it than high water. False until it is set:
    /// whoever answers what it reads has to stop reading when its answers are not taken.
    ///
    /// A relay, which sends on to another what it reads here, has to set it, or a peer that sends much before it
    /// reads would stand still; it bounds the *other's* queue, with [`pause`](Self::pause).
    /// `cargo run --example proxy` does so.
    pub fn read_above_high_water(&mut self, reads: bool) {
        self.entry_mut().reads_above = reads;
    }

    /// Has the idle deadline count from now on, as if something had come from the peer: for protocols in
    /// which a silent peer is a good peer, and the handler knows by other means that it is there. The
    /// deadline for the first byte counts from now on, too.
    pub fn keep_alive(&mut self) {
        let now = self.table.stamp();
        self.entry_mut().heard_of(now);
    }

    /// Says that nothing more is sent: all that is queued goes out, then a FIN (a half-close, `SHUT_WR` of
    /// shutdown(2)). The peer is heard on, until it finishes too; then the connection ends, after
    /// [`on_eof`](crate::Handler::on_eof). If it has finished already this is [`close`](Self::close).
    /// [`on_low_water`](crate::Handler::on_low_water) comes no more. A [drain](crate::Reactor::drain) waits for the
    /// peer's end until its deadline.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::Conn;
    /// fn ask(server: &mut Conn<'_>) {
    ///     server.send(b"everything that you know\n");
    ///     server.shutdown_write(); // on_data gets the answer, on_eof its end
    /// }
    /// ```
    pub fn shutdown_write(&mut self) {
        self.entry_mut().shutdown_write();
    }

    /// Closes the connection in order: all that is queued is sent, then a FIN; input that still
    /// comes is thrown away. No callback but `on_close` follows.
    pub fn close(&mut self) {
        self.entry_mut().close(CloseReason::Closed);
    }

    /// Ends the connection at once. The peer sees a reset (RST), and what is queued is lost.
    pub fn abort(&mut self) {
        self.entry_mut().cut(CloseReason::Aborted, true);
    }

    /// The traffic of this connection so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.entry().counters()
    }

    /// How long ago the connection was accepted or connected.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.table.since(self.entry().opened())
    }

    /// The time of this turn. It costs no system call, and under a simulated network it is virtual.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.table.now()
    }

    /// Has [`on_timer`](crate::Handler::on_timer) called for this connection after a time, with this key. A
    /// connection may have any number of timers; setting one whose key is set already moves it.
    ///
    /// A timer is kept to two milliseconds and what a turn takes, is never early, and ends with its
    /// connection.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use readyloop::{BoxError, Conn, TimerKey};
    ///
    /// const PING: TimerKey = TimerKey(1);
    ///
    /// fn on_timer(conn: &mut Conn<'_>, key: TimerKey) -> Result<(), BoxError> {
    ///     if key == PING {
    ///         conn.send(b"are you there?\n");
    ///         conn.set_timer(Duration::from_secs(30), PING);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn set_timer(&mut self, after: Duration, key: TimerKey) {
        self.table.set_timer(Owner::Conn(self.id.slot), after, key);
    }

    /// Takes a timer back. Returns whether it was set; then it does not come any more.
    pub fn cancel_timer(&mut self, key: TimerKey) -> bool {
        self.table.cancel_timer(Owner::Conn(self.id.slot), key)
    }

    /// The other connections of this reactor, and what else belongs to none of them alone.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::Conn;
    /// fn tell_everybody(conn: &mut Conn<'_>, news: &[u8]) {
    ///     conn.others().broadcast(news);
    /// }
    /// ```
    pub fn others(&mut self) -> Context<'_> {
        Context::new(self.table, Some(self.id))
    }

    /// Stops the reactor at the end of this turn, and all that run beside it; [`run`](crate::Reactor::run)
    /// returns. [`Context::drain`] finishes the work first.
    pub fn stop_reactor(&mut self) {
        self.table.stopping = true;
    }

    fn entry(&self) -> &Entry {
        self.table.get(self.id).expect("a callback's connection holds its slot until it returns")
    }

    fn entry_mut(&mut self) -> &mut Entry {
        self.table.entry(self.id)
    }
}

impl fmt::Debug for Conn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("id", &self.id).field("peer", &self.peer_addr()).finish()
    }
}

/// Who has opened a connection.
///
/// # Examples
/// ```
/// use readyloop::{Conn, Direction};
///
/// fn greet(conn: &mut Conn<'_>) {
///     match conn.direction() {
///         Direction::Outbound => conn.send(b"hello, server\n"),
///         _ => conn.send(b"hello, client\n"),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Direction {
    /// The peer: a listener has accepted it.
    Inbound,
    /// This side: [`Reactor::connect`](crate::Reactor::connect) and the like.
    Outbound,
}

/// Why [`try_send`](Conn::try_send) took nothing.
///
/// # Examples
/// ```
/// use readyloop::{Conn, SendError};
///
/// fn send_if_there_is_room(conn: &mut Conn<'_>, news: &[u8]) {
///     match conn.try_send(news) {
///         Err(SendError::Full) => {} // a slow reader misses this one
///         _ => {}
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The queue of the connection is at its limit, or all queues together are at the
    /// [`queue_budget`](crate::Config::queue_budget).
    Full,
    /// The connection has ended, is about to, is not open yet, or was [finished](Conn::shutdown_write).
    Gone,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("there is no room in the queue"),
            Self::Gone => Gone.fmt(f),
        }
    }
}

impl error::Error for SendError {}

/// There is no such connection: the one that an id names has ended, or the id is of another reactor.
///
/// # Examples
/// ```
/// use readyloop::{ConnId, Context, Gone};
///
/// fn kick(others: &mut Context<'_>, id: ConnId) {
///     if let Err(Gone) = others.close(id) {
///         // It went by itself.
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no such connection here: it has ended, or is another reactor's")
    }
}

impl error::Error for Gone {}
