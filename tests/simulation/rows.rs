//! One test for each fault, by its number in `tests/README.md`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Ending, Faults, Peer, Reading, World};
use readyloop::{
    BoxError, CloseReason, Config, Conn, ConnId, Echo, Handler, Input, Overflow, SendError, from_fn,
};

use crate::logs;

const ADDR: &str = "10.0.0.1:7000";
const SECOND: Duration = Duration::from_secs(1);

const EPERM: i32 = 1;
const EINTR: i32 = 4;
const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const EPROTO: i32 = 71;
const ENETDOWN: i32 = 100;
const ECONNABORTED: i32 = 103;
const ENOBUFS: i32 = 105;

fn always(fault: impl FnOnce(&mut Faults)) -> Faults {
    let mut faults = Faults::none();
    fault(&mut faults);
    faults
}

/// Seeds enough for a fault to meet a connection at each point of its life.
fn for_some_seeds(mut test: impl FnMut(u64)) {
    for seed in 0..200 {
        test(seed);
    }
}

fn echo_world(seed: u64, config: Config) -> (World<Echo>, std::net::SocketAddr) {
    let mut world = World::new(seed, config, Echo).unwrap();
    let addr = world.listen(ADDR).unwrap();
    (world, addr)
}

fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * at / 7 + at) as u8).collect()
}

/// Ten peers that send, finish, and must have their bytes back.
fn ten_echoes(faults: &Faults) {
    for_some_seeds(|seed| {
        let (mut world, addr) = echo_world(seed, Config::new());
        world.set_faults(faults.clone());
        let bytes = noise(300);
        let peers: Vec<Peer> = (0..10).map(|_| world.dial(addr)).collect();
        for peer in &peers {
            assert!(peer.send(&bytes));
            peer.shutdown_write();
        }
        assert!(world.run_for(60 * SECOND).is_continue());
        for peer in &peers {
            assert_eq!(
                (peer.ending(), peer.received()),
                (Some(Ending::Fin), bytes.clone()),
                "seed {seed}"
            );
        }
        let stats = world.stats();
        assert_eq!((stats.accepted, stats.closed, stats.open), (10, 10, 0), "seed {seed}");
        assert_eq!(stats.bytes_in, 3_000, "seed {seed}");
    });
}

#[test]
fn row_01_and_02_out_of_descriptors_or_memory_the_acceptor_pauses_and_comes_back_by_itself() {
    for error in [EMFILE, ENFILE, ENOMEM, ENOBUFS] {
        let (mut world, addr) = echo_world(1, Config::new());
        let resident = world.dial(addr);
        resident.send(b"before");
        assert!(world.run_until_still().is_continue());
        world.fail_accepts(&[error; 10]);
        let waiting: Vec<Peer> = (0..20).map(|_| world.dial(addr)).collect();
        assert!(world.run_for(SECOND / 10).is_continue());
        resident.send(b", during");
        let turns = world.stats().turns;
        assert!(world.run_for(SECOND / 10).is_continue());
        assert_eq!(resident.received(), b"before, during", "errno {error}");
        assert_eq!(world.stats().open, 1, "errno {error}: no other connection is in yet");
        assert!(world.stats().turns - turns < 20, "errno {error}: it spins");
        // The waiting connections bring no new edge.
        assert!(world.run_for(2 * SECOND).is_continue());
        let stats = world.stats();
        assert_eq!((stats.open, stats.accepts_starved), (21, 10), "errno {error}");
        drop(waiting);
    }
}

#[test]
fn row_03_an_error_of_one_client_costs_the_others_nothing() {
    let (mut world, addr) = echo_world(1, Config::new());
    world.fail_accepts(&[ECONNABORTED, EPROTO, EPERM, ENETDOWN, EINTR, ECONNABORTED]);
    let peers: Vec<Peer> = (0..5).map(|_| world.dial(addr)).collect();
    assert!(world.run_until_still().is_continue());
    // run_until_still passes no deadline: nothing has waited for a timer.
    assert_eq!(world.stats().open, peers.len() as u64);
}

const EACCES: i32 = 13;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;
const UNKNOWN: i32 = 4_000;

#[test]
fn row_41_an_accept_that_always_fails_backs_off_whatever_the_error_and_comes_back_by_itself() {
    for error in
        [EPERM, EACCES, ENOSYS, ECONNABORTED, EPROTO, ENETDOWN, EOPNOTSUPP, EMFILE, UNKNOWN]
    {
        let (mut world, addr) = echo_world(1, Config::new());
        let resident = world.dial(addr);
        resident.send(b"before");
        assert!(world.run_until_still().is_continue());
        world.fail_every_accept(addr, Some(error));
        let waiting = world.dial(addr);
        let turns = world.stats().turns;
        assert!(world.run_for(60 * SECOND).is_continue());
        let stats = world.stats();
        let failed = stats.accepts_failed + stats.accepts_starved;
        // Every 200 ms some calls, and a turn for each of them at most.
        assert!((250..6_000).contains(&failed), "errno {error}: {failed} failures in a minute");
        assert!(stats.turns - turns < 6_000, "errno {error}: {} turns", stats.turns - turns);
        assert_eq!(
            (stats.accepted, stats.refused_full),
            (1, 0),
            "errno {error}: no connection was lost"
        );
        resident.send(b", after");
        world.fail_every_accept(addr, None);
        assert!(world.run_for(SECOND / 4).is_continue());
        assert_eq!(resident.received(), b"before, after", "errno {error}");
        assert_eq!(world.stats().open, 2, "errno {error}: a waiting connection is served");
        drop(waiting);
    }
}

