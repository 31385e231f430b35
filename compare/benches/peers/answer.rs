//! What `readyloop bench --json` says.

use serde_json::Value;

use crate::grid::Load;
use crate::measure::Measure;
use crate::results::{Outcome, Sample};

/// Its figures.
///
/// # Errors
/// If something was lost, wrong or not done, or a figure is not there.
pub(crate) fn sample(text: &str, load: Load) -> Outcome {
    let json: Value =
        serde_json::from_str(text).map_err(|error| format!("the load's JSON is none: {error}"))?;
    whole(&json)?;
    let number = |path: &str| {
        let number = json.pointer(path).and_then(Value::as_f64);
        number.ok_or_else(|| format!("the load's JSON has no {path}"))
    };
    if let Load::Idle { .. } = load {
        return Ok(Sample::from([
            (Measure::Resident, number("/server/resident_bytes_per_connection")?),
            (Measure::ResidentAfterEcho, number("/server/resident_bytes_after_echo")?),
        ]));
    }
    // There is no proportion if not a single tick of the kernel has met the server, and lateness only where
    // messages have a time.
    let optional =
        [(Measure::User, "/server/user_us_per_message"), (Measure::Late, "/late_us/p999")];
    let (rate, total) = (number("/messages_per_second")?, number("/server/cpu_us_per_message")?);
    let mut sample = Sample::from([
        (Measure::Rate, rate),
        (Measure::Megabytes, number("/bytes_per_second")? / 1e6),
        (Measure::P50, number("/latency_us/p50")?),
        (Measure::P99, number("/latency_us/p99")?),
        (Measure::P999, number("/latency_us/p999")?),
        (Measure::Total, total),
        // Of one processor.
        (Measure::Busy, rate * total / 1e6 * 100.0),
    ]);
    sample.extend(
        optional.into_iter().filter_map(|(measure, path)| Some((measure, number(path).ok()?))),
    );
    Ok(sample)
}

fn whole(json: &Value) -> Result<(), String> {
    if json["whole"] == true {
        return Ok(());
    }
    let problems = json["problems"].as_array().map_or(&[][..], Vec::as_slice);
    let problems: Vec<_> = problems.iter().filter_map(Value::as_str).collect();
    match problems.join("; ") {
        none if none.is_empty() => Err("not whole, and no problem is named".to_owned()),
        problems => Err(problems),
    }
}
