//! Outbound connections, on real sockets.

use std::error::Error as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use readyloop::{
    Addr, BoxError, CloseReason, Config, Conn, ConnId, ConnectOptions, Context, Handle, Handler,
    Input, Server as Reactors,
};
use socket2::{Domain, Socket, Type};

use crate::util::*;

#[path = "../../examples/proxy.rs"]
mod proxy;

use proxy::Proxy;

/// What has become of a connection.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Open { is_outbound: bool, peer: Addr },
    Data(Vec<u8>),
    Failed { step: &'static str, kind: ErrorKind },
}

/// Reports everything; says hello on outbound connections, and answers inbound ones.
struct Teller(Sender<News>);

impl Teller {
    fn tell(&self, news: News) {
        self.0.send(news).expect("the test waits for it");
    }
}

impl Handler for Teller {
    type State = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
        self.tell(News::Open { is_outbound: conn.is_outbound(), peer: conn.peer_addr() });
        if conn.is_outbound() {
            conn.send(b"hello");
        }
        Ok(())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        (): &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        if !conn.is_outbound() {
            conn.send(input.take());
        } else if let Some(all) = input.take_exact(5) {
            self.tell(News::Data(all.to_vec()));
        }
        Ok(())
    }

    fn on_connect_failed(&mut self, _: &mut Context<'_>, _: ConnId, reason: &CloseReason) {
        let CloseReason::NotConnected(error) = reason else { panic!("{reason:?}") };
        assert!(reason.source().is_some());
        let last = error.attempts().last().expect("one was tried");
        self.tell(News::Failed { step: last.step, kind: last.source.kind() });
    }
}

fn teller() -> (Server, Receiver<News>) {
    let (sender, news) = mpsc::channel();
    (Server::start(Config::new(), Teller(sender)), news)
}

fn next(news: &Receiver<News>) -> News {
    news.recv_timeout(DEADLINE).expect("something becomes of it")
}

/// The outbound connection to this address has been opened.
fn opened(addr: SocketAddr) -> News {
    News::Open { is_outbound: true, peer: addr.into() }
}

fn connect<const N: usize>(handle: &Handle, addrs: [SocketAddr; N], options: &ConnectOptions) {
    let options = options.clone();
    let connect = move |reactor: &mut Context| {
        reactor.connect(&addrs, &options);
    };
    handle.post(0, connect).expect("the mailbox has room");
}

#[test]
fn one_reactor_calls_and_is_called_at_the_same_time() {
    let (server, news) = teller();
    let (_kept, closed) = refusing("127.0.0.1:0");
    connect(&server.handle, [closed, server.addr], &ConnectOptions::new());
    let mut all = [next(&news), next(&news), next(&news)];
    all.sort_by_key(|news| matches!(news, News::Data(_)) as u8);
    assert!(all.contains(&opened(server.addr)), "{all:?}");
    assert!(all[..2].iter().any(|news| matches!(news, News::Open { is_outbound: false, .. })));
    assert_eq!(all[2], News::Data(b"hello".to_vec()));
}

#[test]
fn an_outbound_connections_peer_may_send_first() {
    let (server, news) = teller();
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let addr = listener.local_addr().unwrap();
    connect(&server.handle, [addr], &ConnectOptions::new());
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"first").unwrap();
    assert_eq!(next(&news), opened(addr));
    assert_eq!(next(&news), News::Data(b"first".to_vec()));
    let mut hello = [0; 5];
    peer.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
}

#[test]
fn each_failure_names_its_cause() {
    let (server, news) = teller();
    let failed = |addr, options: &ConnectOptions| {
        connect(&server.handle, [addr], options);
        match next(&news) {
            News::Failed { step, kind } => (step, kind),
            other => panic!("{other:?}"),
        }
    };
    let options = ConnectOptions::new();
    let (kept, closed) = refusing("127.0.0.1:0");
    assert_eq!(failed(closed, &options), ("connect", ErrorKind::ConnectionRefused));

    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0)); // RFC 5737: no host has this address
    let from_elsewhere = options.clone().source(Some(elsewhere));
    assert_eq!(failed(server.addr, &from_elsewhere), ("bind", ErrorKind::AddrNotAvailable));

    // A backlog that is full: the kernel drops further SYNs.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let addr = full.local_addr().unwrap().as_socket().unwrap();
    let _waits = std::net::TcpStream::connect(addr).unwrap();
    let soon = options.clone().timeout(Duration::from_millis(300));
    assert_eq!(failed(addr, &soon), ("connect", ErrorKind::TimedOut));

    // A port that calls itself meets itself, and would echo to itself for ever.
    drop(kept);
    let from_own = options.source(Some(closed));
    assert_eq!(failed(closed, &from_own), ("connect", ErrorKind::ConnectionRefused));
    assert_eq!(server.stop().not_connected, 4);
}

