//! How it ended.

use std::fmt;

/// How the connections fared that were there when a reactor, or all of a server, began to drain or was
/// stopped.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use std::time::Duration;
/// use readyloop::{Config, Reactor, services::Echo};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// reactor.drain(Duration::from_secs(10));
/// let report = reactor.run()?;
/// assert_eq!((report.finished, report.cut, report.unsent), (0, 0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Connections that were closed in order, or that their peers have ended, as with a reset.
    pub finished: u64,
    /// Connections whose peers may have lost something: those that were open at a stop, that were busy at the
    /// deadline of a drain, that ended with bytes queued, or that were asked for something when the reactor
    /// had closed them.
    pub cut: u64,
    /// Bytes that were queued for them and that nobody has got.
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
