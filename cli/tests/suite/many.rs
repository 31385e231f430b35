//! Many connections at once.

use std::io::{Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::binary::{Binary, stuck_clients};
use crate::util::*;

/// Held by the tests that open thousands of sockets, which they may from then on: there are not descriptors
/// enough for all of them.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static LARGE: Mutex<()> = Mutex::new(());
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .expect("the soft limit can be raised to the hard one");
    // That another one failed is no reason to fail.
    LARGE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Dials from one of fifty addresses.
fn dial(from: u8, to: std::net::SocketAddr) -> std::net::TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from = std::net::SocketAddr::from(([127, 0, 1, from], 0));
    socket.bind(&from.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.into()
}

/// Whether the server has answered.
fn is_served(client: &mut std::net::TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let served = matches!(client.read(&mut [0; 1]), Ok(1));
    client.set_nonblocking(false).unwrap();
    served
}

#[test]
fn row_08_a_cap_of_a_thousand_is_exact_and_all_are_served_in_the_end() {
    let _alone = alone();
    const CAP: usize = 1_000;
    const DIALS: usize = 5_000;
    let binary = Binary::start(&["--max-connections", "1000", "--backlog", "4096"]);
    let idle = binary.open_files();
    let mut most = 0;
    let mut waiting: Vec<std::net::TcpStream> = Vec::new();
    let (mut dialled, mut served) = (0, 0);
    while served < DIALS {
        // Arrivals and departures are mixed: some clients dial, then the served ones leave.
        for _ in 0..(DIALS - dialled).min(1_500) {
            let mut client = dial(u8::try_from(dialled % 50).unwrap(), binary.addr());
            client.write_all(b"x").unwrap();
            waiting.push(client);
            dialled += 1;
        }
        let room = waiting.len().min(CAP);
        let mut leaving = Vec::new();
        wait_until("the cap is reached", || {
            let open = binary.open_files() - idle;
            most = most.max(open);
            assert!(open <= CAP, "{open} at once");
            leaving.extend(waiting.extract_if(.., is_served));
            leaving.len() >= room
        });
        served += leaving.len();
    }
    assert_eq!(most, CAP);
    assert_eq!((served, waiting.len()), (DIALS, 0));
    wait_until("the table is empty", || binary.open_files() == idle);
    assert!(binary.terminate().success());
}

#[test]
fn ten_thousand_connections_are_open_at_once_and_each_echoes() {
    let _alone = alone();
    const CONNECTIONS: u32 = 10_000;
    let binary = Binary::start(&[]);
    let idle = binary.open_files();
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| connect(binary.addr())).collect();
    for round in 0..3_u32 {
        for (client, number) in clients.iter_mut().zip(round..) {
            client.write_all(&number.to_be_bytes()).unwrap();
        }
        for (client, number) in clients.iter_mut().zip(round..) {
            let mut back = [0; 4];
            client.read_exact(&mut back).unwrap();
            assert_eq!(u32::from_be_bytes(back), number);
        }
    }
    assert_eq!(binary.open_files() - idle, clients.len(), "all are open at once");
    drop(clients);
    wait_until("the table is empty", || binary.open_files() == idle);
    assert!(binary.terminate().success());
}

/// Of a process, in bytes.
fn resident(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is said");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

#[test]
fn row_59_what_waited_for_slow_readers_is_given_back_to_the_system_when_they_go() {
    let _alone = alone();
    const READERS: usize = if cfg!(debug_assertions) { 1_500 } else { 6_000 };
    const MIB: usize = 1 << 20;
    /// What the library keeps for reuse, and what the allocator keeps.
    const KEPT: usize = 8 * MIB;
    let binary = Binary::start(&["--backlog", "4096", "--queue-budget", "1GiB"]);
    let idle = binary.open_files();
    let process = binary.child.id();
    let fresh = resident(process);
    let is_back = |allowed: usize| {
        let limit = fresh + READERS * 1024 + allowed;
        wait_until("memory has come back", || resident(process) < limit);
    };
    let fill = || {
        let readers = stuck_clients(&binary, READERS);
        let waiting = resident(process) - fresh;
        assert!(waiting > READERS * 24 * 1024, "{waiting} bytes are not much");
        readers
    };
    // They go without a word.
    drop(fill());
    wait_until("all have gone", || binary.open_files() == idle);
    is_back(KEPT);
    // They read all, and stay.
    let mut readers = fill();
    let mut chunk = vec![0; 65_536];
    wait_until("memory has come back", || {
        for reader in &mut readers {
            while matches!(reader.read(&mut chunk), Ok(1..)) {}
        }
        resident(process) < fresh + READERS * 1024 + KEPT
    });
    drop(readers);
    wait_until("all have gone", || binary.open_files() == idle);
    // One in fifty stays, wherever its memory lies.
    let mut readers = fill();
    let mut number = 0;
    readers.retain(|_| {
        number += 1;
        number % 50 == 0
    });
    wait_until("the others have gone", || binary.open_files() == idle + readers.len());
    is_back(KEPT + readers.len() * 2 * 128 * 1024);
}
