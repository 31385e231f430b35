//! What a failed `accept(2)` means for the acceptor.

use std::io::{self, ErrorKind};

/// What to do about a failed `accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptFault {
    /// The queue is empty: wait for the next edge.
    Empty,
    /// This one newcomer is lost, the next may be fine (accept(2) asks to treat the network's
    /// errors "like EAGAIN by retrying").
    Retry,
    /// Out of descriptors or memory. No new edge comes for those who already wait, so the acceptor
    /// has to try again by itself.
    Pause,
    /// The listener itself is gone.
    Dead,
}

/// Has the same number on every Unix.
const EBADF: i32 = 9;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod errno {
    pub(super) const EPROTO: i32 = 71;
    pub(super) const ENOPROTOOPT: i32 = 92;
    pub(super) const ENOTSOCK: i32 = 88;
    pub(super) const EHOSTDOWN: i32 = 112;
    pub(super) const ENONET: i32 = 64;
}

impl AcceptFault {
    /// Sorts an error of `accept`. What is unknown pauses: that can neither spin nor lose the
    /// listener.
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock => Self::Empty,
            ErrorKind::Interrupted
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::PermissionDenied
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
            | ErrorKind::TimedOut => Self::Retry,
            // EOPNOTSUPP, which is Unsupported, is among the network's errors of accept(2), but
            // also what a socket gives that cannot listen: pausing suits both.
            ErrorKind::InvalidInput => Self::Dead,
            _ => Self::of_number(error.raw_os_error()),
        }
    }

    fn of_number(number: Option<i32>) -> Self {
        match number {
            Some(EBADF) => Self::Dead,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(errno::ENOTSOCK) => Self::Dead,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Some(errno::EPROTO | errno::ENOPROTOOPT | errno::EHOSTDOWN | errno::ENONET) => {
                Self::Retry
            }
            _ => Self::Pause,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn fault(number: i32) -> AcceptFault {
        AcceptFault::of(&io::Error::from_raw_os_error(number))
    }

    #[test]
    fn every_errno_of_accept_2_is_sorted() {
        const EAGAIN: i32 = 11;
        assert_eq!(fault(EAGAIN), AcceptFault::Empty);
        // EINTR, ECONNABORTED, EPERM, EPROTO, ENOPROTOOPT, ENETDOWN, EHOSTDOWN, ENONET,
        // EHOSTUNREACH, ENETUNREACH, ETIMEDOUT
        for number in [4, 103, 1, 71, 92, 100, 112, 64, 113, 101, 110] {
            assert_eq!(fault(number), AcceptFault::Retry, "errno {number}");
        }
        // EMFILE, ENFILE, ENOMEM, ENOBUFS, EOPNOTSUPP, and a number that nobody knows
        for number in [24, 23, 12, 105, 95, 4_000] {
            assert_eq!(fault(number), AcceptFault::Pause, "errno {number}");
        }
        // EBADF, EINVAL, ENOTSOCK
        for number in [9, 22, 88] {
            assert_eq!(fault(number), AcceptFault::Dead, "errno {number}");
        }
    }
}
