//! What the real binary does when there is too much of something: rows 1 to 8 and 21 to 25 of the table in
//! `tests/README.md`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::binary::Binary;
use crate::many::alone;
use crate::system::server_ends;
use crate::util::*;

impl Binary {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Changes a soft limit while it runs.
    fn limit(&self, resource: Resource, most: u64) {
        let hard = getrlimit(resource).maximum;
        let limit = Rlimit { current: Some(most), maximum: hard };
        prlimit(Some(self.pid()), resource, limit).expect("a soft limit can be changed");
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it runs")
    }

    /// A figure of `/proc/PID/status`, in bytes.
    fn memory(&self, name: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is there");
        let kib: u64 = line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().expect("a number");
        kib * 1024
    }

    /// The processor time that its first thread has used, which is the reactor's.
    fn processor_time(&self) -> Duration {
        let schedstat = self.proc("schedstat");
        let nanos = schedstat.split(' ').next().and_then(|text| text.parse().ok());
        Duration::from_nanos(nanos.expect("a number"))
    }
}

/// Whether the other end has gone, whatever was sent before.
fn has_ended(client: &mut TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    loop {
        match client.read(&mut [0; 4_096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn row_01_out_of_descriptors_residents_are_served_and_no_waiting_client_is_lost() {
    const DIALS: usize = 200;
    const WHILE: Duration = Duration::from_secs(1);
    let binary = Binary::start(&[]);
    let mut residents: Vec<_> = (0..20).map(|_| connect(binary.addr())).collect();
    residents.iter_mut().for_each(|resident| echo(resident, b"before"));
    binary.limit(Resource::Nofile, 64);
    let mut waiting: Vec<_> = (0..DIALS).map(|_| connect(binary.addr())).collect();
    waiting.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
    // Or more, if it has inherited some with higher numbers.
    wait_until("no descriptor is left", || binary.open_files() >= 64);
    let (start, used) = (Instant::now(), binary.processor_time());
    while start.elapsed() < WHILE {
        residents.iter_mut().for_each(|resident| echo(resident, b"during"));
        thread::sleep(Duration::from_millis(50));
    }
    let share =
        binary.processor_time().saturating_sub(used).as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(share < 0.05, "{:.1} % of a core", share * 100.0);
    binary.limit(Resource::Nofile, 1_024);
    let room = Instant::now();
    for client in &mut waiting {
        client.read_exact(&mut [0; 1]).expect("it is served in the end");
    }
    println!("{:.1} % of a core; all served after {:?}", share * 100.0, room.elapsed());
    residents.iter_mut().for_each(|resident| echo(resident, b"after"));
}

#[test]
fn row_04_peers_that_reset_while_they_were_queued_disturb_no_other() {
    let binary = Binary::start(&[]);
    let idle = binary.open_files();
    let mut resident = connect(binary.addr());
    echo(&mut resident, b"before");
    binary.signal(Signal::STOP);
    for number in 0..500 {
        let mut client = connect(binary.addr());
        if number % 2 == 0 {
            client.write_all(b"unread").unwrap();
        }
        reset(client);
    }
    let mut last = connect(binary.addr());
    binary.signal(Signal::CONT);
    echo(&mut last, b"behind them");
    echo(&mut resident, b"after");
    wait_until("they are gone", || binary.open_files() == idle + 2);
    assert!(binary.terminate().success());
}

/// A client that does not wait while it dials.
struct Dialled {
    socket: Socket,
    has_sent: bool,
}

impl std::fmt::Debug for Dialled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { socket, has_sent } = self;
        let (own, peer) = (socket.local_addr(), socket.peer_addr());
        let error = socket.take_error();
        write!(f, "{own:?} to {peer:?}, which has sent: {has_sent}, error: {error:?}")
    }
}

impl Dialled {
    fn dial(to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&to.into()); // it is under way
        Self { socket, has_sent: false }
    }

    /// Whether it has been served. It says what it wants as soon as it can.
    fn is_served(&mut self) -> bool {
        if !self.has_sent {
            self.has_sent = self.socket.send(b"x").is_ok();
        }
        self.has_sent && matches!((&self.socket).read(&mut [0; 1]), Ok(1))
    }
}

#[test]
fn row_06_after_a_sleep_in_which_the_backlog_overflowed_all_that_stayed_are_served() {
    let _alone = alone();
    const DIALS: usize = 10_000;
    let binary = Binary::start(&["--backlog", "4096"]);
    binary.signal(Signal::STOP);
    let mut dialled: Vec<_> = (0..DIALS).map(|_| Dialled::dial(binary.addr())).collect();
    // Every tenth does not stay.
    let mut number = 0;
    dialled.retain(|_| {
        number += 1;
        number % 10 != 0
    });
    binary.signal(Signal::CONT);
    let start = Instant::now();
    let mut served = 0;
    // Clients whose SYN was dropped try again after 1, 2, 4, 8 … seconds.
    while served < DIALS / 10 * 9 {
        assert!(start.elapsed() < 3 * DEADLINE, "{served} were served, not {:?}", dialled[0]);
        let before = dialled.len();
        dialled.retain_mut(|client| !client.is_served());
        served += before - dialled.len();
        thread::sleep(Duration::from_millis(20));
    }
    println!("{served} served after {:?}", start.elapsed());
    assert!(binary.terminate().success());
}

#[test]
fn row_22_five_thousand_that_trickle_are_gone_by_their_deadline_and_others_stay() {
    let _alone = alone();
    const TRICKLING: usize = 5_000;
    // A byte each 10 s in the long run: READYLOOP_TRICKLE=10.
    let every = std::env::var("READYLOOP_TRICKLE").map_or(1, |text| text.parse().expect("seconds"));
    let idle_timeout = format!("{}ms", every * 700);
    let binary = Binary::start(&["--idle-timeout", &idle_timeout]);
    let idle = binary.open_files();
    let mut clients: Vec<_> = (0..TRICKLING).map(|_| connect(binary.addr())).collect();
    let mut neighbour = connect(binary.addr());
    let every = Duration::from_secs(every);
    let mut next = Instant::now();
    let start = Instant::now();
    while !clients.is_empty() {
        assert!(start.elapsed() < DEADLINE + 4 * every, "{} are left", clients.len());
        if Instant::now() >= next {
            next += every;
            clients.iter_mut().for_each(|client| drop(client.write_all(b"x")));
        }
        clients.retain_mut(|client| !has_ended(client));
        echo(&mut neighbour, b"still here");
        thread::sleep(Duration::from_millis(20));
    }
    println!("gone after {:?}", start.elapsed());
    wait_until("their places are free", || binary.open_files() == idle + 1);
}

#[test]
fn row_21_a_peer_that_never_reads_is_gone_by_its_deadline() {
    let args = ["--service", "chargen", "--write-timeout", "500ms"];
    let binary = Binary::start(&args);
    let idle = binary.open_files();
    let deaf = connect(binary.addr());
    let mut reader = connect(binary.addr());
    wait_until("both are in", || binary.open_files() == idle + 2);
    wait_until("one is gone", || {
        reader.read_exact(&mut [0; 4_096]).expect("a client that reads is served");
        binary.open_files() == idle + 1
    });
    drop(deaf);
}

/// Has peers that never read ask the server for more than it may use, and returns how many were cut off.
fn press(service: &str, peers: usize) -> usize {
    const MIB: u64 = 1024 * 1024;
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = log.path().to_str().unwrap();
    let args = ["--service", service, "--queue-budget", "32MiB", "--log-file", path];
    let binary = Binary::start(&args);
    let mut good = connect(binary.addr());
    serve_one(&mut good, service);
    let start = binary.memory("VmSize");
    binary.limit(Resource::As, start + 64 * MIB);
    let mut clients: Vec<TcpStream> = Vec::new();
    let chunk = noise(256 * 1024);
    for _ in 0..peers {
        let client = connect(binary.addr());
        // Their own kernel is to take as little as possible.
        SockRef::from(&client).set_recv_buffer_size(4_096).unwrap();
        client.set_nonblocking(true).unwrap();
        clients.push(client);
    }
    let flood = |clients: &mut Vec<TcpStream>| {
        for client in clients.iter_mut() {
            while let Ok(1..) = client.write(&chunk) {}
        }
    };
    for _ in 0..5 {
        if service == "echo" {
            flood(&mut clients);
        }
        for _ in 0..10 {
            serve_one(&mut good, service);
        }
    }
    let more = binary.memory("VmSize").saturating_sub(start) / MIB;
    println!("{service}: {more} MiB more than at its start");
    assert!(more <= 64, "{more} MiB");
    // A RST shows which client was cut off. No client reads, as reading would change the outcome.
    let is_cut = |client: &TcpStream| client.take_error().unwrap().is_some();
    let cut = clients.iter().filter(|client| is_cut(client)).count();
    drop(clients);
    serve_one(&mut good, service);
    drop(good);
    // Linux ignores a reset that does not continue what it has received (RFC 5961, 3.2), as after bytes that it had no
    // memory for. It asks back, but not twice in `net.ipv4.tcp_invalid_ratelimit` milliseconds.
    let unheard = server_ends(binary.addr()).len();
    let code = binary.terminate().code();
    let log = std::fs::read_to_string(log.path()).unwrap();
    let (_, report) = log.split_once("connections finished, ").expect("the log has the report");
    let lost: usize = report.split(' ').next().unwrap().parse().expect("a number");
    println!("{unheard} ends were unheard of when it was to drain, and {lost} at its end");
    // A lost reset comes again when the system probes a full peer, with pauses that grow. Until then no server can know
    // that no client waits for its bytes.
    assert!(
        lost <= unheard,
        "{lost} were cut off, but the system knew all but {unheard} to be gone"
    );
    assert_eq!(code, Some(if lost == 0 { 0 } else { 3 }), "{lost} were cut off");
    cut
}

fn serve_one(client: &mut TcpStream, service: &str) {
    match service {
        "echo" => echo(client, &[b'x'; 1_000]),
        _ => client.read_exact(&mut [0; 10_000]).expect("a client that reads is served"),
    }
}

#[test]
fn row_23_two_thousand_that_send_and_never_read_are_held_in_64_mib_and_others_are_served() {
    let _alone = alone();
    println!("{} were cut off", press("echo", 2_000));
}

#[test]
fn row_23_two_thousand_that_never_read_an_endless_writer_are_held_in_64_mib() {
    let _alone = alone();
    println!("{} were cut off", press("chargen", 2_000));
}

#[test]
fn row_07_and_24_beside_a_flooder_and_a_flood_of_dials_all_are_served() {
    const REQUESTS: usize = 2_000;
    let binary = Binary::start(&[]);
    let addr = binary.addr();
    let mut quiet: Vec<_> = (0..100).map(|_| connect(addr)).collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut flooder = connect(addr);
            let mut reader = flooder.try_clone().unwrap();
            let chunk = noise(64 * 1024);
            scope.spawn(move || while let Ok(1..) = reader.read(&mut [0; 65_536]) {});
            while !stop.load(Ordering::Relaxed) {
                flooder.write_all(&chunk).unwrap();
            }
            flooder.shutdown(std::net::Shutdown::Both).unwrap();
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                reset(connect(addr));
            }
        });
        for number in 0..REQUESTS {
            echo(&mut quiet[number % 100], &number.to_be_bytes());
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(binary.terminate().success());
}

