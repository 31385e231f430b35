//! Deadlines, memory and fairness: rows 21 to 25 of `tests/README.md`, and what they rest on.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Ending, Faults, Peer, Reading, World};
use readyloop::{
    BoxError, Budgets, CloseReason, Config, Conn, ConnId, Echo, Handler, Input, Overflow, from_fn,
};

use crate::endless::Endless;

const ADDR: &str = "10.0.0.1:7000";
const SECOND: Duration = Duration::from_secs(1);

/// Echoes, and writes down when each connection ended, and why.
#[derive(Clone, Default)]
struct Ends(Rc<RefCell<Vec<(Duration, String)>>>);

impl Ends {
    fn reasons(&self) -> Vec<String> {
        self.0.borrow().iter().map(|(_, reason)| reason.clone()).collect()
    }

    fn ages(&self) -> Vec<Duration> {
        self.0.borrow().iter().map(|(age, _)| *age).collect()
    }
}

impl Handler for Ends {
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
        conn.send(input.take());
        Ok(())
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, (): (), reason: &CloseReason) {
        self.0.borrow_mut().push((conn.info().age, reason.to_string()));
    }
}

fn ends_world(config: Config) -> (World<Ends>, std::net::SocketAddr, Ends) {
    let ends = Ends::default();
    let mut world = World::new(1, config, ends.clone()).unwrap();
    let addr = world.listen(ADDR).unwrap();
    (world, addr, ends)
}

/// A deadline is kept to two milliseconds, what the network takes aside.
#[track_caller]
fn assert_about(time: Duration, expected: Duration) {
    let latest = expected + Duration::from_millis(10);
    assert!((expected..latest).contains(&time), "{time:?} is not {expected:?}");
}

#[test]
fn a_client_that_says_nothing_ends_by_the_first_byte_deadline_and_one_that_speaks_stays() {
    let config = Config::new().first_byte_timeout(Some(10 * SECOND));
    let (mut world, addr, ends) = ends_world(config);
    let (silent, speaking) = (world.dial(addr), world.dial(addr));
    speaking.send(b"x");
    assert!(world.run_for(9 * SECOND).is_continue());
    assert_eq!(world.stats().open, 2);
    assert!(world.run_for(60 * SECOND).is_continue());
    assert_eq!((silent.ending(), speaking.ending()), (Some(Ending::Fin), None));
    assert_eq!(ends.reasons(), ["no byte arrived within 10s"]);
    assert_eq!(world.stats().expired.first_byte, 1);
}

#[test]
fn only_what_comes_in_keeps_an_idle_connection_open() {
    let handler = from_fn(|conn, input| {
        input.take();
        conn.reactor().broadcast("news");
    });
    let config = Config::new().idle_timeout(Some(30 * SECOND));
    let mut world = World::new(1, config, handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let (listening, talking) = (world.dial(addr), world.dial(addr));
    for _ in 0..29 {
        talking.send(b"tell them");
        assert!(world.run_for(SECOND).is_continue());
    }
    assert_eq!((listening.ending(), world.stats().expired.idle), (None, 0));
    for _ in 0..10 {
        talking.send(b"tell them");
        assert!(world.run_for(SECOND).is_continue());
    }
    assert_eq!(listening.ending(), Some(Ending::Fin), "news did not count");
    assert!(listening.received().len() >= 29 * 4);
    assert_eq!((talking.ending(), world.stats().expired.idle), (None, 1));
}

#[test]
fn an_idle_deadline_counts_from_the_last_byte() {
    let (mut world, addr, ends) = ends_world(Config::new().idle_timeout(Some(30 * SECOND)));
    let peer = world.dial(addr);
    for _ in 0..10 {
        peer.send(b"x");
        assert!(world.run_for(20 * SECOND).is_continue());
    }
    assert!(world.run_for(60 * SECOND).is_continue());
    peer.close();
    assert!(world.run_until_still().is_continue());
    assert_eq!(ends.reasons(), ["the peer sent nothing for 30s"]);
    assert_about(ends.ages()[0], 9 * 20 * SECOND + 30 * SECOND + 5 * SECOND); // it lingers, too
}

#[test]
fn a_peer_that_just_reads_is_kept_by_a_handler_that_says_so() {
    let config = Config::new().idle_timeout(Some(10 * SECOND)).high_water(500);
    let mut world = World::new(1, config, Endless).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 200, ..Faults::none() });
    let peer = world.dial(addr);
    peer.read(Reading::Slowly { bytes: 100, every: SECOND });
    assert!(world.run_for(120 * SECOND).is_continue());
    assert_eq!(peer.ending(), None);
    peer.read(Reading::Never);
    assert!(world.run_for(120 * SECOND).is_continue());
    assert_eq!(peer.ending(), Some(Ending::Reset));
    assert_eq!(world.stats().expired.write, 1);
}

