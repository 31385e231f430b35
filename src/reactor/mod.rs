//! The reactor: its state and its turn.

mod accept;
pub(crate) mod arrivals;
mod callback;
mod connect;
mod drain;
mod expire;
pub(crate) mod group;
mod listen;
mod lost;
mod messages;
mod owned;
mod preview;
mod rate_limited_log;
mod reap;
mod replace;
mod standing;
mod turn;
mod turn_timer;
mod wait;
mod work;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ops::ControlFlow;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::context::Context;
use crate::core::mailbox::Mailbox;
use crate::error::Error;
use crate::handler::Handler;
use crate::id::{ConnId, draw_numbers};
use crate::net::{Net, Os};
use crate::report::Report;
#[cfg(feature = "sim")]
use crate::stats::Stats;
use crate::table::{self, Table};
use crate::view::View;
use accept::Acceptor;
use arrivals::{Arrival, Arrivals};
use drain::Drain;
use group::{Group, Job, Remote};
use owned::{Program, Socket};
use rate_limited_log::RateLimitedLog;
use turn_timer::TurnTimer;

/// All connections read into this one buffer. Messages of this size cost a seventh less processor time than
/// with half of it; a larger one would make the others wait longer for their turn.
const READ_BUFFER: usize = 64 * 1024;

/// A poll-driven event loop with its listeners, its connections, and the handler that serves them.
///
/// # Examples
/// ```no_run
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Echo, Reactor};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// let addr = reactor.listen("127.0.0.1:7000")?;
/// println!("listening on {addr}");
/// reactor.run()?;
/// # Ok(())
/// # }
/// ```
///
/// # Implementation notes
/// A turn has eight steps:
/// 1. Poll: wait for events. Do not wait if a connection is known to be ready.
/// 2. Mark: record each event, and list the connections that have work.
/// 3. Work: for each listed connection flush, read, call the handler and flush, within a budget.
/// 4. Accept new connections, within a budget.
/// 5. Handle messages from other threads, within a budget.
/// 6. Handle timers and deadlines, within a budget. End stalled connections if memory is short: see
///    [`queue_budget`](Config::queue_budget).
/// 7. Dial: begin to open outbound connections, within a budget.
/// 8. Reap: close sockets, call `on_close`, free slots.
///
/// On Linux each turn calls `epoll_wait` once, each read calls `recv` once, and each flush calls `send` once, or
/// `sendmsg` if several pieces are queued. Each accepted connection costs `accept4`, `epoll_ctl` and `close`, and also
/// `shutdown` if this side closes first.
pub struct Reactor<H: Handler, N: Net = Os> {
    net: N,
    table: Table,
    program: Program<H, N::Stream>,
    /// By the indices in their events' tokens. The place of one that was closed is used again.
    acceptors: Vec<Option<Acceptor<N::Listener>>>,
    log: RateLimitedLog,
    /// Those that wait to be reaped; one that is in it twice is reaped once.
    closed: Vec<ConnId>,
    /// All reactors of this server, and which of them this is.
    pub(crate) group: Arc<Group>,
    index: usize,
    /// What they have accepted for each other.
    arrivals: Arc<Arrivals<N::Stream>>,
    drain: Option<Drain>,
    /// The listener that died last, while it is not known to matter: where it listened, and why.
    lost: Option<(SocketAddr, io::Error)>,
    report: Report,
    turn_timer: TurnTimer,
    is_in_turn: bool,
    is_suspended: bool,
    is_started: bool,
    is_shut_down: bool,
    /// How many turns in a row have not seen all events.
    blind_turns: u32,
    /// When stalled connections are looked for next while the memory budget is used up.
    next_shedding: Instant,
    /// How often connections were shed in short order, and when they were last.
    sheddings: u32,
    last_shedding: Instant,
    /// Messages wait for room in the memory budget.
    holds_messages: bool,
    /// Timers that are due and wait for it, by their slots in the wheel, the earliest first.
    held_timers: VecDeque<u32>,
    /// What the connection whose turn it is may still write.
    write_left: usize,
    buffer: Box<[u8]>,
    /// Kept from turn to turn for their capacity.
    working: Vec<ConnId>,
    jobs: Vec<Job>,
}

impl<H: Handler> Reactor<H> {
    /// Makes a reactor on the system's network. It does not listen yet.
    ///
    /// # Errors
    /// [`Error::Config`] if settings contradict each other. [`Error::Setup`] if the system refuses an event queue, most
    /// often for lack of descriptors.
    pub fn new(config: Config, handler: H) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self::on(Os::new().map_err(Error::Setup)?, config, handler))
    }
}

impl<H: Handler, N: Net> Reactor<H, N> {
    /// A reactor of its own. `config` is valid.
    pub(crate) fn on(net: N, config: Config, handler: H) -> Self {
        let group = Group::new(&config, [&net], draw_numbers(1));
        Self::member(group, Arc::new(Arrivals::new(1)), 0, net, config, handler)
    }

