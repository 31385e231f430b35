//! The limit of open files. Each connection takes a descriptor.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::failure::Failure;

/// Descriptors that are not for clients.
const OTHERS: u64 = 64;

/// The limits before and after [`raise`].
pub(crate) enum Raised {
    NoNeed(Limit),
    From { soft: Limit, hard: Limit },
    Refused { soft: Limit, hard: Limit, error: Errno },
}

/// Raises the soft limit to the hard one.
pub(crate) fn raise() -> Raised {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (soft, hard) = (Limit(current), Limit(maximum));
    if current == maximum {
        return Raised::NoNeed(hard);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => Raised::From { soft, hard },
        Err(error) => Raised::Refused { soft, hard, error },
    }
}

/// The soft limit. `None` is no limit.
pub(crate) fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the limit, and checks that it allows this many clients.
///
/// # Errors
/// [`Failure::System`] if the limit does not allow them.
pub(crate) fn must_allow(clients: u32) -> Result<(), Failure> {
    raise();
    match limit() {
        Some(most) if u64::from(clients) + OTHERS > most => Err(Failure::of_flag(
            format!("--clients {clients}"),
            format!(
                "the limit of open files is {most} (ulimit -n); {OTHERS} of them are reserved for other purposes"
            ),
        )),
        _ => Ok(()),
    }
}

impl Raised {
    /// Logs both limits. A server can run with the lower one, so a refusal is only a warning.
    pub(crate) fn log(&self) {
        match self {
            Self::NoNeed(limit) => log::info!("open files: the limit is {limit} (soft and hard)"),
            Self::From { soft, hard } => {
                log::info!("open files: soft limit raised from {soft} to the hard limit, {hard}");
            }
            Self::Refused { soft, hard, error } => log::warn!(
                "open files: the soft limit stays at {soft}: it cannot be raised to the hard limit, {hard}: \
                 {error}"
            ),
        }
    }
}

/// `None` is no limit.
pub(crate) struct Limit(Option<u64>);

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(limit) => limit.fmt(f),
            None => f.write_str("unlimited"),
        }
    }
}
