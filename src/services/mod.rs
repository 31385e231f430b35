//! Handlers that are ready to use.

mod echo;

pub use echo::Echo;
