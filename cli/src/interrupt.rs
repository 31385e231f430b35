//! SIGINT and SIGTERM, where they end a run that has results to show.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::Signal::{self, SIGINT, SIGTERM};

use super::failure::Failure;
use super::signals;

/// What the first of these signals does. A second one ends the process at once, with exit code 1.
///
/// Its descriptor is readable once the run was told to end.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    readable: UnixStream,
    wakes: UnixStream,
}

enum State {
    /// There is nothing to show, so the process ends, with exit code 1.
    NoRun,
    /// The run is told to end.
    Running(Box<dyn Fn() -> bool + Send>),
    /// The run was told to end. The next signal ends the process.
    HasCome,
    /// The run is over, and its result is being written to a reader that may not read.
    Over { has_come: bool },
}

impl State {
    fn has_come(&self) -> bool {
        matches!(self, Self::HasCome | Self::Over { has_come: true })
    }
}

impl Interrupt {
    /// Waits for them from now on. To be called before there is a second thread.
    ///
    /// # Errors
    /// The system gives no thread or no descriptor.
    pub(crate) fn start() -> Result<Self, Failure> {
        let (readable, wakes) = UnixStream::pair().map_err(signals::refused)?;
        let state = Mutex::new(State::NoRun);
        let this = Self(Arc::new(Shared { state, readable, wakes }));
        let told = this.clone();
        signals::wait_for(&[SIGINT, SIGTERM], move |signal| told.on(signal))?;
        Ok(this)
    }

    /// A run begins. `end` tells it to end, and returns whether it is still there to be told.
    pub(crate) fn on_first(&self, end: impl Fn() -> bool + Send + 'static) {
        *self.lock() = State::Running(Box::new(end));
    }

    /// Whether the run was told to end.
    pub(crate) fn has_come(&self) -> bool {
        self.lock().has_come()
    }

    /// From now on a signal ends the process at once, with exit code 1, also the first.
    pub(crate) fn ends_at_once(&self) {
        // One lock for both: a signal between them would be forgotten.
        let mut state = self.lock();
        let has_come = state.has_come();
        *state = State::Over { has_come };
    }

    fn on(&self, signal: Signal) {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::HasCome) {
            State::Running(end) if end() => {
                let _ = (&self.0.wakes).write(&[0]); // it has room for one byte
                return;
            }
            State::HasCome | State::Over { .. } => {}
            State::NoRun | State::Running(_) => {
                // The lock is held, so no run begins meanwhile.
                Failure::System(format!("ended by {signal}")).report();
            }
        }
        process::exit(1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Interrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.readable.as_fd()
    }
}
