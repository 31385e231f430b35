//! The business logic: what a user of this crate writes.

use crate::close_reason::CloseReason;
use crate::conn::Conn;
use crate::context::Context;
use crate::id::ConnId;
use crate::input::Input;
use crate::result::BoxError;
use crate::timer_key::TimerKey;

/// The business logic of a server.
///
/// One handler serves all connections of a reactor, on the reactor's thread. It needs no locks. It must not block, because
/// no other connection is served meanwhile. A callback acts on its connection through [`Conn`]; the reactor does what it
/// asks for when the callback has returned.
///
/// # Order of the callbacks
/// For each connection:
/// 1. `on_open`, once.
/// 2. `on_data`, `on_low_water`, `on_timer` and `on_shutdown`, as events come; `on_eof`, at most once.
/// 3. `on_closing`, at most once, if the library closes the connection in order.
/// 4. `on_close`, once. It is the last.
///
/// After the handler has closed or aborted a connection, only `on_close` follows.
///
/// # What a handler can rely on
/// - A handler that takes one message a call and returns is right, however messages are cut into packets, and however
///   slowly the peer reads: see [`on_data`](Self::on_data).
/// - While the [memory budget](crate::Config::queue_budget) is used up, no callback that can send is called.
/// - Unread input is never forgotten: it is offered again after any other callback of the connection.
/// - A callback that fails or panics ends its own connection and no other. A panic in a callback that belongs to no
///   connection (`on_connect_failed`, `on_start`, `on_tick`, `on_stop`) ends nothing. The handler is called again after a
///   panic, so its own fields should be in order then. (A program with `panic = "abort"` ends.)
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
    /// The data that the handler keeps for each connection. It lives in the reactor's table, without an allocation.
    type State: 'static;

    /// A connection is open: a listener has accepted it, or it was [opened outward](crate::Reactor::connect).
    /// [`Conn::direction`] tells. Returns the state of the connection.
    ///
    /// # Errors
    /// An error refuses the connection: what the callback has sent goes out, then it closes. There is no state, so
    /// `on_close` is not called.
    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<Self::State, BoxError>;

    /// Bytes have arrived. `input` has them, behind those that were not taken before.
    ///
    /// The handler takes one message and returns. It is called again while it took something and left
    /// something, the connection is below high water and not [paused](Conn::pause), and the
    /// [memory budget](crate::Config::queue_budget) has room. What these calls send goes out together. So a peer that
    /// asks faster than it reads the answers is held back, whatever their size.
    ///
    /// A handler that takes all messages in a loop of its own works too, if the answers to one read
    /// stay within the [`queue_limit`](crate::Config::queue_limit).
    ///
    /// If the handler takes nothing, it is called when more bytes have arrived. It is also called once after any other
    /// callback of this connection, and after [`resume`](Conn::resume), because it may be able to use its input then.
    ///
    /// # Errors
    /// An error closes the connection with [`CloseReason::Handler`]. What was sent before goes out. The error is logged at
    /// level warn, at most one line a second for all connections together.
    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut Self::State,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError>;

    /// The peer has finished sending. It may still read. `input` has the bytes that were not taken.
    ///
    /// By default this closes the connection, which sends all that is queued first. A handler whose answer comes
    /// later, from a timer or another thread, [pauses](Conn::pause) its connection meanwhile: then this is called after
    /// it has resumed. Or it overrides this callback, and closes the connection later. Input that this callback leaves is
    /// offered again by [`on_data`](Self::on_data), after this and after any later callback.
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

    /// The queue has fallen to low water, after it was above high water or
    /// [`is_above_high_water`](Conn::is_above_high_water) has returned true. There is room again. Bytes that the kernel
    /// takes as soon as a callback returns do not count as queued.
    ///
    /// Called at most once a turn. So a handler may produce without end from here, if it stops whenever
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

    /// A timer of this connection is due: [`Conn::set_timer`]. Not called after the handler has closed the connection.
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

    /// The reactor has begun to [`drain`](crate::Reactor::drain). A handler can tell the peer, or close the connection at
    /// once. Called once for each open connection.
    ///
    /// By default nothing is done: the connection is served as before, and closed as soon as it is quiet. A timer
    /// that is set does not count as work. A handler whose answer comes later, from a timer or another thread,
    /// [pauses](Conn::pause) its connection: a paused connection is not quiet, and stays until the deadline.
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

    /// The library is about to close this connection in order, for this reason: idle, too old, no first byte, a message that
    /// is too long, a drain. It is the place for last words, which are still sent.
    ///
    /// Called at most once. Only [`on_close`](Self::on_close) follows. Not called if the handler closes the connection
    /// itself, if the peer ends it, or if it is cut off. Like `on_close` it also runs while the
    /// [memory budget](crate::Config::queue_budget) is used up, so last words should be few.
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

    /// The connection has ended. Called exactly once for each `on_open` that returned a state.
    ///
    /// The socket is closed: bytes that are sent to `conn` are discarded. Its addresses and its traffic
    /// ([`Conn::info`]) are there, and so is its [`reactor`](Conn::reactor).
    ///
    /// For a connection that was closed from this side, this is called when its peer has finished too, or after the
    /// [`linger_timeout`](crate::Config::linger_timeout), and not as soon as all is sent. Only then it is known
    /// whether the peer has reset the connection, or has lost a request that came too late.
    fn on_close(&mut self, conn: &mut Conn<'_>, state: Self::State, reason: &CloseReason) {
        let _ = (conn, state, reason);
    }

    /// An outward connection was not opened: no address could be connected to
    /// ([`CloseReason::NotConnected`]), or it was given up before ([`Closed`](CloseReason::Closed),
    /// [`Stopped`](CloseReason::Stopped) …). For each id that [`connect`](crate::Reactor::connect) has returned, exactly
    /// one of this and `on_open` is called, and never inside of `connect`.
    ///
    /// A handler that connects again from here does so in the next turn. It is better to wait
    /// ([`Context::set_timer`]), and not to try if the reactor is about to stop.
    fn on_connect_failed(&mut self, reactor: &mut Context<'_>, id: ConnId, reason: &CloseReason) {
        let _ = (reactor, id, reason);
    }

    /// The first turn of the reactor begins. A handler can set timers of the reactor here. Each reactor of a
    /// [`Server`](crate::Server) calls its own handler.
    fn on_start(&mut self, reactor: &mut Context<'_>) {
        let _ = reactor;
    }

    /// A timer of the reactor itself is due: [`Context::set_timer`]. A timer is due once; a periodic one sets itself
    /// again here.
    fn on_tick(&mut self, reactor: &mut Context<'_>, key: TimerKey) {
        let _ = (reactor, key);
    }

    /// The reactor has stopped, and `on_close` was called for all its connections. Called once, last of all, if
    /// `on_start` was.
    fn on_stop(&mut self, reactor: &mut Context<'_>) {
        let _ = reactor;
    }
}

/// A `Box<dyn Handler<State = S>>` is a handler whose type is known at run time only.
/// [`Handle::replace`](crate::Handle::replace) can replace it by one of another type.
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
