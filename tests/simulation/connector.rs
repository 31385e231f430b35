//! Outbound connections.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Answer, Clock, Ending, Faults, Peer, Reading, Rng, World};
use readyloop::{
    BoxError, Budgets, CloseReason, Config, Conn, ConnId, ConnectOptions, Context, Handler, Input,
    SendError, TimerKey,
};

#[path = "../../examples/proxy.rs"]
mod proxy;

use proxy::Proxy;

const SECOND: Duration = Duration::from_secs(1);
const TICK: TimerKey = TimerKey(0);

fn remote(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 7))
}

/// Echoes, and writes down what becomes of connections.
#[derive(Clone, Default)]
struct Diary {
    lines: Rc<RefCell<Vec<String>>>,
    /// Connects from inside of callbacks: this often, to this address.
    tries_again: Option<(usize, SocketAddr)>,
}

impl Diary {
    fn note(&self, line: String) {
        self.lines.borrow_mut().push(line);
    }

    fn take(&self) -> Vec<String> {
        self.lines.take()
    }

    fn try_again(&mut self, reactor: &mut Context<'_>) {
        if let Some((left @ 1.., addr)) = &mut self.tries_again {
            *left -= 1;
            reactor.connect(&[*addr], &ConnectOptions::new());
        }
    }
}

impl Handler for Diary {
    type State = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
        let direction = if conn.is_outbound() { "out" } else { "in" };
        let ip = conn.peer_addr().ip().expect("there are no other addresses");
        self.note(format!("{} open {direction} {ip}", conn.id()));
        assert_eq!(conn.info().listener.is_none(), conn.is_outbound());
        Ok(())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        (): &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        conn.send(input.take());
        Ok(())
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, (): (), reason: &CloseReason) {
        self.note(format!("{} close: {reason}", conn.id()));
    }

    fn on_connect_failed(&mut self, reactor: &mut Context<'_>, id: ConnId, reason: &CloseReason) {
        self.note(format!("{id} failed: {reason}"));
        self.try_again(reactor);
    }

    fn on_tick(&mut self, reactor: &mut Context<'_>, _key: TimerKey) {
        self.try_again(reactor);
    }
}

fn world(config: Config) -> (World<Diary>, Diary) {
    let diary = Diary::default();
    (World::new(1, config, diary.clone()).unwrap(), diary)
}

#[test]
fn an_outbound_connection_is_served_like_any_other() {
    let (mut world, diary) = world(Config::new());
    world.answer(remote(1), Answer::Accept);
    let id = world.reactor().context().connect(&[remote(1)], &ConnectOptions::new());
    let _ = world.run_until_still();
    let peer = world.dialled().pop().unwrap();
    assert_eq!(peer.addr(), remote(1));
    peer.send(b"hello");
    let _ = world.run_until_still();
    assert_eq!(peer.received(), b"hello");
    let info = world.reactor().context().get(id).unwrap().info();
    assert_eq!((info.listener, info.peer), (None, remote(1).into()));
    peer.shutdown_write();
    let _ = world.run_until_still();
    assert_eq!(peer.ending(), Some(Ending::Fin));
    assert_eq!(diary.take(), ["#1 open out 10.0.0.1", "#1 close: the peer finished"]);
    let stats = world.stats();
    assert_eq!((stats.dialled, stats.not_connected, stats.accepted), (1, 0, 0));
    assert_eq!((stats.open, stats.closed), (0, 1));
}

#[test]
fn addresses_are_tried_in_turn_and_only_the_last_failure_is_one() {
    let (mut world, diary) = world(Config::new());
    world.answer(remote(1), Answer::Unreachable);
    world.answer(remote(3), Answer::Silence);
    world.answer(remote(4), Answer::Accept);
    let addrs = [remote(1), remote(2), remote(3), remote(4)];
    world.reactor().context().connect(&addrs, &ConnectOptions::new());
    let _ = world.run_for(10 * SECOND);
    assert_eq!(diary.take(), ["#1 open out 10.0.0.4"]);
    assert_eq!(world.open_sockets(), 1, "what failed is closed");

    world.reactor().context().connect(&addrs[..3], &ConnectOptions::new());
    let _ = world.run_for(11 * SECOND);
    assert_eq!(
        diary.take(),
        ["#2 failed: cannot connect: 10.0.0.1:7: connect failed: Network is unreachable (os \
          error 101), 10.0.0.2:7: connect failed: Connection refused (os error 111), 10.0.0.3:7: \
          connect failed: timed out"]
    );
    assert_eq!(world.open_sockets(), 1);
    let _ = world.run_for(200 * SECOND);
    assert_eq!(diary.take(), [""; 0], "nothing more is heard of it");
}

