//! The loop.

mod accept;
mod callback;
mod expire;
mod preview;
mod reap;
mod work;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::error::Error;
use crate::handle::Handle;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::{Event, ListenError, ListenOptions, Net, Os, Token};
use crate::stats::Stats;
use crate::table::{self, Table};
use accept::{Acceptor, Complaints};

/// All connections read into this one buffer. A larger one gains nothing: what was read is not in the
/// processor's nearest cache any more when it is sent, and the others wait longer for their turn.
const READ_BUFFER: usize = 32 * 1024;

/// After so many turns without a sight of all events deadlines are judged all the same.
const BLIND_TURNS: u32 = 100;

/// One poll-driven loop with its listeners, its connections and the handler that serves them.
///
/// # Examples
/// ```no_run
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Reactor, services::Echo};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// let addr = reactor.listen("127.0.0.1:7000")?;
/// println!("listening on {addr}");
/// reactor.run()
/// # }
/// ```
///
/// # Implementation notes
/// A turn has six steps:
/// 1. poll: wait for events, but not while somebody is known to be ready
/// 2. mark: remember what each event says, and who has work now
/// 3. work: for each of those flush, read, call back and flush, within a budget
/// 4. accept, within a budget
/// 5. deadlines, within a budget, and whatever else has to end: see
///    [`queue_budget`](Config::queue_budget)
/// 6. reap: close sockets, call `on_close`, free slots
///
/// On Linux each turn makes one `epoll_wait`, each read one `recv`, and each flush one `send`, or one
/// `sendmsg` if several pieces are queued. A connection costs `accept4`, `epoll_ctl` and `close`, and
/// `shutdown` if it is closed from here first.
pub struct Reactor<H: Handler, N: Net = Os> {
    net: N,
    handler: H,
    table: Table,
    /// What belongs to the table's slots and depends on `N` and `H`.
    sockets: Vec<Option<Socket<N::Stream, H::State>>>,
    acceptors: Vec<Acceptor<N::Listener>>,
    complaints: Complaints,
    /// Those that wait to be reaped; one that is in it twice is reaped once.
    closed: Vec<ConnId>,
    handle: Handle,
    is_shut_down: bool,
    /// How many turns in a row have not seen all events.
    blind_turns: u32,
    /// The last reading of the clock.
    latest: Instant,
    /// What the connection whose turn it is may still write.
    write_left: usize,
    buffer: Box<[u8]>,
    /// Kept from turn to turn for their capacity.
    events: Vec<Event>,
    working: Vec<ConnId>,
}

struct Socket<T, S> {
    stream: T,
    /// `None` until `on_open` has returned one, and for ever if it refused.
    state: Option<S>,
}

impl<H: Handler> Reactor<H> {
    /// Makes a reactor on the system's network. It listens nowhere yet.
    ///
    /// # Errors
    /// [`Error::Config`] if settings contradict each other; [`Error::Setup`] if the system gives no
    /// event queue, most often for want of descriptors.
    pub fn new(config: Config, handler: H) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self::on(Os::new().map_err(Error::Setup)?, config, handler))
    }
}

impl<H: Handler, N: Net> Reactor<H, N> {
    /// `config` is valid.
    pub(crate) fn on(net: N, config: Config, handler: H) -> Self {
        let handle = Handle::new(net.waker());
        let latest = net.now();
        let table = Table::new(config, net.descriptor_limit(), latest);
        Self {
            net,
            handler,
            table,
            sockets: Vec::with_capacity(table::RESERVED),
            acceptors: Vec::new(),
            complaints: Complaints::default(),
            closed: Vec::new(),
            handle,
            is_shut_down: false,
            blind_turns: 0,
            latest,
            write_left: 0,
            buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            events: Vec::new(),
            working: Vec::new(),
        }
    }

    /// Listens on an address with the default [`ListenOptions`], and returns it; with port 0 it is
    /// the one that the system chose. A reactor can listen on several.
    ///
    /// # Errors
    /// As [`listen_with`](Self::listen_with).
    pub fn listen(&mut self, addr: impl ToSocketAddrs) -> Result<SocketAddr, Error> {
        self.listen_with(addr, &ListenOptions::new())
    }

    /// Listens on an address. If a name stands for several, the first that works is taken.
    ///
    /// On Linux this calls
    /// 1. `socket`, with `SOCK_CLOEXEC`, and `fcntl` for `O_NONBLOCK`
    /// 2. `setsockopt`, for what `options` says
    /// 3. `bind`
    /// 4. `listen`
    /// 5. `epoll_ctl`
    /// 6. `getsockname`, for the port
    ///
    /// # Errors
    /// [`Error::Resolve`] if there is no such address; [`Error::Listen`] if the system refuses: the
    /// address is in use or not this machine's, or the port is below 1024 and needs a privilege;
    /// [`Error::Stopped`] after the reactor has stopped.
    pub fn listen_with(
        &mut self,
        addr: impl ToSocketAddrs,
        options: &ListenOptions,
    ) -> Result<SocketAddr, Error> {
        if self.is_shut_down {
            return Err(Error::Stopped);
        }
        let mut refusal = Error::Resolve(io::Error::new(ErrorKind::NotFound, "no address"));
        for addr in addr.to_socket_addrs().map_err(Error::Resolve)? {
            match self.listen_on(addr, options) {
                Ok(addr) => return Ok(addr),
                Err(ListenError { step, source }) => {
                    refusal = Error::Listen { addr, step, source };
                }
            }
        }
        Err(refusal)
    }

