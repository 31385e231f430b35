//! What a handler is promised: the order of calls, its input, its queue.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc::{Receiver, Sender, channel};

use readyloop::{BoxError, CloseReason, Config, Conn, Handler, Input, from_fn};

use crate::util::*;

/// Echoes lines, upper-cased, and reports why each connection closed.
struct Lines {
    closed: Sender<String>,
}

impl Lines {
    fn new() -> (Self, Receiver<String>) {
        let (closed, reasons) = channel();
        (Self { closed }, reasons)
    }
}

impl Handler for Lines {
    type State = usize;

    fn on_open(&mut self, _conn: &mut Conn<'_>) -> Result<usize, BoxError> {
        Ok(0)
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        lines: &mut usize,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        // One line a call, on purpose: the reactor has to call again.
        if let Some(line) = input.take_until(b"\r\n") {
            *lines += 1;
            match line {
                b"panic" => panic!("asked to {}", "panic"),
                b"fail" => return Err("asked to fail".into()),
                b"close" => conn.close(),
                b"abort" => conn.abort(),
                line => conn.send(&[&line.to_ascii_uppercase()[..], b"\n"].concat()),
            }
        }
        Ok(())
    }

    fn on_eof(
        &mut self,
        conn: &mut Conn<'_>,
        lines: &mut usize,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        conn.send(
            format!("{lines} lines and {:?}", input.take().escape_ascii().to_string()).as_bytes(),
        );
        conn.close();
        Ok(())
    }

    fn on_close(&mut self, _conn: &mut Conn<'_>, _lines: usize, reason: &CloseReason) {
        let _ = self.closed.send(format!("{reason:?}"));
    }
}

#[test]
fn one_message_a_call_is_enough_however_many_come_at_once() {
    let (handler, _) = Lines::new();
    let server = Server::start(Config::new(), handler);
    let mut client = server.connect();
    client.write_all("a\r\n".repeat(10_000).as_bytes()).unwrap();
    client.write_all(b"rest").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let expected = format!("{}10000 lines and \"rest\"", "A\n".repeat(10_000));
    assert!(read_to_end(&mut client) == expected.as_bytes());
}

#[test]
fn a_message_in_pieces_is_kept_until_it_is_whole() {
    let (handler, _) = Lines::new();
    let server = Server::start(Config::new(), handler);
    let mut client = server.connect();
    for (index, byte) in b"hello\r\n".iter().enumerate() {
        client.write_all(&[*byte]).unwrap();
        wait_until("it is read", || server.stats().bytes_in == index as u64 + 1);
    }
    let mut line = [0; 6];
    client.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"HELLO\n");
}

#[test]
fn a_message_of_just_max_input_is_served_and_one_byte_more_is_not() {
    let (handler, reasons) = Lines::new();
    let config = Config::new().max_input(100);
    let server = Server::start(config, handler);

    let mut client = server.connect();
    client.write_all(&[b'x'; 100]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let answer = String::from_utf8(read_to_end(&mut client)).unwrap();
    assert_eq!(answer, format!("0 lines and \"{}\"", "x".repeat(100)));
    assert_eq!(reasons.recv().unwrap(), "PeerFinished");

    let mut client = server.connect();
    client.write_all(b"first\r\n").unwrap();
    client.write_all(&[b'x'; 101]).unwrap();
    assert_eq!(read_to_end(&mut client), b"FIRST\n", "what was queued before still arrives");
    drop(client);
    assert_eq!(reasons.recv().unwrap(), "InputOverflow { limit: 100 }");
}

#[test]
fn the_close_reason_says_how_it_ended() {
    let (handler, reasons) = Lines::new();
    let server = Server::start(Config::new(), handler);
    for (request, expected) in [
        ("close\r\n", "Closed"),
        ("abort\r\n", "Aborted"),
        ("fail\r\n", "Handler(\"asked to fail\")"),
        ("panic\r\n", "Panic(\"asked to panic\")"),
    ] {
        let mut client = server.connect();
        client.write_all(request.as_bytes()).unwrap();
        let end = client.read(&mut [0; 1]);
        let is_cut = request.starts_with("abort") || request.starts_with("panic");
        assert_eq!(end.is_err(), is_cut, "{request}: {end:?}");
        drop(client);
        assert_eq!(reasons.recv().unwrap(), expected);
    }
    let mut client = server.connect();
    echo_line(&mut client);
    reset(client);
    let reason = reasons.recv().unwrap();
    assert!(reason.starts_with("Io(") && reason.contains("ConnectionReset"), "{reason}");
    let mut client = server.connect();
    echo_line(&mut client);
    server.stop();
    assert_eq!(reasons.recv().unwrap(), "Stopped");
    assert!(reasons.try_recv().is_err(), "on_close comes once a connection");
}

fn echo_line(client: &mut std::net::TcpStream) {
    client.write_all(b"x\r\n").unwrap();
    client.read_exact(&mut [0; 2]).unwrap();
}

/// Refuses all connections, with last words.
struct Refusing;

impl Handler for Refusing {
    type State = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
        conn.send(b"go away\n");
        Err("no connection is welcome".into())
    }

    fn on_data(
        &mut self,
        _conn: &mut Conn<'_>,
        _state: &mut (),
        _input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        unreachable!("a refused connection has no callbacks")
    }

    fn on_close(&mut self, _conn: &mut Conn<'_>, (): (), _reason: &CloseReason) {
        unreachable!("a refused connection has no state to give back")
    }
}

