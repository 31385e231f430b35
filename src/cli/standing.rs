//! How things stand, for the log.

use readyloop::{Config, Stats};

/// Two lines: what was counted, and what the limits are.
pub(crate) fn log(stats: &Stats, config: &Config, reactors: usize) {
    log::info!("stats of {reactors} reactors: {}", on_one_line(stats));
    log::info!("limits: {}", on_one_line(config));
}

/// What `Debug` says, which leaves nothing out, without its punctuation.
fn on_one_line(what: &impl std::fmt::Debug) -> String {
    let text = format!("{what:?}");
    let inner = text.split_once("{ ").map_or(&*text, |(_, inner)| inner);
    inner.trim_end_matches(" }").to_owned()
}
