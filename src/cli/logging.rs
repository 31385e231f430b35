//! Where the log goes.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal};
use std::path::Path;

use log::LevelFilter;
use simplelog::{
    ColorChoice, Config, ConfigBuilder, SharedLogger, TermLogger, TerminalMode, WriteLogger,
};

use super::failure::Failure;

/// Logs to standard error, or to the end of a file.
pub(crate) fn start(level: LevelFilter, file: Option<&Path>) -> Result<(), Failure> {
    let logger: Box<dyn SharedLogger> = match file {
        None => TermLogger::new(level, config(), TerminalMode::Stderr, color()),
        Some(path) => {
            let file =
                OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
                    Failure::of_flag(format!("--log-file {}", path.display()), error)
                })?;
            WriteLogger::new(level, config(), file)
        }
    };
    simplelog::CombinedLogger::init(vec![logger])
        .map_err(|error| Failure::System(format!("the log could not be started: {error}")))
}

fn config() -> Config {
    ConfigBuilder::new()
        .set_time_format_rfc3339()
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .add_filter_allow_str("readyloop")
        .build()
}

fn color() -> ColorChoice {
    if io::stderr().is_terminal() { ColorChoice::Auto } else { ColorChoice::Never }
}
