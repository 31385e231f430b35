//! Clients that send all they can and read nothing.
//!
//! There are 300 of them for 4 s, a thread each, with small socket buffers. One other client asks every
//! 20 ms and waits at most 1 s for the answer. Memory is what is resident in the server's process; what
//! the kernel holds in socket buffers is not counted. (So many at once can overflow the queue of the
//! loopback interface: an answer after 200 ms, or 1 s, may be a packet that was lost there.)

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::trial::{Finding, Measure, Trial};
use crate::clients::{Flood, connect, connect_with_small_buffers, numbered_round_trip};
use crate::common::failure::Failure;
use crate::common::process::Server;

pub(super) const TRIAL: Trial = Trial {
    title: "300 that never read",
    measures: &[
        Measure { title: "memory grows by", unit: " MB" },
        Measure { title: "another's echoes that came within 1 s", unit: " %" },
        Measure { title: "the slowest of them", unit: " ms" },
    ],
    run,
};

const PEERS: usize = 300;
const TIME: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(20);

/// In bytes. A server that takes this much is not left to take all there is.
const TOO_MUCH: u64 = 3_000_000_000;

fn run(server: &Server) -> Result<Vec<Finding>, Failure> {
    let mut other = connect(server.addr)?;
    numbered_round_trip(&mut other, 0)?;
    server.forget_peak()?;
    let resident = server.resident()?;

    let peers = (0..PEERS)
        .map(|_| connect_with_small_buffers(server.addr))
        .collect::<Result<Vec<_>, _>>()?;
    let peers = peers.into_iter().map(Flood::without_reading).collect::<Result<Vec<_>, _>>()?;
    let trips = keep_asking(server, &mut other)?;
    let grown = server.peak()?.saturating_sub(resident) as f64;
    drop(peers);

    let growth = match trips.is_cut_short {
        true => Finding::Words(format!("over {:.0} MB, then stopped", TOO_MUCH as f64 / 1e6)),
        false => Finding::Number(grown / 1e6),
    };
    let longest = match trips.answered == trips.asked {
        true => Finding::Number(trips.longest.as_secs_f64() * 1e3),
        false => Finding::words("over 1 s"),
    };
    let share = trips.answered as f64 / trips.asked as f64;
    Ok(vec![growth, Finding::Number(share * 100.0), longest])
}

#[derive(Default)]
struct Trips {
    asked: u32,
    answered: u32,
    longest: Duration,
    is_cut_short: bool,
}

fn keep_asking(server: &Server, client: &mut TcpStream) -> Result<Trips, Failure> {
    let mut trips = Trips::default();
    let start = Instant::now();
    while start.elapsed() < TIME && !trips.is_cut_short {
        let asked = Instant::now();
        trips.asked += 1;
        if numbered_round_trip(client, trips.asked as u8).is_ok() {
            trips.answered += 1;
            trips.longest = trips.longest.max(asked.elapsed());
        }
        trips.is_cut_short = server.resident()? > TOO_MUCH;
        thread::sleep(PAUSE.saturating_sub(asked.elapsed()));
    }
    Ok(trips)
}
