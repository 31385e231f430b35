//! What is shown while it runs, to somebody who watches.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::series::Second;
use super::table::time;

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
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {wide_msg}");
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
        let rate = last.map_or(String::new(), |second| {
            let latency = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), time);
            let (p50, p99) = (latency(second.p50_us), latency(second.p99_us));
            format!(", {} messages/s, p50 {p50}, p99 {p99}", second.messages)
        });
        let (elapsed, duration) = (millis(elapsed), millis(duration));
        self.show("running", elapsed, duration, format!("{open} connections open{rate}"));
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
    /// What follows is not written behind it.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
