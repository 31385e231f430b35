//! The callbacks of a server.

use crate::close_reason::CloseReason;
use crate::conn::Conn;
use crate::context::Context;
use crate::id::ConnId;
use crate::input::Input;
use crate::result::BoxError;
use crate::timer_key::TimerKey;

/// The callbacks of a server.
///
/// One handler serves all connections of a reactor, on the reactor's thread. It needs no locks. It must not block,
/// because no other connection is served meanwhile. A callback acts on its connection through [`Conn`], which records
/// what the callback asks for. The reactor does it when the callback has returned.
///
/// # Order of the callbacks
/// For each connection:
/// 1. `on_open`, once.
/// 2. `on_data`, `on_low_water`, `on_timer` and `on_shutdown`, whenever they are due. `on_eof`, at most once, when the
///    peer has finished sending.
/// 3. `on_closing`, at most once, if the library closes the connection gracefully.
/// 4. `on_close`, once. It is the last call.
///
/// If `on_open` returns an error or panics, no other callback follows. After a callback has returned an error or
/// panicked, or has closed or aborted the connection, only `on_close` follows. Calls for different connections may come
/// in any order, but never two at the same time.
///
/// For the reactor itself: `on_start`, once, before all others; `on_tick` and `on_connect_failed`, whenever they are
/// due; `on_stop`, once, after all others.
///
/// # What a handler can rely on
/// - One message a call is enough. `on_data` takes one message and returns, and is called again while there are more.
///   This is right however the network cuts messages into packets, and however slowly the peer reads: see
///   [`on_data`](Self::on_data).
/// - Backpressure comes before the callback. While more than [`high_water`](crate::Config::high_water) bytes are queued
///   for the peer, `on_data` is not called. While the [memory budget](crate::Config::queue_budget) is used up, no
///   callback that can send is called.
/// - Unread input is never forgotten. Input that `on_data` leaves is kept, and offered again after any other callback
///   of the connection.
/// - The idle deadline runs only while the reactor reads from the connection. It does not run above high water, while
///   the connection is [paused](Conn::pause), or while the memory budget is used up.
/// - A handler can say goodbye. Before the library closes a connection gracefully, `on_closing` may still send.
/// - A failure ends one connection. An error or a panic in a callback ends the connection of that callback and no
///   other. A panic in a callback without a connection (`on_connect_failed`, `on_start`, `on_tick`, `on_stop`) ends no
///   connection.
///
/// The handler is called again after a panic, so a callback should leave the handler's fields valid even if it panics.
/// If the program is built with `panic = "abort"`, a panic ends it.
///
/// # Examples
/// A server that adds up numbers, one a line, for each connection:
/// ```no_run
/// use std::io::Write;
/// use readyloop::{Config, Conn, Handler, Input, Reactor, Result};
///
/// struct Adder;
///
/// impl Handler for Adder {
///     type State = i64; // the sum so far of one connection
///
///     fn on_open(&mut self, _conn: &mut Conn) -> Result<i64> {
///         Ok(0)
///     }
///
///     fn on_data(&mut self, conn: &mut Conn, sum: &mut i64, input: &mut Input) -> Result {
///         let Some(line) = input.take_line()? else { return Ok(()) };
///         let number: i64 = std::str::from_utf8(line)?.parse()?;
///         *sum = sum.checked_add(number).ok_or("the sum is too large")?;
///         writeln!(conn, "{sum}")?;
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), readyloop::Error> {
/// let mut reactor = Reactor::new(Config::new(), Adder)?;
/// reactor.listen("127.0.0.1:7000")?;
/// reactor.run()?;
/// # Ok(())
/// # }
/// ```
pub trait Handler: 'static {
    /// The data that the handler keeps for each connection. It is stored in the reactor's table, without an allocation
    /// of its own.
    type State: 'static;

    /// A connection is open: a listener has accepted it, or the reactor has [opened](crate::Context::connect) it.
    /// [`Conn::is_outbound`] tells which. Returns the state of the connection.
    ///
    /// # Errors
    /// An error refuses the connection: bytes that the callback has queued are sent, then the connection closes. There
    /// is no state, so `on_close` is not called.
    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<Self::State, BoxError>;

    /// Bytes have arrived. `input` has all unread bytes: older ones that earlier calls have left, then the new ones.
    ///
    /// The handler takes one message and returns. It is called again at once as long as all of these are true:
    /// - it has taken something and has left something,
    /// - the connection is not above [high water](crate::Config::high_water) and not [paused](Conn::pause),
    /// - the [memory budget](crate::Config::queue_budget) has room.
    ///
    /// The output of all these calls is sent together. A peer that sends requests faster than it reads the answers is
    /// held back, however large the answers are. After [`Budgets::calls`](crate::Budgets::calls) calls for one read,
    /// the rest of the input waits for the next turn.
    ///
    /// A handler may also take all messages in a loop of its own, if the answers to one read stay within the
    /// [`queue_limit`](crate::Config::queue_limit).
    ///
    /// If the handler takes nothing, it is called again when more bytes have arrived. It is also called once after any
    /// other callback of this connection and after [`resume`](Conn::resume), because it may be able to use the input
    /// then.
    ///
    /// # Errors
    /// An error closes the connection with [`CloseReason::Handler`]. Bytes that were queued before are sent. The error
    /// is logged at level warn, at most one line a second for all connections together.
    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut Self::State,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError>;

    /// The peer has finished sending (FIN). It may still read. `input` has the unread bytes: `on_eof` follows when
    /// [`on_data`](Self::on_data) takes no more of them.
    ///
    /// By default the connection is closed, after all queued bytes are sent. A handler whose answer comes later, from a
    /// timer or another thread, has two choices. It can [pause](Conn::pause) the connection until the answer is sent:
    /// then `on_eof` is called after [`resume`](Conn::resume). Or it can implement this callback without a close, and
    /// close the connection later. Input that this callback leaves is offered again by [`on_data`](Self::on_data),
    /// after this callback and after any later one.
    ///
    /// # Errors
    /// As for [`on_data`](Self::on_data).
    fn on_eof(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut Self::State,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        let _ = (state, input);
        conn.close();
        Ok(())
    }

    /// The queue has fallen to [low water](crate::Config::low_water). There is room again. Called if the queue was
    /// above high water after a callback, or if [`is_above_high_water`](Conn::is_above_high_water) has returned true.
    /// After a callback, bytes that the kernel takes at once do not count as queued.
    ///
    /// Called at most once a turn. So a handler may produce unlimited output from here, if it stops whenever
    /// [`is_above_high_water`](Conn::is_above_high_water) returns true.
    ///
    /// # Errors
    /// As for [`on_data`](Self::on_data).
    fn on_low_water(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut Self::State,
    ) -> Result<(), BoxError> {
        let _ = (conn, state);
        Ok(())
    }

    /// A timer of this connection is due: see [`Conn::set_timer`]. Not called after the handler has closed the
    /// connection.
    ///
    /// # Errors
    /// As for [`on_data`](Self::on_data).
    fn on_timer(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut Self::State,
        key: TimerKey,
    ) -> Result<(), BoxError> {
        let _ = (conn, state, key);
        Ok(())
    }

    /// The reactor has begun to [drain](crate::Handle::drain). Called once for each open connection. The handler may
    /// tell the peer, or close the connection at once.
    ///
    /// By default nothing is done: the connection is served as before, and closed when it is quiet. It is quiet if it
    /// has no work left and has received nothing for [`drain_quiet`](crate::Config::drain_quiet). A timer that is set
    /// does not count as work. A handler whose answer comes later, from a timer or another thread,
    /// [pauses](Conn::pause) the connection: a paused connection does not count as quiet, and stays open until the
    /// deadline of the drain. An outbound connection counts as quiet only if no accepted connection of the server is
    /// left, because an accepted connection may wait for an answer from it.
    ///
    /// A connection that is opened while the reactor drains gets this callback soon after `on_open`.
    ///
    /// # Errors
    /// As for [`on_data`](Self::on_data).
    fn on_shutdown(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut Self::State,
    ) -> Result<(), BoxError> {
        let _ = (conn, state);
        Ok(())
    }

    /// The library is about to close this connection gracefully. `reason` says why: the connection was idle, it is too
    /// old, its first byte did not arrive, a message is too long, or the reactor drains. Bytes that the handler sends
    /// here are still sent to the peer.
    ///
    /// Called at most once. Only [`on_close`](Self::on_close) follows. Not called if the handler closes the connection,
    /// if the peer ends it, or if it is reset. Like `on_close`, it is called even while the [memory
    /// budget](crate::Config::queue_budget) is used up, so the handler should send little here.
    ///
    /// # Errors
    /// An error is logged, and changes nothing: the connection closes in any case.
    ///
    /// # Examples
    /// ```
    /// use std::io::Write;
    /// use readyloop::{CloseReason, Conn, Result};
    ///
    /// fn on_closing(conn: &mut Conn, reason: &CloseReason) -> Result {
    ///     writeln!(conn, "goodbye: {reason}")?;
    ///     Ok(())
    /// }
    /// ```
    fn on_closing(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut Self::State,
        reason: &CloseReason,
    ) -> Result<(), BoxError> {
        let _ = (conn, state, reason);
        Ok(())
    }

    /// The connection has ended. Called exactly once for each `on_open` that has returned a state, as the last
    /// callback.
    ///
    /// The socket is closed: bytes that are sent to `conn` are discarded. Its addresses, its traffic ([`Conn::info`])
    /// and its [`reactor`](Conn::reactor) are still available.
    ///
    /// After a close from this side, `on_close` is called when the peer has finished too, or when
    /// [`linger_timeout`](crate::Config::linger_timeout) has passed. Only then is it known whether the peer has reset
    /// the connection, or whether a request arrived too late.
    fn on_close(&mut self, conn: &mut Conn<'_>, state: Self::State, reason: &CloseReason) {
        let _ = (conn, state, reason);
    }

    /// An outbound connection was not opened. Either the attempt failed at each address
    /// ([`CloseReason::NotConnected`]), or it was given up ([`Closed`](CloseReason::Closed),
    /// [`Stopped`](CloseReason::Stopped) and others). For each id that [`connect`](crate::Context::connect) has
    /// returned, exactly one of `on_connect_failed` and `on_open` is called, and never inside of `connect`.
    ///
    /// If the handler connects again from here, the attempt is made in this turn or in the next one. To avoid a busy
    /// loop, wait with [`Context::set_timer`] before another attempt. If the reactor stops, no attempt is made. A drain
    /// would close the new connection when it is quiet: see [`Context::is_draining`].
    fn on_connect_failed(&mut self, reactor: &mut Context<'_>, id: ConnId, reason: &CloseReason) {
        let _ = (reactor, id, reason);
    }

    /// The first turn of the reactor begins. The handler may set timers of the reactor here. Each reactor of a
    /// [`Server`](crate::Server) calls its own handler.
    fn on_start(&mut self, reactor: &mut Context<'_>) {
        let _ = reactor;
    }

    /// A timer of the reactor itself is due: see [`Context::set_timer`]. A timer is due once. For a periodic timer, set
    /// it again here.
    fn on_tick(&mut self, reactor: &mut Context<'_>, key: TimerKey) {
        let _ = (reactor, key);
    }

    /// The reactor has stopped, and `on_close` was called for all its connections. `on_stop` is the last callback. It
    /// is called once, if `on_start` was called.
    fn on_stop(&mut self, reactor: &mut Context<'_>) {
        let _ = reactor;
    }
}

