//! Log lines with the virtual time.

use std::cell::Cell;
use std::time::Duration;

use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};

thread_local! {
    /// The time, in nanoseconds, of the world in which time has passed last.
    static TIME: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The virtual time of the world that runs on this thread, or was the last to run. For a logger of your own. `None` if
/// there was none.
#[must_use]
pub fn time_on_this_thread() -> Option<Duration> {
    TIME.get().map(Duration::from_nanos)
}

pub(super) fn set_time(nanos: u64) {
    TIME.set(Some(nanos));
}

/// Prints the log to standard output from now on, each line with the virtual time. Use it to see what happened in the
/// run of a seed.
///
/// # Errors
/// If the process has a logger already.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Echo, sim};
///
/// let _ = sim::print_log(log::LevelFilter::Trace); // 0.001001 s DEBUG #1 192.168.0.1:50000 opened
/// let mut world = sim::World::new(42, Config::new(), Echo)?;
/// let addr = world.listen("10.0.0.1:7")?;
/// world.dial(addr).send(b"hello");
/// let _ = world.run_until_still();
/// # Ok(())
/// # }
/// ```
pub fn print_log(level: LevelFilter) -> Result<(), SetLoggerError> {
    static PRINTER: Printer = Printer;
    log::set_logger(&PRINTER)?;
    log::set_max_level(level);
    Ok(())
}

struct Printer;

impl Log for Printer {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let time = time_on_this_thread().unwrap_or_default().as_secs_f64();
        println!("{time:.6} s {:5} {}", record.level(), record.args());
    }

    fn flush(&self) {}
}
