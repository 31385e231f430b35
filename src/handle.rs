//! A server, as seen from other threads.

use std::any::{Any, TypeId};
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::addr::Addr;
use crate::call::{Answerer, Call};
use crate::config::Config;
use crate::conn_info::ConnInfo;
use crate::context::Context;
use crate::core::mailbox::NotTaken;
use crate::error::Error;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::{ListenOptions, Net};
use crate::reactor::Reactor;
use crate::reactor::group::{Group, Job, Remotable, Replacement, WithContext, WithReactor};
use crate::refusal::{CallError, Refusal, Refused, ReplaceError};
use crate::stats::Stats;
use crate::suspension::Suspension;
use crate::sync::PoisonError;
use crate::two_phase_commit::TwoPhaseCommit;

/// The reactor that has the listeners.
const LISTENING: usize = 0;

/// Reaches a server from other threads: all reactors of a [`Server`](crate::Server), or a single
/// [`Reactor`].
///
/// [`Server::handle`](crate::Server::handle), [`Reactor::handle`](crate::Reactor::handle) and
/// [`Context::handle`] make one. It can be cloned, and sent to any thread. Worker threads send their answers with it.
///
/// Messages wait in the mailbox of a reactor, in order, until its next turn. Many messages cost one wake-up. The
/// mailbox is bounded by [`mailbox_limit`](Config::mailbox_limit). A message that does not fit is returned to the
/// caller. A closure in the mailbox runs even if the reactor stops. If the reactor fails or never runs, the closure is
/// dropped.
///
/// # Examples
/// A question to a server that runs:
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use readyloop::{Config, Echo, Reactor};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// reactor.listen("127.0.0.1:0")?;
/// let handle = reactor.handle();
/// let asker = std::thread::spawn(move || {
///     let open = handle.call(0, |reactor| reactor.stats().open).wait(Duration::from_secs(10));
///     handle.stop();
///     open
/// });
/// reactor.run()?; // returns when stopped
/// assert_eq!(asker.join().unwrap()?, 0);
/// # Ok(())
/// # }
/// ```
pub struct Handle {
    group: Arc<Group>,
    /// A clone of the group's reference, whose count is the number of handles. `None` only during the drop.
    counted: Option<Arc<()>>,
}

impl Handle {
    pub(crate) fn new(group: Arc<Group>) -> Self {
        let counted = Some(Arc::clone(&group.handles));
        Self { group, counted }
    }

    /// How many reactors the server has. They are numbered from 0.
    #[must_use]
    pub fn reactors(&self) -> usize {
        self.group.remotes.len()
    }

    /// Runs a closure on the thread of a reactor, between two callbacks: Erlang's `cast`. The closure reaches
    /// connections ([`Context::get`]) and the handler ([`Context::with_handler`]).
    ///
    /// `to` is the number of a reactor, or the id of a connection, which stands for the reactor that serves it. The
    /// connection may have ended when the closure runs: then [`Context::get`] returns `None`.
    ///
    /// The closure must not block: no connection is served meanwhile. If it panics, the panic is logged and counted,
    /// and the reactor continues.
    ///
    /// # Errors
    /// [`Refused`], with the closure and one of these reasons:
    /// - [`Refusal::Full`] if the mailbox is full.
    /// - [`Refusal::Stopped`] if the reactor has stopped, or if no reactor has this number.
    /// - [`Refusal::OtherServer`] if the id belongs to another server.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::{ConnId, Context, Handle, Refusal};
    /// /// A worker thread has the answer to a request.
    /// fn answer(handle: &Handle, id: ConnId, answer: Vec<u8>) -> Result<(), Refusal> {
    ///     let tell = move |reactor: &mut Context| {
    ///         if let Some(mut conn) = reactor.get(id) {
    ///             conn.send(&answer);
    ///             conn.resume(); // it was paused meanwhile
    ///         }
    ///     };
    ///     handle.post(id, tell).map_err(|refused| refused.why)
    /// }
    ///
    /// fn tell_all(handle: &Handle, news: &'static [u8]) -> Result<(), Refusal> {
    ///     for reactor in 0..handle.reactors() {
    ///         let tell = move |reactor: &mut Context| reactor.broadcast(news);
    ///         handle.post(reactor, tell).map_err(|refused| refused.why)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn post<F>(&self, to: impl Target, closure: F) -> Result<(), Refused<F>>
    where
        F: FnOnce(&mut Context<'_>) + Send + 'static,
    {
        // Boxed here, so that nothing is allocated while the mailbox is locked: there may be a flood of posts.
        let wrap = |task: Box<WithContext<F>>| -> Job { task };
        self.push(to.reactor(self), Box::new(WithContext(closure)), 0, wrap)
            .map_err(|refused| Refused { returned: refused.returned.0, why: refused.why })
    }

    /// Runs a closure as [`post`](Self::post) does, and returns a [`Call`] for its result: Erlang's `call`. A thread
    /// can wait for the `Call`, and an async task can await it.
    ///
    /// If the closure is refused or panics, the result of the `Call` is a [`CallError`].
    ///
    /// # Examples
    /// See [`Handle`].
    pub fn call<R, F>(&self, to: impl Target, closure: F) -> Call<R>
    where
        R: Send + 'static,
        F: FnOnce(&mut Context<'_>) -> R + Send + 'static,
    {
        self.ask(to.reactor(self), |answerer| {
            Box::new(WithContext(move |reactor: &mut Context<'_>| {
                answerer.finish(Ok(closure(reactor)));
            }))
        })
    }

    /// Posts a closure that answers a [`Call`]. If it is refused, the refusal is the answer.
    fn ask<R>(&self, reactor: Option<usize>, question: impl FnOnce(Answerer<R>) -> Job) -> Call<R> {
        let (call, answerer) = Call::new(Arc::clone(&self.group));
        if let Err(refused) = self.push(reactor, answerer, 0, question) {
            refused.returned.finish(Err(refused.why.into()));
        }
        call
    }

    /// As [`ask`](Self::ask), for a closure that needs the reactor itself and not only its context.
    fn ask_reactor<R: Send + 'static>(
        &self,
        reactor: usize,
        closure: impl FnOnce(&mut dyn Remotable) -> R + Send + 'static,
    ) -> Call<R> {
        self.ask(Some(reactor), |answerer| {
            Box::new(WithReactor(move |reactor: &mut dyn Remotable| {
                answerer.finish(Ok(closure(reactor)));
            }))
        })
    }

