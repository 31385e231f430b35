//! A simulated network with a virtual clock, to test handlers without sockets and without waiting. All randomness comes
//! from one seed, so a failure can be replayed.
//!
//! The reactor is the same code as on a real network. Only the system beneath it is replaced. A [`World`] holds a
//! reactor with the handler under test. The test makes [`Peer`]s that dial the reactor, and tells them what to do. Time
//! is virtual: an hour without events costs nothing.
//!
//! # How to write a test
//! 1. Call [`check()`] with a range of seeds and a closure. It runs the closure once for each seed.
//! 2. Make a world from a configuration and the handler: [`Run::world`].
//! 3. Listen, dial, send, and let time pass: [`World::run_until_still`], [`World::run_for`].
//! 4. Look at what the peers received: [`Peer::received`], [`Peer::ending`]. Assert what must be true under all faults.
//!
//! ```
//! use std::time::Duration;
//!
//! use readyloop::sim::{Ending, check};
//! use readyloop::{Config, from_fn};
//!
//! // Each seed draws its faults: short reads, blocked writes, late and doubled events, errors of `accept` and others.
//! // None of them costs a connection.
//! check(0..100, |run| {
//!     // Answers each line with its length.
//!     let handler = from_fn(|conn, input| {
//!         let Some(line) = input.take_line()? else { return Ok(()) };
//!         conn.send(format!("{}\n", line.len()).as_bytes());
//!         Ok(())
//!     });
//!     let mut world = run.world(Config::new(), handler);
//!     let addr = world.listen("10.0.0.1:7000").unwrap();
//!     let peer = world.dial(addr);
//!     peer.send(b"one\nthree\n\nunfinished");
//!     peer.shutdown_write();
//!     let _ = world.run_for(Duration::from_secs(60));
//!     assert_eq!(peer.received(), b"3\n5\n0\n");
//!     assert_eq!(peer.ending(), Some(Ending::Fin));
//! });
//! ```
//!
//! A panic in a callback fails the test, so a handler may use `assert!` too. To test a handler that panics on purpose,
//! call [`World::allow_panics`].
//!
//! [`Faults::swarm`] also draws faults that cost connections. [`World::set_faults`] sets the faults of a test's choice,
//! and [`World::calm`] ends all faults. A [`Clock`] simulates a handler that blocks.
//!
//! # How to replay a failure
//! The message of a failed test names the seed. `READYLOOP_SEED=17 cargo test name_of_the_test` runs this seed again
//! and prints the log of the reactor at trace level, each line with the virtual time. The same seed and the same calls
//! give the same run, and the same [`World::trace_hash`]. Without [`check()`], [`print_log`] prints the log.
//! [`time_on_this_thread`] gives the virtual time to a logger of your own.
//!
//! # What the simulation promises
//! Faults are as bad as those of a kernel, and not worse:
//! - An edge that is owed is delivered, possibly late. An edge is owed when bytes, a FIN, a RST or room for output
//!   arrive after a call has returned `WouldBlock` (epoll(7), "Edge-triggered and level-triggered"). If
//!   [`Faults::partial_means_blocked`] is set, an edge is also owed after a partial read or write (epoll(7), question
//!   9). If it is not set, only the promise of mio is kept: no edge is owed before `WouldBlock` (mio, `Poll`, "Draining
//!   readiness"). A hang-up is reported in both cases.
//! - A short read or an injected `WouldBlock` behaves as if the rest arrived a moment later: an edge is owed for it.
//! - An event reports the whole state of the socket at the time of its delivery. Several changes may be reported by one
//!   event. An event may be delivered twice, or although nothing has happened, or for a socket that is already closed
//!   (epoll(7), question 6). No event reports a hang-up of a connection that has not hung up.
//! - Bytes arrive in order and complete, until a RST. A FIN arrives after all bytes. A RST may overtake them. After a
//!   RST, bytes that had arrived can still be read, or are lost ([`Faults::reset_destroys`]). Then the next call
//!   returns the error, once, and later reads return 0. If the FIN of the peer had arrived first, reads return 0, and
//!   only a write or `SO_ERROR` returns the error.
//! - A RST is sent when a socket with unread input is closed (RFC 2525, 2.17), and when bytes arrive for a closed
//!   socket. Both destroy bytes that are still on their way to the peer.
//! - If a peer dials while the backlog is full, it tries again after 1, 2, 4 … seconds, and gives up after two minutes
//!   (tcp(7), `tcp_syn_retries`).
//! - An outbound connection is established or fails after one latency, as [`World::answer`] says. An event may be
//!   delivered before, without effect. `SO_ERROR` returns a failure once.
//! - After `accept` has failed, no new edge is delivered for connections that wait in the backlog.
//! - A test can make each `accept` fail and leave the backlog unchanged ([`World::fail_every_accept`]), and can limit
//!   the number of sockets ([`World::limit_descriptors`]).
//! - Each call that waits or moves bytes may return `EINTR`.
//!
//! Packets of peers are never lost or reordered, because TCP hides that. [`Peer::vanish`] makes a peer disappear
//! silently.
//!
//! The simulation has no timeout for vanished peers (no ETIMEDOUT after a connection is established, no keep-alive), no
//! urgent data, and no wildcard addresses (`0.0.0.0:7` is an address like any other). A callback takes no virtual time
//! unless it uses a [`Clock`].

mod calls;
mod check;
mod dial;
mod faults;
mod kernel;
mod link;
mod log;
mod numbers;
mod rng;
mod wire;
mod world;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{ConnectOptions, Event, ListenerConfig, Net, Token, Wake, sealed};
use crate::step_error::StepError;
use kernel::{Kernel, LinkId};
use link::Watched;

