//! SIGINT and SIGTERM for runs that have results to report.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::Signal::{self, SIGINT, SIGTERM};

use super::failure::Failure;
use super::signals;

/// What the first SIGINT or SIGTERM does. A second one ends the process at once, with exit code 1.
///
/// Its descriptor is readable after the first signal.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    readable: UnixStream,
    wakes: UnixStream,
}

enum State {
    /// There are no results: a signal ends the process with exit code 1.
    NoRun,
    /// A signal calls this function, which ends the run.
    Running(Box<dyn Fn() -> bool + Send>),
    /// The first signal has ended the run. The next one ends the process.
    HasCome,
    /// The run is over. Its results are being written, to a reader that may not read.
    Over { has_come: bool },
}

impl State {
    fn has_come(&self) -> bool {
        matches!(self, Self::HasCome | Self::Over { has_come: true })
    }
}

impl Interrupt {
    /// Waits for signals from now on. Call it before a second thread starts.
    ///
    /// # Errors
    /// The system cannot start a thread or open a descriptor.
    pub(crate) fn start() -> Result<Self, Failure> {
        let (readable, wakes) = UnixStream::pair().map_err(signals::refused)?;
        let state = Mutex::new(State::NoRun);
        let this = Self(Arc::new(Shared { state, readable, wakes }));
        let waiting = this.clone();
        signals::wait_for(&[SIGINT, SIGTERM], move |signal| waiting.on(signal))?;
        Ok(this)
    }

    /// A run begins. `end` ends it early, and returns false if it is over already.
    pub(crate) fn on_first(&self, end: impl Fn() -> bool + Send + 'static) {
        *self.lock() = State::Running(Box::new(end));
    }

    /// Whether a signal has ended the run.
    pub(crate) fn has_come(&self) -> bool {
        self.lock().has_come()
    }

    /// From now on each signal, even the first one, ends the process at once, with exit code 1.
    pub(crate) fn ends_at_once(&self) {
        // One lock for both: a signal between them would be lost.
        let mut state = self.lock();
        let has_come = state.has_come();
        *state = State::Over { has_come };
    }

    fn on(&self, signal: Signal) {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::HasCome) {
            State::Running(end) if end() => {
                let _ = (&self.0.wakes).write(&[0]); // The buffer has room for one byte.
                return;
            }
            State::HasCome | State::Over { .. } => {}
            State::NoRun | State::Running(_) => {
                // The lock is held, so no run can begin meanwhile.
                Failure::System(format!("ended by {signal}")).report();
            }
        }
        process::exit(1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while the lock is held.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Interrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.readable.as_fd()
    }
}