#[test]
fn whoever_is_held_back_is_not_blamed_for_silence_while_its_bytes_wait() {
    let config = Config::new().idle_timeout(Some(10 * SECOND)).high_water(1_000).low_water(0);
    let (mut world, addr, ends) = ends_world(config);
    world.set_faults(Faults { buffer: 3_000, ..Faults::none() });
    let peer = world.dial(addr);
    // A thousand bytes take 20 seconds, and so long nothing is read.
    peer.read(Reading::Slowly { bytes: 50, every: SECOND });
    peer.send(&[b'x'; 20_000]);
    peer.shutdown_write();
    assert!(world.run_for(500 * SECOND).is_continue());
    assert_eq!((peer.received().len(), peer.ending()), (20_000, Some(Ending::Fin)));
    assert_eq!(ends.reasons(), ["the peer finished"]);
}

#[test]
fn row_21_a_peer_that_is_gone_without_a_word_is_gone_by_its_deadline() {
    let config = Config::new().write_timeout(Some(20 * SECOND)).idle_timeout(Some(60 * SECOND));
    let (mut world, addr, ends) = ends_world(config);
    world.set_faults(Faults { buffer: 100, ..Faults::none() });
    let (idle, owed) = (world.dial(addr), world.dial(addr));
    owed.read(Reading::Never);
    owed.send(&[b'x'; 5_000]);
    assert!(world.run_until_still().is_continue());
    idle.vanish();
    owed.vanish();
    assert!(world.run_for(100 * SECOND).is_continue());
    assert_eq!(
        ends.reasons(),
        ["the peer read none of the queued bytes for 20s", "the peer sent nothing for 60s"]
    );
    assert_about(ends.ages()[0], 20 * SECOND);
    assert_about(ends.ages()[1], 65 * SECOND); // its FIN is not answered, so it lingers
    let expired = world.stats().expired;
    assert_eq!((expired.write, expired.idle, expired.linger), (1, 1, 1));
    assert_eq!(world.open_sockets(), 0);
}

#[test]
fn a_slow_reader_whose_progress_brings_no_event_is_checked_once_more() {
    let config = Config::new().write_timeout(Some(10 * SECOND));
    let (mut world, addr, _) = ends_world(config);
    // Room is told of when a third of the buffer is free: here after 33 seconds.
    world.set_faults(Faults { buffer: 10_000, ..Faults::none() });
    let peer = world.dial(addr);
    peer.read(Reading::Slowly { bytes: 100, every: SECOND });
    peer.send(&[b'x'; 30_000]);
    peer.shutdown_write();
    assert!(world.run_for(400 * SECOND).is_continue());
    assert_eq!((peer.received().len(), peer.ending()), (30_000, Some(Ending::Fin)));
    assert_eq!(world.stats().expired.write, 0);
}

#[test]
fn row_22_clients_that_trickle_a_byte_now_and_then_end_at_the_maximum_age() {
    let config = Config::new().idle_timeout(Some(15 * SECOND)).max_age(Some(100 * SECOND));
    let (mut world, addr, ends) = ends_world(config);
    let peers: Vec<Peer> = (0..500).map(|_| world.dial(addr)).collect();
    for _ in 0..11 {
        for peer in &peers {
            peer.send(b"x");
        }
        assert!(world.run_for(10 * SECOND).is_continue());
    }
    assert!(peers.iter().all(|peer| peer.ending() == Some(Ending::Fin)));
    assert!(
        ends.reasons()
            .iter()
            .all(|reason| reason == "the connection reached its maximum age of 100s")
    );
    let (first, last) = (ends.ages()[0], ends.ages()[499]);
    // They linger for five seconds, too.
    assert!(first < 97 * SECOND && last > 102 * SECOND, "{first:?} to {last:?}: spread");
    assert!(last < 106 * SECOND, "{last:?}: none is older");
}

#[test]
fn many_deadlines_at_once_are_spread_over_turns_and_others_are_served_between() {
    const MANY: u64 = 20_000;
    let config = Config::new()
        .idle_timeout(Some(60 * SECOND))
        .budgets(Budgets { timers: 100, ..Budgets::default() });
    let (mut world, addr, ends) = ends_world(config);
    let _peers: Vec<Peer> = (0..MANY).map(|_| world.dial(addr)).collect();
    assert!(world.run_until_still().is_continue());
    assert_eq!(world.stats().open, MANY);
    let busy = world.dial(addr);
    assert!(world.run_for(50 * SECOND).is_continue());
    busy.send(b"x");
    let mut most = 0;
    while world.stats().expired.idle < MANY {
        let before = world.stats().expired.idle;
        assert!(world.turn(SECOND).is_continue());
        most = most.max(world.stats().expired.idle - before);
        if most > 0 {
            busy.send(b"x");
        }
    }
    assert!(most <= 100, "{most} in one turn");
    assert!(world.stats().exhausted.timers >= MANY / 100 - 1);
    assert!(world.run_for(6 * SECOND).is_continue());
    assert_eq!((ends.0.borrow().len() as u64, busy.ending()), (MANY, None));
}

