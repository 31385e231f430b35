//! Errors that report a lack of descriptors or memory.

use std::io::{self, ErrorKind};

use rustix::io::Errno;

/// Whether a call that makes or changes a socket failed for lack of descriptors or memory. Such a lack passes, and does
/// not depend on the address.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    let number = Errno::from_io_error(error);
    #[cfg(unix)]
    if number == Some(Errno::NFILE) {
        return true;
    }
    error.kind() == ErrorKind::OutOfMemory || matches!(number, Some(Errno::MFILE | Errno::NOBUFS))
}
