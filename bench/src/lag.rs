//! Whether an open loop has kept to its rate. If not, it may have measured the bench instead of the server.

use std::time::Duration;

use super::clock::nanoseconds;
use super::latency::LatencyReport;
use super::numbers::{grouped, time};
use super::plan::{Load, Plan};
use super::tally::{HeldBack, Tally};

/// The median lateness that is no problem whatever the latency is, in microseconds.
const TOLERABLE: f64 = 1_000.0;

/// The problem if messages were not sent when they were due: the bench or the server was too slow.
pub(super) fn problem(
    plan: &Plan,
    tally: &Tally,
    latency: Option<&LatencyReport>,
    late: Option<&LatencyReport>,
) -> Option<String> {
    let Load::Open { rate } = plan.load else { return None };
    let never_sent = match tally.behind {
        0 => String::new(),
        behind => format!("{} messages that were due were never sent", grouped(behind)),
    };
    // If the bench was on time until it reached its limit, the server was too slow.
    if let Some(HeldBack { at, under_way, .. }) = tally.held_back.filter(is_in_time) {
        let after = Duration::from_nanos(at).as_secs_f64();
        let then = if never_sent.is_empty() { "later ones were sent late" } else { &never_sent };
        return Some(format!(
            "the server did not keep up with --rate {rate}: {} messages were under way after {after:.1} s, which \
             is the most that the bench holds, and {then}; lower --rate",
            grouped(under_way)
        ));
    }
    let why = if !never_sent.is_empty() {
        never_sent
    } else if tally.all_sent > nanoseconds(plan.duration + plan.slack()) {
        let lasted = Duration::from_nanos(tally.all_sent).as_secs_f64();
        format!("sending lasted {lasted:.2} s instead of {:.2} s", plan.duration.as_secs_f64())
    } else {
        let (late, latency) = (late?.p50, latency?.p50);
        let is_most = late > TOLERABLE && late > latency / 2.0;
        is_most.then(|| {
            let (late, latency) = (time(late), time(latency));
            format!("the median message was sent {late} late, and the median latency was {latency}")
        })?
    };
    Some(format!(
        "the bench itself could not keep to --rate {rate}: {why}; the results describe the bench and not the \
         server: lower --rate, or raise --threads"
    ))
}

/// Whether the bench had sent three quarters of the messages that were due by then.
fn is_in_time(held: &HeldBack) -> bool {
    held.late <= held.at / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn open_loop() -> Plan {
        Plan { load: Load::Open { rate: 7 }, ..Plan::sample() }
    }

    /// Only the median is used.
    fn of_median(p50: f64) -> LatencyReport {
        let [min, mean, p90, p99, p999, p9999, max] = [0.0; 7];
        LatencyReport { min, mean, p50, p90, p99, p999, p9999, max }
    }

    fn say(plan: &Plan, sending: u64, latency: f64, late: f64) -> Option<String> {
        let tally = Tally { all_sent: sending, ..Tally::default() };
        problem(plan, &tally, Some(&of_median(latency)), Some(&of_median(late)))
    }

    #[test]
    fn a_rate_that_is_kept_is_no_problem_also_with_a_slow_server_or_a_late_message() {
        for (sending, latency, late) in [
            (2 * SECOND, 100.0, 90.0),
            (2 * SECOND, 500_000.0, 10_000.0),
            (2 * SECOND + SECOND / 10, 100.0, 999.0),
        ] {
            assert_eq!(say(&open_loop(), sending, latency, late), None, "{latency}");
        }
        assert_eq!(
            say(&Plan::sample(), 9 * SECOND, 100.0, 90_000.0),
            None,
            "a closed loop has no rate"
        );
    }

    #[test]
    fn sending_for_longer_than_it_was_to_last_is_a_problem() {
        let said = say(&open_loop(), 3 * SECOND, 500_000.0, 100.0).unwrap();
        assert!(said.contains("--rate 7: sending lasted 3.00 s instead of 2.00 s;"), "{said}");
        let short = Plan { duration: Duration::from_millis(10), ..open_loop() };
        assert_eq!(say(&short, SECOND / 10, 1.0, 1.0), None);
    }

    #[test]
    fn lateness_that_is_most_of_the_latency_is_a_problem() {
        let said = say(&open_loop(), 2 * SECOND, 500_000.0, 442_000.0).unwrap();
        let expected =
            "the median message was sent 442 ms late, and the median latency was 500 ms;";
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn messages_that_were_never_sent_are_laid_on_the_bench_unless_the_server_did_not_answer() {
        let held = |late| Some(HeldBack { at: SECOND, late, under_way: 1_048_576 });
        for (held_back, beginning) in [
            (None, "the bench itself could not keep to --rate 7: 5,000,000,000 messages"),
            (
                held(SECOND / 2),
                "the bench itself could not keep to --rate 7: 5,000,000,000 messages",
            ),
            (
                held(SECOND / 100),
                "the server did not keep up with --rate 7: 1,048,576 messages were",
            ),
        ] {
            let tally = Tally { behind: 5_000_000_000, held_back, ..Tally::default() };
            let said = problem(&open_loop(), &tally, None, None).unwrap();
            assert!(
                said.starts_with(beginning) && said.contains("5,000,000,000 messages that"),
                "{said}"
            );
        }
    }
}