#[test]
fn row_25_a_long_row_of_connections_leaves_nothing_behind() {
    // READYLOOP_CONNECTIONS=1000000 makes the long run.
    let connections: u64 = std::env::var("READYLOOP_CONNECTIONS")
        .map_or(20_000, |text| text.parse().expect("a number"));
    let binary = Binary::start(&[]);
    let idle = binary.open_files();
    let row = |count: u64| {
        for number in 0..count {
            let mut client = connect(binary.addr());
            echo(&mut client, &number.to_be_bytes());
            // Without TIME_WAIT for most, or the ports would run out.
            if number % 100 == 0 { drop(client) } else { reset(client) }
        }
        wait_until("all are gone", || binary.open_files() == idle);
    };
    row(2_000);
    let before = binary.memory("VmRSS");
    row(connections);
    let after = binary.memory("VmRSS");
    println!("{connections} connections: {before} bytes resident before, {after} after");
    assert!(after <= before + 512 * 1024, "{before} bytes resident before, {after} after");
    assert!(binary.terminate().success());
}

#[test]
fn a_client_that_says_nothing_is_closed_and_one_that_has_lived_long_enough_too() {
    let cases =
        [["--first-byte-timeout", "200ms"], ["--idle-timeout", "200ms"], ["--max-age", "200ms"]];
    for args in cases {
        let binary = Binary::start(&args);
        let start = Instant::now();
        let mut client = connect(binary.addr());
        assert_eq!(read_to_end(&mut client), b"", "{args:?}: an orderly end");
        let least = Duration::from_millis(if args[0] == "--max-age" { 180 } else { 200 });
        assert!(start.elapsed() >= least, "{args:?}: {:?}", start.elapsed());
    }
}

