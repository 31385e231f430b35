//! What signals do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use readyloop::{Handle, Handler, Reactor};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;
use signal_hook::low_level::{exit, signal_name};

use super::failure::{CUT, Failure};
use super::logging::{self, Reopen};
use super::standing;

/// So long may a stop at once take: a reactor may be held up for ever, for one by a log that nobody reads.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How the server came to its end.
pub(crate) struct Ending {
    pub(crate) signal: &'static str,
    /// By a second signal.
    pub(crate) at_once: bool,
}

/// What has come so far.
#[derive(Clone)]
pub(crate) struct Signals {
    /// The first that asked for the end; 0 before.
    first: Arc<AtomicI32>,
    is_second: Arc<AtomicBool>,
}

impl Signals {
    /// Waits for signals in a thread of its own, so that none interrupts a reactor at a bad moment:
    ///
    /// - SIGINT and SIGTERM drain; the second one stops at once, with exit code 3.
    /// - SIGHUP opens the log file again, for those who have moved it away. Without one it ends the process,
    ///   as by default: its terminal is gone.
    /// - SIGUSR1 logs how things stand.
    ///
    /// It does not log itself, as that may block.
    pub(crate) fn start<H: Handler + 'static>(
        handle: Handle<H>,
        drain: Duration,
        log: Reopen,
    ) -> Result<Self, Failure> {
        let refused = |error| Failure::System(format!("signals cannot be handled: {error}"));
        let (first, is_second) = (Arc::<AtomicI32>::default(), Arc::<AtomicBool>::default());
        for signal in [SIGINT, SIGTERM] {
            // The third, should this thread not come to it.
            flag::register_conditional_shutdown(signal, CUT.into(), Arc::clone(&is_second))
                .map_err(refused)?;
        }
        let mut handled = vec![SIGINT, SIGTERM, SIGUSR1];
        if log.is_possible() {
            handled.push(SIGHUP);
        }
        let mut signals = signal_hook::iterator::Signals::new(handled).map_err(refused)?;
        let told = Self { first, is_second };
        let duty = Duty { handle, drain, log, told: told.clone() };
        let wait = move || signals.forever().for_each(|signal| duty.on(signal));
        thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(refused)?;
        Ok(told)
    }

    /// `None` if no signal asked for the end.
    pub(crate) fn ending(&self) -> Option<Ending> {
        let signal = signal_name(self.first.load(Ordering::Acquire))?;
        Some(Ending { signal, at_once: self.is_second.load(Ordering::Acquire) })
    }
}

/// What the thread that waits for signals needs.
struct Duty<H: Handler> {
    handle: Handle<H>,
    drain: Duration,
    log: Reopen,
    told: Signals,
}

impl<H: Handler + 'static> Duty<H> {
    fn on(&self, signal: i32) {
        match signal {
            SIGHUP => {
                self.log.order();
                post_to_any(&self.handle, |_| logging::go_on());
            }
            SIGUSR1 => {
                let all = self.handle.clone();
                post_to_any(&self.handle, move |reactor| {
                    standing::log(&all.stats(), &reactor.config_in_force(), all.reactors());
                });
            }
            _ if self.told.first.load(Ordering::Acquire) == 0 => {
                self.told.first.store(signal, Ordering::Release);
                self.handle.drain(self.drain);
            }
            _ => {
                self.told.is_second.store(true, Ordering::Release);
                self.handle.stop();
                thread::sleep(AT_ONCE); // in which the process ends, or it does not
                exit(CUT.into());
            }
        }
    }
}

/// On the first reactor that takes it: one may have drained before the others, or have too much to do.
fn post_to_any<H: Handler>(
    handle: &Handle<H>,
    closure: impl FnOnce(&mut Reactor<H>) + Send + 'static,
) {
    let mut closure = Some(closure);
    for reactor in 0..handle.reactors() {
        if let Some(wanted) = closure.take() {
            closure = handle.post_to(reactor, wanted).err().map(|refused| refused.returned);
        }
    }
}
