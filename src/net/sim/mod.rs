//! A network and a clock in memory, where all chance comes from one seed: to test handlers without
//! sockets, without waiting, and to replay what went wrong.
//!
//! The reactor is the same, line for line; only the system beneath it is another. A [`World`] holds a
//! reactor with a handler of yours, [`Peer`]s dial it, and a test says what they do. Time is virtual:
//! an hour costs what happens in it.
//!
//! # How to write such a test
//! 1. Call [`check()`] with a range of seeds and a test. It runs the test once for each seed.
//! 2. Make a world from a configuration and the handler: [`Run::world`].
//! 3. Listen, dial, send, and let time pass: [`World::run_until_still`], [`World::run_for`].
//! 4. Look at what the peers got: [`Peer::received`], [`Peer::ending`]. Assert what must hold whatever goes wrong.
//!
//! ```
//! use std::time::Duration;
//!
//! use readyloop::sim::{Ending, check};
//! use readyloop::{Config, from_fn};
//!
//! // Short reads, blocked writes, late and doubled events, errors of `accept`: whatever a seed brings, but nothing
//! // that costs a connection.
//! check(0..100, |run| {
//!     // Answers each line with its length.
//!     let handler = from_fn(|conn, input| {
//!         if let Some(line) = input.take_until(b"\n") {
//!             conn.send(format!("{}\n", line.len()).as_bytes());
//!         }
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
//! A panic in a callback fails the test, so a handler may assert too. [`World::allow_panics`] is for tests of
//! handlers that are to panic.
//!
//! [`Faults::swarm`] has faults that cost connections as well; [`World::set_faults`] sets what a test wants, and
//! [`World::calm`] ends all trouble. [`Clock`] is for handlers that block.
//!
//! # How to replay
//! A test that fails names the seed, and `READYLOOP_SEED=17 cargo test name_of_the_test` runs that one again. The log
//! of the reactor is printed at trace level, each line with the virtual time: the same seed and the same calls give
//! the same run. [`World::trace_hash`] proves it. Without [`check()`], [`print_log`] prints the log, and
//! [`time_on_this_thread`] tells a logger of your own the virtual time.
//!
//! # What is promised
//! Faults are as bad as a kernel's, and no worse:
//! - An edge that is owed comes, if late: when bytes, a FIN, a RST or room arrive after a call has said
//!   `WouldBlock` (epoll(7), "Edge-triggered and level-triggered"), and also after a partial read or
//!   write if [`Faults::partial_means_blocked`] (epoll(7), question 9). Without that the promise is only
//!   mio's: none comes before `WouldBlock` (mio, `Poll`, "Draining readiness"); a hang-up is told in any
//!   case.
//! - A short read or a refused call at will is as if the rest came a moment later, so an edge is owed
//!   for it.
//! - An event tells all that is so when it is told. Several changes may be told as one, one may be told
//!   twice, one may come though nothing has happened, and one may name a socket that is closed
//!   (epoll(7), question 6). None says that a connection has hung up which has not.
//! - Bytes arrive in their order, whole, until a RST. A FIN comes behind all bytes, a RST does not wait
//!   for them. After a RST what had arrived can still be read, or is lost
//!   ([`Faults::reset_destroys`]); then the error is told once, to whoever asks first, and reads return 0.
//!   If the peer's FIN came before, reads return 0 and only a write or `SO_ERROR` tells of the RST.
//! - Closing a socket with unread input sends a RST (RFC 2525, 2.17), and so do bytes that arrive for a
//!   socket which is closed; either destroys what is still on its way to the peer.
//! - A dial that finds the backlog full is tried again after 1, 2, 4 … seconds, and given up after two
//!   minutes (tcp(7), `tcp_syn_retries`).
//! - A connection that the server opens is there, or fails, a way after `connect`: as [`World::answer`] says.
//!   An event may come before, in vain; SO_ERROR tells of a failure once.
//! - After `accept` has failed no new edge comes for those who wait in the queue.
//! - `accept` can be made to fail each time and leave the queue as it is ([`World::fail_every_accept`]), and the
//!   sockets can be limited ([`World::limit_descriptors`]).
//! - `EINTR` may come from any call that waits or moves bytes.
//!
//! Peers' packets are never lost or reordered: TCP sees to that. A peer that is gone without a word is
//! made by [`Peer::vanish`].
//!
//! What it does not do: give up on a peer that has vanished (no ETIMEDOUT, no keep-alive), urgent data,
//! and wildcard addresses (`0.0.0.0:7` is an address like any other). A callback takes no time unless it
//! is given a [`Clock`].

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
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{ConnectOptions, Event, ListenOptions, Net, StepError, Token, Wake, sealed};
use kernel::{Kernel, LinkId};
use link::Watched;

pub use check::{Run, check};
pub use faults::Faults;
pub use link::{Answer, Call, Ending, Reading};
pub(crate) use log::note_panic;
pub use log::{print_log, time_on_this_thread};
pub use rng::Rng;
pub use world::{Clock, Peer, World};

/// The simulated system, as a reactor sees it; a [`World`] makes one.
#[derive(Debug)]
pub struct Sim {
    kernel: Rc<RefCell<Kernel>>,
    /// Which of the reactors in its world has it.
    index: usize,
    start: Instant,
    waker: Arc<Bell>,
}

/// A listener of the simulated system.
#[derive(Debug)]
pub struct SimListener {
    kernel: Rc<RefCell<Kernel>>,
    addr: SocketAddr,
}

/// A connection of the simulated system, the server's end.
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
        Self { kernel, index, start, waker: Arc::default() }
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

    fn poll(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<bool> {
        let woken = self.is_woken();
        let saw_all = self.kernel.borrow_mut().poll(self.index, woken, events, timeout)?;
        self.waker.0.store(false, Ordering::Release); // if a signal came first, it is still to be told
        Ok(saw_all)
    }

    fn listen(
        &mut self,
        addr: SocketAddr,
        options: &ListenOptions,
        token: Token,
    ) -> Result<(SimListener, SocketAddr), StepError> {
        let backlog = options.most_waiting();
        let addr = self
            .kernel
            .borrow_mut()
            .listen(addr, backlog, Watched { by: self.index, token })
            .map_err(|source| StepError { step: "bind", source })?;
        Ok((SimListener { kernel: Rc::clone(&self.kernel), addr }, addr))
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
