//! The client that blocks.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use readyloop::services::Echo;
use readyloop::{Client, Config, from_fn};

use crate::endless::Endless;
use crate::util::*;

fn client_of(server: &Peer) -> Client {
    Client::connect(server.addr, DEADLINE).unwrap()
}

#[test]
fn without_an_address_it_says_so() {
    let error = Client::connect(&[][..], Duration::from_secs(10)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "there is no address to connect to");
}

#[test]
fn a_client_asks_line_by_line_and_closes_in_order() {
    let server = Server::start(Config::new(), Echo);
    let mut client = Client::connect(server.addr, DEADLINE).unwrap();
    for number in 1..=100 {
        let message = format!("Hello, server {number}");
        assert_eq!(client.request(message.as_bytes(), b"\n").unwrap(), message.as_bytes());
    }
    client.close().unwrap();
    wait_until("the connection is gone", || server.stats().closed == 1);
    let stats = server.stop();
    assert_eq!((stats.traffic.bytes_in, stats.traffic.bytes_out), (1_692, 1_692));
}

#[test]
fn an_answer_in_pieces_is_put_together_whatever_is_asked_for() {
    let server = Peer::start(|mut stream| {
        // Each piece is asked for, so that none can be joined with the next on the way.
        for piece in [&b"one\r"[..], b"\ntwo\r\nth", b"ree", b"\r\n12", b"345", b"67", b"the end"] {
            stream.read_exact(&mut [0]).unwrap();
            stream.write_all(piece).unwrap();
        }
    });
    let mut client = client_of(&server);
    client.send(b"..").unwrap();
    assert_eq!(client.receive_until(b"\r\n").unwrap(), b"one");
    assert_eq!(client.receive_until(b"\r\n").unwrap(), b"two", "it came with the first");
    client.send(b"...").unwrap();
    assert_eq!(client.receive_until(b"\r\n").unwrap(), b"three");
    assert_eq!(client.receive_exact(5).unwrap(), b"12345");
    client.send(b".").unwrap();
    assert_eq!(client.receive_exact(2).unwrap(), b"67");
    client.send(b".").unwrap();
    assert_eq!(client.receive().unwrap(), b"the end");
    assert_eq!(client.receive().unwrap(), b"", "the server has finished");
    assert_eq!(client.receive_to_end().unwrap(), b"");
    server.join();
}

#[test]
fn a_delimiter_may_come_in_two_pieces_and_a_line_in_single_bytes() {
    let line = noise(2_000).escape_ascii().to_string();
    let sent = format!("{line}\r\n{line}\r\n");
    let server = Peer::start(move |mut stream| {
        for byte in sent.as_bytes() {
            stream.write_all(&[*byte]).unwrap();
        }
    });
    let mut client = client_of(&server);
    for _ in 0..2 {
        assert_eq!(client.receive_until(b"\r\n").unwrap(), line.as_bytes());
    }
    server.join();
}

