//! Quiet clients, and one that is not.
//!
//! For 3 s 100 clients make 1,000 round trips of 64 bytes a second in all, while one sends as fast as
//! it can, in pieces of 16 KiB, and reads all that comes back, with a thread for each direction.
//!
//! Two controls: a thread that only sleeps notes how late it wakes, and the kernel counts for how long
//! the server was ready to run and something else had its processor. So much of the quiet ones' time is
//! the machine's doing and not the server's.

use std::thread;
use std::time::{Duration, Instant};

use super::trial::{Finding, Measure, Trial};
use crate::clients::{Flood, QuietClients, Sleeper, Times, connect};
use crate::common::failure::Failure;
use crate::common::process::Server;

pub(super) const TRIAL: Trial = Trial {
    title: "100 quiet, 1 flooder",
    measures: &[
        Measure { title: "p99 of the quiet ones", unit: " ms" },
        Measure { title: "p99 of one that only sleeps", unit: " ms" },
        Measure { title: "the server had no processor", unit: " %" },
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
    let (before, queued, start) = (flood.received(), server.queueing_time()?, Instant::now());
    let sleeper = Sleeper::start();
    let trips = quiet.ask_for(TIME)?;
    let late = sleeper.stop()?;
    let took = start.elapsed().as_secs_f64();
    let speed = (flood.received() - before) as f64 / took;
    let queued = (server.queueing_time()? - queued).as_secs_f64() / took;
    let p99 = |times: &Times| match times.percentile(99) {
        Some(time) => Finding::Number(time.as_secs_f64() * 1e3),
        None => Finding::words("no answer"),
    };
    Ok(vec![p99(&trips), p99(&late), Finding::Number(queued * 100.0), Finding::Number(speed / 1e6)])
}
