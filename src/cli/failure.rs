//! What the binary says when it cannot do what it was asked.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// The exit code if clients were cut off.
pub(crate) const CUT: u8 = 3;

/// Why the binary ends, other than because it was told to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Not wrong at all: help or the version was asked for. Goes to standard output.
    Information(String),
    /// The command line makes no sense. Exit code 2.
    Usage(String),
    /// The system refused. Exit code 1.
    System(String),
    /// The server has ended before it could finish what it had begun. Exit code 3.
    Cut(String),
}

impl Failure {
    /// The system refused what a flag asked for.
    pub(crate) fn of_flag(flag: impl Display, error: impl Display) -> Self {
        Self::System(format!("{flag}: {error}"))
    }

    /// Says it in one line. A standard stream that is closed is no reason to fail again.
    pub(crate) fn report(self) -> ExitCode {
        let (text, code) = match self {
            Self::Information(text) => {
                let _ = write!(io::stdout(), "{text}");
                return ExitCode::SUCCESS;
            }
            Self::Usage(text) => (text, 2),
            Self::System(text) => (text, 1),
            Self::Cut(text) => (text, CUT),
        };
        let line: String = text.chars().flat_map(printable).collect();
        let _ = writeln!(io::stderr(), "readyloop: {line}");
        ExitCode::from(code)
    }
}

/// An error with what has caused it.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What was typed wrong is shown as it was typed, but keeps to its line.
fn printable(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_default());
    let plain = (!character.is_control()).then_some(character);
    escaped.into_iter().flatten().chain(plain)
}
