//! The report of a run. The table, the JSON and the exit code all follow from it.

use serde::Serialize;

use super::error_kind::ErrorKind;
use super::lag;
use super::latency::{Latencies, LatencyReport};
use super::plan::{Load, Plan};
use super::problems;
use super::series::Second;
use super::server_side::Spent;
use super::tally::Tally;

/// The raw results of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    pub(super) latencies: Latencies,
    /// How late the bench sent the messages of an open loop.
    pub(super) lateness: Latencies,
    pub(super) series: Vec<Second>,
    /// The measured time in nanoseconds: to the last answer, at least the duration of the plan.
    pub(super) measured: u64,
    /// What ended the run early: an interruption, a reactor that failed.
    pub(super) obstacles: Vec<String>,
    pub(super) server: Option<Server>,
}

/// The figures of the server's process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Server {
    pub(super) pid: u32,
    pub(super) spent: Option<Spent>,
    /// Resident bytes.
    pub(super) before: u64,
    pub(super) open: Option<u64>,
    pub(super) after_echo: Option<u64>,
}

/// The results of a run.
///
/// `Display` shows it as a table, `Serialize` gives it to programs. Both say whether the run is whole.
///
/// # Examples
/// See [above](crate#examples).
#[derive(Debug, Serialize)]
pub struct Report {
    pub(super) version: &'static str,
    pub(super) target: String,
    pub(super) load: LoadReport,
    /// Whether there are no problems.
    pub(super) whole: bool,
    pub(super) problems: Vec<String>,
    pub(super) connections: Connections,
    /// How many messages were answered correctly.
    pub(super) messages: u64,
    pub(super) wrong: u64,
    pub(super) unanswered: u64,
    /// How many messages were due on connections that were gone.
    pub(super) unsent: u64,
    /// How many messages were due and never sent, as the bench itself was too slow.
    pub(super) behind: u64,
    /// How many messages were under way when the run was interrupted.
    pub(super) under_way: u64,
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    pub(super) messages_per_second: f64,
    pub(super) bytes_per_second: f64,
    /// `None` if no message was answered.
    pub(super) latency_us: Option<LatencyReport>,
    /// How late the bench sent messages. This is a delay of the bench, and part of the latency.
    pub(super) late_us: Option<LatencyReport>,
    pub(super) errors: Vec<ErrorReport>,
    pub(super) server: Option<ServerReport>,
    pub(super) series: Vec<Second>,
    #[serde(skip)]
    pub(super) plan: String,
    #[serde(skip)]
    pub(super) latencies: Latencies,
}

