//! Tests with programs that others wrote. They are ignored unless asked for, as not every machine
//! has them: `cargo test --test suite -- --ignored`.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::binary::Binary;
use crate::util::*;

/// What a shell prints for a command line that knows the server as `$HOST` and `$PORT`.
fn shell(line: &str, addr: SocketAddr, folder: &Path) -> String {
    let output = Command::new("bash")
        .args(["-o", "pipefail", "-ec", line])
        .current_dir(folder)
        .env("HOST", addr.ip().to_string())
        .env("PORT", addr.port().to_string())
        .stderr(Stdio::inherit())
        .output()
        .expect("there is a bash");
    assert!(output.status.success(), "{line}: {}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

#[test]
#[ignore = "needs nc"]
fn hello_by_nc_prints_hello_and_ends() {
    let binary = Binary::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let said = shell("printf hello | nc -N $HOST $PORT", binary.addr(), folder.path());
    assert_eq!(said, "hello");
}

/// A round trip of 100 MB, by SHA-256.
fn hundred_megabytes(client: &str) {
    let args = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0"];
    let binary = Binary::start_with(&args, Stdio::null());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data"), noise(100_000_000)).unwrap();
    for addr in &binary.addrs {
        let line = format!("sha256sum < data; {client} < data | sha256sum");
        let sums = shell(&line, *addr, folder.path());
        let sums: Vec<_> = sums.lines().collect();
        assert_eq!(sums[0], sums[1], "{client} by {addr}");
    }
}

#[test]
#[ignore = "needs nc"]
fn a_hundred_megabytes_by_nc_come_back_unchanged() {
    hundred_megabytes("nc -N $HOST $PORT");
}

#[test]
#[ignore = "needs socat"]
fn a_hundred_megabytes_by_socat_come_back_unchanged() {
    hundred_megabytes(
        "socat -t 60 - TCP:$([[ $HOST == *:* ]] && echo [$HOST] || echo $HOST):$PORT",
    );
}

#[test]
#[ignore = "needs nc"]
fn row_18_a_hundred_megabytes_come_back_to_a_slow_reader() {
    // 10 MB/s, in small pieces.
    let slowly = "nc -N $HOST $PORT | python3 -c '
import sys, time
while chunk := sys.stdin.buffer.read1(10_000):
    sys.stdout.buffer.write(chunk)
    time.sleep(len(chunk) / 10e6)'";
    let binary = Binary::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("data"), noise(100_000_000)).unwrap();
    let line = format!("sha256sum < data; cat data | {slowly} | sha256sum");
    let sums = shell(&line, binary.addr(), folder.path());
    let sums: Vec<_> = sums.lines().collect();
    assert_eq!(sums[0], sums[1]);
}

/// The calls of each name that `strace -c` counted.
fn calls(table: &str, name: &str) -> u64 {
    let row = table.lines().find(|line| line.split_whitespace().last() == Some(name));
    row.map_or(0, |row| row.split_whitespace().nth(3).unwrap().parse().unwrap())
}

#[test]
#[ignore = "needs strace"]
fn an_echo_costs_one_recv_and_one_send_and_a_connection_one_epoll_ctl() {
    const CONNECTIONS: u64 = 100;
    // READYLOOP_ECHOES=10000 makes the long run.
    let echoes: u64 =
        std::env::var("READYLOOP_ECHOES").map_or(300, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table");
    let mut binary = traced(&["-c"], &table, &["--log-level", "off"]);
    let addr = binary.addr();
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(move || {
                let mut client = connect(addr);
                let mut back = [0; 64];
                for _ in 0..echoes {
                    client.write_all(&[b'x'; 64]).unwrap();
                    client.read_exact(&mut back).unwrap();
                }
            });
        }
    });
    terminate_traced(&mut binary);
    let table = std::fs::read_to_string(&table).unwrap();
    println!("{table}");
    let calls = |name| calls(&table, name);
    let total = CONNECTIONS * echoes;
    for name in ["recvfrom", "sendto"] {
        assert!(calls(name) >= total, "{name}: {}\n{table}", calls(name));
        assert!(calls(name) <= total + total / 50, "{name}: {}\n{table}", calls(name));
    }
    // Beside the clients: the waker, the listener.
    assert!(calls("epoll_ctl") <= CONNECTIONS + 3, "{table}");
    assert!(calls("setsockopt") <= 4, "{table}");
}

