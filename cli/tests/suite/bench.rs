//! `readyloop bench`: what it counts is what happened, and what is wrong it says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use socket2::SockRef;

use crate::binary::Binary;
use crate::util::*;

/// An echo server that does not always do what it should, with a thread for each connection.
struct Crooked {
    addr: SocketAddr,
    seen: Arc<Seen>,
}

/// Answers a chunk whose first byte is the one with this number, over all connections. What it returns is
/// sent; after `None` the connection is closed.
type Echo = dyn Fn(&Seen, u64, Vec<u8>) -> Option<Vec<u8>>;

/// What a server has seen, by its own count.
#[derive(Default)]
struct Seen {
    connections: AtomicU64,
    bytes: AtomicU64,
    /// For what may happen only once, or to all at a time.
    moment: Mutex<()>,
}

impl Crooked {
    /// Takes so many connections and no more.
    fn start(
        takes: usize,
        echo: impl Fn(&Seen, u64, Vec<u8>) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(takes, move |stream, seen| answer(stream, seen, &echo))
    }

    /// Echoes the first 64 bytes of each connection, and then does this with it.
    fn ending(end: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::serve(usize::MAX, move |mut stream, _| {
            let mut message = [0; 64];
            if stream.read_exact(&mut message).and_then(|()| stream.write_all(&message)).is_ok() {
                end(stream);
            }
        })
    }

    fn serve(takes: usize, serve: impl Fn(TcpStream, &Seen) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (seen, serve) = (Arc::<Seen>::default(), Arc::new(serve));
        let counted = Arc::clone(&seen);
        thread::spawn(move || {
            for _ in 0..takes {
                let Ok((stream, _)) = listener.accept() else { return };
                let (seen, serve) = (Arc::clone(&counted), Arc::clone(&serve));
                seen.connections.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || serve(stream, &seen));
            }
            // It listens on, and accepts no connection any more.
            loop {
                thread::park();
            }
        });
        Self { addr, seen }
    }

    fn honest() -> Self {
        Self::start(usize::MAX, |_, _, chunk| Some(chunk))
    }

    fn connections(&self) -> u64 {
        self.seen.connections.load(Ordering::SeqCst)
    }

    fn bytes(&self) -> u64 {
        self.seen.bytes.load(Ordering::SeqCst)
    }

    /// Runs a load to its end.
    fn bench(&self, flags: &str) -> Output {
        bench(&self.addr.to_string(), flags)
    }
}

fn answer(mut stream: TcpStream, seen: &Seen, echo: &Echo) {
    let mut buffer = vec![0; 64 * 1024];
    let _ = stream.set_nodelay(true);
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        let first = seen.bytes.fetch_add(count as u64, Ordering::SeqCst);
        let Some(chunk) = echo(seen, first, buffer[..count].to_vec()) else { return };
        if stream.write_all(&chunk).is_err() {
            return;
        }
    }
}

fn command(target: &str, flags: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_readyloop"));
    command.arg("bench").arg(target).args(flags.split_whitespace());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn bench(target: &str, flags: &str) -> Output {
    command(target, flags).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", stdout(output), stderr(output)))
}

fn number(report: &Value, pointer: &str) -> u64 {
    let value = report.pointer(pointer).and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("{pointer} in {report}"))
}

fn problems(report: &Value) -> String {
    let lines = report["problems"].as_array().unwrap();
    lines.iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

/// It says so in all three ways: in its exit code, in a line, and in what it prints. Returns that, and the
/// problems.
fn incomplete(output: &Output) -> (Value, String) {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    assert!(stderr(output).starts_with("readyloop: the run is incomplete: "), "{}", stderr(output));
    assert_eq!(stderr(output).lines().count(), 1, "{}", stderr(output));
    let report = json(output);
    assert_eq!(report["whole"], false);
    let problems = problems(&report);
    (report, problems)
}

fn whole(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}{}", stderr(output), stdout(output));
    assert_eq!(stderr(output), "");
    let report = json(output);
    assert_eq!((&report["whole"], problems(&report)), (&Value::Bool(true), String::new()));
    report
}

