//! Why a run does not start.

use std::fmt;

/// Why a run does not start.
///
/// The message is one line. It names the flags of `readyloop bench`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The plan contradicts itself, or its target cannot be used. The caller's mistake.
    Plan(String),
    /// The system refuses a resource that the plan needs.
    System(String),
}

impl Error {
    /// The system refuses the request of a flag.
    pub(crate) fn of_flag(flag: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::System(format!("{flag}: {error}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(text) | Self::System(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}
