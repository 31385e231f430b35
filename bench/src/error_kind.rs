//! The kinds of errors that a run counts, and the names of their causes.

use std::io;

use serde::Serialize;

/// The kind of an error in the counts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ErrorKind {
    /// A connection could not be opened.
    Connect,
    /// A connection was lost.
    Loss,
    /// A message was answered wrongly or not at all.
    Message,
}

/// The cause if the kernel has no free port for a connection.
pub(super) const NO_PORT: &str = "no free port";

/// The cause if the bench itself closes a connection, because too many bytes are queued.
pub(super) const NO_MEMORY: &str = "the bench's own limit of memory";

/// The cause of a failed attempt to connect, by the system call that failed.
pub(super) fn cause_of_attempt(step: &str, error: &io::Error) -> String {
    match (step, error.kind()) {
        // Without a source the kernel looks for a port in `connect`, with one in `bind`: ip(7), bind(2).
        ("connect", io::ErrorKind::AddrNotAvailable) | ("bind", io::ErrorKind::AddrInUse) => {
            NO_PORT.to_owned()
        }
        ("bind", io::ErrorKind::AddrNotAvailable) => {
            "no interface of this machine has the --source address".to_owned()
        }
        _ => cause(error),
    }
}

/// The name of an error. Equal errors have equal names.
pub(super) fn cause(error: &io::Error) -> String {
    match error.kind().to_string() {
        // The standard library has no name for these.
        word if word.starts_with("uncategorized") => error.to_string(),
        word => word,
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn errors_without_a_word_of_their_own_are_quoted() {
        let error = io::Error::from(Errno::MFILE);
        assert!(cause(&error).contains("open files"), "{}", cause(&error));
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(cause(&refused), "connection refused");
    }
}
