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
/// One handler serves all connections of a reactor, on the reactor's thread: it needs no locks, and
/// it must not block, because nobody else is served meanwhile. What it wants of a connection it says
/// through [`Conn`]; the reactor acts when the callback has returned.
///
/// For each connection the calls come in this order: `on_open` once, then `on_data`, `on_low_water` and
/// `on_timer` as it happens, `on_eof` at most once, and `on_close` once, last. Nothing comes after `on_close`,
/// and nothing but `on_close` after the handler has closed or aborted the connection.
///
/// A callback that fails or panics ends its own connection and no other; one that belongs to no connection
/// (`on_connect_failed`, `on_start`, `on_tick`, `on_stop`) and panics ends nothing. After a panic the handler
/// goes on being called, so it should leave itself in order even then, as code behind a poisoned
/// lock would. (In a program built with `panic = "abort"` nothing can be caught.)
///
/// # Examples
/// A server that adds up the numbers of each connection, a line each:
/// ```no_run
/// use readyloop::{Config, Conn, Handler, Input, Reactor, Result};
///
/// struct Adder;
///
/// impl Handler for Adder {
///     type State = i64; // the sum so far, one a connection
///
///     fn on_open(&mut self, _conn: &mut Conn) -> Result<i64> {
///         Ok(0)
///     }
///
///     fn on_data(
///         &mut self,
///         conn: &mut Conn,
///         sum: &mut i64,
///         input: &mut Input,
///     ) -> Result {
///         if let Some(line) = input.take_until(b"\n") {
///             let number: i64 = std::str::from_utf8(line)?.trim().parse()?;
///             *sum = sum.checked_add(number).ok_or("the sum is too large")?;
///             conn.send(format!("{sum}\n").as_bytes());
///         }
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
    /// What the handler keeps for each connection. It lives in the reactor's table: no allocation.
    type State: 'static;

    /// A connection was accepted, or one that was [dialled](crate::Reactor::connect) is there:
    /// [`Conn::direction`]. Returns the state to keep for it.
    ///
    /// # Errors
    /// An error refuses the connection: what was sent before goes out, then it closes. As there is
    /// no state, `on_close` is not called for it.
    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<Self::State, BoxError>;

    /// Bytes have arrived, and stand in `input` behind those that were not taken before.
    ///
    /// The handler takes one message and returns. It is called again as long as it took something and left
    /// something, the connection is below high water and not [paused](Conn::pause), and there is room in the
    /// [memory budget](crate::Config::queue_budget). What these calls send goes out together. So a peer that
    /// asks faster than it reads the answers is held back, whatever their size.
    ///
    /// A handler that takes all messages in a loop of its own works too, if the answers to what is read at once
    /// stay within the [`queue_limit`](crate::Config::queue_limit).
    ///
    /// If the handler takes nothing, it is called when more has come; and once after any other callback of this
    /// connection, and after [`resume`](Conn::resume), as it may be able to use its input then.
    ///
    /// # Errors
    /// An error closes the connection with [`CloseReason::Handler`]; what was sent before goes out. It is logged at
    /// level warn, for all connections together once a second at most.
    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut Self::State,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError>;

    /// The peer has finished sending (it may still read). `input` is what was never taken.
    ///
    /// By default this closes the connection, which first sends all that is queued. So a handler whose answer comes
    /// later, by a timer or from another thread, keeps its connection [paused](Conn::pause) meanwhile (then the
    /// end is told after it has resumed), or overrides this. A handler that does not close here has to do so
    /// later. Input that it leaves is offered again, by
    /// [`on_data`](Self::on_data), after this and after any later callback.
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

    /// The queue had risen above high water, or a callback was [told](Conn::is_above_high_water) that it had,
    /// and has fallen to low water: there is room again. What the kernel takes as soon as the callback returns
    /// was never queued, unless the callback has asked.
    ///
    /// Called at most once a turn, so a handler may produce endlessly from here, as long as it stops
    /// when [`is_above_high_water`](Conn::is_above_high_water) says so.
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

    /// A timer of this connection has come: [`Conn::set_timer`]. Not after the handler has closed it.
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

    /// The reactor has begun to [`drain`](crate::Reactor::drain): the place to say goodbye, or to close at
    /// once. Called once for each connection, unless it has been closed already.
    ///
    /// By default nothing is done: the connection is served as before, and closed as soon as it is quiet. A timer
    /// that is set does not count as work. A handler whose answer comes later, by a timer or from another thread,
    /// keeps its connection [paused](Conn::pause): that is not taken for quiet, and holds until the deadline.
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
    /// The socket is closed already: what is sent to `conn` goes nowhere, but its counters and
    /// addresses are there, and [`others`](Conn::reactor) can be reached. So for a connection that was closed from
    /// this side it comes when its peer has finished too, or after the
    /// [`linger_timeout`](crate::Config::linger_timeout), and not as soon as all is sent: only then is it known
    /// whether the peer has reset the connection, or was cut off with a request that came too late.
    fn on_close(&mut self, conn: &mut Conn<'_>, state: Self::State, reason: &CloseReason) {
        let _ = (conn, state, reason);
    }

    /// A connection that was to be opened outward never was: no address could be connected to
    /// ([`CloseReason::NotConnected`]), or it was given up before ([`Closed`](CloseReason::Closed),
    /// [`Stopped`](CloseReason::Stopped) …). Called exactly once for each that
    /// [`connect`](crate::Reactor::connect) and the like have named and `on_open` is not called for, never
    /// from inside of that call.
    ///
    /// Whoever tries again from here does so at once, in the next turn: better after a while
    /// ([`Context::set_timer`]), and not if the reactor is about to stop.
    fn on_connect_failed(&mut self, reactor: &mut Context<'_>, id: ConnId, reason: &CloseReason) {
        let _ = (reactor, id, reason);
    }

    /// The reactor starts: its first turn begins. The place to set its own timers. If there are several
    /// reactors, each tells its own handler.
    fn on_start(&mut self, reactor: &mut Context<'_>) {
        let _ = reactor;
    }

    /// A timer of the reactor itself has come: [`Context::set_timer`]. It comes once; a clock that ticks is
    /// one that sets its timer again.
    fn on_tick(&mut self, reactor: &mut Context<'_>, key: TimerKey) {
        let _ = (reactor, key);
    }

    /// The reactor has stopped, and all its connections have had their `on_close`. Called once if `on_start`
    /// was, last of all.
    fn on_stop(&mut self, reactor: &mut Context<'_>) {
        let _ = reactor;
    }
}

/// A handler whose type is only known when the program runs: `Box<dyn Handler<State = S>>` is one, so that
/// [`Handle::replace`](crate::Handle::replace) can put one of another type in its place.
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