#[test]
fn an_address_that_keeps_silent_leaves_time_for_the_next() {
    let (mut world, diary) = world(Config::new());
    world.answer(remote(1), Answer::Silence);
    world.answer(remote(2), Answer::Accept);
    let options = ConnectOptions::new().timeout(2 * SECOND);
    world.reactor().context().connect(&[remote(1), remote(2)], &options);
    let _ = world.run_for(SECOND - SECOND / 100);
    assert_eq!(diary.take(), [""; 0]);
    let _ = world.run_for(SECOND / 10);
    assert_eq!(diary.take(), ["#1 open out 10.0.0.2"]);
}

#[test]
fn with_no_address_or_no_time_it_fails_but_not_at_once() {
    let (mut world, diary) = world(Config::new());
    let nowhere: [SocketAddr; 0] = [];
    world.reactor().context().connect(&nowhere, &ConnectOptions::new());
    let at_once = ConnectOptions::new().timeout(Duration::ZERO);
    world.reactor().context().connect(&[remote(1)], &at_once);
    assert_eq!(diary.take(), [""; 0]);
    let _ = world.run_until_still();
    assert_eq!(
        diary.take(),
        [
            "#1 failed: cannot connect: there is no address to connect to",
            "#2 failed: cannot connect: no time to try any of 1 addresses"
        ]
    );
    assert_eq!(world.stats().open, 0);
}

#[test]
fn one_that_is_given_up_fails_for_that_reason_and_its_peer_learns_nothing() {
    let (mut world, diary) = world(Config::new());
    world.answer(remote(1), Answer::Silence);
    world.answer(remote(2), Answer::Accept);
    let silent = world.reactor().context().connect(&[remote(1)], &ConnectOptions::new());
    let not_begun = world.reactor().context().connect(&[remote(2)], &ConnectOptions::new());
    let mut context = world.reactor().context();
    let mut conn = context.get(not_begun).unwrap();
    assert!(!conn.is_writable() && conn.try_send(b"x") == Err(SendError::Closed));
    conn.close();
    let _ = world.run_for(SECOND);
    world.reactor().context().get(silent).unwrap().abort();
    let _ = world.run_for(SECOND);
    assert_eq!(
        diary.take(),
        ["#2 failed: closed by the handler", "#1 failed: aborted by the handler"]
    );
    assert!(world.dialled().is_empty());
    assert_eq!((world.open_sockets(), world.stats().open), (0, 0));
}

#[test]
fn whoever_tries_again_from_the_failure_gets_one_for_each_try() {
    let diary = Diary { tries_again: Some((3, remote(1))), ..Diary::default() };
    let mut world = World::new(1, Config::new(), diary.clone()).unwrap();
    world.reactor().context().connect(&[remote(1)], &ConnectOptions::new());
    let _ = world.run_until_still();
    let failed = diary.take();
    assert_eq!(failed.len(), 4, "{failed:?}");
    assert_eq!((world.stats().dialled, world.stats().not_connected), (4, 4));
}

