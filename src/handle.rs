//! A server, as seen from other threads.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::ballot::Ballot;
use crate::config::Config;
use crate::context::ConnInfo;
#[cfg(feature = "sim")]
use crate::core::admission::Balance;
use crate::core::mailbox::NotTaken;
use crate::error::Error;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::{ConnectOptions, Net, Os};
use crate::reactor::group::{Group, Job};
use crate::reactor::{Reactor, Suspension};
use crate::refusal::{CallError, Refusal, Refused, ReplaceError};
use crate::stats::Stats;
use crate::sync::PoisonError;

/// Reaches a reactor, or all reactors of a [`Server`](crate::Server), from other threads; made by
/// [`Reactor::handle`](crate::Reactor::handle) or [`Server::handle`](crate::Server::handle).
///
/// What it sends waits in the mailbox of a reactor, in order, until that has a turn; many messages cost one
/// wake-up. The mailbox is bounded ([`mailbox_limit`](Config::mailbox_limit)), and what it does not take
/// comes back; a closure that it has taken is run, even if the reactor stops. (Only a reactor that fails, or
/// never runs, drops it.) A handler's own worker threads answer by it, too.
///
/// # Examples
/// A server that is asked something while it runs:
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use readyloop::{Config, Reactor, services::Echo};
///
/// let mut reactor = Reactor::new(Config::new(), Echo)?;
/// reactor.listen("127.0.0.1:0")?;
/// let handle = reactor.handle();
/// let asker = std::thread::spawn(move || {
///     let open = handle.call(|reactor| reactor.stats().open, Duration::from_secs(10));
///     handle.stop();
///     open
/// });
/// reactor.run()?; // returns when stopped
/// assert_eq!(asker.join().unwrap()?, 0);
/// # Ok(())
/// # }
/// ```
pub struct Handle<H: Handler, N: Net = Os> {
    group: Arc<Group<H, N>>,
    /// Of the group, which counts its handles by it. `None` only while this is dropped.
    counted: Option<Arc<()>>,
}

impl<H: Handler, N: Net> Handle<H, N> {
    pub(crate) fn new(group: Arc<Group<H, N>>) -> Self {
        let counted = Some(Arc::clone(&group.handles));
        Self { group, counted }
    }

    #[cfg(feature = "sim")]
    pub(crate) fn set_balance(&self, balance: Balance) {
        self.group.set_balance(balance);
    }

    /// How many reactors there are. They are numbered from 0.
    #[must_use]
    pub fn reactors(&self) -> usize {
        self.group.remotes.len()
    }

    /// Runs a closure on the thread of the first reactor, between two callbacks: Erlang's `cast`. All that
    /// the reactor has is at hand: its connections ([`Reactor::with`], [`Reactor::context`]), its handler,
    /// its listeners.
    ///
    /// The closure must not block, or everybody waits; and it must leave the reactor in its place, instead of
    /// swapping it for another. If it panics that is logged and counted, and the reactor goes on.
    ///
    /// # Errors
    /// [`Refused`], with the closure, if the mailbox is full or the reactor has stopped. A closure that was
    /// taken runs, at the latest when the reactor stops; unless that fails or never ran.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::{Handle, Refusal, services::Echo};
    /// fn tell_everybody(handle: &Handle<Echo>, news: &'static [u8]) -> Result<(), Refusal> {
    ///     for reactor in 0..handle.reactors() {
    ///         handle
    ///             .post_to(reactor, move |reactor| reactor.context().broadcast(news))
    ///             .map_err(|refused| refused.why)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn post<F>(&self, closure: F) -> Result<(), Refused<F>>
    where
        F: FnOnce(&mut Reactor<H, N>) + Send + 'static,
    {
        self.post_to(0, closure)
    }

    /// Which reactor serves the connection that an id names, or did; `None` if the id is of another server.
    #[must_use]
    pub fn reactor_of(&self, id: ConnId) -> Option<usize> {
        self.group.numbers.reactor_of(id)
    }

