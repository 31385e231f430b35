//! The shortest way to a server.

use std::marker::PhantomData;
use std::time::Duration;

use crate::config::Config;
use crate::conn::Conn;
use crate::error::Error;
use crate::from_fn::{Closures, Outcome, from_fn};
use crate::handler::Handler;
use crate::input::Input;
use crate::net::ListenOptions;
use crate::reactor::Reactor;
use crate::result::Result;

/// How long [`serve`] drains after its listener has died.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves an address with a closure, which is called with the bytes that arrive. The closure returns nothing, or a
/// [`Result`] with the same effect as that of [`Handler::on_data`]. The settings have their defaults, except for
/// [`Config::drain_without_listeners`].
///
/// `serve` returns when the closure stops or drains the server, for instance with `conn.reactor().stop()`. If the
/// listener dies, the server drains for at most ten seconds and returns [`Error::ListenersLost`].
///
/// # Errors
/// As [`Reactor::new`], [`Reactor::listen`] and [`Reactor::run`].
///
/// # Examples
/// ```no_run
/// # fn main() -> Result<(), readyloop::Error> {
/// readyloop::serve("127.0.0.1:7000", |conn, input| {
///     let Some(name) = input.take_line()? else { return Ok(()) };
///     conn.send(b"hello, ");
///     conn.send(name);
///     conn.send(b"!\n");
///     Ok(())
/// })
/// # }
/// ```
pub fn serve<F, R>(addr: impl Into<ListenOptions>, on_data: F) -> Result<(), Error>
where
    F: FnMut(&mut Conn<'_>, &mut Input<'_>) -> R + 'static,
    R: Outcome,
{
    let config = Config::new().drain_without_listeners(Some(DRAIN));
    run(addr, config, from_fn(on_data))
}

/// Serves an address with two closures and a [`Config`]. `on_open` makes the state of a connection, and `on_data` gets
/// it with the bytes that arrive. Both may return an error, with the same effect as in [`Handler::on_open`] and
/// [`Handler::on_data`].
///
/// `serve_with` returns when a closure stops or drains the server. [`Config::drain_without_listeners`] says what
/// happens if the listener dies. When a peer finishes sending, its connection is closed. A last line without an ending
/// is discarded: implement [`Handler`] to get it in [`on_eof`](Handler::on_eof).
///
/// # Errors
/// As [`Reactor::new`], [`Reactor::listen`] and [`Reactor::run`].
///
/// # Examples
/// A server that adds up the numbers of each connection, a line each:
/// ```no_run
/// use std::io::Write;
/// use readyloop::Config;
///
/// # fn main() -> Result<(), readyloop::Error> {
/// readyloop::serve_with(
///     "127.0.0.1:7000",
///     Config::new().max_connections(1_000),
///     |_conn| Ok(0),
///     |conn, sum: &mut i64, input| {
///         let Some(line) = input.take_line()? else { return Ok(()) };
///         *sum += std::str::from_utf8(line)?.parse::<i64>()?;
///         writeln!(conn, "{sum}")?;
///         Ok(())
///     },
/// )
/// # }
/// ```
pub fn serve_with<O, D, S, R>(
    addr: impl Into<ListenOptions>,
    config: Config,
    on_open: O,
    on_data: D,
) -> Result<(), Error>
where
    O: FnMut(&mut Conn<'_>) -> Result<S> + 'static,
    D: FnMut(&mut Conn<'_>, &mut S, &mut Input<'_>) -> R + 'static,
    S: 'static,
    R: Outcome,
{
    run(addr, config, Closures { on_open, on_data, state: PhantomData })
}

fn run(addr: impl Into<ListenOptions>, config: Config, handler: impl Handler) -> Result<(), Error> {
    let mut reactor = Reactor::new(config, handler)?;
    reactor.listen(addr)?;
    reactor.run().map(drop)
}
