//! The `readyloop` binary: see [`cli`].

// A clock may step back: `saturating_sub` and the like never panic.
#![warn(clippy::unchecked_time_subtraction)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