#[test]
fn when_the_reactor_stops_those_that_are_being_opened_fail_and_no_new_ones_are_begun() {
    let diary = Diary { tries_again: Some((1_000, remote(1))), ..Diary::default() };
    let mut world = World::new(1, Config::new(), diary.clone()).unwrap();
    world.answer(remote(1), Answer::Silence);
    world.reactor().context().connect(&[remote(1)], &ConnectOptions::new());
    world.reactor().context().connect(&[remote(1)], &ConnectOptions::new());
    let _ = world.run_for(SECOND);
    world.handle().stop();
    assert!(world.run_for(SECOND).is_break());
    assert_eq!(diary.take(), ["#1 failed: the reactor stopped", "#2 failed: the reactor stopped"]);
    assert_eq!((world.open_sockets(), world.stats().open), (0, 0));
    world.reactor().context().connect(&[remote(1)], &ConnectOptions::new());
    let _ = world.run_for(SECOND);
    assert_eq!(diary.take(), [""; 0]);
}

#[test]
fn a_drain_ends_at_its_deadline_also_if_a_handler_tries_again_and_again() {
    let diary = Diary { tries_again: Some((usize::MAX, remote(1))), ..Diary::default() };
    let mut world = World::new(1, Config::new(), diary).unwrap();
    world.reactor().context().connect(&[remote(1)], &ConnectOptions::new());
    world.handle().drain(SECOND);
    assert!(world.run_for(SECOND / 2).is_continue());
    assert!(world.run_for(SECOND).is_break());
    assert_eq!(world.stats().open, 0);
}

/// Opens a connection from inside of a callback, and gives it up at once or blocks.
struct Whim {
    addrs: Vec<SocketAddr>,
    blocks: Option<Clock>,
    diary: Diary,
}

impl Handler for Whim {
    type State = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
        self.diary.on_open(conn)
    }

    fn on_data(
        &mut self,
        _: &mut Conn<'_>,
        (): &mut (),
        _: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    fn on_connect_failed(&mut self, reactor: &mut Context<'_>, id: ConnId, reason: &CloseReason) {
        self.diary.on_connect_failed(reactor, id, reason);
    }

    fn on_tick(&mut self, reactor: &mut Context<'_>, _key: TimerKey) {
        let options = ConnectOptions::new().timeout(SECOND / 2);
        let id = reactor.connect(&self.addrs, &options);
        match &self.blocks {
            Some(clock) => clock.pass(SECOND),
            None => reactor.get(id).unwrap().close(),
        }
    }
}

#[test]
fn a_dial_given_up_in_the_callback_that_began_it_opens_no_socket() {
    let diary = Diary::default();
    let whim = Whim { addrs: vec![remote(1)], blocks: None, diary: diary.clone() };
    let mut world = World::new(1, Config::new(), whim).unwrap();
    world.answer(remote(1), Answer::Accept);
    world.reactor().context().set_timer(SECOND, TICK);
    let _ = world.run_for(10 * SECOND);
    assert_eq!(diary.take(), ["#1 failed: closed by the handler"]);
    assert!(world.dialled().is_empty());
}

#[test]
fn a_callback_that_blocks_costs_those_that_are_being_opened_no_time() {
    let diary = Diary::default();
    let whim = Whim { addrs: vec![remote(1), remote(2)], blocks: None, diary: diary.clone() };
    let mut world = World::new(1, Config::new(), whim).unwrap();
    world.answer(remote(1), Answer::Silence);
    world.answer(remote(2), Answer::Accept);
    let clock = world.clock();
    world.handler_mut(0).blocks = Some(clock);
    world.reactor().context().set_timer(SECOND, TICK);
    let _ = world.run_for(10 * SECOND);
    assert_eq!(diary.take(), ["#1 open out 10.0.0.2"]);
}

const ENETUNREACH: i32 = 101;
const EACCES: i32 = 13;
const EAFNOSUPPORT: i32 = 97;
const EADDRINUSE: i32 = 98;
const EADDRNOTAVAIL: i32 = 99;

/// What makes one address useless, whatever the others are.
const UNUSABLE: [(&str, i32); 9] = [
    ("socket", EAFNOSUPPORT),
    ("socket", EACCES),
    ("bind", EADDRNOTAVAIL),
    ("bind", EADDRINUSE),
    ("bind", EAFNOSUPPORT),
    ("connect", EADDRNOTAVAIL),
    ("connect", EADDRINUSE),
    ("connect", ENETUNREACH),
    ("connect", EACCES),
];