    /// Queues bytes for a connection, as [`Conn::send_bytes`](crate::Conn::send_bytes) does. If the connection has
    /// ended when its reactor takes them from the mailbox, they are discarded.
    ///
    /// # Errors
    /// [`Refused`], with the bytes and one of these reasons:
    /// - [`Refusal::Full`] if the mailbox is full, or if the bytes in it would exceed the reactor's equal part of the
    ///   [`queue_budget`](Config::queue_budget). If no other bytes wait, a message of any length is accepted.
    /// - [`Refusal::Stopped`] if the reactor has stopped.
    /// - [`Refusal::OtherServer`] if the id belongs to another server.
    pub fn send(&self, id: ConnId, bytes: impl Into<Bytes>) -> Result<(), Refused<Bytes>> {
        let bytes = bytes.into();
        let weight = bytes.len();
        self.push(id.reactor(self), bytes, weight, |bytes| {
            Box::new(WithContext(move |reactor: &mut Context<'_>| {
                if let Some(mut conn) = reactor.get(id) {
                    conn.send_bytes(bytes);
                }
            }))
        })
    }

    /// Returns a snapshot of each connection, in no particular order. The snapshots of one reactor are from the same
    /// moment. It takes each reactor time in proportion to its connections.
    ///
    /// # Errors
    /// [`CallError`] if one of the reactors refuses the call or does not answer in time, or if all reactors have
    /// stopped. In a callback [`CallError::OwnThread`].
    pub fn connections(&self, timeout: Duration) -> Result<Vec<ConnInfo>, CallError> {
        let list = |reactor: &mut dyn Remotable| {
            let mut infos = Vec::new();
            reactor.with_context(&mut |context| infos = context.infos());
            infos
        };
        Ok(self.call_all(list, timeout)?.concat())
    }

    /// The sum of the counters of all reactors, each as of the end of its last turn. The call does not wait for the
    /// reactors, and costs them nothing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.group.stats()
    }

    /// Changes the settings of all reactors, each in its next turn. It does not need room in a mailbox. Settings that
    /// `config` does not set get their defaults. To change one setting, start from the present ones:
    /// `handle.call(0, |reactor| reactor.config().clone())`.
    ///
    /// Open connections stay open, even above a lowered limit. Deadlines of all connections change, which takes time in
    /// proportion to their number.
    ///
    /// # Errors
    /// [`Error::Config`] if settings contradict each other, [`Error::Stopped`] if no reactor runs any more. Then
    /// nothing changes.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), readyloop::Error> {
    /// use readyloop::{Config, Echo, Reactor};
    ///
    /// let reactor = Reactor::new(Config::new(), Echo)?;
    /// reactor.handle().reconfigure(&Config::new().max_connections(100))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn reconfigure(&self, config: &Config) -> Result<(), Error> {
        config.validate()?;
        if self.group.order_config(config) { Ok(()) } else { Err(Error::Stopped) }
    }

    /// Stops accepting connections on all listeners until [`resume`](Self::resume). Open connections are served as
    /// before. A second call changes the kind of suspension, but listeners that were closed stay closed.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use readyloop::{CallError, Handle, Suspension};
    ///
    /// fn take_out_of_service(handle: &Handle) -> Result<(), CallError> {
    ///     // Once this returns, clients are refused and can try another server.
    ///     handle.suspend(Suspension::CloseListeners).wait(Duration::from_secs(1))
    /// }
    /// ```
    pub fn suspend(&self, how: Suspension) -> Call<()> {
        self.ask_reactor(LISTENING, move |reactor| reactor.suspend(how))
    }

    /// Accepts connections again. If a listener has been closed by [`suspend`](Self::suspend) or has died, it is
    /// replaced by a new socket on the same address.
    ///
    /// The answer is [`Error::Listen`] for the first address that the system refuses, most often because another
    /// process listens there now. The other listeners are open again. Another call tries the missing ones again. The
    /// answer is [`Error::Stopped`] if the server has stopped or drains.
    pub fn resume(&self) -> Call<Result<(), Error>> {
        self.ask_reactor(LISTENING, |reactor| reactor.resume())
    }

    /// Listens on another address, as [`Reactor::listen`] does. The answer is the address.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use readyloop::{Config, Echo, ListenOptions, Reactor};
    ///
    /// let mut reactor = Reactor::new(Config::new(), Echo)?;
    /// let handle = reactor.handle();
    /// let serving = std::thread::spawn(move || {
    ///     let listening = handle.listen(ListenOptions::new("127.0.0.1:0").backlog(128));
    ///     let addr = listening.wait(Duration::from_secs(10));
    ///     handle.stop();
    ///     addr
    /// });
    /// reactor.run()?;
    /// let addr = serving.join().unwrap()??;
    /// assert_ne!(addr.port(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn listen(&self, options: impl Into<ListenOptions>) -> Call<Result<SocketAddr, Error>> {
        let options = options.into(); // which may resolve a name: not on the reactor's thread
        self.ask_reactor(LISTENING, move |reactor| reactor.listen(options))
    }

    /// Stops listening on an address that [`listen`](Self::listen) has returned. If there are several listeners on this
    /// address, all are closed. The answer is whether there was one.
    ///
    /// Other listeners stay open, and so do all connections. Connections from this listener keep its
    /// [tag](ListenOptions::tag) and its [overrides](ListenOptions::overrides).
    ///
    /// From now on the kernel refuses connections to this address. Connections in the backlog are reset. For their
    /// peers they are established already, and the peers may have sent something. To close all listeners,
    /// [drain](Self::drain) the server instead. If another process holds the socket of an
    /// [inherited](ListenOptions::from_std) listener, that socket continues to listen.
    ///
    /// The server can listen on the address again at once. [`resume`](Self::resume) does not open a closed listener
    /// again, and [`drain_without_listeners`](Config::drain_without_listeners) does not count it as dead.
    ///
    /// # Examples
    /// ```
    /// use std::net::SocketAddr;
    /// use std::time::Duration;
    /// use readyloop::{Error, Handle};
    ///
    /// fn move_to(handle: &Handle, old: SocketAddr, new: &str) -> Result<SocketAddr, Error> {
    ///     let new = handle.listen(new).wait(Duration::from_secs(1))??;
    ///     handle.close_listener(old).wait(Duration::from_secs(1))?;
    ///     Ok(new)
    /// }
    /// ```
    pub fn close_listener(&self, addr: impl Into<Addr>) -> Call<bool> {
        let addr = addr.into();
        self.ask_reactor(LISTENING, move |reactor| reactor.close_listener(addr))
    }

    /// Ends all reactors after their connections have finished their work. Each reactor begins in its
    /// next turn:
    ///
    /// 1. Connections that wait in the backlog are accepted, as far as the limits allow and unless the reactor is
    ///    [suspended](Self::suspend). Then the listeners are closed.
    /// 2. [`on_shutdown`](Handler::on_shutdown) is called once for each connection.
    /// 3. A connection is served as before until it has no work left, and its peer has sent nothing for
    ///    [`drain_quiet`](Config::drain_quiet). Then it is closed gracefully. It has work left while output is queued,
    ///    while input is unread or a message is incomplete, while it is [paused](crate::Conn::pause), and while one
    ///    side has finished and waits for the other. [Outbound connections](Context::connect) stay open at least until
    ///    the last accepted connection of the server has ended.
    /// 4. After `timeout`, all remaining connections are closed. A connection with work left ends with
    ///    [`CloseReason::DrainTimeout`](crate::CloseReason::DrainTimeout). Bytes that the kernel does not take at once
    ///    are lost, and the peer sees a RST. If no bytes are lost, a FIN is sent. For another
    ///    [`drain_quiet`](Config::drain_quiet), but at most for [`linger_timeout`](Config::linger_timeout), the input
    ///    of the connection is read and discarded, so that no RST overtakes the last answer. A connection whose peer
    ///    sends a request in this time counts as cut too.
    ///
    /// Until the timeout, [outbound connections](Context::connect) can be opened. The drain waits for them as for the
    /// others.
    ///
    /// [`Server::run`](crate::Server::run) returns when no connection is left. Its [`Report`](crate::Report) counts a
    /// connection as cut if its peer lost something: an answer, or a request that was not answered.
    ///
    /// A drain is never refused. Until the timeout, a further call sets a new timeout, which begins with that call.
    pub fn drain(&self, timeout: Duration) {
        self.group.order_drain(timeout);
    }

    /// Stops all reactors, each at the end of its turn. If they have stopped already, nothing happens.
    pub fn stop(&self) {
        self.group.stop();
    }

    /// Replaces the handler while the server runs: Erlang's `code_change`. Each reactor makes its new handler by
    /// calling `new` with its number, and calls `migrate` with the state of each of its connections. `migrate` returns
    /// the new state, or `None` to keep the old one. Then all reactors switch to their new handlers between two
    /// callbacks, or none does. Connections, queued bytes, input and timers stay.
    ///
    /// `H` is the type of the server's handler. To change from one type to another, make the server with a
    /// `Box<dyn Handler<State = S>>` (with `+ Send`, if it is made in one thread and runs in another).
    ///
    /// The reactors wait for each other, for at most `timeout`.
    ///
    /// # Errors
    /// If a call fails, all reactors keep their old handlers.
    /// - [`ReplaceError::Call`] if a reactor refuses the call or does not answer in time, or if all reactors have
    ///   stopped. In a callback with [`CallError::OwnThread`].
    /// - [`ReplaceError::Panicked`] if `new` or `migrate` panics.
    /// - [`ReplaceError::OtherType`] if `H` is not the type of the server's handler.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use readyloop::{Config, Echo, Handler, Reactor, from_fn};
    ///
    /// type Any = Box<dyn Handler<State = ()>>;
    ///
    /// let mut reactor = Reactor::new(Config::new(), Box::new(Echo) as Any)?;
    /// let handle = reactor.handle();
    /// let changer = std::thread::spawn(move || {
    ///     let shout = |_reactor| -> Any {
    ///         Box::new(from_fn(|conn, input| conn.send(&input.take().to_ascii_uppercase())))
    ///     };
    ///     let result = handle.replace(shout, |_id, ()| None, Duration::from_secs(10));
    ///     handle.stop();
    ///     result
    /// });
    /// reactor.run()?;
    /// changer.join().unwrap()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn replace<H: Handler>(
        &self,
        new: impl Fn(usize) -> H + Send + Sync + 'static,
        migrate: impl Fn(ConnId, &H::State) -> Option<H::State> + Send + Sync + 'static,
        timeout: Duration,
    ) -> Result<(), ReplaceError> {
        if self.group.is_in_turn_here() {
            return Err(CallError::OwnThread.into());
        }
        let commit = TwoPhaseCommit::new(self.reactors(), timeout);
        let with = Arc::new((new, migrate));
        let of = |index| Successor { index, with: Arc::clone(&with), handler: PhantomData };
        // Two concurrent replacements must enter all mailboxes in the same order. Otherwise they would wait for each
        // other.
        let in_concert = self.group.in_concert.lock().unwrap_or_else(PoisonError::into_inner);
        let is_replacing = self.group.replaces();
        for index in 0..self.reactors() {
            let (participant, successor) = (commit.participant(), of(index));
            let replace =
                move |reactor: &mut dyn Remotable| reactor.replace(&successor, participant);
            let told =
                self.push(Some(index), Box::new(WithReactor(replace)), 0, |task| -> Job { task });
            // The refused closure holds a vote, and is dropped after the outcome does not depend on it any more.
            match told {
                Ok(()) => {}
                // This reactor has drained before the others, and has no connection left.
                Err(Refused { why: Refusal::Stopped, .. }) => commit.is_absent(),
                Err(Refused { why, .. }) => commit.reject(CallError::from(why).into()),
            }
        }
        drop(in_concert);
        self.group.wake_all();
        let outcome = commit.outcome();
        drop(is_replacing);
        outcome
    }

    /// Calls all reactors, and waits for the answers. Skips reactors that have stopped: one may drain before the
    /// others.
    fn call_all<R: Send + 'static>(
        &self,
        closure: impl Fn(&mut dyn Remotable) -> R + Clone + Send + 'static,
        timeout: Duration,
    ) -> Result<Vec<R>, CallError> {
        const STOPPED: CallError = CallError::Refused(Refusal::Stopped);
        let give_up = Instant::now().checked_add(timeout);
        let left = || give_up.map_or(timeout, |at| at.saturating_duration_since(Instant::now()));
        let answers = (0..self.reactors())
            .map(|index| self.ask_reactor(index, closure.clone()).wait(left()))
            .filter(|answer| !matches!(answer, Err(STOPPED)))
            .collect::<Result<Vec<_>, _>>()?;
        if answers.is_empty() { Err(STOPPED) } else { Ok(answers) }
    }

    /// `reactor` is `None` if the id belongs to another server.
    fn push<I>(
        &self,
        reactor: Option<usize>,
        item: I,
        weight: usize,
        wrap: impl FnOnce(I) -> Job,
    ) -> Result<(), Refused<I>> {
        let Some(reactor) = reactor else {
            return Err(Refused { returned: item, why: Refusal::OtherServer });
        };
        let Some(remote) = self.group.remotes.get(reactor) else {
            return Err(Refused { returned: item, why: Refusal::Stopped });
        };
        remote.post(item, weight, wrap).map_err(|(returned, why)| Refused {
            returned,
            why: match why {
                NotTaken::Full => Refusal::Full,
                NotTaken::Closed => Refusal::Stopped,
            },
        })
    }
}

