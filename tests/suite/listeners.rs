//! Several listeners, inherited ones among them, on real sockets.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::{self, net::UnixListener};
use std::time::{Duration, Instant};

use readyloop::{
    Budgets, Call, Config, Conn, Error, Handler, Input, ListenOptions, Reactor, Result, Server,
    Suspension,
};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use socket2::{Domain, SockRef, Socket, Type};

use crate::util::{DEADLINE, kill_listener};

const ANY_PORT: &str = "127.0.0.1:0";

/// Answers each byte with the tag of the connection's listener.
struct Tags;

impl Handler for Tags {
    type State = ();

    fn on_open(&mut self, _: &mut Conn) -> Result {
        Ok(())
    }

    fn on_data(&mut self, conn: &mut Conn, (): &mut (), input: &mut Input) -> Result {
        for _ in input.take() {
            conn.send(&[u8::try_from(conn.listener_tag())?]);
        }
        Ok(())
    }
}

fn reactor() -> Reactor<Tags> {
    Reactor::new(Config::new(), Tags).unwrap()
}

fn tagged(addr: impl ToSocketAddrs, tag: u64) -> ListenOptions {
    ListenOptions::new(addr).tag(tag)
}

/// Does what a handle has asked for, in the next turn.
fn done<R>(reactor: &mut Reactor<Tags>, call: Call<R>) -> R {
    assert!(reactor.turn(Some(Duration::ZERO)).unwrap().is_continue());
    call.wait(Duration::ZERO).unwrap()
}

fn client(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("the kernel takes it");
    stream.set_nonblocking(true).unwrap();
    stream
}

/// Makes turns until a read brings something or fails.
fn read(reactor: &mut Reactor<Tags>, stream: &mut TcpStream) -> io::Result<u8> {
    let give_up = Instant::now() + DEADLINE;
    let mut byte = [0];
    loop {
        assert!(reactor.turn(Some(Duration::from_millis(1))).unwrap().is_continue());
        match stream.read(&mut byte) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(byte[0]),
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            Err(_) => assert!(Instant::now() < give_up, "waited in vain for an answer"),
        }
    }
}

/// The tag of the listener that a stream came by.
fn ask(reactor: &mut Reactor<Tags>, stream: &mut TcpStream) -> u8 {
    stream.write_all(b"?").expect("the server reads");
    read(reactor, stream).expect("the server answers")
}

fn is_refused(addr: SocketAddr) -> bool {
    let refused = TcpStream::connect(addr).expect_err("no listener is there");
    refused.kind() == ErrorKind::ConnectionRefused
}

#[test]
fn each_listeners_tag_reaches_the_handler() {
    let mut reactor = reactor();
    for tag in [3, 4] {
        let addr = reactor.listen(tagged(ANY_PORT, tag)).unwrap();
        assert_eq!(ask(&mut reactor, &mut client(addr)), tag as u8);
    }
    let addr = reactor.listen(ANY_PORT).unwrap();
    assert_eq!(ask(&mut reactor, &mut client(addr)), 0);
}

#[test]
fn a_listener_is_closed_while_its_connections_stay_and_its_address_is_used_again() {
    let config = Config::new().budgets(Budgets { accepts: 1, ..Budgets::default() });
    let mut reactor = Reactor::new(config, Tags).unwrap();
    let addr = reactor.listen(tagged(ANY_PORT, 1)).unwrap();
    let other = reactor.listen(tagged(ANY_PORT, 2)).unwrap();
    let mut first = client(addr);
    assert_eq!(ask(&mut reactor, &mut first), 1);
    let mut waiting = [client(addr), client(addr)];
    let handle = reactor.handle();
    assert!(done(&mut reactor, handle.close_listener(addr)));
    assert!(!done(&mut reactor, handle.close_listener(addr)));
    assert!(is_refused(addr));
    assert_eq!(ask(&mut reactor, &mut waiting[0]), 1, "it was accepted before");
    let reset = read(&mut reactor, &mut waiting[1]).unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    assert_eq!(ask(&mut reactor, &mut first), 1);
    assert_eq!(ask(&mut reactor, &mut client(other)), 2);

    assert_eq!(reactor.listen(tagged(addr, 3)).unwrap(), addr);
    assert_eq!(ask(&mut reactor, &mut client(addr)), 3);
    assert_eq!(ask(&mut reactor, &mut first), 1);
    assert_eq!(reactor.context().stats().listeners_lost, 0);
}

