//! What a failed `accept(2)` means for the acceptor.

use std::io::{self, ErrorKind};

use rustix::io::Errno;

use super::exhaustion::is_exhaustion;

/// How to handle a failed `accept`. The table applies to this system call only: other calls use the same numbers for
/// other things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptFault {
    /// The backlog is empty: wait for the next edge.
    Empty,
    /// Out of descriptors or memory. No new edge comes for the connections in the backlog, so the acceptor
    /// tries again after a pause.
    NoRoom,
    /// Any other error: try again at once, but pause after several failures in a row. accept(2) asks to treat network
    /// errors "like EAGAIN by retrying". The number does not tell whether a connection was removed from the backlog:
    /// EPERM of a firewall may remove one, EPERM of a sandbox does not.
    Failed,
    /// The listener does not exist any more.
    Dead,
}

impl AcceptFault {
    /// Classifies an error of `accept`. An unknown error is [`Failed`](Self::Failed), which can neither spin nor lose
    /// the listener.
    pub(crate) fn of(error: &io::Error) -> Self {
        if error.kind() == ErrorKind::WouldBlock {
            return Self::Empty;
        }
        if is_exhaustion(error) {
            return Self::NoRoom;
        }
        match Errno::from_io_error(error) {
            Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK) => Self::Dead,
            _ => Self::Failed,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn every_errno_of_accept_2_is_sorted() {
        let sorted: [(AcceptFault, &[Errno]); 4] = [
            (AcceptFault::Empty, &[Errno::AGAIN, Errno::WOULDBLOCK]),
            (AcceptFault::NoRoom, &[Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]),
            (AcceptFault::Dead, &[Errno::BADF, Errno::INVAL, Errno::NOTSOCK]),
            (
                AcceptFault::Failed,
                &[
                    Errno::CONNABORTED,
                    Errno::FAULT,
                    Errno::INTR, // the caller repeats the call, and does not classify this error
                    Errno::OPNOTSUPP,
                    Errno::PERM,
                    Errno::PROTO,
                    // "various Linux kernels can return other errors"
                    Errno::NOSR,
                    Errno::SOCKTNOSUPPORT,
                    Errno::PROTONOSUPPORT,
                    Errno::TIMEDOUT,
                    // the network's
                    Errno::NETDOWN,
                    Errno::NOPROTOOPT,
                    Errno::HOSTDOWN,
                    Errno::NONET,
                    Errno::HOSTUNREACH,
                    Errno::NETUNREACH,
                    // of other calls, of a sandbox, and a number that does not exist
                    Errno::ADDRINUSE,
                    Errno::ADDRNOTAVAIL,
                    Errno::AFNOSUPPORT,
                    Errno::ACCESS,
                    Errno::NOSYS,
                    Errno::from_raw_os_error(4_000),
                ],
            ),
        ];
        for (fault, numbers) in sorted {
            for number in numbers {
                assert_eq!(AcceptFault::of(&(*number).into()), fault, "{number:?}");
            }
        }
    }
}
