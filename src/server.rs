//! A reactor on every core.

use std::any::Any;
use std::fmt;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
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
use crate::reactor::Reactor;
use crate::reactor::arrivals::Arrivals;
use crate::reactor::group::{Group, Remote};
use crate::report::Report;
use crate::result::BoxError;

type Stream = <Os as Net>::Stream;

/// Several reactors that serve together, each on a thread of its own with a handler of its own.
///
/// The first one accepts, and gives each newcomer to the reactor with the fewest connections: so the load is
/// even and every limit exact, which `SO_REUSEPORT` does not give, as the kernel spreads by a hash. A
/// connection stays with its reactor. [`Config`] speaks of all of them together; of the
/// [`queue_budget`](Config::queue_budget) each has an equal part, and of the connections that
/// [`Overflow::EvictIdlest`](crate::Overflow::EvictIdlest) looks at, each tells of its idlest once a turn. A reactor
/// that is blocked by a callback gets no newcomers meanwhile, unless the others can take none.
///
/// Handlers share nothing unless they are made to: each is made by the reactor's thread and stays there. They
/// reach each other's connections by a [`Handle`].
///
/// # Examples
/// ```no_run
/// # fn main() -> Result<(), readyloop::Error> {
/// use readyloop::{Config, Server, services::Echo};
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
    /// Makes a server of so many reactors. `make` is called for each handler, with the number of its reactor:
    /// for the first here, for the others on their threads when they run.
    ///
    /// # Errors
    /// [`Error::Config`] if settings contradict each other or there is to be no reactor or more than 65,536;
    /// [`Error::Setup`] if the system gives no event queue, most often for want of descriptors.
    pub fn new(
        config: Config,
        reactors: usize,
        make: impl Fn(usize) -> H + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        config.validate()?;
        if !(1..=1 << 16).contains(&reactors) {
            return Err(Error::Config(format!("{reactors} reactors: not from 1 to 65,536")));
        }
        let nets: Result<Vec<_>, _> = (0..reactors).map(|_| Os::new()).collect();
        let mut nets = nets.map_err(Error::Setup)?;
        let group = Group::new(&config, &nets, draw_numbers(reactors));
        let others = nets.split_off(1);
        let net = nets.pop().expect("there is at least one");
        let arrivals = Arc::new(Arrivals::new(reactors));
        let shared = (Arc::clone(&group), Arc::clone(&arrivals));
        let first = Reactor::member(shared.0, shared.1, 0, net, config, make(0));
        Ok(Self { first, others, group, arrivals, make: Arc::new(make) })
    }

    /// Listens on an address, as [`Reactor::listen`] does.
    ///
    /// # Errors
    /// As [`Reactor::listen`].
    pub fn listen(&mut self, addr: impl ToSocketAddrs) -> Result<SocketAddr, Error> {
        self.first.listen(addr)
    }

    /// Listens on an address, as [`Reactor::listen_with`] does.
    ///
    /// # Errors
    /// As [`Reactor::listen_with`].
    pub fn listen_with(
        &mut self,
        addr: impl ToSocketAddrs,
        options: &ListenOptions,
    ) -> Result<SocketAddr, Error> {
        self.first.listen_with(addr, options)
    }

    /// Accepts connections from a socket that listens already, as [`Reactor::listen_from_std`] does.
    ///
    /// # Errors
    /// As [`Reactor::listen_from_std`].
    pub fn listen_from_std(
        &mut self,
        listener: TcpListener,
        options: &ListenOptions,
    ) -> Result<SocketAddr, Error> {
        self.first.listen_from_std(listener, options)
    }

    /// A handle to all reactors.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.first.handle()
    }

    /// Serves until all reactors have drained or were stopped, as [`Reactor::run`] does: the first on this
    /// thread, each other on one of its own. Returns how all connections fared.
    ///
    /// # Errors
    /// [`Error::Reactor`] if one fails, or its handler's making panics; the others are stopped then.
    /// [`Error::Setup`] if the system gives no thread; [`Error::ListenersLost`] if they have ended because the
    /// last listener has died.
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

/// Whatever makes one reactor fail, all end, and nobody waits for this one.
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
        log::error!("reactor {index} has failed, so all stop: {}", OneLine(&**error));
        group.stop(); // first of all
        group.remotes[index].discard();
        arrivals.discard(index);
    }
    result
}

fn describe(payload: Box<dyn Any + Send>) -> BoxError {
    crate::reactor::panic_message(payload).into()
}

impl<H: Handler> Drop for Server<H> {
    /// What was posted to reactors that never ran is dropped; nothing more is taken in.
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