#[test]
#[ignore = "needs strace"]
fn row_19_no_write_to_a_socket_may_raise_sigpipe() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let calls = ["-s", "8", "-e", "trace=write,writev,sendto,sendmsg"];
    let mut binary = traced(&calls, &trace, &["--log-level", "off", "--high-water", "1MiB"]);
    let bytes = noise(10_000_000);
    let pause = || thread::sleep(std::time::Duration::from_micros(200)); // a slow reader
    let client = connect(binary.addr());
    socket2::SockRef::from(&client).set_recv_buffer_size(16 * 1024).unwrap();
    let back = half_close_echo(client, &bytes, pause);
    assert!(back == bytes);
    terminate_traced(&mut binary);
    let trace = std::fs::read_to_string(&trace).unwrap();
    let count = |what: &str| trace.lines().filter(|line| line.contains(what)).count();
    assert!(count("sendmsg(") > 0, "several pieces were sent at once");
    assert_eq!(count("writev("), 0);
    // The handler of a signal writes to a socket of its own, without waiting.
    let to_peers = count("sendto(") + count("sendmsg(") - count("MSG_DONTWAIT");
    assert_eq!(to_peers, count("MSG_NOSIGNAL"));
}

/// A server under strace, which writes to `output`; both with these arguments.
fn traced(strace: &[&str], output: &Path, server: &[&str]) -> Binary {
    let mut command = Command::new("strace");
    command
        .arg("-f")
        .args(strace)
        .arg("-o")
        .arg(output)
        .arg(env!("CARGO_BIN_EXE_readyloop"))
        .args(["--listen", "127.0.0.1:0"])
        .args(server)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    Binary::spawn(&mut command, 1)
}

