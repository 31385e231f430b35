//! Ready-made handlers.

mod echo;

pub use echo::Echo;
