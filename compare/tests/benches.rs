//! What the benches make of their figures is right. The files are the benches' own.

#![allow(dead_code, reason = "not all that a bench needs is tested here")]

#[path = "."]
mod common {
    #[path = "../benches/common/failure.rs"]
    pub(crate) mod failure;
    #[path = "../benches/common/figures.rs"]
    pub(crate) mod figures;
}
#[path = "../benches/peers/answer.rs"]
mod answer;
#[path = "../benches/peers/call_table.rs"]
mod call_table;
#[path = "../benches/peers/charts.rs"]
mod charts;
#[path = "../benches/peers/grid.rs"]
mod grid;
#[path = "../benches/peers/losses.rs"]
mod losses;
#[path = "../benches/peers/measure.rs"]
mod measure;
#[path = "../benches/peers/options.rs"]
mod options;
#[path = "../benches/peers/report.rs"]
mod report;
#[path = "../benches/peers/results.rs"]
mod results;
#[path = "../benches/peers/targets.rs"]
mod targets;

use common::figures::{median, precise_spread, readable, spread};
use grid::{CHURN, ECHO, IDLE, Load, MANY, NEIGHBOURS, OPEN_SLOWEST, Row, rows};
use losses::loss;
use measure::Measure;
use options::Options;
use report::{Field, Report};
use results::{Outcome, Place, Results, Sample};
use targets::{FLOOR, OURS, Verdict, targets};

const PEERS: [&str; 3] = [FLOOR, "tokio", OURS];

fn at(row: &'static str, peer: &'static str) -> Place {
    Place { row, peer }
}

/// One measure, a figure for each round.
fn add(results: &mut Results, at: Place, measure: Measure, figures: &[f64]) {
    for figure in figures {
        results.add(at, Ok(Sample::from([(measure, *figure)])));
    }
}

fn fail(results: &mut Results, at: Place, why: &str) {
    results.add(at, Err(why.to_owned()));
}

fn verdict(results: &Results, text: &str) -> Verdict {
    let target = targets().into_iter().find(|target| target.text.contains(text)).unwrap();
    target.judge(results, &[FLOOR, "tokio"])
}

fn markdown(results: &Results) -> String {
    let rows: Vec<Row> = rows().into_iter().filter(|row| row.title == ECHO).collect();
    let field = |ours| Field { peers: PEERS.to_vec(), ours, placed: String::new() };
    let report = Report {
        results,
        rows: &rows,
        single: field(OURS),
        double: field(OURS),
        circumstances: Vec::new(),
        charts: Vec::new(),
    };
    report.markdown()
}

#[test]
fn a_median_is_the_middle_or_between_the_two_in_the_middle() {
    assert_eq!(median(&mut [7.0]), 7.0);
    assert_eq!(median(&mut [9.0, 1.0, 2.0]), 2.0);
    assert_eq!(median(&mut [4.0, 1.0, 2.0, 1_000.0]), 3.0);
}

#[test]
fn a_spread_has_least_and_greatest_if_they_look_different() {
    assert_eq!(spread(&mut [3.0, 1.0, 2.0], " ms"), "2 ms (1 to 3)");
    assert_eq!(spread(&mut [2.001, 2.002, 2.003], " ms"), "2.0 ms");
    assert_eq!(precise_spread(&mut [1.016, 1.024], "", 3), "1.02");
}

#[test]
fn numbers_have_as_many_digits_as_count() {
    let two = [(0.053, "0.05"), (0.996, "1.0"), (9.94, "9.9"), (9.96, "10"), (99.6, "100")];
    let three = [(0.9994, "0.999"), (0.9996, "1.00"), (1.016, "1.02"), (99.96, "100"), (5.0, "5")];
    for (digits, cases) in [(2, two), (3, three)] {
        for (number, text) in cases {
            assert_eq!(readable(number, digits), text);
        }
    }
    assert_eq!(readable(246_864.3, 3), "246,864");
    assert_eq!(readable(-12_345_678.0, 3), "-12,345,678");
    assert_eq!(readable(9_999.0, 3), "9999");
}

#[test]
fn a_ratio_is_taken_within_each_round() {
    let mut results = Results::default();
    // The machine is three times as slow in the second round: that is on both sides.
    add(&mut results, at(ECHO, OURS), Measure::Total, &[11.0, 33.0, 12.0]);
    add(&mut results, at(ECHO, FLOOR), Measure::Total, &[10.0, 30.0, 10.0]);
    let ratios = results.ratios(at(ECHO, OURS), at(ECHO, FLOOR), Measure::Total).unwrap();
    assert_eq!(ratios.each, [1.1, 1.1, 1.2]);
    assert_eq!(ratios.median(), 1.1);
}

