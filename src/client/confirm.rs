//! Whether the server has taken what was sent, when both sides have finished.

use std::io::{self, ErrorKind};
use std::net::TcpStream;

use mio::{Events, Interest, Poll, Token};

use super::deadline::Deadline;

/// Waits until the server's system has confirmed the FIN from here, and with it all that was sent before.
///
/// A server that closes instead of half-closing finishes as well, but answers what comes later with a RST. When the
/// FIN is confirmed, and after a RST, the socket has no peer any more: `getpeername` fails (`inet_getname` of Linux),
/// and the RST has left its error. Other systems may not tell it so, and are not asked.
///
/// # Errors
/// `ConnectionReset` after a RST; `TimedOut`.
pub(super) fn wait_for_peer(stream: TcpStream, deadline: &mut Deadline) -> io::Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    stream.set_nonblocking(true)?;
    let mut stream = mio::net::TcpStream::from_std(stream);
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1));
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut stream, Token(0), both)?;
    while stream.peer_addr().is_ok() {
        match poll.poll(&mut events, deadline.next_wait()?) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
    match stream.take_error()? {
        None => Ok(()),
        Some(error) => Err(io::Error::new(ErrorKind::ConnectionReset, error.to_string())),
    }
}
