//! Connects to one of several addresses.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The share of an address whose turn comes after the deadline. `connect_timeout` refuses a timeout of 0.
const SHORTEST: Duration = Duration::from_micros(1);

/// Connects to the first address that answers. Each address has an equal share of the time that is left of `timeout`.
///
/// On the returned socket each call blocks until it is done, and small messages are sent at once (`TCP_NODELAY`).
///
/// # Errors
/// `InvalidInput` if there is no address. Otherwise the kind of the last failure, with a text that names each address
/// and its failure.
pub(super) fn connect(addrs: &[SocketAddr], timeout: Duration) -> io::Result<TcpStream> {
    if addrs.is_empty() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "there is no address to connect to"));
    }
    // `None` if the clock cannot represent a time that late.
    let deadline = Instant::now().checked_add(timeout);
    let mut failures = Vec::new();
    let mut kind = ErrorKind::InvalidInput;
    for (addr, untried) in addrs.iter().zip((1..=addrs.len() as u32).rev()) {
        let share = deadline.map_or(Duration::MAX, |deadline| {
            (deadline.saturating_duration_since(Instant::now()) / untried).max(SHORTEST)
        });
        match connect_to(addr, share) {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                kind = error.kind();
                failures.push(format!("{addr}: {error}"));
            }
        }
    }
    Err(io::Error::new(kind, format!("cannot connect to {}", failures.join("; "))))
}

fn connect_to(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(addr, timeout)?;
    // If no server listens on the port, the kernel may choose the same port for this side and connect the socket to
    // itself. (If the server has reset the connection already, the socket has no peer. The first read fails then.)
    let is_own = |peer| stream.local_addr().is_ok_and(|own| own == peer);
    if stream.peer_addr().is_ok_and(is_own) {
        return Err(io::Error::new(ErrorKind::ConnectionRefused, "no server listens there"));
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
#[allow(dead_code, reason = "the suites use all of it")]
#[path = "../../../tests/suite/util.rs"]
mod util;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use socket2::Socket;

    use super::util::{DEADLINE, refusing};
    use super::*;

    fn server() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        (listener, addr)
    }

    /// An address that does not answer as long as the sockets are held: the backlog of its listener is full.
    fn silent() -> ((Socket, Vec<TcpStream>), SocketAddr) {
        let (listener, addr) = refusing("127.0.0.1:0");
        listener.listen(0).unwrap();
        let mut waiting = Vec::new();
        let error = loop {
            match connect(&[addr], Duration::from_millis(200)) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
            assert!(waiting.len() < 100, "the backlog is never full");
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        ((listener, waiting), addr)
    }

    #[test]
    fn without_an_address_it_says_so() {
        let error = connect(&[], DEADLINE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "there is no address to connect to");
    }

    #[test]
    fn the_first_address_that_answers_is_taken_and_a_refusal_names_them_all() {
        let (_listener, addr) = server();
        let (_keeps_one, one) = refusing("127.0.0.1:0");
        let (_keeps_two, two) = refusing("[::1]:0");
        let stream = connect(&[one, two, addr], DEADLINE).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);

        let error = connect(&[one, two], DEADLINE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot connect to {one}: ")), "{text}");
        assert!(text.contains(&format!("; {two}: ")), "{text}");
    }

    #[test]
    fn an_address_that_does_not_answer_leaves_the_next_one_its_share_of_the_time() {
        let (_keeps, silent) = silent();
        let (_listener, addr) = server();
        let stream = connect(&[silent, addr], Duration::from_secs(2)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);
    }

    #[test]
    fn the_timeout_is_for_all_addresses_together() {
        let (_keeps, silent) = silent();
        let timeout = Duration::from_millis(100);
        let begin = Instant::now();
        // One timeout for each would be longer than the deadline.
        let error = connect(&[silent; 400], timeout).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!((timeout..DEADLINE).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    }

    #[test]
    fn a_timeout_beyond_the_clock_is_none() {
        let (_listener, addr) = server();
        assert!(connect(&[addr], Duration::MAX).is_ok());
    }

    #[test]
    fn calls_on_the_socket_block_and_send_at_once() {
        let (_listener, addr) = server();
        let stream = connect(&[addr], DEADLINE).unwrap();
        assert_eq!(stream.read_timeout().unwrap(), None);
        assert_eq!(stream.write_timeout().unwrap(), None);
        assert!(stream.nodelay().unwrap());
    }
}
