//! SIGINT and SIGTERM, where they end what is under way.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use super::failure::Failure;

/// Has the first of them act, on a thread of its own; a second one ends the process at once, with exit code 1.
/// Returns what tells whether one has come.
pub(crate) fn on_first(act: impl Fn() + Send + 'static) -> Result<Arc<AtomicBool>, Failure> {
    let refused = |error| Failure::System(format!("signals cannot be handled: {error}"));
    let has_come = Arc::<AtomicBool>::default();
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&has_come)).map_err(refused)?;
        flag::register(signal, Arc::clone(&has_come)).map_err(refused)?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(refused)?;
    let wait = move || signals.forever().for_each(|_signal| act());
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(refused)?;
    Ok(has_come)
}
