//! A handler's view of one connection.

use std::any::type_name;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;

use crate::addr::Addr;
use crate::close_reason::CloseReason;
use crate::conn_info::{ConnInfo, Direction};
use crate::framing::Framer;
use crate::id::ConnId;
use crate::net::Socket;
use crate::send_error::SendError;
use crate::table::{Entry, Owner};
use crate::timer_key::TimerKey;
use crate::view::View;

/// A handler's view of one connection. A callback gets the `Conn` of its own connection as an argument, and the `Conn`
/// of another connection from [`Context::get`](crate::Context::get).
///
/// The methods record what to do. The reactor does it after the callback has returned, in the order of the calls. On
/// another connection the reactor acts in the same turn, or in the next one, which starts at once.
///
/// `Conn` is an [`io::Write`], so that `write!(conn, …)?` works. Writing never fails, and does what
/// [`send`](Self::send) does.
///
/// # Examples
/// ```
/// use std::io::Write;
/// use readyloop::{Conn, Input, Result};
///
/// fn on_data(conn: &mut Conn, input: &mut Input) -> Result {
///     match input.take_line()? {
///         Some(b"quit") => conn.close(),
///         Some(b"stop the server") => conn.reactor().stop(),
///         Some(line) => writeln!(conn, "you said {} bytes", line.len())?,
///         None => {} // the line is not complete yet
///     }
///     Ok(())
/// }
/// ```
pub struct Conn<'a> {
    pub(crate) view: View<'a>,
    id: ConnId,
}

impl<'a> Conn<'a> {
    /// `id` holds a slot of the table.
    pub(crate) fn new(view: View<'a>, id: ConnId) -> Self {
        Self { view, id }
    }

    /// The id of this connection.
    #[must_use]
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// Whether this side has opened the connection, with [`Context::connect`](crate::Context::connect).
    #[must_use]
    pub fn is_outbound(&self) -> bool {
        self.entry().direction() == Direction::Outbound
    }

    /// The address of the peer: as `accept` returned it, or the address that was connected to.
    #[must_use]
    pub fn peer_addr(&self) -> Addr {
        self.entry().peer().into()
    }

    /// The address of this end of the connection. It costs a system call.
    ///
    /// # Errors
    /// As getsockname(2). [`NotConnected`](io::ErrorKind::NotConnected) if the connection is closed, or if an outbound
    /// connection has no socket yet.
    pub fn local_addr(&self) -> io::Result<Addr> {
        self.socket()?.local_addr().map(Addr::from)
    }

    /// Sets whether small messages are sent at once (`TCP_NODELAY`, tcp(7)). Default true for an outbound connection,
    /// otherwise as [`ListenOptions::no_delay`](crate::ListenOptions::no_delay) says.
    ///
    /// # Errors
    /// As setsockopt(2). [`NotConnected`](io::ErrorKind::NotConnected) if the connection is closed, or if an outbound
    /// connection has no socket yet.
    pub fn set_no_delay(&mut self, no_delay: bool) -> io::Result<()> {
        self.socket()?.set_no_delay(no_delay)
    }

    /// Sets the time without traffic after which the kernel sends keep-alive probes to the peer.
    /// [`ListenOptions::keep_alive`](crate::ListenOptions::keep_alive) does this for all connections of a listener.
    ///
    /// # Errors
    /// As setsockopt(2). [`NotConnected`](io::ErrorKind::NotConnected) if the connection is closed, or if an outbound
    /// connection has no socket yet.
    pub fn set_keep_alive(&mut self, after: Option<Duration>) -> io::Result<()> {
        self.socket()?.set_keep_alive(after)
    }

    /// The [`tag`](crate::ListenOptions::tag) of the listener that accepted this connection. 0 if the listener has no
    /// tag, and for an outbound connection.
    #[must_use]
    pub fn listener_tag(&self) -> u64 {
        self.view.table.listener_of(self.entry()).map_or(0, |listener| listener.tag)
    }

