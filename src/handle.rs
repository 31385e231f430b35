//! A reactor, as seen from other threads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::net::Wake;

/// Reaches a reactor from other threads; made by [`Reactor::handle`](crate::Reactor::handle).
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Reactor, services::Echo};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// reactor.listen("127.0.0.1:0")?;
/// let handle = reactor.handle();
/// let stopper = std::thread::spawn(move || handle.stop());
/// reactor.run()?; // returns when stopped
/// # stopper.join().unwrap();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    stop: AtomicBool,
    waker: Arc<dyn Wake>,
}

impl Handle {
    pub(crate) fn new(waker: Arc<dyn Wake>) -> Self {
        Self { shared: Arc::new(Shared { stop: AtomicBool::new(false), waker }) }
    }

    /// Stops the reactor at the end of its turn, waking it if it waits. To stop one that has stopped
    /// already does nothing.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Err(error) = self.shared.waker.wake() {
            log::error!("a reactor that waits could not be woken to stop: {error}");
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("stopping", &self.is_stopping()).finish_non_exhaustive()
    }
}