#[test]
fn deadlines_change_while_it_runs() {
    let (mut world, addr, ends) = ends_world(Config::new());
    let _peer = world.dial(addr);
    assert!(world.run_for(100 * SECOND).is_continue());
    let stricter = world.reactor().context().config().clone().idle_timeout(Some(120 * SECOND));
    world.reconfigure(stricter).unwrap();
    assert!(world.run_for(10 * SECOND).is_continue());
    assert_eq!(world.stats().open, 1, "it still has ten seconds");
    assert!(world.run_for(30 * SECOND).is_continue());
    assert_eq!(ends.reasons(), ["the peer sent nothing for 120s"]);
}

// Memory:

/// Peers that send and never read, each with more than the kernel buffers.
fn hogs(world: &mut World<Ends>, addr: std::net::SocketAddr, count: usize) -> Vec<Peer> {
    let dial = |_| {
        let peer = world.dial(addr);
        peer.read(Reading::Never);
        peer.send(&[b'x'; 5_000]);
        peer
    };
    (0..count).map(dial).collect()
}

#[test]
fn row_23_under_pressure_a_peer_that_does_not_read_is_not_read_from_and_others_are_served() {
    let config = Config::new().high_water(1_000).queue_budget(20_000);
    let (mut world, addr, ends) = ends_world(config);
    world.set_faults(Faults { buffer: 100, ..Faults::none() });
    // Each may hold a thousand bytes, and they are more than would fit.
    let hogs = hogs(&mut world, addr, 30);
    assert!(world.run_until_still().is_continue());
    let waiting = world.stats().waiting_bytes;
    assert!((10_000..=20_000).contains(&waiting), "{waiting} bytes wait");
    // One that reads gets what it asks for, whatever it is.
    let good = world.dial(addr);
    for _ in 0..10 {
        good.send(&[b'y'; 3_000]);
        assert!(world.run_until_still().is_continue());
    }
    assert_eq!(good.received().len(), 30_000);
    assert_eq!(world.stats().shed, 0, "no connection was shed: {:?}", ends.reasons());
    for hog in &hogs {
        hog.read(Reading::AtOnce);
    }
    assert!(world.run_until_still().is_continue());
    assert!(hogs.iter().all(|hog| hog.received().len() == 5_000), "nothing is lost");
    assert_eq!(world.stats().waiting_bytes, 0);
}

#[test]
fn under_pressure_producers_still_send_in_large_pieces() {
    let config = Config::new().high_water(8_000).queue_budget(20_000);
    let mut world = World::new(1, config, Endless).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let hogs: Vec<Peer> = (0..2).map(|_| world.dial(addr)).collect();
    hogs.iter().for_each(|hog| hog.read(Reading::Never));
    assert!(world.run_until_still().is_continue());
    let third = world.dial(addr);
    third.read(Reading::Never);
    assert!(world.run_until_still().is_continue());
    assert!(world.stats().waiting_bytes > 15_000, "{:?}", world.stats());
    world.set_faults(Faults { buffer: 100_000, ..Faults::none() });
    let good = world.dial(addr);
    let calls = world.calls().1;
    while good.received().len() < 80_000 {
        assert!(world.turn(SECOND).is_continue());
    }
    // A thousand bytes each, an eighth of high water.
    let calls = world.calls().1 - calls;
    assert!(calls < 1_000, "{calls} writes");
}

/// Answers each byte with a hundred.
fn hundredfold() -> impl Handler<State = ()> {
    from_fn(|conn: &mut Conn<'_>, input: &mut Input<'_>| {
        if let Some(byte) = input.take_exact(1) {
            conn.send(&byte.repeat(100));
        }
    })
}

#[test]
fn row_23_when_the_budget_is_used_up_the_largest_of_those_that_stall_go_and_others_are_served() {
    let mut world = World::new(1, Config::new().queue_budget(12_000), hundredfold()).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let mut hogs = Vec::new();
    for size in [40, 80, 60] {
        let hog = world.dial(addr);
        hog.read(Reading::Never);
        hog.send(&vec![b'x'; size]);
        assert!(world.run_until_still().is_continue());
        hogs.push(hog);
    }
    assert!((12_000..12_100).contains(&world.stats().waiting_bytes), "and not a call more");
    let late = world.dial(addr);
    late.send(b"y");
    assert!(world.run_for(14 * SECOND).is_continue());
    assert_eq!(late.received(), b"", "it waits, as the budget is used up");
    assert!(hogs.iter().all(|hog| hog.ending().is_none()), "and the stalled clients may yet read");
    assert!(world.run_for(2 * SECOND).is_continue());
    let endings: Vec<_> = hogs.iter().map(Peer::ending).collect();
    assert_eq!(endings, [None, Some(Ending::Reset), None]);
    assert_eq!((world.stats().shed, late.received().len()), (1, 100));
}