impl<H: Handler, N: Net> Reactor<H, N> {
    /// A handle to this reactor, and to all reactors of its server, for other threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.group))
    }
}

impl Context<'_> {
    /// A handle to this server, for other threads. A handler gives it to its worker threads.
    ///
    /// # Examples
    /// ```
    /// use readyloop::{Conn, Handle, Handler, Input, Result};
    ///
    /// struct Hasher { workers: std::sync::mpsc::Sender<(readyloop::ConnId, Vec<u8>, Handle)> }
    ///
    /// impl Handler for Hasher {
    ///     type State = ();
    ///
    ///     fn on_open(&mut self, _: &mut Conn) -> Result {
    ///         Ok(())
    ///     }
    ///
    ///     fn on_data(&mut self, conn: &mut Conn, _: &mut (), input: &mut Input) -> Result {
    ///         let Some(line) = input.take_line()? else { return Ok(()) };
    ///         conn.pause(); // until a worker has answered, by `Handle::post`
    ///         let handle = conn.reactor().handle();
    ///         self.workers.send((conn.id(), line.to_vec(), handle))?;
    ///         Ok(())
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn handle(&self) -> Handle {
        let group = Arc::clone(&self.view.table.shared).downcast();
        Handle::new(group.expect("the reactor has put its group there"))
    }
}

