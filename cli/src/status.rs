//! The status, which SIGUSR1 logs.

use readyloop::{Config, Stats};

use super::logging::answer;

/// Logs two lines: the counters, and the limits.
pub(crate) fn log(stats: &Stats, config: &Config, reactors: usize) {
    answer(format_args!("stats of {reactors} reactors: {}", on_one_line(stats)));
    answer(format_args!("limits: {}", on_one_line(config)));
}

/// The text of `Debug`, which has all fields, without its braces.
fn on_one_line(what: &impl std::fmt::Debug) -> String {
    let text = format!("{what:?}");
    let inner = text.split_once("{ ").map_or(&*text, |(_, inner)| inner);
    inner.trim_end_matches(" }").to_owned()
}
