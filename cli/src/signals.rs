//! Signals, which one thread waits for.
//!
//! A signal that is waited for is blocked in every thread, and taken by `sigwait`. So it interrupts no reactor, and
//! there is no moment in which it is lost. With handlers there is one: a handler is in place before there is
//! anything for it to do. In a container, where this is process 1, there is one without handlers, too: the kernel
//! does not deliver a signal whose default action would end process 1, unless it is blocked.

use std::thread;

use nix::sys::signal::{SigSet, Signal};

use super::failure::Failure;

/// A write beyond the limit of the size of a file raises SIGXFSZ, which ends the process by default. From now on
/// such a write only fails, with EFBIG. To be called before there is a second thread.
pub(crate) fn survive_file_size_limit() {
    // It stays pending for ever, which does not matter. A set with a valid signal is not refused.
    let _ = SigSet::from(Signal::SIGXFSZ).thread_block();
}

/// Has a thread wait for these signals, one after the other. To be called before there is a second thread: threads
/// inherit what is blocked.
pub(crate) fn wait_for(
    signals: &[Signal],
    mut on: impl FnMut(Signal) + Send + 'static,
) -> Result<(), Failure> {
    let signals: SigSet = signals.iter().copied().collect();
    signals.thread_block().map_err(refused)?;
    let wait = move || {
        loop {
            // EINTR is the only error that there can be.
            if let Ok(signal) = signals.wait() {
                on(signal);
            }
        }
    };
    let thread = thread::Builder::new().name("signals".to_owned()).spawn(wait);
    thread.map(drop).map_err(refused)
}

pub(crate) fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::System(format!("signals cannot be handled: {error}"))
}
