//! What the tests of the library use, and those of the binary do not.

use std::net::TcpStream;
use std::sync::{Mutex, Once};

use readyloop::{ConnId, Report};

use crate::util::{Server, connect};

/// How many connections the reactor of an id had counted: the number behind its own, which depends on the tests
/// that run in the same process.
pub(crate) fn count_of(id: ConnId) -> u64 {
    let text = id.to_string();
    let count = text.rsplit(['#', '/']).next().expect("there is a number");
    count.parse().expect("it is one")
}

impl Server {
    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.addr)
    }

    /// Returns once it has ended by itself.
    pub(crate) fn wait(mut self) -> Report {
        self.thread.take().expect("it was not joined before").join().expect("no panic escapes")
    }
}

/// What this process logs, from the level `warn` on.
struct Collector(Mutex<Vec<String>>);

impl log::Log for Collector {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

static LOG: Collector = Collector(Mutex::new(Vec::new()));

/// From now on [`logged`] has all lines that the library logs, those of other tests included.
pub(crate) fn collect_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| log::set_logger(&LOG).expect("there is no other logger"));
    log::set_max_level(log::LevelFilter::Warn);
}

pub(crate) fn logged() -> Vec<String> {
    LOG.0.lock().unwrap().clone()
}
