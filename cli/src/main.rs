//! The `readyloop` binary: flags in, a server or a client of the public API out.

// A clock may step back: `saturating_sub` and the like never panic.
#![warn(clippy::unchecked_time_subtraction)]

mod args;
mod bench;
mod client;
mod failure;
mod interrupt;
mod logging;
mod open_files;
mod scope;
mod serve;
mod serve_signals;
mod services;
mod signals;
mod standing;
mod streams;
mod values;

use std::process::ExitCode;

use args::Command;

fn main() -> ExitCode {
    signals::survive_file_size_limit();
    let result = args::parse().and_then(|command| match command {
        Command::Serve(args) => serve::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Client(args) => client::run(&args),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
