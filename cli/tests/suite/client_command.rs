//! `readyloop client`: standard input and output, and the script.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use readyloop::{BoxError, Config, Conn, Echo, Handler, Input, from_fn};
use rustix::process::{Pid, Signal, kill_process};

use crate::binary::Binary;
use crate::endless::Endless;
use crate::many::alone;
use crate::servers::{Peer, discard};
use crate::util::*;

fn command(server: SocketAddr, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_readyloop"));
    command.arg("client").arg(server.to_string()).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end: the exit code, what it wrote, and what it said.
fn run(command: &mut Command) -> (i32, Vec<u8>, String) {
    outcome(command.output().unwrap())
}

fn outcome(output: Output) -> (i32, Vec<u8>, String) {
    let code = output.status.code().expect("no signal ended it");
    (code, output.stdout, String::from_utf8(output.stderr).unwrap())
}

fn run_script(server: SocketAddr, args: &[&str]) -> (i32, String, String) {
    let (code, stdout, said) = run(&mut command(server, args));
    assert!(said.starts_with("readyloop: ") && said.lines().count() == 1, "{said}");
    (code, String::from_utf8(stdout).unwrap(), said)
}

fn assert_is_one_line_with(said: &str, expected: &str) {
    assert!(said.starts_with("readyloop: ") && said.lines().count() == 1, "{said}");
    assert!(said.contains(expected), "{expected} is not in: {said}");
}

/// A file that holds these bytes, read from the start.
fn file_of(bytes: &[u8]) -> File {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    File::open(file.path()).unwrap()
}

#[test]
fn what_goes_in_comes_back_byte_for_byte() {
    let server = Binary::start(&[]);
    let bytes = noise(100_000_000);
    let (code, back, said) = run(command(server.addr(), &[]).stdin(file_of(&bytes)));
    assert_eq!((code, &*said), (0, ""));
    assert!(back == bytes, "{} of {} bytes came back", back.len(), bytes.len());
}

#[test]
fn each_piece_of_input_is_sent_at_once_and_each_answer_shown_at_once() {
    let server = Server::start(Config::new(), Echo);
    let mut child = command(server.addr, &[]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    for piece in [&b"no newline"[..], b"\0\xff\n\x80", b"\n\n"] {
        input.write_all(piece).unwrap();
        let mut back = vec![0; piece.len()];
        output.read_exact(&mut back).unwrap();
        assert_eq!(back, piece);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn at_the_end_of_input_it_half_closes_and_still_takes_the_answer() {
    let server = Peer::start(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(format!("{} bytes", all.len()).as_bytes()).unwrap();
    });
    let (code, back, said) = run(command(server.addr, &[]).stdin(file_of(&noise(1_000_000))));
    assert_eq!((code, &*said), (0, ""));
    assert_eq!(back, b"1000000 bytes");
    server.join();
}

#[test]
fn it_ends_when_the_server_has_finished_although_input_is_still_open_and_says_so() {
    let server = Peer::start(|mut stream| stream.write_all(b"goodbye").unwrap());
    let child = command(server.addr, &[]).stdin(Stdio::piped()).spawn().unwrap();
    let (code, back, said) = without_end_of_input(child);
    assert_eq!((code, &*back), (1, &b"goodbye"[..]));
    let expected =
        "the server has finished before the end of standard input, of which 0 bytes were sent";
    assert_is_one_line_with(&said, expected);
    server.join();
}

#[test]
fn a_server_that_speaks_alone_has_finished_in_order_if_input_has_an_end() {
    let server = Peer::start(|mut stream| stream.write_all(b"goodbye").unwrap());
    let (code, back, said) = run(&mut command(server.addr, &[]));
    assert_eq!((code, &*back, &*said), (0, &b"goodbye"[..], ""));
    server.join();
}

#[test]
fn a_server_that_closes_before_it_has_taken_all_of_the_input_is_one_line_and_exit_code_1() {
    // It does not half-close: its system answers what comes later with a RST.
    let server = Peer::start(|mut stream| {
        stream.read_exact(&mut [0; 6]).unwrap();
        stream.write_all(b"goodbye").unwrap();
    });
    let mut child = command(server.addr, &[]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"first\n").unwrap();
    let mut back = [0; 7];
    child.stdout.as_mut().unwrap().read_exact(&mut back).unwrap();
    server.join(); // it has closed
    input.write_all(b"second\n").unwrap();
    drop(input);
    let (code, _, said) = outcome(child.wait_with_output().unwrap());
    assert_eq!((code, &back), (1, b"goodbye"), "{said}");
    assert!(said.starts_with("readyloop: ") && said.lines().count() == 1, "{said}");
    assert!(said.contains(" after 13 bytes") || said.contains("all of the 13 bytes"), "{said}");
}

#[test]
fn requests_that_a_server_in_half_close_still_takes_are_sent_to_it() {
    let (finished, has_finished) = mpsc::channel();
    let server = Peer::start(move |mut stream| {
        stream.read_exact(&mut [0; 6]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        finished.send(()).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"second\n");
    });
    let mut child = command(server.addr, &[]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"first\n").unwrap();
    has_finished.recv().unwrap();
    input.write_all(b"second\n").unwrap();
    drop(input);
    let (code, _, said) = outcome(child.wait_with_output().unwrap());
    assert_eq!((code, &*said), (0, ""));
    server.join();
}

/// Its end, while its standard input stays open and silent.
fn without_end_of_input(mut child: Child) -> (i32, Vec<u8>, String) {
    let input = child.stdin.take();
    let outcome = outcome(child.wait_with_output().unwrap());
    drop(input);
    outcome
}

#[test]
fn a_server_that_has_finished_and_reads_on_gets_all_of_the_input() {
    let bytes = noise(20_000_000);
    let expected = bytes.clone();
    let server = Peer::start(move |mut stream| {
        stream.write_all(b"go on").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert!(all == expected, "{} of {} bytes came", all.len(), expected.len());
    });
    let (code, back, said) = run(command(server.addr, &[]).stdin(file_of(&bytes)));
    assert_eq!((code, &*said), (0, ""));
    assert_eq!(back, b"go on");
    server.join();
}

#[test]
fn a_server_that_has_finished_and_takes_no_more_is_one_line_and_exit_code_1() {
    let (done, is_done) = mpsc::channel::<()>();
    let server = Peer::start(move |stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = is_done.recv();
    });
    let args = ["--timeout", "200ms"];
    let (code, _, said) = run(command(server.addr, &args).stdin(file_of(&noise(20_000_000))));
    assert_eq!(code, 1);
    assert_is_one_line_with(&said, "the server has finished, and took no input for 200ms");
    drop(done);
    server.join();
}

#[test]
fn a_server_that_has_finished_and_does_not_confirm_the_input_is_one_line_and_exit_code_1() {
    // The input fits into the buffers of the two systems, but not into the server's buffer alone.
    let (finish, is_to_finish) = mpsc::channel::<()>();
    let (done, is_done) = mpsc::channel::<()>();
    let server = Peer::start(move |stream| {
        is_to_finish.recv().unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = is_done.recv(); // it never reads
    });
    let args = ["--timeout", "200ms"];
    let mut child = command(server.addr, &args).stdin(Stdio::piped()).spawn().unwrap();
    wait_until("it reads standard input", || has_thread(&child, "sender"));
    child.stdin.take().unwrap().write_all(&noise(500_000)).unwrap();
    wait_until("it has sent all of it", || !has_thread(&child, "sender"));
    finish.send(()).unwrap();
    let (code, _, said) = outcome(child.wait_with_output().unwrap());
    assert_eq!(code, 1);
    let expected = "the server has finished, and did not confirm within 200ms that it got the 500000 bytes that were \
                    sent";
    assert_is_one_line_with(&said, expected);
    drop(done);
    server.join();
}

#[test]
fn large_amounts_go_in_one_direction_alone() {
    let bytes = noise(20_000_000);
    let discards = Server::start(Config::new(), discard());
    let (code, back, said) = run(command(discards.addr, &[]).stdin(file_of(&bytes)));
    assert_eq!((code, &*back, &*said), (0, &b""[..], ""));
    assert_eq!(discards.stop().bytes_in, 20_000_000);

    let all = bytes.clone();
    let server = Peer::start(move |mut stream| stream.write_all(&all).unwrap());
    let (code, back, said) = run(&mut command(server.addr, &[]));
    assert_eq!((code, &*said), (0, ""));
    assert!(back == bytes, "{} of {} bytes came", back.len(), bytes.len());
    server.join();
}

#[test]
fn a_reset_is_one_line_and_exit_code_1_also_after_data() {
    let server = Peer::start(|mut stream| {
        stream.write_all(b"some").unwrap();
        stream.read_exact(&mut [0]).unwrap(); // the client has got it, and says so
        reset(stream);
    });
    let mut child = command(server.addr, &[]).stdin(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 4];
    child.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
    child.stdin.as_mut().unwrap().write_all(b".").unwrap();
    let (code, _, said) = without_end_of_input(child);
    assert_eq!((code, &some), (1, b"some"));
    assert_is_one_line_with(&said, "receiving failed after 4 bytes: Connection reset");
    server.join();
}

#[test]
fn a_reset_while_it_sends_is_one_line_and_exit_code_1() {
    let server = Peer::start(|mut stream| {
        stream.read_exact(&mut [0; 1_000]).unwrap();
        reset(stream);
    });
    let (code, _, said) = run(command(server.addr, &[]).stdin(file_of(&noise(20_000_000))));
    assert_eq!(code, 1, "{said}");
    assert_is_one_line_with(&said, "Connection reset");
    server.join();
}

#[test]
fn a_connection_that_is_reset_at_once_is_one_line_and_exit_code_1() {
    for _ in 0..100 {
        let server = Peer::start(reset);
        let (code, back, said) = run(&mut command(server.addr, &[]));
        assert_eq!((code, &*back), (1, &b""[..]), "{said}");
        assert!(said.starts_with("readyloop: ") && said.lines().count() == 1, "{said}");
        assert!(said.to_lowercase().contains("connection reset"), "{said}");
        server.join();
    }
}

#[test]
fn a_refusal_and_an_unknown_name_are_one_line_and_exit_code_1() {
    let (_keeps, refused) = refusing("127.0.0.1:0");
    let (code, back, said) = run(&mut command(refused, &[]));
    assert_eq!((code, &*back), (1, &b""[..]));
    assert_is_one_line_with(&said, &format!("cannot connect to {refused}: Connection refused"));

    let mut unknown = Command::new(env!("CARGO_BIN_EXE_readyloop"));
    unknown.args(["client", "no-such-host.invalid:7000"]).stdin(Stdio::null());
    let (code, _, said) = run(&mut unknown);
    assert_eq!(code, 1);
    assert_is_one_line_with(&said, "no-such-host.invalid:7000: there is no such address");
}

/// Has a stream not block, as another process may have set it that shares it.
fn no_longer_blocks(stream: &impl std::os::fd::AsFd) {
    rustix::io::ioctl_fionbio(stream, true).unwrap();
}

/// How many bytes wait in a pipe.
fn waiting_in(pipe: &impl std::os::fd::AsFd) -> u64 {
    rustix::io::ioctl_fionread(pipe).unwrap()
}

#[test]
fn row_54_standard_streams_that_do_not_block_are_waited_for() {
    let server = Server::start(Config::new(), Echo);
    let bytes = noise(1_000_000);
    let (input, mut sends) = std::io::pipe().unwrap();
    let (mut receives, output) = std::io::pipe().unwrap();
    no_longer_blocks(&input);
    no_longer_blocks(&output);
    let child = command(server.addr, &[]).stdin(input).stdout(output).spawn().unwrap();
    wait_until("it reads standard input", || has_thread(&child, "sender"));
    let expected = bytes.clone();
    let sends = std::thread::spawn(move || sends.write_all(&bytes).unwrap());
    wait_until("standard output is full", || waiting_in(&receives) > 60_000);
    let mut back = Vec::new();
    receives.read_to_end(&mut back).unwrap();
    sends.join().unwrap();
    let (code, _, said) = outcome(child.wait_with_output().unwrap());
    assert_eq!((code, &*said), (0, ""));
    assert!(back == expected, "{} of {} bytes came back", back.len(), expected.len());
}

#[test]
fn row_54_a_script_waits_for_standard_output_that_does_not_block() {
    let server = Server::start(Config::new(), Echo);
    let (mut receives, output) = std::io::pipe().unwrap();
    no_longer_blocks(&output);
    let message = "x".repeat(99);
    let args = ["--count", "2000", "--every", "0s", "--message", &message];
    let child = command(server.addr, &args).stdout(output).spawn().unwrap();
    wait_until("standard output is full", || waiting_in(&receives) > 60_000);
    let mut replies = String::new();
    receives.read_to_string(&mut replies).unwrap();
    let (code, _, said) = outcome(child.wait_with_output().unwrap());
    assert_eq!((code, replies.lines().count(), replies.len()), (0, 2_000, 200_000), "{said}");
    assert!(said.contains("replies right: 2000, wrong: 0, missing: 0; "), "{said}");
}

#[test]
fn row_54_the_summary_waits_for_standard_error_that_does_not_block() {
    let server = Server::start(Config::new(), Echo);
    let (mut receives, mut output) = std::io::pipe().unwrap();
    output.write_all(&[b'x'; 65_536]).unwrap(); // as much as a pipe holds: pipe(7)
    no_longer_blocks(&output);
    let mut child =
        command(server.addr, &["--message", "hello", "--quiet"]).stderr(output).spawn().unwrap();
    wait_until("it is done with the server", || server.stats().closed == 1);
    let mut said = String::new();
    receives.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_is_one_line_with(said.trim_start_matches('x'), "replies right: 1, wrong: 0");
}

#[test]
fn row_54_a_script_that_waits_for_standard_output_ends_by_a_signal() {
    let server = Server::start(Config::new(), Echo);
    let (receives, output) = std::io::pipe().unwrap();
    let message = "x".repeat(99);
    let args = ["--count", "1000000", "--every", "0s", "--message", &message];
    let child = command(server.addr, &args).stdout(output).spawn().unwrap();
    wait_until("standard output is full", || waiting_in(&receives) > 60_000);
    let _ = kill_process(Pid::from_child(&child), Signal::INT);
    let (code, _, said) = outcome(child.wait_with_output().unwrap());
    assert_eq!(code, 1);
    assert_is_one_line_with(&said, "interrupted: clients: 1; messages sent: ");
    assert!(said.contains(" of 1000000; ") && said.contains(", not printed: "), "{said}");
}

#[test]
fn row_54_what_a_closed_standard_output_does_not_take_is_one_line_and_exit_code_1() {
    let server = Server::start(Config::new(), Endless);
    let mut child = command(server.addr, &[]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 1_000]).unwrap();
    let (code, _, said) = without_end_of_input(child);
    assert_eq!(code, 1);
    assert_is_one_line_with(&said, "standard output: Broken pipe");
}

#[test]
fn row_54_replies_that_a_full_disk_does_not_take_are_counted_and_exit_code_1() {
    let server = Server::start(Config::new(), Echo);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let args = ["--count", "3", "--every", "1ms"];
    let (code, _, said) = run(command(server.addr, &args).stdout(full));
    assert_eq!(code, 1);
    assert_is_one_line_with(&said, "replies right: 3, wrong: 0, missing: 0, not printed: 3; ");
    assert!(said.contains("; first: standard output: No space left"), "{said}");
}

#[test]
fn row_54_a_summary_or_a_help_that_a_full_disk_does_not_take_is_exit_code_1() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let server = Server::start(Config::new(), Echo);
    let args = ["--message", "hello", "--quiet"];
    let (code, ..) = run(command(server.addr, &args).stderr(full()));
    assert_eq!(code, 1);
    let mut help = Command::new(env!("CARGO_BIN_EXE_readyloop"));
    let (code, _, said) = run(help.arg("--help").stdout(full()).stderr(Stdio::piped()));
    assert_eq!(code, 1);
    assert_is_one_line_with(&said, "standard output: No space left");
}

