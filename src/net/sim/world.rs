//! What a test drives.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Sim;
use super::faults::Faults;
use super::kernel::{Kernel, LinkId, nanos};
use super::link::{Answer, Call, Ending, Reading, Watched};
use super::log::last_panic;
use super::numbers::WorldNumbers;
use crate::addr::Addr;
use crate::config::Config;
use crate::error::Error;
use crate::handle::Handle;
use crate::handler::Handler;
use crate::net::ListenOptions;
use crate::reactor::Reactor;
use crate::reactor::arrivals::Arrivals;
use crate::reactor::group::Group;
use crate::report::Report;
use crate::stats::Stats;

/// A reactor in a simulated network, with as many peers as a test likes.
///
/// Nothing happens by itself: time passes, bytes move and the reactor makes turns while
/// [`run_for`](Self::run_for) or [`run_until_still`](Self::run_until_still) run. All chance comes from
/// the seed, so a world with the same seed and the same calls goes the same way, step by step.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, sim::{Ending, World}, services::Echo};
///
/// let mut world = World::new(42, Config::new(), Echo)?;
/// let addr = world.listen("10.0.0.1:7")?;
/// let peer = world.dial(addr);
/// peer.send(b"hello");
/// peer.shutdown_write();
/// let _ = world.run_until_still();
/// assert_eq!(peer.received(), b"hello");
/// assert_eq!(peer.ending(), Some(Ending::Fin));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct World<H: Handler> {
    reactors: Vec<Reactor<H, Sim>>,
    /// Of each reactor, once it has drained or was stopped.
    reports: Vec<Option<Report>>,
    lost: Option<Addr>,
    /// Until when each sleeps unless it is woken, if there are several; then it knows of nothing that has
    /// changed since it fell asleep.
    asleep_until: Vec<Duration>,
    /// Until when each is busy with a callback that blocks: see [`Clock::stall`].
    busy_until: Vec<Duration>,
    kernel: Rc<RefCell<Kernel>>,
    dialled: u32,
    may_panic: bool,
    _numbers: WorldNumbers,
}

impl<H: Handler> World<H> {
    /// A world in which nothing goes wrong, until [`set_faults`](Self::set_faults) says what does.
    ///
    /// # Errors
    /// [`Error::Config`] if settings contradict each other.
    pub fn new(seed: u64, config: Config, handler: H) -> Result<Self, Error> {
        let mut handler = Some(handler);
        Self::of_many(seed, config, 1, |_| handler.take().expect("there is one reactor"))
    }

