//! A client that dials and hangs up, at a set rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::common::machine::stand_back;

/// How long it rests when it has dialled as often as it was to.
const REST: Duration = Duration::from_micros(50);

/// It ends when this is dropped.
pub(crate) struct Dialler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    dialled: AtomicU64,
    connected: AtomicU64,
}

impl Dialler {
    /// It does not wait for anybody: what it could not dial in time, it dials as soon as it can.
    pub(crate) fn start(addr: SocketAddr, per_second: u64) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = Some(thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.dial_on(&addr.into(), per_second)
        }));
        Self { shared, thread }
    }

    /// How often it has dialled so far, and how often the kernel has connected it.
    pub(crate) fn dials(&self) -> [u64; 2] {
        [&self.shared.dialled, &self.shared.connected].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Drop for Dialler {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn dial_on(&self, addr: &SockAddr, per_second: u64) {
        stand_back(5);
        let start = Instant::now();
        while !self.stopping.load(Ordering::Relaxed) {
            let due = start.elapsed().as_micros() as u64 * per_second / 1_000_000;
            let dialled = self.dialled.load(Ordering::Relaxed);
            if dialled >= due {
                thread::sleep(REST);
                continue;
            }
            self.dialled.fetch_add(1, Ordering::Relaxed);
            if dial(addr).unwrap_or(false) {
                self.connected.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Returns whether it was connected. On the loopback interface that is known at once: the whole
/// handshake is done within `connect`, unless the backlog is full.
fn dial(addr: &SockAddr) -> std::io::Result<bool> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    // Closing sends a RST then, which leaves no TIME_WAIT: they would use up the ports in two seconds.
    socket.set_linger(Some(Duration::ZERO))?;
    // It says that it is in progress in any case.
    let _ = socket.connect(addr);
    Ok(socket.peer_addr().is_ok())
}