#[test]
fn what_cannot_be_read_or_written_is_one_line_and_exit_code_1() {
    let server = Server::start(Config::new(), Echo);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (code, _, said) =
        run(command(server.addr, &[]).stdin(file_of(b"hello")).stdout(Stdio::from(full)));
    assert_eq!(code, 1);
    assert_is_one_line_with(&said, "standard output: No space left");

    let (code, _, said) = run(command(server.addr, &[]).stdin(File::open("/").unwrap()));
    assert_eq!(code, 1);
    assert_is_one_line_with(&said, "standard input: Is a directory");
}

#[test]
fn a_script_whose_replies_are_right_counts_what_the_server_has_counted() {
    let server = Server::start(Config::new(), Echo);
    let args = ["--every", "5ms", "--count", "4", "--clients", "3"];
    let message = ["--message", "Hello, server {n}, from {client}"];
    let (code, replies, said) = run_script(server.addr, &[&args[..], &message].concat());
    assert_eq!(code, 0);
    let expected = "readyloop: clients: 3; messages sent: 12; replies right: 12, wrong: 0, \
                    missing: 0; connections failed: 0";
    assert!(said.starts_with(expected), "{said}");
    for client in 1..=3 {
        let of_client = format!("{client}: ");
        let its: Vec<_> = replies.lines().filter(|line| line.starts_with(&of_client)).collect();
        let line = |n| format!("{client}: Hello, server {n}, from {client}");
        assert_eq!(its, (1..=4).map(line).collect::<Vec<_>>());
    }
    assert_eq!(replies.lines().count(), 12);
    wait_until("the connections are gone", || server.stats().closed == 3);
    let stats = server.stop();
    assert_eq!((stats.accepted, stats.bytes_in), (3, 12 * 24));
}

