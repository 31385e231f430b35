//! A reactor in an async task of tokio: `AsyncFd` waits for its descriptor, and a timeout for its next deadline. No
//! time is spent on polling by the clock, and other tasks run beside it on the same thread.
//!
//! `cargo run -p readyloop-compare --example tokio -- 127.0.0.1:7000` echoes.

use std::error::Error;
use std::os::fd::AsFd;
use std::time::Duration;

use readyloop::{Config, Echo, Handler, Reactor, Report};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout_at;

type Failure = Box<dyn Error + Send + Sync>;

/// Makes the reactor's turns until it has stopped or drained.
pub(crate) async fn run<H: Handler>(mut reactor: Reactor<H>) -> Result<Report, Failure> {
    let descriptor = reactor.as_fd().try_clone_to_owned()?;
    #[expect(
        deprecated,
        reason = "its successor is unsafe; what that asks for, an owned descriptor keeps"
    )]
    let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
    loop {
        if let std::ops::ControlFlow::Break(report) = reactor.turn(Some(Duration::ZERO))? {
            return Ok(report);
        }
        let ready = descriptor.readable();
        let ready = match reactor.next_deadline() {
            Some(deadline) => timeout_at(deadline.into(), ready).await,
            None => Ok(ready.await),
        };
        if let Ok(ready) = ready {
            ready?.clear_ready(); // before the turn, which takes all events
        }
    }
}

#[allow(dead_code, reason = "the tests have the function alone")]
fn main() -> Result<(), Failure> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let mut reactor = Reactor::new(Config::new(), Echo)?;
    println!("listening on {}", reactor.listen(addr)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", runtime.block_on(run(reactor))?);
    Ok(())
}
