//! What `readyloop bench` says in the end, and whether that is to be believed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use readyloop::{Config, Echo};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::binary::Binary;

use crate::servers::discard;
use crate::util::*;

fn command(target: &str, flags: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_readyloop"));
    command.arg("bench").arg(target).args(flags.split_whitespace()).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn bench(target: &str, flags: &str, plot: Option<&Path>) -> Output {
    let mut command = command(target, flags);
    if let Some(path) = plot {
        command.arg("--plot").arg(path);
    }
    command.output().unwrap()
}

fn json(output: &Output) -> Value {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn a_rate_that_the_bench_itself_cannot_send_is_no_whole_run() {
    let server = Server::start(Config::new(), Echo);
    let flags = "--rate 200000000 --connections 2 --duration 20ms --timeout 60s --json";
    let output = bench(&server.addr.to_string(), flags, None);
    let report = json(&output);
    assert_eq!((output.status.code(), &report["whole"]), (Some(1), &Value::Bool(false)));
    let problems = report["problems"].to_string();
    let expected = "the bench itself could not keep to --rate 200000000: ";
    assert!(problems.contains(expected), "{problems}");
}

#[test]
fn a_plot_that_cannot_be_written_costs_no_report() {
    let server = Server::start(Config::new(), Echo);
    let full = Path::new("/dev/full");
    let output = bench(&server.addr.to_string(), "--duration 50ms --json", Some(full));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["whole"], true);
    let said = stderr(&output);
    assert!(said.contains("--plot /dev/full: ") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_run_that_is_refused_leaves_no_plot_behind() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("plot.svg");
    for flags in ["--connections 4000000000", "--pid 4194999", "--source ::1"] {
        let output = bench("127.0.0.1:7", flags, Some(&plot));
        assert!(!output.status.success(), "{flags}");
        assert!(!plot.exists(), "{flags}: {}", stderr(&output));
    }
}

#[test]
fn churn_to_no_address_in_particular_has_many_sources() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("0.0.0.0:{}", listener.local_addr().unwrap().port());
    let sources = Arc::<Mutex<HashSet<IpAddr>>>::default();
    let seen = Arc::clone(&sources);
    thread::spawn(move || {
        while let Ok((mut stream, peer)) = listener.accept() {
            seen.lock().unwrap().insert(peer.ip());
            let mut message = [0; 64];
            let _ = stream.read_exact(&mut message).and_then(|()| stream.write_all(&message));
            let _ = stream.read(&mut message); // until it is closed there
        }
    });
    let report = json(&bench(&target, "--churn --active 4 --duration 200ms --json", None));
    assert_eq!(report["whole"], true, "{report}");
    assert!(sources.lock().unwrap().len() > 1);
}

/// No more than this is resident, whatever the rate: twice what may be under way, and the program.
const MOST_RESIDENT: u64 = 600 * 1_024 * 1_024;

/// The most that was resident so far. 0 if the process has ended.
fn peak(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

/// Runs a load to its end, and returns what it says and the most that it took of memory.
fn run_and_watch(target: SocketAddr, flags: &str) -> (Value, String, u64) {
    let mut child = command(&target.to_string(), flags).spawn().unwrap();
    let mut most = 0;
    wait_until("the run ends", || {
        most = most.max(peak(&child));
        child.try_wait().unwrap().is_some()
    });
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    (json(&output), stderr(&output).to_owned(), most)
}

#[test]
fn row_58_a_rate_that_cannot_be_sent_ends_in_order_with_memory_bounded_and_the_bench_blamed() {
    let server = Server::start(Config::new(), Echo);
    for flags in [
        "--rate 4294967295 --connections 2",
        "--rate 1000000000 --connections 50 --threads 2",
        "--rate 1000000000 --connections 4 --size 1MiB",
    ] {
        let flags = format!("{flags} --duration 300ms --timeout 25s --json");
        let (report, said, most) = run_and_watch(server.addr, &flags);
        let expected =
            "readyloop: the run is incomplete: the bench itself could not keep to --rate ";
        assert!(said.starts_with(expected), "{flags}: {said}");
        assert!(report["behind"].as_u64().is_some_and(|behind| behind > 0), "{report}");
        assert_eq!((&report["unanswered"], &report["unsent"]), (&0.into(), &0.into()), "{report}");
        assert!(most < MOST_RESIDENT, "{flags}: {most} bytes");
    }
}

#[test]
fn row_58_a_server_that_does_not_answer_is_told_apart_from_a_rate_that_cannot_be_sent() {
    let server = Server::start(Config::new(), discard());
    let flags = "--rate 10 --connections 2 --size 20MiB --duration 2s --timeout 2s --json";
    let (report, said, most) = run_and_watch(server.addr, flags);
    let expected = "the run is incomplete: the server did not keep up with --rate 10: 12 messages were under way";
    assert!(said.contains(expected), "{said}");
    // When one connection is given up there is room for messages on the other.
    assert!(report["unanswered"].as_u64().is_some_and(|count| count >= 12), "{report}");
    assert!(most < MOST_RESIDENT, "{most} bytes");
}

#[test]
fn row_58_a_signal_ends_a_bench_that_is_far_behind_its_rate() {
    let echo = Server::start(Config::new(), Echo);
    let silent = Server::start(Config::new(), discard());
    for (server, flags) in [
        (echo.addr, "--rate 4294967295 --connections 3"),
        (echo.addr, "--rate 1000000000 --connections 3 --size 1MiB"),
        (silent.addr, "--rate 1000000000 --connections 3"),
        (echo.addr, "--pipeline 160000 --connections 100"),
    ] {
        let flags = format!("{flags} --duration 1h --timeout 1h --json");
        let before = echo.stats().bytes_in + silent.stats().bytes_in;
        let child = command(&server.to_string(), &flags).spawn().unwrap();
        let bytes = || echo.stats().bytes_in + silent.stats().bytes_in - before;
        wait_until("messages are sent", || bytes() > 1_000_000);
        assert!(peak(&child) < MOST_RESIDENT, "{flags}: {} bytes", peak(&child));
        let begin = Instant::now();
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        // It takes some hundredths of a second on a machine that is not busy.
        assert!(begin.elapsed() < Duration::from_secs(10), "{flags}: {:?}", begin.elapsed());
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("interrupted after "), "{}", stderr(&output));
    }
}

#[test]
fn row_54_a_report_waits_for_standard_output_that_does_not_block() {
    let server = Server::start(Config::new(), Echo);
    let (mut receives, mut output) = std::io::pipe().unwrap();
    output.write_all(&[b'\n'; 65_536]).unwrap(); // as much as a pipe holds: pipe(7)
    rustix::io::ioctl_fionbio(&output, true).unwrap();
    let flags = "--connections 2 --duration 50ms --json";
    let mut child = command(&server.addr.to_string(), flags).stdout(output).spawn().unwrap();
    wait_until("the run is over", || server.stats().closed == 2);
    let mut text = String::new();
    receives.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["whole"], true);
}

