//! The world of a test: reactors, peers and time.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Sim;
use super::faults::Faults;
use super::kernel::{Kernel, LinkId, nanos};
use super::link::{Answer, DialAttempt, Ending, Reading, Watched};
use super::numbers::WorldNumbers;
use crate::addr::Addr;
use crate::config::Config;
use crate::conn_info::ConnInfo;
use crate::error::Error;
use crate::handle::Handle;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::ListenOptions;
use crate::panic_message::last_panic;
use crate::reactor::Reactor;
use crate::reactor::arrivals::Arrivals;
use crate::reactor::group::Group;
use crate::refusal::ReplaceError;
use crate::report::Report;
use crate::stats::Stats;
use crate::suspension::Suspension;

/// A reactor in a simulated network, with any number of peers.
///
/// Nothing happens by itself. Time passes, bytes move and the reactor makes turns only inside of
/// [`run_for`](Self::run_for), [`run_until_still`](Self::run_until_still) and [`turn`](Self::turn). All randomness
/// comes from the seed: the same seed and the same calls give the same run, step by step.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Echo, sim::{Ending, World}};
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
    /// The report of each reactor, once it has drained or was stopped.
    reports: Vec<Option<Report>>,
    lost: Option<Addr>,
    /// Until when each reactor sleeps if it is not woken, in a world with several. A sleeping reactor does not notice
    /// changes.
    asleep_until: Vec<Duration>,
    /// Until when each reactor is busy with a callback that blocks: see [`Clock::stall`].
    busy_until: Vec<Duration>,
    kernel: Rc<RefCell<Kernel>>,
    dialled: u32,
    may_panic: bool,
    _numbers: WorldNumbers,
}

impl<H: Handler> World<H> {
    /// A world without faults. [`set_faults`](Self::set_faults) adds some.
    ///
    /// # Errors
    /// [`Error::Config`] if settings contradict each other.
    pub fn new(seed: u64, config: Config, handler: H) -> Result<Self, Error> {
        let mut handler = Some(handler);
        Self::of_many(seed, config, 1, |_| handler.take().expect("there is one reactor"))
    }

    /// A world with several reactors that serve together, like those of a [`Server`](crate::Server). `make` is called
    /// once for each reactor with its index, and returns the handler. The reactors are not threads: they take turns, in
    /// an order that depends on the seed.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// If `reactors` is 0.
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

    /// From now on a panic in a callback does not fail the test. As on a real network, it ends its own connection, and
    /// the world continues.
    ///
    /// By default the world panics after the turn in which a callback panicked, with the same message. So an `assert!`
    /// in a handler fails the test.
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

    /// The network of the reactors.
    pub(super) fn kernel(&self) -> Rc<RefCell<Kernel>> {
        Rc::clone(&self.kernel)
    }

    /// From now on these faults happen.
    pub fn set_faults(&mut self, faults: Faults) {
        self.kernel.borrow_mut().set_faults(faults);
    }

    /// From now on no faults happen: see [`Faults::calmed`].
    pub fn calm(&mut self) {
        let mut kernel = self.kernel.borrow_mut();
        let calmed = kernel.faults.calmed();
        kernel.set_faults(calmed);
    }

    /// The reactor listens on an address, as with [`Reactor::listen`]. Any address is valid. Of the options of the
    /// socket only the backlog has an effect.
    ///
    /// # Errors
    /// As [`Reactor::listen`].
    pub fn listen(&mut self, options: impl Into<ListenOptions>) -> Result<SocketAddr, Error> {
        self.reactors[0].listen(options)
    }

    /// Does what [`Handle::suspend`] asks for, at once.
    pub fn suspend(&mut self, how: Suspension) {
        self.reactor().suspend(how);
    }

    /// Does what [`Handle::resume`] asks for, at once.
    ///
    /// # Errors
    /// As [`Handle::resume`].
    pub fn resume(&mut self) -> Result<(), Error> {
        self.reactor().resume()
    }

    /// Does what [`Handle::close_listener`] asks for, at once.
    pub fn close_listener(&mut self, addr: impl Into<Addr>) -> bool {
        self.reactor().close_listener(addr.into())
    }

