//! The results, drawn.

use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::common::failure::Failure;
use crate::common::figures::readable;
use crate::grid::{CHURN, ECHO, IDLE, MANY, ONE, OPEN_SLOWEST};
use crate::measure::Measure;
use crate::results::{Place, Results};

/// File and title of each.
pub(crate) const ALL: [(&str, &str); 5] = [
    ("charts/echo.svg", "Processor time of a 64 B echo"),
    ("charts/connection.svg", "Processor time of a whole connection"),
    ("charts/connections.svg", "64 B echoes a second, by the number of active connections"),
    ("charts/latency.svg", "Latency of an open loop at 70 % of the top rate of the slowest peer"),
    ("charts/idle.svg", "Resident memory of an idle connection"),
];

const WIDTH: u32 = 800;
const BAR: u32 = 22;
const COLORS: [RGBColor; 5] = [
    RGBColor(120, 120, 120),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(204, 121, 167),
    RGBColor(0, 158, 115),
];

/// Draws all charts into this folder. A server without figures is not drawn. The colors of the others stay.
pub(crate) fn draw(
    folder: &Path,
    results: &Results,
    peers: &[&'static str],
) -> Result<(), Failure> {
    std::fs::create_dir_all(folder.join("charts"))?;
    let [echo, connection, connections, latency, idle] = ALL;
    let bars = |chart: (&str, &str), row, parts: &[(Measure, &'static str)], unit| {
        let groups = groups(results, peers, row, parts);
        draw_bars(&folder.join(chart.0), chart.1, unit, &groups)
    };
    let times = [(Measure::User, "user"), (Measure::Total, "user + system")];
    bars(echo, ECHO, &times, "µs")?;
    bars(connection, CHURN, &times, "µs")?;
    let percentiles = [(Measure::P50, "p50"), (Measure::P99, "p99"), (Measure::P999, "p99.9")];
    bars(latency, OPEN_SLOWEST, &percentiles, "µs")?;
    let memory = [(Measure::Resident, "idle"), (Measure::ResidentAfterEcho, "after an echo")];
    bars(idle, IDLE, &memory, "bytes")?;
    let lines = colored(peers).map(|(&peer, color)| (peer, color, rates(results, peer)));
    let lines: Vec<_> = lines.filter(|(.., points)| !points.is_empty()).collect();
    draw_lines(&folder.join(connections.0), connections.1, &lines)
}

/// A peer with its color and its figures.
type Group = (&'static str, RGBColor, Vec<(&'static str, f64)>);

/// The same with its points.
type Line = (&'static str, RGBColor, Vec<(f64, f64)>);

fn groups(
    results: &Results,
    peers: &[&'static str],
    row: &'static str,
    parts: &[(Measure, &'static str)],
) -> Vec<Group> {
    let figures = |(&peer, color): (&&'static str, RGBColor)| {
        let figure = |&(measure, part): &(Measure, &'static str)| {
            Some((part, results.median(Place { row, peer }, measure).ok()?))
        };
        (peer, color, parts.iter().filter_map(figure).collect::<Vec<_>>())
    };
    colored(peers).map(figures).filter(|(.., figures)| !figures.is_empty()).collect()
}

fn colored<'p>(peers: &'p [&'static str]) -> impl Iterator<Item = (&'p &'static str, RGBColor)> {
    peers.iter().zip(COLORS.into_iter().cycle())
}

/// Messages a second at each number of active connections.
fn rates(results: &Results, peer: &'static str) -> Vec<(f64, f64)> {
    let rows = [(ONE, 1.0), (ECHO, 100.0), (MANY[0], 1e3), (MANY[1], 1e4), (MANY[2], 1.9e4)];
    let rate = |row| results.median(Place { row, peer }, Measure::Rate).ok();
    rows.into_iter().filter_map(|(row, active)| Some((active, rate(row)?))).collect()
}

/// Horizontal bars from 0, with their figures behind them.
fn draw_bars(path: &Path, title: &str, unit: &str, groups: &[Group]) -> Result<(), Failure> {
    const LEFT: i32 = 250;
    const TOP: i32 = 48;
    const ROOM_FOR_FIGURE: i32 = 110;
    let bars: usize = groups.iter().map(|(.., figures)| figures.len()).sum();
    let height = TOP as u32 + BAR * (bars + groups.len()) as u32;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let title_style = ("sans-serif", 22).into_font().color(&BLACK);
    area.draw(&Text::new(format!("{title}, {unit}"), (12, 12), title_style))?;
    let greatest = groups.iter().flat_map(|(.., figures)| figures).map(|(_, figure)| *figure);
    let greatest = greatest.fold(f64::MIN_POSITIVE, f64::max);
    let scale = f64::from(WIDTH as i32 - LEFT - ROOM_FOR_FIGURE) / greatest;
    let style = ("sans-serif", 16).into_font().color(&BLACK);
    let to_the_right = style.pos(Pos::new(HPos::Right, VPos::Center));
    let to_the_left = style.pos(Pos::new(HPos::Left, VPos::Center));
    let mut y = TOP;
    for (peer, color, figures) in groups {
        for (number, (part, figure)) in figures.iter().enumerate() {
            let end = LEFT + (figure.max(0.0) * scale) as i32;
            let strength = 1.0 - 0.25 * number as f64;
            let corners = [(LEFT, y + 2), (end, y + BAR as i32 - 2)];
            area.draw(&Rectangle::new(corners, color.mix(strength).filled()))?;
            let middle = y + BAR as i32 / 2;
            let label = format!("{peer}: {part}");
            area.draw(&Text::new(label, (LEFT - 8, middle), to_the_right.clone()))?;
            area.draw(&Text::new(readable(*figure, 3), (end + 6, middle), to_the_left.clone()))?;
            y += BAR as i32;
        }
        y += BAR as i32;
    }
    area.present()?;
    Ok(())
}

fn draw_lines(path: &Path, title: &str, lines: &[Line]) -> Result<(), Failure> {
    let points = || lines.iter().flat_map(|(.., points)| points);
    let greatest = points().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let area = SVGBackend::new(path, (WIDTH, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let active: Range<f64> = 0.8..25_000.0;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(70)
        .build_cartesian_2d(active.log_scale(), 0.0..greatest * 1.1)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("active connections")
        .x_label_formatter(&|active| readable(*active, 1))
        .y_label_formatter(&|rate| readable(rate.round(), 1))
        .draw()?;
    for &(peer, color, ref points) in lines {
        let line = LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(3);
        chart
            .draw_series(line)?
            .label(peer)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    // One connection alone never comes far up.
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}
