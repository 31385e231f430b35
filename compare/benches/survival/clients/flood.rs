//! A client that sends all it can.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::common::failure::Failure;
use crate::common::machine::stand_back;

/// With larger pieces its own system calls take so long that a measurement on the same processor waits
/// for them, and not for the server.
const CHUNK: usize = 16 * 1024;

/// It ends when this is dropped.
pub(crate) struct Flood {
    stream: TcpStream,
    received: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    pub(crate) fn without_reading(stream: TcpStream) -> Result<Self, Failure> {
        stream.set_write_timeout(None)?;
        let threads = vec![sender(stream.try_clone()?)];
        Ok(Self { stream, received: Arc::default(), threads })
    }

    pub(crate) fn with_reading(stream: TcpStream) -> Result<Self, Failure> {
        let mut flood = Self::without_reading(stream)?;
        flood.stream.set_read_timeout(None)?;
        flood.threads.push(reader(flood.stream.try_clone()?, Arc::clone(&flood.received)));
        Ok(flood)
    }

    /// How many bytes have come back so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        // Fails if the server has gone, and then the threads have ended by themselves.
        let _ = self.stream.shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn sender(mut stream: TcpStream) -> JoinHandle<()> {
    thread::spawn(move || {
        stand_back(10);
        let chunk = vec![b'x'; CHUNK];
        while stream.write_all(&chunk).is_ok() {}
    })
}

fn reader(mut stream: TcpStream, received: Arc<AtomicU64>) -> JoinHandle<()> {
    thread::spawn(move || {
        stand_back(10);
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            received.fetch_add(count as u64, Ordering::Relaxed);
        }
    })
}
