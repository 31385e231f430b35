//! The flags of `readyloop client`.

use std::time::Duration;

use clap::{ArgGroup, Args, value_parser};

use crate::failure::Failure;
use crate::values::{Count, HostPort, Time};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("script").multiple(true))]
pub(crate) struct ClientArgs {
    /// The server: an address or a name, and a port
    #[arg(value_name = "ADDR")]
    pub(crate) server: HostPort,

    // clap takes the placeholder itself for the end of a line.
    /// Send this text instead of standard input, and compare the echo with it. An n in braces is replaced by the number
    /// of the message, the word client in braces by the number of the client [default with --every, --count or
    /// --clients: 'Hello, server' and the number]
    #[arg(long, value_name = "TEXT", group = "script", allow_hyphen_values = true)]
    message: Option<String>,

    /// The time from one message of a client to its next [default: 1s]
    #[arg(long, value_name = "TIME", group = "script", allow_hyphen_values = true)]
    every: Option<Time>,

    /// How many messages each client sends [default: 1]
    #[arg(long, value_name = "N", group = "script", allow_hyphen_values = true,
        value_parser = value_parser!(u32).range(1..))]
    count: Option<u32>,

    /// How many clients send at the same time [default: 1]
    #[arg(long, value_name = "N", group = "script", allow_hyphen_values = true)]
    clients: Option<Count>,

    /// Send the message without a newline at its end
    #[arg(long, requires = "script")]
    no_newline: bool,

    /// Print no replies
    #[arg(long, requires = "script")]
    quiet: bool,

    /// The limit for connecting, for each reply, and for the server to close after the last reply. Without messages:
    /// the limit for connecting, and for how long a server that has finished sending may take no input
    #[arg(long, value_name = "TIME", default_value = "10s", allow_hyphen_values = true)]
    pub(crate) timeout: Time,
}

/// What the clients send instead of standard input.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// With its placeholders.
    pub(crate) message: String,
    pub(crate) every: Duration,
    pub(crate) count: u32,
    pub(crate) clients: u32,
    pub(crate) timeout: Duration,
    pub(crate) is_quiet: bool,
}

impl ClientArgs {
    pub(crate) fn check(self) -> Result<Self, Failure> {
        if self.timeout.0.is_zero() {
            return Err(Failure::Usage("--timeout 0: a time above 0 is needed".to_owned()));
        }
        if self.no_newline && self.message.as_ref().is_some_and(String::is_empty) {
            return Err(Failure::Usage("--message '' --no-newline: nothing to send".to_owned()));
        }
        Ok(self)
    }

    /// `None` if standard input is copied.
    pub(crate) fn plan(&self) -> Option<Plan> {
        let is_script = self.message.is_some()
            || self.every.is_some()
            || self.count.is_some()
            || self.clients.is_some();
        is_script.then(|| Plan {
            message: {
                let text = self.message.as_deref().unwrap_or("Hello, server {n}");
                let end = if self.no_newline { "" } else { "\n" };
                format!("{text}{end}")
            },
            every: self.every.map_or(Duration::from_secs(1), |time| time.0),
            count: self.count.unwrap_or(1),
            clients: self.clients.map_or(1, |count| count.0),
            timeout: self.timeout.0,
            is_quiet: self.quiet,
        })
    }
}

impl Plan {
    /// How long a client waits before its next message. `sent` messages were sent in `elapsed`, the time since the
    /// first. Delays do not add up: a client that is late sends at once.
    pub(crate) fn wait_for_next(&self, sent: u32, elapsed: Duration) -> Duration {
        self.every.saturating_mul(sent).saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_does_not_drift() {
        let ms = Duration::from_millis;
        let plan = Plan {
            message: String::new(),
            every: ms(100),
            count: 10,
            clients: 1,
            timeout: ms(0),
            is_quiet: true,
        };
        for (sent, elapsed, wait) in
            [(1, 0, 100), (1, 30, 70), (2, 130, 70), (3, 450, 0), (5, 450, 50)]
        {
            assert_eq!(
                plan.wait_for_next(sent, ms(elapsed)),
                ms(wait),
                "{sent} after {elapsed} ms"
            );
        }
        let endless = Plan { every: Duration::MAX, ..plan };
        assert_eq!(endless.wait_for_next(2, ms(0)), Duration::MAX);
    }
}