#[test]
fn row_42_after_an_address_that_cannot_be_used_the_next_is_tried_at_once() {
    for error in UNUSABLE {
        let (mut world, diary) = world(Config::new());
        world.answer(remote(3), Answer::Accept);
        world.fail_connects(&[error; 2]);
        let addrs = [remote(1), remote(2), remote(3)];
        world.reactor().context().connect(&addrs, &ConnectOptions::new());
        // No deadline passes: nothing has waited for a timer.
        let _ = world.run_until_still();
        assert_eq!(diary.take(), ["#1 open out 10.0.0.3"], "{error:?}");
        let calls = world.dial_attempts();
        assert!(calls.iter().map(|call| call.addr).eq([remote(1), remote(2), remote(3)]));
        assert_eq!(calls[0].waits, calls[2].waits, "{error:?}: the reactor has waited");
    }
}

#[test]
fn row_42_an_address_that_cannot_be_used_and_is_the_only_one_fails_at_once_with_its_cause() {
    for (step, number) in UNUSABLE {
        let (mut world, diary) = world(Config::new());
        world.fail_connects(&[(step, number)]);
        world.reactor().context().connect(&[remote(1)], &ConnectOptions::new());
        let _ = world.run_until_still();
        let failed = diary.take();
        assert!(failed[0].contains(&format!("{step} failed")), "{failed:?}");
        assert!(failed[0].contains(&format!("os error {number}")), "{failed:?}");
        assert!(world.now() < SECOND / 10, "{:?}", world.now());
    }
}

#[test]
fn row_43_when_local_ports_run_out_each_dial_fails_with_that_cause_and_none_waits_for_a_port() {
    let (mut world, diary) = world(Config::new());
    for number in 1..=50 {
        world.answer(remote(number), Answer::Accept);
        world.reactor().context().connect(&[remote(number)], &ConnectOptions::new());
    }
    let _ = world.run_until_still();
    assert_eq!(diary.take().len(), 50);
    for error in [("connect", EADDRNOTAVAIL), ("bind", EADDRINUSE)] {
        world.fail_connects(&[error; 100]);
        let began = world.now();
        for number in 1..=100 {
            world.reactor().context().connect(&[remote(number)], &ConnectOptions::new());
        }
        let _ = world.run_until_still();
        let failed = diary.take();
        assert_eq!(failed.len(), 100);
        let cause = format!("{} failed", error.0);
        assert!(failed.iter().all(|line| line.contains(&cause)), "{failed:?}");
        assert!(world.now() - began < SECOND / 10, "{:?}", world.now() - began);
    }
    // As soon as there is a port again, so is a connection.
    world.reactor().context().connect(&[remote(7)], &ConnectOptions::new());
    let _ = world.run_until_still();
    assert_eq!(diary.take(), ["#251 open out 10.0.0.7"]);
}

#[test]
fn a_lack_of_room_in_any_call_tries_the_same_address_again() {
    const EAGAIN: i32 = 11;
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const ENOBUFS: i32 = 105;
    for error in [
        ("socket", ENFILE),
        ("socket", ENOMEM),
        ("setsockopt", ENOBUFS),
        ("bind", ENOMEM),
        ("connect", ENOBUFS),
        ("connect", EAGAIN),
    ] {
        let (mut world, diary) = world(Config::new());
        world.answer(remote(1), Answer::Accept);
        world.answer(remote(2), Answer::Accept);
        world.fail_connects(&[error]);
        world.reactor().context().connect(&[remote(1), remote(2)], &ConnectOptions::new());
        let _ = world.run_for(SECOND);
        assert_eq!(diary.take(), ["#1 open out 10.0.0.1"], "{error:?}");
    }
}

