//! Opening a connection to one of several addresses.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::deadline::Deadline;

/// Tries them in turn, each with an equal share of the time that is left.
pub(super) fn first_of(
    addrs: &[SocketAddr],
    deadline: &Deadline,
) -> io::Result<(TcpStream, SocketAddr)> {
    if addrs.is_empty() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "there is no address to connect to"));
    }
    let mut failures = Vec::new();
    let mut kind = ErrorKind::InvalidInput;
    for (addr, untried) in addrs.iter().zip((1..=addrs.len() as u32).rev()) {
        match connect_to(*addr, deadline.share_of(untried)) {
            Ok(stream) => return Ok((stream, *addr)),
            Err(error) => {
                kind = error.kind();
                failures.push(format!("{addr}: {error}"));
            }
        }
    }
    Err(io::Error::new(kind, format!("cannot connect to {}", failures.join("; "))))
}

fn connect_to(addr: SocketAddr, wait: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, wait)?;
    // Where nobody listens the kernel may choose the same port for this end, and connect it to itself. (There
    // is no peer any more if it has been reset at once, which the first call on it will tell.)
    let is_own = |peer| stream.local_addr().is_ok_and(|own| own == peer);
    if stream.peer_addr().is_ok_and(is_own) {
        return Err(io::Error::new(ErrorKind::ConnectionRefused, "nobody listens there"));
    }
    Ok(stream)
}
