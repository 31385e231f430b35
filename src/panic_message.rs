//! The messages of panics that a reactor catches.

use std::any::Any;
#[cfg(feature = "sim")]
use std::cell::RefCell;

use crate::contain::contain;

#[cfg(feature = "sim")]
thread_local! {
    /// The last one on this thread, by which a test in the simulation reports why it failed.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The text of a panic's payload, which is dropped.
pub(crate) fn panic_message(payload: Box<dyn Any + Send>) -> String {
    let message = if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "(not a text)".to_owned()
    };
    contain(|| drop(payload));
    #[cfg(feature = "sim")]
    LAST.set(message.clone());
    message
}

/// Takes the last message on this thread.
#[cfg(feature = "sim")]
pub(crate) fn last_panic() -> String {
    LAST.take()
}
