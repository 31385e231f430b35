//! What a server does when it is treated badly, beside other servers: `cargo bench --bench survival`.
//!
//! Four echo servers, each in a process of its own, go through the same four trials: the real
//! `readyloop` binary with its default settings, and the usual echo server of bare mio, tokio (one
//! thread) and message-io. The clients are the same for all and live in this process. Each trial is a
//! file in `trials/` that says what it does. Every one starts a fresh server; the servers take turns,
//! in another order each round; what is printed is the median of the rounds, with the least and the
//! greatest. The number of rounds can be given: `cargo bench --bench survival -- 5`.
//!
//! How the clients are kept out of the figures: the server runs on the last processor and all clients
//! on the others, so that nothing depends on whom the scheduler put together; threads that only make
//! load have a lower priority than those that measure; and if that is allowed, everything here has a
//! higher one than what else the machine does. What is left: the more a server lets through, the
//! busier is the clients' processor, and the later a measuring thread wakes there.
//!
//! `cargo bench --bench survival -- neighbours` asks something else: see `neighbours.rs`.

mod clients;
mod machine;
mod neighbours;
mod process;
mod servers;
mod table;
mod trials;

use std::time::Instant;

use machine::Machine;
use process::Server;
use servers::{Kind, SERVE};
use table::Table;
use trials::{Finding, Trial, summary};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const DEFAULT_ROUNDS: usize = 3;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = args.iter().position(|arg| arg == SERVE) {
        let name = args.get(at + 1).map_or("", String::as_str);
        return Kind::named(name).ok_or("no such server")?.serve();
    }
    raise_open_files();
    let rounds = args.iter().find_map(|arg| arg.parse().ok()).filter(|&rounds| rounds > 0);
    if args.iter().any(|arg| arg == "neighbours") {
        return neighbours::run(rounds.unwrap_or(neighbours::DEFAULT_ROUNDS));
    }
    compare(rounds.unwrap_or(DEFAULT_ROUNDS))
}

fn compare(rounds: usize) -> Result<(), Failure> {
    let start = Instant::now();
    let machine = Machine::divided()?;
    let mut results = Results::new();
    for round in 0..rounds {
        for (trial, of_trial) in trials::ALL.iter().zip(&mut results.0) {
            eprintln!(
                "round {} of {rounds}, {:.0} s: {}",
                round + 1,
                start.elapsed().as_secs_f64(),
                trial.title
            );
            for step in 0..Kind::ALL.len() {
                let turn = (round + step) % Kind::ALL.len();
                let found = go_through(trial, Kind::ALL[turn], &machine);
                for (of_measure, finding) in of_trial.iter_mut().zip(found) {
                    of_measure[turn].push(finding);
                }
            }
        }
    }
    results.table().print();
    println!("Medians of {rounds} rounds (least to greatest). {}", machine.describe());
    Ok(())
}

/// One finding for each measure. A trial that fails says why in place of each.
fn go_through(trial: &Trial, kind: Kind, machine: &Machine) -> Vec<Finding> {
    let result = Server::start(kind, machine).and_then(|mut server| {
        let result = (trial.run)(&server);
        if server.has_exited() { Err("the server exits".into()) } else { result }
    });
    result.unwrap_or_else(|failure| vec![Finding::Words(failure.to_string()); trial.measures.len()])
}

/// For each trial, measure and server what the rounds have found.
struct Results(Vec<Vec<[Vec<Finding>; Kind::ALL.len()]>>);

impl Results {
    fn new() -> Self {
        let empty = |trial: &Trial| trial.measures.iter().map(|_| Default::default()).collect();
        Self(trials::ALL.iter().map(empty).collect())
    }

    fn table(&self) -> Table {
        let mut table =
            Table::new(["trial", "measure"].into_iter().chain(Kind::ALL.map(Kind::name)));
        for (trial, of_trial) in trials::ALL.iter().zip(&self.0) {
            let mut title = trial.title;
            for (measure, of_measure) in trial.measures.iter().zip(of_trial) {
                let cells = of_measure.iter().map(|findings| summary(findings, measure.unit));
                let heads = [std::mem::take(&mut title), measure.title].map(str::to_owned);
                table.row(heads.into_iter().chain(cells));
            }
        }
        table
    }
}

fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it is refused, the connection that fails says how far it went.
    let _ = setrlimit(Resource::Nofile, limit);
}