#[test]
fn for_want_of_descriptors_the_same_address_is_tried_again_until_the_time_is_over() {
    const EMFILE: i32 = 24;
    let (mut world, diary) = world(Config::new());
    world.answer(remote(1), Answer::Accept);
    world.fail_connects(&[("socket", EMFILE); 3]);
    world.reactor().context().connect(&[remote(1), remote(2)], &ConnectOptions::new());
    let _ = world.run_for(10 * SECOND);
    assert_eq!(diary.take(), ["#1 open out 10.0.0.1"]);

    world.fail_connects(&[("socket", EMFILE); 1_000]);
    world.reactor().context().connect(&[remote(1)], &ConnectOptions::new());
    let _ = world.run_for(9 * SECOND);
    assert_eq!(diary.take(), [""; 0]);
    let _ = world.run_for(2 * SECOND);
    let failed = diary.take();
    assert!(failed[0].contains("os error 24"), "{failed:?}");
    assert_eq!((failed.len(), world.stats().open), (1, 1));
}

#[test]
fn a_drain_waits_for_the_answer_to_a_question_that_is_whole() {
    let mut world = World::new(1, Config::new(), Proxy::new(vec![remote(1)])).unwrap();
    let addr = world.listen("10.0.0.9:7000").unwrap();
    world.answer(remote(1), Answer::Accept);
    let client = world.dial(addr);
    client.send(b"question");
    client.shutdown_write();
    let _ = world.run_for(SECOND);
    world.handle().drain(60 * SECOND);
    let _ = world.run_for(10 * SECOND);
    let server = world.dialled().pop().unwrap();
    server.send(b"answer");
    server.shutdown_write();
    let _ = world.run_for(10 * SECOND);
    assert_eq!((client.received(), client.ending()), (b"answer".to_vec(), Some(Ending::Fin)));
    let report = world.report().expect("it has ended");
    assert_eq!((report.finished, report.cut), (2, 0));
}

/// Passes requests to one connection to a backend, and the answers back. A client is paused until its answer comes.
#[derive(Default)]
struct Pool {
    link: Option<ConnId>,
    client: Option<ConnId>,
}

impl Handler for Pool {
    type State = ();

    fn on_start(&mut self, reactor: &mut Context<'_>) {
        self.link = Some(reactor.connect(&[remote(1)], &ConnectOptions::new()));
    }

    fn on_open(&mut self, _: &mut Conn<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        (): &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        let to = if conn.is_outbound() { self.client.take() } else { self.link };
        if !conn.is_outbound() {
            self.client = Some(conn.id());
            conn.pause();
        }
        let mut reactor = conn.reactor();
        let to = to.and_then(|id| reactor.get(id));
        let mut to = to.ok_or("an answer without a client, or a question without a backend")?;
        to.send(input.take());
        to.resume();
        Ok(())
    }
}

#[test]
fn a_drain_waits_for_an_answer_on_an_outbound_connection_that_is_quiet() {
    let mut world = World::new(1, Config::new(), Pool::default()).unwrap();
    let addr = world.listen("10.0.0.9:7000").unwrap();
    world.answer(remote(1), Answer::Accept);
    let (client, idle) = (world.dial(addr), world.dial(addr));
    client.send(b"question");
    let _ = world.run_for(SECOND);
    world.handle().drain(60 * SECOND);
    let _ = world.run_for(10 * SECOND);
    assert_eq!(idle.ending(), Some(Ending::Fin), "it had nothing to do");
    idle.close();
    let backend = world.dialled().pop().unwrap();
    assert_eq!((backend.received(), backend.ending()), (b"question".to_vec(), None));
    backend.send(b"answer");
    let _ = world.run_for(SECOND);
    assert_eq!((client.received(), client.ending()), (b"answer".to_vec(), Some(Ending::Fin)));
    client.close();
    let _ = world.run_for(SECOND);
    assert_eq!(backend.ending(), Some(Ending::Fin), "no client is left that may need it");
    backend.close();
    assert!(world.run_for(SECOND).is_break());
    let report = world.report().unwrap();
    assert_eq!((report.finished, report.cut), (3, 0));
}

