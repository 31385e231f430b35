//! What the rounds have found, and what follows from it.

use std::collections::BTreeMap;

use crate::common::figures::median;
use crate::measure::Measure;

/// The figures of one run.
pub(crate) type Sample = BTreeMap<Measure, f64>;

/// What one run has found, or why it has failed.
pub(crate) type Outcome = Result<Sample, String>;

/// By row and peer, in the order of the rounds.
#[derive(Debug, Default)]
pub(crate) struct Results {
    runs: BTreeMap<(&'static str, &'static str), Vec<Outcome>>,
    calls: BTreeMap<(&'static str, &'static str), Result<f64, String>>,
}

/// Ratios of figures that belong together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ratios {
    pub(crate) each: Vec<f64>,
}

impl Ratios {
    pub(crate) fn median(&self) -> f64 {
        median(&mut self.each.clone())
    }
}

/// The server of this figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) row: &'static str,
    pub(crate) peer: &'static str,
}

impl Results {
    pub(crate) fn add(&mut self, at: Place, outcome: Outcome) {
        self.runs.entry((at.row, at.peer)).or_default().push(outcome);
    }

    pub(crate) fn set_calls(&mut self, at: Place, calls: Result<f64, String>) {
        self.calls.insert((at.row, at.peer), calls);
    }

    /// Whether it was run at all.
    pub(crate) fn has(&self, at: Place) -> bool {
        self.runs.contains_key(&(at.row, at.peer))
    }

    /// The figure of each round. If one has failed, none of the others counts.
    ///
    /// # Errors
    /// What has failed, and how often.
    pub(crate) fn figures(&self, at: Place, measure: Measure) -> Result<Vec<f64>, String> {
        if measure == Measure::Calls {
            let calls = self.calls.get(&(at.row, at.peer)).cloned();
            return Ok(vec![calls.unwrap_or_else(|| Err("not counted".to_owned()))?]);
        }
        let runs = self.runs.get(&(at.row, at.peer)).ok_or("not measured")?;
        if let Some(failure) = failure(runs) {
            return Err(failure);
        }
        let figures = runs.iter().flatten().map(|sample| sample.get(&measure).copied());
        figures.collect::<Option<_>>().ok_or_else(|| "the load does not say".to_owned())
    }

    pub(crate) fn median(&self, at: Place, measure: Measure) -> Result<f64, String> {
        Ok(median(&mut self.figures(at, measure)?))
    }

    /// One figure by another one, each time of the same round: what slows down both is not in there. Two zeros
    /// are equal, and anything else is infinitely more than 0.
    ///
    /// # Errors
    /// Which of them has failed, and why.
    pub(crate) fn ratios(&self, of: Place, to: Place, measure: Measure) -> Result<Ratios, String> {
        let figures = |at: Place| {
            self.figures(at, measure).map_err(|why| format!("{}, {}: {why}", at.peer, at.row))
        };
        let (of, to) = (figures(of)?, figures(to)?);
        if of.len() != to.len() {
            return Err(format!("{} rounds of one, {} of the other", of.len(), to.len()));
        }
        let ratio = |(of, to): (&f64, &f64)| if of == to { 1.0 } else { of / to };
        Ok(Ratios { each: of.iter().zip(&to).map(ratio).collect() })
    }

    /// What the last round has found.
    pub(crate) fn last(&self, at: Place, measure: Measure) -> Option<f64> {
        let last = self.runs.get(&(at.row, at.peer))?.last()?;
        last.as_ref().ok()?.get(&measure).copied()
    }

    /// Why a place has no figures, if that is so.
    pub(crate) fn failure(&self, at: Place) -> Option<String> {
        failure(self.runs.get(&(at.row, at.peer))?)
    }
}

fn failure(runs: &[Outcome]) -> Option<String> {
    let failures: Vec<_> = runs.iter().filter_map(|run| run.as_ref().err()).collect();
    let first = failures.first()?;
    Some(format!("failed in {} of {} rounds: {first}", failures.len(), runs.len()))
}