/// Whether it is let in: it is answered then, and reset or closed else.
fn is_let_in(addr: SocketAddr) -> Option<TcpStream> {
    // The reset of one that is turned away may come before this side knows that it is connected.
    let mut client = match TcpStream::connect(addr) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
        client => client.expect("the server accepts"),
    };
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    let answered = client.write_all(b"x").and_then(|()| client.read_exact(&mut [0; 1]));
    answered.is_ok().then_some(client)
}

#[test]
fn row_08_connections_beyond_the_limits_are_refused_as_the_flags_say() {
    for (args, let_in) in [
        (&["--max-connections", "3", "--overflow", "reject"][..], 3),
        (&["--max-per-ip", "4"], 4),
        (&["--accept-rate", "1", "--accept-burst", "5"], 5),
    ] {
        let binary = Binary::start(args);
        let clients: Vec<_> = (0..10).filter_map(|_| is_let_in(binary.addr())).collect();
        // A slow machine may see another second of the rate.
        let most = if args[0] == "--accept-rate" { 10 } else { let_in };
        assert!((let_in..=most).contains(&clients.len()), "{args:?}: {}", clients.len());
    }
}

#[test]
fn row_56_more_connections_than_open_files_are_lowered_to_what_there_can_be() {
    for overflow in ["reject", "evict"] {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 100; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_readyloop")]);
        command.args(["--listen", "127.0.0.1:0", "--max-connections", "1000"]);
        command.args(["--overflow", overflow, "--log-file", log.path().to_str().unwrap()]);
        let binary = Binary::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()), 1);
        // 100 descriptors, of which half are for others.
        let mut clients: Vec<_> = (0..60).filter_map(|_| is_let_in(binary.addr())).collect();
        assert_eq!(clients.len(), if overflow == "reject" { 50 } else { 60 });
        if overflow == "evict" {
            wait_until("the idlest are gone", || clients[..10].iter_mut().all(has_ended));
        }
        let log = std::fs::read_to_string(log.path()).unwrap();
        assert!(log.contains("max_connections is lowered from 1000 to 50"), "{log}");
    }
}

