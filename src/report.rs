//! How connections ended.

use std::fmt;

/// How connections ended during a drain of a reactor or a server, or when it was stopped.
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
    /// Connections that were closed gracefully, or that their peers ended, for instance with a reset.
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { finished, cut, unsent } = self;
        write!(f, "{finished} connections finished, {cut} were cut off with {unsent} bytes unsent")
    }
}
