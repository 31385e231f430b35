//! Running what a type of the program may make panic outside of a callback.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs an action that may panic: showing or dropping an error, dropping a body. No callback is left that could be
/// told of the panic. Its payload is leaked, as dropping that may panic once more.
pub(crate) fn contain(action: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(action)) {
        std::mem::forget(payload);
    }
}
