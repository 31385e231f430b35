//! The error type of the benches.

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