    /// A world with so many reactors that serve together, as those of a [`Server`](crate::Server) do; `make`
    /// gives each its handler. Here they are no threads but take turns, in an order that the seed says.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// If there is to be no reactor.
    pub fn of_many(
        seed: u64,
        config: Config,
        reactors: usize,
        mut make: impl FnMut(usize) -> H,
    ) -> Result<Self, Error> {
        config.validate()?;
        let kernel = Rc::new(RefCell::new(Kernel::new(seed)));
        let start = Instant::now();
        let sim = |index| Sim::new(Rc::clone(&kernel), index, start);
        let nets: Vec<_> = (0..reactors).map(sim).collect();
        let numbers = WorldNumbers::take(reactors);
        let group = Group::new(&config, &nets, numbers.first);
        #[expect(
            clippy::arc_with_non_send_sync,
            reason = "as the reactor has it; a world is one thread"
        )]
        let arrivals = Arc::new(Arrivals::new(nets.len()));
        let member = |(index, net)| {
            let (group, arrivals) = (Arc::clone(&group), Arc::clone(&arrivals));
            Reactor::member(group, arrivals, index, net, config.clone(), make(index))
        };
        let members = nets.into_iter().enumerate().map(member).collect();
        Ok(Self {
            reactors: members,
            reports: vec![None; reactors],
            asleep_until: vec![Duration::ZERO; reactors],
            busy_until: vec![Duration::ZERO; reactors],
            kernel,
            lost: None,
            dialled: 0,
            may_panic: false,
            _numbers: numbers,
        })
    }

    /// From now on a panic in a callback is no failure of the test: as on a real network, it ends its own connection,
    /// and the world goes on.
    ///
    /// Without this the world panics with the message of a callback that did, as soon as the turn is over: what a
    /// handler asserts is asserted.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), readyloop::Error> {
    /// use readyloop::{Config, from_fn, sim::{Ending, World}};
    ///
    /// let mut world = World::new(1, Config::new(), from_fn(|_, _| panic!("a bug")))?;
    /// world.allow_panics();
    /// let addr = world.listen("10.0.0.1:7")?;
    /// let peer = world.dial(addr);
    /// peer.send(b"hello");
    /// let _ = world.run_until_still();
    /// assert_eq!(peer.ending(), Some(Ending::Reset));
    /// # Ok(())
    /// # }
    /// ```
    pub fn allow_panics(&mut self) {
        self.may_panic = true;
    }

    fn fail_if_a_callback_panicked(&self) {
        let has_panicked = self.reactors.iter().any(|reactor| reactor.panics() > 0);
        if has_panicked && !self.may_panic && !std::thread::panicking() {
            panic!("a callback panicked: {}", last_panic());
        }
    }

    /// The network beneath the reactors.
    pub(super) fn kernel(&self) -> Rc<RefCell<Kernel>> {
        Rc::clone(&self.kernel)
    }

    /// From now on these faults happen.
    pub fn set_faults(&mut self, faults: Faults) {
        self.kernel.borrow_mut().set_faults(faults);
    }

    /// From now on nothing goes wrong any more: see [`Faults::calmed`].
    pub fn calm(&mut self) {
        let mut kernel = self.kernel.borrow_mut();
        let calmed = kernel.faults.calmed();
        kernel.set_faults(calmed);
    }

    /// Has the reactor listen on an address, as [`Reactor::listen`] does. Any address will do.
    ///
    /// # Errors
    /// As [`Reactor::listen`].
    pub fn listen(&mut self, addr: &str) -> Result<SocketAddr, Error> {
        self.reactors[0].listen(addr)
    }

    /// Has the reactor listen on an address, as [`Reactor::listen_with`] does. Of the options of the socket, only
    /// the backlog has an effect here.
    ///
    /// # Errors
    /// As [`Reactor::listen_with`].
    pub fn listen_with(
        &mut self,
        addr: &str,
        options: &ListenOptions,
    ) -> Result<SocketAddr, Error> {
        self.reactors[0].listen_with(addr, options)
    }

    /// Shuts a listener down behind the reactor's back, so that `accept` fails with EINVAL.
    pub fn break_listener(&mut self, addr: SocketAddr) {
        self.kernel.borrow_mut().break_listener(addr);
    }

    /// Has the next calls of `accept` fail with these error numbers, one each.
    pub fn fail_accepts(&mut self, errors: &[i32]) {
        self.kernel.borrow_mut().accept_errors.extend(errors);
    }

    /// Has every call of `accept` on a listener fail with this error number, until that is taken back with `None`.
    /// The backlog stays as it is, so that nothing is gained by trying again.
    pub fn fail_every_accept(&mut self, listener: SocketAddr, error: Option<i32>) {
        self.kernel.borrow_mut().fail_every_accept(listener, error);
    }

    /// Limits the sockets that the server may hold, its listeners included: beyond it `accept` and `socket` fail
    /// with EMFILE. The reactors learn of it when they are [reconfigured](Reactor::reconfigure).
    pub fn limit_descriptors(&mut self, most: Option<usize>) {
        self.kernel.borrow_mut().descriptors = most;
    }

    /// Has the next connections outward fail at once, each in one of these system calls (`socket`, `setsockopt`,
    /// `bind` or `connect`) with this error number.
    pub fn fail_connects(&mut self, errors: &[(&'static str, i32)]) {
        self.kernel.borrow_mut().connect_errors.extend(errors);
    }

    /// Dials as a new peer, each from an address of its own.
    pub fn dial(&mut self, to: SocketAddr) -> Peer {
        self.dialled += 1;
        let ip = Ipv4Addr::from_bits(Ipv4Addr::new(192, 168, 0, 0).to_bits() + self.dialled);
        self.dial_from(SocketAddr::new(ip.into(), 50_000), to)
    }

    /// Dials as a peer with this address.
    pub fn dial_from(&mut self, from: SocketAddr, to: SocketAddr) -> Peer {
        let link = self.kernel.borrow_mut().dial(from, to);
        Peer { kernel: Rc::clone(&self.kernel), link }
    }

    /// Says what becomes of connections that the server opens to an address, from now on. Of those addresses
    /// of which nothing is said, [`Answer::Refuses`]; those on which the reactor itself listens included.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), readyloop::Error> {
    /// use readyloop::{Config, ConnectOptions, services::Echo, sim::{Answer, World}};
    ///
    /// let mut world = World::new(42, Config::new(), Echo)?;
    /// let addr = ([10, 0, 0, 2], 7).into();
    /// world.answer(addr, Answer::Takes);
    /// world.reactor().connect(addr, &ConnectOptions::new())?;
    /// let _ = world.run_until_still();
    /// let peer = &world.called()[0];
    /// peer.send(b"hello");
    /// let _ = world.run_until_still();
    /// assert_eq!(peer.received(), b"hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn answer(&mut self, addr: SocketAddr, answer: Answer) {
        self.kernel.borrow_mut().answers.insert(addr, answer);
    }

    /// All peers that the server has called and that have taken it, in the order in which they did.
    #[must_use]
    pub fn called(&self) -> Vec<Peer> {
        let peer = |link: &LinkId| Peer { kernel: Rc::clone(&self.kernel), link: *link };
        self.kernel.borrow().called.iter().map(peer).collect()
    }

    /// All addresses that the server has begun to connect to or has tried to, in order.
    #[must_use]
    pub fn calls_out(&self) -> Vec<Call> {
        self.kernel.borrow().calls_out.clone()
    }

    /// What the reactors have counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        self.reactors.iter().for_each(|reactor| sum.add(reactor.stats()));
        sum
    }

    /// The reactor, to look at and to speak to. Its own `run` and `turn` are not for here: they know
    /// nothing of the peers, and [`run_for`](Self::run_for) and the like make its turns.
    pub fn reactor(&mut self) -> &mut Reactor<H, Sim> {
        &mut self.reactors()[0]
    }

    /// All reactors, as [`reactor`](Self::reactor).
    pub fn reactors(&mut self) -> &mut [Reactor<H, Sim>] {
        // Whoever owns a reactor can change it while it sleeps; the next turn begins with what is so then.
        self.asleep_until.fill(Duration::ZERO);
        &mut self.reactors
    }

    /// A handle to the reactors, which does not disturb their sleep.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.reactors[0].handle()
    }

    /// How it ended, once all reactors have drained or were stopped.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let mut sum = Report::default();
        for report in &self.reports {
            sum.add((*report)?);
        }
        Some(sum)
    }

    /// The listener whose death has ended the server, as [`Error::ListenersLost`] says: see
    /// [`Config::drain_without_listeners`].
    #[must_use]
    pub fn lost_listener(&self) -> Option<Addr> {
        self.lost
    }

    /// What lets time pass while a callback runs.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock { kernel: Rc::clone(&self.kernel) }
    }

    /// Lets a time pass. Returns [`ControlFlow::Break`] if the reactor has drained or was stopped; the peers go on
    /// all the same.
    ///
    /// # Panics
    /// If a callback panics: see [`allow_panics`](Self::allow_panics).
    pub fn run_for(&mut self, time: Duration) -> ControlFlow<()> {
        let end = self.now().saturating_add(time);
        let mut flow = ControlFlow::Continue(());
        while self.now() < end && flow.is_continue() {
            flow = self.turn(end.saturating_sub(self.now()));
        }
        self.kernel.borrow_mut().pass(nanos(end));
        flow
    }

    /// Lets time pass until nothing moves any more: no byte is on its way, no peer reads, no reactor is blocked, no
    /// acceptor pauses for want of descriptors or memory, and each reactor waits. What waits for a deadline or a timer
    /// does not count as moving, and a connection outward that waits for descriptors does not either.
    ///
    /// Returns [`ControlFlow::Break`] if the reactor has drained or was stopped.
    ///
    /// # Panics
    /// After ten million turns: a server that produces without end never stands still. Else as
    /// [`run_for`](Self::run_for).
    pub fn run_until_still(&mut self) -> ControlFlow<()> {
        let mut flow = ControlFlow::Continue(());
        for _ in 0..10_000_000 {
            match self.next_move() {
                Some(after) => flow = self.turn(after),
                None => return flow,
            }
        }
        panic!("the world does not come to rest");
    }

    /// After which time something moves by itself; `None` if nothing does, deadlines aside.
    #[must_use]
    pub fn next_move(&self) -> Option<Duration> {
        if self.running().any(|index| self.is_awake(index)) {
            return Some(Duration::ZERO);
        }
        let is_told = |watched: &Watched| !self.is_busy(watched.by);
        let next = self.kernel.borrow().next_time_of(is_told).map(Duration::from_nanos);
        let waits = self.running().filter_map(|index| {
            if self.is_busy(index) {
                return Some(self.busy_until[index]);
            }
            // By its own clock, which may be behind.
            let soonest = self.now() + Duration::from_millis(1);
            self.reactors[index].accepts_again_at().map(|at| at.max(soonest))
        });
        let next = next.into_iter().chain(waits).min();
        next.map(|at| at.saturating_sub(self.now()))
    }

    fn is_busy(&self, index: usize) -> bool {
        self.busy_until[index] > self.now()
    }

    fn running(&self) -> impl Iterator<Item = usize> {
        (0..self.reactors.len()).filter(|index| self.reports[*index].is_none())
    }

    fn is_awake(&self, index: usize) -> bool {
        let reactor = &self.reactors[index];
        if self.is_busy(index) {
            return false;
        }
        if self.reactors.len() == 1 {
            return !reactor.is_waiting() || reactor.net().is_woken();
        }
        self.asleep_until[index] <= self.now() || reactor.net().has_news()
    }

    /// Has each reactor make one turn, in which it waits at most so long: for tests that look at each.
    /// Returns [`ControlFlow::Break`] if all have drained or were stopped.
    ///
    /// # Panics
    /// As [`run_for`](Self::run_for).
    pub fn turn(&mut self, timeout: Duration) -> ControlFlow<()> {
        match self.running().count() {
            0 => self.pass(timeout),
            1 if self.reactors.len() == 1 => self.turn_of(0, timeout),
            // One that waits by itself would let time pass for all.
            _ => {
                let until = |index: usize| self.asleep_until[index].max(self.busy_until[index]);
                let sleeps = self.running().map(until);
                let waits = sleeps.map(|until| until.saturating_sub(self.now()));
                let wait = waits.chain(self.next_move()).chain([timeout]).min();
                self.pass(wait.unwrap_or_default());
                let first = self.kernel.borrow_mut().rng.size_below(self.reactors.len());
                for index in 0..self.reactors.len() {
                    let index = (first + index) % self.reactors.len();
                    if self.is_awake(index) {
                        self.turn_of(index, Duration::ZERO);
                    }
                }
            }
        }
        if self.report().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn turn_of(&mut self, index: usize, timeout: Duration) {
        if self.reports[index].is_none() {
            let flow = self.reactors[index].turn(Some(timeout));
            self.reports[index] = match flow {
                Ok(flow) => flow.break_value(),
                Err(Error::ListenersLost { addr, report, .. }) => {
                    self.lost = Some(addr);
                    Some(report)
                }
                Err(error) => panic!("the simulated poll only fails with EINTR: {error}"),
            };
            self.fail_if_a_callback_panicked();
            let sleeps = self.reactors[index].waits_for().unwrap_or(Duration::MAX);
            self.asleep_until[index] = self.now().saturating_add(sleeps);
            let stall = Duration::from_nanos(std::mem::take(&mut self.kernel.borrow_mut().stall));
            if !stall.is_zero() && self.reactors.len() == 1 {
                self.pass(stall);
            } else if !stall.is_zero() {
                self.busy_until[index] = self.now().saturating_add(stall);
                self.reactors[index].is_busy_since_its_turn();
            }
        }
    }

    fn pass(&self, time: Duration) {
        self.clock().pass(time);
    }

    /// The time since the world began.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.kernel.borrow().now)
    }

    /// A number that stands for all that has happened: two runs that went the same way have the same.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.kernel.borrow().trace
    }

    /// How many sockets of connections the server holds. None may be left when all have closed.
    #[must_use]
    pub fn open_sockets(&self) -> usize {
        self.kernel.borrow().open_sockets()
    }

    /// How often the server has called to read and to write, in vain or not.
    #[must_use]
    pub fn calls(&self) -> (u64, u64) {
        self.kernel.borrow().calls
    }

    /// How many bytes the server's system calls have read and written.
    #[must_use]
    pub fn traffic(&self) -> (u64, u64) {
        self.kernel.borrow().traffic
    }
}

