//! Standard input to a server, and the server to standard output.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use readyloop::Client;

use crate::cli::failure::Failure;

/// How much is passed on at once.
const CHUNK: usize = 64 * 1024;

/// When the server has finished, input that has not come after this time is not waited for. A file has all of
/// its input.
const QUIET: Duration = Duration::from_millis(100);

/// Passes on in both directions, each on a thread of its own, until the server has finished.
pub(crate) fn run(addrs: &[SocketAddr], timeout: Duration) -> Result<(), Failure> {
    let client = Client::connect(addrs, timeout).map_err(system)?;
    let (socket, _) = client.into_parts().map_err(system)?;
    let sending = Arc::new(Sending::default());
    let (told, writer) = (Arc::clone(&sending), socket.try_clone().map_err(system)?);
    thread::Builder::new()
        .name("sender".to_owned())
        .spawn(move || told.enter(Doing::ended(send_input(&writer, &told))))
        .map_err(system)?;
    match receive(socket) {
        Ok(End::OfServer) => sending.judge(timeout),
        Ok(End::OfReader) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// How receiving came to its end in order.
enum End {
    OfServer,
    /// Nobody reads standard output any more, so nothing is left to do.
    OfReader,
}

fn receive(mut socket: TcpStream) -> Result<End, Failure> {
    let refused = |error| Failure::of_flag("standard output", error);
    // Not through its buffer, which waits for the end of a line.
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned().map_err(refused)?);
    let mut chunk = vec![0; CHUNK];
    let mut received: u64 = 0;
    loop {
        let count = match read(&mut socket, &mut chunk) {
            Ok(0) => return Ok(End::OfServer),
            Ok(count) => count,
            Err(error) => {
                let text = format!("receiving failed after {received} bytes: {error}");
                return Err(Failure::System(text));
            }
        };
        match output.write_all(&chunk[..count]) {
            Ok(()) => received += count as u64,
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(End::OfReader),
            Err(error) => return Err(refused(error)),
        }
    }
}

/// Passes on standard input to its end, and then finishes.
fn send_input(mut socket: &TcpStream, told: &Sending) -> Result<(), String> {
    let unreadable = |error| format!("standard input: {error}");
    // Not through its buffer, which would be one more copy.
    let input = io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(unreadable);
    let mut chunk = vec![0; CHUNK];
    let mut sent: u64 = 0;
    let result = input.and_then(|mut input| {
        let is_file = input.metadata().is_ok_and(|metadata| metadata.is_file());
        loop {
            told.enter(if is_file { Doing::Sends } else { Doing::Waits });
            let count = read(&mut input, &mut chunk).map_err(unreadable)?;
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
    result.and(finished)
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
    /// For input.
    Waits,
    #[default]
    Sends,
    Done,
    Failed(String),
}

impl Doing {
    fn ended(result: Result<(), String>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Done)
    }
}

impl Sending {
    fn enter(&self, doing: Doing) {
        let mut now = self.lock();
        *now = (doing, now.1 + 1);
        self.changed.notify_one();
    }

    /// Whether the server, which has finished, has taken all that it was to get. Input that is there is still
    /// sent to it; the end of a terminal, or of a program that says nothing more, is not waited for.
    fn judge(&self, timeout: Duration) -> Result<(), Failure> {
        let mut now = self.lock();
        loop {
            let patience = match &now.0 {
                Doing::Done => return Ok(()),
                Doing::Failed(why) => return Err(Failure::System(why.clone())),
                Doing::Waits => QUIET,
                Doing::Sends => timeout,
            };
            let seen = now.1;
            let (later, wait) = self
                .changed
                .wait_timeout_while(now, patience, |now| now.1 == seen)
                .unwrap_or_else(PoisonError::into_inner);
            match later.0 {
                Doing::Waits if wait.timed_out() => return Ok(()),
                Doing::Sends if wait.timed_out() => {
                    let text =
                        format!("the server has finished, and took no input for {timeout:?}");
                    return Err(Failure::System(text));
                }
                _ => now = later,
            }
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