/// A `Box<dyn Handler<State = S>>` is a handler whose type is known at run time only.
/// [`Handle::replace`](crate::Handle::replace) can replace it by a handler of another type.
impl<H: Handler + ?Sized> Handler for Box<H> {
    type State = H::State;

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<H::State, BoxError> {
        (**self).on_open(conn)
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut H::State,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        (**self).on_data(conn, state, input)
    }

    fn on_eof(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut H::State,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        (**self).on_eof(conn, state, input)
    }

    fn on_low_water(&mut self, conn: &mut Conn<'_>, state: &mut H::State) -> Result<(), BoxError> {
        (**self).on_low_water(conn, state)
    }

    fn on_timer(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut H::State,
        key: TimerKey,
    ) -> Result<(), BoxError> {
        (**self).on_timer(conn, state, key)
    }

    fn on_shutdown(&mut self, conn: &mut Conn<'_>, state: &mut H::State) -> Result<(), BoxError> {
        (**self).on_shutdown(conn, state)
    }

    fn on_closing(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut H::State,
        reason: &CloseReason,
    ) -> Result<(), BoxError> {
        (**self).on_closing(conn, state, reason)
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, state: H::State, reason: &CloseReason) {
        (**self).on_close(conn, state, reason);
    }

    fn on_connect_failed(&mut self, reactor: &mut Context<'_>, id: ConnId, reason: &CloseReason) {
        (**self).on_connect_failed(reactor, id, reason);
    }

    fn on_start(&mut self, reactor: &mut Context<'_>) {
        (**self).on_start(reactor);
    }

    fn on_tick(&mut self, reactor: &mut Context<'_>, key: TimerKey) {
        (**self).on_tick(reactor, key);
    }

    fn on_stop(&mut self, reactor: &mut Context<'_>) {
        (**self).on_stop(reactor);
    }
}
