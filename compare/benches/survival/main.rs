//! What a server does when it is treated badly, beside other servers: `cargo bench -p readyloop-compare --bench
//! survival`.
//!
//! Four echo servers, each in a process of its own, go through the same four trials: the real
//! `readyloop` binary with its default settings, and the usual echo server of bare mio, tokio (one
//! thread) and message-io. The clients are the same for all and live in this process. Each trial is a
//! file in `trials/` that says what it does. Every one starts a fresh server; the servers take turns,
//! in another order each round; what is printed is the median of the rounds, with the least and the
//! greatest. The number of rounds can be given, and a word from the names of the trials that are
//! wanted: `cargo bench -p readyloop-compare --bench survival -- 5 flooder`.
//!
//! How the clients are kept out of the figures: the server runs on the last processor and all clients
//! on the others, so that nothing depends on which processes the scheduler puts together, and threads that measure go
//! before those that make load (as root: with real-time priority). What is left: the more a server lets
//! through, the busier is the clients' processor, and on a kernel without preemption a measuring thread
//! waits there for the end of others' system calls. Whatever else the machine does is in the figures too.
//! Where they are times, there are controls beside them.
//!
//! `cargo bench -p readyloop-compare --bench survival -- neighbours` asks something else: see `neighbours.rs`.

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod neighbours;
mod placing;
mod servers;
mod trials;

use std::time::Instant;

use common::failure::Failure;
use common::table::Table;
use common::{binary, raise_open_files};
use placing::Placing;
use servers::Kind;
use trials::{Finding, Trial, summary};

const DEFAULT_ROUNDS: usize = 3;

fn main() -> Result<(), Failure> {
    if let Some(name) = common::servers::wanted() {
        return Kind::named(&name).ok_or("no such server")?.serve();
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    binary::readyloop()?;
    raise_open_files();
    let rounds = args.iter().find_map(|arg| arg.parse().ok()).filter(|&rounds| rounds > 0);
    let word = args.iter().find(|arg| arg.starts_with(char::is_alphabetic));
    match word.map_or("", String::as_str) {
        "neighbours" => neighbours::run(rounds.unwrap_or(neighbours::DEFAULT_ROUNDS)),
        word => compare(rounds.unwrap_or(DEFAULT_ROUNDS), word),
    }
}

fn compare(rounds: usize, word: &str) -> Result<(), Failure> {
    let start = Instant::now();
    let placing = Placing::new()?;
    let wanted = trials::ALL.into_iter().filter(|trial| trial.title.contains(word));
    let mut results: Vec<_> = wanted.map(Results::new).collect();
    for round in 1..=rounds {
        for results in &mut results {
            let seconds = start.elapsed().as_secs();
            eprintln!("round {round} of {rounds}, {seconds} s: {}", results.trial.title);
            for step in 0..Kind::ALL.len() {
                let turn = (round + step) % Kind::ALL.len();
                results.add(turn, go_through(&results.trial, Kind::ALL[turn], &placing));
            }
        }
    }
    let mut table = Table::new(["trial", "measure"].into_iter().chain(Kind::ALL.map(Kind::name)));
    results.iter().for_each(|results| results.fill(&mut table));
    table.print();
    println!("Medians of {rounds} rounds (least to greatest). {}", placing.describe());
    Ok(())
}

/// One finding for each measure. A trial that fails says why in place of each.
fn go_through(trial: &Trial, kind: Kind, placing: &Placing) -> Vec<Finding> {
    let result = placing.start(kind).and_then(|mut server| {
        let result = (trial.run)(&server);
        if server.has_exited() { Err("the server exits".into()) } else { result }
    });
    result.unwrap_or_else(|failure| vec![Finding::Words(failure.to_string()); trial.measures.len()])
}

/// What the rounds have found in a trial: for each measure, and each server in the order of
/// [`Kind::ALL`].
struct Results {
    trial: Trial,
    found: Vec<[Vec<Finding>; Kind::ALL.len()]>,
}

impl Results {
    fn new(trial: Trial) -> Self {
        Self { found: trial.measures.iter().map(|_| Default::default()).collect(), trial }
    }

    fn add(&mut self, server: usize, findings: Vec<Finding>) {
        for (of_measure, finding) in self.found.iter_mut().zip(findings) {
            of_measure[server].push(finding);
        }
    }

    fn fill(&self, table: &mut Table) {
        let titles = std::iter::once(self.trial.title).chain(std::iter::repeat(""));
        for ((title, measure), found) in titles.zip(self.trial.measures).zip(&self.found) {
            let heads = [title, measure.title].map(str::to_owned);
            let cells = found.iter().map(|findings| summary(findings, measure.unit));
            table.row(heads.into_iter().chain(cells));
        }
    }
}
