//! What a callback sees of connections.

use std::net::SocketAddr;
use std::time::{Duration, Instant};
use std::{error, fmt};

use crate::close_reason::CloseReason;
use crate::id::ConnId;
use crate::stats::Counters;
use crate::table::{Entry, Table};

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
///     while let Some(line) = input.take_until(b"\n") {
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

    /// The address of the peer, as `accept` told it.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.entry().peer()
    }

    /// The address of the listener that accepted this connection, as
    /// [`listen`](crate::Reactor::listen) returned it: a handler with several listeners tells them
    /// apart by it.
    #[must_use]
    pub fn listener_addr(&self) -> SocketAddr {
        self.table.listener_of(self.entry())
    }

    /// Queues bytes for the peer. They are sent when the callback returns, together with all else
    /// that it sends; what the kernel does not take then goes out as the peer reads.
    ///
    /// This never fails. If more than [`queue_limit`](crate::Config::queue_limit) bytes are queued
    /// the connection ends with [`CloseReason::OutboxOverflow`]: [`try_send`](Self::try_send) is for
    /// those who want to decide. After [`close`](Self::close) it does nothing.
    pub fn send(&mut self, bytes: &[u8]) {
        // Gone means closed or cut off: then nobody is there to get the bytes, and on_close says so.
        let _ = self.table.send(self.id, bytes, self.id);
    }

    /// Queues bytes as [`send`](Self::send) does, or takes none of them and says why.
    ///
    /// # Errors
    /// [`SendError::Full`] if more than [`queue_limit`](crate::Config::queue_limit) bytes would be
    /// queued; [`SendError::Gone`] if the connection is closed or its peer is gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.table.try_send(self.id, bytes, self.id)
    }

    /// How many bytes wait to be sent, in bytes.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.table.queued(self.id, self.id)
    }

    /// Whether so much is queued that a considerate handler sends no more until
    /// [`on_drained`](crate::Handler::on_drained). Also true when nothing can be sent any more, so that
    /// a loop like the one below always ends.
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
        !self.entry().phase.sends() || self.queued() > self.table.config.high_water
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
        self.entry().counters
    }

    /// How long ago the connection was accepted.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.table.age(self.entry())
    }

    /// The time of this turn. It costs no system call, and under a simulated network it is virtual.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.table.now
    }

    /// The other connections of this reactor.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::Conn;
    /// fn tell_everybody(conn: &mut Conn<'_>, news: &[u8]) {
    ///     conn.others().broadcast(news);
    /// }
    /// ```
    pub fn others(&mut self) -> Others<'_> {
        Others { table: self.table, current: self.id }
    }

    /// Stops the reactor at the end of this turn; [`run`](crate::Reactor::run) returns.
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

/// All connections of the reactor, by their ids, as seen from the callback of one of them.
///
/// What is sent to another connection goes out in this turn if it is still to be served, and else in
/// the next, which starts as soon as this one is over. The callback's own id works here too.
pub struct Others<'a> {
    table: &'a mut Table,
    current: ConnId,
}

impl Others<'_> {
    /// The ids of the connections that can be sent to, in no particular order, without the
    /// callback's own.
    pub fn ids(&self) -> impl Iterator<Item = ConnId> {
        let open = |id: &ConnId| self.table.get(*id).is_some_and(|entry| entry.phase.sends());
        self.table.ids().filter(|id| *id != self.current).filter(open)
    }

    /// Queues bytes for a connection, as [`Conn::send`] does.
    ///
    /// # Errors
    /// [`Gone`] if it has ended, or is about to.
    pub fn send(&mut self, id: ConnId, bytes: &[u8]) -> Result<(), Gone> {
        self.table.send(id, bytes, self.current).map_err(|_| Gone)
    }

    /// Queues bytes for a connection, as [`Conn::try_send`] does.
    ///
    /// # Errors
    /// As [`Conn::try_send`].
    pub fn try_send(&mut self, id: ConnId, bytes: &[u8]) -> Result<(), SendError> {
        self.table.try_send(id, bytes, self.current)
    }

    /// Sends the same bytes to every other connection, as [`Conn::send`] does. It costs time and
    /// memory in proportion to their number.
    pub fn broadcast(&mut self, bytes: &[u8]) {
        let ids: Vec<_> = self.ids().collect();
        for id in ids {
            let _ = self.send(id, bytes); // those who are gone miss nothing
        }
    }

    /// Closes a connection in order, as [`Conn::close`] does.
    ///
    /// # Errors
    /// [`Gone`] if it has ended.
    pub fn close(&mut self, id: ConnId) -> Result<(), Gone> {
        self.change(id, |entry| entry.close(CloseReason::Closed))
    }

    /// Resets a connection, as [`Conn::abort`] does.
    ///
    /// # Errors
    /// [`Gone`] if it has ended.
    pub fn abort(&mut self, id: ConnId) -> Result<(), Gone> {
        self.change(id, |entry| entry.cut(CloseReason::Aborted, true))
    }

    fn change(&mut self, id: ConnId, how: impl FnOnce(&mut Entry)) -> Result<(), Gone> {
        let entry = self.table.get_mut(id).ok_or(Gone)?;
        if entry.phase.is_closed() {
            return Err(Gone);
        }
        how(entry);
        self.table.list_if_busy(id);
        Ok(())
    }
}

impl fmt::Debug for Others<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Others").field("current", &self.current).finish_non_exhaustive()
    }
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
    /// The peer is too slow: its queue is at the limit.
    Full,
    /// The connection has ended, or is about to.
    Gone,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the queue of the connection is full"),
            Self::Gone => Gone.fmt(f),
        }
    }
}

impl error::Error for SendError {}

/// The connection that an id names has ended.
///
/// # Examples
/// ```
/// use readyloop::{ConnId, Gone, Others};
///
/// fn kick(others: &mut Others<'_>, id: ConnId) {
///     if let Err(Gone) = others.close(id) {
///         // It went by itself.
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection has ended")
    }
}

impl error::Error for Gone {}