#[test]
fn row_41_one_listener_that_fails_costs_another_nothing() {
    let (mut world, addr) = echo_world(1, Config::new());
    let broken = world.listen("10.0.0.2:7000").unwrap();
    world.fail_every_accept(broken, Some(EPERM));
    let waiting = world.dial(broken);
    assert!(world.run_for(SECOND).is_continue());
    for round in 1..=100 {
        let peer = world.dial(addr);
        peer.send(b"x");
        assert!(world.run_for(SECOND / 100).is_continue());
        assert_eq!(peer.received(), b"x", "round {round}");
    }
    let stats = world.stats();
    assert_eq!((stats.open, stats.accepted), (100, 100));
    assert!(stats.accepts_failed < 400, "{} failures", stats.accepts_failed);
    drop(waiting);
}

#[test]
fn row_41_errors_that_alternate_back_off_too_and_a_success_begins_anew() {
    let (mut world, addr) = echo_world(1, Config::new());
    let mixed: Vec<i32> =
        [ECONNABORTED, EPERM, EMFILE, EPROTO].into_iter().cycle().take(100_000).collect();
    world.fail_accepts(&mixed);
    let waiting = world.dial(addr);
    assert!(world.run_for(60 * SECOND).is_continue());
    let stats = world.stats();
    let failed = stats.accepts_failed + stats.accepts_starved;
    assert!(failed < 2_000, "{failed} failures in a minute");
    assert!(stats.turns < 2_000, "{} turns", stats.turns);

    // A few between two successes never make anybody wait.
    let (mut world, addr) = echo_world(1, Config::new());
    for round in 1..=100 {
        world.fail_accepts(&[ECONNABORTED; 10]);
        let peer = world.dial(addr);
        assert!(world.run_until_still().is_continue());
        assert_eq!(world.stats().open, round);
        drop(peer);
    }
    drop(waiting);
}

/// Records each connection and the reason of its end.
#[derive(Default)]
struct Diary(Rc<RefCell<Vec<String>>>);

impl Handler for Diary {
    type State = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
        let ip = conn.peer_addr().ip().expect("there are no other addresses");
        self.0.borrow_mut().push(format!("open {ip}"));
        Ok(())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        (): &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        let bytes = input.take();
        self.0.borrow_mut().push(format!("data {}", bytes.escape_ascii()));
        conn.send(bytes);
        Ok(())
    }

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), reason: &CloseReason) {
        self.0.borrow_mut().push(format!("close {reason}"));
    }
}

fn diary_world(
    seed: u64,
    config: Config,
) -> (World<Diary>, std::net::SocketAddr, Rc<RefCell<Vec<String>>>) {
    let diary = Rc::default();
    let mut world = World::new(seed, config, Diary(Rc::clone(&diary))).unwrap();
    let addr = world.listen(ADDR).unwrap();
    (world, addr, diary)
}

#[test]
fn row_04_a_peer_that_reset_while_it_was_queued_is_known_and_closes_quietly() {
    let (mut world, addr, diary) = diary_world(1, Config::new());
    world.fail_accepts(&[EMFILE]); // so that it stays in the queue
    let peer = world.dial(addr);
    assert!(world.run_until_still().is_continue());
    peer.reset();
    assert!(world.run_for(SECOND).is_continue());
    assert_eq!(
        *diary.borrow(),
        [
            "open 192.168.0.1",
            "close the connection failed: Connection reset by peer (os error 104)"
        ]
    );
    assert_eq!(world.open_sockets(), 0);
}

#[test]
fn row_05_a_listener_that_dies_is_reported_once_and_residents_are_served() {
    let (mut world, addr) = echo_world(1, Config::new());
    let other = world.listen("10.0.0.1:7001").unwrap();
    let resident = world.dial(addr);
    assert!(world.run_until_still().is_continue());
    world.break_listener(addr);
    assert!(world.run_until_still().is_continue());
    assert_eq!(world.stats().listeners_lost, 1);
    resident.send(b"still here");
    let client = world.dial(other);
    client.send(b"by the other listener");
    let late = world.dial(addr);
    assert!(world.run_for(10 * SECOND).is_continue());
    assert_eq!(resident.received(), b"still here");
    assert_eq!(client.received(), b"by the other listener");
    assert_eq!(late.ending(), Some(Ending::Refused));
    assert_eq!(world.stats().listeners_lost, 1);
}

/// A world with three places, and what the handler knows of those in them.
fn three_places(
    seed: u64,
    config: Config,
) -> (World<Diary>, std::net::SocketAddr, Rc<RefCell<Vec<String>>>) {
    diary_world(seed, config.max_connections(3))
}

