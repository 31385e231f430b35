//! Runs code of the program that may panic outside of a callback.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs an action that may panic, such as formatting or dropping an error of the handler, or dropping a body. A panic
/// is ignored: no connection is left that it could end. Its payload is leaked, because dropping it may panic again.
pub(crate) fn contain(action: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(action)) {
        std::mem::forget(payload);
    }
}
