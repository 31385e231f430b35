//! Signals that reach the binary while it starts.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use readyloop::{Config, Echo};
use rustix::process::{Pid, Signal, kill_process};

use crate::binary::{Binary, addr_in_log};
use crate::servers::discard;
use crate::util::*;

const BINARY: &str = env!("CARGO_BIN_EXE_readyloop");

fn quietly(args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("it was not waited for");
}

/// How a process ends that has been told to.
fn end_of(child: &mut Child, what: &str) -> ExitStatus {
    let give_up = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            return status;
        }
        if Instant::now() > give_up {
            child.kill().and_then(|()| child.wait()).expect("it can be killed");
            panic!("{what}: the signal was lost");
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Signals a command after each of many times, from at once to long after its start is over.
fn signalled_early(args: &[&str], signals: [Signal; 2], longest: Duration) {
    const STEPS: u32 = 120;
    for step in 0..STEPS {
        let after = longest * step / STEPS;
        let mut child = quietly(args).spawn().unwrap();
        let begin = Instant::now();
        while begin.elapsed() < after {
            thread::yield_now();
        }
        signal(&child, signals[step as usize % 2]);
        end_of(&mut child, &format!("{args:?} after {after:?}"));
    }
}

/// Twice as long as a server takes to start here.
fn start_time() -> Duration {
    let begin = Instant::now();
    let binary = Binary::start(&[]);
    let took = begin.elapsed();
    assert!(binary.terminate().success());
    took * 2
}

#[test]
fn row_52_a_server_that_is_signalled_while_it_starts_ends() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let args = ["--listen", "127.0.0.1:0", "--reactors", "2", "--log-file"];
    let args = [&args[..], &[log.path().to_str().unwrap()]].concat();
    signalled_early(&args, [Signal::TERM, Signal::INT], start_time());
}

#[test]
fn row_52_a_client_and_a_bench_that_are_signalled_while_they_start_end() {
    let silent = Server::start(Config::new(), discard());
    let addr = silent.addr.to_string();
    let longest = start_time();
    let client = ["client", &addr, "--clients", "3", "--timeout", "1h"];
    signalled_early(&client, [Signal::TERM, Signal::INT], longest);
    let bench = ["bench", &addr, "--duration", "1h", "--connections", "3"];
    signalled_early(&bench, [Signal::TERM, Signal::INT], longest);
    let pump = ["client", &addr];
    signalled_early(&pump, [Signal::TERM, Signal::INT], longest);
}

#[test]
fn row_52_signals_that_ask_a_server_for_something_while_it_starts_are_answered_then() {
    let folder = tempfile::tempdir().unwrap();
    let longest = start_time();
    for step in 0..60 {
        let log = folder.path().join(step.to_string());
        let args = ["--listen", "127.0.0.1:0", "--log-file", log.to_str().unwrap()];
        let mut child = quietly(&args).spawn().unwrap();
        // Only then it has come so far as to wait for signals.
        wait_until("it has a log", || log.exists());
        let begin = Instant::now();
        while begin.elapsed() < longest * step / 60 {
            thread::yield_now();
        }
        signal(&child, Signal::USR1);
        signal(&child, Signal::HUP);
        let read = || std::fs::read_to_string(&log).unwrap();
        wait_until("it answers", || {
            let text = read();
            text.contains("limits: ") && text.contains("the log continues here")
        });
        signal(&child, Signal::TERM);
        assert!(end_of(&mut child, "SIGTERM").success());
    }
}

#[test]
fn row_52_a_server_whose_announcement_has_no_reader_serves_and_ends() {
    let (reader, mut full) = std::io::pipe().unwrap();
    full.write_all(&[0; 65_536]).unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(BINARY);
    command.args(["--listen", "127.0.0.1:0", "--log-file", log.path().to_str().unwrap()]);
    let mut child = command.stdin(Stdio::null()).stdout(full).spawn().unwrap();
    echo(&mut connect(addr_in_log(log.path())), b"hello");
    signal(&child, Signal::TERM);
    assert!(end_of(&mut child, "SIGTERM").success());
    drop(reader);
}

#[test]
fn row_52_a_bench_that_waits_for_the_reader_of_its_plot_ends() {
    let server = Server::start(Config::new(), discard());
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("plot.svg");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let addr = server.addr.to_string();
    let mut child = quietly(&["bench", &addr, "--plot", fifo.to_str().unwrap()]).spawn().unwrap();
    let threads = format!("/proc/{}/task", child.id());
    wait_until("it takes signals", || {
        std::fs::read_dir(&threads).is_ok_and(|threads| threads.count() > 1)
    });
    signal(&child, Signal::INT);
    assert_eq!(end_of(&mut child, "SIGINT").code(), Some(1));
}

