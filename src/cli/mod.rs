//! The command line: flags in, a server of the public API out.

mod args;
mod failure;
mod logging;
mod open_files;
mod serve;
mod signals;
mod standing;

use std::process::ExitCode;

pub(crate) fn main() -> ExitCode {
    match args::parse().and_then(|args| serve::run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