/// So much time that a connection which waits for it never comes to an end within a test.
const AN_HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn row_42_an_address_of_a_family_that_the_source_is_not_of_leads_to_the_next_at_once() {
    let (server, news) = teller();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let right = listener.local_addr().unwrap();
    let wrong = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, right.port()));
    let source = SocketAddr::from(([127, 0, 0, 77], 0));
    let options = ConnectOptions::new().source(Some(source)).timeout(AN_HOUR);
    connect(&server.handle, [wrong, wrong, right], &options);
    assert_eq!(next(&news), opened(right));
}

#[test]
fn row_43_a_source_without_a_free_port_fails_at_once_with_that_cause() {
    let (server, news) = teller();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (_kept, taken) = refusing("127.0.0.78:0");
    let options = ConnectOptions::new().source(Some(taken)).timeout(AN_HOUR);
    for _ in 0..3 {
        connect(&server.handle, [addr], &options);
        assert_eq!(next(&news), News::Failed { step: "bind", kind: ErrorKind::AddrInUse });
    }
}

#[test]
fn the_source_address_is_the_one_that_is_asked_for() {
    let (server, news) = teller();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let source = SocketAddr::from(([127, 0, 0, 77], 0));
    let options = ConnectOptions::new().source(Some(source));
    connect(&server.handle, [listener.local_addr().unwrap()], &options);
    let (_peer, addr) = listener.accept().unwrap();
    assert_eq!(addr.ip(), source.ip());
    assert!(matches!(next(&news), News::Open { .. }));
}

#[test]
fn a_thousand_calls_at_once_are_all_answered_by_two_reactors() {
    let (sender, news) = mpsc::channel();
    let mut server = Reactors::new(Config::new(), 2, move |_| Teller(sender.clone())).unwrap();
    let addr = server.listen("127.0.0.1:0").unwrap();
    let handle = server.handle();
    let thread = std::thread::spawn(move || server.run());
    for index in 0..1_000 {
        let connect = move |reactor: &mut Context| {
            reactor.connect(&[addr], &ConnectOptions::new());
        };
        handle.post(index % 2, connect).unwrap();
    }
    let mut answers = 0;
    while answers < 1_000 {
        answers += usize::from(next(&news) == News::Data(b"hello".to_vec()));
    }
    let callers = handle.connections(DEADLINE).unwrap();
    let callers = callers.iter().filter(|conn| conn.listener.is_none());
    let of_first = callers.filter(|conn| conn.reactor == 0).count();
    assert_eq!(of_first, 500);
    handle.stop();
    thread.join().unwrap().unwrap();
}

#[test]
fn a_proxy_passes_twenty_megabytes_and_the_half_close_to_a_slow_reader() {
    let echo = Server::start(Config::new(), readyloop::Echo);
    let (_kept, closed) = refusing("127.0.0.1:0");
    let proxy = Server::start(Config::new(), Proxy::new(vec![closed, echo.addr]));
    let bytes = noise(20_000_000);
    let pace = || std::thread::yield_now();
    let back = half_close_echo(proxy.connect(), &bytes, pace);
    assert!(back == bytes, "{} of {} bytes came back", back.len(), bytes.len());
    wait_until("both sides have closed", || proxy.stats().open == 0);
}

#[test]
fn a_proxy_without_a_server_resets_its_client() {
    let (_kept, closed) = refusing("127.0.0.1:0");
    let proxy = Server::start(Config::new(), Proxy::new(vec![closed]));
    let mut client = proxy.connect();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_client_that_resets_in_the_midst_of_an_upload_does_not_look_whole_behind_a_proxy() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr().unwrap();
    let proxy = Server::start(Config::new(), Proxy::new(vec![addr]));
    let mut client = proxy.connect();
    let (mut upstream, _) = server.accept().unwrap();
    upstream.set_read_timeout(Some(DEADLINE)).unwrap();
    client.set_nonblocking(true).unwrap();
    wait_until("all buffers are full", || {
        while client.write(&noise(64 * 1024)).is_ok() {}
        proxy.stats().waiting_bytes > 0
    });
    upstream.write_all(b"meanwhile").unwrap();
    reset(client);
    let mut chunk = vec![0; 64 * 1024];
    let end = loop {
        // The first system call returns the reset; after that reading ends in order.
        if let Err(error) = upstream.write_all(b"meanwhile") {
            break Some(error.kind());
        }
        match upstream.read(&mut chunk) {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) => break Some(error.kind()),
        }
    };
    assert_eq!(end, Some(ErrorKind::ConnectionReset));
}