#[test]
fn row_08_at_the_cap_waiting_clients_are_served_as_places_become_free_and_none_is_lost() {
    for_some_seeds(|seed| {
        let (mut world, addr, _) = three_places(seed, Config::new());
        let peers: Vec<Peer> = (0..12).map(|_| world.dial(addr)).collect();
        for peer in &peers {
            peer.send(b"hello");
        }
        assert!(world.run_until_still().is_continue());
        let turns = world.stats().turns;
        assert!(world.run_for(SECOND).is_continue());
        assert!(world.stats().turns <= turns + 1, "seed {seed}: waiting costs turns");
        let mut served = 0;
        while served < 12 {
            let (now, waiting): (Vec<&Peer>, Vec<&Peer>) = peers
                .iter()
                .filter(|peer| peer.ending().is_none())
                .partition(|peer| !peer.received().is_empty());
            assert_eq!(now.len(), 3.min(12 - served), "seed {seed}");
            assert_eq!(
                now.len() + waiting.len(),
                12 - served,
                "seed {seed}: no client is turned away"
            );
            now[0].shutdown_write();
            served += 1;
            assert!(world.run_until_still().is_continue());
        }
        let stats = world.stats();
        assert_eq!((stats.accepted, stats.refused_full), (12, 0), "seed {seed}");
    });
}

#[test]
fn row_08_at_the_cap_clients_are_refused_with_last_words() {
    let overflow = Overflow::Reject { last_words: b"full\n".to_vec() };
    let (mut world, addr, diary) = three_places(1, Config::new().overflow(overflow));
    let peers: Vec<Peer> = (0..10).map(|_| world.dial(addr)).collect();
    assert!(world.run_until_still().is_continue());
    let (turned_away, served): (Vec<&Peer>, Vec<&Peer>) =
        peers.iter().partition(|peer| peer.ending() == Some(Ending::Fin));
    assert_eq!((turned_away.len(), served.len()), (7, 3));
    assert!(turned_away.iter().all(|peer| peer.received() == b"full\n"));
    assert_eq!(world.stats().refused_full, 7);
    assert_eq!(diary.borrow().len(), 3, "the handler never hears of them");
}

#[test]
fn row_08_at_the_cap_the_longest_silent_connection_is_evicted() {
    let (mut world, addr, diary) = three_places(1, Config::new().overflow(Overflow::EvictIdlest));
    let old: Vec<Peer> = (0..3)
        .map(|_| {
            let peer = world.dial(addr);
            assert!(world.run_until_still().is_continue());
            peer
        })
        .collect();
    old[0].send(b"not idle");
    assert!(world.run_until_still().is_continue());
    let client = world.dial(addr);
    client.send(b"hello");
    assert!(world.run_until_still().is_continue());
    assert_eq!(client.received(), b"hello");
    let endings: Vec<_> = old.iter().map(Peer::ending).collect();
    assert_eq!(endings, [None, Some(Ending::Fin), None]);
    assert!(diary.borrow().contains(&"close evicted to make room for a new connection".to_owned()));
    assert_eq!(world.stats().evicted, 1);
}

#[test]
fn row_08_limits_change_while_it_runs() {
    let (mut world, addr, _) = three_places(1, Config::new());
    let peers: Vec<Peer> = (0..8).map(|_| world.dial(addr)).collect();
    assert!(world.run_until_still().is_continue());
    assert_eq!(world.stats().open, 3);
    let more = world.reactor().context().config().clone().max_connections(5);
    world.reconfigure(more).unwrap();
    assert!(world.run_until_still().is_continue());
    assert_eq!(world.stats().open, 5);
    let fewer = world.reactor().context().config().clone().max_connections(2);
    world.reconfigure(fewer).unwrap();
    let old = peers.iter().filter(|peer| peer.ending().is_none()).count();
    assert_eq!(old, 8, "an open connection stays open");
    assert!(world.reconfigure(Config::new().max_connections(0)).is_err());
    assert_eq!(
        *world.reactor().context().config(),
        Config::new().max_connections(2),
        "nothing has changed"
    );
}

#[test]
fn row_08_an_address_has_its_share_and_others_theirs() {
    let config = Config::new().max_per_ip(Some(2));
    let (mut world, addr, _) = diary_world(1, config);
    let dial = |world: &mut World<Diary>, ip: &str, port: u16| {
        let peer = world.dial_from(format!("{ip}:{port}").parse().unwrap(), addr);
        assert!(world.run_until_still().is_continue());
        peer
    };
    let peers: Vec<Peer> = (1..=5).map(|port| dial(&mut world, "192.0.2.1", port)).collect();
    let other = dial(&mut world, "192.0.2.2", 1);
    assert_eq!(world.stats().refused_per_ip, 3);
    let in_place = peers.iter().filter(|peer| peer.ending().is_none()).count();
    assert_eq!((in_place, other.ending()), (2, None));
    // One leaves, one may come.
    peers[0].shutdown_write();
    assert!(world.run_until_still().is_continue());
    let again = dial(&mut world, "192.0.2.1", 6);
    assert_eq!((again.ending(), world.stats().refused_per_ip), (None, 3));
}

#[test]
fn row_08_no_more_are_let_in_a_second_than_the_rate_says() {
    let (mut world, addr, _) = diary_world(1, Config::new().accept_rate(10, 5));
    for _ in 0..100 {
        let _ = world.dial(addr);
    }
    assert!(world.run_until_still().is_continue());
    let stats = world.stats();
    assert_eq!((stats.open, stats.refused_rate), (5, 95));
    assert!(world.run_for(SECOND).is_continue());
    let late = world.dial(addr);
    assert!(world.run_until_still().is_continue());
    assert_eq!(late.ending(), None);
}

