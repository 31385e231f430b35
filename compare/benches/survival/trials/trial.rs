//! A trial, and what its rounds find.

use crate::common::failure::Failure;
use crate::common::figures::spread;
use crate::common::process::Server;

pub(crate) struct Trial {
    pub(crate) title: &'static str,
    pub(crate) measures: &'static [Measure],
    /// Returns a finding for each measure.
    pub(crate) run: fn(&Server) -> Result<Vec<Finding>, Failure>,
}

pub(crate) struct Measure {
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
}

/// What one round says of one measure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Finding {
    Number(f64),
    Words(String),
}

impl Finding {
    pub(crate) fn words(text: &str) -> Self {
        Self::Words(text.to_owned())
    }
}

/// The median of the numbers with their range, and how often something else was found.
pub(crate) fn summary(findings: &[Finding], unit: &str) -> String {
    let mut numbers = Vec::new();
    let mut words: Vec<(&str, usize)> = Vec::new();
    for finding in findings {
        match finding {
            Finding::Number(number) => numbers.push(*number),
            Finding::Words(text) => match words.iter_mut().find(|(known, _)| known == text) {
                Some((_, times)) => *times += 1,
                None => words.push((text, 1)),
            },
        }
    }
    let counted = |text: &str, times: usize| match findings.len() == times {
        true => text.to_owned(),
        false => format!("{text} ({times} of {})", findings.len()),
    };
    let numeric =
        (!numbers.is_empty()).then(|| counted(&spread(&mut numbers, unit), numbers.len()));
    let words = words.into_iter().map(|(text, times)| counted(text, times));
    numeric.into_iter().chain(words).collect::<Vec<_>>().join(", ")
}
