//! Servers to test, and waiting with a deadline.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use readyloop::{Config, Handle, Handler, Reactor, Report, Stats};
use socket2::{Domain, SockRef, Socket, Type};

/// Nothing that is waited for takes longer than this on the slowest machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until something is so.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < give_up, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A reactor on a thread of its own, that stops when this is dropped.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) thread: Option<JoinHandle<Report>>,
}

impl Server {
    pub(crate) fn start(config: Config, handler: impl Handler + Send) -> Self {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut reactor = Reactor::new(config, handler).expect("a reactor can be made");
            let addr = reactor.listen("127.0.0.1:0").expect("port 0 is free");
            sender.send((addr, reactor.handle())).expect("the test waits for it");
            reactor.run().expect("polling works")
        });
        let (addr, handle) = receiver.recv().expect("the server starts");
        Self { addr, handle, thread: Some(thread) }
    }
}

impl Server {
    /// As of the last turn.
    pub(crate) fn stats(&self) -> Stats {
        self.handle.stats()
    }

    /// Stops it and returns the last figures.
    pub(crate) fn stop(mut self) -> Stats {
        self.join();
        self.stats()
    }

    fn join(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let result = thread.join();
            assert!(result.is_ok() || thread::panicking(), "the reactor's thread panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.join();
    }
}

/// An address without a listener, as long as the socket is held.
pub(crate) fn refusing(addr: &str) -> (Socket, SocketAddr) {
    let addr: SocketAddr = addr.parse().unwrap();
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
    socket.bind(&addr.into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

/// Shuts down a listener of a process, this one or a child, behind its back: its `accept` fails with EINVAL from
/// now on.
pub(crate) fn kill_listener(process: u32, addr: SocketAddr) {
    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

    let pid = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("it runs");
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    for file in files {
        let number = file.unwrap().file_name().into_string().unwrap().parse().unwrap();
        let Ok(file) = pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty()) else { continue };
        let socket = SockRef::from(&file);
        let local = socket.local_addr().ok().and_then(|local| local.as_socket());
        if local == Some(addr) && socket.is_listener().unwrap_or(false) {
            return socket.shutdown(Shutdown::Read).expect("a listener can be shut down");
        }
    }
    panic!("no listener on {addr}");
}

pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the server accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out can be set");
    stream.set_write_timeout(Some(DEADLINE)).expect("a time-out can be set");
    stream.set_nodelay(true).expect("no-delay can be set");
    stream
}

/// Sends and expects the same bytes back.
pub(crate) fn echo(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("the server reads");
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).expect("the server answers");
    assert!(back == bytes, "the echo differs");
}

/// Reads to the peer's FIN.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("an orderly end");
    all
}

/// Closes with a RST.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a linger time can be set");
    drop(stream);
}

/// Bytes without a short period, so that none can be lost, doubled or swapped unseen.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    };
    let mut bytes: Vec<u8> =
        std::iter::repeat_with(&mut next).take(len.div_ceil(8)).flatten().collect();
    bytes.truncate(len);
    bytes
}

/// Sends everything and a FIN, while the same bytes are read back, with `pace` after each read.
/// Returns what came back before the server's FIN.
pub(crate) fn half_close_echo(
    mut stream: TcpStream,
    bytes: &[u8],
    mut pace: impl FnMut(),
) -> Vec<u8> {
    let mut writer = stream.try_clone().expect("a socket can be shared");
    thread::scope(|scope| {
        scope.spawn(move || {
            writer.write_all(bytes).expect("the server reads");
            writer.shutdown(Shutdown::Write).expect("a FIN can be sent");
        });
        let mut back = Vec::with_capacity(bytes.len());
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let count = stream.read(&mut chunk).expect("the server answers");
            if count == 0 {
                return back;
            }
            back.extend_from_slice(&chunk[..count]);
            pace();
        }
    })
}