/// What was counted here is what was counted there, to the byte.
fn agrees(report: &Value, server: &Crooked, size: u64) {
    assert_eq!(number(report, "/bytes"), server.bytes());
    assert_eq!(number(report, "/messages") * size, server.bytes());
    assert_eq!(number(report, "/connections/opened"), server.connections());
    for nothing in ["/wrong", "/unanswered", "/connections/failed", "/connections/lost"] {
        assert_eq!(number(report, nothing), 0, "{nothing}");
    }
}

#[test]
fn a_closed_loop_counts_what_the_server_counts() {
    let server = Crooked::honest();
    let report = whole(&server.bench("--connections 20 --active 7 --duration 300ms --json"));
    agrees(&report, &server, 64);
    assert_eq!(report["load"]["kind"], "closed");
    assert_eq!(server.connections(), 20);
    assert!(number(&report, "/messages") >= 7);
    let of_series: u64 =
        report["series"].as_array().unwrap().iter().map(|s| number(s, "/messages")).sum();
    assert_eq!(of_series, number(&report, "/messages"));
}

#[test]
fn several_threads_and_pipelines_of_all_sizes_count_what_the_server_counts() {
    let server = Crooked::honest();
    let flags = "--connections 9 --threads 3 --pipeline 5 --size 1-3000 --duration 300ms --json";
    let report = whole(&server.bench(flags));
    assert_eq!(number(&report, "/bytes"), server.bytes());
    assert_eq!(number(&report, "/connections/opened"), 9);
}

#[test]
fn an_open_loop_sends_each_message_that_is_due() {
    let server = Crooked::honest();
    let flags = "--connections 5 --threads 2 --rate 500 --duration 1s --json";
    let report = whole(&server.bench(flags));
    agrees(&report, &server, 64);
    assert_eq!(number(&report, "/messages"), 500);
    assert_eq!(report["load"]["kind"], "open");
}

#[test]
fn churn_counts_each_connection_that_the_server_counts() {
    let server = Crooked::honest();
    let report = whole(&server.bench("--churn --active 4 --duration 300ms --json"));
    agrees(&report, &server, 64);
    assert_eq!(number(&report, "/messages"), number(&report, "/connections/opened"));
    assert!(number(&report, "/messages") >= 4);
}

