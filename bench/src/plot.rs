//! The report as a picture.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::latency::Latencies;
use super::numbers::time;
use super::report::Report;
use super::series::Second;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

const SIZE: (u32, u32) = (900, 760);

impl Report {
    /// Latency by percentile above, throughput over time below, as SVG. `None` if nothing was measured.
    ///
    /// # Errors
    /// An error of the drawing library.
    ///
    /// # Examples
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let report = readyloop_bench::Bench::new("127.0.0.1:7000", Default::default())?.run()?;
    /// if let Some(svg) = report.draw()? {
    ///     std::fs::write("run.svg", svg)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn draw(&self) -> Result<Option<String>, Box<dyn Error>> {
        if self.latencies.is_empty() { Ok(None) } else { draw(self).map(Some) }
    }
}

fn draw(report: &Report) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let incomplete = if report.whole { "" } else { "INCOMPLETE: " };
        let title = format!("{incomplete}{}, {}", report.target, report.plan);
        let area = area.titled(&title, ("sans-serif", 13))?;
        let (above, below) = area.split_vertically(400);
        draw_latency(&above, &report.latencies)?;
        draw_throughput(&below, whole_seconds(report))?;
        area.present()?;
    }
    Ok(svg)
}

/// The axis is that of 1/(1-p): 50 % is 2, and each further nine is a power of ten.
fn draw_latency(area: &Area<'_>, latencies: &Latencies) -> Drawn {
    const POINTS: u32 = 200;
    let (first, last) = (2_f64, 10_000_f64);
    let step = |point: u32| first * (last / first).powf(f64::from(point) / f64::from(POINTS));
    let percent = |x: f64| 100.0 * (1.0 - 1.0 / x);
    let curve: Vec<_> =
        (0..=POINTS).map(step).map(|x| (x, latencies.percentile(percent(x)))).collect();
    let most = curve.last().map_or(1.0, |(_, latency)| latency * 1.1).max(0.001);
    let mut chart = ChartBuilder::on(area)
        .caption("latency by percentile", ("sans-serif", 16))
        .margin(12)
        .margin_right(28)
        .x_label_area_size(34)
        .y_label_area_size(78)
        .build_cartesian_2d((first..last).log_scale(), 0.0..most)?;
    chart
        .configure_mesh()
        .x_label_formatter(&|x| name_of(percent(*x)))
        .y_label_formatter(&|latency| time(*latency))
        .x_desc("percentile")
        .draw()?;
    chart.draw_series(LineSeries::new(curve, BLUE.stroke_width(2)))?;
    Ok(())
}

fn draw_throughput(area: &Area<'_>, series: &[Second]) -> Drawn {
    let points: Vec<_> = series.iter().map(|second| (second.second, second.messages)).collect();
    let most = points.iter().map(|(_, messages)| *messages).max().unwrap_or(0);
    let last = points.last().map_or(1, |(second, _)| (*second).max(1));
    let mut chart = ChartBuilder::on(area)
        .caption("messages answered in each second", ("sans-serif", 16))
        .margin(12)
        .margin_right(28)
        .x_label_area_size(34)
        .y_label_area_size(78)
        .build_cartesian_2d(0..last, 0..most + most / 10 + 1)?;
    chart.configure_mesh().x_desc("second").draw()?;
    chart.draw_series(LineSeries::new(points.iter().copied(), BLUE.stroke_width(2)))?;
    let dots = points.iter().map(|point| Circle::new(*point, 2, BLUE.filled()));
    chart.draw_series(dots)?;
    Ok(())
}

/// The complete seconds: the last second may be shorter, and then its count is not a throughput. If it is the only one,
/// it is kept.
fn whole_seconds(report: &Report) -> &[Second] {
    let whole = report.seconds as usize;
    &report.series[..report.series.len().min(whole.max(1))]
}

/// 50, 90, 99, 99.9 and so on.
fn name_of(percent: f64) -> String {
    let text = format!("{percent:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::report::Outcome;
    use super::*;

    #[test]
    fn a_picture_has_both_curves_and_their_axes() {
        let svg = Report::sample(Outcome::sample()).draw().unwrap().unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        for expected in ["latency by percentile", "messages answered", "99.9", "99.99", "polyline"]
        {
            assert!(svg.contains(expected), "{expected} in {svg}");
        }
    }

    #[test]
    fn a_run_that_is_not_whole_gives_a_picture_that_says_so() {
        let mut outcome = Outcome::sample();
        outcome.tally.unanswered = 1;
        outcome.series.clear();
        let svg = Report::sample(outcome).draw().unwrap().unwrap();
        assert!(svg.contains("INCOMPLETE"), "{svg}");
    }

    #[test]
    fn a_run_without_answers_has_no_picture() {
        let mut outcome = Outcome::sample();
        outcome.latencies = Latencies::new();
        assert_eq!(Report::sample(outcome).draw().unwrap(), None);
    }

    #[test]
    fn percentiles_are_named_as_people_say_them() {
        assert_eq!(
            [50.0, 90.0, 99.0, 99.9, 99.99].map(name_of),
            ["50", "90", "99", "99.9", "99.99"]
        );
    }
}
