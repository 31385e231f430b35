//! Standard output, for what the program was asked for.

use std::io;

use super::failure::Failure;
use super::streams::{self, Unwritten};

/// Writes to standard output.
///
/// # Errors
/// [`Failure::System`] if it does not take all of the text. A closed pipe is a failure, too: the text was asked for.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    streams::write_all(io::stdout(), text.as_bytes()).map_err(|Unwritten { written, error }| {
        let bytes = text.len();
        Failure::of_flag("standard output", format!("{error} (after {written} of {bytes} bytes)"))
    })
}
