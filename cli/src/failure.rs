//! What the binary reports when it fails.

use std::fmt::Display;
use std::process::ExitCode;

use super::streams;

/// The exit code if clients were cut off.
pub(crate) const CUT_OFF: u8 = 3;

/// Why the binary fails, and with which exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong. Exit code 2.
    Usage(String),
    /// The system refused. Exit code 1.
    System(String),
    /// The server has ended, and clients were cut off. Exit code 3.
    CutOff(String),
}

impl Failure {
    /// The system refused the request of a flag.
    pub(crate) fn of_flag(flag: impl Display, error: impl Display) -> Self {
        Self::System(format!("{flag}: {error}"))
    }

    /// All failures, in one line.
    pub(crate) fn of_all(results: impl IntoIterator<Item = Result<(), Self>>) -> Result<(), Self> {
        let failures = results.into_iter().filter_map(Result::err);
        failures.reduce(Self::and).map_or(Ok(()), Err)
    }

    /// The exit code is that of the first failure.
    fn and(self, other: Self) -> Self {
        let (Self::Usage(more) | Self::System(more) | Self::CutOff(more)) = other;
        let both = |text| format!("{text}; {more}");
        match self {
            Self::Usage(text) => Self::Usage(both(text)),
            Self::System(text) => Self::System(both(text)),
            Self::CutOff(text) => Self::CutOff(both(text)),
        }
    }

    /// Writes one line to standard error, and returns the exit code. If standard error does not take the line, only the
    /// exit code is left.
    pub(crate) fn report(self) -> ExitCode {
        let (text, code) = match self {
            Self::Usage(text) => (text, 2),
            Self::System(text) => (text, 1),
            Self::CutOff(text) => (text, CUT_OFF),
        };
        let line: String = text.chars().flat_map(printable).collect();
        streams::say(&format!("readyloop: {line}"));
        ExitCode::from(code)
    }
}

/// Escapes a control character, so that a text from outside stays on its line.
pub(crate) fn printable(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_default());
    let plain = (!character.is_control()).then_some(character);
    escaped.into_iter().flatten().chain(plain)
}