#[test]
fn one_client_prints_its_replies_alone_and_the_rest_has_defaults() {
    let server = Server::start(Config::new(), Echo);
    let (code, replies, said) = run_script(server.addr, &["--count", "2", "--every", "1ms"]);
    assert_eq!((code, &*replies), (0, "Hello, server 1\nHello, server 2\n"), "{said}");
    assert!(said.contains("clients: 1; messages sent: 2; replies right: 2,"), "{said}");
    let (code, replies, _) = run_script(server.addr, &["--message", "hello", "--quiet"]);
    assert_eq!((code, &*replies), (0, ""));
    let args = ["--message", "two\nlines", "--no-newline", "--count", "2", "--every", "0s"];
    let (code, replies, said) = run_script(server.addr, &args);
    assert_eq!((code, &*replies), (0, "two\\nlines\ntwo\\nlines\n"), "{said}");
    wait_until("the connections are gone", || server.stats().closed == 3);
    assert_eq!(server.stop().bytes_in, 2 * 16 + 6 + 2 * 9);
}

#[test]
fn no_message_is_sent_before_its_time() {
    let server = Server::start(Config::new(), Echo);
    let begin = Instant::now();
    let (code, _, said) = run_script(server.addr, &["--count", "4", "--every", "50ms"]);
    assert_eq!(code, 0, "{said}");
    assert!(begin.elapsed() >= Duration::from_millis(150));
}

