//! What the binary says when it cannot do what it was asked.

use std::fmt::Display;
use std::process::ExitCode;

use super::streams;

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

    /// All that failed, in one line.
    pub(crate) fn of_all(results: impl IntoIterator<Item = Result<(), Self>>) -> Result<(), Self> {
        let failures = results.into_iter().filter_map(Result::err);
        failures.reduce(Self::and).map_or(Ok(()), Err)
    }

    /// The exit code is that of the first.
    fn and(self, other: Self) -> Self {
        let (Self::Information(more) | Self::Usage(more) | Self::System(more) | Self::Cut(more)) =
            other;
        let both = |text| format!("{text}; {more}");
        match self {
            Self::Information(text) => Self::Information(both(text)),
            Self::Usage(text) => Self::Usage(both(text)),
            Self::System(text) => Self::System(both(text)),
            Self::Cut(text) => Self::Cut(both(text)),
        }
    }

    /// Says it in one line. If standard error does not take the line, the exit code is all there is.
    pub(crate) fn report(self) -> ExitCode {
        let (text, code) = match self {
            Self::Information(text) => {
                return match streams::print(&text) {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(failure) => failure.report(),
                };
            }
            Self::Usage(text) => (text, 2),
            Self::System(text) => (text, 1),
            Self::Cut(text) => (text, CUT),
        };
        let line: String = text.chars().flat_map(printable).collect();
        streams::say(&format!("readyloop: {line}"));
        ExitCode::from(code)
    }
}

/// What was typed wrong is shown as it was typed, but keeps to its line.
pub(crate) fn printable(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_default());
    let plain = (!character.is_control()).then_some(character);
    escaped.into_iter().flatten().chain(plain)
}
