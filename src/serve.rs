//! The shortest way to a server.

use std::net::ToSocketAddrs;
use std::time::Duration;

use crate::config::Config;
use crate::conn::Conn;
use crate::error::Error;
use crate::handler::from_fn;
use crate::input::Input;
use crate::reactor::Reactor;

/// How long clients have to finish if the listener is lost.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves an address for ever, with a closure that is called with the bytes that arrive.
///
/// Everything else is as by default: see [`Config`] and [`ListenOptions`](crate::ListenOptions). If its listener
/// dies it drains for ten seconds and fails, as [`Config::drain_without_listeners`] says. The closure can stop the server with [`Context::stop`](crate::Context::stop); then this returns.
///
/// # Errors
/// As [`Reactor::new`], [`Reactor::listen`] and [`Reactor::run`].
///
/// # Examples
/// ```no_run
/// # fn main() -> Result<(), readyloop::Error> {
/// readyloop::serve("127.0.0.1:7000", |conn, input| {
///     if let Some(line) = input.take_until(b"\n") {
///         conn.send(b"hello, ");
///         conn.send(line);
///         conn.send(b"!\n");
///     }
/// })
/// # }
/// ```
pub fn serve<F>(addr: impl ToSocketAddrs, on_data: F) -> Result<(), Error>
where
    F: FnMut(&mut Conn<'_>, &mut Input<'_>) + 'static,
{
    let config = Config::new().drain_without_listeners(Some(DRAIN));
    let mut reactor = Reactor::new(config, from_fn(on_data))?;
    reactor.listen(addr)?;
    reactor.run()?;
    Ok(())
}