#[test]
fn large_messages_in_pieces_are_compared_whole() {
    let server = Server::start(Config::new(), Echo);
    let message = "all work and no play makes jack a dull boy ".repeat(2_500);
    let args =
        ["--quiet", "--clients", "5", "--count", "3", "--every", "1ms", "--message", &message];
    let (code, _, said) = run_script(server.addr, &args);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("messages sent: 15; replies right: 15,"), "{said}");
}

#[test]
fn wrong_replies_are_counted_shown_without_commanding_the_terminal_and_exit_code_1() {
    let server = Server::start(
        Config::new(),
        from_fn(|conn, input| {
            while let Some(line) = input.take_until(b"\n") {
                match line {
                    b"Hello, server 2" => conn.send(b"\x1b[31mno\n"),
                    right => conn.send(&[right, b"\n"].concat()),
                }
            }
        }),
    );
    let args = ["--clients", "2", "--count", "3", "--every", "1ms"];
    let (code, replies, said) = run_script(server.addr, &args);
    assert_eq!(code, 1);
    let expected = "readyloop: clients: 2; messages sent: 6; replies right: 4, wrong: 2, \
                    missing: 0; connections failed: 0";
    assert!(said.starts_with(expected), "{said}");
    assert!(said.contains("; first: client ") && said.contains(": reply 2 is wrong"), "{said}");
    assert_eq!(replies.matches(": \\u{1b}[31mno\n").count(), 2, "{replies}");
    assert!(!replies.contains('\x1b'), "{replies}");
}

