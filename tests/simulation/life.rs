//! Timers, other threads, suspension, draining, several reactors, a handler replaced: by the rows of
//! `tests/README.md`, and what else belongs to a server's life.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use readyloop::sim::{Clock, Ending, Faults, Peer, Reading, Rng, World};
use readyloop::{
    BoxError, Budgets, CallError, CloseReason, Config, Conn, ConnId, Context, Echo, Handler, Input,
    Overflow, Refusal, Report, Suspension, TimerKey, from_fn,
};

use crate::endless::Endless;

const ADDR: &str = "10.0.0.1:7000";
const SECOND: Duration = Duration::from_secs(1);
const KEY: TimerKey = TimerKey(7);

fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * at / 7 + at) as u8).collect()
}

fn echo_world(config: Config) -> (World<Echo>, SocketAddr) {
    let mut world = World::new(1, config, Echo).unwrap();
    let addr = world.listen(ADDR).unwrap();
    (world, addr)
}

fn report(finished: u64, cut: u64, unsent: u64) -> (u64, u64, u64) {
    (finished, cut, unsent)
}

fn figures(report: Option<Report>) -> (u64, u64, u64) {
    let Report { finished, cut, unsent, .. } = report.expect("it has ended");
    (finished, cut, unsent)
}

/// A turn takes next to no time here, so that what is on a slow wire would miss many.
fn no_latency() -> Faults {
    Faults { latency: Duration::from_nanos(1), ..Faults::none() }
}

#[derive(Default)]
struct Journal(Rc<RefCell<Vec<String>>>);

impl Journal {
    fn note(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }
}

/// Sets timers as its input says, and writes down what comes.
#[derive(Default)]
struct Alarms {
    journal: Journal,
    opened: Option<std::time::Instant>,
}

impl Handler for Alarms {
    type State = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
        self.opened = Some(conn.reactor().now());
        Ok(())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        (): &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        while let Some(line) = input.take_until(b"\n") {
            let line = std::str::from_utf8(line)?;
            let (what, key) = line.split_at(1);
            let key = TimerKey(key.parse()?);
            match what {
                "c" => self.journal.note(format!("cancelled: {}", conn.cancel_timer(key))),
                // After as many seconds as its key says; "m" moves it to one second from now.
                "s" => conn.set_timer(Duration::from_secs(key.0), key),
                "m" => conn.set_timer(SECOND, key),
                "r" => conn.reactor().set_timer(Duration::from_secs(key.0), key),
                "x" => conn.close(),
                other => return Err(format!("what is {other}?").into()),
            }
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        conn: &mut Conn<'_>,
        (): &mut (),
        key: TimerKey,
    ) -> Result<(), BoxError> {
        let age = conn.info().age.as_secs();
        self.journal.note(format!("{} timer {} at {age} s", conn.id(), key.0));
        conn.send(b"!");
        Ok(())
    }

    fn on_tick(&mut self, reactor: &mut Context<'_>, key: TimerKey) {
        let mut count = 0;
        reactor.for_each(|_| count += 1);
        self.journal.note(format!("tick {} of {count}", key.0));
    }

    fn on_start(&mut self, reactor: &mut Context<'_>) {
        reactor.set_timer(100 * SECOND, TimerKey(100));
        self.journal.note("start");
    }

    fn on_stop(&mut self, reactor: &mut Context<'_>) {
        reactor.for_each(|conn| panic!("{} has not had its on_close", conn.id()));
        self.journal.note("stop");
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, (): (), _reason: &CloseReason) {
        conn.set_timer(SECOND, KEY); // which never comes
    }
}

