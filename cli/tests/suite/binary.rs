//! The real binary: what it prints, how it ends, what it refuses.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Socket, Type};

use crate::many::alone;
use crate::system::{is_asleep, server_ends};
use crate::util::*;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_readyloop"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// A running server that is killed when this is dropped.
pub(crate) struct Binary {
    pub(crate) child: Child,
    pub(crate) addrs: Vec<SocketAddr>,
}

impl Binary {
    /// Starts it on a free port; it logs to nowhere.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(&[&["--listen", "127.0.0.1:0"], args].concat(), Stdio::null())
    }

    /// Starts it and waits until it listens everywhere.
    pub(crate) fn start_with(args: &[&str], stderr: Stdio) -> Self {
        Self::spawn(
            command(args).stderr(stderr),
            args.iter().filter(|arg| **arg == "--listen").count(),
        )
    }

    pub(crate) fn spawn(command: &mut Command, listeners: usize) -> Self {
        let mut child = command.spawn().expect("the binary was built");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let addr = |line: std::io::Result<String>| {
            let line = line.expect("a line of text");
            let addr = line.strip_prefix("listening on ").expect("it says where it listens");
            addr.parse().expect("an address")
        };
        let addrs: Vec<_> = lines.by_ref().take(listeners).map(addr).collect();
        assert_eq!(addrs.len(), listeners, "it listens everywhere");
        Self { child, addrs }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addrs[0]
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Ends it in order and returns how that went.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().expect("it was not waited for before")
    }

    pub(crate) fn open_files(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(path).expect("it runs").count()
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_echoes_and_ends_with_code_0_on_sigterm_and_sigint() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut binary = Binary::start(&[]);
        echo(&mut connect(binary.addr()), b"hello");
        binary.signal(signal);
        assert_eq!(binary.child.wait().unwrap().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn it_listens_on_every_address_and_says_so() {
    let args =
        ["serve", "--listen", "127.0.0.1:0", "--listen", "[::]:0", "--listen", "localhost:0"];
    let binary = Binary::start_with(&args, Stdio::null());
    for addr in &binary.addrs {
        echo(&mut connect(SocketAddr::new("127.0.0.1".parse().unwrap(), addr.port())), b"hello");
    }
}

#[test]
fn an_interface_can_be_named_wherever_an_address_can() {
    let binary = Binary::start_with(&["--listen", "[::1%lo]:0"], Stdio::null());
    let target = format!("[::1%lo]:{}", binary.addr().port());
    let client = ["client", &target, "--clients", "1", "--count", "1", "--message", "hello"];
    let output = command(&client).output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"hello\n"[..]));
    let bench =
        ["bench", &target, "--connections", "1", "--duration", "100ms", "--source", "::1%lo"];
    let output = command(&bench).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let output = command(&["--listen", "[::1%nowhere]:0"]).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("this machine has no interface \"nowhere\""), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn the_log_tells_of_each_connection_and_each_chunk_when_asked() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = log.path().to_str().unwrap();
    let binary = Binary::start(&["-vv", "--log-file", path]);
    let mut client = connect(binary.addr());
    let peer = client.local_addr().unwrap();
    echo(&mut client, b"hello\x1b[31m");
    drop(client);
    let read = || std::fs::read_to_string(log.path()).unwrap();
    wait_until("the end is logged", || read().contains("closed: the peer finished"));
    assert!(binary.terminate().success());
    let text = read();
    for expected in [
        "[INFO] open files: ".to_owned(),
        format!("[DEBUG] #1 {peer} opened"),
        "[TRACE] #1 received 10 bytes: \"hello\\x1b[31m\"".to_owned(),
        "[TRACE] #1 sent 10 of 10 bytes".to_owned(),
        format!(
            "[DEBUG] #1 {peer} closed: the peer finished; 10 bytes in, 10 bytes out, open for "
        ),
        "[INFO] ended by SIGTERM".to_owned(),
        "[INFO] drained: 0 connections finished, 0 were cut off with 0 bytes unsent".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected} is not in the log:\n{text}");
    }
}