#[test]
fn a_socket_that_listens_already_is_accepted_from() {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    fcntl_setfd(&listener, FdFlags::empty()).unwrap(); // as a service manager passes it on
    let kept = listener.try_clone().unwrap();
    let mut early = client(listener.local_addr().unwrap());
    let mut reactor = reactor();
    let keep_alive = Duration::from_secs(33);
    let options = ListenOptions::from_std(listener).tag(5).keep_alive(Some(keep_alive));
    let addr = reactor.listen(options).unwrap();
    assert_eq!(addr, kept.local_addr().unwrap());
    assert_eq!(ask(&mut reactor, &mut early), 5, "it had waited in the backlog");
    assert_eq!(ask(&mut reactor, &mut client(addr)), 5);
    assert!(fcntl_getfl(&kept).unwrap().contains(OFlags::NONBLOCK));
    let socket = SockRef::from(&kept);
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), keep_alive);
}

#[test]
fn an_inherited_socket_is_closed_on_exec() {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    fcntl_setfd(&listener, FdFlags::empty()).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut reactor = reactor();
    reactor.listen(ListenOptions::from_std(listener)).unwrap();
    let is_it = |fd: &OwnedFd| {
        SockRef::from(fd).local_addr().ok().and_then(|local| local.as_socket()) == Some(addr)
    };
    // The flag is one of the descriptor, which the reactor holds: this finds it by its number.
    let mut seen = 0;
    for entry in std::fs::read_dir("/proc/self/fdinfo").unwrap() {
        let Ok(entry) = entry else { continue };
        let number: i32 = entry.file_name().into_string().unwrap().parse().unwrap();
        let Ok(info) = std::fs::read_to_string(entry.path()) else { continue };
        if duplicate(number).is_some_and(|fd| is_it(&fd)) {
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
            assert!(flags & OFlags::CLOEXEC.bits() != 0, "{info}");
            seen += 1;
        }
    }
    assert_eq!(seen, 1);
}

/// A descriptor of this process by its number.
fn duplicate(number: i32) -> Option<OwnedFd> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    let process = pidfd_open(getpid(), PidfdFlags::empty()).expect("it runs");
    pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok()
}