#[test]
fn row_57_the_log_tells_of_each_refusal_also_if_silence_follows() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = log.path().to_str().unwrap();
    let binary = Binary::start(&["--accept-rate", "1", "--log-file", path]);
    let let_in = (0..3_000).filter_map(|_| is_let_in(binary.addr())).count();
    let text = || std::fs::read_to_string(log.path()).unwrap();
    let refused = |text: &str| -> usize {
        let counts = text.lines().filter_map(|line| line.split_once("refused "));
        counts.map(|(_, rest)| rest.split(' ').next().unwrap().parse::<usize>().unwrap()).sum()
    };
    wait_until("all refusals are told", || refused(&text()) == 3_000 - let_in);
    assert!(binary.terminate().success());
    assert_eq!(refused(&text()), 3_000 - let_in, "none is told twice");
}

#[test]
fn row_08_refused_connections_receive_the_last_words() {
    let args = ["--max-connections", "1", "--overflow", "reject", "--reject-message", "full"];
    let binary = Binary::start(&args);
    let _in_place = is_let_in(binary.addr()).expect("there is a place");
    for _ in 0..10 {
        assert_eq!(read_to_end(&mut connect(binary.addr())), b"full");
    }
}

#[test]
fn row_08_the_idlest_makes_room() {
    let binary = Binary::start(&["--max-connections", "3", "--overflow", "evict"]);
    let mut residents: Vec<_> = (0..3).filter_map(|_| is_let_in(binary.addr())).collect();
    echo(&mut residents[0], b"not idle");
    let _newcomer = is_let_in(binary.addr()).expect("room is made");
    echo(&mut residents[0], b"still here");
    wait_until("the idlest is gone", || has_ended(&mut residents[1]));
}