    /// Does what [`Handle::reconfigure`] asks for: at once with one reactor, else each reactor in its next turn.
    ///
    /// # Errors
    /// As [`Handle::reconfigure`].
    pub fn reconfigure(&mut self, config: Config) -> Result<(), Error> {
        if let [reactor] = self.reactors() {
            return reactor.reconfigure(config);
        }
        self.handle().reconfigure(&config)
    }

    /// Replaces the handler of one reactor at once, as [`Handle::replace`] does in all reactors. Returns the former
    /// handler.
    ///
    /// # Errors
    /// [`ReplaceError::Panicked`] if `migrate` panics. Then nothing has changed.
    ///
    /// # Panics
    /// If there is no such reactor.
    pub fn replace(
        &mut self,
        reactor: usize,
        new: H,
        migrate: impl FnMut(ConnId, &H::State) -> Option<H::State>,
    ) -> Result<H, ReplaceError> {
        self.reactors()[reactor].replace(new, migrate)
    }

    /// The handler of a reactor, by the number of the reactor.
    ///
    /// # Panics
    /// If there is no such reactor.
    pub fn handler_mut(&mut self, reactor: usize) -> &mut H {
        self.reactors()[reactor].handler_mut()
    }

    /// The connections of all reactors, as [`Handle::connections`] returns them.
    #[must_use]
    pub fn connections(&mut self) -> Vec<ConnInfo> {
        self.reactors.iter_mut().flat_map(|reactor| reactor.context().infos()).collect()
    }

    /// Shuts a listener down without the knowledge of the reactor. Then `accept` fails with EINVAL.
    pub fn break_listener(&mut self, addr: SocketAddr) {
        self.kernel.borrow_mut().break_listener(addr);
    }

    /// The next calls of `accept` fail with these error numbers, one each.
    pub fn fail_accepts(&mut self, errors: &[i32]) {
        self.kernel.borrow_mut().accept_errors.extend(errors);
    }

    /// Each call of `accept` on a listener fails with this error number, until this is undone with `None`. The backlog
    /// does not change, so trying again has no effect.
    pub fn fail_every_accept(&mut self, listener: SocketAddr, error: Option<i32>) {
        self.kernel.borrow_mut().fail_every_accept(listener, error);
    }

    /// Limits the number of sockets that the server may hold, its listeners included. Above the limit `accept` and
    /// `socket` fail with EMFILE. Reactors notice a new limit when they are [reconfigured](Self::reconfigure).
    pub fn limit_descriptors(&mut self, most: Option<usize>) {
        self.kernel.borrow_mut().descriptors = most;
    }

    /// The next outbound connections fail at once. Each pair is the system call that fails (`socket`, `setsockopt`,
    /// `bind` or `connect`) and its error number.
    pub fn fail_connects(&mut self, errors: &[(&'static str, i32)]) {
        self.kernel.borrow_mut().connect_errors.extend(errors);
    }

    /// A new peer with an address of its own connects to the server.
    pub fn dial(&mut self, to: SocketAddr) -> Peer {
        self.dialled += 1;
        let ip = Ipv4Addr::from_bits(Ipv4Addr::new(192, 168, 0, 0).to_bits() + self.dialled);
        self.dial_from(SocketAddr::new(ip.into(), 50_000), to)
    }

    /// A peer with this address connects to the server.
    pub fn dial_from(&mut self, from: SocketAddr, to: SocketAddr) -> Peer {
        let link = self.kernel.borrow_mut().dial(from, to);
        Peer { kernel: Rc::clone(&self.kernel), link }
    }

    /// From now on `addr` answers outbound connections of the server like this. The default is [`Answer::Refuse`],
    /// even for addresses on which the reactor itself listens.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), readyloop::Error> {
    /// use readyloop::{Config, ConnectOptions, Echo, sim::{Answer, World}};
    ///
    /// let mut world = World::new(42, Config::new(), Echo)?;
    /// let addr = ([10, 0, 0, 2], 7).into();
    /// world.answer(addr, Answer::Accept);
    /// world.reactor().context().connect(&[addr], &ConnectOptions::new());
    /// let _ = world.run_until_still();
    /// let peer = &world.dialled()[0];
    /// peer.send(b"hello");
    /// let _ = world.run_until_still();
    /// assert_eq!(peer.received(), b"hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn answer(&mut self, addr: SocketAddr, answer: Answer) {
        self.kernel.borrow_mut().answers.insert(addr, answer);
    }

    /// The peers of all outbound connections that were accepted, in order.
    #[must_use]
    pub fn dialled(&self) -> Vec<Peer> {
        let peer = |link: &LinkId| Peer { kernel: Rc::clone(&self.kernel), link: *link };
        self.kernel.borrow().dialled.iter().map(peer).collect()
    }

    /// All attempts of the server to open outbound connections, in order.
    #[must_use]
    pub fn dial_attempts(&self) -> Vec<DialAttempt> {
        self.kernel.borrow().dial_attempts.clone()
    }

    /// The statistics of all reactors together.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        self.reactors.iter().for_each(|reactor| sum.add(reactor.stats()));
        sum
    }