#[test]
fn a_server_that_says_much_more_than_it_was_sent_is_left() {
    let server = Server::start(Config::new(), Endless);
    let (code, _, said) = run_script(server.addr, &["--message", "x", "--no-newline", "--quiet"]);
    assert_eq!(code, 1);
    assert!(said.contains("messages sent: 1; replies right: 0, wrong: 1,"), "{said}");
    let endless = Server::start(Config::new(), from_fn(|conn, _| conn.send(&[b'x'; 200_000])));
    let (code, _, said) = run_script(endless.addr, &["--message", "y"]);
    assert_eq!(code, 1);
    assert!(
        said.contains("replies right: 0, wrong: 1, missing: 0; connections failed: 1"),
        "{said}"
    );
    assert!(said.contains("the server sends much more than it has received"), "{said}");
}

#[test]
fn a_server_that_sends_each_answer_twice_is_wrong_each_time() {
    let twice = from_fn(|conn, input| {
        let answer = input.take().repeat(2);
        conn.send(&answer);
    });
    let server = Server::start(Config::new(), twice);
    for every in ["0s", "20ms"] {
        let args = ["--message", "hi", "--count", "3", "--every", every];
        let (code, replies, said) = run_script(server.addr, &args);
        assert_eq!((code, &*replies), (1, "hi\nhi\nhi\n"), "{said}");
        assert!(said.contains("replies right: 0, wrong: 3, missing: 0;"), "{said}");
        assert!(said.contains("client 1: more came back than was sent"), "{said}");
    }
}

