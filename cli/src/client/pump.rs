//! Standard input to a server, and the server to standard output.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use readyloop::Client;

use crate::failure::Failure;
use crate::streams::{self, Unwritten};

/// How much is passed on at once.
const CHUNK: usize = 64 * 1024;

/// When the server has finished, the end of input that comes from another program is not waited for longer than
/// this. A file has all of its input.
const END_OF_INPUT: Duration = Duration::from_secs(1);

/// The same for the next line of a terminal: it may never come, and nothing that was typed is lost.
const NEXT_LINE: Duration = Duration::from_millis(100);

/// Passes on in both directions, each on a thread of its own, until the server has finished.
///
/// # Errors
/// [`Failure::System`] if anything was lost: the server did not take all of the input, or standard output not all
/// that the server sent.
pub(crate) fn run(addrs: &[SocketAddr], timeout: Duration) -> Result<(), Failure> {
    let client = Client::connect(addrs, timeout).map_err(system)?;
    let (socket, _) = client.into_parts().map_err(system)?;
    let sending = Arc::new(Sending::default());
    let (told, writer) = (Arc::clone(&sending), socket.try_clone().map_err(system)?);
    thread::Builder::new()
        .name("sender".to_owned())
        .spawn(move || told.enter(Doing::ended(send_input(&writer, &told))))
        .map_err(system)?;
    receive(&socket)?;
    let sent = sending.judge(timeout)?;
    confirm(socket, sent, timeout)
}

/// Passes on what the server sends, until it has finished.
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

/// Whether the server's system has taken all that was sent to a server that has finished.
///
/// A server that closes instead of half-closing answers what comes later with a RST. So nothing is certain before
/// it has confirmed the FIN from here. The socket then has no peer any more: `getpeername` fails (`inet_getname`
/// of Linux), and a RST has left its error. Other systems may not tell it so, and are not asked.
fn confirm(socket: TcpStream, sent: u64, timeout: Duration) -> Result<(), Failure> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let _ = socket.shutdown(Shutdown::Write); // it may be done already
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

/// Passes on standard input to its end, and then finishes.
///
/// # Errors
/// What failed, and after how many bytes.
fn send_input(mut socket: &TcpStream, told: &Sending) -> Result<u64, String> {
    let unreadable = |error| format!("standard input: {error}");
    // Not through its buffer, which would be one more copy.
    let input = io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(unreadable);
    let mut chunk = vec![0; CHUNK];
    let mut sent: u64 = 0;
    let result = input.and_then(|input| {
        let is_file = input.metadata().is_ok_and(|metadata| metadata.is_file());
        loop {
            told.enter(if is_file { Doing::Sends } else { Doing::Waits { sent } });
            let count = streams::read(&input, &mut chunk).map_err(unreadable)?;
            told.enter(Doing::Sends);
            if count == 0 {
                return Ok(());
            }
            let failed = |error| format!("sending failed after {sent} bytes: {error}");
            socket.write_all(&chunk[..count]).map_err(failed)?;
            sent += count as u64;
        }
    });
    let finished = socket.shutdown(Shutdown::Write).map_err(|error| match error.kind() {
        // There was a connection.
        ErrorKind::NotConnected => format!("the connection was reset after {sent} bytes were sent"),
        _ => format!("the connection cannot be finished: {error}"),
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

/// What the sender does, so that the receiver knows whether it can leave.
#[derive(Default)]
struct Sending {
    /// With the number of its changes.
    now: Mutex<(Doing, u64)>,
    changed: Condvar,
}

#[derive(Default)]
enum Doing {
    /// For input, after so many bytes.
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

impl Doing {
    fn ended(result: Result<u64, String>) -> Self {
        result.map_or_else(Self::Failed, |sent| Self::Done { sent })
    }
}

impl Sending {
    fn enter(&self, doing: Doing) {
        let mut now = self.lock();
        *now = (doing, now.1 + 1);
        self.changed.notify_one();
    }

    /// How many bytes of input were sent to a server that has finished. Input that is there is still sent to it.
    ///
    /// The end of a terminal is not waited for: what was typed is sent. Any other input has an end, and what
    /// comes before that end would be lost.
    fn judge(&self, timeout: Duration) -> Result<u64, Failure> {
        let is_typed = io::stdin().is_terminal();
        let quiet = if is_typed { NEXT_LINE } else { END_OF_INPUT };
        let mut now = self.lock();
        loop {
            let patience = match &now.0 {
                Doing::Done { sent } => return Ok(*sent),
                Doing::Failed(why) => return Err(Failure::System(why.clone())),
                Doing::Waits { .. } => quiet.min(timeout),
                Doing::Sends => timeout,
            };
            let seen = now.1;
            let (later, wait) = self
                .changed
                .wait_timeout_while(now, patience, |now| now.1 == seen)
                .unwrap_or_else(PoisonError::into_inner);
            let text = match later.0 {
                Doing::Waits { sent } if wait.timed_out() => {
                    if is_typed {
                        return Ok(sent);
                    }
                    format!(
                        "the server has finished before the end of standard input, of which {sent} bytes \
                         were sent"
                    )
                }
                Doing::Sends if wait.timed_out() => {
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

    fn lock(&self) -> MutexGuard<'_, (Doing, u64)> {
        // Nothing panics while it is held.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn system(error: io::Error) -> Failure {
    Failure::System(error.to_string())
}