#[test]
fn a_reactor_without_clients_keeps_its_outbound_connection_for_those_in_the_backlog() {
    for seed in 0..200 {
        let mut world = World::of_many(seed, Config::new(), 3, |_| Pool::default()).unwrap();
        let addr = world.listen("10.0.0.9:7000").unwrap();
        world.answer(remote(1), Answer::Accept);
        world.set_faults(Faults { latency: Duration::from_nanos(1), ..Faults::none() });
        let _ = world.run_for(10 * SECOND);
        let clients: Vec<_> = (0..3).map(|_| world.dial(addr)).collect();
        clients.iter().for_each(|client| assert!(client.send(b"question")));
        world.handle().drain(60 * SECOND); // before a reactor has a turn
        let _ = world.run_for(10 * SECOND);
        for backend in world.dialled() {
            if backend.received() == b"question" {
                backend.send(b"answer");
            }
        }
        let _ = world.run_for(SECOND);
        for client in &clients {
            assert_eq!(client.received(), b"answer", "seed {seed}");
            client.close();
        }
        world.dialled().iter().for_each(Peer::shutdown_write);
        assert!(world.run_for(10 * SECOND).is_break(), "seed {seed}");
    }
}

#[test]
fn a_drain_waits_for_those_that_are_being_opened_until_its_deadline() {
    let (mut world, diary) = world(Config::new());
    world.answer(remote(1), Answer::Silence);
    world.answer(remote(2), Answer::Accept);
    world.reactor().context().connect(&[remote(1)], &ConnectOptions::new());
    world.reactor().context().connect(&[remote(2)], &ConnectOptions::new());
    let drain = 3 * SECOND;
    world.handle().drain(drain);
    assert!(world.run_for(2 * SECOND).is_continue());
    world.dialled()[0].close();
    assert!(world.run_for(2 * SECOND).is_break());
    assert_eq!(
        diary.take(),
        [
            "#2 open out 10.0.0.2",
            "#2 close: the server drained, and the connection was idle",
            "#1 failed: the connection was still busy when the drain timed out after 3s"
        ]
    );
    let report = world.report().unwrap();
    assert_eq!((report.finished, report.cut), (1, 0), "what never was open was not cut off");
}

#[test]
fn limits_on_accepted_connections_do_not_concern_outbound_ones() {
    use readyloop::Overflow;
    for overflow in [Overflow::Wait, Overflow::EvictIdlest] {
        let config = Config::new().max_connections(1).max_per_ip(Some(1)).overflow(overflow);
        let (mut world, diary) = world(config.accept_rate(1, 1).first_byte_timeout(Some(SECOND)));
        let addr = world.listen("10.0.0.9:7000").unwrap();
        for number in 1..=3 {
            world.answer(remote(number), Answer::Accept);
            world.reactor().context().connect(&[remote(number)], &ConnectOptions::new());
        }
        let _ = world.run_for(SECOND / 10);
        let client = world.dial(addr);
        client.send(b"hello");
        let _ = world.run_for(10 * SECOND);
        assert_eq!(client.received(), b"hello");
        assert_eq!(world.stats().open, 4);
        world.dialled()[0].close();
        client.close();
        let _ = world.run_for(SECOND);
        let next = world.dial(addr);
        let _ = world.run_for(SECOND / 10);
        assert_eq!(
            world.stats().open,
            3,
            "the place of the closed client is free, and was the only one"
        );
        assert_eq!(next.ending(), None);
        assert_eq!(diary.take().iter().filter(|line| line.contains("open")).count(), 5);
    }
}

#[test]
fn a_thousand_dials_at_once_take_turns_with_all_others() {
    let (mut world, diary) =
        world(Config::new().budgets(Budgets { connects: 10, ..Budgets::default() }));
    let addr = world.listen("10.0.0.9:7000").unwrap();
    let client = world.dial(addr);
    let _ = world.run_until_still();
    world.answer(remote(1), Answer::Accept);
    for _ in 0..1_000 {
        world.reactor().context().connect(&[remote(1)], &ConnectOptions::new());
    }
    let turns = world.stats().turns;
    client.send(b"hello");
    let _ = world.run_until_still();
    assert_eq!(client.received(), b"hello");
    assert_eq!(world.dialled().len(), 1_000);
    assert!(world.stats().turns - turns >= 100);
    assert!(world.stats().exhausted.connects >= 99);
    assert_eq!(diary.take().len(), 1_001);
}

