//! One run: the checks before it, and how to end it early.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, Sender};

use crate::clock::Clock;
use crate::content::Content;
use crate::coordinator::Coordinator;
use crate::driver::Common;
use crate::error::Error;
use crate::events::Event;
use crate::plan::{Load, Plan};
use crate::preflight;
use crate::report::Report;
use crate::sources::{self, Sources};

/// A run that can start: its plan is checked, and nothing is open yet.
pub struct Bench {
    target: String,
    plan: Plan,
    coordinator: Coordinator,
    events: Sender<Event>,
}

impl Bench {
    /// Prepares a run against `target`: an address or a name, and a port. If the name has several addresses, a
    /// connection goes to the first that accepts it.
    ///
    /// Each connection takes a descriptor. Raise the limit of open files before the call.
    ///
    /// # Errors
    /// - [`Error::Plan`]: the plan contradicts itself ([`Plan::check`]); the port is 0; an address family of
    ///   [`sources`](Plan::sources) does not reach the target.
    /// - [`Error::System`]: the name has no address; the limit of open files or the range of ports is too small;
    ///   the server's process cannot be read.
    ///
    /// # Examples
    /// See [above](crate#examples).
    pub fn new(target: &str, plan: Plan) -> Result<Self, Error> {
        plan.check()?;
        let mut targets = resolve(target)?;
        let process = std::process::id();
        let churns = plan.load == Load::Churn;
        let ports = preflight::ports();
        let sources =
            Sources::choose(&plan.sources, &targets, plan.connections, churns, process, ports);
        targets.retain(|target| sources.reach(target));
        if targets.is_empty() {
            return Err(Error::Plan(format!(
                "{target} has no address of the family (IPv4 or IPv6) of each --source"
            )));
        }
        preflight::check(&plan, &sources, sources::how_to_add(&targets))?;
        let (sender, events) = mpsc::channel();
        let common = Common {
            content: Content::new(plan.sizes, process.into()),
            plan: plan.clone(),
            targets,
            sources,
            clock: Clock::start(),
            open: 0.into(),
        };
        let coordinator = Coordinator::new(common, (sender.clone(), events))?;
        Ok(Self { target: target.to_owned(), plan, coordinator, events: sender })
    }

    /// A handle that ends the run from another thread.
    ///
    /// # Examples
    /// ```no_run
    /// # fn main() -> Result<(), readyloop_bench::Error> {
    /// let bench = readyloop_bench::Bench::new("127.0.0.1:7000", Default::default())?;
    /// let handle = bench.handle();
    /// std::thread::spawn(move || {
    ///     std::thread::sleep(std::time::Duration::from_secs(1));
    ///     handle.interrupt();
    /// });
    /// println!("{}", bench.run()?); // The report says that the run was interrupted.
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { events: self.events.clone() }
    }

    /// Opens the connections, loads them, and reports. If standard error is a terminal, progress is shown there.
    ///
    /// # Errors
    /// [`Error::System`] if a thread or a reactor cannot be made. Later failures are part of the report.
    ///
    /// # Examples
    /// See [above](crate#examples).
    pub fn run(self) -> Result<Report, Error> {
        let outcome = self.coordinator.run()?;
        Ok(Report::new(&self.target, &self.plan, outcome))
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, plan, .. } = self;
        f.debug_struct("Bench").field("target", target).field("plan", plan).finish_non_exhaustive()
    }
}

/// Ends a run from another thread: see [`Bench::handle`].
#[derive(Clone, Debug)]
pub struct Handle {
    events: Sender<Event>,
}

impl Handle {
    /// Ends the run early. The report has the measurements until then. Returns false if the run is over already.
    #[must_use = "a run that is over cannot be interrupted"]
    pub fn interrupt(&self) -> bool {
        self.events.send(Event::Interrupted).is_ok()
    }
}

/// All addresses of a name.
fn resolve(target: &str) -> Result<Vec<SocketAddr>, Error> {
    let refused = |why: String| Error::of_flag(target, why);
    let addrs = target.to_socket_addrs().map_err(|error| refused(error.to_string()))?;
    let addrs: Vec<_> = addrs.map(sources::as_reached).collect();
    match addrs.first() {
        None => Err(refused("the name has no address".to_owned())),
        Some(addr) if addr.port() == 0 => {
            Err(Error::Plan(format!("{target}: no server has port 0")))
        }
        Some(_) => Ok(addrs),
    }
}
