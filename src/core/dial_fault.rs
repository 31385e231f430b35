//! What a failed system call means for an outbound connection.

use std::io::{self, ErrorKind};

use super::exhaustion::is_exhaustion;

/// How to handle an address that could not be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DialFault {
    /// The system lacks descriptors or memory, for any address: try the same address again after a while.
    NoRoom,
    /// This address cannot be used, now or from here: try the next one at once.
    Unusable,
}

impl DialFault {
    /// Classifies an error of a system call that opens a connection. `step` is the name of the call, as in
    /// [`StepError::step`](crate::step_error::StepError::step). Each call has its own table. Any other error fails the
    /// address: waiting for an address that can never be used would cost the caller the whole timeout.
    ///
    /// A lack of local ports (EADDRNOTAVAIL of `connect`, EADDRINUSE of `bind`) is [`Unusable`](Self::Unusable): ports
    /// may stay in TIME_WAIT for a minute, and the caller may have another source address.
    pub(crate) fn of(step: &str, error: &io::Error) -> Self {
        let is_lack = match step {
            // connect(2) on EAGAIN: "insufficient entries in the routing cache".
            "connect" => is_exhaustion(error) || error.kind() == ErrorKind::WouldBlock,
            // ENOSPC is the limit of memory that watches may take (epoll(7), `max_user_watches`).
            "register" => is_exhaustion(error) || error.kind() == ErrorKind::StorageFull,
            "socket" | "setsockopt" | "bind" => is_exhaustion(error),
            _ => false,
        };
        if is_lack { Self::NoRoom } else { Self::Unusable }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::io::Errno;

    use super::*;

    /// A call, its errors that wait for room, and the other errors that its manual page names.
    type Row = (&'static str, &'static [Errno], &'static [Errno]);

    const SOCKET: Row = (
        "socket",
        &[Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM],
        &[Errno::ACCESS, Errno::AFNOSUPPORT, Errno::INVAL, Errno::PROTONOSUPPORT, Errno::PERM],
    );
    const FCNTL: Row = ("fcntl", &[], &[Errno::BADF, Errno::INVAL, Errno::PERM, Errno::AGAIN]);
    const SETSOCKOPT: Row = (
        "setsockopt",
        &[Errno::NOBUFS, Errno::NOMEM],
        &[Errno::BADF, Errno::FAULT, Errno::INVAL, Errno::NOPROTOOPT, Errno::NOTSOCK],
    );
    const BIND: Row = (
        "bind",
        &[Errno::NOBUFS, Errno::NOMEM],
        &[
            Errno::ACCESS,
            Errno::ADDRINUSE,
            Errno::ADDRNOTAVAIL,
            Errno::AFNOSUPPORT,
            Errno::BADF,
            Errno::FAULT,
            Errno::INVAL,
            Errno::LOOP,
            Errno::NAMETOOLONG,
            Errno::NODEV, // an interface of a scope id
            Errno::NOENT,
            Errno::NOTDIR,
            Errno::NOTSOCK,
            Errno::PERM,
            Errno::ROFS,
        ],
    );
    const CONNECT: Row = (
        "connect",
        &[Errno::AGAIN, Errno::NOBUFS, Errno::NOMEM],
        &[
            Errno::ACCESS,
            Errno::ADDRINUSE,
            Errno::ADDRNOTAVAIL,
            Errno::AFNOSUPPORT,
            Errno::ALREADY,
            Errno::BADF,
            Errno::CONNREFUSED,
            Errno::FAULT,
            Errno::HOSTUNREACH,
            Errno::INVAL,
            Errno::ISCONN,
            Errno::NETUNREACH,
            Errno::NODEV,
            Errno::NOTSOCK,
            Errno::PERM,
            Errno::PROTOTYPE,
            Errno::TIMEDOUT,
        ],
    );
    const REGISTER: Row = (
        "register",
        &[Errno::NOMEM, Errno::NOSPC],
        &[Errno::BADF, Errno::EXIST, Errno::INVAL, Errno::LOOP, Errno::NOENT, Errno::PERM],
    );

    #[test]
    fn every_errno_of_each_call_is_sorted() {
        for (step, lacks, others) in [SOCKET, FCNTL, SETSOCKOPT, BIND, CONNECT, REGISTER] {
            for number in lacks {
                let fault = DialFault::of(step, &(*number).into());
                assert_eq!(fault, DialFault::NoRoom, "{step}: {number:?}");
            }
            let unknown = Errno::from_raw_os_error(4_000);
            for number in others.iter().chain([&unknown]) {
                let fault = DialFault::of(step, &(*number).into());
                assert_eq!(fault, DialFault::Unusable, "{step}: {number:?}");
            }
        }
    }
}
