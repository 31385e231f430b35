//! A network and a clock in memory, all chance from one seed.
mod faults;
mod kernel;
mod link;
mod rng;
mod world;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Event, ListenError, ListenOptions, Net, Token, Wake, sealed};
use kernel::{Kernel, LinkId};

pub use faults::Faults;
pub use link::{Ending, Reading};
pub use rng::Rng;
pub use world::{Peer, World};

/// The simulated system, as a reactor sees it; a [`World`] makes one.
#[derive(Debug)]
pub struct Sim {
    kernel: Rc<RefCell<Kernel>>,
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
pub struct SimStream(LinkId);

#[derive(Debug, Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(&self) -> io::Result<()> {
        self.0.store(true, Ordering::Release);
        Ok(())
    }
}

impl Sim {
    fn new(kernel: Rc<RefCell<Kernel>>) -> Self {
        Self { kernel, start: Instant::now(), waker: Arc::default() }
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
        self.start + Duration::from_nanos(self.kernel.borrow().now)
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.waker) as Arc<dyn Wake>
    }

    fn poll(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        let mut kernel = self.kernel.borrow_mut();
        kernel.woken |= self.waker.0.swap(false, Ordering::AcqRel);
        kernel.poll(events, timeout)
    }

    fn listen(
        &mut self,
        addr: SocketAddr,
        options: &ListenOptions,
        token: Token,
    ) -> Result<(SimListener, SocketAddr), ListenError> {
        let backlog = usize::try_from(options.backlog).unwrap_or(usize::MAX);
        let addr = self
            .kernel
            .borrow_mut()
            .listen(addr, backlog, token)
            .map_err(|source| ListenError { step: "bind", source })?;
        Ok((SimListener { kernel: Rc::clone(&self.kernel), addr }, addr))
    }

    fn accept(&mut self, listener: &mut SimListener) -> io::Result<(SimStream, SocketAddr)> {
        let (link, peer) = self.kernel.borrow_mut().accept(listener.addr)?;
        Ok((SimStream(link), peer))
    }

    fn register(&mut self, stream: &mut SimStream, token: Token) -> io::Result<()> {
        self.kernel.borrow_mut().register(stream.0, token)
    }

    fn read(&mut self, stream: &mut SimStream, into: &mut [u8]) -> io::Result<usize> {
        self.kernel.borrow_mut().read(stream.0, into)
    }

    fn write(&mut self, stream: &mut SimStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.kernel.borrow_mut().write(stream.0, slices)
    }

    fn take_error(&mut self, stream: &mut SimStream) -> io::Result<Option<io::Error>> {
        Ok(self.kernel.borrow_mut().take_error(stream.0))
    }

    fn finish(&mut self, stream: &mut SimStream) -> io::Result<()> {
        self.kernel.borrow_mut().finish(stream.0)
    }

    fn close(&mut self, stream: SimStream) {
        self.kernel.borrow_mut().close(stream.0);
    }

    fn reset(&mut self, stream: SimStream) {
        self.kernel.borrow_mut().reset(stream.0);
    }
}