#[test]
fn row_54_a_report_that_is_not_written_is_one_line_and_exit_code_1() {
    let server = Server::start(Config::new(), Echo);
    for flags in ["--duration 50ms", "--duration 50ms --json"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command(&server.addr.to_string(), flags).stdout(full).output().unwrap();
        let said = stderr(&output);
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.starts_with("readyloop: standard output: No space left"), "{said}");

        let mut child = command(&server.addr.to_string(), flags).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let said = stderr(&output);
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
        assert!(said.starts_with("readyloop: standard output: Broken pipe"), "{said}");
    }
}

#[test]
fn a_report_that_is_not_written_costs_no_plot_and_hides_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("plot.svg");
    let server = Server::start(Config::new(), Echo);
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let mut command_with_plot = command(&server.addr.to_string(), "--duration 50ms");
    let output = command_with_plot.arg("--plot").arg(&plot).stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(std::fs::read_to_string(&plot).unwrap().starts_with("<svg "));

    let silent = Server::start(Config::new(), discard());
    let flags = "--connections 2 --duration 50ms --timeout 100ms";
    let output = command(&silent.addr.to_string(), flags).stdout(full()).output().unwrap();
    let said = stderr(&output);
    assert!(
        said.contains("the run is incomplete: ") && said.contains("; standard output: "),
        "{said}"
    );
}

