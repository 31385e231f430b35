//! A reactor on each core.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crate::config::Config;
use crate::error::Error;
use crate::handle::Handle;
use crate::handler::Handler;
use crate::id::draw_numbers;
use crate::net::{ListenOptions, Net, Os};
use crate::one_line::OneLine;
use crate::panic_message::panic_message;
use crate::reactor::Reactor;
use crate::reactor::arrivals::Arrivals;
use crate::reactor::group::{Group, Remote};
use crate::report::Report;
use crate::result::BoxError;

type Stream = <Os as Net>::Stream;

/// Several reactors that serve together. Each runs on a thread of its own, with a handler of its own.
///
/// The first reactor accepts. It passes each new connection to the reactor with the fewest connections, where the
/// connection stays. So the load is even and every limit is exact. `SO_REUSEPORT` gives neither, because the kernel
/// spreads connections by a hash. While a callback blocks a reactor, that reactor gets no new connections, unless all
/// reactors are blocked.
///
/// The limits of [`Config`] apply to all reactors together: they share one [`queue_budget`](Config::queue_budget). For
/// [`Overflow::EvictIdlest`](crate::Overflow::EvictIdlest), each reactor reports its idlest connection once a turn.
///
/// Handlers share nothing by default: each is made on the thread of its reactor and stays there. They reach connections
/// of other reactors with a [`Handle`].
///
/// # Examples
/// ```no_run
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Echo, Server};
///
/// let cores = std::thread::available_parallelism().map_or(1, usize::from);
/// let mut server = Server::new(Config::new(), cores, |_reactor| Echo)?;
/// println!("listening on {}", server.listen("127.0.0.1:7000")?);
/// let report = server.run()?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
pub struct Server<H: Handler> {
    first: Reactor<H>,
    others: Vec<Os>,
    group: Arc<Group>,
    arrivals: Arc<Arrivals<Stream>>,
    make: Arc<dyn Fn(usize) -> H + Send + Sync>,
}

impl<H: Handler> Server<H> {
    /// Makes a server with this many reactors. `make` is called once for each reactor with its index, and returns the
    /// handler. The first handler is made in this call, each other one on the thread of its reactor, in
    /// [`run`](Self::run).
    ///
    /// # Errors
    /// [`Error::Config`] if settings contradict each other, or if `reactors` is not from 1 to 65,536. [`Error::Setup`]
    /// if the system refuses an event queue, most often for lack of descriptors.
    pub fn new(
        config: Config,
        reactors: usize,
        make: impl Fn(usize) -> H + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        config.validate()?;
        if !(1..=1 << 16).contains(&reactors) {
            return Err(Error::Config(format!(
                "cannot make {reactors} reactors: a server has from 1 to 65,536"
            )));
        }
        let nets: Result<Vec<_>, _> = (0..reactors).map(|_| Os::new()).collect();
        let mut nets = nets.map_err(Error::Setup)?;
        let group = Group::new(&config, &nets, draw_numbers(reactors));
        let others = nets.split_off(1);
        let net = nets.pop().expect("a server has at least one reactor");
        let arrivals = Arc::new(Arrivals::new(reactors));
        let shared = (Arc::clone(&group), Arc::clone(&arrivals));
        let first = Reactor::member(shared.0, shared.1, 0, net, config, make(0));
        Ok(Self { first, others, group, arrivals, make: Arc::new(make) })
    }

    /// Listens on an address, as [`Reactor::listen`] does.
    ///
    /// # Errors
    /// As [`Reactor::listen`].
    pub fn listen(&mut self, options: impl Into<ListenOptions>) -> Result<SocketAddr, Error> {
        self.first.listen(options)
    }

    /// Returns a handle to all reactors.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.first.handle()
    }

    /// Serves until all reactors have drained or were stopped, as [`Reactor::run`] does. The first reactor runs on this
    /// thread, each other one on a thread of its own. Returns how all connections ended.
    ///
    /// # Errors
    /// [`Error::Reactor`] if a reactor fails or if `make` panics. Then the other reactors are stopped. [`Error::Setup`]
    /// if the system refuses a thread. [`Error::ListenersLost`] if the server ended because its last listener died.
    pub fn run(mut self) -> Result<Report, Error> {
        let config = self.first.config().clone();
        let others: Vec<_> = (1..).zip(std::mem::take(&mut self.others)).collect();
        thread::scope(|scope| {
            let mut running = Vec::new();
            let mut failure = None;
            for (index, net) in others {
                let member = Member {
                    index,
                    group: Arc::clone(&self.group),
                    arrivals: Arc::clone(&self.arrivals),
                    make: Arc::clone(&self.make),
                    config: config.clone(),
                };
                let thread = thread::Builder::new().name(format!("reactor {index}"));
                match thread.spawn_scoped(scope, move || member.run(net)) {
                    Ok(thread) => running.push((index, thread)),
                    Err(error) => {
                        self.group.stop();
                        self.group.remotes[index].discard();
                        self.arrivals.discard(index);
                        failure.get_or_insert(Error::Setup(error));
                    }
                }
            }
            let first = || self.first.run_to_end();
            let first = (0, contained(0, &self.group, &self.arrivals, first));
            let mut report = Report::default();
            let results = running.into_iter().map(|(index, thread)| {
                (index, thread.join().unwrap_or_else(|payload| Err(describe(payload))))
            });
            for (index, result) in std::iter::once(first).chain(results) {
                match result {
                    Ok(more) => report.add(more),
                    Err(source) => {
                        failure.get_or_insert(Error::Reactor { index, source });
                    }
                }
            }
            match failure {
                Some(failure) => Err(failure),
                None => self.group.judge(report),
            }
        })
    }
}

/// One of the other reactors, before it has a thread.
struct Member<H: Handler> {
    index: usize,
    group: Arc<Group>,
    arrivals: Arc<Arrivals<Stream>>,
    make: Arc<dyn Fn(usize) -> H + Send + Sync>,
    config: Config,
}

impl<H: Handler> Member<H> {
    fn run(self, net: Os) -> Result<Report, BoxError> {
        let (group, arrivals) = (Arc::clone(&self.group), Arc::clone(&self.arrivals));
        contained(self.index, &group, &arrivals, || {
            let handler = (self.make)(self.index);
            let Self { group, arrivals, index, config, .. } = self;
            Reactor::member(group, arrivals, index, net, config, handler).run_to_end()
        })
    }
}

/// Runs one reactor. If it fails or panics, stops all reactors, so that none waits for it.
fn contained(
    index: usize,
    group: &Group,
    arrivals: &Arrivals<Stream>,
    run: impl FnOnce() -> Result<Report, Error>,
) -> Result<Report, BoxError> {
    let result = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(BoxError::from),
        Err(payload) => Err(describe(payload)),
    };
    if let Err(error) = &result {
        log::error!("reactor {index} failed, all reactors stop: {}", OneLine(&**error));
        group.stop(); // before anything else, so that no other reactor waits for this one
        group.remotes[index].discard();
        arrivals.discard(index);
    }
    result
}

fn describe(payload: Box<dyn Any + Send>) -> BoxError {
    panic_message(payload).into()
}

impl<H: Handler> Drop for Server<H> {
    /// Discards the messages and connections for reactors that never ran. Further ones are refused.
    fn drop(&mut self) {
        self.group.remotes.iter().for_each(Remote::discard);
        (0..self.group.remotes.len()).for_each(|index| self.arrivals.discard(index));
    }
}

impl<H: Handler> fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reactors = &self.group.remotes.len();
        f.debug_struct("Server").field("reactors", reactors).field("first", &self.first).finish()
    }
}
