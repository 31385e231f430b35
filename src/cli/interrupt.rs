//! SIGINT and SIGTERM, where they end what is under way.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::low_level::pipe;

use super::failure::Failure;

/// Tells whether one of the two has come. Its descriptor is readable from then on.
#[derive(Debug)]
pub(crate) struct Interrupt {
    ends_at_once: Arc<AtomicBool>,
    has_come: Arc<AtomicBool>,
    readable: UnixStream,
}

impl Interrupt {
    pub(crate) fn has_come(&self) -> bool {
        self.has_come.load(Ordering::Acquire)
    }

    /// From now on a signal ends the process at once, with exit code 1, also the first: what was under way is
    /// over, and the result is being written to a reader that may not read.
    pub(crate) fn ends_at_once(&self) {
        self.ends_at_once.store(true, Ordering::Release);
    }
}

impl AsFd for Interrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

/// Has the first of them act, on a thread of its own; a second one ends the process at once, with exit code 1.
pub(crate) fn on_first(act: impl Fn() + Send + 'static) -> Result<Interrupt, Failure> {
    let refused = |error| Failure::System(format!("signals cannot be handled: {error}"));
    let (ends_at_once, has_come) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let (readable, wakes) = UnixStream::pair().map_err(refused)?;
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&ends_at_once))
            .map_err(refused)?;
        flag::register(signal, Arc::clone(&ends_at_once)).map_err(refused)?;
        flag::register(signal, Arc::clone(&has_come)).map_err(refused)?;
        pipe::register(signal, wakes.try_clone().map_err(refused)?).map_err(refused)?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(refused)?;
    let wait = move || signals.forever().for_each(|_signal| act());
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(refused)?;
    Ok(Interrupt { ends_at_once, has_come, readable })
}
