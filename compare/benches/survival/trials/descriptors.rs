//! There are no descriptors left, and then there are again.
//!
//! With 20 residents connected, the server's limit of open files is lowered to what it has open and
//! three more. Then 200 new clients dial and ask; the kernel takes them into the backlog. For 2 s the
//! residents ask one after another. Then the limit is raised, and no client dials any more: a server that
//! waits for the next connection before it tries again has stranded these.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::trial::{Finding, Measure, Trial};
use crate::clients::{MESSAGE, connect, round_trip};
use crate::common::failure::Failure;
use crate::common::process::Server;

pub(super) const TRIAL: Trial = Trial {
    title: "out of descriptors",
    measures: &[
        Measure { title: "served of 200 afterwards", unit: "" },
        Measure { title: "the last of them after", unit: " ms" },
        Measure { title: "processor time meanwhile", unit: " %" },
        Measure { title: "residents' echoes that failed", unit: "" },
    ],
    run,
};

const RESIDENTS: usize = 20;
const DIALS: usize = 200;
/// So that the server sees an accept succeed and then fail.
const LEFT: usize = 3;
const HOLD: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Seldom enough to cost the server next to no time.
const RESIDENTS_PAUSE: Duration = Duration::from_millis(10);

fn run(server: &Server) -> Result<Vec<Finding>, Failure> {
    let mut residents = Vec::new();
    for _ in 0..RESIDENTS {
        let mut resident = connect(server.addr)?;
        round_trip(&mut resident)?;
        residents.push(resident);
    }
    let before = server.leave_descriptors(LEFT)?;
    let mut new_clients = (0..DIALS).map(|_| NewClient::dial(server.addr)).collect::<Vec<_>>();

    let (start, cpu_start) = (Instant::now(), server.cpu_time()?);
    let failed = keep_asking(&mut residents, start + HOLD);
    let cpu = (server.cpu_time()? - cpu_start).as_secs_f64() / start.elapsed().as_secs_f64();

    let early = count_served(&mut new_clients);
    server.set_descriptor_limit(before)?;
    let (served, last) = wait_for_service(&mut new_clients, early);
    Ok(vec![
        Finding::Number(served as f64),
        match last {
            _ if served < DIALS => Finding::words("never"),
            after => Finding::Number(after.as_secs_f64() * 1e3),
        },
        Finding::Number(cpu * 100.0),
        Finding::Number(failed as f64),
    ])
}

/// Returns how many round trips failed.
fn keep_asking(residents: &mut [TcpStream], until: Instant) -> usize {
    let mut failed = 0;
    for number in (0..residents.len()).cycle() {
        if Instant::now() > until {
            break;
        }
        failed += usize::from(round_trip(&mut residents[number]).is_err());
        thread::sleep(RESIDENTS_PAUSE);
    }
    failed
}

/// Returns how many were served, and how long after the call the last of them was.
fn wait_for_service(new_clients: &mut [NewClient], mut served: usize) -> (usize, Duration) {
    let start = Instant::now();
    let mut last = Duration::ZERO;
    while served < new_clients.len() && start.elapsed() < TIMEOUT {
        let now_served = count_served(new_clients);
        if now_served > served {
            (served, last) = (now_served, start.elapsed());
        }
        thread::sleep(Duration::from_millis(1));
    }
    (served, last)
}

fn count_served(new_clients: &mut [NewClient]) -> usize {
    new_clients.iter_mut().filter_map(|client| client.is_served().then_some(())).count()
}

/// A client that has asked once. Without a stream it has failed.
struct NewClient {
    stream: Option<TcpStream>,
    missing: usize,
}

impl NewClient {
    fn dial(addr: SocketAddr) -> Self {
        let ask = || -> Result<TcpStream, Failure> {
            let mut stream = connect(addr)?;
            stream.write_all(&MESSAGE)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        Self { stream: ask().ok(), missing: MESSAGE.len() }
    }

    fn is_served(&mut self) -> bool {
        let mut back = [0; MESSAGE.len()];
        if self.missing > 0
            && let Some(stream) = &mut self.stream
        {
            match stream.read(&mut back[..self.missing]) {
                Ok(0) => self.stream = None,
                Ok(count) => self.missing -= count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.stream = None,
            }
        }
        self.missing == 0
    }
}