    /// Whether the connection can be sent to. False once it is closed or closing, before an outbound connection is
    /// open, and after [`shutdown_write`](Self::shutdown_write).
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.entry().phase.sends()
    }

    /// The handler's state for this connection. With it a callback reaches the state of another connection.
    ///
    /// Returns `None` for the connection whose callback runs: the callback has this state as an argument. Also returns
    /// `None` until [`on_open`](crate::Handler::on_open) has returned a state.
    ///
    /// # Panics
    /// If `S` is not the [`State`](crate::Handler::State) of the reactor's handler.
    ///
    /// # Examples
    /// ```
    /// use readyloop::{Conn, ConnId};
    ///
    /// struct Player { score: u32 }
    ///
    /// /// What an `on_data` may call: one player takes a point from another.
    /// fn take_point(conn: &mut Conn, player: &mut Player, from: ConnId) {
    ///     let mut reactor = conn.reactor();
    ///     let Some(mut other) = reactor.get(from) else { return };
    ///     if let Some(loser) = other.state::<Player>().filter(|loser| loser.score > 0) {
    ///         loser.score -= 1;
    ///         player.score += 1;
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn state<S: 'static>(&mut self) -> Option<&mut S> {
        let state = self.view.owned.state(self.id.slot)?.downcast_mut();
        Some(state.unwrap_or_else(|| {
            panic!("the handler's State is another type than {}", type_name::<S>())
        }))
    }

    /// Queues bytes for the peer. When the callback returns, all bytes that it has queued are sent together. Bytes that
    /// the kernel does not take stay queued, and are sent as the peer reads.
    ///
    /// This never fails. If more than [`queue_limit`](crate::Config::queue_limit) bytes are queued already,
    /// the connection ends with [`CloseReason::OutboxOverflow`]; [`try_send`](Self::try_send) leaves that
    /// decision to the caller. If the connection is [not writable](Self::is_writable), the bytes are discarded.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.view.table.send(self.id, bytes, self.view.current); // on_close reports a close
    }

    /// Queues a body as [`send`](Self::send) does, without copying it. Use it for a body that is large, or that many
    /// connections get. While a body is queued, its connection holds a reference to it. The body is dropped when the
    /// last connection has sent it.
    ///
    /// [`Bytes`] is re-exported from the crate `bytes`. `Vec<u8>`, `String`, `&'static str` and `&'static [u8]` convert
    /// to it without a copy; [`Bytes::copy_from_slice`] copies a borrowed slice. Clones share one allocation.
    ///
    /// [`ConnInfo::queued`](ConnInfo::queued) and [`queue_limit`](crate::Config::queue_limit) count all bytes of the
    /// body for each connection. The [`queue_budget`](crate::Config::queue_budget) counts the body once for each
    /// reactor that has it queued, and 96 bytes for each reference in a queue. Two bodies are the same if their address
    /// and length are the same. A slice of a body counts with the length of the slice, although it keeps the whole
    /// allocation.
    ///
    /// A body of less than 1 KiB is copied.
    ///
    /// # Examples
    /// Sends an article to all subscribers from one allocation:
    /// ```
    /// use readyloop::{Bytes, Conn, ConnId};
    ///
    /// fn publish(conn: &mut Conn, subscribers: &[ConnId], article: Vec<u8>) {
    ///     let article = Bytes::from(article);
    ///     for subscriber in subscribers {
    ///         if let Some(mut subscriber) = conn.reactor().get(*subscriber) {
    ///             subscriber.send_bytes(article.clone()); // clones the reference only
    ///         }
    ///     }
    /// }
    /// ```
    pub fn send_bytes(&mut self, body: impl Into<Bytes>) {
        let _ = self.view.table.send_bytes(self.id, body.into(), self.view.current); // on_close reports a close
    }

    /// Queues bytes as [`send`](Self::send) does, or queues none of them and returns why.
    ///
    /// # Errors
    /// - [`SendError::Full`] if bytes are queued already, and `bytes` would raise their number above
    ///   [`queue_limit`](crate::Config::queue_limit).
    /// - [`SendError::Full`] if the [`queue_budget`](crate::Config::queue_budget) is used up. Then
    ///   [`on_low_water`](crate::Handler::on_low_water) follows only if
    ///   [`is_above_high_water`](Self::is_above_high_water) returns true.
    /// - [`SendError::Closed`] if the connection is [not writable](Self::is_writable).
    pub fn try_send(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.view.table.try_send(self.id, bytes, self.view.current)
    }

    /// Queues one frame with this payload, as [`send`](Self::send) does. The frame is not assembled in a separate
    /// buffer. It is never queued in part: if the queue has no room, the connection ends.
    ///
    /// # Errors
    /// If the framing cannot carry the payload: for instance
    /// [`FrameError::PayloadTooLong`](crate::FrameError::PayloadTooLong) if its length does not fit into the length
    /// prefix. Nothing is queued then.
    ///
    /// # Examples
    /// ```
    /// use readyloop::{Conn, Input, LengthPrefix, Result};
    ///
    /// fn on_data(conn: &mut Conn, input: &mut Input) -> Result {
    ///     if let Some(request) = input.take_length_prefixed(LengthPrefix::U16)? {
    ///         let answer = request.to_ascii_uppercase();
    ///         conn.send_frame(&LengthPrefix::U16, &answer)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn send_frame<F: Framer + ?Sized>(
        &mut self,
        framer: &F,
        payload: &[u8],
    ) -> Result<(), F::Error> {
        let (id, current, table) = (self.id, self.view.current, &mut *self.view.table);
        let mut is_begun = false;
        framer.encode(payload, &mut |bytes| {
            // If the connection is closed, the bytes are discarded, and on_close reports the close.
            let _ = if is_begun {
                table.send_more(id, bytes, current)
            } else {
                table.send(id, bytes, current)
            };
            is_begun |= !bytes.is_empty();
        })
    }

    /// Whether the queue is above its high-water mark. Then the handler should send no more until
    /// [`on_low_water`](crate::Handler::on_low_water), which follows if the connection is writable. Bytes that the
    /// running callback has sent count as queued.
    ///
    /// The mark is [`high_water`](crate::Config::high_water), or an eighth of it under memory pressure: see
    /// [`queue_budget`](crate::Config::queue_budget). Also true if the connection is
    /// [not writable](Self::is_writable), so that a loop like the one below always ends.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::Conn;
    /// fn produce(conn: &mut Conn) {
    ///     while !conn.is_above_high_water() {
    ///         conn.send(b"all work and no play makes jack a dull boy\n");
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn is_above_high_water(&mut self) -> bool {
        self.view.table.waits_to_drain(self.id, self.view.current)
    }

    /// Stops reading from the peer, and offering input to the handler, until [`resume`](Self::resume). TCP flow control
    /// then holds the peer back. Unread input is kept. [`on_open`](crate::Handler::on_open) may pause its connection.
    /// On a connection that is not open yet or is closing, `pause` does nothing.
    ///
    /// A paused connection has no idle deadline, and does not notice that its peer has finished sending. It does notice
    /// a reset, and ends after the [`linger_timeout`](crate::Config::linger_timeout). If the handler resumes it in this
    /// time, it ends when the handler has received the bytes that arrived before the reset.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::{Conn, ConnId, Input, Result};
    /// /// Sends the input of one connection to another, no faster than the other takes it. The
    /// /// `on_low_water` of the other resumes this one.
    /// fn relay(conn: &mut Conn, to: ConnId, input: &mut Input) -> Result {
    ///     let mut reactor = conn.reactor();
    ///     let mut to = reactor.get(to).ok_or("the other side has gone")?;
    ///     to.send(input.take());
    ///     if to.is_above_high_water() {
    ///         conn.pause();
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn pause(&mut self) {
        self.view.change_reading(self.id, Entry::pause);
    }

    /// Ends a [`pause`](Self::pause). Unread input is offered to the handler again, even if the connection was not
    /// paused.
    pub fn resume(&mut self) {
        let now = self.view.table.clock.stamp();
        self.view.change_reading(self.id, |entry| entry.resume(None, now));
    }

    /// Resumes for this many calls of [`on_data`](crate::Handler::on_data), and then pauses. With 1, the handler gets
    /// one message, and asks for the next one when it is ready. In Erlang's `inet`, 1 is `{active, once}`, and a larger
    /// number is `{active, N}`. The number replaces that of an earlier call. 0 pauses. `u16::MAX` resumes without a
    /// limit.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::{Conn, Input, Result};
    /// fn on_data(conn: &mut Conn, input: &mut Input) -> Result {
    ///     match input.take_line()? {
    ///         Some(job) => start(job), // which resumes this connection when it is done
    ///         None => conn.resume_for(1), // not a whole message yet
    ///     }
    ///     Ok(())
    /// }
    /// # fn start(_: &[u8]) {}
    /// ```
    pub fn resume_for(&mut self, calls: u16) {
        let now = self.view.table.clock.stamp();
        self.view.change_reading(self.id, |entry| entry.resume(Some(calls), now));
    }

    /// Sets whether the reactor reads from the peer while more than [`high_water`](crate::Config::high_water) bytes are
    /// queued for it. Default false: a peer that does not read its answers should send no more requests.
    ///
    /// A relay sets it to true, because it sends its input to another connection. With false, a peer that sends much
    /// before it reads would stall. The relay bounds the queue of the *other* connection: it [pauses](Self::pause) this
    /// connection while that queue is above high water. See `examples/proxy.rs`.
    pub fn read_above_high_water(&mut self, reads: bool) {
        self.view.change(self.id, |entry| entry.reads_above = reads);
    }

    /// Restarts the [`idle_timeout`](crate::Config::idle_timeout) and the
    /// [`first_byte_timeout`](crate::Config::first_byte_timeout), as if the peer had sent something. Use it for a
    /// protocol in which a peer may be silent, if the handler knows by other means that the peer is there.
    pub fn restart_idle_timeout(&mut self) {
        let now = self.view.table.clock.stamp();
        self.view.change_reading(self.id, |entry| entry.heard_of(now));
    }

    /// Closes the sending direction: the queued bytes are sent, then a FIN (`SHUT_WR` of shutdown(2)). The handler
    /// still gets input. When the peer finishes too, [`on_eof`](crate::Handler::on_eof) is called, and the connection
    /// ends. If the peer has finished already, this is [`close`](Self::close).
    /// [`on_low_water`](crate::Handler::on_low_water) is not called any more. A [drain](crate::Handle::drain) waits for
    /// the peer's FIN until its deadline.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::Conn;
    /// fn ask(server: &mut Conn) {
    ///     server.send(b"everything that you know\n");
    ///     server.shutdown_write(); // on_data gets the answer, on_eof its end
    /// }
    /// ```
    pub fn shutdown_write(&mut self) {
        self.view.change(self.id, Entry::shutdown_write);
    }

    /// Closes the connection gracefully: the queued bytes are sent, then a FIN. Input that still arrives is discarded.
    /// No callback but [`on_close`](crate::Handler::on_close) follows. An outbound connection that is not open yet is
    /// given up: [`on_connect_failed`](crate::Handler::on_connect_failed) follows instead.
    pub fn close(&mut self) {
        self.view.change(self.id, |entry| entry.close(CloseReason::Closed));
    }

    /// Ends the connection at once. The peer sees a reset (RST). Queued bytes are lost.
    pub fn abort(&mut self) {
        self.view.change(self.id, |entry| entry.cut(CloseReason::Aborted, true));
    }

    /// A snapshot of this connection: its addresses, age, traffic and queue.
    #[must_use]
    pub fn info(&self) -> ConnInfo {
        self.view.info(self.id, self.entry())
    }

    /// Sets a timer: [`on_timer`](crate::Handler::on_timer) is called for this connection after the given time, with
    /// this key. A connection may have any number of timers. Setting a timer whose key is set already moves it.
    ///
    /// A timer is never early. It is at most 2 ms and one turn late. The timers of a connection end with it. On a
    /// connection that is not open yet or is closing, `set_timer` does nothing.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use readyloop::{Conn, Result, TimerKey};
    ///
    /// const PING: TimerKey = TimerKey(1);
    ///
    /// fn on_timer(conn: &mut Conn, key: TimerKey) -> Result {
    ///     if key == PING {
    ///         conn.send(b"are you there?\n");
    ///         conn.set_timer(Duration::from_secs(30), PING);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn set_timer(&mut self, after: Duration, key: TimerKey) {
        if self.entry().phase.is_before_the_end() {
            self.view.table.set_timer(Owner::Conn(self.id.slot), after, key);
        }
    }

    /// Cancels a timer. Returns whether it was set.
    pub fn cancel_timer(&mut self, key: TimerKey) -> bool {
        self.view.table.cancel_timer(Owner::Conn(self.id.slot), key)
    }

    fn socket(&self) -> io::Result<&dyn Socket> {
        let socket =
            self.view.owned.socket(self.id.slot).filter(|_| !self.entry().phase.is_closed());
        socket.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn entry(&self) -> &Entry {
        // Slots are freed by the reactor alone, between callbacks.
        self.view.table.get(self.id).expect("a connection holds its slot while it is borrowed")
    }
}

/// Writing is [`send`](Conn::send): it never fails, and takes all bytes at once.
impl io::Write for Conn<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes);
        Ok(bytes.len())
    }

    /// Does nothing: the bytes are sent when the callback returns.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Conn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("id", &self.id).field("peer", &self.peer_addr()).finish()
    }
}
