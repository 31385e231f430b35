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
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-c", "-o"])
        .arg(&table)
        .arg(env!("CARGO_BIN_EXE_readyloop"))
        .args(["--listen", "127.0.0.1:0", "--log-level", "off"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    let mut binary = Binary::spawn(&mut traced, 1);
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
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-s", "8", "-e", "trace=write,writev,sendto,sendmsg", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_readyloop"))
        .args(["--listen", "127.0.0.1:0", "--log-level", "off", "--high-water", "1MiB"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut binary = Binary::spawn(&mut traced, 1);
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

/// strace hands the signal on and writes its table when the server has ended.
fn terminate_traced(binary: &mut Binary) {
    let children = format!("/proc/{0}/task/{0}/children", binary.child.id());
    let server = std::fs::read_to_string(children).unwrap();
    let server = rustix::process::Pid::from_raw(server.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(server, rustix::process::Signal::TERM).unwrap();
    binary.child.wait().unwrap();
}