#[test]
fn churn_finds_out_servers_that_do_not_end_connections_as_they_should() {
    let reset = Crooked::ending(|stream| {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let open = Crooked::ending(|_stream| {
        loop {
            thread::park();
        }
    });
    for (server, kind) in
        [(reset, "connection reset"), (open, "not closed by the server within 300ms")]
    {
        let flags = "--churn --active 3 --duration 500ms --timeout 300ms --json";
        let (report, problems) = incomplete(&server.bench(flags));
        assert!(number(&report, "/connections/lost") >= 3, "{report}");
        assert!(problems.contains(&format!(" × {kind}")), "{problems}");
    }
}

#[test]
fn churn_hears_what_a_server_says_after_its_answer() {
    let server = Crooked::ending(|mut stream| {
        thread::sleep(Duration::from_millis(20)); // not to wait for something: this is the fault
        let _ = stream.write_all(&[0; 64]);
        let _ = stream.read(&mut [0]);
    });
    let (report, _) = incomplete(&server.bench("--churn --active 3 --duration 300ms --json"));
    assert!(number(&report, "/wrong") >= 3, "{report}");
    assert_eq!(report["errors"][0]["cause"], "more came back than was sent");
}

#[test]
fn after_an_idle_time_each_connection_echoes_once() {
    let server = Crooked::honest();
    let report = whole(&server.bench("--idle --connections 150 --duration 200ms --json"));
    agrees(&report, &server, 64);
    assert_eq!(number(&report, "/messages"), 150);
    assert_eq!(report["load"]["kind"], "idle");
}

#[test]
fn messages_larger_than_all_buffers_come_back_whole() {
    let binary = Binary::start(&[]);
    let flags = "--connections 2 --size 20MiB --duration 100ms --timeout 30s --json";
    let report = whole(&bench(&binary.addr().to_string(), flags));
    assert!(number(&report, "/messages") >= 1);
    assert_eq!(number(&report, "/bytes"), number(&report, "/messages") * 20 * 1_048_576);
}

#[test]
fn the_servers_side_is_measured() {
    let binary = Binary::start(&[]);
    let pid = binary.child.id();
    let flags = format!("--idle --connections 2000 --duration 100ms --json --pid {pid}");
    let report = whole(&bench(&binary.addr().to_string(), &flags));
    assert_eq!(number(&report, "/server/pid"), u64::from(pid));
    for figure in
        ["cpu_us_per_message", "resident_bytes_per_connection", "resident_bytes_after_echo"]
    {
        assert!(report["server"][figure].as_f64().is_some_and(|figure| figure > 0.0), "{report}");
    }
    let gone = bench(&binary.addr().to_string(), "--pid 4194999");
    assert_eq!((gone.status.code(), stdout(&gone)), (Some(1), ""));
    assert!(stderr(&gone).contains("--pid 4194999: there is no such process"), "{}", stderr(&gone));
}

#[test]
fn a_server_that_drops_one_byte_in_a_million_is_found_out() {
    let server = Crooked::start(usize::MAX, |_, first, mut chunk| {
        let next = first.next_multiple_of(1_000_000).max(1_000_000) - first;
        if next < chunk.len() as u64 {
            chunk.remove(next as usize);
        }
        Some(chunk)
    });
    let flags = "--connections 2 --pipeline 4 --size 4096 --duration 2s --timeout 1s --json";
    let (report, problems) = incomplete(&server.bench(flags));
    assert!(number(&report, "/wrong") >= 1, "{report}");
    assert!(problems.contains("answers were wrong; the first: connection "), "{problems}");
}

#[test]
fn a_single_changed_byte_makes_a_single_wrong_answer_and_is_named() {
    let server = Crooked::start(usize::MAX, |_, first, mut chunk| {
        if let Some(byte) = 10_000_u64.checked_sub(first).and_then(|at| chunk.get_mut(at as usize))
        {
            *byte ^= 0x20;
        }
        Some(chunk)
    });
    let flags = "--connections 3 --pipeline 3 --size 100 --duration 1s --json";
    let (report, problems) = incomplete(&server.bench(flags));
    assert_eq!(number(&report, "/wrong"), 1);
    assert_eq!(number(&report, "/messages") * 100 + 100, server.bytes());
    assert_eq!(report["errors"][0]["cause"], "wrong answer");
    assert!(problems.contains("of 100 is 0x") && problems.contains(" instead of 0x"), "{problems}");

    let table = server.bench("--connections 1 --duration 100ms");
    assert_eq!(table.status.code(), Some(0), "the byte is changed once: {}", stdout(&table));
}

#[test]
fn without_verification_a_changed_byte_passes_and_a_missing_one_does_not() {
    let changed = Crooked::start(usize::MAX, |_, _, chunk| Some(vec![0; chunk.len()]));
    whole(&changed.bench("--connections 2 --duration 100ms --no-verify --json"));
    let shorter = Crooked::start(usize::MAX, |_, _, chunk| Some(chunk[1..].to_vec()));
    let flags = "--connections 2 --duration 100ms --timeout 300ms --no-verify --json";
    let (report, _) = incomplete(&shorter.bench(flags));
    assert_eq!(number(&report, "/unanswered"), 2);
}

#[test]
fn a_server_that_says_more_than_it_was_asked_is_found_out() {
    let server = Crooked::start(usize::MAX, |_, _, mut chunk| {
        chunk.push(0);
        Some(chunk)
    });
    let (report, _) = incomplete(&server.bench("--connections 1 --duration 200ms --json"));
    assert_eq!(report["errors"][0]["cause"], "more came back than was sent");
}

#[test]
fn what_a_server_says_after_the_last_answer_is_heard() {
    let server = Crooked::serve(usize::MAX, |mut stream, _| {
        // Not to wait for something: it answers when the load has ended, and says more later.
        let pause = || thread::sleep(Duration::from_millis(20));
        let mut message = [0; 64];
        let _ = stream.read_exact(&mut message).map(|()| pause());
        let _ = stream.write_all(&message).map(|()| pause());
        let _ = stream.write_all(&[0]);
        let _ = stream.read(&mut [0]);
    });
    for load in ["", "--rate 1", "--idle"] {
        let flags = format!("--connections 1 --duration 1ms --timeout 2s --json {load}");
        let (report, _) = incomplete(&server.bench(&flags));
        assert_eq!(number(&report, "/wrong"), 1, "{load}: {report}");
    }
}

#[test]
fn after_an_idle_time_all_echo_though_the_server_sends_more_than_it_was_asked() {
    let server = Crooked::start(usize::MAX, |_, _, mut chunk| {
        chunk.push(0);
        Some(chunk)
    });
    let flags = "--idle --connections 150 --duration 100ms --json";
    let (report, _) = incomplete(&server.bench(flags));
    assert_eq!(number(&report, "/messages"), 150);
    assert_eq!(number(&report, "/wrong"), 150);
}

#[test]
fn a_stall_of_a_second_shows_in_an_open_loop_though_few_messages_were_under_way() {
    // At the hundredth message all clients wait for a second, as in a collection of garbage.
    let server = Crooked::start(usize::MAX, |seen, first, chunk| {
        let _moment = seen.moment.lock().unwrap();
        if (first..first + chunk.len() as u64).contains(&(99 * 64)) {
            thread::sleep(Duration::from_secs(1));
        }
        Some(chunk)
    });
    let flags = "--connections 4 --rate 200 --duration 2s --timeout 20s --json";
    let report = whole(&server.bench(flags));
    agrees(&report, &server, 64);
    assert_eq!(number(&report, "/messages"), 400);
    let latency = |what: &str| report["latency_us"][what].as_f64().unwrap();
    assert!(latency("max") >= 1_000_000.0, "{report}");
    // Of those that were due in that second, half waited for longer than half of it.
    assert!(latency("p99") >= 900_000.0, "{report}");
    assert!(latency("p90") >= 500_000.0, "{report}");
}

#[test]
fn messages_that_the_bench_itself_sends_late_are_sent_and_count_from_when_they_were_due() {
    // So many at once take it longer than it takes the bench to look whether they have waited too long.
    let server = Crooked::start(usize::MAX, |_, _, chunk| {
        if chunk.len() > 20 * 64 {
            thread::sleep(Duration::from_millis(400));
        }
        Some(chunk)
    });
    // Most of the messages are in time, or the run would be called one of the bench.
    let flags = "--connections 4 --threads 2 --rate 200 --duration 9s --timeout 2s --json";
    let child = command(&server.addr.to_string(), flags).spawn().unwrap();
    wait_until("messages are echoed", || server.bytes() > 50 * 64);
    let (stop, go_on) = (Signal::STOP, Signal::CONT);
    kill_process(Pid::from_child(&child), stop).unwrap();
    // Not to wait for something: this is the fault. It is longer than the --timeout.
    thread::sleep(Duration::from_millis(2_500));
    kill_process(Pid::from_child(&child), go_on).unwrap();
    let report = whole(&child.wait_with_output().unwrap());
    agrees(&report, &server, 64);
    assert_eq!(number(&report, "/messages"), 1_800);
    for latency in ["/latency_us/max", "/latency_us/p99", "/late_us/max", "/late_us/p99"] {
        let latency = report.pointer(latency).and_then(Value::as_f64).unwrap();
        assert!(latency >= 900_000.0, "{report}");
    }
}

#[test]
fn a_server_that_closes_early_is_found_out_and_not_waited_for() {
    let server = Crooked::start(usize::MAX, |_, first, chunk| (first < 5_000).then_some(chunk));
    let (report, problems) = incomplete(&server.bench("--connections 3 --duration 1h --json"));
    assert_eq!(number(&report, "/connections/lost"), 3);
    assert!(problems.contains("3 connections were lost: "), "{problems}");
    assert!(problems.contains("messages got no whole answer"), "{problems}");
}

#[test]
fn an_open_loop_accounts_for_each_message_that_was_due_though_connections_are_lost() {
    // The connection that sends the hundredth message is closed.
    let crooked = || {
        Crooked::start(usize::MAX, |_, first, chunk| {
            let is_it = (first..first + chunk.len() as u64).contains(&(99 * 64));
            (!is_it).then_some(chunk)
        })
    };
    let accounted = |report: &Value| -> u64 {
        ["/messages", "/unanswered", "/unsent"].map(|of| number(report, of)).iter().sum()
    };
    let flags = "--connections 1 --rate 400 --duration 1h --json";
    let (report, problems) = incomplete(&crooked().bench(flags));
    let seconds = report["seconds"].as_f64().unwrap();
    assert!(accounted(&report).abs_diff((seconds * 400.0).ceil() as u64) <= 1, "{report}");
    assert!(problems.starts_with("ended after "), "{problems}");
    assert!(problems.contains(" s of 3600s, as no connection was left"), "{problems}");

    let flags = "--connections 2 --threads 2 --rate 400 --duration 2s --json";
    let (report, problems) = incomplete(&crooked().bench(flags));
    assert_eq!((accounted(&report), number(&report, "/connections/lost")), (800, 1), "{problems}");
    assert!(number(&report, "/unsent") > 0 && !problems.contains("ended after"), "{problems}");
}

#[test]
fn a_server_that_refuses_is_said_to_do_so_with_what_to_look_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    for load in ["", "--rate 10", "--churn", "--idle"] {
        let output = bench(&addr, &format!("--connections 3 --json {load}"));
        let (report, problems) = incomplete(&output);
        assert_eq!(number(&report, "/connections/failed"), 3, "{load}");
        assert_eq!(number(&report, "/connections/opened"), 0, "{load}");
        assert_eq!(report["latency_us"], Value::Null);
        let expected = format!(
            "3 of 3 connections could not be opened: 3 × connection refused; does a server listen on {addr}"
        );
        assert!(problems.starts_with(&expected), "{problems}");
    }
    let table = bench(&addr, "--connections 3");
    assert!(stdout(&table).starts_with("INCOMPLETE"), "{}", stdout(&table));
}

#[test]
fn a_server_that_stops_accepting_is_found_out() {
    for load in ["", "--rate 100", "--idle"] {
        let server = Crooked::start(3, |_, _, chunk| Some(chunk));
        let flags = format!("--connections 10 --duration 300ms --timeout 500ms --json {load}");
        let (report, problems) = incomplete(&server.bench(&flags));
        assert_eq!(server.connections(), 3);
        assert!(number(&report, "/messages") >= 3, "{load}");
        assert!(number(&report, "/unanswered") >= 7, "{load}");
        assert!(problems.contains("no whole answer within 500ms (--timeout)"), "{problems}");
    }
}

#[test]
fn too_few_descriptors_are_said_before_anything_is_opened() {
    let server = Crooked::honest();
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -n 100; exec \"$@\"", "bash", env!("CARGO_BIN_EXE_readyloop")]);
    command.args(["bench", &server.addr.to_string(), "--connections", "80"]);
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), ""));
    let expected = "readyloop: --connections 80: 116 files would be open, and the limit is 100: raise the hard limit";
    assert!(stderr(&output).starts_with(expected), "{}", stderr(&output));
    // The next connection is the first.
    drop(connect(server.addr));
    wait_until("it is accepted", || server.connections() > 0);
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_source_that_this_machine_does_not_have_is_named() {
    let server = Crooked::honest();
    let (_, problems) =
        incomplete(&server.bench("--connections 2 --duration 1s --source 192.0.2.1 --json"));
    assert!(
        problems.contains("no interface of this machine has the --source address"),
        "{problems}"
    );
    let (report, seen) = (
        whole(&server.bench("--connections 2 --duration 100ms --source 127.0.0.9 --json")),
        server.connections(),
    );
    assert_eq!((number(&report, "/connections/opened"), seen), (2, 2));
}