#[test]
fn what_comes_after_the_last_reply_makes_it_wrong() {
    let server = Peer::start(|mut stream| {
        let mut hello = [0; 6];
        stream.read_exact(&mut hello).unwrap();
        stream.write_all(&hello).unwrap();
        assert_eq!(stream.read(&mut hello).unwrap(), 0); // the client has got all of its reply
        stream.write_all(b"goodbye").unwrap();
    });
    let (code, replies, said) = run_script(server.addr, &["--message", "hello"]);
    assert_eq!((code, &*replies), (1, "hello\n"), "{said}");
    assert!(said.contains("replies right: 0, wrong: 1, missing: 0;"), "{said}");
    assert!(said.contains("more came back than was sent, with or after reply 1"), "{said}");
    server.join();
}

#[test]
fn a_server_that_never_finishes_is_not_lingered_for_after_the_time_out() {
    let keeps = from_fn(|conn, input| {
        let echo = input.take().to_vec();
        conn.send(&echo);
        conn.pause(); // so that the end is never seen
    });
    let server = Server::start(Config::new().idle_timeout(None), keeps);
    for clients in ["1", "3"] {
        let begin = Instant::now();
        let args = ["--message", "hello", "--timeout", "2s", "--clients", clients];
        let (code, _, said) = run_script(server.addr, &args);
        assert_eq!(code, 0, "{said}");
        // The library lingers for 5 s unless it is told otherwise.
        assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    }
}