impl<H: Handler> Drop for World<H> {
    /// Ends the reactors, which calls `on_close` for each connection.
    ///
    /// # Panics
    /// If a callback has panicked: see [`allow_panics`](Self::allow_panics).
    fn drop(&mut self) {
        self.reactors.iter_mut().for_each(Reactor::end);
        self.fail_if_a_callback_panicked();
    }
}

/// Lets time pass while a callback runs, which takes none by itself. A handler that has one can be as slow
/// as a test likes.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use std::{cell::RefCell, rc::Rc, time::Duration};
/// use readyloop::{Config, from_fn, sim::{Clock, World}};
///
/// let clock: Rc<RefCell<Option<Clock>>> = Rc::default();
/// let hands = Rc::clone(&clock);
/// let slow = from_fn(move |conn, input| {
///     hands.borrow().as_ref().unwrap().pass(Duration::from_secs(1));
///     conn.send(input.take());
/// });
/// let mut world = World::new(1, Config::new(), slow)?;
/// *clock.borrow_mut() = Some(world.clock());
/// let addr = world.listen("10.0.0.1:7")?;
/// world.dial(addr).send(b"hello");
/// let _ = world.run_until_still();
/// assert_eq!(world.stats().slow_turns, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Clock {
    kernel: Rc<RefCell<Kernel>>,
}

