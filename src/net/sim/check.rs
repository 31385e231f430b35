//! A test that runs for many seeds.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use super::faults::Faults;
use super::kernel::Kernel;
use super::log::print_log;
use super::rng::Rng;
use super::world::World;
use crate::config::Config;
use crate::handler::Handler;

/// Runs a test once for each seed. Each seed draws its own faults of the network.
///
/// [`Run::world`] makes the world. Its faults cost no byte and no connection ([`Faults::harmless`]), so a test can
/// assert that everything arrives. Draw all other random values of the test from [`Run::rng`], so that the seed repeats
/// them.
///
/// The test fails if it panics, or if a callback of the handler panics (see [`World::allow_panics`]). The message names
/// the seed, the faults, the virtual time and the command for a replay. Two environment variables change the seeds:
///
/// - `READYLOOP_SEED=17` runs only this seed, and prints the log of the reactor with the virtual time.
/// - `READYLOOP_SEEDS=100000` runs this many seeds, from the first one of the range on.
///
/// # Panics
/// If the test fails for a seed.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use readyloop::{Config, from_fn, sim};
///
/// sim::check(0..100, |run| {
///     let shout = from_fn(|conn, input| conn.send(&input.take().to_ascii_uppercase()));
///     let mut world = run.world(Config::new(), shout);
///     let addr = world.listen("10.0.0.1:7").unwrap();
///     let peer = world.dial(addr);
///     let words = ["to be", "or not", "to be"];
///     let word = words[run.rng().size_below(words.len())];
///     peer.send(word.as_bytes());
///     peer.shutdown_write();
///     let _ = world.run_for(Duration::from_secs(60));
///     assert_eq!(peer.received(), word.to_uppercase().as_bytes());
/// });
/// ```
pub fn check(seeds: Range<u64>, mut test: impl FnMut(&mut Run)) {
    let seeds = match (variable("READYLOOP_SEED"), variable("READYLOOP_SEEDS")) {
        (Some(seed), _) => {
            let _ = print_log(::log::LevelFilter::Trace); // fails if the test has its own logger
            seed..seed.saturating_add(1)
        }
        (None, Some(count)) => seeds.start..seeds.start.saturating_add(count),
        (None, None) => seeds,
    };
    for seed in seeds {
        let mut run = Run::new(seed);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| test(&mut run))) {
            panic!("{}", run.failure(&*payload));
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is not a number")))
}

/// One seed of a [`check`].
pub struct Run {
    seed: u64,
    rng: Rng,
    faults: Faults,
    /// The kernels of the worlds that were made, for the message of a failure.
    kernels: Vec<Rc<RefCell<Kernel>>>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x00c4_ec4b);
        let faults = Faults::harmless(&mut rng);
        Self { seed, rng, faults, kernels: Vec::new() }
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The random numbers of this seed, for values that the test draws.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The faults that this seed has drawn. [`World::set_faults`] replaces them.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Makes a world with this seed and its faults, as [`World::new`] does.
    ///
    /// # Panics
    /// If settings contradict each other.
    pub fn world<H: Handler>(&mut self, config: Config, handler: H) -> World<H> {
        let mut handler = Some(handler);
        self.world_of_many(config, 1, |_| handler.take().expect("there is one reactor"))
    }

    /// Makes a world with this seed and its faults, as [`World::of_many`] does.
    ///
    /// # Panics
    /// If settings contradict each other, or if `reactors` is 0.
    pub fn world_of_many<H: Handler>(
        &mut self,
        config: Config,
        reactors: usize,
        make: impl FnMut(usize) -> H,
    ) -> World<H> {
        let world = World::of_many(self.seed, config, reactors, make);
        let mut world = world.unwrap_or_else(|error| panic!("{error}"));
        world.set_faults(self.faults.clone());
        self.kernels.push(world.kernel());
        world
    }

    /// The message of a test that fails.
    fn failure(&self, payload: &(dyn Any + Send)) -> String {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        let mut lines = format!("seed {}: {}", self.seed, text.unwrap_or("a panic"));
        for kernel in &self.kernels {
            let kernel = kernel.borrow();
            let time = Duration::from_nanos(kernel.now);
            lines += &format!("\n  after {time:?} of virtual time, with {:?}", kernel.faults);
        }
        let test = std::thread::current().name().map(|name| format!(" {name}")).unwrap_or_default();
        lines + &format!("\n  replay: READYLOOP_SEED={} cargo test{test}", self.seed)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("seed", &self.seed).finish_non_exhaustive()
    }
}
