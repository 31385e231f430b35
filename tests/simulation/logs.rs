//! What the reactor logs, seen by the test on whose thread it runs.

use std::cell::RefCell;
use std::sync::Once;

use log::{LevelFilter, Log, Metadata, Record};
use readyloop::sim::time_on_this_thread;

thread_local! {
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

struct Logger {
    prints: bool,
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        self.prints || LINES.with_borrow(Option::is_some)
    }

    fn log(&self, record: &Record<'_>) {
        if self.prints {
            let time = time_on_this_thread().unwrap_or_default().as_secs_f64();
            println!("{time:.6} s {:5} {}", record.level(), record.args());
        }
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                lines.push(format!("{} {}", record.level(), record.args()));
            }
        });
    }

    fn flush(&self) {}
}

fn start(prints: bool) {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        log::set_logger(Box::leak(Box::new(Logger { prints }))).expect("there is no other logger");
        log::set_max_level(if prints { LevelFilter::Trace } else { LevelFilter::Info });
    });
}

/// Prints everything, chunk by chunk.
pub(crate) fn print() {
    start(true);
}

/// Returns what is logged on this thread while something is done, at level info or above.
pub(crate) fn lines_of(action: impl FnOnce()) -> Vec<String> {
    start(false);
    LINES.set(Some(Vec::new()));
    action();
    LINES.take().expect("it was set")
}