/// strace hands the signal on and writes its table when the server has ended.
fn terminate_traced(binary: &mut Binary) {
    let children = format!("/proc/{0}/task/{0}/children", binary.child.id());
    let server = std::fs::read_to_string(children).unwrap();
    let server = rustix::process::Pid::from_raw(server.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(server, rustix::process::Signal::TERM).unwrap();
    binary.child.wait().unwrap();
}

/// A server whose calls of one name fail with an error for a while, and what it logs.
fn failing(call: &str, error: &str, when: &str, log: &Path) -> Binary {
    let (calls, fault) =
        (format!("trace={call}"), format!("inject={call}:error={error}:when={when}"));
    let log = log.to_str().expect("a folder with a plain name");
    traced(&["-e", &calls, "-e", &fault], Path::new("/dev/null"), &["--log-file", log])
}

fn ten_clients(binary: &Binary) -> Vec<std::net::TcpStream> {
    let mut clients: Vec<_> = (0..10).map(|_| connect(binary.addr())).collect();
    clients.iter_mut().for_each(|client| echo(client, b"served"));
    clients
}

#[test]
#[ignore = "needs strace"]
fn row_02_and_03_errors_of_accept_lose_no_waiting_client() {
    let folder = tempfile::tempdir().unwrap();
    for error in [
        "EMFILE",
        "ENFILE",
        "ENOBUFS",
        "ENOMEM",
        "ECONNABORTED",
        "EPROTO",
        "EPERM",
        "ENETDOWN",
        "EINTR",
    ] {
        let log = folder.path().join(error);
        let mut binary = failing("accept4", error, "1..5", &log);
        drop(ten_clients(&binary));
        terminate_traced(&mut binary);
        let log = std::fs::read_to_string(&log).unwrap();
        let warned = log.lines().filter(|line| line.contains("WARN")).count();
        let expected = usize::from(error != "EINTR");
        assert!((expected..=2 * expected).contains(&warned), "{error}: {log}");
    }
}

#[test]
#[ignore = "needs strace"]
fn row_41_an_accept_that_always_fails_backs_off_and_residents_are_served() {
    let folder = tempfile::tempdir().unwrap();
    for error in ["EPERM", "ECONNABORTED", "EACCES", "EOPNOTSUPP"] {
        let (log, trace) = (folder.path().join(error), folder.path().join("trace"));
        let fault = format!("inject=accept4:error={error}:when=13+");
        let strace = ["-e", "trace=accept4", "-e", &fault];
        let mut binary = traced(&strace, &trace, &["--log-file", log.to_str().unwrap()]);
        let mut clients = ten_clients(&binary);
        let _waiting = [connect(binary.addr()), connect(binary.addr()), connect(binary.addr())];
        let failures = || std::fs::read_to_string(&trace).unwrap().matches("INJECTED").count();
        wait_until("it fails", || failures() > 0);
        let began = std::time::Instant::now();
        wait_until("it fails a hundred times", || failures() >= 100);
        // With 16 failures before each pause: 10 + 20 + 40 + 80 + 160 ms, and some of the next 200.
        assert!(began.elapsed().as_millis() >= 250, "{error}: {:?}", began.elapsed());
        clients.iter_mut().for_each(|client| echo(client, b"still here"));
        terminate_traced(&mut binary);
    }
}

#[test]
#[ignore = "needs strace"]
fn row_05_a_listener_that_dies_is_reported_once_and_residents_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    // Ten clients cost at most twenty calls: one for each, and one that finds no more.
    let mut binary = failing("accept4", "EINVAL", "21+", &log);
    let mut clients = ten_clients(&binary);
    wait_until("it is reported", || {
        drop(std::net::TcpStream::connect(binary.addr()));
        std::fs::read_to_string(&log).unwrap().contains("any more")
    });
    // It was the last one: a connection with nothing under way is closed in order.
    assert!(clients.iter_mut().all(|client| read_to_end(client).is_empty()));
    assert_eq!(binary.child.wait().unwrap().code(), Some(1));
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(log.matches("any more").count(), 1, "{log}");
}

#[test]
#[ignore = "needs strace"]
fn row_16_connections_that_cannot_be_watched_are_reset_and_leak_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    // The first two watch the waker and the listener.
    let mut binary = failing("epoll_ctl", "ENOSPC", "3..12", &log);
    let mut refused = Vec::new();
    for _ in 0..10 {
        let mut client = connect(binary.addr());
        refused.push(
            std::io::Write::write_all(&mut client, b"x")
                .and_then(|()| client.read_exact(&mut [0; 1])),
        );
    }
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
    drop(ten_clients(&binary));
    terminate_traced(&mut binary);
}

#[test]
#[ignore = "needs root and unshare"]
fn row_56_without_proc_the_cap_is_known_and_its_policy_acts() {
    let script = r#"ulimit -n 100; mount -t tmpfs none /proc; exec "$0" "$@""#;
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_readyloop")]);
    command.args(["--listen", "127.0.0.1:0", "--overflow", "reject", "--log-level", "off"]);
    command.args(["--reject-message", "full"]);
    let binary = Binary::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()), 1);
    let mut clients: Vec<_> = (0..60).map(|_| connect(binary.addr())).collect();
    clients[..50].iter_mut().for_each(|client| echo(client, b"served"));
    assert!(clients[50..].iter_mut().all(|client| read_to_end(client) == b"full"));
}