/// What the reactor says of a socket that it cannot accept from.
fn refusal(socket: impl Into<OwnedFd>) -> String {
    let socket = TcpListener::from(socket.into());
    match reactor().listen(ListenOptions::from_std(socket)) {
        Err(Error::Config(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sockets_that_do_not_listen_are_refused_with_what_is_missing() {
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let addr = bound.local_addr().unwrap().as_socket().unwrap();
    let says = |addr: &str| {
        format!(
            "the inherited socket on {addr} does not listen: call listen(2) on it before passing it on"
        )
    };
    assert_eq!(refusal(bound), says(&addr.to_string()));

    let udp = UdpSocket::bind(ANY_PORT).unwrap();
    let addr = udp.local_addr().unwrap();
    assert_eq!(refusal(udp), says(&addr.to_string()));

    let listener = TcpListener::bind(ANY_PORT).unwrap();
    SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
    assert!(refusal(listener).contains("does not listen"));

    let connected = TcpStream::connect(TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap());
    assert!(refusal(connected.unwrap()).contains("does not listen"));

    let (reader, _writer) = io::pipe().unwrap();
    assert_eq!(refusal(reader), says("?"));

    let name = format!("readyloop-test-{}", std::process::id());
    let addr = unix::net::SocketAddr::from_abstract_name(name).unwrap();
    let unix = UnixListener::bind_addr(&addr).unwrap();
    assert!(
        refusal(unix).starts_with("the inherited socket is not a TCP socket: getsockname failed: ")
    );
}

#[test]
fn an_inherited_listener_stays_open_while_the_reactor_is_suspended() {
    for how in [Suspension::KeepListening, Suspension::CloseListeners] {
        let listener = TcpListener::bind(ANY_PORT).unwrap();
        let mut reactor = reactor();
        let addr = reactor.listen(ListenOptions::from_std(listener).tag(6)).unwrap();
        let own = reactor.listen(ANY_PORT).unwrap();
        let suspended = reactor.handle().suspend(how);
        done(&mut reactor, suspended);
        if how == Suspension::CloseListeners {
            assert!(is_refused(own));
        }
        let mut waiting = client(addr);
        for _ in 0..10 {
            let _ = reactor.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(reactor.context().stats().accepted, 0);
        let resumed = reactor.handle().resume();
        done(&mut reactor, resumed).unwrap();
        assert_eq!(ask(&mut reactor, &mut waiting), 6, "{how:?}");
        assert_eq!(ask(&mut reactor, &mut client(own)), 0);
    }
}

#[test]
fn an_inherited_listener_that_has_died_is_listened_on_again_by_resume() {
    let mut reactor = reactor();
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let addr = reactor.listen(ListenOptions::from_std(listener).tag(8)).unwrap();
    kill_listener(std::process::id(), addr);
    let give_up = Instant::now() + DEADLINE;
    while reactor.context().stats().listeners_lost == 0 {
        assert!(Instant::now() < give_up, "it is not noticed");
        let _ = reactor.turn(Some(Duration::from_millis(1))).unwrap();
    }
    let resumed = reactor.handle().resume();
    done(&mut reactor, resumed).unwrap();
    assert_eq!(ask(&mut reactor, &mut client(addr)), 8);
}

#[test]
fn a_socket_that_another_process_holds_goes_on_to_listen_for_the_next_reactor() {
    let held = TcpListener::bind(ANY_PORT).unwrap();
    let addr = held.local_addr().unwrap();
    let mut first = reactor();
    first.listen(ListenOptions::from_std(held.try_clone().unwrap()).tag(1)).unwrap();
    assert_eq!(ask(&mut first, &mut client(addr)), 1);
    let closed = first.handle().close_listener(addr);
    assert!(done(&mut first, closed));
    drop(first);
    let mut waiting = client(addr);
    let mut second = reactor();
    second.listen(ListenOptions::from_std(held).tag(2)).unwrap();
    assert_eq!(ask(&mut second, &mut waiting), 2);
}

#[test]
fn a_handle_closes_the_listeners_of_a_server_that_runs_and_adds_others() {
    let mut server = Server::new(Config::new(), 2, |_| Tags).unwrap();
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let addr = server.listen(ListenOptions::from_std(listener).tag(9)).unwrap();
    let handle = server.handle();
    let running = std::thread::spawn(move || server.run());
    let tag_of_newcomer = || {
        let mut stream = crate::util::connect(addr);
        stream.write_all(b"?").unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        byte[0]
    };
    assert_eq!([(); 4].map(|()| tag_of_newcomer()), [9; 4]);
    assert!(handle.close_listener(addr).wait(DEADLINE).unwrap());
    assert!(!handle.close_listener(addr).wait(DEADLINE).unwrap());
    assert!(is_refused(addr));
    assert_eq!(handle.listen(tagged(addr, 3)).wait(DEADLINE).unwrap().unwrap(), addr);
    assert!(matches!(
        handle.listen(tagged(addr, 4)).wait(DEADLINE).unwrap(),
        Err(Error::Listen { .. })
    ));
    assert_eq!([(); 4].map(|()| tag_of_newcomer()), [3; 4]);
    assert_eq!(handle.stats().listeners_lost, 0);
    handle.stop();
    running.join().unwrap().unwrap();
}

#[test]
fn the_descriptor_of_a_refused_socket_is_closed() {
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let addr = bound.local_addr().unwrap().as_socket().unwrap();
    refusal(bound);
    let again = TcpListener::bind(addr).expect("the address is free");
    assert!(fcntl_getfd(&again).unwrap().contains(FdFlags::CLOEXEC));
}
