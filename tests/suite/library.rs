//! What a user of the library is promised.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use readyloop::{Config, Echo, Error, ListenOptions, Reactor, from_fn};

use crate::util::*;

#[test]
fn what_is_sent_comes_back() {
    let server = Server::start(Config::new(), Echo);
    let mut client = server.connect();
    for size in [1, 64, 65_536, 1_000_000] {
        echo_in_pieces(&mut client, &noise(size));
    }
    drop(client);
    wait_until("the connection is gone", || server.stats().closed == 1);
    let stats = server.stop();
    assert_eq!((stats.accepted, stats.open), (1, 0));
    assert_eq!(stats.bytes_in, 1_065_601);
    assert_eq!(stats.bytes_out, 1_065_601);
}

fn echo_in_pieces(client: &mut TcpStream, bytes: &[u8]) {
    for piece in bytes.chunks(65_536) {
        echo(client, piece);
    }
}

#[test]
fn a_half_closed_client_gets_everything_and_then_a_fin() {
    let server = Server::start(Config::new(), Echo);
    let bytes = noise(20_000_000);
    let back = half_close_echo(server.connect(), &bytes, || {});
    assert!(back == bytes, "{} of {} bytes came back", back.len(), bytes.len());
}

#[test]
fn one_reactor_serves_several_listeners_and_tells_them_apart() -> Result<(), Error> {
    let handler = from_fn(|conn, input| {
        input.take();
        let text = conn.info().listener.map_or_else(String::new, |addr| addr.to_string());
        conn.send(text.as_bytes());
        conn.close();
    });
    let mut reactor = Reactor::new(Config::new(), handler)?;
    let addrs = [reactor.listen("127.0.0.1:0")?, reactor.listen("[::1]:0")?];
    let stopper = reactor.handle();
    let client = std::thread::spawn(move || {
        for addr in addrs {
            let mut client = connect(addr);
            client.write_all(b"?").unwrap();
            assert_eq!(read_to_end(&mut client), addr.to_string().as_bytes());
        }
        stopper.stop();
    });
    reactor.run()?;
    client.join().expect("both listeners answered");
    Ok(())
}

#[test]
fn an_ipv6_wildcard_takes_ipv4_too_unless_asked_not_to() -> Result<(), Error> {
    let mut reactor = Reactor::new(Config::new(), Echo)?;
    let both = reactor.listen("[::]:0")?;
    assert!(TcpStream::connect(("127.0.0.1", both.port())).is_ok());
    assert!(TcpStream::connect(("::1", both.port())).is_ok());
    assert!(TcpListener::bind(("127.0.0.1", both.port())).is_err());
    // The IPv4 port of the same number may belong to another process, but not every time.
    for _ in 0..100 {
        let only_v6 = reactor.listen(ListenOptions::new("[::]:0").only_v6(true))?;
        assert!(TcpStream::connect(("::1", only_v6.port())).is_ok());
        if TcpListener::bind(("127.0.0.1", only_v6.port())).is_ok() {
            return Ok(());
        }
    }
    panic!("IPv4 is never left alone")
}

#[test]
fn an_address_in_use_is_refused_with_its_name_and_the_cause() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let mut reactor = Reactor::new(Config::new(), Echo).unwrap();
    let error = reactor.listen(addr).unwrap_err();
    assert!(matches!(&error, Error::Listen { addr: named, source, .. }
        if *named == addr && source.kind() == std::io::ErrorKind::AddrInUse));
}

#[test]
fn a_turn_that_has_nothing_to_do_waits_as_long_as_it_may() -> Result<(), Error> {
    let mut reactor = Reactor::new(Config::new(), Echo)?;
    let addr = reactor.listen("127.0.0.1:0")?;
    let _client = connect(addr);
    let timeout = Duration::from_millis(20);
    wait_until("it is accepted and its first edges are past", || {
        let start = Instant::now();
        assert!(reactor.turn(Some(timeout)).unwrap().is_continue());
        reactor.context().stats().open == 1 && start.elapsed() >= timeout
    });
    Ok(())
}

#[test]
fn a_stopped_reactor_stays_stopped() -> Result<(), Error> {
    let mut reactor = Reactor::new(Config::new(), Echo)?;
    let addr = reactor.listen("127.0.0.1:0")?;
    reactor.handle().stop();
    assert!(reactor.turn(None)?.is_break());
    assert!(reactor.turn(None)?.is_break());
    assert!(TcpStream::connect(addr).is_err(), "the listener is closed");
    assert!(matches!(reactor.listen("127.0.0.1:0"), Err(Error::Stopped)));
    Ok(())
}
