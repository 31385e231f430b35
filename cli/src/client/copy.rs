//! Copies standard input to a server, and the bytes that the server sends to standard output.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::connect::connect;
use crate::failure::Failure;
use crate::streams::{self, Unwritten};

/// How much is copied at once.
const CHUNK: usize = 64 * 1024;

/// How long the end of input from another program is awaited after the server has finished. A file needs no wait.
const END_OF_INPUT: Duration = Duration::from_secs(1);

/// The same for a terminal: its next line may never come, and no typed line is lost.
const NEXT_LINE: Duration = Duration::from_millis(100);

/// Copies in both directions, each on its own thread, until the server has finished.
///
/// # Errors
/// [`Failure::System`] if bytes were lost: the server did not take all of the input, or standard output did not take
/// all bytes of the server.
pub(crate) fn run(addrs: &[SocketAddr], timeout: Duration) -> Result<(), Failure> {
    let socket = connect(addrs, timeout).map_err(system)?;
    let sending = Arc::new(Sending::default());
    let (state, writer) = (Arc::clone(&sending), socket.try_clone().map_err(system)?);
    thread::Builder::new()
        .name("sender".to_owned())
        .spawn(move || state.enter(Progress::ended(send_input(&writer, &state))))
        .map_err(system)?;
    receive(&socket)?;
    let sent = sending.wait_for_end(timeout)?;
    confirm(socket, sent, timeout)
}

/// Copies the bytes that the server sends to standard output, until the server has finished.
fn receive(mut socket: &TcpStream) -> Result<(), Failure> {
    let refused = |error| Failure::of_flag("standard output", error);
    let output = io::stdout().as_fd().try_clone_to_owned().map_err(refused)?;
    let mut chunk = vec![0; CHUNK];
    let mut received: u64 = 0;
    loop {
        let count = match read(&mut socket, &mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) => {
                let text = format!("receiving failed after {received} bytes: {error}");
                return Err(Failure::System(text));
            }
        };
        streams::write_all(&output, &chunk[..count]).map_err(|Unwritten { written, error }| {
            let bytes = received + written as u64;
            let text = format!("{error} (after {bytes} bytes of what the server sent)");
            Failure::of_flag("standard output", text)
        })?;
        received += count as u64;
    }
}

/// Checks that the kernel of a server that has finished has taken all bytes that were sent.
///
/// A server that closes instead of half-closing answers later bytes with a RST. So nothing is certain before its kernel
/// has acknowledged the FIN of this side. Then the socket has no peer: `getpeername` fails (`inet_getname` of Linux),
/// and a RST has left its error. Other systems may behave otherwise, and are not checked.
fn confirm(socket: TcpStream, sent: u64, timeout: Duration) -> Result<(), Failure> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let _ = socket.shutdown(Shutdown::Write); // It may be shut down already.
    socket.set_nonblocking(true).map_err(system)?;
    let mut socket = mio::net::TcpStream::from_std(socket);
    let (mut poll, mut events) = (Poll::new().map_err(system)?, Events::with_capacity(1));
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(&mut socket, Token(0), both).map_err(system)?;
    let deadline = Instant::now().checked_add(timeout);
    while socket.peer_addr().is_ok() {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(Failure::System(format!(
                "the server has finished, and did not confirm within {timeout:?} that it got the {sent} bytes \
                 that were sent"
            )));
        }
        match poll.poll(&mut events, left) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(system(error)),
            _ => {}
        }
    }
    match socket.take_error().map_err(system)? {
        None => Ok(()),
        Some(_) => Err(Failure::System(format!(
            "the server has closed the connection, and did not take all of the {sent} bytes that were sent"
        ))),
    }
}

/// Copies standard input to the server, and then shuts down the writing side.
///
/// # Errors
/// What failed, and after how many bytes.
fn send_input(mut socket: &TcpStream, state: &Sending) -> Result<u64, String> {
    let unreadable = |error| format!("standard input: {error}");
    // The buffer of `Stdin` would be one more copy.
    let input = io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(unreadable);
    let mut chunk = vec![0; CHUNK];
    let mut sent: u64 = 0;
    let result = input.and_then(|input| {
        let is_file = input.metadata().is_ok_and(|metadata| metadata.is_file());
        loop {
            state.enter(if is_file { Progress::Sends } else { Progress::Waits { sent } });
            let count = streams::read(&input, &mut chunk).map_err(unreadable)?;
            state.enter(Progress::Sends);
            if count == 0 {
                return Ok(());
            }
            let failed = |error| format!("sending failed after {sent} bytes: {error}");
            socket.write_all(&chunk[..count]).map_err(failed)?;
            sent += count as u64;
        }
    });
    let finished = socket.shutdown(Shutdown::Write).map_err(|error| match error.kind() {
        // The socket was connected before, so the peer has reset the connection.
        ErrorKind::NotConnected => format!("the connection was reset after {sent} bytes were sent"),
        _ => format!("the connection cannot be half-closed: {error}"),
    });
    result.and(finished).map(|()| sent)
}

fn read(source: &mut impl Read, chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The state of the sender. The receiver waits for it before it returns.
#[derive(Default)]
struct Sending {
    /// The state, and how often it has changed.
    now: Mutex<(Progress, u64)>,
    changed: Condvar,
}

#[derive(Default)]
enum Progress {
    /// Waits for input, after `sent` bytes.
    Waits {
        sent: u64,
    },
    #[default]
    Sends,
    Done {
        sent: u64,
    },
    Failed(String),
}

impl Progress {
    fn ended(result: Result<u64, String>) -> Self {
        result.map_or_else(Self::Failed, |sent| Self::Done { sent })
    }
}

impl Sending {
    fn enter(&self, progress: Progress) {
        let mut now = self.lock();
        *now = (progress, now.1 + 1);
        self.changed.notify_one();
    }

    /// How many bytes of input were sent to a server that has finished. Available input is still sent.
    ///
    /// The end of a terminal is not awaited: all typed lines are sent. Any other input has an end, and bytes before it
    /// would be lost.
    fn wait_for_end(&self, timeout: Duration) -> Result<u64, Failure> {
        let is_typed = io::stdin().is_terminal();
        let quiet = if is_typed { NEXT_LINE } else { END_OF_INPUT };
        let mut now = self.lock();
        loop {
            let limit = match &now.0 {
                Progress::Done { sent } => return Ok(*sent),
                Progress::Failed(why) => return Err(Failure::System(why.clone())),
                Progress::Waits { .. } => quiet.min(timeout),
                Progress::Sends => timeout,
            };
            let seen = now.1;
            let (later, wait) = self
                .changed
                .wait_timeout_while(now, limit, |now| now.1 == seen)
                .unwrap_or_else(PoisonError::into_inner);
            let text = match later.0 {
                Progress::Waits { sent } if wait.timed_out() => {
                    if is_typed {
                        return Ok(sent);
                    }
                    format!(
                        "the server has finished before the end of standard input, of which {sent} bytes \
                         were sent"
                    )
                }
                Progress::Sends if wait.timed_out() => {
                    format!("the server has finished, and took no input for {timeout:?}")
                }
                _ => {
                    now = later;
                    continue;
                }
            };
            return Err(Failure::System(text));
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Progress, u64)> {
        // No code panics while the lock is held.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn system(error: io::Error) -> Failure {
    Failure::System(error.to_string())
}
