//! Where others are better, by the figures alone.

use crate::common::figures::readable;
use crate::measure::Measure;
use crate::results::{Place, Results};

/// Another server has a better figure than ours.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loss {
    pub(crate) measure: Measure,
    ours: Place,
    /// The server with the best figure.
    best: &'static str,
    figures: [f64; 2],
    /// The median of the rounds' ratios of ours to the best.
    ratio: f64,
    /// In how many rounds, and of how many.
    rounds: [usize; 2],
    /// The other servers.
    others: Vec<&'static str>,
}

/// The server that beats ours in one figure of one row, by the median of the rounds' ratios. `None` if no server does.
pub(crate) fn loss(
    results: &Results,
    ours: Place,
    measure: Measure,
    others: &[&'static str],
) -> Option<Loss> {
    let more_is_better = measure.more_is_better()?;
    let figure = results.median(ours, measure).ok()?;
    let is_behind = |ratio: f64| if more_is_better { ratio < 1.0 } else { ratio > 1.0 };
    let mut ahead: Vec<_> = others
        .iter()
        .filter_map(|&peer| {
            let at = Place { row: ours.row, peer };
            let ratios = results.ratios(ours, at, measure).ok()?;
            is_behind(ratios.median()).then(|| (ratios.median(), ratios, at))
        })
        .collect();
    ahead.sort_by(
        |(one, ..), (other, ..)| {
            if more_is_better { one.total_cmp(other) } else { other.total_cmp(one) }
        },
    );
    let (ratio, ratios, best) = ahead.first()?;
    let behind = ratios.each.iter().filter(|ratio| is_behind(**ratio)).count();
    Some(Loss {
        measure,
        ours,
        best: best.peer,
        figures: [figure, results.median(*best, measure).ok()?],
        ratio: *ratio,
        rounds: [behind, ratios.each.len()],
        others: ahead[1..].iter().map(|(.., at)| at.peer).collect(),
    })
}

impl Loss {
    pub(crate) fn sentence(&self) -> String {
        let Self { measure, best, ratio, rounds: [behind, rounds], others, .. } = self;
        let [ours, theirs] =
            self.figures.map(|figure| format!("{}{}", readable(figure, 3), measure.unit()));
        let (what, ratio) = (measure.words(), readable(*ratio, 3));
        let round = if *measure == Measure::Calls {
            String::new()
        } else {
            format!(", in {behind} of {rounds} rounds")
        };
        let also = match &others[..] {
            [] => String::new(),
            others => format!("; ahead too: {}", others.join("; ")),
        };
        format!(
            "{}: the {what} of {} is {ratio} × that of {best} ({ours} against {theirs}){round}{also}.",
            self.ours.row, self.ours.peer
        )
    }
}
