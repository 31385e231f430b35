//! Where the binary logs to, and that this never stops its service.

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::binary::Binary;
use crate::util::*;

/// All lines of a log, each of which is whole.
fn whole_lines(text: &str) -> Vec<&str> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is cut");
    let lines: Vec<_> = text.lines().collect();
    for line in &lines {
        let (time, rest) = line.split_once(' ').unwrap_or_else(|| panic!("torn: {line}"));
        let is_whole = time.starts_with("20") && time.ends_with('Z') && rest.starts_with('[');
        assert!(is_whole && line.matches("Z [").count() == 1, "torn: {line}");
    }
    lines
}

#[test]
fn row_55_each_line_of_the_log_is_one_write() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let args = ["--listen", "127.0.0.1:0", "-vv"];
    let binary = Binary::start_with(&args, Stdio::from(OwnedFd::from(theirs)));
    // On such a socket each write is a message of its own.
    let reader = thread::spawn(move || {
        let (mut writes, mut buffer) = (Vec::new(), vec![0; 65_536]);
        loop {
            let count = ours.recv(&mut buffer).unwrap();
            writes.push(String::from_utf8(buffer[..count].to_vec()).unwrap());
            if writes.last().is_some_and(|line| line.contains("drained: ")) {
                return writes;
            }
        }
    });
    let mut client = connect(binary.addr());
    for len in [1, 10, 1_000] {
        echo(&mut client, &noise(len));
    }
    drop(client);
    assert!(binary.terminate().success());
    let writes = reader.join().unwrap();
    assert!(writes.len() >= 8, "{writes:#?}");
    for write in &writes {
        assert_eq!(whole_lines(write).len(), 1, "{write}");
    }
}

#[test]
fn row_55_lines_of_several_processes_in_one_file_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let args = ["-vv", "--reactors", "2", "--log-file", log.to_str().unwrap()];
    let servers: Vec<_> = (0..3).map(|_| Binary::start(&args)).collect();
    thread::scope(|scope| {
        for server in &servers {
            scope.spawn(|| {
                let mut clients = [connect(server.addr()), connect(server.addr())];
                for _ in 0..500 {
                    clients.iter_mut().for_each(|client| echo(client, b"hello"));
                }
            });
        }
    });
    servers.into_iter().for_each(|server| assert!(server.terminate().success()));
    let text = fs::read_to_string(&log).unwrap();
    let chunks = whole_lines(&text).iter().filter(|line| line.contains("received 5")).count();
    assert_eq!(chunks, 3 * 2 * 500);
}

#[test]
fn row_55_each_failure_is_said_with_one_write() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_readyloop"));
    command.arg("--frobnicate").stderr(OwnedFd::from(theirs));
    assert_eq!(command.status().unwrap().code(), Some(2));
    let mut line = [0; 1_000];
    let count = ours.recv(&mut line).unwrap();
    assert!(line[..count].starts_with(b"readyloop: ") && line[..count].ends_with(b"\n"));
    ours.set_nonblocking(true).unwrap();
    let more = ours.recv(&mut line).map(|count| line[..count].escape_ascii().to_string());
    assert!(more.as_ref().is_err_and(|error| error.kind() != ErrorKind::Other), "{more:?}");
}

