//! Quiet clients, and one that is not.
//!
//! For 3 s 100 clients make 1,000 round trips of 64 bytes a second in all, while one sends as fast as
//! it can, in pieces of 64 KiB, and reads all that comes back, with a thread for each direction.

use std::thread;
use std::time::Duration;

use super::{Finding, Measure, Trial};
use crate::Failure;
use crate::clients::{Flood, QuietClients, connect};
use crate::process::Server;

pub(super) const TRIAL: Trial = Trial {
    title: "100 quiet, 1 flooder",
    measures: &[
        Measure { title: "p99 of the quiet ones", unit: " ms" },
        Measure { title: "what the flooder got echoed", unit: " MB/s" },
    ],
    run,
};

const TIME: Duration = Duration::from_secs(3);

/// Until it is at full speed.
const WARM_UP: Duration = Duration::from_millis(300);

fn run(server: &Server) -> Result<Vec<Finding>, Failure> {
    let mut quiet = QuietClients::connect(server.addr)?;
    let flood = Flood::with_reading(connect(server.addr)?)?;
    thread::sleep(WARM_UP);
    let before = flood.received();
    let trips = quiet.ask_for(TIME)?;
    let speed = (flood.received() - before) as f64 / TIME.as_secs_f64();
    Ok(vec![
        match trips.percentile(99) {
            Some(time) => Finding::Number(time.as_secs_f64() * 1e3),
            None => Finding::words("no answer"),
        },
        Finding::Number(speed / 1e6),
    ])
}
