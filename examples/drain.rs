//! A server that a supervisor can stop: SIGTERM drains it. The exit code is 0 if no client was cut off.
//!
//! `cargo run --features signals --example drain -- 127.0.0.1:7000`, then `kill -TERM` its process, or press Ctrl-C.

use std::error::Error;
use std::time::Duration;

use readyloop::{Config, Echo, Reactor, Report, drain_on_signals};

fn main() -> Result<Report, Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    // If the listener dies, the server ends too, so that the supervisor starts it again.
    let config = Config::new().drain_without_listeners(Some(Duration::from_secs(10)));
    let mut reactor = Reactor::new(config, Echo)?;
    println!("listening on {}", reactor.listen(addr)?);
    drain_on_signals(reactor.handle(), Duration::from_secs(10))?;
    let report = reactor.run()?;
    println!("{report}");
    Ok(report)
}