#[test]
fn the_log_is_quiet_about_connections_by_default_and_goes_to_standard_error() {
    let mut binary = Binary::start_with(&["--listen", "127.0.0.1:0"], Stdio::piped());
    echo(&mut connect(binary.addr()), b"hello");
    let mut stderr = binary.child.stderr.take().unwrap();
    assert!(binary.terminate().success());
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    assert!(text.contains("[INFO] listening on 127.0.0.1:") && !text.contains("opened"), "{text}");
    assert!(text.contains("open files: "), "{text}");
}

#[test]
fn row_38_a_killed_server_can_start_again_at_once_on_the_same_port() {
    let first = Binary::start(&[]);
    let addr = first.addr().to_string();
    let mut clients: Vec<_> = (0..10).map(|_| connect(first.addr())).collect();
    for client in &mut clients {
        echo(client, b"hello");
    }
    drop(first); // SIGKILL
    let second = Binary::start_with(&["--listen", &addr], Stdio::null());
    echo(&mut connect(second.addr()), b"hello again");
}

#[test]
fn row_39_without_standard_streams_it_serves_on() {
    // Its standard output and its standard error have no reader any more.
    let mut binary = Binary::start_with(&["--listen", "127.0.0.1:0", "-vv"], Stdio::piped());
    drop(binary.child.stderr.take());
    for _ in 0..100 {
        echo(&mut connect(binary.addr()), b"hello");
    }
    assert!(binary.terminate().success());
}

#[test]
fn row_54_a_standard_output_that_does_not_take_where_it_listens_is_told_in_the_log() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    // These have no reader, and hold as much as a pipe can: pipe(7).
    let [(_one, stuck), (_other, waits)] = [(); 2].map(|()| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(&[b'x'; 65_536]).unwrap();
        (reader, writer)
    });
    rustix::io::ioctl_fionbio(&waits, true).unwrap();
    for (output, why) in [
        (Stdio::from(full), "No space left"),
        (Stdio::from(stuck), "not read for 1s"),
        (Stdio::from(waits), "not read for 1s"),
    ] {
        let log = tempfile::NamedTempFile::new().unwrap();
        let path = log.path().to_str().unwrap();
        let args = ["--listen", "127.0.0.1:0", "--log-file", path];
        let mut child = command(&args).stdout(output).spawn().unwrap();
        let text = || std::fs::read_to_string(path).unwrap();
        wait_until("it warns", || text().contains("standard output did not take"));
        assert!(text().contains(why), "{}", text());
        echo(&mut connect(addr_in_log(log.path())), b"hello");
        let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn row_40_children_inherit_no_socket() {
    let binary = Binary::start(&[]);
    let _clients: Vec<_> = (0..3)
        .map(|_| {
            let mut client = connect(binary.addr());
            echo(&mut client, b"hello");
            client
        })
        .collect();
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let process = Path::new("/proc").join(binary.child.id().to_string());
    let mut sockets = 0;
    for fd in std::fs::read_dir(process.join("fd")).unwrap() {
        let fd = fd.unwrap();
        let target = std::fs::read_link(fd.path()).unwrap();
        let target = target.to_string_lossy();
        if !(target.starts_with("socket:") || target.starts_with("anon_inode:")) {
            continue; // inherited from the process that started it
        }
        sockets += usize::from(target.starts_with("socket:"));
        let info = std::fs::read_to_string(process.join("fdinfo").join(fd.file_name())).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        assert!(flags & CLOSE_ON_EXEC != 0, "{target} is inherited");
    }
    assert!(sockets >= 4, "the listener and three connections are among them: {sockets}");
}

/// Runs it to its end, which comes at once.
fn refusal(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, stdout } = command(args).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(stdout, b"", "{args:?}");
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn wrong_usage_is_one_line_that_names_the_flag_and_exit_code_2() {
    for (args, flag, cause) in [
        (&["--listen", "nonsense"][..], "--listen", "not an address"),
        (&["--listen", "127.0.0.1:70000"], "--listen", "not an address"),
        (&["--service", "gopher"], "--service", "possible values: echo"),
        (&["--high-water", "1KiB", "--low-water", "2KiB"], "--low-water", "above --high-water"),
        (&["--max-input", "much"], "--max-input", "not a size"),
        (&["--queue-limit", "1KiB"], "--queue-limit", "below --high-water"),
        (&["--queue-budget", "0"], "--queue-budget", "at least one byte"),
        (&["--idle-timeout", "30"], "--idle-timeout", "not a time with its unit"),
        (&["--write-timeout", "0s"], "--write-timeout", "a time above 0 is needed"),
        (&["--linger-timeout", "off"], "--linger-timeout", "not a time with its unit"),
        (&["--max-age", "-1h"], "--max-age", "not a time with its unit"),
        (&["--high-water", "0"], "--high-water", "at least one byte"),
        (&["--high-water", "-1"], "--high-water", "not a size"),
        (&["--high-water", "99999999999999999999EiB"], "--high-water", "more than"),
        (&["--listen", "a\nb:7"], "--listen", "not an address"),
        (&["--log-level", "loud"], "--log-level", "not one of off, error"),
        (&["--backlog", "0"], "--backlog", "not a number of connections"),
        (&["--backlog", "99999999999"], "--backlog", "not a number of connections"),
        (&["--backlog"], "--backlog", "a value is required"),
        (&["--reactors", "0"], "--reactors", "not a number from 1"),
        (&["--drain-timeout", "off"], "--drain-timeout", "not a time with its unit"),
        (&["--frobnicate"], "--frobnicate", "unexpected argument"),
        (&["-v", "--log-level", "info"], "--log-level", "cannot be used with"),
    ] {
        let (code, text) = refusal(args);
        assert_eq!(code, Some(2), "{args:?}: {text}");
        assert!(text.contains(flag) && text.contains(cause), "{args:?}: {text}");
        assert!(text.starts_with("readyloop: ") && text.lines().count() == 1, "{args:?}: {text}");
    }
}

#[test]
fn what_the_system_refuses_is_one_line_that_names_the_flag_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (args, flag, cause) in [
        (&["--listen", &taken][..], "--listen", "in use"),
        (&["--listen", "192.0.2.1:7000"], "--listen", "no interface"),
        (&["--listen", "no-such-host.invalid:7000"], "no-such-host.invalid", "lookup"),
        (&["--log-file", "/"], "--log-file", "directory"),
        (&["--log-file", "/no/such/folder/log"], "--log-file", "No such file"),
        (&["--log-file", "/no/such\nfolder"], "--log-file", "No such file"),
    ] {
        let (code, text) = refusal(args);
        assert_eq!(code, Some(1), "{args:?}: {text}");
        assert!(text.contains(flag) && text.contains(cause), "{args:?}: {text}");
        assert!(text.starts_with("readyloop: ") && text.lines().count() == 1, "{args:?}: {text}");
    }
}

