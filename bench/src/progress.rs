//! The progress line on a terminal.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::numbers::time;
use super::series::Second;

/// The bar leaves room for all figures in a terminal of 80 columns.
const STYLE: &str = "{prefix} [{bar:10}] {wide_msg}";

/// A line on standard error, if that is a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn start() -> Self {
        let bar = ProgressBar::no_length();
        bar.set_draw_target(if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        let style = ProgressStyle::with_template(STYLE);
        bar.set_style(style.expect("the template names what there is").progress_chars("=> "));
        Self { bar }
    }

    pub(super) fn is_shown(&self) -> bool {
        !self.bar.is_hidden()
    }

    pub(super) fn opening(&self, open: u64, wanted: u64) {
        self.show("opening", open, wanted, format!("{open} of {wanted} connections open"));
    }

    pub(super) fn holding(&self, open: u64, elapsed: Duration, duration: Duration) {
        let (elapsed, duration) = (millis(elapsed), millis(duration));
        self.show("holding", elapsed, duration, format!("{open} connections open"));
    }

    pub(super) fn running(
        &self,
        open: u64,
        elapsed: Duration,
        duration: Duration,
        last: Option<&Second>,
    ) {
        let (elapsed, duration) = (millis(elapsed), millis(duration));
        self.show("running", elapsed, duration, figures(open, last));
    }

    fn show(&self, what: &'static str, position: u64, length: u64, message: String) {
        self.bar.set_prefix(what);
        self.bar.set_length(length);
        self.bar.set_position(position.min(length));
        self.bar.set_message(message);
        self.bar.tick();
    }
}

impl Drop for Progress {
    /// Clears the line for the output that follows.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn figures(open: u64, last: Option<&Second>) -> String {
    let rate = last.map_or(String::new(), |second| {
        let latency = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), time);
        let (p50, p99) = (latency(second.p50_us), latency(second.p99_us));
        format!(", {} messages/s, p50 {p50}, p99 {p99}", second.messages)
    });
    format!("{open} open{rate}")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_latency_fit_into_80_columns() {
        let second = Second {
            second: 0,
            messages: 9_999_999,
            p50_us: Some(12_345.0),
            p99_us: Some(23_456.0),
        };
        let shown = figures(100_000, Some(&second));
        assert_eq!(shown, "100000 open, 9999999 messages/s, p50 12.3 ms, p99 23.5 ms");
        let bar = "0123456789";
        let line = STYLE.replace("{prefix}", "running").replace("{bar:10}", bar);
        let line = line.replace("{wide_msg}", &shown);
        assert!(line.len() <= 80 && !line.contains('{'), "{line}");
    }
}