#[test]
fn a_refused_connection_gets_its_last_words() {
    let server = Server::start(Config::new(), Refusing);
    let mut client = server.connect();
    client.write_all(b"hello").unwrap();
    assert_eq!(read_to_end(&mut client), b"go away\n");
    drop(client);
    wait_until("its slot is free", || server.stats().closed == 1);
    let stats = server.stop();
    assert_eq!((stats.refused, stats.panics, stats.open), (1, 0, 0));
}

#[test]
fn a_small_limit_of_input_does_not_slow_handlers_that_take_everything() {
    let config = Config::new().max_input(1);
    let server = Server::start(config, from_fn(|conn, input| conn.send(input.take())));
    let mut client = server.connect();
    echo(&mut client, &noise(60_000));
    let reads = server.stats().reads;
    assert!(reads < 1_000, "{reads} reads");
}

#[test]
fn a_peer_that_does_not_read_is_not_read_from() {
    let config = Config::new().high_water(64 * 1024);
    let server = Server::start(config, from_fn(|conn, input| conn.send(input.take())));
    let mut client = server.connect();
    client.set_nonblocking(true).unwrap();
    let chunk = noise(65_536);
    let mut sent = 0;
    // Full when the kernel's buffers of both ends are, and the server takes no more.
    let mut refusals = 0;
    wait_until("the server stops reading", || match client.write(&chunk) {
        Ok(count) => {
            sent += count;
            refusals = 0;
            false
        }
        Err(_) => {
            refusals += 1;
            refusals > 200
        }
    });
    let stats = server.stats();
    let queued = stats.bytes_in - stats.bytes_out;
    assert!(queued <= 2 * 64 * 1024, "{queued} bytes are queued");
    // As soon as it reads, it is served again.
    client.set_nonblocking(false).unwrap();
    let mut back = vec![0; sent];
    client.read_exact(&mut back).unwrap();
    echo(&mut client, &chunk);
}

/// Sends a large answer on each request, but only as fast as it drains.
struct Producer {
    drained: Sender<usize>,
}

impl Handler for Producer {
    type State = usize;

    fn on_open(&mut self, _conn: &mut Conn<'_>) -> Result<usize, BoxError> {
        Ok(0)
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        remaining: &mut usize,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        input.take();
        *remaining = 1_000;
        self.on_low_water(conn, remaining)
    }

    fn on_low_water(&mut self, conn: &mut Conn<'_>, remaining: &mut usize) -> Result<(), BoxError> {
        self.drained.send(conn.info().queued)?;
        while *remaining > 0 && !conn.is_above_high_water() {
            conn.send(&[b'x'; 10_000]);
            *remaining -= 1;
        }
        if *remaining == 0 {
            conn.close();
        }
        Ok(())
    }
}

#[test]
fn a_producer_is_called_whenever_its_queue_has_fallen_to_low_water() {
    let (drained, queued) = channel();
    let config = Config::new().high_water(100_000).low_water(30_000);
    let server = Server::start(config, Producer { drained });
    let mut client = server.connect();
    client.write_all(b"go").unwrap();
    assert_eq!(read_to_end(&mut client).len(), 10_000_000);
    drop(server);
    let queued: Vec<usize> = queued.iter().collect();
    assert!(queued.len() > 10, "called {} times", queued.len());
    assert!(queued.iter().all(|queued| *queued <= 30_000), "called above low water");
}