fn alarms() -> (World<Alarms>, Peer, Rc<RefCell<Vec<String>>>) {
    let handler = Alarms::default();
    let journal = Rc::clone(&handler.journal.0);
    let config = Config::new().idle_timeout(None).linger_timeout(SECOND / 10);
    let mut world = World::new(1, config, handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    (world, peer, journal)
}

#[test]
fn timers_come_in_their_order_move_and_can_be_taken_back() {
    let (mut world, peer, journal) = alarms();
    peer.send(b"s5\ns3\ns9\ns2\nc3\nc4\nm9\nr4\n");
    let _ = world.run_for(10 * SECOND);
    let expected = [
        "start",
        "cancelled: true",
        "cancelled: false",
        "#1 timer 9 at 1 s",
        "#1 timer 2 at 2 s",
        "tick 4 of 1",
        "#1 timer 5 at 5 s",
    ];
    assert_eq!(*journal.borrow(), expected);
    assert_eq!((peer.received(), world.stats().timers_fired), (b"!!!".to_vec(), 4));
}

#[test]
fn a_timer_goes_with_its_connection_and_that_of_the_reactor_stays() {
    let (mut world, peer, journal) = alarms();
    peer.send(b"s5\nr6\nx0\n");
    peer.shutdown_write();
    let _ = world.run_for(SECOND);
    assert_eq!(world.stats().open, 0);
    // Another has its slot now.
    let next = world.dial(peer_addr());
    next.send(b"s9\n");
    let _ = world.run_for(200 * SECOND);
    world.handle().stop();
    assert!(world.run_for(SECOND).is_break());
    let expected = ["start", "tick 6 of 1", "#2 timer 9 at 9 s", "tick 100 of 1", "stop"];
    assert_eq!(*journal.borrow(), expected);
    assert_eq!(next.received(), b"!");
}

fn peer_addr() -> SocketAddr {
    ADDR.parse().unwrap()
}

#[test]
fn a_timer_that_lies_months_ahead_comes_when_it_is_due() {
    let (mut world, peer, journal) = alarms();
    let days = 60 * 24 * 3_600;
    peer.send(format!("s{days}\n").as_bytes());
    let _ = world.run_for(Duration::from_secs(days - 1));
    assert!(!journal.borrow().iter().any(|line| line.contains("timer")));
    let _ = world.run_for(2 * SECOND);
    assert_eq!(journal.borrow().last().unwrap(), &format!("#1 timer {days} at {days} s"));
}

/// Blocks for a while when it is told to.
struct Blocks(Rc<RefCell<Option<Clock>>>);

impl Handler for Blocks {
    type State = ();

    fn on_open(&mut self, _conn: &mut Conn<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        (): &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        if input.peek() == b"block" {
            self.0.borrow().as_ref().expect("the test has set it").pass(5 * SECOND);
        }
        conn.send(input.take());
        Ok(())
    }
}

#[test]
fn row_29_a_callback_that_blocks_is_counted_and_not_held_against_peers() {
    let clock = Rc::default();
    let config = Config::new().idle_timeout(Some(2 * SECOND)).write_timeout(Some(SECOND));
    let mut world = World::new(1, config, Blocks(Rc::clone(&clock))).unwrap();
    *clock.borrow_mut() = Some(world.clock());
    let addr = world.listen(ADDR).unwrap();
    let (blocker, neighbour) = (world.dial(addr), world.dial(addr));
    blocker.send(b"hello");
    neighbour.send(b"hello");
    let _ = world.run_for(SECOND);
    blocker.send(b"block");
    neighbour.send(b"me too"); // arrives while no connection is served
    let _ = world.run_for(6 * SECOND);
    assert_eq!(world.stats().slow_turns, 1);
    assert_eq!((world.stats().open, world.stats().expired.idle), (2, 0));
    assert_eq!(neighbour.received(), b"hellome too");
}

#[test]
fn row_33_a_hundred_thousand_timers_at_one_instant_all_come_and_others_are_served() {
    const TIMERS: u64 = 100_000;
    #[derive(Default)]
    struct Many(Rc<Cell<u64>>);
    impl Handler for Many {
        type State = ();

        fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
            if conn.id().to_string() == "#1" {
                for key in 0..TIMERS / 2 {
                    conn.set_timer(SECOND, TimerKey(key));
                    conn.reactor().set_timer(SECOND, TimerKey(key));
                }
            }
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

        fn on_timer(&mut self, _: &mut Conn<'_>, (): &mut (), _: TimerKey) -> Result<(), BoxError> {
            self.0.set(self.0.get() + 1);
            Ok(())
        }

        fn on_tick(&mut self, _: &mut Context<'_>, _: TimerKey) {
            self.0.set(self.0.get() + 1);
        }
    }
    let handler = Many::default();
    let fired = Rc::clone(&handler.0);
    let mut world = World::new(1, Config::new(), handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let _setter = world.dial(addr);
    let _ = world.run_until_still();
    let neighbour = world.dial(addr);
    let _ = world.run_for(SECOND / 2);
    world.set_faults(no_latency());
    let mut answered = 0;
    while fired.get() < TIMERS {
        let before = world.stats().turns;
        neighbour.send(b"x");
        while neighbour.take_received().is_empty() {
            let _ = world.turn(SECOND);
        }
        let waited = world.stats().turns - before;
        assert!(waited <= 4, "an answer has taken {waited} turns");
        answered += u32::from(fired.get() > 0);
    }
    assert!(answered > 50, "others were served meanwhile, {answered} times");
    assert_eq!((fired.get(), world.stats().timers_fired), (TIMERS, TIMERS));
}

fn count(run: &AtomicUsize) {
    run.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn row_30_the_mailbox_is_bounded_and_its_budget_lets_others_be_served() {
    let config = Config::new()
        .mailbox_limit(1_000)
        .budgets(Budgets { messages: 10, ..Budgets::default() })
        .queue_budget(10_000);
    let (mut world, addr) = echo_world(config);
    world.set_faults(no_latency());
    let peer = world.dial(addr);
    peer.send(b"hello");
    let _ = world.run_until_still();
    let handle = world.handle();
    let run = Arc::new(AtomicUsize::new(0));
    let mut returned = 0;
    for _ in 0..1_500 {
        let run = Arc::clone(&run);
        if let Err(refused) = handle.post(0, move |_| count(&run)) {
            assert_eq!(refused.why, Refusal::Full);
            drop(refused.returned); // the closure
            returned += 1;
        }
    }
    assert_eq!(returned, 500);
    peer.send(b", hello");
    while peer.received().len() < 12 {
        let _ = world.turn(SECOND);
    }
    assert!(run.load(Ordering::Relaxed) < 100, "the peer did not wait for all of them");
    let _ = world.run_until_still();
    assert_eq!((run.load(Ordering::Relaxed), world.stats().messages), (1_000, 1_000));
    assert_eq!(world.stats().exhausted.messages, 99);
    // Bytes are bounded as well.
    let id = world.connections()[0].id;
    assert!(handle.send(id, noise(9_000)).is_ok());
    let refused = handle.send(id, noise(1_001)).unwrap_err();
    assert_eq!((refused.returned, refused.why), (noise(1_001).into(), Refusal::Full));
}

#[test]
fn row_32_after_the_stop_a_post_comes_back_and_what_was_taken_before_has_run() {
    let (mut world, addr) = echo_world(Config::new());
    let handle = world.handle();
    let _peer = world.dial(addr);
    let _ = world.run_until_still();
    let ghost = world.connections()[0].id;
    let run = Arc::new(AtomicUsize::new(0));
    for _ in 0..1_000 {
        let run = Arc::clone(&run);
        handle.post(0, move |_| count(&run)).unwrap();
    }
    handle.stop();
    assert!(world.turn(SECOND).is_break());
    assert_eq!(run.load(Ordering::Relaxed), 1_000);
    let refused = handle.post(0, |_| ()).unwrap_err();
    assert_eq!(refused.why, Refusal::Stopped);
    assert_eq!(handle.send(ghost, "who?").unwrap_err().returned, "who?");
    let error = handle.call(0, |_| ()).wait(SECOND).unwrap_err();
    assert_eq!(error, CallError::Refused(Refusal::Stopped));
}

#[test]
fn what_is_posted_reaches_one_connection_with_its_state_and_its_panic_ends_no_other() {
    struct Counts;
    impl Handler for Counts {
        type State = usize;

        fn on_open(&mut self, _: &mut Conn<'_>) -> Result<usize, BoxError> {
            Ok(0)
        }

        fn on_data(
            &mut self,
            _: &mut Conn<'_>,
            count: &mut usize,
            input: &mut Input<'_>,
        ) -> Result<(), BoxError> {
            *count += input.take().len();
            Ok(())
        }
    }
    crate::oracle::silence_scripted_panics();
    let mut world = World::new(1, Config::new(), Counts).unwrap();
    world.allow_panics();
    let addr = world.listen(ADDR).unwrap();
    let peers = [world.dial(addr), world.dial(addr), world.dial(addr)];
    for (peer, tens) in peers.iter().zip(1..) {
        peer.send(&noise(tens * 10));
    }
    let _ = world.run_until_still();
    let handle = world.handle();
    let ids: Vec<_> = world.connections().iter().map(|conn| conn.id).collect();
    for id in ids.clone() {
        handle
            .post(0, move |reactor| {
                let mut conn = reactor.get(id).expect("it is there");
                let count = *conn.state::<usize>().expect("no callback has it");
                conn.send(count.to_string().as_bytes());
            })
            .unwrap();
    }
    let panics: fn(&mut Context<'_>) = |_| std::panic::panic_any(crate::actor::SCRIPTED);
    handle.post(0, panics).unwrap();
    let _ = world.run_until_still();
    assert_eq!(peers[0].received(), b"10");
    assert_eq!(peers[1].received(), b"20");
    assert_eq!(peers[2].received(), b"30");
    assert_eq!((world.stats().panics, world.stats().open), (1, 3));
    handle.send(ids[0], ", and a word").unwrap();
    handle.post(ids[0], close(ids[0])).unwrap();
    let _ = world.run_until_still();
    assert_eq!(
        (peers[0].received(), peers[0].ending()),
        (b"10, and a word".to_vec(), Some(Ending::Fin))
    );
}

fn close(id: ConnId) -> impl FnOnce(&mut Context<'_>) + Send {
    move |reactor| reactor.get(id).expect("it is there").close()
}

#[test]
fn a_call_from_a_callback_or_a_post_is_refused_instead_of_waiting_for_itself() {
    let (mut world, _addr) = echo_world(Config::new());
    let handle = world.handle();
    let inner = handle.clone();
    handle
        .post(0, move |_| {
            assert_eq!(inner.call(0, |_| ()).wait(SECOND), Err(CallError::OwnThread));
            assert!(inner.connections(SECOND).is_err());
            assert!(inner.replace(|_| Echo, |_, ()| None, SECOND).is_err());
        })
        .unwrap();
    let _ = world.run_until_still();
    assert_eq!(world.stats().panics, 0);
}

#[test]
fn while_suspended_clients_wait_or_are_refused_and_come_in_afterwards() {
    for how in [Suspension::KeepListening, Suspension::CloseListeners] {
        let (mut world, addr) = echo_world(Config::new());
        let resident = world.dial(addr);
        let _ = world.run_until_still();
        world.suspend(how);
        let client = world.dial(addr);
        client.send(b"hello");
        resident.send(b"still here");
        let _ = world.run_for(10 * SECOND);
        assert_eq!((world.stats().open, client.received()), (1, vec![]), "{how:?}");
        assert_eq!(resident.received(), b"still here", "{how:?}");
        let refused = (how == Suspension::CloseListeners).then_some(Ending::Refused);
        assert_eq!(client.ending(), refused);
        world.resume().unwrap();
        let late = world.dial(addr);
        late.send(b"hello");
        let _ = world.run_for(10 * SECOND);
        assert_eq!(late.received(), b"hello", "{how:?}: the port is the same");
        assert_eq!(client.received().is_empty(), refused.is_some(), "{how:?}");
    }
}

#[test]
fn an_address_that_was_taken_meanwhile_is_named_and_can_be_tried_again() {
    let (mut world, addr) = echo_world(Config::new());
    world.suspend(Suspension::CloseListeners);
    let other = world.listen(ADDR).unwrap(); // in the place of another process
    let error = world.resume().unwrap_err();
    assert!(error.to_string().contains(&other.to_string()), "{error}");
    world.suspend(Suspension::CloseListeners);
    // Of two that want the same, one gets it.
    assert!(world.resume().is_err());
    let peer = world.dial(addr);
    peer.send(b"hello");
    let _ = world.run_until_still();
    assert_eq!(peer.received(), b"hello");
}

#[test]
fn a_listener_that_has_died_is_back_after_a_resume() {
    let (mut world, addr) = echo_world(Config::new());
    world.break_listener(addr);
    let _ = world.run_until_still();
    assert_eq!(world.stats().listeners_lost, 1);
    world.resume().unwrap();
    let peer = world.dial(addr);
    peer.send(b"hello");
    let _ = world.run_until_still();
    assert_eq!(peer.received(), b"hello");
}

/// Says goodbye when it drains, and writes down what it was told.
struct Polite(Journal);

impl Handler for Polite {
    type State = ();

    fn on_open(&mut self, _: &mut Conn<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        (): &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        if let Some(line) = input.take_until(b"\n") {
            conn.send(line);
        }
        Ok(())
    }

    fn on_shutdown(&mut self, conn: &mut Conn<'_>, (): &mut ()) -> Result<(), BoxError> {
        self.0.note(format!("drain {}", conn.id()));
        assert!(conn.reactor().is_draining());
        conn.send(b"goodbye");
        Ok(())
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, (): (), reason: &CloseReason) {
        self.0.note(format!("close {}: {reason}", conn.id()));
    }
}

#[test]
fn draining_tells_each_once_closes_the_quiet_and_waits_for_the_others() {
    let journal = Journal::default();
    let lines = Rc::clone(&journal.0);
    let config = Config::new().drain_quiet(SECOND);
    let mut world = World::new(1, config, Polite(journal)).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let (idle, busy, half) = (world.dial(addr), world.dial(addr), world.dial(addr));
    let _ = world.run_for(5 * SECOND);
    half.send(b"unfinished");
    busy.send(b"word\n");
    let _ = world.run_until_still();
    assert!(!world.reactor().context().is_draining());
    world.handle().drain(60 * SECOND);
    world.handle().drain(30 * SECOND); // the later one counts
    let _ = world.turn(SECOND);
    let _ = world.turn(SECOND);
    let refused = world.dial(addr);
    for _ in 0..20 {
        busy.send(b"word\n");
        let _ = world.run_for(SECOND / 2);
    }
    assert_eq!((refused.ending(), idle.ending()), (Some(Ending::Refused), Some(Ending::Fin)));
    assert_eq!(idle.received(), b"goodbye");
    assert_eq!(busy.ending(), None, "it was never quiet for a second");
    idle.close();
    let _ = world.run_for(5 * SECOND);
    busy.close();
    assert_eq!(busy.received(), [&b"wordgoodbye"[..], &b"word".repeat(20)].concat());
    assert!(world.run_for(30 * SECOND).is_break());
    assert_eq!(figures(world.report()), report(2, 1, 0));
    let expected = [
        "drain #1",
        "drain #2",
        "drain #3",
        "close #1: the server drained, and the connection was idle",
        "close #2: the server drained, and the connection was idle",
        "close #3: the connection was still busy when the drain timed out after 30s",
    ];
    assert_eq!(*lines.borrow(), expected);
}

#[test]
fn row_36_drain_with_stuck_peers_gives_all_others_every_byte_and_ends_at_the_deadline() {
    for seed in 0..100 {
        let mut world = World::of_many(seed, Config::new(), 2, |_| Echo).unwrap();
        let addr = world.listen(ADDR).unwrap();
        let bytes = noise(10_000);
        let peers: Vec<Peer> = (0..50).map(|_| world.dial(addr)).collect();
        let _ = world.run_until_still();
        let faults = Faults::swarm(&mut Rng::new(seed));
        let (latency, buffer) = (SECOND / 1_000, 1_000);
        world.set_faults(Faults { time_jump: 0, tiny_segments: false, latency, buffer, ..faults });
        for (number, peer) in peers.iter().enumerate() {
            let slowly = Reading::Slowly { bytes: 4_000, every: SECOND / 50 };
            peer.read(if number % 10 == 0 { Reading::Never } else { slowly });
            peer.send(&bytes);
        }
        // A drain may close a connection at once if it was silent for longer than the drain's bound of silence.
        let is_unheard = |peer: &Peer| peer.unread_by_server() == bytes.len();
        while peers.iter().any(is_unheard) {
            let _ = world.turn(SECOND / 100);
        }
        let began = world.now();
        world.handle().drain(10 * SECOND);
        while world.turn(SECOND).is_continue() {}
        let took = world.now() - began;
        assert!((10 * SECOND..11 * SECOND).contains(&took), "seed {seed}: {took:?}");
        let (finished, cut, unsent) = figures(world.report());
        assert_eq!((finished, cut), (45, 5), "seed {seed}");
        assert!(unsent > 0, "seed {seed}");
        for (number, peer) in peers.iter().enumerate().filter(|(number, _)| number % 10 != 0) {
            assert!(
                peer.received() == bytes,
                "seed {seed}: peer {number}: {} {:?}",
                peer.received().len(),
                peer.ending()
            );
            assert_eq!(peer.ending(), Some(Ending::Fin), "seed {seed}: peer {number}");
        }
    }
}

/// A world with peers that do not read. For each 200 bytes are queued, which the system did not take.
fn full_world(peers: usize) -> (World<impl Handler>, Vec<Peer>) {
    let handler = from_fn(|conn, input| {
        input.take();
        conn.send(&noise(2_000));
    });
    let mut world = World::new(1, Config::new(), handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 900, ..Faults::none() });
    let peers: Vec<_> = (0..peers).map(|_| world.dial(addr)).collect();
    for peer in &peers {
        peer.read(Reading::Never);
        peer.send(b"x");
    }
    assert!(world.run_until_still().is_continue());
    assert_eq!(world.stats().bytes_out, 1_800 * peers.len() as u64);
    (world, peers)
}

#[test]
fn row_36_at_the_deadline_the_system_is_offered_what_it_has_room_for_without_telling() {
    let (mut world, peers) = full_world(1);
    let peer = &peers[0];
    // It tells of room only when a third of its buffer is free.
    peer.read(Reading::Slowly { bytes: 250, every: 10 * SECOND });
    assert!(world.run_for(11 * SECOND).is_continue());
    assert_eq!((peer.received().len(), world.stats().bytes_out), (250, 1_800));
    world.handle().drain(SECOND);
    while world.turn(SECOND).is_continue() {}
    assert_eq!(figures(world.report()), (1, 0, 0));
    peer.read(Reading::AtOnce);
    let _ = world.run_for(SECOND);
    assert_eq!((peer.received() == noise(2_000), peer.ending()), (true, Some(Ending::Fin)));
}

#[test]
fn row_36_a_peer_that_reset_before_the_deadline_was_not_cut_off_however_late_its_event() {
    let (mut world, peers) = full_world(10);
    // The process sleeps past the deadline. Its first turn afterwards hears of one reset.
    world.set_faults(Faults { buffer: 900, batch: 1, ..Faults::none() });
    world.handle().drain(SECOND);
    assert!(world.run_for(SECOND / 2).is_continue());
    peers.iter().for_each(Peer::reset);
    world.clock().pass(SECOND);
    while world.turn(SECOND).is_continue() {}
    assert_eq!(figures(world.report()), (10, 0, 0));
}

#[test]
fn a_drain_without_connections_ends_at_once_and_one_that_is_stopped_reports_both() {
    let (mut world, _addr) = echo_world(Config::new());
    world.handle().drain(SECOND);
    assert!(world.run_until_still().is_break());
    assert_eq!(figures(world.report()), report(0, 0, 0));

    let mut world = World::new(1, Config::new(), Endless).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let (reads, stuck) = (world.dial(addr), world.dial(addr));
    stuck.read(Reading::Never);
    let _ = world.run_for(SECOND);
    world.handle().drain(60 * SECOND);
    let _ = world.run_for(SECOND);
    reads.shutdown_write();
    let _ = world.run_for(SECOND);
    world.handle().stop();
    assert!(world.run_for(SECOND).is_break());
    let (finished, cut, unsent) = figures(world.report());
    assert_eq!((finished, cut), (1, 1));
    assert!(unsent > 0);
    assert_eq!(reads.ending(), Some(Ending::Fin));
}

/// Says which it is, and counts what it has seen in its state.
struct Version(u32);

impl Handler for Version {
    type State = (u32, usize);

    fn on_open(&mut self, _: &mut Conn<'_>) -> Result<(u32, usize), BoxError> {
        Ok((self.0, 0))
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        (version, count): &mut (u32, usize),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        assert_eq!(*version, self.0, "the state is this version's");
        *count += input.take().len();
        conn.send(format!("{}:{count} ", self.0).as_bytes());
        conn.set_timer(SECOND, KEY);
        Ok(())
    }

    fn on_timer(
        &mut self,
        conn: &mut Conn<'_>,
        _: &mut (u32, usize),
        _: TimerKey,
    ) -> Result<(), BoxError> {
        conn.send(format!("timer of {} ", self.0).as_bytes());
        Ok(())
    }
}

#[test]
fn a_handler_is_replaced_with_connections_states_bytes_and_timers_in_place() {
    let mut world = World::new(1, Config::new(), Version(1)).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let (peer, other) = (world.dial(addr), world.dial(addr));
    peer.send(b"abc");
    other.send(b"x");
    let _ = world.run_until_still();
    let migrate = |_: ConnId, &(version, count): &(u32, usize)| Some((version + 1, count));
    let former = world.replace(0, Version(2), migrate).unwrap();
    assert_eq!(former.0, 1);
    peer.send(b"de");
    let _ = world.run_until_still();
    assert_eq!(peer.received(), b"1:3 2:5 ");
    let _ = world.run_for(2 * SECOND);
    assert_eq!(other.received(), b"1:1 timer of 2 ");
    // One that breaks half-way has not happened.
    let mut states = 0;
    let breaks = |_: ConnId, &(version, count): &(u32, usize)| {
        states += 1;
        assert!(states < 2, "scripted");
        Some((version + 1, count))
    };
    crate::oracle::silence_scripted_panics();
    let error = world.replace(0, Version(3), breaks).map(drop).unwrap_err();
    assert!(error.to_string().contains("scripted"), "{error}");
    peer.send(b"f");
    let _ = world.run_until_still();
    assert!(peer.received().ends_with(b"2:6 "), "the old one goes on");
}

/// How many connections each reactor has.
fn shares(world: &mut World<Echo>) -> Vec<u64> {
    world.reactors().iter_mut().map(|reactor| reactor.context().stats().open).collect()
}

#[test]
fn several_reactors_have_equally_many_and_their_figures_add_up() {
    let mut world = World::of_many(1, Config::new(), 3, |_| Echo).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peers: Vec<Peer> = (0..100).map(|_| world.dial(addr)).collect();
    for peer in &peers {
        peer.send(b"hello");
    }
    let _ = world.run_until_still();
    assert!(shares(&mut world).iter().all(|share| (33..=34).contains(share)));
    assert!(peers.iter().all(|peer| peer.received() == b"hello"));
    let ids: Vec<ConnId> = world.connections().iter().map(|conn| conn.id).collect();
    let handle = world.handle();
    assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 100);
    // From outside, and each at its reactor.
    for id in &ids {
        handle.send(*id, ", you").unwrap();
    }
    let _ = world.run_until_still();
    assert!(peers.iter().all(|peer| peer.received() == b"hello, you"));
    let stats = handle.stats();
    assert_eq!((stats.accepted, stats.open), (100, 100));
    assert_eq!((stats.bytes_in, stats.bytes_out), world.traffic());
    assert_eq!(stats, world.stats());
    for id in ids.iter().step_by(2) {
        handle.post(*id, close(*id)).unwrap();
    }
    let _ = world.run_until_still();
    peers.iter().filter(|peer| peer.ending().is_some()).for_each(Peer::close);
    let _ = world.run_for(10 * SECOND);
    assert_eq!(handle.stats().open, 50);
    // New connections even out the reactors.
    let more: Vec<Peer> = (0..40).map(|_| world.dial(addr)).collect();
    let _ = world.run_until_still();
    assert_eq!(shares(&mut world), [30, 30, 30]);
    drop(more);
}

#[test]
fn caps_are_exact_over_several_reactors_and_each_overflow_does_what_it_says() {
    for overflow in
        [Overflow::Wait, Overflow::Reject { last_words: b"full".to_vec() }, Overflow::EvictIdlest]
    {
        for seed in 0..30 {
            let config = Config::new().max_connections(10).overflow(overflow.clone());
            let config = config.linger_timeout(SECOND / 10);
            let mut world = World::of_many(seed, config, 3, |_| Echo).unwrap();
            world.set_faults(no_latency()); // a later dial arrives later
            let addr = world.listen(ADDR).unwrap();
            let mut rng = Rng::new(seed);
            let mut peers: Vec<Peer> = Vec::new();
            for _ in 0..200 {
                match rng.below(4) {
                    0 | 1 => peers.push(world.dial(addr)),
                    2 if !peers.is_empty() => {
                        peers.swap_remove(rng.size_below(peers.len())).close();
                    }
                    _ => {
                        let _ = world.turn(SECOND / 1_000);
                    }
                }
                let open = world.stats().open;
                assert!(open <= 10, "{overflow:?}, seed {seed}: {open}");
            }
            peers.extend((0..20).map(|_| world.dial(addr)));
            let _ = world.run_for(5 * SECOND);
            let open = world.stats().open;
            let alive = peers.iter().filter(|peer| peer.ending().is_none()).count() as u64;
            match overflow {
                // Those in the backlog do not know that they wait.
                Overflow::Wait => {
                    assert!(open == 10 && alive >= 10, "seed {seed}: {open}, {alive}")
                }
                // One may have left after all others were turned away.
                Overflow::Reject { .. } => assert_eq!(alive, open, "seed {seed}"),
                _ => assert_eq!((open, alive), (10, 10), "seed {seed}"),
            }
            if overflow == Overflow::EvictIdlest {
                // Which is the idlest of all is known as of the last turn; but never the newest.
                assert_eq!(peers.last().unwrap().ending(), None, "seed {seed}");
            }
        }
    }
}

#[test]
fn one_reactor_that_stops_or_drains_takes_all_with_it() {
    let stops = |conn: &mut Conn<'_>, input: &mut Input<'_>| match input.take() {
        b"stop" => conn.reactor().stop(),
        _ => conn.send(b"?"),
    };
    let mut world = World::of_many(1, Config::new(), 3, |_| from_fn(stops)).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peers: Vec<Peer> = (0..6).map(|_| world.dial(addr)).collect();
    let _ = world.run_until_still();
    peers[4].send(b"stop");
    assert!(world.run_for(SECOND).is_break());
    assert_eq!(figures(world.report()), report(0, 6, 0));
    assert!(peers.iter().all(|peer| peer.ending().is_some()));
    // In order, by a callback.
    let drains = |conn: &mut Conn<'_>, input: &mut Input<'_>| {
        conn.send(input.take());
        conn.reactor().handle().drain(10 * SECOND);
    };
    let mut world = World::of_many(1, Config::new(), 3, |_| from_fn(drains)).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peers: Vec<Peer> = (0..6).map(|_| world.dial(addr)).collect();
    let _ = world.run_until_still();
    peers[4].send(b"that was all");
    assert!(world.run_for(10 * SECOND).is_break());
    assert_eq!(figures(world.report()), report(6, 0, 0));
    assert_eq!(peers[4].received(), b"that was all");
    assert!(peers.iter().all(|peer| peer.ending() == Some(Ending::Fin)));
}

#[test]
fn limits_that_one_of_several_reactors_is_told_are_exact_for_all() {
    for seed in 0..20 {
        let mut world = World::of_many(seed, Config::new(), 2, |_| Echo).unwrap();
        let addr = world.listen(ADDR).unwrap();
        let from = |port| SocketAddr::from(([192, 168, 0, 1], port));
        let mut peers: Vec<Peer> = (1..=3).map(|port| world.dial_from(from(port), addr)).collect();
        let _ = world.run_until_still();
        let stricter = Config::new().max_per_ip(Some(4));
        world.reconfigure(stricter).unwrap();
        let _ = world.run_until_still();
        peers.extend((4..=20).map(|port| world.dial_from(from(port), addr)));
        let _ = world.run_until_still();
        assert_eq!(world.stats().open, 4, "seed {seed}");
        let one = Config::new().max_connections(1).overflow(Overflow::EvictIdlest);
        world.reconfigure(one).unwrap();
        for _ in 0..10 {
            peers.push(world.dial(addr));
            let _ = world.run_for(SECOND);
        }
        assert!(world.stats().open <= 4, "seed {seed}: no connection is added");
    }
}

#[test]
fn limits_change_for_all_reactors_at_once() {
    let mut world = World::of_many(1, Config::new(), 2, |_| Echo).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let handle = world.handle();
    assert!(handle.reconfigure(&Config::new().max_connections(0)).is_err());
    handle.reconfigure(&Config::new().max_connections(5).idle_timeout(Some(SECOND))).unwrap();
    let _ = world.run_until_still();
    let _peers: Vec<Peer> = (0..10).map(|_| world.dial(addr)).collect();
    let _ = world.run_until_still();
    assert_eq!(handle.stats().open, 5);
    let _ = world.run_for(10 * SECOND);
    assert_eq!(handle.stats().expired.idle, 10, "the first five have made room");
}

#[test]
fn room_that_one_reactor_makes_wakes_the_one_that_accepts() {
    for seed in 0..20 {
        let config = Config::new().max_connections(2).linger_timeout(SECOND / 1_000);
        let mut world = World::of_many(seed, config, 2, |_| Echo).unwrap();
        let addr = world.listen(ADDR).unwrap();
        let residents = [world.dial(addr), world.dial(addr)];
        let _ = world.run_until_still();
        let waiting = world.dial(addr);
        waiting.send(b"hello");
        let _ = world.run_until_still();
        assert_eq!(waiting.received(), b"");
        residents[seed as usize % 2].close();
        let _ = world.run_until_still();
        assert_eq!(waiting.received(), b"hello", "seed {seed}");
        // So does a limit that is raised.
        let second = world.dial(addr);
        second.send(b"hello");
        let _ = world.run_until_still();
        world.handle().reconfigure(&Config::new().max_connections(3)).unwrap();
        let _ = world.run_until_still();
        assert_eq!(second.received(), b"hello", "seed {seed}");
    }
}

#[test]
fn a_drain_without_time_ends_at_once_and_cuts_no_idle_connection() {
    for seed in 0..50 {
        let mut world = World::of_many(seed, Config::new(), 2, |_| Echo).unwrap();
        let addr = world.listen(ADDR).unwrap();
        let idle: Vec<Peer> = (0..600).map(|_| world.dial(addr)).collect();
        let _ = world.run_until_still();
        // Some are on their way to a reactor, or wait in the backlog.
        let late: Vec<Peer> = (0..300).map(|_| world.dial(addr)).collect();
        let _ = world.run_for(SECOND / 1_000);
        let _ = world.turn(SECOND);
        world.handle().drain(Duration::ZERO);
        let began = world.now();
        assert!(world.run_for(SECOND).is_break(), "seed {seed}: {:?}", world.stats());
        assert!(world.now() - began <= SECOND, "seed {seed}");
        let (finished, cut, unsent) = figures(world.report());
        assert_eq!(unsent, 0, "seed {seed}");
        // It is not known yet whether the new connections have something to do.
        assert!(finished >= 600 && cut <= 300, "seed {seed}: {finished} and {cut}");
        assert!(idle.iter().all(|peer| peer.ending() == Some(Ending::Fin)), "seed {seed}");
        assert!(late.iter().all(|peer| peer.ending().is_some()), "seed {seed}");
    }
}

#[test]
fn a_client_in_the_backlog_when_a_drain_begins_is_served_first() {
    let (mut world, addr) = echo_world(Config::new());
    world.set_faults(no_latency());
    let _ = world.run_until_still();
    let peers: Vec<Peer> = (0..50).map(|_| world.dial(addr)).collect();
    peers.iter().for_each(|peer| assert!(peer.send(b"hello")));
    world.handle().drain(10 * SECOND); // before the reactor has a turn
    assert!(world.run_for(10 * SECOND).is_break());
    assert!(peers.iter().all(|peer| peer.received() == b"hello"));
    assert_eq!(figures(world.report()), report(50, 0, 0));
}

#[test]
fn a_drain_waits_for_a_connection_that_is_paused_until_its_answer_is_ready() {
    let takes_its_time = from_fn(|conn, input| {
        input.take();
        conn.pause();
    });
    let mut world = World::new(1, Config::new(), takes_its_time).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let (answered, forgotten) = (world.dial(addr), world.dial(addr));
    answered.send(b"job");
    forgotten.send(b"job");
    let _ = world.run_until_still();
    let mut ids: Vec<ConnId> = world.connections().iter().map(|conn| conn.id).collect();
    ids.sort_unstable();
    world.handle().drain(10 * SECOND);
    let _ = world.run_for(5 * SECOND);
    let first = ids[0];
    let answer = move |reactor: &mut Context<'_>| {
        let mut conn = reactor.get(first).expect("it is there");
        conn.send(b"done");
        conn.resume();
    };
    world.handle().post(0, answer).unwrap();
    assert!(world.run_for(10 * SECOND).is_break());
    assert_eq!((answered.received(), answered.ending()), (b"done".to_vec(), Some(Ending::Fin)));
    assert_eq!(figures(world.report()), report(1, 1, 0));
}

#[test]
fn new_clients_replace_the_idlest_and_are_no_more_than_those() {
    let config = Config::new().max_connections(4).overflow(Overflow::EvictIdlest);
    let mut world = World::of_many(1, config, 2, |_| Echo).unwrap();
    world.set_faults(no_latency());
    let addr = world.listen(ADDR).unwrap();
    let residents: Vec<Peer> = (0..4).map(|_| world.dial(addr)).collect();
    let _ = world.run_for(SECOND);
    let _clients: Vec<Peer> = (0..100).map(|_| world.dial(addr)).collect();
    for _ in 0..20 {
        let _ = world.turn(SECOND);
        assert!(world.open_sockets() <= 8, "{}", world.open_sockets());
    }
    let _ = world.run_until_still();
    assert_eq!((world.open_sockets(), world.stats().open), (4, 4));
    assert!(residents.iter().all(|peer| peer.ending().is_some()));
}

#[test]
fn states_that_panic_when_they_are_dropped_do_no_harm_to_a_replacement() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any(crate::actor::SCRIPTED);
        }
    }
    /// A bomb itself, if it holds one.
    struct Keeps {
        _bomb: Option<Bomb>,
    }
    impl Handler for Keeps {
        type State = Bomb;

        fn on_open(&mut self, _: &mut Conn<'_>) -> Result<Bomb, BoxError> {
            Ok(Bomb)
        }

        fn on_data(
            &mut self,
            conn: &mut Conn<'_>,
            _: &mut Bomb,
            input: &mut Input<'_>,
        ) -> Result<(), BoxError> {
            conn.send(input.take());
            Ok(())
        }

        fn on_close(&mut self, _: &mut Conn<'_>, state: Bomb, _: &CloseReason) {
            std::mem::forget(state);
        }
    }
    crate::oracle::silence_scripted_panics();
    let mut world = World::new(1, Config::new(), Keeps { _bomb: None }).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peers: Vec<Peer> = (0..3).map(|_| world.dial(addr)).collect();
    let _ = world.run_until_still();
    assert!(world.replace(0, Keeps { _bomb: None }, |_, _| Some(Bomb)).is_ok());
    let mut left = 3;
    let breaks = |_: ConnId, _: &Bomb| {
        left -= 1;
        if left == 0 {
            std::panic::panic_any(crate::actor::SCRIPTED);
        }
        Some(Bomb)
    };
    assert!(world.replace(0, Keeps { _bomb: Some(Bomb) }, breaks).is_err());
    peers.iter().for_each(|peer| assert!(peer.send(b"hello")));
    let _ = world.run_until_still();
    assert!(peers.iter().all(|peer| peer.received() == b"hello"));
}