#[test]
fn an_event_is_no_proof_of_a_connection() {
    for seed in 0..200 {
        let diary = Diary::default();
        let mut world = World::new(seed, Config::new(), diary.clone()).unwrap();
        let faults = Faults { spurious: 200, doubled: 100, interrupted: 100, ..Faults::none() };
        world.set_faults(Faults { latency: SECOND, ..faults });
        world.answer(remote(1), Answer::Accept);
        world.answer(remote(2), Answer::Silence);
        world.reactor().context().connect(&[remote(1)], &ConnectOptions::new());
        world.reactor().context().connect(&[remote(2)], &ConnectOptions::new());
        world.reactor().context().set_timer(SECOND / 100, TICK);
        let _ = world.run_for(20 * SECOND);
        let lines = diary.take();
        assert_eq!(lines.len(), 2, "seed {seed}: {lines:?}");
        assert!(lines[0].starts_with("#1 open out") && lines[1].starts_with("#2 failed"));
    }
}

fn noise(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| (at * at / 7 + at + seed) as u8).collect()
}

#[test]
fn a_proxy_passes_every_byte_both_ways_and_each_half_close_whatever_goes_wrong() {
    for seed in 0..300 {
        let config = Config::new().high_water(1_000).drain_quiet(Duration::ZERO);
        let mut world = World::new(seed, config, Proxy::new(vec![remote(1)])).unwrap();
        let addr = world.listen("10.0.0.9:7000").unwrap();
        world.answer(remote(1), Answer::Accept);
        let faults = Faults::swarm(&mut Rng::new(seed));
        let buffer = faults.buffer.max(100);
        world.set_faults(Faults {
            register_refused: 0,
            connect_error: 0,
            time_jump: 0,
            tiny_segments: false,
            buffer,
            ..faults
        });
        let (question, answer) = (noise(5_000, 1), noise(10_000, 2));
        let client = world.dial(addr);
        client.read(Reading::Slowly { bytes: 2_000, every: SECOND / 20 });
        client.send(&question);
        client.shutdown_write();
        let _ = world.run_for(2 * SECOND);
        let server = world.dialled().pop().expect("it calls within its time");
        server.send(&answer); // when it has seen the end of the question, and then finishes
        let _ = world.run_for(600 * SECOND);
        assert!(world.stats().waiting_bytes < 5_000, "seed {seed}");
        assert!(server.received() == question, "seed {seed}: {} bytes", server.received().len());
        assert_eq!(server.ending(), Some(Ending::Fin), "seed {seed}: the half-close went through");
        server.shutdown_write();
        world.calm();
        let _ = world.run_for(600 * SECOND);
        assert!(client.received() == answer, "seed {seed}: {} bytes", client.received().len());
        assert_eq!(client.ending(), Some(Ending::Fin), "seed {seed}");
        assert_eq!(world.stats().open, 0, "seed {seed}");
    }
}

#[test]
fn a_proxy_lets_both_sides_send_all_before_they_read() {
    let config = Config::new().high_water(4_000);
    let mut world = World::new(1, config, Proxy::new(vec![remote(1)])).unwrap();
    let addr = world.listen("10.0.0.9:7000").unwrap();
    world.answer(remote(1), Answer::Accept);
    let client = world.dial(addr);
    let _ = world.run_for(SECOND);
    let server = world.dialled().pop().unwrap();
    client.read(Reading::Never); // until it has sent all, to a peer that reads
    client.send(&noise(1_000_000, 1));
    server.send(&noise(1_000_000, 2));
    let _ = world.run_for(30 * SECOND);
    assert!(server.received() == noise(1_000_000, 1), "{} bytes", server.received().len());
    client.read(Reading::AtOnce);
    let _ = world.run_for(30 * SECOND);
    assert!(client.received() == noise(1_000_000, 2));
}

