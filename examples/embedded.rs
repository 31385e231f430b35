//! A reactor in an event loop of `mio` that has other work too: the loop waits for the reactor's descriptor and for its
//! next deadline, and makes the turns of the reactor. There is no periodic polling.
//!
//! `cargo run --example embedded -- 127.0.0.1:7000` echoes, and says each minute how many connections are open.

use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use readyloop::{Config, Echo, Reactor};

const REACTOR: Token = Token(0);
const MINUTE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".to_owned());
    let mut reactor = Reactor::new(Config::new(), Echo)?;
    println!("listening on {}", reactor.listen(addr)?);

    let mut poll = Poll::new()?;
    let descriptor = reactor.as_fd().as_raw_fd();
    poll.registry().register(&mut SourceFd(&descriptor), REACTOR, Interest::READABLE)?;
    // The other work of this loop.
    let mut next_report = Instant::now() + MINUTE;

    let mut events = Events::with_capacity(16);
    while reactor.turn(Some(Duration::ZERO))?.is_continue() {
        let deadline = reactor.next_deadline().map_or(next_report, |at| at.min(next_report));
        let timeout = deadline.saturating_duration_since(Instant::now());
        match poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => other?,
        }
        if next_report <= Instant::now() {
            println!("{} connections are open", reactor.context().stats().open);
            next_report += MINUTE;
        }
    }
    Ok(())
}
