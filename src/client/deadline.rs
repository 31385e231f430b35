//! How long a call may take.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// The system knows no shorter time-out; 0 would mean none.
const SHORTEST: Duration = Duration::from_micros(1);

/// The time that one call has, however many system calls it makes.
pub(super) struct Deadline {
    timeout: Option<Duration>,
    /// `None`: never, or beyond what a clock can show.
    deadline: Option<Instant>,
    is_untried: bool,
}

impl Deadline {
    pub(super) fn new(timeout: Option<Duration>) -> Self {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self { timeout, deadline, is_untried: true }
    }

    /// How long the next system call may wait. The first one is made however short the time is.
    pub(super) fn next_wait(&mut self) -> io::Result<Option<Duration>> {
        let left = self.left();
        if left == Some(Duration::ZERO) && !self.is_untried {
            return Err(ErrorKind::TimedOut.into());
        }
        self.is_untried = false;
        Ok(left.map(|left| left.max(SHORTEST)))
    }

    /// What is left, divided by so many.
    pub(super) fn share_of(&self, count: u32) -> Duration {
        self.left().map_or(Duration::MAX, |left| (left / count).max(SHORTEST))
    }

    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// What has happened, and how far it had come.
    pub(super) fn explain(&self, error: &io::Error, so_far: &str) -> io::Error {
        let text = match error.kind() {
            ErrorKind::TimedOut if error.raw_os_error().is_none() => {
                let timeout = self.timeout.unwrap_or_default();
                format!("the time-out of {timeout:?} ran out {so_far}")
            }
            ErrorKind::UnexpectedEof => format!("the server ended the connection {so_far}"),
            ErrorKind::ConnectionReset => format!("the connection was reset {so_far}"),
            ErrorKind::BrokenPipe => format!("the server had closed the connection {so_far}"),
            _ => format!("the connection failed {so_far}: {error}"),
        };
        io::Error::new(error.kind(), text)
    }
}

/// Whether a signal came between, or the wait is over: then the clock says whether that was all of it.
pub(super) fn is_retried(error: &io::Error) -> bool {
    match error.kind() {
        ErrorKind::Interrupted | ErrorKind::WouldBlock => true,
        // Elsewhere it is the network that gave up.
        ErrorKind::TimedOut => cfg!(windows),
        _ => false,
    }
}
