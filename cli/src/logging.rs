//! The log: to standard error, or to a file that can be rotated.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};
use rustix::fs::OFlags;
use rustix::io::Errno;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::failure::{Failure, printable};

/// The target of records that answer an operator. They are written at every level but off.
const ANSWER: &str = "readyloop::answer";

/// Requests that the log file is opened again, after it was moved away for rotation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reopen {
    is_requested: Arc<AtomicBool>,
}

impl Reopen {
    /// The file is opened again before the next line.
    pub(crate) fn request(&self) {
        self.is_requested.store(true, Ordering::Release);
    }
}

/// Opens the file now if that was requested, at every level of the log.
pub(crate) fn reopen() {
    log::logger().flush();
    log::info!("the log continues here");
}

/// Logs what an operator has asked for.
pub(crate) fn answer(text: std::fmt::Arguments<'_>) {
    // The macros check the level alone.
    let record = Record::builder().level(Level::Info).target(ANSWER).args(text).build();
    log::logger().log(&record);
}

/// Logs to standard error, or to the end of a file.
pub(crate) fn start(level: LevelFilter, file: Option<&Path>) -> Result<Reopen, Failure> {
    let reopen = Reopen::default();
    let target = match file {
        None => Target::StandardError,
        Some(path) => Target::File(LogFile::open(path, reopen.clone())?),
    };
    let logger = Logger {
        level,
        has_colors: file.is_none() && has_colors(),
        output: Mutex::new(Output::to(target)),
    };
    log::set_logger(Box::leak(Box::new(logger))) // It is needed until the process ends.
        .map_err(|error| Failure::System(format!("the log could not be started: {error}")))?;
    log::set_max_level(level);
    Ok(reopen)
}

struct Logger {
    level: LevelFilter,
    has_colors: bool,
    output: Mutex<Output>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_answer = metadata.target() == ANSWER && self.level != LevelFilter::Off;
        let is_ours = metadata.target().starts_with("readyloop");
        is_answer || (is_ours && metadata.level() <= self.level)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // Before the lock is taken: the text may come from a type of a handler, and its `Display` may panic or log.
            let line = line(record.level(), &record.args().to_string(), self.has_colors);
            self.output().log(&line);
        }
    }

    fn flush(&self) {
        if self.level != LevelFilter::Off {
            self.output().reopen_if_requested();
        }
    }
}

impl Logger {
    fn output(&self) -> MutexGuard<'_, Output> {
        // A panic while the lock is held leaves no invariant broken.
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Formats a record as one line.
fn line(level: Level, text: &str, has_color: bool) -> String {
    let now = OffsetDateTime::now_utc().format(&Rfc3339);
    let mut line = now.unwrap_or_else(|_| "(beyond the year 9999)".to_owned());
    let color = match level {
        _ if !has_color => None,
        Level::Error => Some("31"),
        Level::Warn => Some("33"),
        Level::Info => Some("34"),
        Level::Debug => Some("36"),
        Level::Trace => Some("37"),
    };
    line += &match color {
        None => format!(" [{level}] "),
        Some(color) => format!(" \x1b[{color}m[{level}]\x1b[0m "),
    };
    line.extend(text.chars().flat_map(printable));
    line.push('\n');
    line
}

/// Whether standard error is a terminal that shows colours.
fn has_colors() -> bool {
    let is_plain = env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stderr().is_terminal() && !is_plain && env::var_os("NO_COLOR").is_none()
}

/// Writes each line with one call, so that lines of several processes in one file do not mix. Lines that cannot be
/// written are counted. A warning reports their number as soon as a line can be written again.
struct Output {
    target: Target,
    /// How many lines could not be written, and the last error.
    lost: Option<(u64, io::Error)>,
    /// Whether a part of the last lost line was written.
    is_midline: bool,
}

enum Target {
    StandardError,
    File(LogFile),
}

impl Output {
    fn to(target: Target) -> Self {
        Self { target, lost: None, is_midline: false }
    }

    fn log(&mut self, line: &str) {
        self.reopen_if_requested();
        let written = self.report_lost_lines().and_then(|()| self.write(line));
        if let Err(error) = written {
            let before = self.lost.take().map_or(0, |(lines, _)| lines);
            self.lost = Some((before + 1, error));
        }
    }

    fn report_lost_lines(&mut self) -> io::Result<()> {
        let Some((lines, error)) = &self.lost else { return Ok(()) };
        let text = format!("{lines} lines of the log are lost; the last error: {error}");
        self.write(&line(Level::Warn, &text, false))?;
        self.lost = None;
        Ok(())
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let bytes = if self.is_midline { format!("\n{line}") } else { line.to_owned() };
        let mut left = bytes.as_bytes();
        while !left.is_empty() {
            match self.target.write(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    left = &left[written..];
                    self.is_midline = !left.is_empty();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn reopen_if_requested(&mut self) {
        let Target::File(file) = &mut self.target else { return };
        if !file.reopen.is_requested.swap(false, Ordering::AcqRel) {
            return;
        }
        match append_to(&file.path) {
            Ok(opened) => {
                file.file = opened;
                self.is_midline &= file.file.metadata().is_ok_and(|file| file.len() > 0);
            }
            // Keep the old file.
            Err(error) => {
                let path = file.path.display();
                let text = format!(
                    "the log file {path} cannot be opened again, so the log continues here: {}",
                    explained(&file.path, &error)
                );
                self.log(&line(Level::Error, &text, false));
            }
        }
    }
}

impl Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::StandardError => io::stderr().write(bytes),
            Self::File(file) => file.file.write(bytes),
        }
    }
}

/// A file that is opened again by its name on request.
struct LogFile {
    path: PathBuf,
    file: File,
    reopen: Reopen,
}

impl LogFile {
    fn open(path: &Path, reopen: Reopen) -> Result<Self, Failure> {
        let refused = |error: io::Error| {
            Failure::of_flag(format!("--log-file {}", path.display()), explained(path, &error))
        };
        let file = append_to(path).map_err(refused)?;
        Ok(Self { path: path.to_owned(), file, reopen })
    }
}

/// Opens without blocking. A FIFO without a reader, or a full one, must not stop the server. For a regular file the
/// flag makes no difference.
fn append_to(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().create(true).append(true).custom_flags(flags).open(path)
}

/// Why the file cannot be opened, and what to do about it.
fn explained(path: &Path, error: &io::Error) -> String {
    let is_fifo = || path.metadata().is_ok_and(|file| file.file_type().is_fifo());
    match Errno::from_io_error(error) {
        Some(Errno::NXIO) if is_fifo() => {
            "no process reads this FIFO; start its reader first".to_owned()
        }
        _ => error.to_string(),
    }
}
