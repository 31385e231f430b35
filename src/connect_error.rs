//! Why no address could be connected to.

use std::net::SocketAddr;
use std::{error, fmt, io};

/// Why none of the addresses could be connected to, as part of
/// [`CloseReason::NotConnected`](crate::CloseReason::NotConnected).
///
/// # Examples
/// ```
/// use readyloop::CloseReason;
///
/// fn explain(reason: &CloseReason) {
///     let CloseReason::NotConnected(error) = reason else { return };
///     for attempt in error.attempts() {
///         println!("{}: {} failed: {}", attempt.addr, attempt.step, attempt.source);
///     }
/// }
/// ```
#[derive(Debug)]
pub struct ConnectError {
    attempts: Vec<Attempt>,
    untried: usize,
}

/// An address that could not be connected to, and the cause, as part of a [`ConnectError`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The address.
    pub addr: SocketAddr,
    /// The system call that failed: `socket`, `fcntl`, `setsockopt`, `bind` (to the source address), `connect`, or
    /// `register` for the call that adds the socket to the event queue.
    pub step: &'static str,
    /// The error of the system call. [`TimedOut`](io::ErrorKind::TimedOut) if the address did not answer within its
    /// share of the [timeout](crate::ConnectOptions::timeout).
    pub source: io::Error,
}

impl ConnectError {
    pub(crate) fn new(attempts: Vec<Attempt>, untried: usize) -> Self {
        Self { attempts, untried }
    }

    /// The addresses that were tried, in order, each with its cause. Empty if there was no address, or no time to try
    /// one.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.attempts.is_empty() && self.untried == 0 {
            return f.write_str("there is no address to connect to");
        }
        for (index, attempt) in self.attempts.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{attempt}")?;
        }
        match (self.attempts.len(), self.untried) {
            (_, 0) => Ok(()),
            (0, untried) => write!(f, "no time to try any of {untried} addresses"),
            (_, untried) => write!(f, ", and no time for {untried} more"),
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} failed: {}", self.addr, self.step, self.source)
    }
}

impl error::Error for ConnectError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_named_with_its_cause() {
        let attempt = |port| Attempt {
            addr: SocketAddr::from(([192, 0, 2, 1], port)),
            step: "connect",
            source: io::ErrorKind::ConnectionRefused.into(),
        };
        let error = ConnectError::new(vec![attempt(1), attempt(2)], 3);
        assert_eq!(
            error.to_string(),
            "192.0.2.1:1: connect failed: connection refused, 192.0.2.1:2: connect failed: connection \
             refused, and no time for 3 more"
        );
        let none = ConnectError::new(Vec::new(), 0);
        assert_eq!(none.to_string(), "there is no address to connect to");
    }
}