#[test]
fn a_suspension_holds_for_listeners_that_are_added() {
    let (mut world, _addr) = echo_world(Config::new());
    world.suspend(Suspension::KeepListening);
    let second = world.listen("10.0.0.1:7001").unwrap();
    let peer = world.dial(second);
    peer.send(b"hello");
    let _ = world.run_for(SECOND);
    assert_eq!(peer.received(), b"");
    world.resume().unwrap();
    let _ = world.run_for(SECOND);
    assert_eq!(peer.received(), b"hello");
}

#[test]
fn an_acceptor_that_waits_for_descriptors_while_it_is_suspended_costs_no_turns() {
    for how in [Suspension::KeepListening, Suspension::CloseListeners] {
        const EMFILE: i32 = 24;
        let (mut world, addr) = echo_world(Config::new());
        world.fail_accepts(&[EMFILE]);
        let waiting = world.dial(addr);
        waiting.send(b"hello");
        while world.stats().accepts_starved == 0 {
            let _ = world.turn(SECOND);
        }
        world.suspend(how);
        let turns = world.stats().turns;
        let _ = world.run_for(10 * SECOND);
        assert!(world.stats().turns - turns < 10, "{how:?}: it spins");
        world.resume().unwrap();
        let _ = world.run_for(SECOND);
        assert_eq!(waiting.received().is_empty(), how == Suspension::CloseListeners);
    }
}

#[test]
fn a_peer_that_resets_while_draining_has_ended_it_by_itself() {
    let (mut world, addr) = echo_world(Config::new());
    let peer = world.dial(addr);
    peer.read(Reading::Never);
    peer.send(&noise(200_000));
    let _ = world.run_until_still();
    world.handle().drain(10 * SECOND);
    let _ = world.run_for(SECOND);
    peer.reset();
    assert!(world.run_for(10 * SECOND).is_break());
    assert_eq!(figures(world.report()), report(1, 0, 0));
}

#[test]
fn a_half_closed_connection_that_is_asked_from_outside_for_high_water_keeps_its_idle_deadline() {
    let handler = from_fn(|conn, input| {
        input.take();
        conn.shutdown_write();
    });
    let config = Config::new().idle_timeout(Some(10 * SECOND));
    let mut world = World::new(1, config, handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.dial(addr).send(b"x");
    let _ = world.run_until_still();
    let id = world.connections()[0].id;
    assert!(
        world.reactor().context().get(id).unwrap().is_above_high_water(),
        "nothing can be sent to it"
    );
    assert!(world.run_for(12 * SECOND).is_continue());
    assert_eq!(world.stats().expired.idle, 1);
}