#[test]
fn a_server_can_be_named_and_any_of_its_addresses_will_do() {
    let server = Crooked::honest();
    for load in ["--connections 2", "--churn --active 2"] {
        let flags = format!("{load} --duration 100ms --json");
        whole(&bench(&format!("localhost:{}", server.addr.port()), &flags));
    }
    let other = server.bench("--connections 2 --source ::1");
    assert_eq!((other.status.code(), stdout(&other)), (Some(2), ""));
}

#[test]
fn an_interrupted_run_prints_what_it_has_and_that_it_is_incomplete() {
    for signal in [Signal::INT, Signal::TERM] {
        let server = Crooked::honest();
        let flags = "--connections 2 --threads 2 --duration 1h --json";
        let child = command(&server.addr.to_string(), flags).spawn().unwrap();
        wait_until("messages are echoed", || server.bytes() > 64_000);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let (report, problems) = incomplete(&child.wait_with_output().unwrap());
        assert!(problems.starts_with("interrupted after "), "{problems}");
        assert!(number(&report, "/messages") >= 990, "{report}");
        assert_eq!((number(&report, "/under_way"), number(&report, "/unanswered")), (2, 0));
        assert!(
            problems.contains("2 messages were under way when the run was interrupted"),
            "{problems}"
        );
        assert!(report["seconds"].as_f64().unwrap() < 3_600.0);
    }
}

