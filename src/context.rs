//! What belongs to the whole reactor.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::close_reason::CloseReason;
use crate::config::Config;
use crate::conn::{Direction, Gone, SendError};
use crate::handler::TimerKey;
use crate::id::ConnId;
use crate::net::ConnectOptions;
use crate::stats::{Counters, Stats};
use crate::table::{Entry, Owner, Table};

/// What belongs to the whole reactor: all its connections, by their ids, its own timers, its end. As seen
/// from a callback of one connection ([`Conn::others`](crate::Conn::others)), from a callback of the reactor
/// such as [`on_tick`](crate::Handler::on_tick), or from outside of all
/// ([`Reactor::context`](crate::Reactor::context)).
///
/// What is sent to a connection from here goes out in this turn if it is still to be served, and else in
/// one of the next, which start as soon as this one is over. A callback's own id works here too.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use readyloop::{Context, TimerKey};
///
/// const NEWS: TimerKey = TimerKey(0);
///
/// // What a handler's `on_start` and `on_tick` may call.
/// fn tell_the_news_each_minute(reactor: &mut Context<'_>) {
///     reactor.broadcast(b"no news\n");
///     reactor.set_timer(Duration::from_secs(60), NEWS);
/// }
/// ```
pub struct Context<'a> {
    table: &'a mut Table,
    /// The connection whose callback this is seen from.
    current: Option<ConnId>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(table: &'a mut Table, current: Option<ConnId>) -> Self {
        Self { table, current }
    }

    /// The number of this reactor: 0 if there is only one.
    #[must_use]
    pub fn reactor(&self) -> usize {
        self.table.reactor()
    }

    /// The ids of the connections that can be sent to, in no particular order, without the
    /// callback's own.
    pub fn ids(&self) -> impl Iterator<Item = ConnId> {
        self.table.ids().filter(|id| Some(*id) != self.current && self.table.sends(*id))
    }

    /// What is known of each connection that holds a slot, the callback's own included.
    pub fn infos(&self) -> impl Iterator<Item = ConnInfo> {
        self.table.ids().filter_map(|id| self.info(id).ok())
    }

    /// What is known of a connection.
    ///
    /// # Errors
    /// [`Gone`] if it has ended.
    pub fn info(&self, id: ConnId) -> Result<ConnInfo, Gone> {
        let entry = self.table.get(id).ok_or(Gone)?;
        Ok(ConnInfo {
            id,
            peer: entry.peer(),
            direction: entry.direction(),
            listener: self.table.listener_of(entry),
            age: self.table.since(entry.opened()),
            idle: self.table.since(entry.since()),
            traffic: entry.counters(),
            queued: self.table.queued(id, self.current),
        })
    }

    /// Begins to open a connection outward, as [`Reactor::connect_with`](crate::Reactor::connect_with) does,
    /// and names it. It never blocks, and never fails from inside: exactly one of
    /// [`on_open`](crate::Handler::on_open) and
    /// [`on_connect_failed`](crate::Handler::on_connect_failed) follows when the callback has returned, with
    /// this id. Before it is open it cannot be sent to; [`close`](Self::close) gives it up.
    ///
    /// Only if the reactor is about to stop, or has drained for as long as it may, nothing is begun and nothing
    /// follows.
    ///
    /// # Examples
    /// ```
    /// use std::net::SocketAddr;
    /// use readyloop::{Conn, ConnId, ConnectOptions};
    ///
    /// // What the `on_open` of a proxy may call.
    /// fn dial_upstream(client: &mut Conn<'_>, upstream: SocketAddr) -> ConnId {
    ///     client.pause(); // until there is somebody to send to
    ///     client.others().connect(&[upstream], &ConnectOptions::new())
    /// }
    /// ```
    pub fn connect(&mut self, addrs: &[SocketAddr], options: &ConnectOptions) -> ConnId {
        self.table.dial(addrs.to_vec(), options.clone())
    }

    /// Queues bytes for a connection, as [`Conn::send`](crate::Conn::send) does.
    ///
    /// # Errors
    /// [`Gone`] if it has ended, is about to, or is not open yet.
    pub fn send(&mut self, id: ConnId, bytes: &[u8]) -> Result<(), Gone> {
        self.table.send(id, bytes, self.current).map_err(|_| Gone)
    }

    /// Queues bytes for a connection, as [`Conn::try_send`](crate::Conn::try_send) does.
    ///
    /// # Errors
    /// As [`Conn::try_send`](crate::Conn::try_send).
    pub fn try_send(&mut self, id: ConnId, bytes: &[u8]) -> Result<(), SendError> {
        self.table.try_send(id, bytes, self.current)
    }

    /// Sends the same bytes to every other connection, as [`Conn::send`](crate::Conn::send) does. It costs time and
    /// memory in proportion to their number.
    pub fn broadcast(&mut self, bytes: &[u8]) {
        let ids: Vec<_> = self.ids().collect();
        for id in ids {
            let _ = self.send(id, bytes); // those who are gone miss nothing
        }
    }

    /// Closes a connection in order, as [`Conn::close`](crate::Conn::close) does.
    ///
    /// # Errors
    /// [`Gone`] if it has ended.
    pub fn close(&mut self, id: ConnId) -> Result<(), Gone> {
        self.change(id, |entry| entry.close(CloseReason::Closed))
    }

    /// Says that nothing more is sent to a connection, as [`Conn::shutdown_write`](crate::Conn::shutdown_write) does.
    ///
    /// # Errors
    /// [`Gone`] if it has ended, is about to, or has been finished.
    pub fn shutdown_write(&mut self, id: ConnId) -> Result<(), Gone> {
        self.check(id)?;
        self.change(id, Entry::shutdown_write)
    }

    /// Resets a connection, as [`Conn::abort`](crate::Conn::abort) does.
    ///
    /// # Errors
    /// [`Gone`] if it has ended.
    pub fn abort(&mut self, id: ConnId) -> Result<(), Gone> {
        self.change(id, |entry| entry.cut(CloseReason::Aborted, true))
    }

    /// What is queued for a connection, in bytes: as [`Conn::queued`](crate::Conn::queued).
    ///
    /// # Errors
    /// [`Gone`] if it has ended, is about to, or was [finished](Self::shutdown_write).
    pub fn queued(&self, id: ConnId) -> Result<usize, Gone> {
        self.check(id)?;
        Ok(self.table.queued(id, self.current))
    }

    /// Whether a connection has so much queued that it is better sent no more, until its
    /// [`on_low_water`](crate::Handler::on_low_water): as [`Conn::is_above_high_water`](crate::Conn::is_above_high_water).
    ///
    /// # Errors
    /// [`Gone`] if it has ended, or is about to.
    pub fn is_above_high_water(&mut self, id: ConnId) -> Result<bool, Gone> {
        self.check(id)?;
        Ok(self.table.waits_to_drain(id, self.current))
    }

    /// Sets a timer of a connection, as [`Conn::set_timer`](crate::Conn::set_timer) does.
    ///
    /// # Errors
    /// [`Gone`] if it has ended, or is about to.
    pub fn set_timer_of(&mut self, id: ConnId, after: Duration, key: TimerKey) -> Result<(), Gone> {
        let entry = self.table.get(id).filter(|entry| entry.phase.is_before_the_end());
        entry.ok_or(Gone)?;
        self.table.set_timer(Owner::Conn(id.slot), after, key);
        Ok(())
    }

    /// Takes a timer of a connection back, as [`Conn::cancel_timer`](crate::Conn::cancel_timer) does.
    ///
    /// # Errors
    /// [`Gone`] if it has ended.
    pub fn cancel_timer_of(&mut self, id: ConnId, key: TimerKey) -> Result<bool, Gone> {
        self.table.get(id).ok_or(Gone)?;
        Ok(self.table.cancel_timer(Owner::Conn(id.slot), key))
    }

    /// Has [`on_tick`](crate::Handler::on_tick) called after a time, with this key: a timer of the reactor
    /// itself, which no connection's end takes away. Else as [`Conn::set_timer`](crate::Conn::set_timer).
    pub fn set_timer(&mut self, after: Duration, key: TimerKey) {
        self.table.set_timer(Owner::Reactor, after, key);
    }

    /// Takes a timer of the reactor back. Returns whether it was set; then it does not come any more.
    pub fn cancel_timer(&mut self, key: TimerKey) -> bool {
        self.table.cancel_timer(Owner::Reactor, key)
    }

    /// What has been counted so far. `waiting_bytes` and what this turn has done are included.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *self.table.stats.get()
    }

    /// What the reactor is told now.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.table.config()
    }

    /// The time of this turn, as [`Conn::now`](crate::Conn::now).
    #[must_use]
    pub fn now(&self) -> Instant {
        self.table.now()
    }

    /// Begins an end that finishes the work, as [`Reactor::drain`](crate::Reactor::drain) does.
    pub fn drain(&mut self, timeout: Duration) {
        self.table.drains_within = Some(timeout);
    }

    /// Stops this reactor at the end of this turn, and with it all that run beside it.
    pub fn stop(&mut self) {
        self.table.stopping = true;
    }

    /// Has the idle deadline of a connection count from now on, as [`Conn::keep_alive`](crate::Conn::keep_alive)
    /// does: for relays, in which what one side says keeps both alive.
    ///
    /// # Errors
    /// [`Gone`] if it has ended, or is about to.
    pub fn keep_alive(&mut self, id: ConnId) -> Result<(), Gone> {
        let now = self.table.stamp();
        self.let_read(id, |entry| entry.heard_of(now))
    }

    /// Pauses a connection, as [`Conn::pause`](crate::Conn::pause) does.
    ///
    /// # Errors
    /// [`Gone`] if it has ended, or is about to.
    pub fn pause(&mut self, id: ConnId) -> Result<(), Gone> {
        self.let_read(id, Entry::pause)
    }

    /// Resumes a connection, as [`Conn::resume`](crate::Conn::resume) does.
    ///
    /// # Errors
    /// [`Gone`] if it has ended, or is about to.
    pub fn resume(&mut self, id: ConnId) -> Result<(), Gone> {
        let now = self.table.stamp();
        self.let_read(id, |entry| entry.resume(None, now))
    }

    /// Resumes a connection for so many calls, as [`Conn::resume_for`](crate::Conn::resume_for) does.
    ///
    /// # Errors
    /// [`Gone`] if it has ended, or is about to.
    pub fn resume_for(&mut self, id: ConnId, calls: u16) -> Result<(), Gone> {
        let now = self.table.stamp();
        self.let_read(id, |entry| entry.resume(Some(calls), now))
    }

    fn let_read(&mut self, id: ConnId, how: impl FnOnce(&mut Entry)) -> Result<(), Gone> {
        let is_read = self.table.get(id).is_some_and(|entry| entry.phase.is_before_the_end());
        if is_read { self.change(id, how) } else { Err(Gone) }
    }

    fn check(&self, id: ConnId) -> Result<(), Gone> {
        if self.table.sends(id) { Ok(()) } else { Err(Gone) }
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

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("current", &self.current).finish_non_exhaustive()
    }
}

/// What is known of a connection from outside, as [`Handle::connections`](crate::Handle::connections) lists
/// it.
///
/// # Examples
/// ```
/// # use readyloop::Context;
/// fn list(reactor: &Context<'_>) {
///     for conn in reactor.infos() {
///         println!("{} {} idle for {:?}", conn.id, conn.peer, conn.idle);
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnInfo {
    /// Its name.
    pub id: ConnId,
    /// Who has opened it.
    pub direction: Direction,
    /// The address of the peer. Of one that is being opened: the address that is tried.
    pub peer: SocketAddr,
    /// The address of the listener that accepted it, if one did.
    pub listener: Option<SocketAddr>,
    /// How long ago it was accepted or connected.
    pub age: Duration,
    /// How long ago something last came from it. For one that waits for its end: since when it does.
    pub idle: Duration,
    /// Bytes and system calls, in and out.
    pub traffic: Counters,
    /// Bytes that wait to be sent.
    pub queued: usize,
}
