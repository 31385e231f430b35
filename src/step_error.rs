//! The error of one of several system calls.

use std::{fmt, io};

/// The error of one of several system calls.
#[derive(Debug)]
pub struct StepError {
    /// The name of the system call.
    pub step: &'static str,
    /// Its error.
    pub source: io::Error,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.step, self.source)
    }
}

impl std::error::Error for StepError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