#[test]
fn a_client_whose_output_reaches_the_size_limit_of_files_says_so() {
    let server = Server::start(Config::new(), Echo);
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input");
    std::fs::write(&input, noise(100_000)).unwrap();
    let mut command = Command::new("bash");
    command.args([
        "-c",
        "ulimit -f 8; exec \"$@\" < \"$0\" > \"$0.back\"",
        input.to_str().unwrap(),
    ]);
    command.args([BINARY, "client", &server.addr.to_string()]);
    let result = command.output().unwrap();
    let said = String::from_utf8(result.stderr).unwrap();
    assert_eq!(result.status.code(), Some(1), "{said}");
    assert!(
        said.contains("standard output: File too large") && said.lines().count() == 1,
        "{said}"
    );
}

/// The calls of the first thread from the first to the last of its start: each name, and how often it comes.
fn calls_of_start(
    args: &[&str],
    folder: &Path,
    is_up: impl Fn(&str) -> bool,
) -> Vec<(String, usize)> {
    let trace = folder.join("calls");
    let mut child = traced(&[], args, &trace);
    let read = || std::fs::read_to_string(&trace).unwrap_or_default();
    wait_until("it has started", || is_up(&read()));
    let (calls, traced) = (read(), child_of(&child));
    kill_process(traced, Signal::KILL).unwrap();
    child.wait().unwrap();
    let mut counts = HashMap::<_, usize>::new();
    for name in calls.lines().filter_map(|line| Some(line.split_once('(')?.0)) {
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts.remove("execve"); // before it, the process is strace
    counts.into_iter().collect()
}

fn traced(strace: &[&str], args: &[&str], trace: &Path) -> Child {
    let mut command = Command::new("strace");
    command.args(strace).arg("-o").arg(trace).arg(BINARY).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn child_of(strace: &Child) -> Pid {
    let children = format!("/proc/{0}/task/{0}/children", strace.id());
    let child = std::fs::read_to_string(children).unwrap();
    Pid::from_raw(child.trim().parse().expect("strace has one child")).unwrap()
}

/// Signals a command in each of the calls that it makes while it starts.
fn signalled_in_each_call(args: &[&str], is_up: impl Fn(&str) -> bool) {
    let folder = tempfile::tempdir().unwrap();
    let calls = calls_of_start(args, folder.path(), is_up);
    assert!(calls.iter().any(|(name, _)| name == "clone3" || name == "clone"), "{calls:?}");
    for (name, count) in calls {
        for nth in 1..=count {
            let trace = folder.path().join(format!("{name} {nth}"));
            let stop = format!("inject={name}:signal=STOP:when={nth}");
            let mut strace = traced(&["-e", &stop], args, &trace);
            let read = || std::fs::read_to_string(&trace).unwrap_or_default();
            wait_until("it is stopped", || read().contains("stopped by SIGSTOP"));
            let stopped = child_of(&strace);
            kill_process(stopped, Signal::TERM).unwrap();
            kill_process(stopped, Signal::CONT).unwrap();
            let what = format!("{args:?} in {name}, call {nth}");
            let give_up = Instant::now() + DEADLINE;
            while strace.try_wait().unwrap().is_none() {
                if Instant::now() > give_up {
                    let _ = kill_process(stopped, Signal::KILL);
                    strace.wait().unwrap();
                    panic!("{what}: the signal was lost");
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

#[test]
#[ignore = "needs strace"]
fn row_52_a_server_that_is_signalled_in_any_call_of_its_start_ends() {
    let args = ["--listen", "127.0.0.1:0", "--listen", "localhost:0", "--log-level", "warn"];
    signalled_in_each_call(&args, |calls| {
        calls.lines().last().is_some_and(|line| line.starts_with("epoll_wait("))
    });
}

#[test]
#[ignore = "needs strace"]
fn row_52_a_client_and_a_bench_that_are_signalled_in_any_call_of_their_start_end() {
    let silent = Server::start(Config::new(), discard());
    let addr = silent.addr.to_string();
    let client = ["client", &addr, "--count", "2", "--timeout", "1h"];
    signalled_in_each_call(&client, |calls| calls.contains("sendto("));
    let bench = ["bench", &addr, "--duration", "1h", "--connections", "3"];
    signalled_in_each_call(&bench, |_| silent.stats().open == 3);
}
