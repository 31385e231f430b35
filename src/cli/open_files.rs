//! The limit of open files, which is the limit of connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, and says both in the log. A server can do with less, so
/// a refusal is only a warning.
pub(crate) fn raise() {
    let Rlimit { current: soft, maximum: hard } = getrlimit(Resource::Nofile);
    if soft == hard {
        log::info!("open files: the limit is {} (soft and hard)", Limit(soft));
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }) {
        Ok(()) => log::info!(
            "open files: soft limit raised from {} to the hard limit, {}",
            Limit(soft),
            Limit(hard)
        ),
        Err(error) => log::warn!(
            "open files: soft limit stays at {}, as the hard limit, {}, was refused: {error}",
            Limit(soft),
            Limit(hard)
        ),
    }
}

/// `None` is no limit.
struct Limit(Option<u64>);

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(limit) => limit.fmt(f),
            None => f.write_str("unlimited"),
        }
    }
}