#[test]
fn interrupted_churn_lays_nothing_on_the_server() {
    let server = Crooked::honest();
    let flags = "--churn --active 20 --duration 1h --json";
    let child = command(&server.addr.to_string(), flags).spawn().unwrap();
    wait_until("messages are echoed", || server.bytes() > 6_400);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let (report, problems) = incomplete(&child.wait_with_output().unwrap());
    for nothing in ["/unanswered", "/wrong", "/connections/failed", "/connections/lost"] {
        assert_eq!(number(&report, nothing), 0, "{nothing}: {problems}");
    }
}

#[test]
fn a_run_that_is_interrupted_while_connections_are_opened_says_so() {
    let server = Crooked::honest();
    let child = command(&server.addr.to_string(), "--connections 100 --ramp 1").spawn().unwrap();
    wait_until("the first one is there", || server.connections() > 0);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let table = stdout(&output);
    assert!(table.starts_with("INCOMPLETE"), "{table}");
    assert!(table.contains("- interrupted before the measured time began\n"), "{table}");
    assert!(table.contains("of 100 connections were not tried\n"), "{table}");
}

#[test]
fn the_plot_is_a_well_formed_picture() {
    let server = Crooked::honest();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.svg");
    let flags = format!("--connections 2 --duration 200ms --json --plot {}", path.display());
    whole(&server.bench(&flags));
    let svg = std::fs::read_to_string(&path).unwrap();
    assert!(svg.starts_with("<svg "), "{svg}");
    check_tags(&svg);

    let output = server.bench("--duration 1h --plot /nowhere/run.svg");
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), ""));
    assert!(
        stderr(&output).starts_with("readyloop: --plot /nowhere/run.svg: "),
        "{}",
        stderr(&output)
    );
}

/// Every tag that is opened is closed, in order, and every attribute is quoted.
fn check_tags(xml: &str) {
    let mut open = Vec::new();
    let mut rest = xml;
    while let Some((text, after)) = rest.split_once('<') {
        assert!(!text.contains('>'), "a stray end of a tag: {text}");
        let (tag, after) = after.split_once('>').expect("each tag ends");
        assert!(!tag.contains('<') && tag.matches('"').count() % 2 == 0, "<{tag}>");
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().expect("a tag has a name"));
        }
    }
    assert!(open.is_empty(), "{open:?} were not closed");
}

#[test]
fn a_command_line_without_sense_ends_with_code_2_and_one_line() {
    for flags in [
        "--connections 0",
        "--rate 5 --churn",
        "--connections 1 --active 2",
        "--size 9-1",
        "--pid x",
    ] {
        let output = bench("127.0.0.1:7", flags);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{flags}");
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
    for target in ["", "nowhere", "127.0.0.1", "127.0.0.1:0"] {
        assert_eq!(bench(target, "").status.code(), Some(2), "{target:?}");
    }
}