#[test]
fn a_reset_in_the_midst_of_both_directions_is_never_an_end_in_order() {
    for seed in 0..300 {
        let config = Config::new().high_water(1_000);
        let mut world = World::new(seed, config, Proxy::new(vec![remote(1)])).unwrap();
        let addr = world.listen("10.0.0.9:7000").unwrap();
        world.answer(remote(1), Answer::Accept);
        let client = world.dial(addr);
        let _ = world.run_for(SECOND);
        let server = world.dialled().pop().unwrap();
        let faults = Faults::swarm(&mut Rng::new(seed));
        let calls = Faults { register_refused: 0, connect_error: 0, time_jump: 0, ..faults };
        world.set_faults(Faults { tiny_segments: false, buffer: 5_000, ..calls });
        let slowly = Reading::Slowly { bytes: 1_000, every: SECOND / 20 };
        server.read(slowly);
        client.send(&noise(100_000, 1));
        for _ in 0..10 {
            server.send(&noise(300, 2));
            let _ = world.run_for(SECOND / 20);
        }
        client.reset();
        for _ in 0..100 {
            server.send(&noise(300, 2));
            let _ = world.run_for(SECOND / 20);
        }
        world.calm();
        let _ = world.run_for(60 * SECOND);
        assert_eq!(server.ending(), Some(Ending::Reset), "seed {seed}");
    }
}

#[test]
fn a_half_close_goes_through_a_proxy_long_after_the_last_byte() {
    let mut world = World::new(1, Config::new(), Proxy::new(vec![remote(1)])).unwrap();
    let addr = world.listen("10.0.0.9:7000").unwrap();
    world.answer(remote(1), Answer::Accept);
    let client = world.dial(addr);
    client.send(b"question");
    let _ = world.run_for(60 * SECOND);
    client.shutdown_write();
    let _ = world.run_for(60 * SECOND);
    let server = world.dialled().pop().unwrap();
    assert_eq!((server.received(), server.ending()), (b"question".to_vec(), Some(Ending::Fin)));
    server.send(b"answer");
    let _ = world.run_for(60 * SECOND);
    assert_eq!((client.received(), client.ending()), (b"answer".to_vec(), None));
    server.shutdown_write();
    let _ = world.run_for(60 * SECOND);
    assert_eq!(client.ending(), Some(Ending::Fin));
    assert_eq!(world.stats().open, 0);
}

#[test]
fn a_proxy_holds_back_the_side_that_is_faster_than_the_other() {
    let config = Config::new().high_water(4_000);
    let mut world = World::new(1, config, Proxy::new(vec![remote(1)])).unwrap();
    let addr = world.listen("10.0.0.9:7000").unwrap();
    world.answer(remote(1), Answer::Accept);
    let client = world.dial(addr);
    while world.dialled().is_empty() {
        let _ = world.turn(SECOND / 1_000);
    }
    let server = world.dialled().pop().unwrap();
    client.send(&noise(1_000_000, 1));
    server.read(Reading::Never);
    let _ = world.run_for(10 * SECOND);
    assert!(world.stats().waiting_bytes < 100_000, "{:?}", world.stats());
    assert!(client.unread_by_server() > 500_000);
    server.read(Reading::AtOnce);
    let _ = world.run_for(60 * SECOND);
    assert!(server.received() == noise(1_000_000, 1));
}

#[test]
fn what_a_proxy_cannot_pass_on_ends_in_a_reset_and_never_looks_whole() {
    let new = || {
        let mut world = World::new(1, Config::new(), Proxy::new(vec![remote(1)])).unwrap();
        let addr = world.listen("10.0.0.9:7000").unwrap();
        (world.dial(addr), world)
    };
    let (client, mut world) = new(); // no listener is there
    client.send(b"hello");
    let _ = world.run_for(SECOND);
    assert_eq!((client.ending(), world.stats().open), (Some(Ending::Reset), 0));

    let (client, mut world) = new();
    world.answer(remote(1), Answer::Accept);
    let _ = world.run_for(SECOND);
    world.dialled()[0].reset();
    let _ = world.run_for(SECOND);
    assert_eq!((client.ending(), world.stats().open), (Some(Ending::Reset), 0));

    let (client, mut world) = new();
    world.answer(remote(1), Answer::Silence);
    let _ = world.run_for(SECOND);
    client.reset();
    let _ = world.run_for(6 * SECOND);
    assert_eq!((world.open_sockets(), world.stats().open), (0, 0), "its dial was given up");
}
