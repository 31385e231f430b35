//! Where the log goes.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::LevelFilter;
use simplelog::{
    ColorChoice, Config, ConfigBuilder, SharedLogger, TermLogger, TerminalMode, WriteLogger,
};

use super::failure::Failure;

/// Has the log file be opened again: who rotates logs has moved it away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reopen {
    is_ordered: Arc<AtomicBool>,
    is_possible: bool,
}

impl Reopen {
    /// Before the next line.
    pub(crate) fn order(&self) {
        self.is_ordered.store(true, Ordering::Release);
    }

    /// Whether the log goes to a file.
    pub(crate) fn is_possible(&self) -> bool {
        self.is_possible
    }
}

/// Opens the file now if that was ordered, whatever the level of the log lets pass.
pub(crate) fn go_on() {
    log::info!("the log goes on here");
    log::logger().flush();
}

/// Logs to standard error, or to the end of a file.
pub(crate) fn start(level: LevelFilter, file: Option<&Path>) -> Result<Reopen, Failure> {
    let reopen = Reopen { is_possible: file.is_some(), ..Reopen::default() };
    let logger: Box<dyn SharedLogger> = match file {
        None => TermLogger::new(level, config(), TerminalMode::Stderr, color()),
        Some(path) => {
            let file = LogFile::open(path, reopen.clone()).map_err(|error| {
                Failure::of_flag(format!("--log-file {}", path.display()), error)
            })?;
            WriteLogger::new(level, config(), file)
        }
    };
    simplelog::CombinedLogger::init(vec![logger])
        .map_err(|error| Failure::System(format!("the log could not be started: {error}")))?;
    Ok(reopen)
}

/// A file that is opened again by its name when that is ordered.
struct LogFile {
    path: PathBuf,
    file: File,
    reopen: Reopen,
    /// A line is not split over two files.
    is_at_line_start: bool,
}

impl LogFile {
    fn open(path: &Path, reopen: Reopen) -> io::Result<Self> {
        let file = append_to(path)?;
        Ok(Self { path: path.to_owned(), file, reopen, is_at_line_start: true })
    }

    /// If that fails, the old file is better than none.
    fn reopen_if_ordered(&mut self) {
        if !(self.is_at_line_start && self.reopen.is_ordered.swap(false, Ordering::AcqRel)) {
            return;
        }
        match append_to(&self.path) {
            Ok(file) => self.file = file,
            Err(error) => {
                let path = self.path.display().to_string();
                let _ = writeln!(
                    self.file,
                    "the log file {} cannot be opened again, so the log goes on here: {error}",
                    path.escape_debug()
                );
            }
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reopen_if_ordered();
        // What follows a failed write is not the rest of its line: simplelog gives the line up.
        self.is_at_line_start = true;
        let written = self.file.write(bytes)?;
        if let Some(last) = bytes[..written].last() {
            self.is_at_line_start = *last == b'\n';
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.reopen_if_ordered();
        self.file.flush()
    }
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
