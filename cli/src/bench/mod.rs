//! `readyloop bench`: loads an echo server, and reports.

mod args;

use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::Path;

use readyloop_bench::{Bench, Error, Report};

pub(crate) use args::BenchArgs;

use super::failure::Failure;
use super::interrupt::Interrupt;
use super::{open_files, output};

pub(crate) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::start()?;
    open_files::raise();
    let bench = Bench::new(&args.target.0, args.plan()).map_err(refused)?;
    let plot = args.plot.as_deref().map(Plot::open).transpose()?;
    // The first signal ends the run, and its results are reported.
    let handle = bench.handle();
    interrupt.on_first(move || handle.interrupt());
    let report = bench.run().map_err(refused).inspect_err(|_| {
        plot.iter().for_each(Plot::discard);
    })?;
    interrupt.ends_at_once();
    let printed = print(&report, args.json);
    let drawn = plot.map_or(Ok(()), |plot| plot.draw(&report));
    Failure::of_all([judge(&report), printed, drawn])
}

fn refused(error: Error) -> Failure {
    match error {
        Error::Plan(text) => Failure::Usage(text),
        other => Failure::System(other.to_string()),
    }
}

fn judge(report: &Report) -> Result<(), Failure> {
    match report.problems() {
        [] => Ok(()),
        [only] => Err(Failure::System(format!("the run is incomplete: {only}"))),
        [first, rest @ ..] => Err(Failure::System(format!(
            "the run is incomplete: {first} (and {} more)",
            rest.len()
        ))),
    }
}

/// The file for the picture.
struct Plot<'a> {
    path: &'a Path,
    /// The file did not exist before.
    is_new: bool,
}

impl<'a> Plot<'a> {
    /// Checks before the run that the file can be written. An existing file keeps its content until there is a picture.
    fn open(path: &'a Path) -> Result<Self, Failure> {
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

    /// Removes the file, if this run has created it: there is no picture.
    fn discard(&self) {
        if self.is_new {
            let _ = fs::remove_file(self.path); // It is empty.
        }
    }

    /// A run without measurements has no picture, and keeps an earlier one.
    fn draw(self, report: &Report) -> Result<(), Failure> {
        let refused = |error: &dyn Display| of_plot(self.path, error);
        match report.draw().map_err(|error| refused(&error))? {
            Some(svg) => fs::write(self.path, svg).map_err(|error| refused(&error)),
            None => {
                self.discard();
                Ok(())
            }
        }
    }
}

fn of_plot(path: &Path, error: impl Display) -> Failure {
    Failure::of_flag(format!("--plot {}", path.display()), error)
}

fn print(report: &Report, as_json: bool) -> Result<(), Failure> {
    let text = if as_json {
        let json = serde_json::to_string_pretty(report);
        json.map_err(|error| {
            Failure::System(format!("the report cannot be written as JSON: {error}"))
        })? + "\n"
    } else {
        report.to_string()
    };
    output::print(&text)
}