#[test]
fn a_server_that_never_finishes_is_left_after_the_time_out_and_nothing_is_wrong() {
    let (done, is_done) = mpsc::channel::<()>();
    let server = Peer::start(move |mut stream| {
        let mut hello = [0; 6];
        stream.read_exact(&mut hello).unwrap();
        stream.write_all(&hello).unwrap();
        let _ = is_done.recv();
    });
    let args = ["--message", "hello", "--timeout", "1s"];
    let (code, _, said) = run_script(server.addr, &args);
    assert_eq!(code, 0, "{said}");
    drop(done);
    server.join();
}

/// Each connection ends instead of its third answer.
struct Two;

impl Handler for Two {
    type State = u32;

    fn on_open(&mut self, _conn: &mut Conn<'_>) -> Result<u32, BoxError> {
        Ok(0)
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        answered: &mut u32,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        while let Some(line) = input.take_until(b"\n") {
            if *answered == 2 {
                conn.close();
                return Ok(());
            }
            *answered += 1;
            conn.send(&[line, b"\n"].concat());
        }
        Ok(())
    }
}

#[test]
fn a_server_that_closes_early_is_counted_with_what_is_missing() {
    let server = Server::start(Config::new(), Two);
    let args = ["--clients", "3", "--count", "5", "--every", "1ms"];
    let (code, replies, said) = run_script(server.addr, &args);
    assert_eq!((code, replies.lines().count()), (1, 6));
    let expected = "readyloop: clients: 3; messages sent: 9 of 15; replies right: 6, wrong: 0, \
                    missing: 3; connections failed: 3; ";
    assert!(said.starts_with(expected), "{said}");
    assert!(said.contains("the peer finished, after 2 of 5 replies"), "{said}");
    wait_until("the connections are gone", || server.stats().closed == 3);
    assert_eq!(server.stop().accepted, 3);
}

#[test]
fn a_server_that_resets_is_counted_too() {
    let server = Server::start(Config::new(), from_fn(|conn, _| conn.abort()));
    let (code, _, said) = run_script(server.addr, &["--clients", "2", "--count", "5"]);
    assert_eq!(code, 1);
    let expected = "clients: 2; messages sent: 2 of 10; replies right: 0, wrong: 0, \
                    missing: 2; connections failed: 2; first: client ";
    assert!(said.contains(expected) && said.contains("Connection reset"), "{said}");
}

#[test]
fn a_server_that_never_answers_is_left_after_the_time_out() {
    let server = Server::start(Config::new(), discard());
    let args = ["--clients", "3", "--count", "5", "--timeout", "300ms"];
    let (code, replies, said) = run_script(server.addr, &args);
    assert_eq!((code, &*replies), (1, ""));
    let expected = "clients: 3; messages sent: 3 of 15; replies right: 0, wrong: 0, \
                    missing: 3; connections failed: 0; first: client ";
    assert!(said.contains(expected) && said.contains("no reply 1 within 300ms"), "{said}");
}

