//! The effects of signals on a server.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal::{self, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use readyloop::{Context, Handle};

use super::failure::{CUT_OFF, Failure};
use super::logging::{self, Reopen};
use super::{signals, status};

/// How long an immediate stop may take. A reactor may block for ever, for example on a log that is not read.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the server has ended.
pub(crate) struct Ending {
    pub(crate) signal: &'static str,
    /// Whether a second signal has come.
    pub(crate) at_once: bool,
}

/// The signals so far, and what the next one does.
///
/// - SIGINT and SIGTERM drain. The second one stops at once, with exit code 3. During the start they end the process
///   with exit code 0, as no client is served yet.
/// - SIGHUP opens the log file again. Without a log file it has its default action, which ends the process: the
///   terminal is gone.
/// - SIGUSR1 logs the status.
///
/// SIGHUP and SIGUSR1 wait until the start is over.
#[derive(Clone)]
pub(crate) struct Signals(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// The first SIGINT or SIGTERM.
    first: OnceLock<Signal>,
    is_second: AtomicBool,
}

enum State {
    Starting {
        /// Signals that wait until the start is over, each once.
        waiting: Vec<Signal>,
    },
    Serving(Box<dyn Fn(Signal) + Send>),
}

impl Signals {
    /// Waits for signals from now on. Call it before a second thread starts.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub(crate) fn start(has_log_file: bool) -> Result<Self, Failure> {
        let this = Self(Arc::new(Shared {
            state: Mutex::new(State::Starting { waiting: Vec::new() }),
            first: OnceLock::new(),
            is_second: AtomicBool::new(false),
        }));
        let waiting = this.clone();
        let handled = [SIGINT, SIGTERM, SIGUSR1, SIGHUP];
        let handled = if has_log_file { &handled[..] } else { &handled[..3] };
        signals::wait_for(handled, move |signal| waiting.on(signal))?;
        Ok(this)
    }

    /// The start is over: signals now act on this server.
    pub(crate) fn serve(&self, handle: Handle, drain: Duration, log: Reopen) {
        let this = self.clone();
        let act = move |signal| match signal {
            SIGHUP => {
                log.request();
                post_to_any(&handle, |_| logging::reopen());
            }
            SIGUSR1 => {
                let all = handle.clone();
                post_to_any(&handle, move |reactor| {
                    status::log(&all.stats(), &reactor.config_in_force(), all.reactors());
                });
            }
            _ if this.0.first.set(signal).is_ok() => handle.drain(drain),
            _ => {
                this.0.is_second.store(true, Ordering::Release);
                handle.stop();
                thread::sleep(STOP_TIMEOUT); // If the stop succeeds, the process ends meanwhile.
                process::exit(CUT_OFF.into());
            }
        };
        let mut state = self.lock();
        if let State::Starting { waiting } = &*state {
            waiting.iter().for_each(|signal| act(*signal));
        }
        *state = State::Serving(Box::new(act));
    }

    /// `None` if the server has not ended by a signal.
    pub(crate) fn ending(&self) -> Option<Ending> {
        let signal = self.0.first.get()?.as_str();
        Some(Ending { signal, at_once: self.0.is_second.load(Ordering::Acquire) })
    }

    /// Does not log, as that may block.
    fn on(&self, signal: Signal) {
        match &mut *self.lock() {
            State::Serving(act) => act(signal),
            // The lock is held, so the server cannot start serving meanwhile.
            State::Starting { .. } if matches!(signal, SIGINT | SIGTERM) => process::exit(0),
            State::Starting { waiting } if waiting.contains(&signal) => {}
            State::Starting { waiting } => waiting.push(signal),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while the lock is held.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Posts to the first reactor that accepts it. A reactor may have drained, or its mailbox may be full.
fn post_to_any(handle: &Handle, closure: impl FnOnce(&mut Context<'_>) + Send + 'static) {
    let mut closure = Some(closure);
    for reactor in 0..handle.reactors() {
        if let Some(wanted) = closure.take() {
            closure = handle.post(reactor, wanted).err().map(|refused| refused.returned);
        }
    }
}
