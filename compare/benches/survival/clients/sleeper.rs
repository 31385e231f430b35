//! A control: a thread that only sleeps. How late it wakes is the machine's doing, not a server's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::quiet::Times;
use crate::common::failure::Failure;
use crate::common::machine::go_first;

const NAP: Duration = Duration::from_millis(1);

pub(crate) struct Sleeper {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

impl Sleeper {
    pub(crate) fn start() -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let stopping = Arc::clone(&stopping);
            move || {
                go_first();
                nap_until(&stopping)
            }
        });
        Self { stopping, thread }
    }

    /// Returns how late it woke each time.
    pub(crate) fn stop(self) -> Result<Times, Failure> {
        self.stopping.store(true, Ordering::Relaxed);
        let late = self.thread.join().map_err(|_| "the sleeper has panicked")?;
        Ok(Times::new(late, 0))
    }
}

fn nap_until(stopping: &AtomicBool) -> Vec<Duration> {
    let mut late = Vec::new();
    while !stopping.load(Ordering::Relaxed) {
        let start = Instant::now();
        thread::sleep(NAP);
        late.push(start.elapsed() - NAP);
    }
    late
}
