//! What the reactors of a server share, and what other threads reach of them.
//!
//! It has no type parameters, so that a [`Handle`](crate::Handle) has none either: a closure that is posted meets
//! the reactor as a [`Remotable`].

use std::any::{Any, TypeId};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::addr::Addr;
use crate::config::Config;
use crate::contain::contain;
use crate::context::Context;
use crate::core::admission::{Admission, Idle};
use crate::core::mailbox::{Mailbox, NotTaken};
use crate::core::memory::Budget;
use crate::core::seqlock::Seqlock;
use crate::error::Error;
use crate::id::{ConnId, Numbers};
use crate::net::{ListenOptions, Net, Wake};
use crate::report::Report;
use crate::stats::{FIGURES, Stats, Tally};
use crate::suspension::Suspension;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, PoisonError};
use crate::two_phase_commit::Participant;

/// What is run on a reactor's thread for another one. It is boxed before a mailbox is locked: there may be a flood of
/// these.
pub(crate) type Job = Box<dyn Task + Send>;

/// What a [`Job`] does.
pub(crate) trait Task {
    fn run(self: Box<Self>, reactor: &mut dyn Remotable);
}

/// A task that needs no more than the reactor's context.
pub(crate) struct WithContext<F>(pub(crate) F);

impl<F: FnOnce(&mut Context<'_>)> Task for WithContext<F> {
    fn run(self: Box<Self>, reactor: &mut dyn Remotable) {
        let mut closure = Some(self.0);
        reactor.with_context(&mut |context| {
            if let Some(closure) = closure.take() {
                closure(context);
            }
        });
    }
}

/// A task for the reactor itself.
pub(crate) struct WithReactor<F>(pub(crate) F);

impl<F: FnOnce(&mut dyn Remotable)> Task for WithReactor<F> {
    fn run(self: Box<Self>, reactor: &mut dyn Remotable) {
        (self.0)(reactor);
    }
}

/// A reactor, as a task meets it: whatever its handler and its network are.
pub(crate) trait Remotable {
    /// Shows its context, once.
    fn with_context(&mut self, act: &mut dyn FnMut(&mut Context<'_>));

    fn suspend(&mut self, how: Suspension);

    fn resume(&mut self) -> Result<(), Error>;

    fn listen(&mut self, options: ListenOptions) -> Result<SocketAddr, Error>;

    fn close_listener(&mut self, addr: Addr) -> bool;

    /// Puts another handler in the place of its own, if all other reactors do so too.
    fn replace(&mut self, replacement: &dyn Replacement, participant: Participant);
}

/// A handler that is to take over, and how. Types are checked when it is used.
pub(crate) trait Replacement {
    fn handler_type(&self) -> TypeId;

    fn make(&self) -> Box<dyn Any>;

    fn migrate(&self, id: ConnId, state: &dyn Any) -> Option<Box<dyn Any>>;
}

thread_local! {
    /// The group whose turn is being made on this thread, by its address; 0 if none is.
    static IN_TURN: Cell<usize> = const { Cell::new(0) };
}

/// The reactors of a server, most often one, as all threads see them.
pub(crate) struct Group {
    pub(crate) remotes: Box<[Remote]>,
    pub(super) admission: Arc<Mutex<Admission>>,
    /// What the queues of all of them may hold.
    pub(super) budget: Arc<Budget>,
    /// As many references as there are handles, and this one.
    pub(crate) handles: Arc<()>,
    /// Set once the last listener has died: where it listened, and what `accept` said.
    lost: Mutex<Option<(SocketAddr, io::Error)>>,
    /// Whether all listeners are dead, so that the last handle's end may be the end of all.
    is_without_listeners: AtomicBool,
    /// By which their connections' ids are told from those of other servers.
    pub(crate) numbers: Arc<Numbers>,
    /// From when all of them count time.
    pub(super) epoch: Instant,
    /// Held while something is posted to all of them that they then wait for each other to do: two of these
    /// must reach all in the same order.
    pub(crate) in_concert: Mutex<()>,
    /// How many replacements of the handler are under way.
    replacements: AtomicU64,
}

/// A replacement of the handler is under way until this is dropped.
pub(crate) struct Replacing<'a>(&'a AtomicU64);

impl Drop for Replacing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// One reactor, as other threads see it.
pub(crate) struct Remote {
    pub(crate) mailbox: Mailbox<Job>,
    is_stopping: AtomicBool,
    has_orders: AtomicBool,
    orders: Mutex<Orders>,
    stats: Seqlock<FIGURES>,
    /// Since when its idlest connection is silent, in milliseconds since the epoch; the greatest number if
    /// that is not kept or there is none. As of its last turn, and without the time that this turn took if it was
    /// slow, as no peer could be heard in it.
    pub(super) idlest: AtomicU64,
    /// When the turn has begun that it makes, in milliseconds since the epoch; [`LISTENS`] between two turns.
    pub(super) busy_since: AtomicU64,
    waker: Arc<dyn Wake>,
}

/// A turn that takes so long has stalled its reactor, in milliseconds. Most turns are much shorter, and clients that
/// come again as soon as they are served are all with the stalled reactor a few milliseconds later.
const STALLED: u64 = 5;

/// A reactor waits for events, or will before it does anything else.
pub(super) const LISTENS: u64 = u64::MAX;

/// What it is told that cannot be refused: a later order takes the place of an earlier one.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) config: Option<Config>,
    pub(super) drain: Option<Duration>,
}

