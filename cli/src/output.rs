//! Standard output: reports, the help and the version.

use std::io;

use super::failure::Failure;
use super::streams::{self, Unwritten};

/// Writes to standard output.
///
/// # Errors
/// [`Failure::System`] if standard output does not take all of the text. A closed pipe is a failure, too, because the
/// user has asked for the text.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    streams::write_all(io::stdout(), text.as_bytes()).map_err(|Unwritten { written, error }| {
        let bytes = text.len();
        Failure::of_flag("standard output", format!("{error} (after {written} of {bytes} bytes)"))
    })
}