    /// One of the reactors of a group.
    pub(crate) fn member(
        group: Arc<Group>,
        arrivals: Arc<Arrivals<N::Stream>>,
        index: usize,
        net: N,
        config: Config,
        handler: H,
    ) -> Self {
        let now = net.now();
        let Group { admission, budget, numbers, epoch, .. } = &*group;
        let (budget, count) = (Arc::clone(budget), group.remotes.len());
        let mut table = Table::new(config, admission, budget, numbers, count, *epoch, index);
        table.shared = Arc::clone(&group) as _;
        Self {
            net,
            table,
            program: Program { handler, sockets: Vec::with_capacity(table::RESERVED) },
            acceptors: Vec::new(),
            log: RateLimitedLog::default(),
            closed: Vec::new(),
            group,
            index,
            arrivals,
            drain: None,
            lost: None,
            report: Report::default(),
            turn_timer: TurnTimer::new(now),
            is_in_turn: false,
            is_suspended: false,
            is_started: false,
            is_shut_down: false,
            blind_turns: 0,
            next_shedding: now,
            sheddings: 0,
            last_shedding: now,
            holds_messages: false,
            held_timers: VecDeque::new(),
            write_left: 0,
            buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            working: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// Serves until the reactor has [drained](crate::Handle::drain) or is stopped: with a [`Handle`](crate::Handle), or
    /// by a callback with [`Context::stop`]. A stop closes all connections at once. A peer sees a RST if queued bytes
    /// for it are lost, or if its input was not read yet. Returns how the connections ended.
    ///
    /// Closures that other threads have posted before the end are still run.
    ///
    /// # Errors
    /// [`Error::Poll`] if the system's event queue fails. [`Error::ListenersLost`] if the reactor ended because its
    /// last listener died. [`Error::InTurn`] if it is called inside of a turn.
    pub fn run(&mut self) -> Result<Report, Error> {
        let report = self.run_to_end()?;
        self.group.judge(report)
    }

    /// The same, whatever it has ended by.
    pub(crate) fn run_to_end(&mut self) -> Result<Report, Error> {
        self.read_clock();
        loop {
            if let ControlFlow::Break(report) = self.guarded_turn(None)? {
                return Ok(report);
            }
        }
    }

    /// Makes one turn, in which it waits for at most `timeout`, or without limit if it is `None`. With this method a
    /// reactor can run inside of another loop.
    ///
    /// Returns [`ControlFlow::Break`] when the reactor has drained or was stopped. Then all its sockets are closed, and
    /// it cannot continue.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), readyloop::Error> {
    /// use std::time::{Duration, Instant};
    /// use readyloop::{Config, Echo, Reactor};
    ///
    /// let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// reactor.listen("127.0.0.1:0")?;
    /// for _frame in 0..3 {
    ///     if reactor.turn(Some(Duration::from_millis(1)))?.is_break() {
    ///         break;
    ///     }
    ///     // draw the frame
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<ControlFlow<Report>, Error> {
        self.read_clock();
        match self.guarded_turn(timeout)? {
            ControlFlow::Break(report) => self.group.judge(report).map(ControlFlow::Break),
            going_on => Ok(going_on),
        }
    }

    /// When the next turn is due at the latest, by the clock of [`Instant::now`]. `None` if the reactor has nothing to
    /// do before its [descriptor](Self::as_fd) is readable.
    ///
    /// With it a reactor runs inside of another event loop without periodic polling. That loop waits for the descriptor
    /// and for this time, then calls [`turn`](Self::turn) with a timeout of zero. A time that has passed means that the
    /// reactor has work left. Call `next_deadline` again after each turn.
    ///
    /// # Examples
    /// `examples/embedded.rs` is an echo server in a loop of `mio`.
    /// ```
    /// # fn main() -> Result<(), readyloop::Error> {
    /// use std::time::{Duration, Instant};
    /// use readyloop::{Config, Echo, Reactor};
    ///
    /// let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// reactor.listen("127.0.0.1:0")?;
    /// for _event_of_the_other_loop in 0..3 {
    ///     if reactor.turn(Some(Duration::ZERO))?.is_break() {
    ///         break;
    ///     }
    ///     let next = reactor.next_deadline();
    ///     let _timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
    ///     // wait for reactor.as_fd() to be readable, for this timeout at most
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn next_deadline(&mut self) -> Option<Instant> {
        // A batch of events may have been full: the descriptor tells of new ones only.
        let is_behind = !self.is_started || self.blind_turns > 0;
        let now = self.net.now();
        let waits = if is_behind { Some(Duration::ZERO) } else { self.waits_for() };
        waits.and_then(|time| now.checked_add(time))
    }

    fn guarded_turn(&mut self, timeout: Option<Duration>) -> Result<ControlFlow<Report>, Error> {
        if self.is_in_turn {
            return Err(Error::InTurn);
        }
        self.is_in_turn = true;
        let turn = self.group.in_turn();
        let result = self.make_turn(timeout);
        drop(turn);
        self.is_in_turn = false;
        result
    }

    /// This reactor, as other threads see it.
    fn remote(&self) -> &Remote {
        &self.group.remotes[self.index]
    }

    /// What the other reactors have accepted for this one.
    fn own_arrivals(&self) -> &Mailbox<Arrival<N::Stream>> {
        self.arrivals.of(self.index)
    }

    /// What log lines of this reactor begin with, if there are others.
    fn name(&self) -> String {
        match self.group.remotes.len() {
            1 => String::new(),
            _ => format!("reactor {}: ", self.index),
        }
    }

    /// What this reactor has counted so far.
    #[cfg(feature = "sim")]
    pub(crate) fn stats(&self) -> Stats {
        *self.table.stats.get()
    }

    /// The handler, to use it between turns.
    #[must_use]
    pub fn handler_mut(&mut self) -> &mut H {
        &mut self.program.handler
    }

    /// How many panics it has caught.
    #[cfg(feature = "sim")]
    pub(crate) fn panics(&self) -> u64 {
        self.table.stats.get().panics
    }

    /// When the first acceptor goes on that waits for descriptors or memory, since the epoch.
    #[cfg(feature = "sim")]
    pub(crate) fn accepts_again_at(&self) -> Option<Duration> {
        let acceptors = if self.is_suspended { &[] } else { &self.acceptors[..] };
        let times = acceptors.iter().flatten().filter_map(Acceptor::resumes_at);
        times.map(|at| Duration::from_nanos(self.table.clock.nanos_at(at))).min()
    }

    /// Ends as it does when it is dropped.
    #[cfg(feature = "sim")]
    pub(crate) fn end(&mut self) {
        self.shut_down();
    }

    /// It is busy for a while behind a turn that has begun then, since the epoch.
    #[cfg(feature = "sim")]
    pub(crate) fn is_busy_since_its_turn(&self) {
        self.say_that_it_is_busy();
    }

    /// The view of the reactor that its callbacks have: its connections, its timers, its handler.
    #[must_use]
    pub fn context(&mut self) -> Context<'_> {
        self.refresh();
        let view = View { table: &mut self.table, owned: &mut self.program, current: None };
        Context { view }
    }

    /// Between turns the time of the last one is long gone.
    fn refresh(&mut self) {
        if !self.is_in_turn {
            self.table.clock.begin_turn(self.net.now());
        }
    }

    #[inline]
    fn read_clock(&mut self) {
        self.table.clock.read(self.net.now());
    }

    /// The settings, as they were made.
    pub(crate) fn config(&self) -> &Config {
        self.table.config()
    }

    /// Changes the settings at once.
    ///
    /// # Errors
    /// If they contradict each other.
    #[cfg(feature = "sim")]
    pub(crate) fn reconfigure(&mut self, config: Config) -> Result<(), Error> {
        config.validate()?;
        self.apply(config);
        Ok(())
    }

    fn apply(&mut self, config: Config) {
        let mailbox_limit = config.mailbox_limit;
        let descriptors = self.net.descriptor_limit();
        if self.index == 0 {
            let limits = config.admission(descriptors, self.group.remotes.len());
            config.warn_if_lowered(&limits, descriptors);
        }
        self.table.reconfigure(config, descriptors);
        self.remote().mailbox.set_limits(mailbox_limit, self.table.mailbox_budget());
        self.table.made_room = true; // others may wait for it
        self.judge_what_is_lost();
        self.shed();
    }

    fn is_stopping(&self) -> bool {
        self.table.stopping || self.remote().is_stopping()
    }

    /// Whether no connection is known to have work, so that the next turn waits.
    #[cfg(feature = "sim")]
    pub(crate) fn is_waiting(&self) -> bool {
        self.waits_for() != Some(Duration::ZERO)
    }

    #[cfg(feature = "sim")]
    pub(crate) fn net(&self) -> &N {
        &self.net
    }
}

/// The descriptor of the reactor's event queue. It is readable when events wait (epoll(7), question 3). Watch it, but
/// do not read from it: see [`next_deadline`](Reactor::next_deadline).
#[cfg(unix)]
impl<H: Handler> AsFd for Reactor<H> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.net.as_fd()
    }
}

impl<H: Handler, N: Net> fmt::Debug for Reactor<H, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field(
                "listeners",
                &self.acceptors.iter().flatten().map(Acceptor::addr).collect::<Vec<_>>(),
            )
            .field("stats", self.table.stats.get())
            .finish_non_exhaustive()
    }
}

/// Makes a system call again for as long as signals interrupt it.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