    /// The reactor, to inspect it and to call its methods. Do not call its `run` and `turn`, because they do not move
    /// the peers. The methods of the world, such as [`run_for`](Self::run_for), make its turns.
    pub fn reactor(&mut self) -> &mut Reactor<H, Sim> {
        &mut self.reactors()[0]
    }

    /// All reactors: see [`reactor`](Self::reactor).
    pub fn reactors(&mut self) -> &mut [Reactor<H, Sim>] {
        // The caller may change a reactor while it sleeps. The next turn must see the change.
        self.asleep_until.fill(Duration::ZERO);
        &mut self.reactors
    }

    /// A handle to the reactors. Making one does not wake them.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.reactors[0].handle()
    }

    /// The report of the server. `None` until all reactors have drained or were stopped.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let mut sum = Report::default();
        for report in &self.reports {
            sum.add((*report)?);
        }
        Some(sum)
    }

    /// The last listener, if the server ended because it died, as in [`Error::ListenersLost`]: see
    /// [`Config::drain_without_listeners`].
    #[must_use]
    pub fn lost_listener(&self) -> Option<Addr> {
        self.lost
    }

    /// A clock, with which a callback can take virtual time.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock { kernel: Rc::clone(&self.kernel) }
    }

    /// Lets a time pass. Returns [`ControlFlow::Break`] if the server has drained or was stopped. Peers continue to act
    /// after that.
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
    /// reactor has stopped accepting for lack of descriptors or memory, and each reactor waits. Deadlines, timers, and
    /// outbound connections that wait for descriptors do not count as moving.
    ///
    /// Returns [`ControlFlow::Break`] if the server has drained or was stopped.
    ///
    /// # Panics
    /// After ten million turns, because a server that sends without end never stands still. Otherwise as
    /// [`run_for`](Self::run_for).
    pub fn run_until_still(&mut self) -> ControlFlow<()> {
        let mut flow = ControlFlow::Continue(());
        for _ in 0..10_000_000 {
            match self.next_move() {
                Some(after) => flow = self.turn(after),
                None => return flow,
            }
        }
        panic!("the world still moves after ten million turns");
    }

    /// The time until something moves by itself. `None` if nothing does, except for deadlines and timers.
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
            // `at` is a time of the reactor's clock, which may be behind.
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

    /// Makes one turn, and waits in it for at most `timeout`: for tests that inspect each turn. In a world with several
    /// reactors, each reactor that does not sleep makes a turn. Returns [`ControlFlow::Break`] if the server has
    /// drained or was stopped.
    ///
    /// # Panics
    /// As [`run_for`](Self::run_for).
    pub fn turn(&mut self, timeout: Duration) -> ControlFlow<()> {
        match self.running().count() {
            0 => self.pass(timeout),
            1 if self.reactors.len() == 1 => self.turn_of(0, timeout),
            // A reactor that waits inside of its turn would let time pass for all reactors.
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
                Err(error) => panic!("the simulated poll fails only with EINTR: {error}"),
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

    /// The virtual time since the world began.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.kernel.borrow().now)
    }

    /// A hash of everything that has happened. Two equal runs have the same hash.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.kernel.borrow().trace
    }

    /// How many sockets of connections the server holds. It must be 0 when all connections have closed.
    #[must_use]
    pub fn open_sockets(&self) -> usize {
        self.kernel.borrow().open_sockets()
    }

    /// How many calls of read and how many calls of write the server has made, successful or not.
    #[must_use]
    pub fn calls(&self) -> (u64, u64) {
        self.kernel.borrow().calls
    }

    /// How many bytes the server has read, and how many it has written.
    #[must_use]
    pub fn traffic(&self) -> (u64, u64) {
        self.kernel.borrow().traffic
    }
}

