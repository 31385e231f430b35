//! Signals: one thread waits for them.
//!
//! The signals are blocked in every thread, and taken by `sigwait`. So they interrupt no reactor, and none is lost. A
//! signal handler would lose the signals that come before it has something to act on. In a container, where this is
//! process 1, signals without a handler are lost, too: the kernel delivers a signal whose default action ends process 1
//! only if it is blocked.

use std::thread;

use nix::sys::signal::{SigSet, Signal};

use super::failure::Failure;

/// Blocks SIGXFSZ, which a write beyond the size limit of a file raises. It ends the process by default. From now on
/// such a write fails with EFBIG. Call it before a second thread starts.
pub(crate) fn survive_file_size_limit() {
    // The signal stays pending, without effect. A set with a valid signal is not refused.
    let _ = SigSet::from(Signal::SIGXFSZ).thread_block();
}

/// Starts a thread that waits for these signals, one after the other. Call it before a second thread starts: threads
/// inherit the blocked signals.
pub(crate) fn wait_for(
    signals: &[Signal],
    mut on: impl FnMut(Signal) + Send + 'static,
) -> Result<(), Failure> {
    let signals: SigSet = signals.iter().copied().collect();
    signals.thread_block().map_err(refused)?;
    let wait = move || {
        loop {
            // The only error is EINTR.
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