    /// Runs a closure as [`post`](Self::post) does, on the reactor with this number.
    ///
    /// # Errors
    /// As [`post`](Self::post). A reactor that there is not is one that has stopped.
    pub fn post_to<F>(&self, reactor: usize, closure: F) -> Result<(), Refused<F>>
    where
        F: FnOnce(&mut Reactor<H, N>) + Send + 'static,
    {
        // Boxed before: there may be a flood of these, so nothing is allocated under the mailbox's lock.
        let wrap = |closure: Box<F>| -> Job<H, N> { closure };
        self.push(Some(reactor), Box::new(closure), 0, wrap)
            .map_err(|refused| Refused { returned: *refused.returned, why: refused.why })
    }

    /// Runs a closure as [`post`](Self::post) does, on the reactor that serves a connection. The connection may
    /// have ended when the closure runs: [`Reactor::with`] tells.
    ///
    /// # Errors
    /// As [`post`](Self::post); and [`Refused`], with the closure, if the id is of another server.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::{ConnId, Handle, Refusal, services::Echo};
    /// /// A worker thread has the answer to what a connection asked.
    /// fn answer(handle: &Handle<Echo>, id: ConnId, answer: Vec<u8>) -> Result<(), Refusal> {
    ///     let tell = move |reactor: &mut readyloop::Reactor<Echo>| {
    ///         let _ = reactor.with(id, |_echo, conn, _state| conn.send(&answer)); // it may be gone
    ///     };
    ///     handle.post_for(id, tell).map_err(|refused| refused.why)
    /// }
    /// ```
    pub fn post_for<F>(&self, id: ConnId, closure: F) -> Result<(), Refused<F>>
    where
        F: FnOnce(&mut Reactor<H, N>) + Send + 'static,
    {
        match self.reactor_of(id) {
            Some(reactor) => self.post_to(reactor, closure),
            None => Err(Refused { returned: closure, why: Refusal::OtherServer }),
        }
    }

    /// Runs a closure as [`post`](Self::post) does, and waits for what it returns: Erlang's `call`.
    ///
    /// Not from the thread that makes the reactor's turns: inside of a turn that is an error, and between
    /// turns the time runs out.
    ///
    /// # Errors
    /// [`CallError`]. After [`CallError::TimedOut`] the closure may still run; what it returns is dropped.
    pub fn call<R, F>(&self, closure: F, timeout: Duration) -> Result<R, CallError>
    where
        R: Send + 'static,
        F: FnOnce(&mut Reactor<H, N>) -> R + Send + 'static,
    {
        self.call_to(0, closure, timeout)
    }

