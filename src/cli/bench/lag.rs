//! Whether an open loop has measured the bench in the place of the server.

use std::time::Duration;

use super::clock::nanoseconds;
use super::plan::{Load, Plan};
use super::report::LatencyReport;
use super::table::time;

/// Sending may last so much longer than it was to in a short run: a thread that is woken late is no want of
/// speed.
const SLACK: Duration = Duration::from_millis(100);

/// Half of the messages may be so late whatever their latency is, in microseconds.
const TOLERABLE: f64 = 1_000.0;

/// What to say if the bench could not send as it was to. `sending` is how long it has sent, in nanoseconds.
pub(super) fn problem(
    plan: &Plan,
    sending: u64,
    latency: Option<&LatencyReport>,
    late: Option<&LatencyReport>,
) -> Option<String> {
    let Load::Open { rate } = plan.load else { return None };
    let most = nanoseconds(plan.duration + (plan.duration / 10).max(SLACK));
    let why = if sending > most {
        let lasted = Duration::from_nanos(sending).as_secs_f64();
        format!("sending lasted {lasted:.2} s instead of {:.2} s", plan.duration.as_secs_f64())
    } else {
        let (late, latency) = (late?.p50, latency?.p50);
        let is_most = late > TOLERABLE && late > latency / 2.0;
        is_most.then(|| {
            let (late, latency) = (time(late), time(latency));
            format!("half of the messages were sent {late} late or later, of {latency} of latency")
        })?
    };
    Some(format!(
        "the bench itself could not keep to --rate {rate}: {why}; what was measured is the bench: lower --rate, \
         or raise --threads"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::plan;
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn open_loop() -> Plan {
        Plan { load: Load::Open { rate: 7 }, ..plan() }
    }

    /// Of which only the median counts.
    fn of_median(p50: f64) -> LatencyReport {
        let [min, mean, p90, p99, p999, p9999, max] = [0.0; 7];
        LatencyReport { min, mean, p50, p90, p99, p999, p9999, max }
    }

    fn say(plan: &Plan, sending: u64, latency: f64, late: f64) -> Option<String> {
        problem(plan, sending, Some(&of_median(latency)), Some(&of_median(late)))
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
        assert_eq!(say(&plan(), 9 * SECOND, 100.0, 90_000.0), None, "a closed loop has no rate");
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
        let expected = "half of the messages were sent 442 ms late or later, of 500 ms of latency;";
        assert!(said.contains(expected), "{said}");
    }
}
