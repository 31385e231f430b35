//! A client that finishes early and reads late.
//!
//! It sends 20 MB and a FIN as fast as the server takes them, and reads at most 64 KiB each 5 ms, with
//! small buffers. What comes back is compared byte for byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use super::trial::{Finding, Measure, Trial};
use crate::clients::connect_with_small_buffers;
use crate::common::failure::Failure;
use crate::common::process::Server;

pub(super) const TRIAL: Trial = Trial {
    title: "20 MB, FIN, slow reader",
    measures: &[
        Measure { title: "bytes that came back", unit: " %" },
        Measure { title: "ended by", unit: "" },
    ],
    run,
};

const TOTAL: usize = 20_000_000;
const CHUNK: usize = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(5);
const TIMEOUT: Duration = Duration::from_secs(5);

fn run(server: &Server) -> Result<Vec<Finding>, Failure> {
    let stream = connect_with_small_buffers(server.addr)?;
    stream.set_read_timeout(Some(TIMEOUT))?;

    // Not a power of two, so that a chunk in the wrong place is seen.
    let sent: Vec<u8> = (0..TOTAL).map(|number| (number % 251) as u8).collect();
    // Beside the reader: an echo server does not take what it cannot give back.
    let (count, end) = thread::scope(|scope| {
        scope.spawn(|| {
            // Where it fails, the reader sees less come back.
            let _ = (&stream).write_all(&sent);
            let _ = stream.shutdown(Shutdown::Write);
        });
        let read = read_slowly(&stream, &sent);
        // Frees the writer, if the server has stopped to read.
        let _ = stream.shutdown(Shutdown::Both);
        read
    });
    Ok(vec![Finding::Number(count as f64 * 100.0 / TOTAL as f64), Finding::words(end)])
}

/// Returns how much came back as it was sent, and what came then.
fn read_slowly(mut stream: &TcpStream, sent: &[u8]) -> (usize, &'static str) {
    let mut buffer = vec![0; CHUNK];
    let mut count = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (count, "FIN"),
            Ok(more) => {
                if sent.get(count..count + more) != Some(&buffer[..more]) {
                    return (count, "wrong byte");
                }
                count += more;
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (count, "RST"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (count, "silence"),
            Err(_) => return (count, "failed read"),
        }
        thread::sleep(PAUSE);
    }
}