#[test]
fn row_09_an_event_for_a_slots_former_connection_is_ignored() {
    for_some_seeds(|seed| {
        let (mut world, addr, diary) = diary_world(seed, Config::new());
        // Seldom enough that some come when the slot has its next tenant.
        world.set_faults(always(|faults| faults.stale = 40));
        for _ in 0..10 {
            // Each takes the slot of the one before; a stale event says that it has hung up.
            let peer = world.dial(addr);
            assert!(world.run_for(SECOND).is_continue());
            peer.send(b"x");
            assert!(world.run_for(SECOND).is_continue());
            peer.shutdown_write();
            assert!(world.run_for(SECOND).is_continue());
            assert_eq!((peer.received(), peer.ending()), (b"x".to_vec(), Some(Ending::Fin)));
        }
        let closes = diary.borrow().iter().filter(|line| line.contains("peer finished")).count();
        assert_eq!(closes, 10, "seed {seed}");
        assert_eq!(world.calls(), (20, 10), "seed {seed}: no connection was looked at in vain");
    });
}

#[test]
fn row_10_a_stale_id_names_no_connection() {
    let mut seen: Vec<ConnId> = Vec::new();
    let handler = from_fn(move |conn, input| {
        input.take();
        for &id in &seen {
            assert!(conn.reactor().get(id).is_none());
        }
        seen.push(conn.id());
        conn.close();
    });
    let mut world = World::new(1, Config::new(), handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    for _ in 0..20 {
        let peer = world.dial(addr);
        peer.send(b"x");
        peer.shutdown_write();
        assert!(world.run_until_still().is_continue());
        assert_eq!((peer.received(), peer.ending()), (vec![], Some(Ending::Fin)));
    }
    assert_eq!(world.stats().panics, 0);
}

#[test]
fn row_11_spurious_events_are_ignored() {
    ten_echoes(&always(|faults| faults.spurious = 255));
}

#[test]
fn row_12_an_event_that_comes_twice_is_handled_once() {
    ten_echoes(&always(|faults| faults.doubled = 255));
}

#[test]
fn row_13_one_byte_at_a_time_everything_arrives() {
    ten_echoes(&always(|faults| {
        (faults.short_read, faults.short_write, faults.buffer) = (255, 255, 1);
    }));
    ten_echoes(&always(|faults| {
        (faults.short_read, faults.short_write, faults.tiny_segments) = (255, 255, true);
        faults.partial_means_blocked = false;
    }));
}

#[test]
fn row_14_a_hang_up_while_reading_is_paused_is_seen_and_nothing_sent_is_lost() {
    for_some_seeds(|seed| {
        let (mut world, addr, diary) = diary_world(seed, Config::new().high_water(10));
        let peer = world.dial(addr);
        peer.read(Reading::Never);
        world.set_faults(always(|faults| faults.buffer = 50));
        let mut sent = 0;
        while peer.unread_by_server() == 0 {
            peer.send(b"abcdefgh");
            sent += 8;
            assert!(world.run_until_still().is_continue());
        }
        peer.reset();
        assert!(world.run_until_still().is_continue());
        let diary = diary.borrow();
        let told: usize =
            diary.iter().filter_map(|line| line.strip_prefix("data ")).map(str::len).sum();
        assert_eq!(told, sent, "seed {seed}: the server's kernel had it all");
        assert_eq!(
            diary.last().unwrap(),
            "close the connection failed: Connection reset by peer (os error 104)",
            "seed {seed}"
        );
    });
}

#[test]
fn row_14_a_reset_after_the_peers_fin_is_seen_without_a_write() {
    struct Patient;
    impl Handler for Patient {
        type State = ();
        fn on_open(&mut self, _: &mut Conn<'_>) -> Result<(), BoxError> {
            Ok(())
        }
        fn on_data(
            &mut self,
            _: &mut Conn<'_>,
            (): &mut (),
            _: &mut Input<'_>,
        ) -> Result<(), BoxError> {
            Ok(())
        }
        fn on_eof(
            &mut self,
            _: &mut Conn<'_>,
            (): &mut (),
            _: &mut Input<'_>,
        ) -> Result<(), BoxError> {
            Ok(()) // there may be something to say later
        }
    }
    let mut world = World::new(1, Config::new(), Patient).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    peer.shutdown_write();
    assert!(world.run_until_still().is_continue());
    assert_eq!(world.stats().open, 1);
    peer.reset();
    assert!(world.run_until_still().is_continue());
    assert_eq!(world.stats().open, 0);
}

#[test]
fn row_15_final_bytes_and_the_fin_in_one_event_are_both_delivered() {
    for_some_seeds(|seed| {
        let (mut world, addr, diary) = diary_world(seed, Config::new());
        // Everything is told late, so that bytes and FIN are told at once.
        world.set_faults(always(|faults| faults.delayed = 255));
        let peer = world.dial(addr);
        peer.send(b"last words");
        peer.shutdown_write();
        assert!(world.run_until_still().is_continue());
        assert_eq!((peer.received(), peer.ending()), (b"last words".to_vec(), Some(Ending::Fin)));
        assert_eq!(diary.borrow().last().unwrap(), "close the peer finished", "seed {seed}");
    });
}

#[test]
fn row_16_a_connection_that_is_not_watched_is_closed_and_leaks_nothing() {
    let (mut world, addr, diary) = diary_world(1, Config::new());
    world.set_faults(always(|faults| faults.register_refused = 128));
    let peers: Vec<Peer> = (0..100).map(|_| world.dial(addr)).collect();
    assert!(world.run_until_still().is_continue());
    let stats = world.stats();
    assert!(stats.unregistered > 10 && stats.open > 10, "{stats:?}");
    assert_eq!(stats.unregistered + stats.open, 100);
    assert_eq!(world.open_sockets() as u64, stats.open);
    assert_eq!(diary.borrow().len() as u64, stats.open, "the handler hears of the others only");
    let reset = peers.iter().filter(|peer| peer.ending() == Some(Ending::Reset)).count();
    assert_eq!(reset as u64, stats.unregistered);
}

#[test]
fn row_18_a_half_closed_slow_reader_gets_every_byte_and_then_a_fin() {
    for_some_seeds(|seed| {
        let (mut world, addr) = echo_world(seed, Config::new().high_water(1_000));
        world.set_faults(always(|faults| (faults.buffer, faults.short_write) = (500, 128)));
        let peer = world.dial(addr);
        peer.read(Reading::Slowly { bytes: 50, every: SECOND });
        peer.send(&noise(10_000));
        peer.shutdown_write();
        assert!(world.run_until_still().is_continue());
        assert_eq!(
            (peer.received(), peer.ending()),
            (noise(10_000), Some(Ending::Fin)),
            "seed {seed}"
        );
    });
}

#[test]
fn row_19_a_reset_while_flushing_ends_the_connection_once() {
    for_some_seeds(|seed| {
        let (mut world, addr, diary) = diary_world(seed, Config::new());
        world.set_faults(always(|faults| faults.buffer = 20));
        let peer = world.dial(addr);
        peer.read(Reading::Never);
        peer.send(&[b'x'; 90]);
        peer.shutdown_write();
        assert!(world.run_for(SECOND).is_continue());
        peer.reset();
        assert!(world.run_until_still().is_continue());
        let closes: Vec<String> =
            diary.borrow().iter().filter(|line| line.starts_with("close")).cloned().collect();
        assert_eq!(closes.len(), 1, "seed {seed}: {closes:?}");
        assert!(closes[0].starts_with("close the connection failed: "), "seed {seed}: {closes:?}");
    });
}

#[test]
fn row_20_closing_with_unread_input_loses_no_answer() {
    for_some_seeds(|seed| {
        let answer = noise(5_000);
        let expected = answer.clone();
        let handler = from_fn(move |conn, input| {
            input.take_exact(1);
            conn.send(&answer);
            conn.close();
        });
        let mut world = World::new(seed, Config::new(), handler).unwrap();
        let addr = world.listen(ADDR).unwrap();
        world.set_faults(always(|faults| (faults.buffer, faults.reset_destroys) = (100, 255)));
        let peer = world.dial(addr);
        peer.send(&[b'x'; 10_000]); // far more than is looked at
        peer.shutdown_write();
        assert!(world.run_until_still().is_continue());
        assert_eq!((peer.received(), peer.ending()), (expected, Some(Ending::Fin)), "seed {seed}");
    });
}

/// Panics in the callback that it is told to.
struct Fragile(&'static str);

struct FragileState(bool);

impl Drop for FragileState {
    fn drop(&mut self) {
        if self.0 && !std::thread::panicking() {
            std::panic::panic_any(crate::actor::SCRIPTED);
        }
    }
}

impl Fragile {
    fn reach(&self, place: &str, conn: &Conn<'_>) {
        if self.0 == place && conn.peer_addr().port() == Some(666) {
            std::panic::panic_any(crate::actor::SCRIPTED);
        }
    }
}

impl Handler for Fragile {
    type State = FragileState;

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<FragileState, BoxError> {
        self.reach("open", conn);
        Ok(FragileState(self.0 == "drop" && conn.peer_addr().port() == Some(666)))
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        _: &mut FragileState,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        conn.send(input.take());
        let _waits = conn.is_above_high_water(); // for on_low_water
        self.reach("data", conn);
        Ok(())
    }

    fn on_eof(
        &mut self,
        conn: &mut Conn<'_>,
        _: &mut FragileState,
        _: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        self.reach("eof", conn);
        conn.close();
        Ok(())
    }

    fn on_low_water(&mut self, conn: &mut Conn<'_>, _: &mut FragileState) -> Result<(), BoxError> {
        self.reach("drained", conn);
        Ok(())
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, _: FragileState, _: &CloseReason) {
        self.reach("close", conn);
    }
}

#[test]
fn row_26_a_panic_in_any_callback_ends_only_its_own_connection() {
    crate::oracle::silence_scripted_panics();
    for place in ["open", "data", "eof", "drained", "close", "drop"] {
        let config = Config::new().high_water(4);
        let mut world = World::new(1, config, Fragile(place)).unwrap();
        world.allow_panics();
        let addr = world.listen(ADDR).unwrap();
        let neighbour = world.dial(addr);
        let victim = world.dial_from("192.168.66.6:666".parse().unwrap(), addr);
        for peer in [&neighbour, &victim] {
            peer.send(b"something");
        }
        assert!(world.run_until_still().is_continue());
        victim.shutdown_write();
        assert!(world.run_until_still().is_continue());
        neighbour.send(b" and more");
        assert!(world.run_until_still().is_continue());
        assert_eq!(neighbour.received(), b"something and more", "{place}");
        let stats = world.stats();
        assert_eq!((stats.panics, stats.open, stats.closed), (1, 1, 1), "{place}");
        let cut_short = !matches!(place, "close" | "drop");
        let expected = if cut_short { Ending::Reset } else { Ending::Fin };
        assert_eq!(victim.ending(), Some(expected), "{place}");
    }
}

#[test]
fn row_27_a_handler_that_sends_without_end_is_bounded() {
    const LIMIT: usize = 1_000;
    let queued = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&queued);
    let handler = from_fn(move |conn, input| {
        input.take();
        // Ten goes into the limit evenly: it is full to the last byte.
        while conn.try_send(b"0123456789").is_ok() {}
        seen.borrow_mut().push(conn.info().queued);
        assert_eq!(conn.try_send(b"0123456789"), Err(SendError::Full));
    });
    let config = Config::new().high_water(LIMIT).queue_limit(LIMIT);
    let mut world = World::new(1, config, handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(always(|faults| faults.buffer = 100));
    let peer = world.dial(addr);
    peer.read(Reading::Never);
    for _ in 0..100 {
        peer.send(b"more");
        assert!(world.run_until_still().is_continue());
    }
    assert!(queued.borrow().iter().all(|queued| *queued == LIMIT));
    assert_eq!(world.stats().panics, 0);
    peer.read(Reading::AtOnce);
    assert!(world.run_until_still().is_continue());
    assert_eq!(peer.received().len() as u64, world.stats().bytes_out);
}

#[test]
fn row_28_what_a_callback_asks_for_is_done_after_it_in_order() {
    let mut first = None;
    let handler = from_fn(move |conn, input| {
        let own = conn.id();
        let first = *first.get_or_insert(own);
        match input.take() {
            b"tell" => {
                let mut reactor = conn.reactor();
                let mut first = reactor.get(first).unwrap();
                for word in ["one ", "two ", "three"] {
                    first.send(word.as_bytes());
                }
            }
            b"close" => {
                let mut reactor = conn.reactor();
                let mut first = reactor.get(first).unwrap();
                first.send(b", bye");
                first.close();
                first.send(b" not this");
                assert_eq!(first.try_send(b" nor this"), Err(SendError::Closed));
                assert!(!first.is_writable());
                conn.send(b"did");
                conn.close();
                conn.send(b" not this");
            }
            b"stop" => conn.reactor().stop(),
            bytes => conn.send(bytes),
        }
    });
    let mut world = World::new(1, Config::new(), handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let (first, second, third) = (world.dial(addr), world.dial(addr), world.dial(addr));
    for (peer, words) in [(&first, "here: "), (&second, "tell"), (&second, "close"), (&third, "x")]
    {
        peer.send(words.as_bytes());
        assert!(world.run_until_still().is_continue());
    }
    assert_eq!(
        (first.received(), first.ending()),
        (b"here: one two three, bye".to_vec(), Some(Ending::Fin))
    );
    assert_eq!((second.received(), second.ending()), (b"did".to_vec(), Some(Ending::Fin)));
    third.send(b"stop");
    assert!(world.run_until_still().is_break());
    assert_eq!(world.open_sockets(), 0);
}

/// A world in which the server lingers, having answered a hundred bytes that its peer reads slowly.
fn lingering(seed: u64) -> (World<impl Handler>, Peer) {
    let handler = from_fn(|conn, input| {
        input.take();
        conn.send(&noise(100));
        conn.close();
    });
    let config = Config::new().linger_timeout(5 * SECOND);
    let mut world = World::new(seed, config, handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    peer.read(Reading::Slowly { bytes: 1, every: 20 * SECOND });
    peer.send(b"x");
    while world.stats().bytes_out < 100 {
        assert!(world.turn(SECOND).is_continue());
    }
    (world, peer)
}

/// The peer sends so much and its FIN, which arrive while the process sleeps, past its deadline.
fn row_35_sleep_past_the_lingering(bytes: usize, faults: &Faults) {
    for_some_seeds(|seed| {
        let (mut world, peer) = lingering(seed);
        world.set_faults(faults.clone());
        // Unread, these turn a close into a RST, which destroys the answer on its way.
        peer.send(&vec![b'y'; bytes]);
        peer.shutdown_write();
        for _ in 0..20 {
            assert!(world.turn(SECOND).is_continue());
        }
        world.calm();
        assert!(world.run_until_still().is_continue());
        assert_eq!(
            (peer.received(), peer.ending()),
            (noise(100), Some(Ending::Fin)),
            "seed {seed}"
        );
    });
}

#[test]
fn row_35_a_fin_that_came_during_a_sleep_is_read_before_the_lingering_is_over() {
    // A signal ends the sleep.
    let faults = always(|faults| (faults.time_jump, faults.interrupted) = (255, 128));
    row_35_sleep_past_the_lingering(50, &faults);
}

#[test]
fn row_35_a_fin_behind_more_than_a_turn_reads_is_read_before_the_lingering_is_over() {
    let faults = always(|faults| (faults.buffer, faults.time_jump) = (1 << 20, 255));
    row_35_sleep_past_the_lingering(300_000, &faults);
}

#[test]
fn row_35_deadlines_do_not_wait_for_ever_for_a_sight_of_all_events() {
    let (mut world, _peer) = lingering(1);
    world.set_faults(always(|faults| faults.interrupted = 255));
    for _ in 0..300 {
        assert!(world.turn(SECOND).is_continue());
    }
    assert!(world.now() < 60 * SECOND, "hardly any time has passed");
    assert_eq!(world.stats().open, 1);
    world.set_faults(always(|faults| (faults.interrupted, faults.time_jump) = (255, 255)));
    let turns = (0..300).take_while(|_| {
        assert!(world.turn(SECOND).is_continue());
        world.stats().open == 1
    });
    let turns = turns.count();
    assert!((2..250).contains(&turns), "after {turns} turns");
}

#[test]
fn row_35_after_a_long_sleep_input_is_read_before_deadlines_are_judged() {
    for_some_seeds(|seed| {
        let config = Config::new().linger_timeout(SECOND);
        let (mut world, addr, diary) = diary_world(seed, config);
        world.set_faults(always(|faults| faults.time_jump = 255));
        let peer = world.dial(addr);
        peer.send(b"before the sleep");
        peer.shutdown_write();
        assert!(world.run_until_still().is_continue());
        assert_eq!(peer.received(), b"before the sleep", "seed {seed}");
        assert_eq!(diary.borrow().last().unwrap(), "close the peer finished", "seed {seed}");
    });
}

/// The sum of the first numbers in all lines with these words.
fn counted(lines: &[String], words: &str) -> u64 {
    let number = |line: &String| -> u64 {
        line.split(' ').find_map(|word| word.parse().ok()).expect("a line with a number")
    };
    lines.iter().filter(|line| line.contains(words)).map(number).sum()
}

#[test]
fn row_57_what_the_log_has_held_back_is_told_when_the_second_is_over_and_the_counts_add_up() {
    let cases = [
        ("max_connections", Config::new().max_connections(1).overflow(reject())),
        ("max_per_ip", Config::new().max_per_ip(Some(1))),
        ("accept_rate", Config::new().accept_rate(1, 1)),
    ];
    for (words, config) in cases {
        let (mut world, addr) = echo_world(1, config);
        let lines = logs::lines_of(|| {
            for port in 1..=3_001 {
                world.dial_from(([10, 0, 0, 9], port).into(), addr);
            }
            assert!(world.run_for(SECOND / 2).is_continue());
        });
        let stats = world.stats();
        let refused = stats.refused_full + stats.refused_per_ip + stats.refused_rate;
        assert_eq!(refused, 3_000, "{words}");
        assert_eq!(counted(&lines, words), 1, "{words}: one line a second: {lines:?}");
        let later = logs::lines_of(|| {
            let silence = SECOND * 6 / 10;
            assert!(world.run_for(silence).is_continue());
        });
        assert_eq!(counted(&later, words), 2_999, "{words}: {later:?}");
        // An idle reactor is not woken for it again.
        let turns = world.stats().turns;
        let nothing = logs::lines_of(|| assert!(world.run_for(60 * SECOND).is_continue()));
        assert_eq!((nothing.len(), world.stats().turns - turns), (0, 1), "{nothing:?}");
    }
}

fn reject() -> Overflow {
    Overflow::Reject { last_words: Vec::new() }
}

#[test]
fn row_57_what_the_log_has_held_back_is_told_at_the_end() {
    for drains in [false, true] {
        let lines = logs::lines_of(|| {
            let (mut world, addr) = echo_world(1, Config::new().accept_rate(1, 1));
            for _ in 0..101 {
                world.dial(addr);
            }
            assert!(world.run_until_still().is_continue());
            if drains {
                world.handle().drain(SECOND / 10);
            } else {
                world.handle().stop();
            }
            assert!(world.run_for(SECOND / 2).is_break());
        });
        assert_eq!(counted(&lines, "accept_rate"), 100, "{lines:?}");
    }
}

#[test]
fn row_57_what_each_of_several_reactors_has_held_back_adds_up() {
    let fails = |_| Failing;
    let mut world = World::of_many(1, Config::new(), 3, fails).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let lines = logs::lines_of(|| {
        let peers: Vec<Peer> = (0..300).map(|_| world.dial(addr)).collect();
        assert!(peers.iter().all(|peer| peer.send(b"x")));
        assert!(world.run_for(2 * SECOND).is_continue());
    });
    assert_eq!(counted(&lines, "errors of the handler"), 300, "{lines:?}");
}

/// Answers nothing but errors, of more than one line.
struct Failing;

impl Handler for Failing {
    type State = ();

    fn on_open(&mut self, _: &mut Conn<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    fn on_data(
        &mut self,
        _: &mut Conn<'_>,
        (): &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        Err(format!("no such command:\n{}\u{1b}[31m", input.take().escape_ascii()).into())
    }
}

#[test]
fn an_error_of_a_handler_is_logged_on_one_line_that_names_the_connection_and_the_cause() {
    let mut world = World::new(1, Config::new(), Failing).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    peer.send(b"x");
    let lines = logs::lines_of(|| assert!(world.run_for(SECOND).is_continue()));
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(
        line.starts_with("WARN errors of the handler ended 1 connection, the last #"),
        "{line}"
    );
    assert!(line.contains(&peer.addr().to_string()), "{line}");
    assert!(line.ends_with(r"no such command:\nx\u{1b}[31m"), "{line}");
}

#[test]
fn row_56_the_cap_and_its_policy_act_though_more_connections_are_asked_for_than_there_are_descriptors()
 {
    for (asked, overflow) in [
        (Some(1_000), reject()),
        (Some(1_000), Overflow::EvictIdlest),
        (Some(1_000), Overflow::Wait),
        (None, reject()),
        (Some(136), reject()),
    ] {
        let config = Config::new().overflow(overflow.clone());
        let config = match asked {
            Some(asked) => config.max_connections(asked),
            None => config,
        };
        let (mut world, addr) = echo_world(1, config.clone());
        world.limit_descriptors(Some(200));
        let lines = logs::lines_of(|| world.reconfigure(config.clone()).unwrap());
        let warned = lines.iter().filter(|line| line.contains("lowered from 1000 to 136")).count();
        assert_eq!(warned, usize::from(asked == Some(1_000)), "{lines:?}");
        let peers: Vec<Peer> = (0..300).map(|_| world.dial(addr)).collect();
        assert!(world.run_for(SECOND).is_continue());
        let stats = world.stats();
        assert_eq!((stats.open, stats.accepts_starved), (136, 0), "{asked:?} {overflow:?}");
        match overflow {
            Overflow::Wait => assert_eq!(stats.accepted, 136),
            Overflow::EvictIdlest => assert_eq!(stats.evicted, 164),
            _ => assert_eq!(stats.refused_full, 164),
        }
        drop(peers);
    }
}

#[test]
fn row_56_a_limit_that_was_lowered_is_found_by_reconfiguring_with_the_same_settings() {
    for reactors in [1, 3] {
        let config = Config::new().max_connections(1_000).overflow(reject());
        let mut world = World::of_many(1, config.clone(), reactors, |_| Echo).unwrap();
        let addr = world.listen(ADDR).unwrap();
        world.limit_descriptors(Some(200));
        world.reconfigure(config).unwrap();
        assert!(world.run_for(SECOND).is_continue());
        let cap = 200 - 64 - 2 * (reactors as u64 - 1);
        let peers: Vec<Peer> = (0..300).map(|_| world.dial(addr)).collect();
        assert!(world.run_for(SECOND).is_continue());
        let stats = world.stats();
        assert_eq!((stats.open, stats.refused_full), (cap, 300 - cap), "{reactors} reactors");
        drop(peers);
    }
}

#[test]
fn row_05_when_the_last_listener_is_lost_the_server_drains_and_ends_with_an_error_if_it_is_told_to()
{
    for reactors in [1, 3] {
        let config = Config::new().drain_without_listeners(Some(20 * SECOND));
        let mut world = World::of_many(1, config, reactors, |_| Echo).unwrap();
        let addrs = [ADDR, "10.0.0.2:7000"].map(|addr| world.listen(addr).unwrap());
        let residents: Vec<Peer> = (0..6).map(|peer| world.dial(addrs[peer % 2])).collect();
        residents.iter().for_each(|peer| peer.read(Reading::Never));
        let bytes = noise(300_000); // more than the peers' buffers hold
        assert!(residents.iter().all(|peer| peer.send(&bytes)));
        assert!(world.run_for(SECOND).is_continue());
        world.break_listener(addrs[1]);
        assert!(world.run_for(10 * SECOND).is_continue(), "one listener is left");
        let peer = world.dial(addrs[0]);
        peer.send(b"x");
        assert!(world.run_for(SECOND).is_continue());
        assert_eq!(peer.received(), b"x");
        world.break_listener(addrs[0]);
        assert!(world.run_for(SECOND).is_continue(), "residents are served");
        assert_eq!((world.stats().listeners_lost, world.lost_listener()), (2, None));
        // One of them never reads.
        residents[1..].iter().for_each(|peer| peer.read(Reading::AtOnce));
        assert!(world.run_for(30 * SECOND).is_break());
        assert_eq!(world.lost_listener(), Some(addrs[0].into()), "{reactors} reactors");
        for peer in &residents[1..] {
            assert_eq!((peer.ending(), peer.received()), (Some(Ending::Fin), bytes.clone()));
        }
        assert_eq!(world.report().map(|report| (report.cut, report.finished)), Some((1, 6)));
    }
}

#[test]
fn row_05_an_end_by_other_means_is_no_error_and_a_listener_that_is_back_is_none() {
    for comes_back in [false, true] {
        let (mut world, addr) = echo_world(1, Config::new());
        world.break_listener(addr);
        assert!(world.run_for(SECOND).is_continue(), "by default it goes on");
        let told = Config::new().drain_without_listeners(Some(SECOND));
        if comes_back {
            world.resume().unwrap();
            world.reconfigure(told).unwrap();
            assert!(world.run_for(60 * SECOND).is_continue());
            world.dial(addr);
            assert!(world.run_for(SECOND).is_continue());
            assert_eq!(world.stats().open, 1);
        }
        world.handle().drain(SECOND);
        assert!(world.run_for(2 * SECOND).is_break());
        assert_eq!(world.lost_listener(), None);
    }
    // Told late is told.
    let (mut world, addr) = echo_world(1, Config::new());
    world.break_listener(addr);
    assert!(world.run_for(SECOND).is_continue());
    let told = Config::new().drain_without_listeners(Some(SECOND));
    world.reconfigure(told).unwrap();
    assert!(world.run_for(2 * SECOND).is_break());
    assert_eq!(world.lost_listener(), Some(addr.into()));
}