fn fifo(folder: &Path) -> PathBuf {
    let path = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

/// A reader that does not wait, neither for a writer nor for bytes.
fn reader_of(fifo: &Path) -> fs::File {
    const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    fs::OpenOptions::new().read(true).custom_flags(NONBLOCK).open(fifo).unwrap()
}

fn read_more(from: &mut fs::File, text: &mut String) {
    let mut bytes = vec![0; 65_536];
    if let Ok(count) = from.read(&mut bytes) {
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
}

#[test]
fn row_55_a_fifo_without_a_reader_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = fifo(folder.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_readyloop"));
    command.args(["--listen", "127.0.0.1:0", "--log-file", fifo.to_str().unwrap()]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let ended = within_deadline(|| child.try_wait().unwrap());
    if ended.is_none() {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(ended.and_then(|status| status.code()), Some(1), "{said}");
    assert!(said.contains("--log-file /") && said.contains("no process reads"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// What comes before the deadline, if it comes.
fn within_deadline<T>(mut what: impl FnMut() -> Option<T>) -> Option<T> {
    let give_up = std::time::Instant::now() + DEADLINE;
    while std::time::Instant::now() < give_up {
        if let Some(what) = what() {
            return Some(what);
        }
        thread::sleep(Duration::from_millis(1));
    }
    None
}

#[test]
fn row_55_a_fifo_whose_reader_has_gone_or_does_not_read_stops_no_service() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = fifo(folder.path());
    let (mut reader, mut text) = (reader_of(&fifo), String::new());
    let binary = Binary::start(&["-vv", "--log-file", fifo.to_str().unwrap()]);
    wait_until("it logs", || {
        read_more(&mut reader, &mut text);
        text.contains("listening on")
    });
    // More lines than the FIFO holds, and nothing reads them.
    let mut client = connect(binary.addr());
    for _ in 0..2_000 {
        echo(&mut client, b"hello");
    }
    drop(reader);
    for signal in [Signal::HUP, Signal::USR1] {
        binary.signal(signal);
        echo(&mut client, b"hello");
    }
    // The next reader learns what there is, and what it has missed.
    let (mut reader, mut text) = (reader_of(&fifo), String::new());
    wait_until("it logs again", || {
        echo(&mut client, b"hello");
        read_more(&mut reader, &mut text);
        text.contains("lines of the log are lost; the last error: ") && text.contains("received 5")
    });
    binary.signal(Signal::HUP);
    wait_until("it is opened again", || {
        read_more(&mut reader, &mut text);
        text.contains("the log continues here")
    });
    drop((reader, client));
    assert!(binary.terminate().success());
}

#[test]
fn row_55_a_log_that_reaches_the_limit_of_the_size_of_a_file_stops_no_service() {
    let folder = tempfile::tempdir().unwrap();
    let (log, old) = (folder.path().join("log"), folder.path().join("log.1"));
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -f 8; exec \"$@\"", "bash", env!("CARGO_BIN_EXE_readyloop")]);
    command.args(["--listen", "127.0.0.1:0", "-vv", "--log-file", log.to_str().unwrap()]);
    let binary = Binary::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()), 1);
    let mut client = connect(binary.addr());
    for _ in 0..200 {
        echo(&mut client, b"hello");
    }
    assert_eq!(fs::metadata(&log).unwrap().len(), 8 * 1_024);
    fs::rename(&log, &old).unwrap();
    binary.signal(Signal::HUP);
    wait_until("it is opened again", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("the log continues here"))
    });
    echo(&mut client, b"hello");
    drop(client);
    assert!(binary.terminate().success());
    let text = fs::read_to_string(&log).unwrap();
    let first = whole_lines(&text)[0];
    assert!(first.contains("lines of the log are lost; the last error: File too large"), "{first}");
}

#[test]
fn a_line_that_is_cut_short_does_not_run_into_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -f 8; exec \"$@\"", "bash", env!("CARGO_BIN_EXE_readyloop")]);
    command.args(["--listen", "127.0.0.1:0", "-vv", "--log-file", log.to_str().unwrap()]);
    let binary = Binary::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()), 1);
    let mut client = connect(binary.addr());
    for _ in 0..200 {
        echo(&mut client, b"hello");
    }
    // As if another process had made room on the disk.
    fs::File::options().write(true).open(&log).unwrap().set_len(8 * 1_024 - 600).unwrap();
    drop(client);
    assert!(binary.terminate().success());
    let text = fs::read_to_string(&log).unwrap();
    let lost =
        text.lines().find(|line| line.contains("lines of the log are lost")).expect("it says so");
    assert!(lost.starts_with("20") && lost.matches("Z [").count() == 1, "{lost}");
}

#[test]
fn sigusr1_is_answered_at_any_level_but_off() {
    let folder = tempfile::tempdir().unwrap();
    for level in ["error", "warn", "trace"] {
        let log = folder.path().join(level);
        let binary = Binary::start(&["--log-level", level, "--log-file", log.to_str().unwrap()]);
        binary.signal(Signal::USR1);
        wait_until("it answers", || fs::read_to_string(&log).unwrap().contains("limits: "));
        assert!(fs::read_to_string(&log).unwrap().contains("stats of 1 reactors: "));
        assert!(binary.terminate().success());
    }
    let log = folder.path().join("off");
    let binary = Binary::start(&["--log-level", "off", "--log-file", log.to_str().unwrap()]);
    binary.signal(Signal::USR1);
    echo(&mut connect(binary.addr()), b"hello");
    assert!(binary.terminate().success());
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
}