#[test]
fn row_23_many_that_never_read_do_not_take_turns_with_the_memory_for_long() {
    let mut world = World::new(1, Config::new().queue_budget(12_000), tenthousandfold()).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let hogs: Vec<Peer> = (0..20).map(|_| world.dial(addr)).collect();
    for hog in &hogs {
        hog.read(Reading::Never);
        hog.send(b"xx");
        assert!(world.run_until_still().is_continue());
    }
    let late = world.dial(addr);
    late.send(b"y");
    assert!(world.run_for(70 * SECOND).is_continue()); // and not 20 times 15 s
    assert_eq!((late.received().len(), late.ending()), (10_000, None));
}

/// Answers each byte with ten thousand.
fn tenthousandfold() -> impl Handler<State = ()> {
    from_fn(|conn: &mut Conn<'_>, input: &mut Input<'_>| {
        if let Some(byte) = input.take_exact(1) {
            conn.send(&byte.repeat(10_000));
        }
    })
}

#[test]
fn a_stall_that_takes_memory_from_others_is_a_quarter_of_the_write_timeout() {
    let config = Config::new().queue_budget(12_000).write_timeout(Some(8 * SECOND));
    let mut world = World::new(1, config, hundredfold()).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let hogs: Vec<Peer> = (0..5).map(|_| world.dial(addr)).collect();
    for hog in &hogs {
        hog.read(Reading::Never);
        hog.send(&[b'x'; 60]);
    }
    assert!(world.run_for(3 * SECOND).is_continue());
    assert!(hogs.iter().any(|hog| hog.ending() == Some(Ending::Reset)));
    assert!(world.stats().shed > 0 && world.stats().expired.write == 0, "{:?}", world.stats());
}

#[test]
fn a_smaller_budget_ends_no_connection_that_still_reads() {
    let (mut world, addr, ends) = ends_world(Config::new().high_water(1_000));
    world.set_faults(Faults { buffer: 100, ..Faults::none() });
    let hogs = hogs(&mut world, addr, 30);
    assert!(world.run_until_still().is_continue());
    assert!(world.stats().waiting_bytes > 30_000);
    let less = world.reactor().context().config().clone().queue_budget(10_000);
    world.reconfigure(less).unwrap();
    let late = world.dial(addr);
    late.send(b"x");
    assert!(world.run_for(10 * SECOND).is_continue());
    assert_eq!((world.stats().shed, world.stats().open), (0, 30));
    for hog in &hogs[..15] {
        hog.read(Reading::Slowly { bytes: 100, every: SECOND });
    }
    assert!(world.run_for(100 * SECOND).is_continue());
    for hog in &hogs[..15] {
        assert_eq!((hog.ending(), hog.received().len()), (None, 5_000));
    }
    assert!(hogs[15..].iter().all(|hog| hog.ending() == Some(Ending::Reset)));
    assert_eq!((ends.0.borrow().len(), world.stats().shed), (15, 15));
    assert_eq!(late.received(), b"x");
}

#[test]
fn a_peer_that_does_not_read_is_not_read_from_much_beyond_high_water() {
    let (mut world, addr, _) = ends_world(Config::new().high_water(10_000));
    world.set_faults(Faults { buffer: 8_000, ..Faults::none() });
    let peer = world.dial(addr);
    peer.read(Reading::Never);
    peer.send(&[b'x'; 100_000]);
    assert!(world.run_until_still().is_continue());
    let waiting = world.stats().waiting_bytes;
    assert!((10_001..=14_096).contains(&waiting), "{waiting} bytes wait");
}