    /// Calls as [`call`](Self::call) does, the reactor with this number.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_to<R, F>(
        &self,
        reactor: usize,
        closure: F,
        timeout: Duration,
    ) -> Result<R, CallError>
    where
        R: Send + 'static,
        F: FnOnce(&mut Reactor<H, N>) -> R + Send + 'static,
    {
        if self.group.is_in_turn_here() {
            return Err(CallError::OwnThread);
        }
        let (sender, answer) = mpsc::sync_channel(1);
        self.post_to(reactor, move |reactor| {
            let _ = sender.send(closure(reactor)); // nobody waits any more
        })?;
        answer.recv_timeout(timeout).map_err(|error| match error {
            RecvTimeoutError::Timeout => CallError::TimedOut,
            RecvTimeoutError::Disconnected => CallError::NoAnswer,
        })
    }

    /// Begins to open a connection outward, as [`Reactor::connect_with`] does, on one reactor after the other.
    /// The handler there learns what becomes of it. Who needs its [`ConnId`] posts a closure that calls
    /// [`Reactor::connect_with`].
    ///
    /// Addresses, and no names, so that nothing blocks: `"example.org:80".to_socket_addrs()` gives them.
    ///
    /// # Errors
    /// [`Refused`], with the addresses, if the mailbox is full or the reactor has stopped. If it is about to
    /// stop when it comes to this, nothing follows.
    ///
    /// # Examples
    /// ```
    /// # use readyloop::{ConnectOptions, Handle, Refusal, services::Echo};
    /// fn dial(handle: &Handle<Echo>) -> Result<(), Refusal> {
    ///     let upstream = [([192, 0, 2, 1], 7000).into(), ([192, 0, 2, 2], 7000).into()];
    ///     handle.connect(upstream, &ConnectOptions::new()).map_err(|refused| refused.why)
    /// }
    /// ```
    pub fn connect(
        &self,
        addrs: impl Into<Vec<SocketAddr>>,
        options: &ConnectOptions,
    ) -> Result<(), Refused<Vec<SocketAddr>>> {
        let mut addrs = addrs.into();
        let mut why = Refusal::Stopped;
        // One may have drained before the others.
        for _ in 0..self.reactors() {
            let options = options.clone();
            let dial = |addrs: Vec<SocketAddr>| -> Job<H, N> {
                Box::new(move |reactor| {
                    let _ = reactor.connect_with(&addrs[..], &options); // unless it is about to stop
                })
            };
            match self.push(Some(self.group.next_to_dial()), addrs, 0, dial) {
                Ok(()) => return Ok(()),
                Err(refused) => (addrs, why) = (refused.returned, refused.why),
            }
            if why == Refusal::Full {
                break;
            }
        }
        Err(Refused { returned: addrs, why })
    }

    /// Queues bytes for a connection, as [`Conn::send`](crate::Conn::send) does. If the connection has ended
    /// when they come to it they go where all goes that is sent to somebody who has just left.
    ///
    /// # Errors
    /// [`Refused`], with the bytes, if the mailbox is full, has so many bytes waiting in it that these would go
    /// over the reactor's part of the [`queue_budget`](Config::queue_budget), the reactor has stopped, or the id
    /// is of another server.
    pub fn send(&self, id: ConnId, bytes: impl Into<Vec<u8>>) -> Result<(), Refused<Vec<u8>>> {
        let bytes = bytes.into();
        let weight = bytes.len();
        self.push(self.reactor_of(id), bytes, weight, |bytes| {
            Box::new(move |reactor| {
                let _ = reactor.context().send(id, &bytes); // it may be gone
            })
        })
    }

    /// Closes a connection in order, as [`Conn::close`](crate::Conn::close) does; after what was sent to it
    /// by this handle before. If it has ended there is nothing to do.
    ///
    /// # Errors
    /// [`Refused`] if the mailbox is full, the reactor has stopped, or the id is of another server.
    pub fn close(&self, id: ConnId) -> Result<(), Refused<ConnId>> {
        self.push(self.reactor_of(id), id, 0, |id| {
            Box::new(move |reactor| {
                let _ = reactor.context().close(id); // it may be gone
            })
        })
    }

    /// All connections, those of each reactor as of one moment, in no particular order. It takes the
    /// reactors time in proportion to their number.
    ///
    /// # Errors
    /// [`CallError`], if one of the reactors does not answer in time.
    pub fn connections(&self, timeout: Duration) -> Result<Vec<ConnInfo>, CallError> {
        let list = |reactor: &mut Reactor<H, N>| reactor.context().infos().collect::<Vec<_>>();
        Ok(self.call_all(list, timeout)?.concat())
    }

    /// What was counted so far, over all reactors: as of the end of the last turn of each. It costs the
    /// reactors nothing, whether they answer or not.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.group.stats()
    }

    /// Tells all reactors something else, as [`Reactor::reconfigure`] does: each at its next turn, however
    /// full its mailbox is. What is not said is as by default; to change one thing begin with what there is,
    /// `handle.call(|reactor| reactor.config().clone(), timeout)`.
    ///
    /// # Errors
    /// [`Error::Config`] if settings contradict each other, [`Error::Stopped`] if no reactor runs any more;
    /// then nothing changes.
    pub fn reconfigure(&self, config: &Config) -> Result<(), Error> {
        config.validate()?;
        if self.group.order_config(config) { Ok(()) } else { Err(Error::Stopped) }
    }

    /// Takes nobody in from now on, as [`Reactor::suspend`] does; when this returns it is done.
    ///
    /// # Errors
    /// [`CallError`], if one of the reactors does not answer in time.
    pub fn suspend(&self, how: Suspension, timeout: Duration) -> Result<(), CallError> {
        self.call_all(move |reactor| reactor.suspend(how), timeout).map(drop)
    }

    /// Goes on taking newcomers in, as [`Reactor::resume`] does.
    ///
    /// # Errors
    /// As [`Reactor::resume`]; [`Error::Call`] if one of the reactors does not answer in time.
    pub fn resume(&self, timeout: Duration) -> Result<(), Error> {
        self.call_all(|reactor| reactor.resume(), timeout)?.into_iter().collect()
    }

    /// Begins an end that finishes the work, on all reactors: see [`Reactor::drain`]. That cannot be refused.
    pub fn drain(&self, timeout: Duration) {
        self.group.order_drain(timeout);
    }

    /// Stops all reactors at the end of their turn, waking those that wait. To stop what has stopped already
    /// does nothing.
    pub fn stop(&self) {
        self.group.stop();
    }

    /// Puts another handler in place of the one that runs: Erlang's `code_change`. Each reactor makes its new
    /// one by calling `new` with its number, and shows the state of each of its connections to `migrate`,
    /// which returns the one to have from now on, or `None` if that is the same. Then all take over, between
    /// two callbacks, or none does. Connections, queued bytes, input and timers stay.
    ///
    /// To change from one type of handler to another, have a reactor of `Box<dyn Handler<State = S>>` (with
    /// `+ Send`, if it is to be made in one thread and to run in another).
    ///
    /// Reactors wait for each other with it, at most for `timeout`.
    ///
    /// # Errors
    /// [`ReplaceError`]; then the old handlers go on, everywhere.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use readyloop::{Config, Handler, Reactor, from_fn, services::Echo};
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
    pub fn replace(
        &self,
        new: impl Fn(usize) -> H + Send + Sync + 'static,
        migrate: impl Fn(ConnId, &H::State) -> Option<H::State> + Send + Sync + 'static,
        timeout: Duration,
    ) -> Result<(), ReplaceError> {
        if self.group.is_in_turn_here() {
            return Err(CallError::OwnThread.into());
        }
        let ballot = Ballot::new(self.reactors(), timeout);
        let with = Arc::new((new, migrate));
        // Two that change all must come to all in the same order, or they would wait for each other.
        let in_concert = self.group.in_concert.lock().unwrap_or_else(PoisonError::into_inner);
        let is_replacing = self.group.replaces();
        for index in 0..self.reactors() {
            let (voter, with) = (ballot.voter(), Arc::clone(&with));
            let change = move |reactor: &mut Reactor<H, N>| {
                let successor = reactor.prepare(|| (with.0)(index), &with.1);
                reactor.take_over(successor, voter);
            };
            match self.post_to(index, change) {
                Ok(()) => {}
                // It has drained before the others, and has nobody left to serve.
                Err(Refused { why: Refusal::Stopped, .. }) => ballot.is_absent(),
                Err(Refused { why, .. }) => ballot.reject(CallError::from(why).into()),
            }
        }
        drop(in_concert);
        self.group.wake_all();
        let outcome = ballot.outcome();
        drop(is_replacing);
        outcome
    }

    /// Calls all reactors that run, and waits for all answers. One may have drained before the others.
    fn call_all<R: Send + 'static>(
        &self,
        closure: impl Fn(&mut Reactor<H, N>) -> R + Clone + Send + 'static,
        timeout: Duration,
    ) -> Result<Vec<R>, CallError> {
        const STOPPED: CallError = CallError::Refused(Refusal::Stopped);
        let give_up = Instant::now().checked_add(timeout);
        let left = || give_up.map_or(timeout, |at| at.saturating_duration_since(Instant::now()));
        let answers = (0..self.reactors())
            .map(|index| self.call_to(index, closure.clone(), left()))
            .filter(|answer| !matches!(answer, Err(STOPPED)))
            .collect::<Result<Vec<_>, _>>()?;
        if answers.is_empty() { Err(STOPPED) } else { Ok(answers) }
    }

    /// `None` stands for the reactor of an id that is not of this server.
    fn push<I>(
        &self,
        reactor: Option<usize>,
        item: I,
        weight: usize,
        wrap: impl FnOnce(I) -> Job<H, N>,
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

impl<H: Handler, N: Net> Clone for Handle<H, N> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.group))
    }
}

impl<H: Handler, N: Net> Drop for Handle<H, N> {
    fn drop(&mut self) {
        self.counted = None; // before the reactor counts
        self.group.handle_ended();
    }
}

impl<H: Handler, N: Net> fmt::Debug for Handle<H, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("reactors", &self.reactors()).finish_non_exhaustive()
    }
}