#[test]
fn a_run_in_which_nothing_was_measured_takes_no_plot_away_and_leaves_no_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = ["old.svg", "new.svg"].map(|name| folder.path().join(name));
    std::fs::write(&old, "an earlier one").unwrap();
    let (_keeps, refused) = refusing("127.0.0.1:0");
    let silent = Server::start(Config::new(), discard());
    for (target, flags) in [
        (refused, "--connections 2"),
        (silent.addr, "--connections 2 --duration 50ms --timeout 100ms"),
        (silent.addr, "--connections 2 --idle --duration 50ms --timeout 100ms"),
        (silent.addr, "--pid 4194999"),
    ] {
        for plot in [&old, &new] {
            let output = bench(&target.to_string(), flags, Some(plot));
            assert_eq!(output.status.code(), Some(1), "{flags}");
        }
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "an earlier one", "{flags}");
        assert!(!new.exists(), "{flags}");
    }
}

#[test]
fn a_process_that_is_not_the_server_is_told_and_has_no_figures() {
    let server = Server::start(Config::new(), Echo);
    let other = Binary::start(&[]);
    let mut sleeper = Command::new("sleep").arg("600").spawn().unwrap();
    for pid in [sleeper.id(), other.child.id()] {
        for load in
            ["--duration 50ms", "--churn --active 2 --duration 50ms", "--idle --duration 50ms"]
        {
            let flags = format!("{load} --pid {pid} --json");
            let output = bench(&server.addr.to_string(), &flags, None);
            assert_eq!(output.status.code(), Some(1), "{flags}");
            let expected = format!("the run is incomplete: --pid {pid} is not the server: none of");
            assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
            assert_eq!(json(&output)["server"]["cpu_us_per_message"], Value::Null);
        }
    }
    let _ = sleeper.kill();
    let _ = sleeper.wait();
}

#[test]
fn a_process_that_has_the_servers_socket_and_does_nothing_is_told_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let holds = OwnedFd::from(listener.try_clone().unwrap());
    let mut sleeper = Command::new("sleep").arg("600").stdin(holds).spawn().unwrap();
    let state = format!("/proc/{}/stat", sleeper.id());
    wait_until("it sleeps", || std::fs::read_to_string(&state).unwrap().contains("(sleep) S"));
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            thread::spawn(move || {
                let mut message = [0; 64];
                while stream.read_exact(&mut message).is_ok() && stream.write_all(&message).is_ok()
                {
                }
            });
        }
    });
    let flags = format!("--connections 2 --duration 50ms --pid {} --json", sleeper.id());
    let output = bench(&addr.to_string(), &flags, None);
    let _ = sleeper.kill();
    let _ = sleeper.wait();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("took no processor time while "), "{}", stderr(&output));
    assert_eq!(json(&output)["server"]["cpu_us_per_message"], Value::Null);
}

#[test]
fn no_figure_of_a_latency_lies_outside_of_its_least_and_its_greatest() {
    let server = Server::start(Config::new(), Echo);
    // One message: all figures are the same.
    let flags = "--connections 1 --rate 1 --duration 1ms --json";
    for _ in 0..5 {
        let report = json(&bench(&server.addr.to_string(), flags, None));
        for latency in ["latency_us", "late_us"] {
            let figure = |name: &str| report[latency][name].as_f64().unwrap();
            for name in ["mean", "p50", "p90", "p99", "p999", "p9999", "max"] {
                assert_eq!(figure(name), figure("min"), "{latency} {name}: {report}");
            }
        }
    }
}
