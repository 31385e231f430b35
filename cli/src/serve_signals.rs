//! What signals do to a server.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal::{self, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use readyloop::{Context, Handle};

use super::failure::{CUT, Failure};
use super::logging::{self, Reopen};
use super::{signals, standing};

/// How long a stop at once may take. A reactor may be held up for ever, for example by a log that nobody reads.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How the server came to its end.
pub(crate) struct Ending {
    pub(crate) signal: &'static str,
    /// A second signal has come.
    pub(crate) at_once: bool,
}

/// The signals that have come so far, and what the next one does.
///
/// - SIGINT and SIGTERM drain. The second one stops at once, with exit code 3. While the server starts it serves
///   no client, so they end the process, with exit code 0.
/// - SIGHUP opens the log file again. Without a log file it is left to end the process: the terminal is gone.
/// - SIGUSR1 logs how things stand.
///
/// SIGHUP and SIGUSR1 wait until the start is over.
#[derive(Clone)]
pub(crate) struct Signals(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// The first signal that asked for the end.
    first: OnceLock<Signal>,
    is_second: AtomicBool,
}

enum State {
    Starting {
        /// Signals that wait for the end of the start, each once.
        waiting: Vec<Signal>,
    },
    Serving(Box<dyn Fn(Signal) + Send>),
}

impl Signals {
    /// Waits for signals from now on. To be called before there is a second thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(has_log_file: bool) -> Result<Self, Failure> {
        let this = Self(Arc::new(Shared {
            state: Mutex::new(State::Starting { waiting: Vec::new() }),
            first: OnceLock::new(),
            is_second: AtomicBool::new(false),
        }));
        let told = this.clone();
        let handled = [SIGINT, SIGTERM, SIGUSR1, SIGHUP];
        let handled = if has_log_file { &handled[..] } else { &handled[..3] };
        signals::wait_for(handled, move |signal| told.on(signal))?;
        Ok(this)
    }

    /// The start is over: this server is there to be told.
    pub(crate) fn serve(&self, handle: Handle, drain: Duration, log: Reopen) {
        let told = self.clone();
        let act = move |signal| match signal {
            SIGHUP => {
                log.order();
                post_to_any(&handle, |_| logging::go_on());
            }
            SIGUSR1 => {
                let all = handle.clone();
                post_to_any(&handle, move |reactor| {
                    standing::log(&all.stats(), &reactor.config_in_force(), all.reactors());
                });
            }
            _ if told.0.first.set(signal).is_ok() => handle.drain(drain),
            _ => {
                told.0.is_second.store(true, Ordering::Release);
                handle.stop();
                thread::sleep(AT_ONCE); // in which the process ends, or it does not
                process::exit(CUT.into());
            }
        };
        let mut state = self.lock();
        if let State::Starting { waiting } = &*state {
            waiting.iter().for_each(|signal| act(*signal));
        }
        *state = State::Serving(Box::new(act));
    }

    /// `None` if no signal asked for the end.
    pub(crate) fn ending(&self) -> Option<Ending> {
        let signal = self.0.first.get()?.as_str();
        Some(Ending { signal, at_once: self.0.is_second.load(Ordering::Acquire) })
    }

    /// Nothing is logged from here, as that may block.
    fn on(&self, signal: Signal) {
        match &mut *self.lock() {
            State::Serving(act) => act(signal),
            // The lock is held, so the server does not begin to serve meanwhile.
            State::Starting { .. } if matches!(signal, SIGINT | SIGTERM) => process::exit(0),
            State::Starting { waiting } if waiting.contains(&signal) => {}
            State::Starting { waiting } => waiting.push(signal),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// On the first reactor that takes it: one may have drained before the others, or have too much to do.
fn post_to_any(handle: &Handle, closure: impl FnOnce(&mut Context<'_>) + Send + 'static) {
    let mut closure = Some(closure);
    for reactor in 0..handle.reactors() {
        if let Some(wanted) = closure.take() {
            closure = handle.post(reactor, wanted).err().map(|refused| refused.returned);
        }
    }
}