#[test]
fn a_server_that_fails_in_one_round_has_no_figures_and_its_row_says_why() {
    let mut results = Results::default();
    add(&mut results, at(ECHO, OURS), Measure::Rate, &[1.0, 2.0]);
    fail(&mut results, at(ECHO, OURS), "3 connections were lost");
    let failure = "failed in 1 of 3 rounds: 3 connections were lost";
    assert_eq!(results.median(at(ECHO, OURS), Measure::Rate), Err(failure.to_owned()));
    assert_eq!(results.failure(at(ECHO, OURS)).as_deref(), Some(failure));
    let text = markdown(&results);
    assert!(text.contains(&format!("| readyloop | {failure} |")), "{text}");
    assert!(text.contains(&format!("- {ECHO}: readyloop has {failure}")), "{text}");
}

#[test]
fn a_ratio_to_a_server_that_failed_names_it_and_says_why() {
    let mut results = Results::default();
    add(&mut results, at(ECHO, OURS), Measure::Total, &[1.0]);
    fail(&mut results, at(ECHO, FLOOR), "no answer");
    let ratios = results.ratios(at(ECHO, OURS), at(ECHO, FLOOR), Measure::Total);
    let why = format!("{FLOOR}, {ECHO}: failed in 1 of 1 rounds: no answer");
    assert_eq!(ratios, Err(why.clone()));
    let verdict = verdict(&results, "processor time of a 64 B echo");
    assert_eq!(verdict, Verdict { says: why, is_met: None });
}

#[test]
fn to_have_more_than_nothing_is_a_loss_and_no_ratio_for_a_target() {
    let mut results = Results::default();
    add(&mut results, at(ECHO, OURS), Measure::User, &[0.5, 0.0]);
    add(&mut results, at(ECHO, FLOOR), Measure::User, &[0.0, 0.0]);
    let ratios = results.ratios(at(ECHO, OURS), at(ECHO, FLOOR), Measure::User).unwrap();
    assert_eq!(ratios.each, [f64::INFINITY, 1.0]);
    assert!(loss(&results, at(ECHO, OURS), Measure::User, &[FLOOR]).is_some());
    assert_eq!(verdict(&results, "user time of a 64 B echo ≤ 1.5").is_met, None);
}

#[test]
fn a_server_that_skips_a_row_is_not_in_its_table() {
    let mut results = Results::default();
    add(&mut results, at(ECHO, OURS), Measure::Rate, &[1.0]);
    let text = markdown(&results);
    assert!(text.contains("| readyloop | 1 |") && !text.contains("| tokio |"), "{text}");
}

#[test]
fn a_target_is_met_up_to_its_limit_and_not_beyond() {
    for (figure, is_met) in [(1.02, true), (1.021, false)] {
        let mut results = Results::default();
        add(&mut results, at(ECHO, OURS), Measure::Total, &[figure]);
        add(&mut results, at(ECHO, FLOOR), Measure::Total, &[1.0]);
        let verdict = verdict(&results, "processor time of a 64 B echo");
        assert_eq!(verdict.is_met, Some(is_met), "{figure}");
    }
    for (figure, is_met) in [(97.0, true), (96.9, false)] {
        let mut results = Results::default();
        add(&mut results, at(NEIGHBOURS, OURS), Measure::Rate, &[figure]);
        add(&mut results, at(ECHO, OURS), Measure::Rate, &[100.0]);
        assert_eq!(verdict(&results, "100 active of 19,000").is_met, Some(is_met), "{figure}");
    }
    for (figure, is_met) in [(128.0, true), (128.5, false)] {
        let mut results = Results::default();
        add(&mut results, at(IDLE, OURS), Measure::Resident, &[figure]);
        assert_eq!(verdict(&results, "an idle connection").is_met, Some(is_met), "{figure}");
    }
}

#[test]
fn the_best_peer_is_the_one_with_the_least_median() {
    let mut results = Results::default();
    add(&mut results, at(OPEN_SLOWEST, OURS), Measure::P999, &[100.0, 200.0, 150.0]);
    add(&mut results, at(OPEN_SLOWEST, FLOOR), Measure::P999, &[400.0, 10.0, 500.0]);
    add(&mut results, at(OPEN_SLOWEST, "tokio"), Measure::P999, &[120.0, 200.0, 100.0]);
    let verdict = verdict(&results, "of the slowest's top rate");
    assert_eq!(verdict.says, "150 µs against 120 µs of tokio: 1 × (0.833 to 1.50)");
    assert_eq!(verdict.is_met, Some(true));
}

#[test]
fn a_peer_that_failed_is_not_the_best() {
    let mut results = Results::default();
    results.set_calls(at(CHURN, OURS), Ok(6.1));
    results.set_calls(at(CHURN, FLOOR), Ok(6.0));
    results.set_calls(at(CHURN, "tokio"), Err("strace may not look".to_owned()));
    let verdict = verdict(&results, "system calls");
    assert_eq!(verdict.says, format!("6.10 against 6 of {FLOOR}: 1.02 ×"));
    assert_eq!(verdict.is_met, Some(false));
}

#[test]
fn what_was_not_measured_is_neither_met_nor_missed() {
    let results = Results::default();
    for target in targets() {
        assert_eq!(target.judge(&results, &[FLOOR]).is_met, None, "{}", target.text);
    }
}