#[test]
fn a_lingering_connection_holds_no_memory() {
    let handler = from_fn(|_, input| while input.take_until(b"\n").is_some() {});
    let config = Config::new().idle_timeout(Some(10 * SECOND)).linger_timeout(5 * SECOND);
    let mut world = World::new(1, config, handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    peer.send(b"unfinished");
    assert!(world.run_for(8 * SECOND).is_continue());
    assert_eq!((world.stats().open, world.stats().waiting_bytes), (1, 10));
    assert!(world.run_for(4 * SECOND).is_continue());
    assert_eq!((world.stats().open, world.stats().waiting_bytes), (1, 0));
}

#[test]
fn unfinished_messages_count_too() {
    let handler = from_fn(|_, input| while input.take_until(b"\n").is_some() {});
    let config = Config::new().queue_budget(20_000);
    let mut world = World::new(1, config, handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peers: Vec<Peer> = (1..=9).map(|_| world.dial(addr)).collect();
    assert!(world.run_until_still().is_continue());
    for (peer, thousands) in peers.iter().zip(1..) {
        peer.send(&vec![b'x'; thousands * 1_000]);
        assert!(world.run_until_still().is_continue());
    }
    assert_eq!(world.stats().waiting_bytes, 10_000, "half of the budget is for input");
    assert!(world.run_for(15 * SECOND + SECOND / 5).is_continue());
    assert_eq!(peers[3].ending(), Some(Ending::Reset), "it had the longest");
    assert_eq!(peers[0].ending(), None);
    assert_eq!(world.stats().waiting_bytes, 11_000, "and the next is heard in its place");
}

#[test]
fn try_send_is_refused_above_the_budget() {
    let refused = Rc::new(RefCell::new(0));
    let count = Rc::clone(&refused);
    let handler = from_fn(move |conn, input| {
        input.take();
        conn.reactor().for_each(|other| {
            while other.try_send(&[b'x'; 1_000]).is_ok() {}
            *count.borrow_mut() += 1;
        });
    });
    let config = Config::new().queue_limit(1_000_000).queue_budget(100_000);
    let mut world = World::new(1, config, handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 100, ..Faults::none() });
    let peers: Vec<Peer> = (0..10).map(|_| world.dial(addr)).collect();
    for peer in &peers {
        peer.read(Reading::Never);
    }
    assert!(world.run_until_still().is_continue());
    peers[0].send(b"go");
    assert!(world.run_until_still().is_continue());
    assert_eq!(*refused.borrow(), 9);
    assert!(world.stats().waiting_bytes <= 100_000);
    assert_eq!(world.stats().shed, 0, "no connection is shed for refused bytes");
}

#[test]
fn when_the_pressure_ends_the_waiting_connections_go_on() {
    let config = Config::new().high_water(8_000).low_water(4_000).queue_budget(20_000);
    let (mut world, addr, _) = ends_world(config.write_timeout(None));
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let hogs: Vec<Peer> = hogs(&mut world, addr, 6);
    let late = world.dial(addr);
    assert!(world.run_until_still().is_continue());
    assert!(world.stats().waiting_bytes > 15_000, "{:?}", world.stats());
    // It holds less than low water, but under pressure that is too much.
    late.read(Reading::Never);
    late.send(&[b'x'; 6_000]);
    assert!(world.run_until_still().is_continue());
    assert!(late.unread_by_server() > 0);
    hogs.iter().for_each(Peer::reset);
    assert!(world.run_until_still().is_continue());
    assert_eq!(late.unread_by_server(), 0, "nothing has come from it or been taken by it since");
}

#[test]
fn a_relay_that_was_told_to_wait_under_pressure_is_told_to_go_on() {
    /// Echoes, or sends something to the first one and waits for it.
    struct Told(Rc<RefCell<Vec<String>>>);
    impl Handler for Told {
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
            match input.take() {
                b"go" => {
                    let mut first = None;
                    conn.reactor().for_each(|other| first = first.or_else(|| Some(other.id())));
                    let first = first.ok_or("there is no other")?;
                    let mut reactor = conn.reactor();
                    let mut first = reactor.get(first).ok_or("it has gone")?;
                    first.send(&[b'x'; 100]);
                    // It is far below its own high water.
                    assert!(first.is_above_high_water());
                }
                bytes => conn.send(bytes),
            }
            Ok(())
        }
        fn on_low_water(&mut self, conn: &mut Conn<'_>, (): &mut ()) -> Result<(), BoxError> {
            self.0.borrow_mut().push(conn.id().to_string());
            Ok(())
        }
    }
    let drained = Rc::new(RefCell::new(Vec::new()));
    let config = Config::new().high_water(700).queue_budget(600);
    let mut world = World::new(1, config, Told(Rc::clone(&drained))).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let faults = Faults { buffer: 1_000, latency: Duration::from_nanos(1), ..Faults::none() };
    world.set_faults(faults);
    let reader = world.dial(addr);
    assert!(world.run_until_still().is_continue());
    let (writer, hog) = (world.dial(addr), world.dial(addr));
    hog.read(Reading::Never);
    hog.send(&[b'h'; 2_400]);
    assert!(world.run_until_still().is_continue());
    assert_eq!(world.stats().waiting_bytes, 400);
    // The pressure comes by what is sent, and goes in the same turn, before that is on its way.
    writer.send(b"go");
    hog.reset();
    assert!(world.run_until_still().is_continue());
    let told = drained.borrow().iter().filter(|id| *id == "#1").count();
    assert_eq!((reader.received().len(), told), (100, 1));
}

#[test]
fn higher_marks_wake_the_connections_that_waited_by_the_lower_ones() {
    let (mut world, addr, _) = ends_world(Config::new().high_water(1_000).low_water(0));
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let peer = world.dial(addr);
    peer.read(Reading::Never);
    peer.send(&[b'x'; 20_000]);
    assert!(world.run_until_still().is_continue());
    let unread = peer.unread_by_server();
    let higher = world.reactor().context().config().clone().high_water(10_000).low_water(9_000);
    world.reconfigure(higher).unwrap();
    assert!(world.run_until_still().is_continue());
    assert!(peer.unread_by_server() + 5_000 < unread, "{unread} bytes were unread before");
}

#[test]
fn a_slow_reader_is_not_shed_before_peers_that_never_read() {
    let config = Config::new().queue_budget(1 << 20).high_water(200_000);
    let (mut world, addr, _) = ends_world(config);
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let reader = world.dial(addr);
    reader.read(Reading::Slowly { bytes: 500, every: SECOND / 10 });
    reader.send(&[b'x'; 150_000]);
    let hogs = hogs(&mut world, addr, 4);
    assert!(world.run_for(2 * SECOND).is_continue());
    let less = world.reactor().context().config().clone().queue_budget(10_000);
    world.reconfigure(less).unwrap();
    let _waits = world.dial(addr);
    assert!(world.run_for(20 * SECOND).is_continue());
    assert_eq!(reader.ending(), None, "it held the most, but it reads");
    assert!(hogs.iter().any(|hog| hog.ending() == Some(Ending::Reset)));
}