#[test]
#[ignore = "needs faketime"]
fn row_34_a_wall_clock_that_jumps_a_day_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (log, clock) = (folder.path().join("log"), folder.path().join("clock"));
    let jump = |by: &str| std::fs::write(&clock, by).unwrap();
    jump("+0");
    // The program `faketime` stays between the server and its signals; its library is enough.
    let library =
        Command::new("faketime").args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]).output();
    let library = String::from_utf8(library.expect("there is a faketime").stdout).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_readyloop"));
    command.args(["--listen", "127.0.0.1:0", "-v", "--log-file", log.to_str().unwrap()]);
    command.args(["--idle-timeout", "1h", "--first-byte-timeout", "1h", "--max-age", "12h"]);
    command.env("LD_PRELOAD", library.trim()).env("FAKETIME_TIMESTAMP_FILE", &clock);
    // Of all clocks only the one on the wall.
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let binary = Binary::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()), 1);
    let (mut client, mut silent) = (connect(binary.addr()), connect(binary.addr()));
    echo(&mut client, b"before");
    for by in ["+1d", "-1d"] {
        let days = |text: &str| {
            let mut days: Vec<_> = text.lines().filter_map(|line| line.split('T').next()).collect();
            days.dedup();
            days.len()
        };
        let before = days(&std::fs::read_to_string(&log).unwrap());
        jump(by);
        wait_until("the log tells of another day", || {
            echo(&mut connect(binary.addr()), b"x");
            days(&std::fs::read_to_string(&log).unwrap()) > before
        });
        echo(&mut client, b"after");
    }
    echo(&mut silent, b"still here");
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("sent nothing for") && !text.contains("no byte arrived"), "{text}");
}

/// Two networks of their own with a wire between them, that are gone when this is dropped.
struct Wire {
    near: String,
    far: String,
}

impl Wire {
    /// The near end is 192.0.2.1, the far one 192.0.2.2.
    fn new() -> Self {
        let name = |end| format!("readyloop-{}-{end}", std::process::id());
        let wire = Self { near: name("near"), far: name("far") };
        let Self { near, far } = &wire;
        ip(&format!("netns add {near}"));
        ip(&format!("netns add {far}"));
        ip(&format!("-n {near} link add wire type veth peer name wire netns {far}"));
        for (end, addr) in [(near, "192.0.2.1/30"), (far, "192.0.2.2/30")] {
            ip(&format!("-n {end} addr add {addr} dev wire"));
            ip(&format!("-n {end} link set wire up"));
        }
        wire
    }

    fn run_in(end: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", end]).stdin(Stdio::null());
        command
    }

    fn server(&self, args: &[&str]) -> Binary {
        let mut command = Self::run_in(&self.near);
        command
            .arg(env!("CARGO_BIN_EXE_readyloop"))
            .args(["--listen", "192.0.2.1:0", "--log-level", "off"])
            .args(args)
            .stdout(Stdio::piped());
        Binary::spawn(&mut command, 1)
    }

    /// From now on everything that is sent is lost.
    fn cut(&self) {
        ip(&format!("-n {} link set wire down", self.far));
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.near));
        ip(&format!("netns del {}", self.far));
    }
}

fn ip(line: &str) {
    let status = Command::new("ip").args(line.split(' ')).status().expect("there is an ip");
    assert!(status.success(), "ip {line}");
}

#[test]
#[ignore = "needs ip, python3 and root"]
fn row_21_peers_behind_a_cut_wire_are_gone_by_their_deadline() {
    let wire = Wire::new();
    let idle = wire.server(&["--idle-timeout", "1s", "--linger-timeout", "500ms"]);
    let writing = wire.server(&["--service", "chargen", "--write-timeout", "1s"]);
    let servers = [&idle, &writing];
    let own_files = servers.map(Binary::open_files);
    // One says something now and then, both read what comes.
    let program = "import socket, sys, time
peers = [socket.create_connection(('192.0.2.1', int(port))) for port in sys.argv[1:]]
while True:
    for peer in peers:
        peer.setblocking(False)
        try: peer.recv(1000)
        except BlockingIOError: pass
    peers[0].send(b'x')
    time.sleep(0.01)";
    let mut peers = Wire::run_in(&wire.far)
        .args(["python3", "-c", program])
        .args(servers.map(|server| server.addr().port().to_string()))
        .spawn()
        .unwrap();
    wait_until("both are connected", || {
        servers.map(Binary::open_files) == own_files.map(|files| files + 1)
    });
    wire.cut();
    wait_until("both are gone", || servers.map(Binary::open_files) == own_files);
    peers.kill().unwrap();
    peers.wait().unwrap();
}