#[test]
fn a_privileged_port_is_refused_with_what_is_missing() {
    if !rustix::process::geteuid().is_root() || !Path::new("/usr/bin/setpriv").exists() {
        return; // an ordinary user may be allowed low ports; only a dropped privilege is certain
    }
    let output = Command::new("/usr/bin/setpriv")
        .args(["--reuid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"])
        .args([env!("CARGO_BIN_EXE_readyloop"), "--log-level", "off", "--listen", "127.0.0.1:7"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("--listen 127.0.0.1:7") && text.contains("privilege"), "{text}");
}

#[test]
fn help_and_version_are_not_failures() {
    for (flag, expected) in [("--help", "--high-water <SIZE>"), ("--version", "readyloop 0.")] {
        let output = command(&[flag]).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8(output.stdout).unwrap().contains(expected), "{flag}");
        assert_eq!(output.stderr, b"");
    }
}

/// Waits for the line of the log that says where it listens.
pub(crate) fn addr_in_log(log: &Path) -> SocketAddr {
    let mut found = None;
    wait_until("it listens", || {
        let text = std::fs::read_to_string(log).unwrap();
        let line = text.lines().find_map(|line| line.split_once("listening on "));
        found = line.and_then(|(_, addr)| addr.parse().ok());
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn the_announcement_needs_no_reader() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = log.path().to_str().unwrap();
    let args = ["--listen", "127.0.0.1:0", "--log-file", path];
    let mut child = command(&args).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    echo(&mut connect(addr_in_log(log.path())), b"hello");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Clients that send as much as goes in and read nothing, with small buffers. The server has stopped reading from each.
pub(crate) fn stuck_clients(binary: &Binary, count: usize) -> Vec<TcpStream> {
    let addr = binary.addr();
    let stuck = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.set_send_buffer_size(16_384).unwrap();
        socket.connect(&addr.into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        TcpStream::from(socket)
    };
    let mut clients: Vec<_> = std::iter::repeat_with(stuck).take(count).collect();
    let chunk = noise(65_536);
    // A server that sleeps beside unread input does not want it.
    let all_have_unread = || server_ends(addr).iter().filter(|end| end.unread > 0).count() >= count;
    wait_until("the server reads from none of them", || {
        clients.iter_mut().for_each(|client| while client.write(&chunk).is_ok() {});
        all_have_unread() && is_asleep(binary.child.id()) && all_have_unread()
    });
    clients
}

#[test]
fn row_36_sigterm_gives_readers_every_byte_ends_at_the_deadline_and_says_how_many_were_cut() {
    let _alone = alone();
    const DRAIN: Duration = Duration::from_secs(2);
    let args = ["--listen", "127.0.0.1:0", "--drain-timeout", "2s", "--reactors", "2"];
    let mut binary = Binary::start_with(&args, Stdio::piped());
    let stuck = stuck_clients(&binary, 100);
    let mut clients: Vec<_> = (0..900).map(|_| connect(binary.addr())).collect();
    clients.iter_mut().for_each(|client| echo(client, b"hello"));
    // All that they send waits in the kernel when the signal comes.
    binary.signal(Signal::STOP);
    let bytes = noise(50_000);
    clients.iter_mut().for_each(|client| client.write_all(&bytes).unwrap());
    let begin = Instant::now();
    binary.signal(Signal::TERM);
    binary.signal(Signal::CONT);
    let complete = clients.iter_mut().filter_map(|client| {
        let all = read_to_end(client); // to the FIN, not to a RST
        client.shutdown(Shutdown::Both).ok();
        (all == bytes).then_some(())
    });
    assert_eq!(complete.count(), 900);
    let mut said = String::new();
    binary.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let status = binary.child.wait().unwrap();
    let took = begin.elapsed();
    assert_eq!(status.code(), Some(3), "{said}");
    let line = said.lines().find(|line| line.starts_with("readyloop: ")).expect("one line");
    assert!(line.contains("100 clients were cut off"), "{line}");
    assert!(took >= DRAIN && took < DRAIN + DEADLINE / 3, "{took:?}");
    println!("{line}; after {took:?}");
    drop(stuck);
}

#[test]
fn row_50_a_drain_says_how_many_clients_that_ask_without_pause_have_lost_a_request() {
    let _alone = alone();
    let args = ["--listen", "127.0.0.1:0", "--drain-timeout", "1s"];
    let mut binary = Binary::start_with(&args, Stdio::piped());
    let mut clients: Vec<_> = (0..10).map(|_| connect(binary.addr())).collect();
    clients.iter_mut().for_each(|client| echo(client, b"hello"));
    let asking: Vec<_> = clients
        .into_iter()
        .map(|client| thread::spawn(move || asks_until_the_end(client)))
        .collect();
    binary.signal(Signal::TERM);
    let lost = asking.into_iter().filter_map(|client| client.join().unwrap().then_some(()));
    let lost = lost.count();
    let mut said = String::new();
    binary.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let status = binary.child.wait().unwrap();
    assert_eq!(status.code(), Some(if lost == 0 { 0 } else { 3 }), "{said}");
    let report = format!("{} connections finished, {lost} were cut off", 10 - lost);
    assert!(said.contains(&report), "{lost} have lost a request: {said}");
}

/// Sends and awaits the echo, again and again. Returns whether what it had sent last was lost.
fn asks_until_the_end(mut client: TcpStream) -> bool {
    let question = [b'q'; 64];
    let mut answer = [0; 64];
    loop {
        client.set_nonblocking(true).unwrap();
        let has_ended = !matches!(
            client.peek(&mut [0]),
            Err(error) if error.kind() == ErrorKind::WouldBlock
        );
        client.set_nonblocking(false).unwrap();
        if has_ended {
            return false;
        }
        if client.write_all(&question).is_err() || client.read_exact(&mut answer).is_err() {
            return true;
        }
    }
}

#[test]
fn a_drain_without_time_in_a_storm_of_dials_ends_and_idle_clients_are_not_cut() {
    let _alone = alone();
    let idle = Binary::start(&["--drain-timeout", "0s"]);
    let mut client = connect(idle.addr());
    echo(&mut client, b"hello");
    assert!(idle.terminate().success(), "it had everything");
    assert_eq!(read_to_end(&mut client), b"");

    let mut binary = Binary::start(&["--drain-timeout", "0s", "--reactors", "2"]);
    let mut clients: Vec<_> = (0..1_500).map(|_| connect(binary.addr())).collect();
    binary.signal(Signal::STOP);
    clients.extend((0..500).map(|_| connect(binary.addr())));
    binary.signal(Signal::CONT);
    binary.signal(Signal::TERM);
    wait_until("it ends", || binary.child.try_wait().unwrap().is_some());
}

#[test]
fn row_37_a_second_signal_stops_at_once_and_the_exit_code_says_so() {
    let args = ["--listen", "127.0.0.1:0", "--drain-timeout", "1h"];
    let mut binary = Binary::start_with(&args, Stdio::piped());
    let stuck = stuck_clients(&binary, 3);
    let addr = binary.addr();
    binary.signal(Signal::TERM);
    wait_until("it drains", || TcpStream::connect(addr).is_err());
    assert!(
        binary.child.try_wait().unwrap().is_none(),
        "the server has ended before its clients were finished"
    );
    binary.signal(Signal::INT);
    let mut said = String::new();
    binary.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(binary.child.wait().unwrap().code(), Some(3), "{said}");
    let line = said.lines().last().unwrap();
    assert!(line.contains("a second signal") && line.contains("3 clients were cut off"), "{line}");
    drop(stuck);
}

#[test]
fn sighup_opens_the_log_file_again_and_sigusr1_says_how_things_stand() {
    let folder = tempfile::tempdir().unwrap();
    let (log, old) = (folder.path().join("log"), folder.path().join("log.1"));
    let args = ["--log-file", log.to_str().unwrap(), "--reactors", "2", "--max-per-ip", "77"];
    let binary = Binary::start(&args);
    let mut client = connect(binary.addr());
    echo(&mut client, b"hello");
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    std::fs::rename(&log, &old).unwrap();
    binary.signal(Signal::HUP);
    wait_until("it is opened again", || read(&log).contains("the log continues here"));
    assert!(read(&old).contains("listening on") && !read(&old).contains("goes on"));
    wait_until("it says how things stand", || {
        binary.signal(Signal::USR1); // what it says is as of the end of a turn
        read(&log).contains("bytes_in: 5,")
    });
    wait_until("it says all of it", || read(&log).contains("limits: "));
    let text = read(&log);
    for expected in [
        "stats of 2 reactors: ",
        "open: 1,",
        "bytes_in: 5,",
        "max_per_ip: Some(77)",
        "low_water: Some(8192)",
    ] {
        assert!(text.contains(expected), "{expected} is not in the log:\n{text}");
    }
    // Where that cannot be, the old file is better than none.
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    binary.signal(Signal::HUP);
    echo(&mut client, b"hello");
    drop(client);
    assert!(binary.terminate().success());
}

#[test]
fn two_processes_share_a_port_if_both_say_so() {
    let first = Binary::start(&["--reuse-port"]);
    let addr = first.addr().to_string();
    let second = Binary::start_with(&["--listen", &addr, "--reuse-port"], Stdio::null());
    let idle = (first.open_files(), second.open_files());
    let mut clients: Vec<_> = (0..64).map(|_| connect(first.addr())).collect();
    clients.iter_mut().for_each(|client| echo(client, b"hello"));
    let (one, other) = (first.open_files() - idle.0, second.open_files() - idle.1);
    assert_eq!(one + other, 64);
    assert!(one > 0 && other > 0, "{one} and {other}");
}

#[test]
fn row_39_with_closed_standard_streams_and_a_log_on_a_full_disk_it_serves_on() {
    // A folder on a file system that is full would be the same: ENOSPC for each write.
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let line = "exec 3>\"$1\"; shift; exec \"$@\" 0<&- 1>&3 2>&-";
    let mut command = Command::new("bash");
    command.args(["-c", line, "bash", ready.to_str().unwrap(), env!("CARGO_BIN_EXE_readyloop")]);
    command.args(["--listen", "127.0.0.1:0", "-vv", "--log-file", "/dev/full"]);
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let mut addr: Option<SocketAddr> = None;
    wait_until("it listens", || {
        let text = std::fs::read_to_string(&ready).unwrap_or_default();
        addr = text.trim().strip_prefix("listening on ").and_then(|addr| addr.parse().ok());
        addr.is_some()
    });
    for _ in 0..100 {
        echo(&mut connect(addr.unwrap()), b"hello");
    }
    let _ = kill_process(Pid::from_child(&child), Signal::USR1);
    let _ = kill_process(Pid::from_child(&child), Signal::HUP);
    echo(&mut connect(addr.unwrap()), b"hello");
    let _ = kill_process(Pid::from_child(&child), Signal::TERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn row_39_with_all_three_standard_streams_closed_it_serves_on() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", "exec \"$@\" 0<&- 1>&- 2>&-", "bash", env!("CARGO_BIN_EXE_readyloop")]);
    command.args(["--listen", "127.0.0.1:0", "-vv", "--log-file", log.path().to_str().unwrap()]);
    let mut child = command.spawn().unwrap();
    let addr = addr_in_log(log.path());
    for _ in 0..100 {
        echo(&mut connect(addr), b"hello");
    }
    let _ = kill_process(Pid::from_child(&child), Signal::TERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn row_37_a_second_signal_ends_a_server_that_is_held_up_by_its_log() {
    // This pipe has no reader, so the log of so many chunks blocks the reactor.
    let args = ["--listen", "127.0.0.1:0", "-vv"];
    let mut binary = Binary::start_with(&args, Stdio::piped());
    let mut client = connect(binary.addr());
    client.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    while client.write_all(b"x").and_then(|()| client.read_exact(&mut [0])).is_ok() {}
    binary.signal(Signal::TERM);
    let status = loop {
        // Two that come at once count as one.
        binary.signal(Signal::TERM);
        if let Some(status) = binary.child.try_wait().unwrap() {
            break status;
        }
        std::thread::yield_now();
    };
    assert_eq!(status.code(), Some(3));
}

#[test]
fn row_05_without_a_listener_it_serves_what_is_under_way_and_ends_with_code_1() {
    for (reactors, drain, cut) in [("1", "1m", 0), ("3", "1m", 0), ("1", "100ms", 3)] {
        let args = ["--reactors", reactors, "--drain-timeout", drain];
        let args = [&["--listen", "127.0.0.1:0", "--listen", "[::1]:0"], &args[..]].concat();
        let mut binary = Binary::start_with(&args, Stdio::piped());
        let mut stuck = stuck_clients(&binary, 3);
        let (mut log, mut said) =
            (BufReader::new(binary.child.stderr.take().unwrap()), String::new());
        kill_listener(binary.child.id(), binary.addrs[1]);
        while !said.contains("any more") {
            assert!(log.read_line(&mut said).unwrap() > 0, "it is not noticed: {said}");
        }
        echo(&mut connect(binary.addr()), b"the other still listens");
        kill_listener(binary.child.id(), binary.addr());
        if cut == 0 {
            wait_until("it is closed", || TcpStream::connect(binary.addr()).is_err());
            assert!(binary.child.try_wait().unwrap().is_none(), "three have not finished");
            stuck.clear();
        }
        log.read_to_string(&mut said).unwrap();
        assert_eq!(binary.child.wait().unwrap().code(), Some(1), "{said}");
        let line = said.lines().last().unwrap();
        let lost = format!("readyloop: the last listener, {}, is lost", binary.addr());
        assert!(line.starts_with(&lost) && line.contains("os error 22"), "{line}");
        assert!(line.contains(&format!("{cut} were cut off")), "{line}");
        assert_eq!(said.matches("any more").count(), 2, "{said}");
        drop(stuck);
    }
}

#[test]
fn row_05_with_a_listener_left_it_goes_on_and_ends_as_usual() {
    let args = ["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    let binary = Binary::start_with(&args, Stdio::null());
    kill_listener(binary.child.id(), binary.addr());
    wait_until("it is closed", || TcpStream::connect(binary.addr()).is_err());
    echo(&mut connect(binary.addrs[1]), b"hello");
    assert_eq!(binary.terminate().code(), Some(0));
}
