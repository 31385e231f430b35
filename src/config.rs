//! What a reactor may be told.

use std::time::Duration;

use crate::error::Error;

const KIB: usize = 1024;

const DEFAULT_QUEUE_LIMIT: usize = 16 * 1024 * KIB;

/// The settings of a reactor: a builder, checked when the [`Reactor`](crate::Reactor) is made.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Reactor, services::Echo};
///
/// let config = Config::new().high_water(256 * 1024).low_water(64 * 1024);
/// let reactor = Reactor::new(config, Echo)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub(crate) max_input: usize,
    pub(crate) high_water: usize,
    low_water: Option<usize>,
    queue_limit: Option<usize>,
    pub(crate) read_budget: usize,
    pub(crate) accept_budget: usize,
    pub(crate) linger_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The defaults, as each setter names them.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            max_input: 64 * KIB,
            high_water: 64 * KIB,
            low_water: None,
            queue_limit: None,
            read_budget: 64 * KIB,
            accept_budget: 32,
            linger_timeout: Duration::from_secs(5),
        }
    }

    /// How much input may wait for a handler that does not take it, in bytes. Default 64 KiB.
    ///
    /// It bounds a message: a handler that waits for the end of a longer one does not get it, and the
    /// connection ends with [`CloseReason::InputOverflow`](crate::CloseReason::InputOverflow). (A
    /// longer one that comes whole in one read is shown, as nothing has to wait then.) Each
    /// connection holds what is left untaken, in a buffer of up to four times that size, and nothing
    /// when all is taken.
    #[must_use]
    pub const fn max_input(mut self, bytes: usize) -> Self {
        self.max_input = bytes;
        self
    }

    /// Above this many queued bytes the reactor stops reading from the connection, so that a peer
    /// which does not read its answers is not asked for more. Default 64 KiB.
    ///
    /// A connection can hold this much and the answers to one more read.
    #[must_use]
    pub const fn high_water(mut self, bytes: usize) -> Self {
        self.high_water = bytes;
        self
    }

    /// Once the queue of a paused connection has fallen to this many bytes, reading goes on and
    /// [`on_drained`](crate::Handler::on_drained) is called. Default a quarter of `high_water`, and
    /// at most that.
    #[must_use]
    pub const fn low_water(mut self, bytes: usize) -> Self {
        self.low_water = Some(bytes);
        self
    }

    /// No connection queues more than this many bytes. Default 16 MiB, or four times `high_water` if
    /// that is more. At least `high_water`, and better that and the answers to one more read of 64 KiB:
    /// a peer that reads slowly is held back only once it is above high water.
    ///
    /// Over it, [`send`](crate::Conn::send) ends the connection with
    /// [`CloseReason::OutboxOverflow`](crate::CloseReason::OutboxOverflow), and
    /// [`try_send`](crate::Conn::try_send) refuses. What one callback sends counts until it returns,
    /// even if the kernel would take it all.
    #[must_use]
    pub const fn queue_limit(mut self, bytes: usize) -> Self {
        self.queue_limit = Some(bytes);
        self
    }

    /// After this many bytes read, a connection waits for the others' turn. Default 64 KiB, which is
    /// one full read. At least 1.
    ///
    /// A larger budget saves calls of `epoll_wait` when a single connection has much to say, and lets
    /// all others wait longer. It costs no memory.
    #[must_use]
    pub const fn read_budget(mut self, bytes: usize) -> Self {
        self.read_budget = bytes;
        self
    }

    /// How many connections each listener accepts in a turn. Default 32. At least 1.
    ///
    /// It bounds what a flood of newcomers costs those who are connected. It costs no memory.
    #[must_use]
    pub const fn accept_budget(mut self, connections: usize) -> Self {
        self.accept_budget = connections;
        self
    }

    /// How long a closed connection waits for the peer's FIN after its own. Default 5 s.
    ///
    /// Closing a socket at once can destroy the last answer on its way, if the peer is still sending
    /// (RFC 2525, section 2.17); so the reactor reads on and throws away, until the peer has finished
    /// or this time has passed. The connection holds its slot and its descriptor meanwhile, and for the
    /// whole time 32 bytes in a queue.
    #[must_use]
    pub const fn linger_timeout(mut self, time: Duration) -> Self {
        self.linger_timeout = time;
        self
    }

    pub(crate) fn low_water_bytes(&self) -> usize {
        self.low_water.unwrap_or(self.high_water / 4)
    }

    pub(crate) fn queue_limit_bytes(&self) -> usize {
        self.queue_limit
            .unwrap_or_else(|| DEFAULT_QUEUE_LIMIT.max(self.high_water.saturating_mul(4)))
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let (high, low, limit) =
            (self.high_water, self.low_water_bytes(), self.queue_limit_bytes());
        let problem = if low > high {
            format!("low_water ({low}) is above high_water ({high})")
        } else if high > limit {
            format!("high_water ({high}) is above queue_limit ({limit})")
        } else if high == 0 {
            "high_water is 0: nothing could ever be sent".to_owned()
        } else if self.max_input == 0 {
            "max_input is 0: nothing could ever be received".to_owned()
        } else if self.read_budget == 0 {
            "read_budget is 0: nothing could ever be received".to_owned()
        } else if self.accept_budget == 0 {
            "accept_budget is 0: nobody could ever be accepted".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::Config(problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert!(Config::new().validate().is_ok());
    }

    #[test]
    fn a_contradiction_is_named_with_both_numbers() {
        let cases = [
            (Config::new().high_water(5).low_water(6), "low_water (6) is above high_water (5)"),
            (Config::new().queue_limit(9), "high_water (65536) is above queue_limit (9)"),
            (Config::new().high_water(0), "high_water is 0"),
            (Config::new().max_input(0), "max_input is 0"),
            (Config::new().read_budget(0), "read_budget is 0"),
            (Config::new().accept_budget(0), "accept_budget is 0"),
        ];
        for (config, expected) in cases {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