// Fairness:

#[test]
fn row_08_with_one_place_free_at_a_time_each_listener_gets_its_turn() {
    let (mut world, addr, _) = ends_world(Config::new().max_connections(1));
    let other = world.listen("10.0.0.1:7001").unwrap();
    let crowd: Vec<Peer> = (0..50).map(|_| world.dial(addr)).collect();
    let lonely = world.dial(other);
    crowd.iter().chain([&lonely]).for_each(|peer| {
        peer.send(b"x");
        peer.shutdown_write();
    });
    while lonely.ending().is_none() {
        assert!(world.turn(SECOND).is_continue());
    }
    let before = crowd.iter().filter(|peer| peer.ending().is_some()).count();
    assert!(before < 25, "{before} of the crowd came first");
}

#[test]
fn row_08_no_client_is_refused_a_place_that_has_just_become_free() {
    let overflow = Overflow::Reject { last_words: Vec::new() };
    let (mut world, addr, _) = ends_world(Config::new().max_connections(1).overflow(overflow));
    // Arrivals and departures are seen at once.
    world.set_faults(Faults { latency: Duration::from_nanos(1), ..Faults::none() });
    let mut last = world.dial(addr);
    assert!(world.run_until_still().is_continue());
    for _ in 0..20 {
        last.shutdown_write();
        last = world.dial(addr);
        assert!(world.run_until_still().is_continue());
    }
    assert_eq!((world.stats().accepted, world.stats().refused_full), (21, 0));
}

#[test]
fn row_08_new_limits_forget_neither_idle_times_nor_the_rate() {
    let config = Config::new().max_connections(2).accept_rate(1, 2);
    let (mut world, addr, _) = ends_world(config);
    // The slots say nothing of it.
    let active = world.dial(addr);
    assert!(world.run_for(SECOND).is_continue());
    let idle = world.dial(addr);
    assert!(world.run_for(SECOND).is_continue());
    active.send(b"x");
    assert!(world.run_for(SECOND).is_continue());
    let evicting = world.reactor().context().config().clone().overflow(Overflow::EvictIdlest);
    world.reconfigure(evicting).unwrap();
    let client = world.dial(addr);
    assert!(world.run_for(SECOND / 10).is_continue());
    assert_eq!((idle.ending(), active.ending()), (Some(Ending::Fin), None));
    assert_eq!(client.ending(), None);
    for seconds in 100..110 {
        let other = world.reactor().context().config().clone().idle_timeout(Some(seconds * SECOND));
        world.reconfigure(other.max_connections(seconds as usize)).unwrap();
        drop(world.dial(addr));
        assert!(world.run_for(SECOND / 100).is_continue());
    }
    assert!(world.stats().refused_rate >= 8, "{:?}", world.stats());
}

#[test]
fn row_24_beside_one_that_never_stops_each_request_is_answered_in_two_turns() {
    let (mut world, addr, _) = ends_world(Config::new());
    let faults = Faults { buffer: 1 << 20, latency: Duration::from_nanos(1), ..Faults::none() };
    world.set_faults(faults);
    let flooder = world.dial(addr);
    let quiet: Vec<Peer> = (0..100).map(|_| world.dial(addr)).collect();
    assert!(world.run_until_still().is_continue());
    for peer in quiet.iter().cycle().take(1_000) {
        flooder.send(&[b'f'; 200_000]);
        drop(flooder.take_received());
        peer.send(b"q");
        let before = world.stats().turns;
        while peer.take_received().is_empty() {
            assert!(world.turn(Duration::ZERO).is_continue());
            assert!(world.stats().turns - before <= 3, "it waits");
        }
    }
    let exhausted = world.stats().exhausted;
    assert!(exhausted.reads > 500, "the flooder had more to say: {exhausted:?}");
}

#[test]
fn row_24_busy_connections_wait_for_each_other_and_no_other_waits_for_all_of_them() {
    const FLOODERS: usize = 300;
    let (mut world, addr, _) =
        ends_world(Config::new().budgets(Budgets { accepts: FLOODERS, ..Budgets::default() }));
    let faults = Faults { buffer: 1 << 22, latency: Duration::from_nanos(1), ..Faults::none() };
    world.set_faults(faults);
    let quiet = world.dial(addr);
    let flooders: Vec<Peer> = (0..FLOODERS).map(|_| world.dial(addr)).collect();
    assert!(world.run_until_still().is_continue());
    for flooder in &flooders {
        flooder.send(&vec![b'f'; 10 * 32 * 1024]);
    }
    // From here on all have had their turn and could go on.
    for _ in 0..2 {
        assert!(world.turn(Duration::ZERO).is_continue());
    }
    for _ in 0..20 {
        quiet.send(b"q");
        let before = world.stats();
        while quiet.take_received().is_empty() {
            assert!(world.turn(Duration::ZERO).is_continue());
        }
        let (turns, reads) = (world.stats().turns - before.turns, world.stats().reads);
        assert!(turns <= 3, "it waits {turns} turns");
        assert!(reads - before.reads <= 10 * turns, "and they are long");
    }
    assert!(world.run_until_still().is_continue());
    let all = flooders.iter().map(|flooder| flooder.received().len());
    assert!(all.into_iter().all(|len| len == 10 * 32 * 1024), "no connection waits for ever");
}