#[test]
fn a_loss_names_the_best_the_rounds_and_the_others_ahead() {
    let mut results = Results::default();
    add(&mut results, at(ECHO, OURS), Measure::Rate, &[80.0, 80.0, 80.0]);
    add(&mut results, at(ECHO, FLOOR), Measure::Rate, &[100.0, 100.0, 79.0]);
    add(&mut results, at(ECHO, "tokio"), Measure::Rate, &[81.0, 81.0, 81.0]);
    let loss = loss(&results, at(ECHO, OURS), Measure::Rate, &[FLOOR, "tokio"]).unwrap();
    let sentence = format!(
        "{ECHO}: the rate of readyloop is 0.800 × that of {FLOOR} (80 /s against 100 /s), in 2 of 3 rounds; \
         ahead too: tokio."
    );
    assert_eq!(loss.sentence(), sentence);
    assert!(markdown(&results).contains(&format!("- {sentence}\n")));
}

#[test]
fn a_server_level_or_ahead_has_not_lost() {
    let mut results = Results::default();
    add(&mut results, at(ECHO, OURS), Measure::P99, &[10.0, 10.0]);
    add(&mut results, at(ECHO, FLOOR), Measure::P99, &[10.0, 10.0]);
    add(&mut results, at(ECHO, "tokio"), Measure::P99, &[11.0, 12.0]);
    assert_eq!(loss(&results, at(ECHO, OURS), Measure::P99, &[FLOOR, "tokio"]), None);
    assert!(markdown(&results).contains("Nowhere in these rows."));
}

#[test]
fn a_load_that_is_not_whole_is_a_failure_with_its_problems() {
    let load = Load::Churn;
    let text = r#"{"whole": false, "problems": ["2 connections failed", "try less"]}"#;
    assert_eq!(answer::sample(text, load), Err("2 connections failed; try less".to_owned()));
    for text in ["{}", r#"{"whole": false, "problems": []}"#, r#"{"whole": "true"}"#, "", "x"] {
        assert!(answer::sample(text, load).is_err(), "{text}");
    }
}

#[test]
fn a_figure_that_is_not_there_is_a_failure_and_not_0() {
    let sample = |latency: &str| -> Outcome {
        let text = format!(
            r#"{{"whole": true, "messages_per_second": 200000.0, "bytes_per_second": 12800000.0,
                "latency_us": {latency}, "late_us": null,
                "server": {{"cpu_us_per_message": 4.0, "user_us_per_message": null}}}}"#
        );
        answer::sample(&text, Load::Churn)
    };
    let found = sample(r#"{"p50": 1.0, "p99": 2.0, "p999": 3.0}"#).unwrap();
    assert_eq!((found[&Measure::Megabytes], found[&Measure::Busy]), (12.8, 80.0));
    assert_eq!(found.get(&Measure::User), None, "no tick has met the server");
    let why = "the load's JSON has no /latency_us/p999".to_owned();
    assert_eq!(sample(r#"{"p50": 1.0, "p99": 2.0}"#), Err(why));
}

#[test]
fn the_calls_of_a_strace_table_are_summed_without_its_total() {
    let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.010000           1      1000           recvfrom
 40.00    0.000010           1        30        10 epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.010010           9      1030        10 total
";
    assert_eq!(call_table::sum(table), Ok(1_030));
    assert!(call_table::sum("").is_err());
}

#[test]
fn a_run_that_is_not_complete_writes_nothing() {
    let parse = |line: &str| {
        Options::parse(line.split_whitespace().map(str::to_owned)).map_err(|why| why.to_string())
    };
    let full = parse("--bench --rounds 7").unwrap();
    assert_eq!((full.rounds, full.writes, full.wants("anything")), (7, true, true));
    let part = parse("--only KiB").unwrap();
    assert_eq!((part.writes, part.wants("64 KiB"), part.wants("64 B")), (false, true, false));
    assert!(!parse("--quick").unwrap().writes);
    for wrong in ["--rounds 0", "--rounds", "--seconds -1", "--seconds inf", "--fast", "3"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn charts_show_the_servers_with_figures() {
    let folder = tempfile::tempdir().unwrap();
    let drawn = |results: &Results| {
        charts::draw(folder.path(), results, &PEERS).unwrap();
        charts::ALL.map(|(file, _)| std::fs::read_to_string(folder.path().join(file)).unwrap())
    };
    for (text, (_, title)) in drawn(&Results::default()).iter().zip(charts::ALL) {
        assert!(text.contains(title), "without figures: {text}");
    }
    let mut results = Results::default();
    let rate = |rate| Ok(Sample::from([(Measure::Rate, rate), (Measure::Total, 4.25)]));
    results.add(at(ECHO, OURS), rate(200_000.0));
    results.add(at(MANY[1], OURS), rate(150_000.0));
    results.add(at(ECHO, "tokio"), Err("no answer".to_owned()));
    let [echo, _, connections, ..] = drawn(&results);
    assert!(echo.contains("readyloop: user + system") && echo.contains("4.25"), "{echo}");
    assert!(!echo.contains("tokio"), "{echo}");
    assert!(connections.contains("200,000"), "{connections}");
}
