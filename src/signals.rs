//! Signals that end a server.

use std::io;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::handle::Handle;

/// Handles SIGTERM and SIGINT for the rest of the process. The first signal drains the server within `timeout`, as
/// [`Handle::drain`] does. Then [`run`](crate::Reactor::run) returns. The second signal stops the server at once. A
/// third signal has its default effect: it ends the process.
///
/// A thread waits for the signals. It holds the handle.
///
/// # Errors
/// As sigaction(2) and pthread_create(3).
///
/// # Examples
/// `cargo run --features signals --example drain`:
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use readyloop::{Config, Echo, Reactor, drain_on_signals};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// reactor.listen("127.0.0.1:7000")?;
/// drain_on_signals(reactor.handle(), Duration::from_secs(10))?;
/// let report = reactor.run()?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
pub fn drain_on_signals(handle: Handle, timeout: Duration) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let wait = move || {
        for (signal, earlier) in signals.forever().zip(0_u32..) {
            match earlier {
                0 => handle.drain(timeout),
                1 => handle.stop(),
                _ => {
                    let _ = emulate_default_handler(signal); // which does not return for these two
                }
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
}
