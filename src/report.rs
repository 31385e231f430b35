//! How connections ended.

use std::fmt;
use std::process::{ExitCode, Termination};

/// How connections ended during a drain of a reactor or a server, or when it was stopped. Outbound connections count
/// too.
///
/// `main` can return a `Report`. The process then fails (exit code 1) if connections were cut.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use std::time::Duration;
/// use readyloop::{Config, Echo, Reactor};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// reactor.handle().drain(Duration::from_secs(10));
/// let report = reactor.run()?;
/// assert_eq!((report.finished, report.cut, report.unsent), (0, 0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Connections that are not [`cut`](Self::cut): most were closed gracefully, or their peers ended them, for
    /// instance with a reset.
    pub finished: u64,
    /// Connections whose peers may have lost something: they were open at a stop, they were busy at the deadline of a
    /// drain, they ended with bytes queued, or a request arrived after the reactor had closed them.
    pub cut: u64,
    /// Queued bytes that were lost.
    pub unsent: u64,
}

impl Report {
    pub(crate) fn add(&mut self, other: Self) {
        self.finished += other.finished;
        self.cut += other.cut;
        self.unsent += other.unsent;
    }
}

impl Termination for Report {
    fn report(self) -> ExitCode {
        if self.cut == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { finished, cut, unsent } = self;
        write!(f, "{finished} connections finished, {cut} were cut off with {unsent} bytes unsent")
    }
}
