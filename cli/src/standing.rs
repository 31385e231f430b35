//! How things stand, for the operator who asks.

use readyloop::{Config, Stats};

use super::logging::answer;

/// Two lines: what was counted, and what the limits are.
pub(crate) fn log(stats: &Stats, config: &Config, reactors: usize) {
    answer(format_args!("stats of {reactors} reactors: {}", on_one_line(stats)));
    answer(format_args!("limits: {}", on_one_line(config)));
}

/// What `Debug` says, which leaves nothing out, without its punctuation.
fn on_one_line(what: &impl std::fmt::Debug) -> String {
    let text = format!("{what:?}");
    let inner = text.split_once("{ ").map_or(&*text, |(_, inner)| inner);
    inner.trim_end_matches(" }").to_owned()
}