#[test]
fn one_turn_writes_no_more_to_a_connection_than_its_budget() {
    let handler = from_fn(|conn, input| {
        input.take();
        conn.send(&[b'x'; 50_000]);
    });
    let mut world = World::new(
        1,
        Config::new().budgets(Budgets { write: 1_000, ..Budgets::default() }),
        handler,
    )
    .unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 1 << 20, ..Faults::none() });
    let peer = world.dial(addr);
    peer.send(b"x");
    let mut before = 0;
    while peer.received().len() < 50_000 {
        let after = world.next_move().expect("it is not over yet");
        assert!(world.turn(after).is_continue());
        let written = world.stats().bytes_out;
        assert!(written - before <= 1_000, "{} bytes in one turn", written - before);
        before = written;
    }
    assert_eq!(world.stats().exhausted.writes, 49);
}

#[test]
fn one_turn_makes_no_more_calls_on_one_input_than_the_budget() {
    let calls = Rc::new(RefCell::new(0));
    let count = Rc::clone(&calls);
    let handler = from_fn(move |_, input| {
        input.take_exact(1);
        *count.borrow_mut() += 1;
    });
    let mut world =
        World::new(1, Config::new().budgets(Budgets { calls: 7, ..Budgets::default() }), handler)
            .unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    peer.send(&[b'x'; 100]);
    let mut before = 0;
    while *calls.borrow() < 100 {
        let after = world.next_move().expect("it is not over yet");
        assert!(world.turn(after).is_continue());
        assert!(*calls.borrow() - before <= 7);
        before = *calls.borrow();
    }
    assert_eq!(world.stats().exhausted.calls, 14);
}

#[test]
fn one_turn_accepts_no_more_than_the_budget() {
    let (mut world, addr, _) =
        ends_world(Config::new().budgets(Budgets { accepts: 3, ..Budgets::default() }));
    world.set_faults(Faults { latency: Duration::from_nanos(1), ..Faults::none() });
    let _peers: Vec<Peer> = (0..30).map(|_| world.dial(addr)).collect();
    let mut before = 0;
    while world.stats().accepted < 30 {
        let after = world.next_move().expect("it is not over yet");
        assert!(world.turn(after).is_continue());
        let accepted = world.stats().accepted;
        assert!(accepted - before <= 3);
        before = accepted;
    }
    assert!(world.stats().exhausted.accepts > 0);
}

#[test]
fn row_25_many_connections_in_a_row_leave_nothing_behind() {
    let (mut world, addr, ends) = ends_world(Config::new());
    for round in 0..5_000_u32 {
        let peer = world.dial(addr);
        peer.send(b"x");
        assert!(world.run_until_still().is_continue());
        match round % 3 {
            0 => peer.shutdown_write(),
            1 => peer.close(),
            _ => peer.reset(),
        }
        assert!(world.run_until_still().is_continue());
    }
    let stats = world.stats();
    assert_eq!((stats.open, stats.waiting_bytes, world.open_sockets()), (0, 0, 0));
    assert_eq!((stats.closed, ends.0.borrow().len()), (5_000, 5_000));
}

// Paused reading:

/// Takes a letter a call, and pauses itself after each; a peer that says `!` has the first one go on.
fn one_at_a_time() -> (World<impl Handler>, std::net::SocketAddr, Rc<RefCell<String>>) {
    let seen = Rc::new(RefCell::new(String::new()));
    let diary = Rc::clone(&seen);
    let mut first: Option<ConnId> = None;
    let handler = from_fn(move |conn, input| {
        let own = conn.id();
        let id = *first.get_or_insert(own);
        if id == own {
            let letter = input.take_exact(1).map_or(' ', |byte| char::from(byte[0]));
            diary.borrow_mut().push(letter);
            conn.pause();
            return;
        }
        let mut reactor = conn.reactor();
        let mut other = reactor.get(id).unwrap();
        match input.take() {
            b"!" => other.resume_for(1),
            b"3" => other.resume_for(3),
            _ => other.resume(),
        }
    });
    let mut world = World::new(1, Config::new(), handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    (world, addr, seen)
}

#[test]
fn a_paused_connection_keeps_what_was_read_and_is_offered_it_when_it_is_resumed() {
    let (mut world, addr, seen) = one_at_a_time();
    let worker = world.dial(addr);
    worker.send(b"abcdef");
    assert!(world.run_until_still().is_continue());
    assert_eq!(*seen.borrow(), "a");
    let boss = world.dial(addr);
    for expected in ["ab", "abc", "abcd"] {
        boss.send(b"!");
        assert!(world.run_until_still().is_continue());
        assert_eq!(*seen.borrow(), expected);
    }
}

#[test]
fn a_paused_connection_is_not_read_from() {
    let (mut world, addr, seen) = one_at_a_time();
    world.set_faults(Faults { buffer: 100, ..Faults::none() });
    let worker = world.dial(addr);
    worker.send(&[b'x'; 10_000]);
    assert!(world.run_until_still().is_continue());
    assert!(worker.unread_by_server() >= 9_900, "the kernel holds it back");
    assert_eq!(*seen.borrow(), "x");
}

#[test]
fn so_many_calls_are_so_many_and_then_it_pauses_by_itself() {
    let seen = Rc::new(RefCell::new(0));
    let count = Rc::clone(&seen);
    struct Counted(Rc<RefCell<u32>>);
    impl Handler for Counted {
        type State = ();
        fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
            conn.resume_for(3);
            Ok(())
        }
        fn on_data(
            &mut self,
            _: &mut Conn<'_>,
            (): &mut (),
            input: &mut Input<'_>,
        ) -> Result<(), BoxError> {
            input.take_exact(1);
            *self.0.borrow_mut() += 1;
            Ok(())
        }
    }
    let mut world = World::new(1, Config::new(), Counted(count)).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    peer.send(b"abcdef");
    assert!(world.run_for(2 * 3_600 * SECOND).is_continue());
    assert_eq!(*seen.borrow(), 3);
    assert_eq!(peer.ending(), None, "its peer is not blamed for silence");
}

#[test]
fn row_14_a_reset_is_seen_while_the_handler_has_paused_and_what_came_before_can_still_be_had() {
    for resumed in [true, false] {
        let (mut world, addr, seen) = one_at_a_time();
        let (worker, boss) = (world.dial(addr), world.dial(addr));
        worker.send(b"a");
        assert!(world.run_until_still().is_continue());
        worker.send(b"b");
        assert!(world.run_for(60 * SECOND).is_continue());
        worker.reset();
        assert!(world.run_for(SECOND).is_continue());
        assert_eq!(world.stats().open, 2);
        if resumed {
            boss.send(b"*");
        }
        assert!(world.run_for(10 * SECOND).is_continue());
        assert_eq!(*seen.borrow(), if resumed { "ab" } else { "a" });
        assert_eq!(world.stats().open, 1);
    }
}

#[test]
fn a_relay_passes_on_no_faster_than_the_other_side_takes_it() {
    /// Two by two, in the order of their coming.
    struct Relay(Option<ConnId>);
    impl Handler for Relay {
        type State = Option<ConnId>;
        fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<Option<ConnId>, BoxError> {
            let first = self.0.replace(conn.id());
            Ok(first)
        }
        fn on_data(
            &mut self,
            conn: &mut Conn<'_>,
            to: &mut Option<ConnId>,
            input: &mut Input<'_>,
        ) -> Result<(), BoxError> {
            if let Some(to) = *to {
                let mut reactor = conn.reactor();
                let mut to = reactor.get(to).ok_or("it has gone")?;
                to.send(input.take());
                assert!(to.info().queued <= 1_000 + 70_000);
                if to.is_above_high_water() {
                    conn.pause();
                }
            }
            Ok(())
        }
        fn on_low_water(
            &mut self,
            conn: &mut Conn<'_>,
            _: &mut Option<ConnId>,
        ) -> Result<(), BoxError> {
            let second = self.0.expect("both are there");
            conn.reactor().get(second).ok_or("it has gone")?.resume();
            Ok(())
        }
    }
    let mut world = World::new(1, Config::new().high_water(1_000), Relay(None)).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 500, ..Faults::none() });
    let reader = world.dial(addr);
    assert!(world.run_until_still().is_continue());
    let writer = world.dial(addr);
    reader.read(Reading::Slowly { bytes: 100, every: SECOND / 10 });
    let bytes: Vec<u8> = (0..20_000_u32).map(|at| (at * at / 7) as u8).collect();
    writer.send(&bytes);
    let mut most = 0;
    while reader.received().len() < bytes.len() {
        let after = world.next_move().expect("it is not over yet");
        assert!(world.turn(after).is_continue());
        most = most.max(world.stats().waiting_bytes);
    }
    assert_eq!(reader.received(), bytes);
    assert!(most <= 1_500, "{most} bytes waited");
}

#[test]
fn an_echo_at_its_defaults_survives_an_hour_of_a_busy_client() {
    let mut world = World::new(1, Config::new(), Echo).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    for minute in 0..180_usize {
        peer.send(b"tick");
        assert!(world.run_for(60 * SECOND).is_continue());
        assert_eq!(peer.received().len(), 4 * (minute + 1));
    }
    assert_eq!(peer.ending(), None);
}
