//! The `readyloop` binary: turns flags into a server or a client, through the public API of the library.

// A clock may step back: `saturating_sub` and the like never panic.
#![warn(clippy::unchecked_time_subtraction)]

mod args;
mod bench;
mod client;
mod failure;
mod interrupt;
mod logging;
mod open_files;
mod output;
mod scope;
mod serve;
mod serve_signals;
mod services;
mod signals;
mod status;
mod streams;
mod values;

use std::process::ExitCode;

use args::{Command, Request};
use failure::Failure;

fn main() -> ExitCode {
    signals::survive_file_size_limit();
    match args::parse().and_then(answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn answer(request: Request) -> Result<(), Failure> {
    match request {
        Request::Show(text) => output::print(&text),
        Request::Run(command) => match *command {
            Command::Serve(args) => serve::run(&args),
            Command::Bench(args) => bench::run(&args),
            Command::Client(args) => client::run(&args),
        },
    }
}