#[derive(Debug, Serialize)]
pub(super) struct LoadReport {
    kind: &'static str,
    connections: u32,
    active: u32,
    size: [usize; 2],
    pipeline: Option<u32>,
    rate: Option<u32>,
    seconds: f64,
    verify: bool,
    threads: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct Connections {
    pub(super) wanted: u32,
    pub(super) opened: u64,
    pub(super) failed: u64,
    pub(super) lost: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct ErrorReport {
    pub(super) kind: ErrorKind,
    pub(super) cause: String,
    pub(super) count: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct ServerReport {
    pub(super) pid: u32,
    pub(super) cpu_us_per_message: Option<f64>,
    pub(super) user_us_per_message: Option<f64>,
    pub(super) system_us_per_message: Option<f64>,
    pub(super) resident_bytes_per_connection: Option<f64>,
    pub(super) resident_bytes_after_echo: Option<f64>,
    /// Why the resident bytes are not known.
    #[serde(skip)]
    pub(super) resident_unknown: Option<&'static str>,
}

/// With fewer connections, the memory that a process takes and returns by itself is too large a part of its growth.
const ENOUGH_FOR_RESIDENT: u64 = 1_000;

#[expect(clippy::cast_precision_loss, reason = "a part in 2^53 is less than what is measured")]
impl Report {
    /// The problems of the run, one line each. If there are none, the run is complete.
    ///
    /// # Examples
    /// See [above](crate#examples).
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    pub(super) fn new(target: &str, plan: &Plan, outcome: Outcome) -> Self {
        let Outcome { tally, latencies, lateness, series, measured, obstacles, server } = outcome;
        let (latency_us, late_us) = (LatencyReport::new(&latencies), LatencyReport::new(&lateness));
        let lag = lag::problem(plan, &tally, latency_us.as_ref(), late_us.as_ref());
        let problems = problems::all(target, plan, &tally, &obstacles, lag);
        let seconds = measured as f64 / 1e9;
        let rate = |count: u64| if measured == 0 { 0.0 } else { count as f64 / seconds };
        let server = server.map(|server| ServerReport::new(&server, &tally));
        Self {
            version: env!("CARGO_PKG_VERSION"),
            target: target.to_owned(),
            load: LoadReport::new(plan),
            whole: problems.is_empty(),
            problems,
            connections: Connections {
                wanted: plan.connections,
                opened: tally.opened,
                failed: tally.failed,
                lost: tally.lost,
            },
            messages: tally.messages,
            wrong: tally.wrong,
            unanswered: tally.unanswered,
            unsent: tally.unsent,
            behind: tally.behind,
            under_way: tally.under_way,
            bytes: tally.bytes,
            seconds,
            messages_per_second: rate(tally.messages),
            bytes_per_second: rate(tally.bytes),
            latency_us,
            late_us,
            errors: errors(&tally),
            server,
            series,
            plan: plan.to_string(),
            latencies,
        }
    }
}

impl LoadReport {
    pub(super) fn churns(&self) -> bool {
        self.kind == Load::Churn.name()
    }

    fn new(plan: &Plan) -> Self {
        let (pipeline, rate) = match plan.load {
            Load::Closed { pipeline } => (Some(pipeline), None),
            Load::Open { rate } => (None, Some(rate)),
            Load::Churn | Load::Idle => (None, None),
        };
        Self {
            kind: plan.load.name(),
            connections: plan.connections,
            active: plan.active,
            size: [plan.sizes.smallest(), plan.sizes.largest()],
            pipeline,
            rate,
            seconds: plan.duration.as_secs_f64(),
            verify: plan.verify,
            threads: plan.threads,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a part in 2^53 is less than what is measured")]
impl ServerReport {
    fn new(server: &Server, tally: &Tally) -> Self {
        let each = |nanoseconds: f64| {
            (tally.messages > 0).then(|| nanoseconds / 1_000.0 / tally.messages as f64)
        };
        // A server that answers uses processor time. A process that used none is not the server.
        let spent = server.spent.filter(|spent| !spent.is_nothing());
        let split = spent.and_then(|spent| spent.split);
        // Each connection takes at least a byte. If the process has grown by less, it has used memory that it had
        // before.
        let a_connection = |resident: Option<u64>| {
            let grown = resident?.checked_sub(server.before)?;
            let is_told = tally.opened >= ENOUGH_FOR_RESIDENT && grown >= tally.opened;
            is_told.then(|| grown as f64 / tally.opened as f64)
        };
        let resident = a_connection(server.open);
        let resident_unknown = match (server.open, resident) {
            (Some(_), None) if tally.opened < ENOUGH_FOR_RESIDENT => {
                Some("fewer than 1,000 connections")
            }
            (Some(_), None) => Some("no growth of memory: restart the server"),
            _ => None,
        };
        Self {
            pid: server.pid,
            cpu_us_per_message: spent.and_then(|spent| each(spent.total?)),
            user_us_per_message: split.and_then(|(user, _)| each(user)),
            system_us_per_message: split.and_then(|(_, system)| each(system)),
            resident_bytes_per_connection: resident,
            resident_bytes_after_echo: a_connection(server.after_echo),
            resident_unknown,
        }
    }
}

/// The most frequent first.
fn errors(tally: &Tally) -> Vec<ErrorReport> {
    let list = tally.errors.iter();
    let report = |((kind, cause), count): (&(_, String), &u64)| ErrorReport {
        kind: *kind,
        cause: cause.clone(),
        count: *count,
    };
    let mut errors: Vec<_> = list.map(report).collect();
    errors.sort_by_key(|error| std::cmp::Reverse(error.count));
    errors
}

#[cfg(test)]
impl Outcome {
    /// Of a run in which nothing went wrong.
    pub(crate) fn sample() -> Self {
        let mut latencies = Latencies::new();
        (1..=1_000).for_each(|number| latencies.record(number * 1_000));
        let tally = Tally { opened: 10, messages: 1_000, bytes: 64_000, ..Tally::default() };
        Self {
            tally,
            latencies,
            lateness: Latencies::new(),
            series: vec![Second {
                second: 0,
                messages: 1_000,
                p50_us: Some(500.0),
                p99_us: Some(990.0),
            }],
            measured: 2_000_000_000,
            obstacles: Vec::new(),
            server: None,
        }
    }
}

#[cfg(test)]
impl Report {
    /// On a run of [`Plan::sample`].
    pub(crate) fn sample(outcome: Outcome) -> Self {
        Self::new("127.0.0.1:7", &Plan::sample(), outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_problems_is_whole_and_its_rates_are_what_was_counted() {
        let report = Report::sample(Outcome::sample());
        assert!(report.whole);
        assert_eq!((report.messages_per_second, report.bytes_per_second), (500.0, 32_000.0));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["load"]["kind"], "closed");
        assert_eq!(json["load"]["pipeline"], 2);
        assert_eq!(json["load"]["rate"], serde_json::Value::Null);
        assert_eq!(json["server"], serde_json::Value::Null);
        assert_eq!(json["series"][0]["messages"], 1_000);
        let p99 = json["latency_us"]["p99"].as_f64().unwrap();
        assert!((p99 - 990.0).abs() < 1.0, "{p99}");
    }

    #[test]
    fn a_run_without_answers_has_no_latency_and_is_not_whole() {
        let mut outcome = Outcome::sample();
        outcome.tally.messages = 0;
        outcome.latencies = Latencies::new();
        outcome.measured = 0;
        let report = Report::sample(outcome);
        assert!(!report.whole);
        assert_eq!((report.latency_us, report.messages_per_second), (None, 0.0));
    }

    #[test]
    fn an_error_says_where_it_came() {
        let mut outcome = Outcome::sample();
        outcome.tally.error(ErrorKind::Connect, "timed out", 3);
        outcome.tally.error(ErrorKind::Loss, "connection reset", 2);
        outcome.tally.error(ErrorKind::Message, "connection reset", 1);
        let report = Report::sample(outcome);
        let json = serde_json::to_value(&report).unwrap();
        let expected = serde_json::json!([
            { "kind": "connect", "cause": "timed out", "count": 3 },
            { "kind": "loss", "cause": "connection reset", "count": 2 },
            { "kind": "message", "cause": "connection reset", "count": 1 },
        ]);
        assert_eq!(json["errors"], expected);
        let table = report.to_string();
        for line in [
            "not connected   3 × timed out\n",
            "lost            2 × connection reset\n",
            "bad answers     1 × connection reset\n",
        ] {
            assert!(table.contains(line), "{line:?} in:\n{table}");
        }
    }

    #[test]
    fn the_servers_side_is_told_a_message_and_a_connection() {
        let mut outcome = Outcome::sample();
        let spent = Spent { total: Some(2_000_000.0), split: Some((500_000.0, 1_500_000.0)) };
        outcome.server = Some(Server {
            pid: 1,
            spent: Some(spent),
            before: 5_000,
            open: Some(205_000),
            after_echo: None,
        });
        outcome.tally.opened = 2_000;
        let server = Report::sample(outcome).server.unwrap();
        assert_eq!(server.cpu_us_per_message, Some(2.0));
        assert_eq!(server.user_us_per_message, Some(0.5));
        assert_eq!(server.system_us_per_message, Some(1.5));
        assert_eq!(server.resident_bytes_per_connection, Some(100.0));
        assert_eq!((server.resident_bytes_after_echo, server.resident_unknown), (None, None));
    }

    #[test]
    fn resident_bytes_that_belong_to_no_connection_are_not_shown() {
        for (opened, after, why) in [
            (999, 1_000_000, "not measurable: fewer than 1,000 connections"),
            (2_000, 5_000, "not measurable: no growth of memory: restart the server"),
            (2_000, 6_000, "not measurable: no growth of memory: restart the server"),
            (2_000, 4_000, "not measurable: no growth of memory: restart the server"),
        ] {
            let mut outcome = Outcome::sample();
            outcome.tally.opened = opened;
            let (open, after_echo) = (Some(after), Some(after));
            outcome.server = Some(Server { before: 5_000, open, after_echo, ..Server::default() });
            let report = Report::sample(outcome);
            let json = serde_json::to_value(&report).unwrap();
            for figure in ["resident_bytes_per_connection", "resident_bytes_after_echo"] {
                assert!(json["server"][figure].is_null(), "{json}");
            }
            assert!(report.to_string().contains(why), "{report}");
        }
    }
}