impl Group {
    /// A group of as many reactors as there are nets; the first one's clock counts. Their numbers begin with
    /// `number`.
    pub(crate) fn new<'a, N: Net + 'a>(
        config: &Config,
        nets: impl IntoIterator<Item = &'a N>,
        number: u32,
    ) -> Arc<Self> {
        let nets: Vec<&N> = nets.into_iter().collect();
        let first = nets.first().expect("a group has at least one reactor");
        let descriptors = first.descriptor_limit();
        let limits = config.admission(descriptors, nets.len());
        config.warn_if_lowered(&limits, descriptors);
        Arc::new(Self {
            admission: Arc::new(Mutex::new(Admission::new(limits, nets.len()))),
            budget: Budget::new(config.queue_budget, nets.len()),
            handles: Arc::default(),
            lost: Mutex::new(None),
            is_without_listeners: AtomicBool::new(false),
            numbers: Arc::new(Numbers::new(number, nets.len())),
            epoch: first.now(),
            in_concert: Mutex::new(()),
            replacements: AtomicU64::new(0),
            remotes: nets.iter().map(|net| Remote::new(config, nets.len(), net.waker())).collect(),
        })
    }

    /// From now on no listener is left, or one is again.
    pub(super) fn is_without_listeners(&self, so: bool) {
        self.is_without_listeners.store(so, Ordering::SeqCst);
    }

    /// Whether a handle exists, which may have anything done.
    pub(super) fn has_handles(&self) -> bool {
        Arc::strong_count(&self.handles) > 1
    }

    /// A handle has ended. If no listener is left, the first reactor looks whether that was the last one.
    pub(crate) fn handle_ended(&self) {
        if self.is_without_listeners.load(Ordering::SeqCst) && !self.has_handles() {
            self.remotes[0].wake();
        }
    }

    /// The server ends because its last listener is lost.
    pub(super) fn ends_by_loss(&self, addr: SocketAddr, error: io::Error) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some((addr, error));
    }

    /// How it ended: in order, or because the last listener was lost.
    pub(crate) fn judge(&self, report: Report) -> Result<Report, Error> {
        match self.lost.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some((addr, source)) => Err(Error::ListenersLost { addr: addr.into(), source, report }),
            None => Ok(report),
        }
    }

    pub(crate) fn stop(&self) {
        for remote in &self.remotes {
            remote.is_stopping.store(true, Ordering::Release);
            remote.wake();
        }
    }

    /// Has every reactor make an order its own. Returns whether one is there to do so.
    fn order(&self, change: impl Fn(&mut Orders)) -> bool {
        let mut is_heard = false;
        for remote in &self.remotes {
            is_heard |= !remote.mailbox.is_closed();
            change(&mut remote.orders.lock().unwrap_or_else(PoisonError::into_inner));
            remote.has_orders.store(true, Ordering::Release);
            remote.wake();
        }
        is_heard
    }

    pub(crate) fn order_config(&self, config: &Config) -> bool {
        self.order(|orders| orders.config = Some(config.clone()))
    }

    pub(crate) fn order_drain(&self, timeout: Duration) {
        self.order(|orders| orders.drain = Some(timeout));
    }

    /// Begins a replacement of the handler. Until it ends no mailbox waits for memory: a reactor that has
    /// agreed waits for the others, and does not give any back meanwhile.
    pub(crate) fn replaces(&self) -> Replacing<'_> {
        self.replacements.fetch_add(1, Ordering::Release);
        Replacing(&self.replacements)
    }

    pub(super) fn is_replacing(&self) -> bool {
        self.replacements.load(Ordering::Acquire) > 0
    }

    pub(crate) fn wake_all(&self) {
        for remote in &self.remotes {
            remote.wake();
        }
    }

    pub(super) fn wake_others(&self, index: usize) {
        let others = self.remotes.iter().enumerate().filter(|(other, _)| *other != index);
        others.for_each(|(_, remote)| {
            remote.wake(); // if that fails it is logged, and the next one to close tries again
        });
    }

    /// The figures of all of them together, each as of the end of its last turn.
    pub(crate) fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for remote in &self.remotes {
            sum.add(Stats::from_numbers(remote.stats.read()));
        }
        sum
    }

    /// Whether this thread is making a turn of one of these reactors, so that it must not wait for them.
    pub(crate) fn is_in_turn_here(&self) -> bool {
        IN_TURN.get() == std::ptr::from_ref(self) as usize
    }

    /// This thread makes a turn until what is returned is dropped.
    pub(super) fn in_turn(&self) -> InTurn {
        InTurn { around: IN_TURN.replace(std::ptr::from_ref(self) as usize) }
    }
}