#[test]
fn a_time_out_loses_nothing_of_what_has_come_before_it() {
    let (go_on, is_asked) = mpsc::channel();
    let server = Peer::start(move |mut stream| {
        stream.write_all(b"half ").unwrap();
        is_asked.recv().unwrap();
        stream.write_all(b"a line\n").unwrap();
    });
    let mut client = client_of(&server);
    wait_until("the first half has come", || {
        client.set_timeout(Some(Duration::from_millis(1)));
        let error = client.receive_until(b"\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        error.to_string() == "the time-out of 1ms ran out after 5 bytes without \"\\n\""
    });
    let error = client.receive_exact(10).unwrap_err();
    assert_eq!(error.to_string(), "the time-out of 1ms ran out after 5 of 10 bytes");
    let error = client.receive_to_end().unwrap_err();
    assert_eq!(error.to_string(), "the time-out of 1ms ran out after 5 bytes, before the end");
    client.set_timeout(Some(DEADLINE));
    go_on.send(()).unwrap();
    assert_eq!(client.receive_until(b"\n").unwrap(), b"half a line");
    server.join();
}

#[test]
fn a_time_out_is_for_the_whole_call_however_often_something_comes() {
    let server = Peer::start(|mut stream| {
        // Until the client has gone.
        while stream.write_all(b".").is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let mut client = client_of(&server);
    client.set_timeout(Some(Duration::from_millis(50)));
    let begin = Instant::now();
    let error = client.receive_until(b"\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(begin.elapsed() >= Duration::from_millis(50));
    assert!(begin.elapsed() < DEADLINE);
    drop(client);
    server.join();
}

#[test]
fn a_time_of_0_takes_what_is_there_and_none_is_for_ever() {
    let server = Server::start(Config::new(), Echo);
    let mut client = Client::connect(server.addr, DEADLINE).unwrap();
    client.set_timeout(Some(Duration::ZERO));
    assert_eq!(client.receive().unwrap_err().kind(), ErrorKind::TimedOut);
    client.send(b"hello").unwrap();
    let mut received = Vec::new();
    wait_until("the answer is there", || {
        received = client.receive().unwrap_or_default();
        !received.is_empty()
    });
    assert_eq!(received, b"hello");
    for endless in [None, Some(Duration::MAX)] {
        client.set_timeout(endless);
        assert_eq!(client.request(b"hello", b"\n").unwrap(), b"hello");
    }
}

#[test]
fn a_server_that_ends_too_early_is_an_error_that_says_how_far_it_came() {
    let server = Peer::start(|mut stream| stream.write_all(b"abc").unwrap());
    let mut client = client_of(&server);
    let error = client.receive_exact(10).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(error.to_string(), "the server ended the connection after 3 of 10 bytes");
    let error = client.receive_until(b"\r\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    let text = "the server ended the connection after 3 bytes without \"\\r\\n\"";
    assert_eq!(error.to_string(), text);
    assert_eq!(client.receive_to_end().unwrap(), b"abc", "nothing was lost");
    client.close().unwrap();
    server.join();
}

#[test]
fn a_reset_is_an_error_and_stays_one() {
    let server = Peer::start(|mut stream| {
        stream.write_all(b"abc").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        reset(stream);
    });
    let mut client = client_of(&server);
    assert_eq!(client.receive_exact(3).unwrap(), b"abc");
    client.send(b".").unwrap();
    for _ in 0..2 {
        let error = client.receive().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        assert_eq!(error.to_string(), "the connection was reset before anything came");
    }
    let error = client.receive_exact(7).unwrap_err();
    assert_eq!(error.to_string(), "the connection was reset after 0 of 7 bytes");
    assert_eq!(client.shutdown_write().unwrap_err().kind(), ErrorKind::ConnectionReset);
    let error = client.close().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    server.join();
}

#[test]
fn a_connection_that_is_reset_at_once_is_reset_whichever_call_learns_it() {
    for _ in 0..100 {
        let server = Peer::start(reset);
        let received =
            Client::connect(server.addr, DEADLINE).and_then(|mut client| client.receive());
        assert_eq!(received.unwrap_err().kind(), ErrorKind::ConnectionReset);
        server.join();
    }
}

#[test]
fn a_reset_that_sending_has_met_is_no_orderly_end_for_receiving() {
    let server = Peer::start(|mut stream| {
        stream.read_exact(&mut [0]).unwrap();
        reset(stream);
    });
    let mut client = client_of(&server);
    let mut failed = None;
    wait_until("sending fails", || {
        failed = client.send(b".").err();
        failed.is_some()
    });
    let failed = failed.unwrap();
    assert_eq!(failed.kind(), ErrorKind::ConnectionReset);
    assert_eq!(failed.to_string(), "the connection was reset after 0 of 1 bytes were sent");
    assert_eq!(client.receive_to_end().unwrap_err().kind(), ErrorKind::ConnectionReset);
    server.join();
}

#[test]
fn a_half_closed_client_still_receives_and_sends_no_more() {
    let server = Server::start(Config::new(), Echo);
    let mut client = Client::connect(server.addr, DEADLINE).unwrap();
    let bytes = noise(100_000);
    client.send(&bytes).unwrap();
    client.shutdown_write().unwrap();
    client.shutdown_write().unwrap();
    let error = client.send(b"more").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
    assert!(client.receive_to_end().unwrap() == bytes);
    assert_eq!(client.receive().unwrap(), b"");
}

#[test]
fn closing_fails_if_the_server_had_closed_before_it_got_all_that_was_sent() {
    let server = Peer::start(|mut stream| {
        stream.read_exact(&mut [0; 5]).unwrap();
        stream.write_all(b"goodbye").unwrap();
    });
    let mut client = client_of(&server);
    client.send(b"first").unwrap();
    assert_eq!(client.receive_to_end().unwrap(), b"goodbye");
    server.join(); // it has closed
    client.send(b"second").unwrap(); // it waits in this system
    assert_eq!(client.close().unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn closing_gives_all_to_a_server_that_has_finished_and_reads_on() {
    let server = Peer::start(|mut stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut stream), noise(100_000));
    });
    let mut client = client_of(&server);
    assert_eq!(client.receive().unwrap(), b"");
    client.send(&noise(100_000)).unwrap();
    client.close().unwrap();
    server.join();
}

#[test]
fn large_amounts_go_in_one_direction_at_a_time() {
    let bytes = noise(20_000_000);
    let discard = Server::start(Config::new(), discard());
    let mut client = Client::connect(discard.addr, DEADLINE).unwrap();
    client.send(&bytes).unwrap();
    client.close().unwrap();
    assert_eq!(discard.stop().traffic.bytes_in, 20_000_000);

    let all = bytes.clone();
    let server = Peer::start(move |mut stream| stream.write_all(&all).unwrap());
    let mut client = client_of(&server);
    client.set_limit(bytes.len());
    assert!(client.receive_to_end().unwrap() == bytes);
    server.join();
}

#[test]
fn sending_more_than_anybody_holds_ends_by_the_time_out_and_says_how_much_went_out() {
    let (done, is_done) = mpsc::channel::<()>();
    let server = Peer::start(move |_stream| {
        let _ = is_done.recv(); // it never reads
    });
    let mut client = client_of(&server);
    client.set_timeout(Some(Duration::from_millis(100)));
    let error = client.send(&vec![7; 50_000_000]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let text = error.to_string();
    let sent = text.strip_prefix("the time-out of 100ms ran out after ");
    let sent =
        sent.and_then(|rest| rest.strip_suffix(" of 50000000 bytes were sent")).expect(&text);
    assert!((1..50_000_000).contains(&sent.parse().unwrap()), "{text}");
    drop(done);
    server.join();
}

#[test]
fn more_than_the_limit_is_an_error_and_what_came_stays() {
    let server = Peer::start(|mut stream| stream.write_all(b"12345\n123456\n").unwrap());
    let mut client = client_of(&server);
    client.set_limit(5);
    assert_eq!(client.receive_until(b"\n").unwrap(), b"12345");
    let error = client.receive_until(b"\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "no \"\\n\" stands in the first 5 bytes, which is the limit");
    let error = client.receive_to_end().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "more than 5 bytes came, which is the limit");
    client.set_limit(7);
    assert_eq!(client.receive_until(b"").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(client.receive_to_end().unwrap(), b"123456\n");
    server.join();

    // Nor does a server that never says the delimiter fill the memory.
    let endless = Server::start(Config::new(), Endless);
    let mut client = Client::connect(endless.addr, DEADLINE).unwrap();
    client.set_limit(1_000_000);
    let error = client.receive_until(b"a delimiter").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
}

#[test]
fn closing_gives_the_server_the_last_message_though_its_answers_were_never_read() {
    let (tell, told) = mpsc::channel();
    let shout = from_fn(move |conn, input| {
        tell.send(input.take().to_vec()).unwrap();
        conn.send(&[b'.'; 10_000]);
    });
    let server = Server::start(Config::new(), shout);
    let mut client = Client::connect(server.addr, DEADLINE).unwrap();
    for number in 0..10_u8 {
        client.send(&[number]).unwrap();
    }
    client.close().unwrap();
    wait_until("the connection is gone", || server.stats().closed == 1);
    drop(server);
    assert_eq!(told.iter().flatten().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
}

#[test]
fn closing_a_connection_that_the_server_keeps_ends_by_the_time_out() {
    let (done, is_done) = mpsc::channel::<()>();
    let server = Peer::start(move |_stream| {
        let _ = is_done.recv();
    });
    let mut client = client_of(&server);
    client.set_timeout(Some(Duration::from_millis(10)));
    let error = client.close().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "the time-out of 10ms ran out before the server had finished");
    drop(done);
    server.join();
}

#[test]
fn the_first_address_that_answers_is_taken_and_a_refusal_names_them_all() {
    let server = Server::start(Config::new(), Echo);
    let (_keeps_one, one) = refusing("127.0.0.1:0");
    let (_keeps_two, two) = refusing("[::1]:0");
    let mut client = Client::connect(&[one, two, server.addr][..], DEADLINE).unwrap();
    assert_eq!(client.peer_addr(), server.addr);
    assert_eq!(client.request(b"hello", b"\n").unwrap(), b"hello");

    let error = Client::connect(&[one, two][..], DEADLINE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot connect to {one}: ")), "{text}");
    assert!(text.contains(&format!("; {two}: ")), "{text}");

    let error = Client::connect(&[][..], DEADLINE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = Client::connect("no-such-host.invalid:7", DEADLINE).unwrap_err();
    assert!(error.to_string().starts_with("the name has no address"), "{error}");
}

#[test]
fn an_address_that_does_not_answer_leaves_the_next_one_its_share_of_the_time() {
    // A backlog that is full: the kernel answers no more who want to connect.
    let (full, silent) = refusing("127.0.0.1:0");
    full.listen(0).unwrap();
    let short = Duration::from_millis(200);
    let mut waiting = Vec::new();
    let error = loop {
        match Client::connect(silent, short) {
            Ok(client) => waiting.push(client),
            Err(error) => break error,
        }
        assert!(waiting.len() < 100, "the backlog has room without end");
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    let server = Server::start(Config::new(), Echo);
    let client = Client::connect(&[silent, server.addr][..], Duration::from_secs(2)).unwrap();
    assert_eq!(client.peer_addr(), server.addr);
}

#[test]
fn what_came_and_was_not_asked_for_goes_with_the_socket() {
    let server = Peer::start(|mut stream| {
        stream.write_all(b"line\nrest").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream.write_all(b" and more").unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    });
    let mut client = client_of(&server);
    assert_eq!(client.receive_until(b"\n").unwrap(), b"line");
    let (mut stream, mut received) = client.into_parts().unwrap();
    assert_eq!(stream.read_timeout().unwrap(), None);
    stream.write_all(b".").unwrap();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"rest and more");
    server.join();
}
