//! Standard input, output and error, in blocking and in non-blocking mode.
//!
//! The mode belongs to the open file and not to the process. Another process that shares a pipe or a terminal may
//! have set it to `O_NONBLOCK`. Then the standard library's `write_all` fails in the middle with `WouldBlock`. The
//! functions here wait instead.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A pipe that polls as writable takes this many bytes without blocking, also in blocking mode (`PIPE_BUF`,
/// pipe(7)).
const ATOMIC: usize = 4096;

/// Why a write failed, and after how many bytes.
#[derive(Debug)]
pub(crate) struct Unwritten {
    pub(crate) written: usize,
    pub(crate) error: io::Error,
}

/// Reads the available bytes. Waits if there are none. 0 is the end of the input.
pub(crate) fn read(input: &File, chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(input, &mut *chunk) {
            Ok(count) => return Ok(count),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(&mut [PollFd::new(input, PollFlags::IN)], None)?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes all bytes, however long the reader takes.
///
/// # Errors
/// The error of the system, and how many bytes were written before it.
pub(crate) fn write_all(output: impl AsFd, bytes: &[u8]) -> Result<(), Unwritten> {
    write_in_pieces(bytes, bytes.len(), |piece| {
        let written = rustix::io::write(&output, piece);
        if written == Err(Errno::AGAIN) {
            wait(&mut [PollFd::new(&output, PollFlags::OUT)], None)?;
        }
        Ok(written?)
    })
}

/// Writes all bytes, unless `stop` becomes readable while the reader does not read.
///
/// # Errors
/// As [`write_all`], and the kind `Interrupted` if `stop` is readable.
pub(crate) fn write_all_unless(
    stop: &impl AsFd,
    output: impl AsFd,
    bytes: &[u8],
) -> Result<(), Unwritten> {
    write_in_pieces(bytes, ATOMIC, |piece| {
        let mut fds = [PollFd::new(&output, PollFlags::OUT), PollFd::new(stop, PollFlags::IN)];
        wait(&mut fds, None)?;
        if fds[0].revents().is_empty() {
            return Err(io::Error::new(ErrorKind::Interrupted, "interrupted"));
        }
        Ok(rustix::io::write(&output, piece)?)
    })
}

/// Writes a line to standard output.
///
/// # Errors
/// As [`write_all`], and the kind `TimedOut` if standard output does not take the line within this time.
pub(crate) fn print_within(time: Duration, line: &str) -> io::Result<()> {
    let output = io::stdout();
    let mut fds = [PollFd::new(&output, PollFlags::OUT)];
    wait(&mut fds, Some(time))?;
    if fds[0].revents().is_empty() {
        return Err(io::Error::new(ErrorKind::TimedOut, format!("not read for {time:?}")));
    }
    write_all(&output, line.as_bytes()).map_err(|unwritten| unwritten.error)
}

/// Writes a line to standard error. Returns whether it was written.
pub(crate) fn say(line: &str) -> bool {
    write_all(io::stderr(), format!("{line}\n").as_bytes()).is_ok()
}

/// Writes piece by piece. `write` may take a part of a piece. After `WouldBlock` and `EINTR` it is called again.
fn write_in_pieces(
    bytes: &[u8],
    most: usize,
    mut write: impl FnMut(&[u8]) -> io::Result<usize>,
) -> Result<(), Unwritten> {
    let mut written = 0;
    while written < bytes.len() {
        let piece = &bytes[written..bytes.len().min(written + most)];
        match write(piece) {
            Ok(0) => return Err(Unwritten { written, error: ErrorKind::WriteZero.into() }),
            Ok(count) => written += count,
            Err(error) if is_retried(&error) => {}
            Err(error) => return Err(Unwritten { written, error }),
        }
    }
    Ok(())
}

fn is_retried(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::AGAIN | Errno::INTR))
}

/// Waits until one of the descriptors is ready or has failed. The next call on it returns the error.
fn wait(fds: &mut [PollFd<'_>], time: Option<Duration>) -> io::Result<()> {
    let time = time.and_then(|time| Timespec::try_from(time).ok());
    match poll(fds, time.as_ref()) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::thread;

    fn pipe() -> (File, File) {
        let (reader, writer) = io::pipe().unwrap();
        (File::from(OwnedFd::from(reader)), File::from(OwnedFd::from(writer)))
    }

    #[test]
    fn a_stream_that_does_not_block_is_waited_for() {
        let (mut reader, writer) = pipe();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
        let expected = bytes.clone();
        let writes = thread::spawn(move || write_all(writer, &bytes).unwrap());
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        writes.join().unwrap();
        assert!(all == expected, "{} bytes", all.len());
    }

    #[test]
    fn an_input_that_does_not_block_is_waited_for_to_its_end() {
        let (reader, writer) = pipe();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let reads = thread::spawn(move || {
            let mut chunk = [0; 10];
            let first = read(&reader, &mut chunk).unwrap();
            (first, read(&reader, &mut chunk).unwrap())
        });
        write_all(&writer, b"hello").unwrap();
        drop(writer);
        assert_eq!(reads.join().unwrap(), (5, 0));
    }

    #[test]
    fn what_was_written_before_a_failure_is_told() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let Unwritten { written, error } = write_all(full, b"hello").unwrap_err();
        assert_eq!((written, error.kind()), (0, ErrorKind::StorageFull));
        let (reader, writer) = pipe();
        drop(reader);
        let Unwritten { written, error } = write_all(writer, b"hello").unwrap_err();
        assert_eq!((written, error.kind()), (0, ErrorKind::BrokenPipe));
    }
}
