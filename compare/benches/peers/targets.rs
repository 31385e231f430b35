//! What readyloop promises itself, and what a run says of it.

use crate::common::figures::{precise_spread, readable};
use crate::grid::{CHURN, ECHO, IDLE, LARGE, NEIGHBOURS, OPEN_OWN, OPEN_SLOWEST, PIPELINE};
use crate::measure::Measure;
use crate::results::{Place, Results};

pub(crate) const OURS: &str = "readyloop";
pub(crate) const FLOOR: &str = "epoll loop in C";
const TOKIO: &str = "tokio";

pub(crate) struct Target {
    pub(crate) text: &'static str,
    question: Question,
}

enum Question {
    /// The median ratio of a figure of ours to another.
    Ratio { measure: Measure, row: &'static str, to: Place, limit: Limit },
    /// The median of a figure of ours.
    Figure { measure: Measure, row: &'static str, limit: Limit },
    /// The median ratio of a figure of ours to the best of the others, where less is better.
    Best { measure: Measure, row: &'static str },
}

#[derive(Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// What a run says of a target.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) says: String,
    /// `None` if it is not known.
    pub(crate) is_met: Option<bool>,
}

#[rustfmt::skip]
pub(crate) fn targets() -> Vec<Target> {
    use Limit::{AtLeast, AtMost};
    use Measure::{Calls, P999, Rate, Resident, ResidentAfterEcho, Total, User};
    let to_floor = |text, measure, row, limit| {
        let question = Question::Ratio { measure, row, to: Place { row, peer: FLOOR }, limit };
        Target { text, question }
    };
    let to = |text, measure, row, to, limit| {
        Target { text, question: Question::Ratio { measure, row, to, limit } }
    };
    let figure = |text, measure, row, limit| {
        Target { text, question: Question::Figure { measure, row, limit } }
    };
    let best = |text, measure, row| Target { text, question: Question::Best { measure, row } };
    let tokio = Place { row: ECHO, peer: TOKIO };
    let alone = Place { row: ECHO, peer: OURS };
    vec![
        to_floor("user time of a 64 B echo ≤ 1.5 × the floor's", User, ECHO, AtMost(1.5)),
        to("user time of a 64 B echo ≤ 0.5 × tokio's", User, ECHO, tokio, AtMost(0.5)),
        to_floor("processor time of a 64 B echo ≤ 1.02 × the floor's", Total, ECHO, AtMost(1.02)),
        to_floor("64 KiB: bytes a second ≥ 0.97 × the floor's", Rate, LARGE, AtLeast(0.97)),
        to_floor("pipeline 16: messages a second ≥ 0.98 × the floor's", Rate, PIPELINE, AtLeast(0.98)),
        to_floor("a whole connection's processor time ≤ 1.0 × the floor's", Total, CHURN, AtMost(1.0)),
        best("a whole connection's system calls: no more than anybody's", Calls, CHURN),
        figure("an idle connection: ≤ 128 resident bytes", Resident, IDLE, AtMost(128.0)),
        figure("the same after it has echoed once", ResidentAfterEcho, IDLE, AtMost(128.0)),
        to("100 active of 19,000: ≥ 0.97 × the rate of 100 alone", Rate, NEIGHBOURS, alone, AtLeast(0.97)),
        best("p99.9 at 70 % of the slowest's top rate: no worse than the best peer's", P999, OPEN_SLOWEST),
        best("p99.9 at 70 % of its own top rate: no worse than the best peer's", P999, OPEN_OWN),
    ]
}

impl Target {
    /// The others are all that may have been run beside ours.
    pub(crate) fn judge(&self, results: &Results, others: &[&'static str]) -> Verdict {
        let answer = match self.question {
            Question::Ratio { measure, row, to, limit } => {
                ratio(results, Place { row, peer: OURS }, to, measure, limit)
            }
            Question::Figure { measure, row, limit } => {
                figure(results, Place { row, peer: OURS }, measure, limit)
            }
            Question::Best { measure, row } => against_best(results, row, measure, others),
        };
        answer.unwrap_or_else(|why| Verdict { says: why, is_met: None })
    }
}

fn ratio(
    results: &Results,
    of: Place,
    to: Place,
    measure: Measure,
    limit: Limit,
) -> Result<Verdict, String> {
    let mut ratios = results.ratios(of, to, measure)?;
    if ratios.each.iter().any(|ratio| ratio.is_infinite()) {
        return Err(format!("{} has 0 in a round: too little to measure", to.peer));
    }
    let is_met = Some(limit.allows(ratios.median()));
    let mut says = precise_spread(&mut ratios.each, " ×", 3);
    if measure == Measure::Rate {
        says += &how_busy(results, [of, to]);
    }
    Ok(Verdict { says, is_met })
}

/// A rate says little about servers that have time to spare.
fn how_busy(results: &Results, places: [Place; 2]) -> String {
    match places.map(|at| results.median(at, Measure::Busy)) {
        [Ok(one), Ok(other)] => format!(", the servers being busy {one:.0} % and {other:.0} %"),
        _ => String::new(),
    }
}

fn figure(results: &Results, at: Place, measure: Measure, limit: Limit) -> Result<Verdict, String> {
    let mut figures = results.figures(at, measure)?;
    let says = precise_spread(&mut figures, measure.unit(), 3);
    Ok(Verdict { says, is_met: Some(limit.allows(results.median(at, measure)?)) })
}

fn against_best(
    results: &Results,
    row: &'static str,
    measure: Measure,
    others: &[&'static str],
) -> Result<Verdict, String> {
    let ours = Place { row, peer: OURS };
    let median = results.median(ours, measure)?;
    let measured = others.iter().filter_map(|&peer| {
        let at = Place { row, peer };
        Some((results.median(at, measure).ok()?, at))
    });
    let (least, best) = measured
        .min_by(|(one, _), (other, _)| one.total_cmp(other))
        .ok_or("no other server has a figure")?;
    let mut ratios = results.ratios(ours, best, measure)?;
    let is_met = Some(ratios.median() <= 1.0);
    let [median, least] =
        [median, least].map(|figure| format!("{}{}", readable(figure, 3), measure.unit()));
    let spread = precise_spread(&mut ratios.each, " ×", 3);
    Ok(Verdict { says: format!("{median} against {least} of {}: {spread}", best.peer), is_met })
}

impl Limit {
    fn allows(self, figure: f64) -> bool {
        match self {
            Self::AtMost(limit) => figure <= limit,
            Self::AtLeast(limit) => figure >= limit,
        }
    }
}