/// A turn is made on this thread until this is dropped. Then the turn around it, if any, goes on.
pub(super) struct InTurn {
    around: usize,
}

impl Drop for InTurn {
    fn drop(&mut self) {
        IN_TURN.set(self.around);
    }
}

impl Remote {
    fn new(config: &Config, reactors: usize, waker: Arc<dyn Wake>) -> Self {
        Self {
            mailbox: Mailbox::new(config.mailbox_limit, config.mailbox_budget(reactors)),
            is_stopping: AtomicBool::new(false),
            has_orders: AtomicBool::new(false),
            orders: Mutex::default(),
            stats: Seqlock::new(),
            idlest: AtomicU64::new(u64::MAX),
            busy_since: AtomicU64::new(LISTENS),
            waker,
        }
    }

    /// Puts something into the mailbox, or returns it.
    pub(crate) fn post<I>(
        &self,
        item: I,
        weight: usize,
        wrap: impl FnOnce(I) -> Job,
    ) -> Result<(), (I, NotTaken)> {
        self.put(&self.mailbox, item, weight, wrap)
    }

    /// Whether its turn takes long, if it is `now`. A connection that is given to it would wait.
    pub(super) fn is_stalled(&self, now: u64) -> bool {
        let busy_since = self.busy_since.load(Ordering::Relaxed);
        busy_since != LISTENS && now.saturating_sub(busy_since) >= STALLED
    }

    /// What it says of its idlest connection, if it is `now`.
    pub(super) fn idle(&self, now: u64) -> Option<Idle> {
        let since = self.idlest.load(Ordering::Relaxed);
        let heard_until = now.min(self.busy_since.load(Ordering::Relaxed));
        (since < u64::MAX).then(|| Idle {
            silence: heard_until.saturating_sub(since),
            is_stalled: self.is_stalled(now),
        })
    }

    /// Puts something in, and wakes the reactor if that is needed.
    pub(super) fn put<I, T>(
        &self,
        mailbox: &Mailbox<T>,
        item: I,
        weight: usize,
        wrap: impl FnOnce(I) -> T,
    ) -> Result<(), (I, NotTaken)> {
        if mailbox.push(item, weight, wrap)? && !self.wake() {
            mailbox.not_woken();
        }
        Ok(())
    }

    /// Returns whether it could be woken.
    fn wake(&self) -> bool {
        let woken: io::Result<()> = self.waker.wake();
        if let Err(error) = &woken {
            log::error!("cannot wake a reactor: {error}");
        }
        woken.is_ok()
    }

    /// Takes nothing in any more.
    pub(crate) fn close(&self) {
        self.mailbox.close();
    }

    /// Takes nothing in any more, and drops what it has: there is no reactor to do it.
    pub(crate) fn discard(&self) {
        self.close();
        let mut jobs = Vec::new();
        self.mailbox.take(usize::MAX, &mut jobs);
        for job in jobs {
            contain(|| drop(job)); // it holds what is the user's
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    pub(super) fn has_orders(&self) -> bool {
        self.has_orders.load(Ordering::Acquire)
    }

    pub(super) fn take_orders(&self) -> Orders {
        self.has_orders.store(false, Ordering::Release); // before they are read, or one could be missed
        std::mem::take(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn publish(&self, stats: &mut Tally) {
        if stats.take_news() {
            self.stats.write(stats.get().numbers());
        } else {
            let (first, numbers) = stats.get().busy_numbers(); // the usual case
            self.stats.write_from(first, numbers);
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("reactors", &self.remotes.len()).finish_non_exhaustive()
    }
}