impl Clock {
    /// Lets so much time pass; peers go on meanwhile.
    pub fn pass(&self, time: Duration) {
        let mut kernel = self.kernel.borrow_mut();
        let until = kernel.now.saturating_add(nanos(time));
        kernel.pass(until);
    }

    /// Blocks the reactor whose callback calls this for so much time behind its turn: it makes no other turn until
    /// then. In a world with several reactors the others go on meanwhile, which they do not with
    /// [`pass`](Self::pass).
    pub fn stall(&self, time: Duration) {
        self.kernel.borrow_mut().stall(nanos(time));
    }

    /// Steps the monotonic clock back by so much, for good, as no clock should and some do: from now on each
    /// reading that a reactor takes is so much lower. [`World::now`] and the peers go on as before.
    pub fn step_back(&self, time: Duration) {
        let mut kernel = self.kernel.borrow_mut();
        kernel.stepped_back = kernel.stepped_back.saturating_add(nanos(time));
    }
}

/// The other end of a connection: a program that sends and reads as the test says.
#[derive(Clone, Debug)]
pub struct Peer {
    kernel: Rc<RefCell<Kernel>>,
    link: LinkId,
}

impl Peer {
    /// Sends bytes, as fast as the network and the server take them. Returns whether it can: not
    /// after it has finished, closed or vanished, nor once the connection was reset or refused. (The server's
    /// FIN does not keep it from sending.)
    pub fn send(&self, bytes: &[u8]) -> bool {
        self.kernel.borrow_mut().peer_sends(self.link, bytes)
    }

