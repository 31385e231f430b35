//! Echo servers side by side, all in one run: `cargo bench -p readyloop-compare --bench peers`.
//!
//! A hand-written epoll loop in C as the floor, a bare mio loop, tokio, message-io and `readyloop`, each in a
//! process of its own and as an experienced user of its library writes it (`peer.rs`). All have the same load, from
//! `readyloop bench` (`load.rs`), row by row (`grid.rs`) and in turn, in another order each round. The results,
//! with what they say of this crate's targets and a list of where it loses, go to `compare/RESULTS.md`, which
//! says what each column means.
//!
//! - `--rounds N`: how many rounds, 5 if nothing is said
//! - `--seconds S`: how long a row is measured, 1.5 if nothing is said (some rows take longer)
//! - `--only PATTERN`: only rows that have this in their titles; writes no file
//! - `--quick`: a round of short rows, to see that all works; writes no file
//!
//! `CC` names the C compiler, if it is not `cc`. Without one there is no floor, without strace(1) system calls are
//! not counted, and the results say so. Nothing else that is busy may run meanwhile.

mod answer;
mod call_table;
mod calls;
mod charts;
#[path = "../common/mod.rs"]
mod common;
mod floor;
mod grid;
mod load;
mod losses;
mod measure;
mod mio;
mod options;
mod peer;
mod report;
mod results;
mod targets;

use std::path::Path;
use std::time::{Duration, Instant};

use common::failure::Failure;
use common::machine::{Machine, kernel, versions};
use common::process::Server;
use common::{binary, raise_open_files};
use grid::{CHURN, ECHO, Load, Row, Share};
use measure::Measure;
use options::Options;
use peer::Peer;
use report::{Field, Report};
use results::{Outcome, Place, Results};

/// What a round takes of the top rate in an open loop.
const SHARE: f64 = 0.7;

fn main() -> Result<(), Failure> {
    if let Some(name) = common::servers::wanted() {
        return peer::serve(&name);
    }
    let options = Options::parse(std::env::args().skip(1))?;
    binary::readyloop()?;
    raise_open_files();
    let bench = Bench::new(&options)?;
    let mut results = Results::default();
    for round in 0..options.rounds {
        bench.round(round, &mut results);
    }
    bench.count_calls(&mut results);
    bench.tell(&results)
}

struct Bench<'a> {
    options: &'a Options,
    start: Instant,
    rows: Vec<Row>,
    compiler: Result<String, String>,
    single: Side,
    double: Side,
}