#[test]
fn a_reply_that_begins_wrong_and_does_not_end_is_a_wrong_one() {
    let handler = from_fn(|conn, input| {
        input.take();
        conn.send(b"no");
        conn.close();
    });
    let server = Server::start(Config::new(), handler);
    let (code, _, said) = run_script(server.addr, &["--message", "hello"]);
    assert_eq!(code, 1);
    let expected = "replies right: 0, wrong: 1, missing: 0; connections failed: 1";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn connections_that_are_refused_are_counted_and_the_first_says_why() {
    let (_keeps, refused) = refusing("127.0.0.1:0");
    let (code, _, said) = run_script(refused, &["--clients", "300"]);
    assert_eq!(code, 1);
    let expected = "clients: 300; messages sent: 0 of 300; replies right: 0, wrong: 0, \
                    missing: 0; connections failed: 300; first: client 1: ";
    assert!(said.contains(expected) && said.contains("Connection refused"), "{said}");
}

#[test]
fn a_signal_sums_up_what_there_is_and_ends_with_exit_code_1() {
    for signal in [Signal::INT, Signal::TERM] {
        let server = Server::start(Config::new(), Echo);
        let args = ["--clients", "3", "--count", "1000000", "--every", "1h"];
        let mut child = command(server.addr, &args).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..3 {
            lines.next().expect("three replies come").unwrap();
        }
        let _ = kill_process(Pid::from_child(&child), signal);
        let (code, _, said) = outcome(child.wait_with_output().unwrap());
        assert_eq!(code, 1, "{said}");
        let expected = "readyloop: interrupted: clients: 3; messages sent: 3 of 3000000; replies right: 3, wrong: 0, \
                    missing: 0; connections failed: 0";
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn a_signal_while_it_connects_ends_it_too() {
    // The backlog is full: the kernel answers no further connection attempt.
    let (full, silent) = refusing("127.0.0.1:0");
    full.listen(0).unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&silent, Duration::from_millis(50)) {
        waiting.push(stream);
    }
    let args = ["--clients", "500", "--timeout", "1h"];
    let child = command(silent, &args).spawn().unwrap();
    let files = format!("/proc/{}/fd", child.id());
    wait_until("it connects", || std::fs::read_dir(&files).is_ok_and(|all| all.count() > 100));
    let _ = kill_process(Pid::from_child(&child), Signal::INT);
    let (code, _, said) = outcome(child.wait_with_output().unwrap());
    assert_eq!(code, 1);
    let expected = "readyloop: interrupted: clients: 500; messages sent: 0 of 500; replies right: 0, \
                    wrong: 0, missing: 0; connections failed: 0\n";
    assert_eq!(said, expected);
}

#[test]
fn row_54_that_refused_reads_the_replies_does_not_end_a_script_and_is_told() {
    let server = Server::start(Config::new(), Echo);
    let mut child = command(server.addr, &["--count", "5", "--every", "1ms"]).spawn().unwrap();
    drop(child.stdout.take());
    let (code, _, said) = outcome(child.wait_with_output().unwrap());
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("clients: 1; messages sent: 5; replies right: 5,"), "{said}");
    assert!(said.contains(", not printed: ") && said.contains("Broken pipe"), "{said}");
    wait_until("the connection is gone", || server.stats().closed == 1);
    assert_eq!(server.stop().bytes_in, 5 * 16);
}

#[test]
fn ten_thousand_clients_each_get_their_replies() {
    let _alone = alone();
    let server = Binary::start(&[]);
    let args = ["--clients", "10000", "--count", "2", "--every", "100ms", "--quiet"];
    let (code, _, said) = run_script(server.addr(), &args);
    assert_eq!(code, 0, "{said}");
    let expected = "clients: 10000; messages sent: 20000; replies right: 20000, wrong: 0, \
                    missing: 0; connections failed: 0\n";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn wrong_usage_of_the_client_is_one_line_that_names_the_flag_and_exit_code_2() {
    let server = SocketAddr::from(([127, 0, 0, 1], 7000));
    for (args, flag) in [
        (&["--quiet"][..], "--message"),
        (&["--no-newline"], "--message"),
        (&["--message", "", "--no-newline"], "--no-newline"),
        (&["--count", "0"], "--count"),
        (&["--count", "-1"], "--count"),
        (&["--clients", "0"], "--clients"),
        (&["--every", "1"], "--every"),
        (&["--timeout", "0s"], "--timeout"),
        (&["--timeout", "off"], "--timeout"),
        (&["another"], "another"),
    ] {
        let (code, _, said) = run(&mut command(server, args));
        assert_eq!(code, 2, "{args:?}: {said}");
        assert_is_one_line_with(&said, flag);
    }
    for args in [&["client"][..], &["client", "7000"], &["client", ":7"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_readyloop"));
        let (code, _, said) = run(command.args(args));
        assert_eq!(code, 2, "{args:?}: {said}");
        assert_is_one_line_with(&said, "<ADDR>");
    }
    let (code, _, said) = run(&mut command(server, &["--clients", "4000000000"]));
    assert_eq!(code, 1);
    assert_is_one_line_with(&said, "--clients 4000000000: the limit of open files is ");
}

fn has_thread(child: &Child, name: &str) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", child.id())) else { return false };
    threads.flatten().any(|thread| {
        std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|text| text.trim() == name)
    })
}
