//! The options of this bench.

use std::time::Duration;

use crate::common::failure::Failure;

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    /// How long a row is measured, if it is not one of the longer ones.
    pub(crate) time: Duration,
    /// Only rows with this in their titles.
    pub(crate) only: Option<String>,
    /// The results are written to their file, and charts drawn: if the run is complete.
    pub(crate) writes: bool,
}

const USAGE: &str = "known are --rounds N, --seconds S, --only PATTERN and --quick";

impl Options {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let (mut rounds, mut seconds, mut only, mut is_quick) = (None, None, None, false);
        // Cargo adds `--bench`.
        let mut args = args.filter(|arg| arg != "--bench");
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value: {USAGE}"));
            match arg.as_str() {
                "--rounds" => rounds = Some(value()?.parse().ok().filter(|&rounds| rounds > 0)),
                "--seconds" => seconds = Some(value()?.parse().ok().filter(|&time| time > 0.0)),
                "--only" => only = Some(value()?),
                "--quick" => is_quick = true,
                _ => return Err(format!("{arg} is not known: {USAGE}").into()),
            }
        }
        let (default_rounds, default_seconds) = if is_quick { (1, 0.3) } else { (5, 1.5) };
        let rounds = rounds.map_or(Ok(default_rounds), |rounds| {
            rounds.ok_or("--rounds needs a number from 1 on")
        })?;
        let seconds = seconds.map_or(Ok(default_seconds), |seconds| {
            seconds.ok_or("--seconds needs a number above 0")
        })?;
        let time = Duration::try_from_secs_f64(seconds)?;
        Ok(Self { rounds, time, writes: !is_quick && only.is_none(), only })
    }

    pub(crate) fn wants(&self, title: &str) -> bool {
        self.only.as_ref().is_none_or(|pattern| title.contains(pattern))
    }
}
