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
use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::mpsc;

pub(crate) use args::BenchArgs;

use super::failure::Failure;
use super::interrupt::Interrupt;
use super::streams;
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
    let interrupt = Interrupt::start()?;
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
    let plot = args.plot.as_deref().map(Plot::make_sure_of).transpose()?;
    // What was measured is shown. If the run is over, nothing takes it.
    interrupt.on_first(move || interrupted.send(Event::Interrupted).is_ok());
    let outcome = conductor.run().inspect_err(|_| {
        plot.iter().for_each(Plot::leave);
    })?;
    interrupt.ends_at_once();
    let latencies = outcome.latencies.clone();
    let report = Report::new(&args.target.0, &plan, outcome);
    let printed = print(&report, args.json);
    let drawn = plot.map_or(Ok(()), |plot| plot.draw(&report, &latencies));
    Failure::of_all([judge(&report), printed, drawn])
}

fn judge(report: &Report) -> Result<(), Failure> {
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

/// Where the picture goes.
struct Plot<'a> {
    path: &'a Path,
    /// There was no such file before.
    is_new: bool,
}

impl<'a> Plot<'a> {
    /// A file that cannot be written is to be known before the run, and not behind it. One that exists keeps what
    /// it has until there is something else to be drawn.
    fn make_sure_of(path: &'a Path) -> Result<Self, Failure> {
        let is_new = match OpenOptions::new().append(true).create_new(true).open(path) {
            Ok(_file) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let opened = OpenOptions::new().append(true).create(true).open(path);
                opened.map(drop).map_err(|error| of_plot(path, error))?;
                false
            }
            Err(error) => return Err(of_plot(path, error)),
        };
        Ok(Self { path, is_new })
    }

    /// Nothing is drawn.
    fn leave(&self) {
        if self.is_new {
            let _ = fs::remove_file(self.path); // it is empty
        }
    }

    /// A run in which nothing was measured has no picture, and takes no earlier one away.
    fn draw(self, report: &Report, latencies: &Latencies) -> Result<(), Failure> {
        if latencies.is_empty() {
            self.leave();
            return Ok(());
        }
        let svg = plot::draw(report, latencies).map_err(|error| of_plot(self.path, error))?;
        fs::write(self.path, svg).map_err(|error| of_plot(self.path, error))
    }
}

fn of_plot(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::of_flag(format!("--plot {}", path.display()), error)
}

fn print(report: &Report, as_json: bool) -> Result<(), Failure> {
    let text = if as_json {
        let json = serde_json::to_string_pretty(report);
        json.map_err(|error| Failure::System(format!("the report has no JSON: {error}")))? + "\n"
    } else {
        report.to_string()
    };
    streams::print(&text)
}
