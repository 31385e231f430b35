//! What `readyloop bench` says in the end, and whether that is to be believed.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use readyloop::Config;
use readyloop::services::Echo;
use serde_json::Value;

use crate::util::*;

fn bench(target: &str, flags: &str, plot: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_readyloop"));
    command.arg("bench").arg(target).args(flags.split_whitespace()).stdin(Stdio::null());
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
