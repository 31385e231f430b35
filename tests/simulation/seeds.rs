//! Many scenarios.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use readyloop::sim::Rng;

use crate::logs;
use crate::oracle::{Report, run};
use crate::scenario::Scenario;

/// Takes some twenty seconds without optimisation, on two cores.
const SEEDS: u64 = 12_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// A run that panics breaks a promise too.
fn judge(scenario: &Scenario) -> Result<Report, String> {
    catch_unwind(AssertUnwindSafe(|| run(scenario))).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("?")))
    })
}

#[test]
fn every_seed_keeps_every_promise() {
    let seeds = number("READYLOOP_SEEDS").unwrap_or(SEEDS);
    let first = number("READYLOOP_FIRST_SEED").unwrap_or(0);
    let (next, turns) = (AtomicU64::new(0), AtomicU64::new(0));
    let finding: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let start = Instant::now();
    let work = || {
        while finding.lock().unwrap().is_none() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            match judge(&Scenario::draw(first + seed)) {
                Ok(report) => drop(turns.fetch_add(report.turns, Ordering::Relaxed)),
                Err(what) => *finding.lock().unwrap() = Some((first + seed, what)),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
        let mut told = Instant::now();
        while next.load(Ordering::Relaxed) < seeds && finding.lock().unwrap().is_none() {
            thread::sleep(Duration::from_millis(10));
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                say(&format!("{} of {seeds} seeds", next.load(Ordering::Relaxed)));
            }
        }
    });
    if let Some((seed, what)) = finding.into_inner().unwrap() {
        panic!(
            "{what}\n  replay: READYLOOP_SEED={seed} cargo test --release --test simulation replay"
        );
    }
    let turns = turns.into_inner();
    say(&format!("{seeds} seeds, {turns} turns, {:.1} s", start.elapsed().as_secs_f64()));
}

/// Past the test harness, which keeps the output of tests that pass.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "simulation: {what}");
}

#[test]
fn replay_of_one_seed() {
    let seed = number("READYLOOP_SEED").unwrap_or(0);
    if std::env::var_os("READYLOOP_SEED").is_some() {
        logs::print();
    }
    let scenario = Scenario::draw(seed);
    match judge(&scenario) {
        Ok(report) => println!("seed {seed}: {report:?}"),
        Err(what) => panic!("seed {seed}: {what}\n{scenario:#?}\n{:#?}", scenario.network()),
    }
}

#[test]
fn the_same_seed_goes_the_same_way() {
    let traces = |seeds: std::ops::Range<u64>| -> Vec<_> {
        seeds.map(|seed| judge(&Scenario::draw(seed)).map(|report| report.trace)).collect()
    };
    let first = traces(0..300);
    assert_eq!(first, traces(0..300));
    let mut different = first;
    different.dedup();
    assert!(different.len() > 290, "different seeds go different ways");
}

/// As the seeds, but a failure is made as short as it can be.
#[test]
fn every_script_keeps_every_promise() {
    let seed = number("READYLOOP_SCRIPTS_SEED").unwrap_or(1);
    let config = Config {
        cases: 300,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&Scenario::strategy(), |scenario| {
        judge(&scenario).map(drop).map_err(TestCaseError::fail)
    });
    if let Err(failure) = result {
        panic!(
            "{failure}\n  replay: READYLOOP_SCRIPTS_SEED={seed} cargo test --release --test simulation every_script"
        );
    }
}

/// The way in which the fuzzer makes scenarios.
#[test]
fn scripts_of_bytes_keep_every_promise() {
    let mut rng = Rng::new(1);
    for _ in 0..300 {
        let script: Vec<u8> = (0..rng.size_below(120)).map(|_| rng.below(256) as u8).collect();
        if let Some(scenario) = Scenario::from_bytes(&script) {
            assert_eq!(judge(&scenario).map(|_| ()), Ok(()), "{script:?}");
        }
    }
}
