//! `readyloop bench`: loads an echo server, and says what it does.
//!
//! The load is made by readyloop's own connector, over the public API: one [`driver`] for each thread, led by
//! one [`conductor`].

mod args;
mod clock;
mod conductor;
mod content;
mod driver;
mod events;
mod lag;
mod latency;
mod link;
mod pacer;
mod plan;
mod plot;
mod progress;
mod report;
mod room;
mod schedule;
mod series;
mod server_side;
mod share;
mod sizes;
mod sources;
mod table;
mod tally;
mod trouble;

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::mpsc;

pub(crate) use args::BenchArgs;

use super::failure::Failure;
use super::interrupt;
use clock::Clock;
use conductor::Conductor;
use content::Content;
use driver::Common;
use events::Event;
use latency::Latencies;
use plan::Load;
use report::Report;
use sources::Sources;

pub(crate) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let plan = args.plan()?;
    let mut targets = resolve(&args.target.0)?;
    let process = std::process::id();
    let churns = plan.load == Load::Churn;
    let sources =
        Sources::choose(&args.source, &targets, plan.connections, churns, process, room::ports());
    targets.retain(|target| sources.reach(target));
    if targets.is_empty() {
        let target = &args.target.0;
        return Err(Failure::Usage(format!(
            "{target} cannot be reached from each --source: IPv4 or IPv6"
        )));
    }
    room::check(&plan, &sources, sources::how_to_add(&targets))?;
    let (sender, events) = mpsc::channel();
    let interrupted = sender.clone();
    // What was measured is shown. The run may be over: then nobody takes it.
    interrupt::on_first(move || _ = interrupted.send(Event::Interrupted))?;
    let common = Common {
        content: Content::new(plan.sizes, process.into()),
        plan: plan.clone(),
        targets,
        sources,
        clock: Clock::start(),
        open: 0.into(),
    };
    let pid = args.pid.map(|pid| pid.0);
    let conductor = Conductor::new(common, pid, (sender, events))?;
    if let Some(path) = &args.plot {
        make_sure_of(path)?;
    }
    let outcome = conductor.run()?;
    let latencies = outcome.latencies.clone();
    let report = Report::new(&args.target.0, &plan, outcome);
    print(&report, args.json)?;
    if let Some(path) = &args.plot {
        draw(path, &report, &latencies)?;
    }
    match &report.problems[..] {
        [] => Ok(()),
        [only] => Err(Failure::System(format!("the run is incomplete: {only}"))),
        [first, rest @ ..] => Err(Failure::System(format!(
            "the run is incomplete: {first} (and {} more)",
            rest.len()
        ))),
    }
}

/// All addresses of a name: a connection goes to the first that takes it.
fn resolve(target: &str) -> Result<Vec<SocketAddr>, Failure> {
    let refused = |why: String| Failure::System(format!("{target}: {why}"));
    let addrs = target.to_socket_addrs().map_err(|error| refused(error.to_string()))?;
    let addrs: Vec<_> = addrs.map(sources::as_reached).collect();
    match addrs.first() {
        None => Err(refused("the name has no address".to_owned())),
        Some(addr) if addr.port() == 0 => {
            Err(Failure::Usage(format!("{target}: nobody can be reached at port 0")))
        }
        Some(_) => Ok(addrs),
    }
}

/// A file that cannot be written is to be known before the run, and not behind it.
fn make_sure_of(path: &Path) -> Result<(), Failure> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map(drop).map_err(|error| of_plot(path, error))
}

fn draw(path: &Path, report: &Report, latencies: &Latencies) -> Result<(), Failure> {
    let svg = plot::draw(report, latencies).map_err(|error| of_plot(path, error))?;
    fs::write(path, svg).map_err(|error| of_plot(path, error))
}

fn of_plot(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::of_flag(format!("--plot {}", path.display()), error)
}

/// That nobody reads it any more is no failure.
fn print(report: &Report, as_json: bool) -> Result<(), Failure> {
    let text = if as_json {
        serde_json::to_string_pretty(report).map_err(io::Error::from).map(|json| json + "\n")
    } else {
        Ok(report.to_string())
    };
    let mut stdout = io::stdout().lock();
    match text.and_then(|text| stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::System(format!("the report could not be written: {error}")))
        }
        _ => Ok(()),
    }
}