pub use check::{Run, check};
pub use faults::Faults;
pub use link::{Answer, DialAttempt, Ending, Reading};
pub use log::{print_log, time_on_this_thread};
pub use rng::Rng;
pub use world::{Clock, Peer, World};

/// The simulated system of a reactor. A [`World`] makes it.
#[derive(Debug)]
pub struct Sim {
    kernel: Rc<RefCell<Kernel>>,
    /// The index of its reactor in the world.
    index: usize,
    start: Instant,
    waker: Arc<Bell>,
    /// Of the last poll.
    events: Vec<Event>,
    saw_all: bool,
}

/// A listener of the simulated system.
#[derive(Debug)]
pub struct SimListener {
    kernel: Rc<RefCell<Kernel>>,
    addr: SocketAddr,
}

/// The server's end of a simulated connection.
#[derive(Debug)]
pub struct SimStream {
    kernel: Rc<RefCell<Kernel>>,
    link: LinkId,
}

impl sealed::Socket for SimStream {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.kernel.borrow().local_addr(self.link))
    }

    fn set_no_delay(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn set_keep_alive(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(&self) -> io::Result<()> {
        self.0.store(true, Ordering::Release);
        Ok(())
    }
}

impl Sim {
    fn new(kernel: Rc<RefCell<Kernel>>, index: usize, start: Instant) -> Self {
        Self { kernel, index, start, waker: Arc::default(), events: Vec::new(), saw_all: true }
    }

    fn stream(&self, link: LinkId) -> SimStream {
        SimStream { kernel: Rc::clone(&self.kernel), link }
    }

    /// Whether another thread has woken the reactor.
    fn is_woken(&self) -> bool {
        self.waker.0.load(Ordering::Acquire)
    }

    /// Whether a poll would return at once.
    fn has_news(&self) -> bool {
        self.is_woken() || self.kernel.borrow().has_events(self.index)
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.kernel.borrow_mut().close_listener(self.addr);
    }
}

impl sealed::Sealed for Sim {}

impl Net for Sim {
    type Listener = SimListener;
    type Stream = SimStream;

    fn partial_means_blocked(&self) -> bool {
        self.kernel.borrow().faults.partial_means_blocked
    }

    fn now(&self) -> Instant {
        let (time, behind) = self.kernel.borrow_mut().read_clock();
        let now = self.start + time;
        now.checked_sub(behind).unwrap_or(self.start)
    }

    fn descriptor_limit(&self) -> Option<usize> {
        self.kernel.borrow().descriptors
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.waker) as Arc<dyn Wake>
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let woken = self.is_woken();
        self.events.clear();
        let mut kernel = self.kernel.borrow_mut();
        self.saw_all = kernel.poll(self.index, woken, &mut self.events, timeout)?;
        // If a signal ended the wait, the wake-up is still pending and stays set.
        self.waker.0.store(false, Ordering::Release);
        Ok(())
    }

    fn events(&self, mark: impl FnMut(Event)) -> bool {
        self.events.iter().copied().for_each(mark);
        self.saw_all
    }

    fn listen(
        &mut self,
        addr: SocketAddr,
        config: &ListenerConfig,
        token: Token,
    ) -> Result<(SimListener, SocketAddr), StepError> {
        let backlog = config.most_waiting();
        let addr = self
            .kernel
            .borrow_mut()
            .listen(addr, backlog, Watched { by: self.index, token })
            .map_err(|source| StepError { step: "bind", source })?;
        Ok((SimListener { kernel: Rc::clone(&self.kernel), addr }, addr))
    }

    fn addr_of_inherited(_: &TcpListener) -> Result<SocketAddr, String> {
        Err("a simulated network has no inherited sockets: listen on an address".to_owned())
    }

    fn adopt(
        &mut self,
        _: TcpListener,
        _: &ListenerConfig,
        _: Token,
    ) -> Result<SimListener, StepError> {
        Err(StepError { step: "adopt", source: io::ErrorKind::Unsupported.into() })
    }

    fn accept(&mut self, listener: &mut SimListener) -> io::Result<(SimStream, SocketAddr)> {
        let (link, peer) = self.kernel.borrow_mut().accept(listener.addr)?;
        Ok((self.stream(link), peer))
    }

    fn connect(
        &mut self,
        addr: SocketAddr,
        options: &ConnectOptions,
    ) -> Result<SimStream, StepError> {
        self.kernel.borrow_mut().connect(addr, options.source).map(|link| self.stream(link))
    }

    fn is_connected(&mut self, stream: &mut SimStream) -> io::Result<bool> {
        self.kernel.borrow_mut().is_connected(stream.link)
    }

    fn register(&mut self, stream: &mut SimStream, token: Token) -> io::Result<()> {
        self.kernel.borrow_mut().register(stream.link, Watched { by: self.index, token })
    }

    fn read(&mut self, stream: &mut SimStream, into: &mut [u8]) -> io::Result<usize> {
        self.kernel.borrow_mut().read(stream.link, into)
    }

    fn write(&mut self, stream: &mut SimStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.kernel.borrow_mut().write(stream.link, slices)
    }

    fn take_error(&mut self, stream: &mut SimStream) -> io::Result<Option<io::Error>> {
        Ok(self.kernel.borrow_mut().take_error(stream.link))
    }

    fn shutdown_write(&mut self, stream: &mut SimStream) -> io::Result<()> {
        self.kernel.borrow_mut().shutdown_write(stream.link)
    }

    fn close(&mut self, stream: SimStream) {
        self.kernel.borrow_mut().close(stream.link);
    }

    fn reset(&mut self, stream: SimStream) {
        self.kernel.borrow_mut().reset(stream.link);
    }
}