    fn listen_on(
        &mut self,
        addr: SocketAddr,
        options: &ListenOptions,
    ) -> Result<SocketAddr, ListenError> {
        let index = u16::try_from(self.table.listeners.len()).map_err(|_| ListenError {
            step: "register",
            source: io::Error::other("a reactor has at most 65,536 listeners"),
        })?;
        let (listener, addr) = self.net.listen(addr, options, Token::Listener(index))?;
        self.acceptors.push(Acceptor::new(listener));
        self.table.listeners.push(addr);
        log::info!("listening on {addr}");
        Ok(addr)
    }

    /// Serves until it is stopped: by a [`Handle`], or by a handler with
    /// [`stop_reactor`](crate::Conn::stop_reactor). Then every connection is closed at once. Those that
    /// lose queued bytes by it see a RST, and so do those whose input was not read yet.
    ///
    /// # Errors
    /// [`Error::Poll`] if the system's event queue fails.
    pub fn run(&mut self) -> Result<(), Error> {
        self.latest = self.net.now();
        while self.make_turn(None)?.is_continue() {}
        Ok(())
    }

    /// Makes one turn, waiting at most `timeout` for something to do (for ever if it is `None`). So a
    /// reactor can live inside a loop of your own.
    ///
    /// Returns [`ControlFlow::Break`] when the reactor has been stopped: all its sockets are closed
    /// then, and it cannot go on.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), readyloop::Error> {
    /// use std::time::Duration;
    /// use readyloop::{Config, Reactor, services::Echo};
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
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<ControlFlow<()>, Error> {
        self.latest = self.net.now();
        self.make_turn(timeout)
    }

    fn make_turn(&mut self, timeout: Option<Duration>) -> Result<ControlFlow<()>, Error> {
        if !self.is_stopping() {
            let saw_all = self.poll(timeout)?;
            self.mark();
            self.work();
            self.reap(); // before others are judged by whether there is room
            self.accept();
            if self.may_judge_deadlines(saw_all) {
                self.expire();
            }
            self.reap();
            self.shed();
            self.latest = self.net.now();
            self.table.end_turn(self.latest);
            self.table.stats.turns += 1;
        }
        if self.is_stopping() {
            self.shut_down();
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// A handle that stops this reactor from other threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What has been counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { waiting_bytes: self.table.pressure.held() as u64, ..self.table.stats }
    }

    /// The handler.
    #[must_use]
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// The handler, to change it between turns.
    #[must_use]
    pub fn handler_mut(&mut self) -> &mut H {
        &mut self.handler
    }

    /// What the reactor is told now.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.table.config()
    }

    /// Tells the reactor something else. Everything takes effect at once; who is connected stays, even
    /// above a limit that is lower now. Deadlines change for everybody, which takes time in proportion to
    /// their number.
    ///
    /// # Errors
    /// [`Error::Config`] if settings contradict each other; then nothing changes.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), readyloop::Error> {
    /// use readyloop::{Config, Reactor, services::Echo};
    ///
    /// let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// let stricter = reactor.config().clone().max_connections(100);
    /// reactor.reconfigure(stricter)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn reconfigure(&mut self, config: Config) -> Result<(), Error> {
        config.validate()?;
        self.table.reconfigure(config, self.net.descriptor_limit());
        self.shed();
        Ok(())
    }

    fn is_stopping(&self) -> bool {
        self.table.stopping || self.handle.is_stopping()
    }

    /// Whether nobody is known to have work, so that the next turn waits.
    #[cfg(feature = "sim")]
    pub(crate) fn is_waiting(&self) -> bool {
        self.patience(None, self.net.now()) != Some(Duration::ZERO)
    }

    /// Returns whether everything that had happened was told.
    fn poll(&mut self, timeout: Option<Duration>) -> Result<bool, Error> {
        let patience = self.patience(timeout, self.latest);
        self.events.clear();
        let saw_all = match self.net.poll(&mut self.events, patience) {
            // A signal ends the wait early: that makes a turn with nothing to do.
            Err(error) if error.kind() == ErrorKind::Interrupted => false,
            other => other.map_err(Error::Poll)?,
        };
        self.table.set_now(self.net.now());
        Ok(saw_all)
    }

    /// Input is read before a deadline is judged: a process that slept does not punish its peers. So
    /// deadlines wait as long as there may be events that were not told yet, because a signal ended the
    /// wait (SIGCONT does) or a batch was full; but not for ever.
    fn may_judge_deadlines(&mut self, saw_all: bool) -> bool {
        let may = saw_all || self.blind_turns == BLIND_TURNS;
        self.blind_turns = if may { 0 } else { self.blind_turns + 1 };
        may
    }

    /// How long to wait for events, if it is `now`.
    fn patience(&self, timeout: Option<Duration>, now: Instant) -> Option<Duration> {
        if self.table.has_ready() || self.can_accept() {
            return Some(Duration::ZERO);
        }
        let deadline = |at: Instant| at.saturating_duration_since(now);
        let next = self.acceptors.iter().filter_map(Acceptor::resumes_at);
        let next = next.chain(self.table.next_alarm()).min().map(deadline);
        [timeout, next].into_iter().flatten().min()
    }

    fn can_accept(&self) -> bool {
        !self.table.admission.keeps_waiting() && self.acceptors.iter().any(Acceptor::is_ready)
    }

    fn mark(&mut self) {
        for event in &self.events {
            match event.token {
                Token::Listener(index) => {
                    if let Some(acceptor) = self.acceptors.get_mut(usize::from(index)) {
                        acceptor.mark_ready();
                    }
                }
                Token::Conn { slot, tag } => self.table.mark(slot, tag, *event),
            }
        }
    }
}

impl<H: Handler, N: Net> fmt::Debug for Reactor<H, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("listeners", &self.table.listeners)
            .field("stats", &self.stats())
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