impl<H: Handler> Drop for World<H> {
    /// Ends the reactors, which call `on_close` for each connection.
    ///
    /// # Panics
    /// If a callback has panicked: see [`allow_panics`](Self::allow_panics).
    fn drop(&mut self) {
        self.reactors.iter_mut().for_each(Reactor::end);
        self.fail_if_a_callback_panicked();
    }
}

/// Lets virtual time pass while a callback runs. By default callbacks take no time. A handler with a clock is as slow
/// as the test wants.
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
    /// Lets this time pass. Peers act meanwhile.
    pub fn pass(&self, time: Duration) {
        let mut kernel = self.kernel.borrow_mut();
        let until = kernel.now.saturating_add(nanos(time));
        kernel.pass(until);
    }

    /// Blocks the reactor whose callback calls this: after the current turn it makes no other turn for this time. In a
    /// world with several reactors the others continue meanwhile, unlike with [`pass`](Self::pass).
    pub fn stall(&self, time: Duration) {
        self.kernel.borrow_mut().stall(nanos(time));
    }

    /// Steps the monotonic clock back by this time, permanently, as a faulty clock may do: each later reading of a
    /// reactor is lower by this time. [`World::now`] and the peers are not affected.
    pub fn step_back(&self, time: Duration) {
        let mut kernel = self.kernel.borrow_mut();
        kernel.stepped_back = kernel.stepped_back.saturating_add(nanos(time));
    }
}

/// The other end of a connection. It sends and reads as the test says.
#[derive(Clone, Debug)]
pub struct Peer {
    kernel: Rc<RefCell<Kernel>>,
    link: LinkId,
}

impl Peer {
    /// Sends bytes, as fast as the network and the server take them. Returns false, and sends nothing, if the peer has
    /// finished, closed or vanished, or if the connection was reset or refused. After the server's FIN a peer can still
    /// send.
    pub fn send(&self, bytes: &[u8]) -> bool {
        self.kernel.borrow_mut().peer_sends(self.link, bytes)
    }

    /// Sends a FIN after all bytes. The peer continues to read.
    pub fn shutdown_write(&self) {
        self.kernel.borrow_mut().peer_finishes(self.link);
    }

    /// Closes the peer's socket. This sends a FIN, or a RST if the peer has unread bytes. Bytes that arrive later are
    /// answered with a RST.
    pub fn close(&self) {
        self.kernel.borrow_mut().peer_closes(self.link);
    }

    /// Resets the connection. Bytes that have not reached the server's socket yet are lost.
    pub fn reset(&self) {
        self.kernel.borrow_mut().peer_resets(self.link);
    }

    /// Makes the peer disappear silently: from now on nothing comes from it and nothing reaches it.
    pub fn vanish(&self) {
        self.kernel.borrow_mut().links[self.link].vanished = true;
    }

    /// Changes how the peer reads from now on.
    pub fn read(&self, reading: Reading) {
        self.kernel.borrow_mut().set_reading(self.link, reading);
    }

    /// All bytes that the peer has read, except those that [`take_received`](Self::take_received) has taken.
    #[must_use]
    pub fn received(&self) -> Vec<u8> {
        self.kernel.borrow().links[self.link].received.clone()
    }

    /// Takes the bytes that the peer has read since the last call.
    #[must_use]
    pub fn take_received(&self) -> Vec<u8> {
        std::mem::take(&mut self.kernel.borrow_mut().links[self.link].received)
    }

    /// How the connection has ended for the peer. `None` while it is open.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.kernel.borrow().links[self.link].ending
    }

    /// How many bytes of the peer the server has not read yet.
    #[must_use]
    pub fn unread_by_server(&self) -> usize {
        let kernel = self.kernel.borrow();
        let link = &kernel.links[self.link];
        link.outgoing.len() + link.queue.len()
    }

    /// The address of the peer, as the server sees it.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.kernel.borrow().links[self.link].peer_addr
    }
}
