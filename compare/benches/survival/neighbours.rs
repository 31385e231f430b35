//! The latency of quiet clients beside busy ones: `cargo bench -p readyloop-compare --bench survival -- neighbours`.
//!
//! 100 quiet clients ask a `readyloop` server, without and with two neighbours there: one that floods,
//! and one that dials 20,000 times a second and hangs up at once, with a RST. Each round has three
//! parts of 3 s, and what is printed is the median of the rounds, with the least and the greatest. The
//! ratio of the p99s is taken within a round, so that a slow minute of the machine is on both sides.
//!
//! Servers and clients have a processor each, or the clients all but one. With few of them, these
//! neighbours slow down everything that runs there, whatever server they use. Three controls show how much
//! of the slowdown is that:
//! - in the third part the same load goes to a second `readyloop` process beside the first
//! - a thread that only sleeps notes how late it wakes
//! - the kernel counts for how long the server was ready to run and something else had its processor
//!
//! Where the second part is no worse than the third, the clients wait for a processor and not for their
//! server. Where it is worse, the last control tells more: a server that has little to do, as in the
//! third part, is let in as soon as it wakes, and one that has much waits for its turn on a processor
//! that others want too. The rates are those that were reached.

use std::thread;
use std::time::{Duration, Instant};

use crate::clients::{Dialler, Flood, QuietClients, Sleeper, Times, connect};
use crate::common::failure::Failure;
use crate::common::figures::spread;
use crate::common::process::Server;
use crate::common::table::Table;
use crate::placing::Placing;
use crate::servers::Kind;

pub(crate) const DEFAULT_ROUNDS: usize = 5;
const DIALS_PER_SECOND: u64 = 20_000;
const TIME: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_millis(300);

const PARTS: [&str; 3] = ["no neighbours", "neighbours", "neighbours of another server"];

pub(crate) fn run(rounds: usize) -> Result<(), Failure> {
    let placing = Placing::new()?;
    let server = placing.start(Kind::Readyloop)?;
    let other = placing.start(Kind::Readyloop)?;
    let mut quiet = QuietClients::connect(server.addr)?;
    let mut found: [Vec<Figures>; PARTS.len()] = Default::default();
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        for (target, found) in [None, Some(&server), Some(&other)].into_iter().zip(&mut found) {
            found.push(measure(&server, &mut quiet, target)?);
        }
    }
    table(&found).print();
    println!("Medians of {rounds} rounds (least to greatest). {}", placing.describe());
    Ok(())
}

/// What one part of a round has measured.
struct Figures {
    p50: f64,
    p99: f64,
    late: f64,
    queued: f64,
    dials: f64,
    connected: f64,
    flooded: f64,
}

fn measure(
    server: &Server,
    quiet: &mut QuietClients,
    target: Option<&Server>,
) -> Result<Figures, Failure> {
    let load = target.map(Load::start).transpose()?;
    let count = || load.as_ref().map_or([0; 3], Load::count);
    let (before, queued, start) = (count(), server.queueing_time()?, Instant::now());
    let sleeper = Sleeper::start();
    let trips = quiet.ask_for(TIME)?;
    let late = sleeper.stop()?;
    let (after, took) = (count(), start.elapsed().as_secs_f64());
    let rate = |index: usize| (after[index] - before[index]) as f64 / took;
    let millis = |of: &Times, percent| -> Result<f64, Failure> {
        let time = of.percentile(percent).ok_or("quiet clients had no answer")?;
        Ok(time.as_secs_f64() * 1e3)
    };
    Ok(Figures {
        p50: millis(&trips, 50)?,
        p99: millis(&trips, 99)?,
        late: millis(&late, 99)?,
        queued: (server.queueing_time()? - queued).as_secs_f64() * 100.0 / took,
        dials: rate(0),
        connected: rate(1),
        flooded: rate(2) / 1e6,
    })
}

struct Load {
    flood: Flood,
    dialler: Dialler,
}

impl Load {
    /// Returns when it is at full speed.
    fn start(target: &Server) -> Result<Self, Failure> {
        let flood = Flood::with_reading(connect(target.addr)?)?;
        let dialler = Dialler::start(target.addr, DIALS_PER_SECOND);
        thread::sleep(WARM_UP);
        Ok(Self { flood, dialler })
    }

    /// How many were dialled and connected, and how many bytes came back, since the start.
    fn count(&self) -> [u64; 3] {
        let [dialled, connected] = self.dialler.dials();
        [dialled, connected, self.flood.received()]
    }
}

fn table(found: &[Vec<Figures>; PARTS.len()]) -> Table {
    let mut table = Table::new([
        "",
        "p50",
        "p99",
        "p99 / without",
        "sleeper's p99",
        "without processor",
        "dials",
        "of them connected",
        "flood",
    ]);
    for (part, figures) in PARTS.into_iter().zip(found) {
        let column = |of: fn(&Figures) -> f64, unit| {
            spread(&mut figures.iter().map(of).collect::<Vec<_>>(), unit)
        };
        let mut ratios: Vec<f64> =
            figures.iter().zip(&found[0]).map(|(with, without)| with.p99 / without.p99).collect();
        table.row([
            part.to_owned(),
            column(|figures| figures.p50, " ms"),
            column(|figures| figures.p99, " ms"),
            spread(&mut ratios, ""),
            column(|figures| figures.late, " ms"),
            column(|figures| figures.queued, " %"),
            column(|figures| figures.dials, " /s"),
            column(|figures| figures.connected, " /s"),
            column(|figures| figures.flooded, " MB/s"),
        ]);
    }
    table
}