    /// Sends a FIN after all bytes, and goes on reading.
    pub fn shutdown_write(&self) {
        self.kernel.borrow_mut().peer_finishes(self.link);
    }

    /// Closes its socket: a FIN, or a RST if there is something it has not read; whatever reaches it
    /// from then on is answered with a RST.
    pub fn close(&self) {
        self.kernel.borrow_mut().peer_closes(self.link);
    }

    /// Resets the connection. What the server's socket has not got yet is lost.
    pub fn reset(&self) {
        self.kernel.borrow_mut().peer_resets(self.link);
    }

    /// Is gone without a word: nothing comes from it and nothing reaches it any more.
    pub fn vanish(&self) {
        self.kernel.borrow_mut().links[self.link].vanished = true;
    }

    /// Reads like this from now on.
    pub fn read(&self, reading: Reading) {
        self.kernel.borrow_mut().set_reading(self.link, reading);
    }

    /// All that it has read, but for what was taken.
    #[must_use]
    pub fn received(&self) -> Vec<u8> {
        self.kernel.borrow().links[self.link].received.clone()
    }

    /// Takes out what it has read since the last time.
    #[must_use]
    pub fn take_received(&self) -> Vec<u8> {
        std::mem::take(&mut self.kernel.borrow_mut().links[self.link].received)
    }

    /// How the connection has ended for it, once it has.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.kernel.borrow().links[self.link].ending
    }

    /// How many of its bytes the server has not read yet.
    #[must_use]
    pub fn unread_by_server(&self) -> usize {
        let kernel = self.kernel.borrow();
        let link = &kernel.links[self.link];
        link.outgoing.len() + link.queue.len()
    }

    /// Its address, as the server sees it.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.kernel.borrow().links[self.link].peer_addr
    }
}