mod sealed {
    /// Which reactor a message goes to.
    pub trait Target {
        /// `None` if the target belongs to another server.
        fn reactor(&self, handle: &super::Handle) -> Option<usize>;
    }
}
use sealed::Target;

/// The number of a reactor.
impl Target for usize {
    fn reactor(&self, _: &Handle) -> Option<usize> {
        Some(*self)
    }
}

/// The reactor that serves the connection, or has served it.
impl Target for ConnId {
    fn reactor(&self, handle: &Handle) -> Option<usize> {
        handle.group.numbers.reactor_of(*self)
    }
}

/// The new handler of one reactor.
struct Successor<H, W> {
    index: usize,
    with: Arc<W>,
    handler: PhantomData<fn() -> H>,
}

impl<H, F, M> Replacement for Successor<H, (F, M)>
where
    H: Handler,
    F: Fn(usize) -> H,
    M: Fn(ConnId, &H::State) -> Option<H::State>,
{
    fn handler_type(&self) -> TypeId {
        TypeId::of::<H>()
    }

    fn make(&self) -> Box<dyn Any> {
        Box::new((self.with.0)(self.index))
    }

    fn migrate(&self, id: ConnId, state: &dyn Any) -> Option<Box<dyn Any>> {
        let state = state.downcast_ref().expect("a handler of this type has such states");
        Some(Box::new((self.with.1)(id, state)?))
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.group))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.counted = None; // before the reactor counts the handles
        self.group.handle_ended();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("reactors", &self.reactors()).finish_non_exhaustive()
    }
}