/// The servers under comparison, and where they run.
struct Side {
    peers: Vec<Peer>,
    machine: Machine,
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options) -> Result<Self, Failure> {
        let compiler = floor::compile();
        if let Err(why) = &compiler {
            eprintln!("{why}");
        }
        let side = |peers: &[Peer], processors| -> Result<Side, Failure> {
            let has_floor = compiler.is_ok();
            let peers = peers.iter().copied().filter(|peer| has_floor || *peer != Peer::Floor);
            Ok(Side { peers: peers.collect(), machine: Machine::new(processors)? })
        };
        let (single, double) = (side(Peer::SINGLE, 1)?, side(Peer::DOUBLE, 2)?);
        let mut rows = grid::rows();
        // An open loop asks for a share of what was reached in another row.
        let needs_top = |row: &Row| options.wants(row.title) && matches!(row.load, Load::Open(_));
        let is_top_needed = rows.iter().any(needs_top);
        rows.retain(|row| options.wants(row.title) || (is_top_needed && row.title == ECHO));
        if rows.is_empty() {
            let titles: Vec<_> = grid::rows().iter().map(|row| row.title).collect();
            return Err(format!("--only: no row has that, but: {}", titles.join("; ")).into());
        }
        Ok(Self { options, start: Instant::now(), rows, compiler, single, double })
    }

    fn side(&self, row: &Row) -> &Side {
        if row.is_double { &self.double } else { &self.single }
    }

    fn round(&self, round: usize, results: &mut Results) {
        for row in &self.rows {
            let (rounds, seconds) = (self.options.rounds, self.start.elapsed().as_secs());
            eprintln!("round {} of {rounds}, {seconds} s: {}", round + 1, row.title);
            let peers = self.side(row).going_through(row);
            for step in 0..peers.len() {
                let peer = peers[(round + step) % peers.len()];
                let outcome = self.run(row, peer, results);
                let at = Place { row: row.title, peer: peer.name() };
                if let Err(failure) = &outcome {
                    eprintln!("{}, {}: {failure}", at.row, at.peer);
                }
                results.add(at, outcome);
            }
        }
    }

    fn run(&self, row: &Row, peer: Peer, results: &Results) -> Outcome {
        let rate = match row.load {
            Load::Open(share) => self.share_of_top(share, peer, results),
            _ => None,
        };
        let time: Duration = self.options.time * row.longer;
        with_server(&self.side(row).machine, peer, |server| load::run(server, row.load, rate, time))
    }

    /// Messages a second, by the top rates of this round. A server that failed there has none.
    fn share_of_top(&self, share: Share, peer: Peer, results: &Results) -> Option<u64> {
        let top = |peer: &Peer| results.last(Place { row: ECHO, peer: peer.name() }, Measure::Rate);
        let top = match share {
            Share::OfItsOwn => top(&peer)?,
            Share::OfTheSlowest => {
                self.single.peers.iter().filter_map(top).min_by(f64::total_cmp)?
            }
        };
        Some((top * SHARE) as u64)
    }

    fn count_calls(&self, results: &mut Results) {
        for row in self.rows.iter().filter(|row| row.is_traced) {
            eprintln!("{} s: system calls: {}", self.start.elapsed().as_secs(), row.title);
            let side = self.side(row);
            for peer in side.going_through(row) {
                let calls =
                    with_server(&side.machine, peer, |server| calls::count(server, row.load));
                results.set_calls(Place { row: row.title, peer: peer.name() }, calls);
            }
        }
    }

    fn tell(&self, results: &Results) -> Result<(), Failure> {
        let report = Report {
            results,
            rows: &self.rows,
            single: Field {
                peers: names(self.single.peers.iter()),
                ours: Peer::Readyloop.name(),
                placed: self.single.placed("one processor"),
            },
            double: Field {
                peers: names(self.double.peers.iter()),
                ours: Peer::ReadyloopTwo.name(),
                placed: self.double.placed("two processors"),
            },
            circumstances: self.circumstances(),
            charts: if self.options.writes { charts::ALL.to_vec() } else { Vec::new() },
        };
        if !self.options.writes {
            println!("{}", report.markdown());
            return Ok(());
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        // Those that go through every row.
        let drawn = names(self.single.peers.iter().filter(|peer| **peer != Peer::TokioLarge));
        charts::draw(folder, results, &drawn)?;
        std::fs::write(folder.join("RESULTS.md"), report.markdown())?;
        println!("{}\nAll results are in compare/RESULTS.md.", report.targets());
        Ok(())
    }

    fn circumstances(&self) -> Vec<String> {
        let Options { rounds, time, .. } = self.options;
        let mut lines = vec![
            format!(
                "rounds: {rounds}; a row is measured for {time:?}, \"{ECHO}\" six times and \"{CHURN}\" twice \
                 as long; minutes for the whole run: {}",
                self.start.elapsed().as_secs().div_ceil(60)
            ),
            format!("{} processors ({}), {}", self.single.machine.processors, model(), kernel()),
            format!("{}, built by {}", versions(), rust_compiler()),
        ];
        lines.push(match &self.compiler {
            Ok(compiler) => {
                format!("the floor, `compare/benches/peers/floor.c`, built by {compiler}")
            }
            Err(why) => why.clone(),
        });
        lines.push(
            "all have TCP_NODELAY, but message-io, which has no such option; tokio reads into buffers of 4 KiB, \
             as its examples do, and for large messages also into such of 64 KiB; the floor, the mio loop and message-io into one of 64 KiB; readyloop has its \
             default settings"
                .to_owned(),
        );
        lines
    }
}

impl Side {
    fn going_through(&self, row: &Row) -> Vec<Peer> {
        self.peers.iter().copied().filter(|peer| peer.goes_through(row)).collect()
    }

    fn placed(&self, servers: &str) -> String {
        match self.machine.is_divided() {
            true => format!("The server has {servers}, the load the rest.\n"),
            false => "Server and load share all processors, as there are not enough to divide: a rate says how \
                      well they share.\n"
                .to_owned(),
        }
    }
}

/// Starts a server for this. An error is one line.
fn with_server<T>(
    machine: &Machine,
    peer: Peer,
    run: impl FnOnce(&Server) -> Result<T, Failure>,
) -> Result<T, String> {
    let result = peer.command().and_then(|mut command| {
        let mut server = machine.start_server(|| Server::start(&mut command))??;
        let result = run(&server);
        if server.has_exited() { Err("the server exits".into()) } else { result }
    });
    result.map_err(|failure| failure.to_string().replace('\n', " "))
}

fn names<'p>(peers: impl Iterator<Item = &'p Peer>) -> Vec<&'static str> {
    peers.map(|peer| peer.name()).collect()
}

fn rust_compiler() -> String {
    let output = std::process::Command::new("rustc").arg("--version").output();
    output.map_or_else(
        |_| "a rustc that is not there any more".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// What the processors are called.
fn model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or("of an unknown kind", |(_, name)| name).to_owned()
}