/// What a shell prints that is root in a network of its own and knows the binary as `$0`.
fn in_own_network(script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["-n", "bash", "-ec", script, env!("CARGO_BIN_EXE_readyloop")])
        .current_dir(folder.path())
        .stderr(Stdio::inherit())
        .output()
        .expect("there is unshare");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
#[ignore = "needs root, unshare and ip"]
fn link_local_addresses_are_served_and_called_by_the_name_of_their_interface() {
    let text = in_own_network(
        r#"
        ip link set lo up
        ip link add wire0 type veth peer name other0
        ip addr add fe80::7/64 dev wire0 nodad
        ip link set wire0 up
        ip link set other0 up
        "$0" --listen '[fe80::7%wire0]:7000' --log-level off > said & server=$!
        until grep -q listening said; do sleep 0.01; done
        cat said
        echo hello | "$0" client '[fe80::7%wire0]:7000'
        ip -o link show wire0 | cut -d: -f1
        "$0" bench '[fe80::7%wire0]:7000' --duration 100ms --connections 2 --source fe80::7%wire0 > table
        echo "$?"
        kill $server
        "#,
    );
    let lines: Vec<_> = text.lines().collect();
    let [listening, hello, index, code] = lines[..] else { panic!("{text}") };
    assert_eq!(listening, format!("listening on [fe80::7%{index}]:7000"));
    assert_eq!((hello, code), ("hello", "0"));
}

#[test]
#[ignore = "needs root, unshare and ip"]
fn both_families_on_one_port_need_only_v6_and_the_refusal_says_so() {
    let text = in_own_network(
        r#"
        ip link set lo up
        both() { "$0" --listen "$1" --listen "$2" --log-level off > said 2>&1 || echo "$?"; cat said; }
        both 0.0.0.0:7000 '[::]:7000'
        both '[::]:7000' 0.0.0.0:7000
        "$0" --only-v6 --listen 0.0.0.0:7000 --listen '[::]:7000' --log-level off > said & server=$!
        until grep -q '::' said; do sleep 0.01; done
        for to in 127.0.0.1 '[::1]'; do echo hello | "$0" client $to:7000; done
        kill $server
        "#,
    );
    let lines: Vec<_> = text.lines().collect();
    let advice = "[::]:7000 takes IPv4 too: leave out --listen 0.0.0.0:7000, or add --only-v6";
    assert_eq!(lines.len(), 6, "{text}");
    assert!(lines[0] == "1" && lines[1].ends_with(advice), "{text}");
    assert!(lines[2] == "1" && lines[3].ends_with(advice), "{text}");
    assert_eq!(lines[4..], ["hello", "hello"]);
}

#[test]
#[ignore = "needs root, unshare and ip"]
fn row_43_a_load_for_which_there_are_not_ports_enough_says_so_at_once() {
    let script = r#"
        ip link set lo up
        echo 40000 40050 > /proc/sys/net/ipv4/ip_local_port_range
        "$0" --listen 127.0.0.1:7000 --log-level off > said & server=$!
        until grep -q listening said; do sleep 0.01; done
        bench() { "$0" bench 127.0.0.1:7000 --duration 500ms "$@" > table 2> line; echo "$?"; cat line; }
        bench --connections 60 --source 127.0.0.1
        bench --churn --active 5 --source 127.0.0.1
        head -n 1 table
        bench --connections 60
        kill $server
    "#;
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["-n", "bash", "-c", script, env!("CARGO_BIN_EXE_readyloop")])
        .current_dir(folder.path())
        .stderr(Stdio::inherit())
        .output()
        .expect("there is unshare");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert!(lines[1].contains("one source address with 51 ports is not enough"), "{text}");
    assert!(lines[3].contains("no free port; name more --source"), "{text}");
    assert!(lines[4].starts_with("INCOMPLETE"), "{text}");
    // Where it may choose the addresses itself, there are enough.
    assert_eq!((lines[0], lines[2], lines[5]), ("1", "1", "0"), "{text}");
}
