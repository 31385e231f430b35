//! Several listeners: their tags, what they override, and their end.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Answer, Ending, Peer, Reading, World};
use readyloop::{
    CloseReason, Config, Conn, ConnectOptions, Echo, Error, Handler, Input, ListenOptions,
    Overflow, Result, Suspension, from_fn,
};

const PLAIN: &str = "10.0.0.1:7000";
const OTHER: &str = "10.0.0.1:7001";
const SECOND: Duration = Duration::from_secs(1);
const TAG: u64 = 7;

/// Echoes, or does what a message asks for, and notes the tag and the reason of each connection that ends.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<(u64, String)>>>);

impl Notes {
    /// The reasons of the connections with this tag, since the last time.
    fn take(&self, tag: u64) -> Vec<String> {
        let mut notes = self.0.borrow_mut();
        notes.extract_if(.., |(of, _)| *of == tag).map(|(_, reason)| reason).collect()
    }
}

impl Handler for Notes {
    type State = ();

    fn on_open(&mut self, _: &mut Conn) -> Result {
        Ok(())
    }

    fn on_data(&mut self, conn: &mut Conn, (): &mut (), input: &mut Input) -> Result {
        match input.take_until(b"\n") {
            Some(b"tag") => conn.send(conn.listener_tag().to_string().as_bytes()),
            Some(b"close") => conn.close(),
            Some(b"flood") => conn.send(&[b'f'; 3_000_000]),
            Some(b"high water") => {
                conn.send(&[b'h'; 1_000_000]);
                let mut sent = 1_000_000;
                while !conn.is_above_high_water() {
                    conn.send(b"h");
                    sent += 1;
                }
                conn.send(format!(" {sent}").as_bytes());
            }
            Some(line) => conn.send(line),
            None => {}
        }
        Ok(())
    }

    fn on_close(&mut self, conn: &mut Conn, (): (), reason: &CloseReason) {
        self.0.borrow_mut().push((conn.listener_tag(), reason.to_string()));
    }
}

/// A world with one listener that overrides these settings, and one that does not.
struct Two {
    world: World<Notes>,
    notes: Notes,
    plain: SocketAddr,
    tagged: SocketAddr,
}

impl Two {
    fn new(config: Config, overrides: Config) -> Self {
        let notes = Notes::default();
        let mut world = World::new(1, config, notes.clone()).unwrap();
        let plain = world.listen(PLAIN).unwrap();
        let options = ListenOptions::new(OTHER).tag(TAG).overrides(overrides);
        let tagged = world.listen(options).unwrap();
        Self { world, notes, plain, tagged }
    }

    /// One peer of each listener.
    fn dial(&mut self) -> [Peer; 2] {
        [self.world.dial(self.plain), self.world.dial(self.tagged)]
    }

    fn run(&mut self, time: Duration) {
        assert!(self.world.run_for(time).is_continue());
    }

    /// The reasons for which connections have ended: of the plain listener, and of the other.
    fn reasons(&self) -> [Vec<String>; 2] {
        [self.notes.take(0), self.notes.take(TAG)]
    }

    fn reconfigure(&mut self, config: Config) {
        self.world.reconfigure(config).unwrap();
    }
}

fn ask(world: &mut World<Notes>, peer: &Peer, what: &str) -> String {
    peer.send(what.as_bytes());
    peer.send(b"\n");
    let _ = world.run_until_still();
    String::from_utf8(peer.take_received()).unwrap()
}

#[test]
fn a_handler_reads_the_tag_of_the_listener_that_accepted() {
    let mut two = Two::new(Config::new(), Config::new());
    let [plain, tagged] = two.dial();
    assert_eq!(ask(&mut two.world, &plain, "tag"), "0");
    assert_eq!(ask(&mut two.world, &tagged, "tag"), "7");
    let remote = ([10, 0, 0, 9], 1).into();
    two.world.answer(remote, Answer::Accept);
    two.world.reactor().context().connect(&[remote], &ConnectOptions::new());
    let _ = two.world.run_until_still();
    let called = two.world.dialled().remove(0);
    assert_eq!(ask(&mut two.world, &called, "tag"), "0", "it was outbound");
    let mut infos: Vec<_> =
        two.world.connections().iter().map(|info| (info.listener, info.listener_tag)).collect();
    infos.sort_unstable();
    assert_eq!(infos, [(None, 0), (Some(two.plain.into()), 0), (Some(two.tagged.into()), TAG)]);
}

/// Of two connections, one ends by the deadline of its listener, after five seconds, and the other by that of the
/// reactor: after twenty seconds, and after a minute once that is what it is told.
#[track_caller]
fn assert_deadline(set: fn(Config, Duration) -> Config, act: fn(&Peer), expected: &str) {
    let base = Config::new().linger_timeout(SECOND / 10);
    let mut two = Two::new(set(base.clone(), 20 * SECOND), set(Config::new(), 5 * SECOND));
    for plain in [20, 60] {
        for peer in two.dial() {
            act(&peer);
        }
        two.run(10 * SECOND);
        let [none, one] = two.reasons();
        assert_eq!((none.len(), one.len()), (0, 1), "after 10 s, of {plain}: {one:?}");
        assert!(one[0].contains(expected) && one[0].contains("5s"), "{one:?}");
        two.run(SECOND * (plain - 5) / 2);
        assert_eq!(two.reasons(), [vec![], vec![]] as [Vec<String>; 2], "of {plain}");
        two.run(SECOND * plain);
        let [one, none] = two.reasons();
        assert_eq!((one.len(), none.len()), (1, 0), "after {plain} s");
        let limit = format!("{:?}", SECOND * plain);
        assert!(one[0].contains(expected) && one[0].contains(&limit), "{one:?}");
        two.reconfigure(set(base.clone(), 60 * SECOND));
    }
}

#[test]
fn a_listeners_first_byte_deadline_is_its_own() {
    let set = |config: Config, time| config.first_byte_timeout(Some(time));
    assert_deadline(set, |_| {}, "no byte arrived");
}

#[test]
fn a_listeners_idle_deadline_is_its_own() {
    let set = |config: Config, time| config.idle_timeout(Some(time));
    assert_deadline(set, |peer| assert!(peer.send(b"x\n")), "the peer sent nothing");
}

#[test]
fn a_listeners_write_deadline_is_its_own() {
    let set = |config: Config, time| config.write_timeout(Some(time));
    let stall = |peer: &Peer| {
        peer.read(Reading::Never);
        peer.send(b"flood\n");
    };
    assert_deadline(set, stall, "read none of the queued bytes");
}

#[test]
fn a_listeners_maximum_age_is_its_own() {
    let set = |config: Config, time| config.max_age(Some(time));
    assert_deadline(set, |_| {}, "");
}

#[test]
fn a_listeners_linger_time_is_its_own() {
    let config = Config::new().linger_timeout(20 * SECOND);
    let mut two = Two::new(config, Config::new().linger_timeout(SECOND));
    for plain in [20, 60] {
        let [slow, quick] = two.dial();
        for peer in [&slow, &quick] {
            peer.send(b"close\n");
        }
        two.run(5 * SECOND);
        assert_eq!(two.world.stats().open, 1, "the peers do not finish");
        assert_eq!(two.reasons()[1].len(), 1);
        two.run(SECOND * (plain - 10));
        assert_eq!(two.world.stats().open, 1, "of {plain}");
        two.run(10 * SECOND);
        assert_eq!(two.world.stats().open, 0, "of {plain}");
        assert_eq!(two.reasons()[0].len(), 1);
        two.reconfigure(Config::new().linger_timeout(60 * SECOND));
    }
}

#[test]
fn a_listeners_limit_of_input_is_its_own() {
    let mut two = Two::new(Config::new().max_input(1_000), Config::new().max_input(10_000));
    for plain in [1_000, 100] {
        let [small, large] = two.dial();
        for peer in [&small, &large] {
            peer.send(&vec![b'x'; plain]);
            let _ = two.world.run_until_still();
            assert_eq!(peer.ending(), None);
            peer.send(b"y");
        }
        let _ = two.world.run_until_still();
        assert_eq!((small.ending(), large.ending()), (Some(Ending::Fin), None), "of {plain}");
        large.send(&vec![b'x'; 9_999 - plain]);
        let _ = two.world.run_until_still();
        assert_eq!(large.ending(), None);
        large.send(b"z");
        let _ = two.world.run_until_still();
        assert_eq!(large.ending(), Some(Ending::Fin));
        two.run(6 * SECOND); // they linger
        let [[one], [other]] = two.reasons().map(|all| <[String; 1]>::try_from(all).unwrap());
        assert!(one.contains(&plain.to_string()) && other.contains("10000"), "{one}, {other}");
        two.reconfigure(Config::new().max_input(100));
    }
}

#[test]
fn a_listeners_water_marks_are_its_own() {
    let mut two = Two::new(Config::new(), Config::new().high_water(2_000_000));
    for plain in [32 * 1024, 1_500_000] {
        for (peer, high) in two.dial().iter().zip([plain, 2_000_000]) {
            let answer = ask(&mut two.world, peer, "high water");
            let sent: usize = answer.rsplit(' ').next().unwrap().parse().unwrap();
            assert_eq!(sent, high.max(999_999) + 1, "the mark is {high}");
        }
        two.reconfigure(Config::new().high_water(1_500_000));
    }
}

/// How often a peer that reads slowly has `on_low_water` called, and how much was queued then.
#[test]
fn a_listeners_low_water_mark_is_its_own() {
    struct Marks(Rc<RefCell<Vec<(u64, usize)>>>);
    impl Handler for Marks {
        type State = ();
        fn on_open(&mut self, conn: &mut Conn) -> Result {
            conn.send(&[b'x'; 500_000]);
            Ok(())
        }
        fn on_data(&mut self, _: &mut Conn, (): &mut (), _: &mut Input) -> Result {
            Ok(())
        }
        fn on_low_water(&mut self, conn: &mut Conn, (): &mut ()) -> Result {
            self.0.borrow_mut().push((conn.listener_tag(), conn.info().queued));
            Ok(())
        }
    }
    let marks = Rc::new(RefCell::new(Vec::new()));
    let config = Config::new().high_water(200_000).low_water(50_000);
    let mut world = World::new(1, config, Marks(Rc::clone(&marks))).unwrap();
    let plain = world.listen(PLAIN).unwrap();
    let options = ListenOptions::new(OTHER).tag(TAG).overrides(Config::new().low_water(150_000));
    let tagged = world.listen(options).unwrap();
    for low in [50_000, 25_000] {
        for addr in [plain, tagged] {
            world.dial(addr).read(Reading::Slowly { bytes: 1_000, every: SECOND / 100 });
        }
        let _ = world.run_until_still();
        let queued = |tag| {
            let marks = marks.borrow();
            let of_tag: Vec<usize> =
                marks.iter().filter(|(of, _)| *of == tag).map(|(_, queued)| *queued).collect();
            <[usize; 1]>::try_from(of_tag).expect("each is told once")[0]
        };
        // A write takes what the peer has read meanwhile.
        let about = |queued: usize, mark: usize| queued <= mark && mark - queued < 25_000;
        assert!(about(queued(0), low), "{} of {low}", queued(0));
        assert!(about(queued(TAG), 150_000), "{}", queued(TAG));
        marks.borrow_mut().clear();
        world.reconfigure(Config::new().high_water(200_000).low_water(25_000)).unwrap();
    }
}

#[test]
fn a_listeners_queue_limit_is_its_own() {
    let handler = from_fn(|conn, input| {
        input.take();
        let mut taken = 0;
        while conn.try_send(&[b'x'; 1_000]).is_ok() {
            taken += 1;
        }
        conn.send(format!(" {taken}").as_bytes());
    });
    let config = Config::new().high_water(1_000).queue_limit(50_000);
    let mut world = World::new(1, config, handler).unwrap();
    let plain = world.listen(PLAIN).unwrap();
    let options = ListenOptions::new(OTHER).overrides(Config::new().queue_limit(20_000));
    let tagged = world.listen(options).unwrap();
    for plain_limit in [50, 60] {
        for (addr, limit) in [(plain, plain_limit), (tagged, 20)] {
            let peer = world.dial(addr);
            peer.send(b"go");
            let _ = world.run_until_still();
            assert!(peer.received().ends_with(format!(" {limit}").as_bytes()));
        }
        world.reconfigure(Config::new().high_water(1_000).queue_limit(60_000)).unwrap();
    }
}

#[test]
fn what_a_listener_does_not_override_follows_the_reactor_at_once() {
    let mut two = Two::new(Config::new(), Config::new().max_input(10));
    let peers = two.dial();
    two.run(SECOND);
    two.reconfigure(Config::new().idle_timeout(Some(3 * SECOND)));
    two.run(10 * SECOND);
    assert!(peers.iter().all(|peer| peer.ending() == Some(Ending::Fin)));
    assert!(two.reasons().iter().all(|reasons| reasons.len() == 1 && reasons[0].contains("3s")));
}

#[test]
fn an_override_to_the_default_is_one() {
    let config = Config::new().idle_timeout(Some(SECOND));
    let hour = Some(Duration::from_secs(3_600));
    let mut two = Two::new(config, Config::new().idle_timeout(hour));
    let [plain, tagged] = two.dial();
    two.run(1_000 * SECOND);
    assert_eq!((plain.ending(), tagged.ending()), (Some(Ending::Fin), None));
}

#[test]
fn overrides_that_contradict_themselves_or_the_reactor_are_refused_before_a_socket_is_made() {
    let config = Config::new().high_water(10_000).low_water(5_000);
    let mut world = World::new(1, config, Echo).unwrap();
    let cases = [
        (Config::new().high_water(4_999), "low_water (5000) is above high_water (4999)"),
        (Config::new().low_water(10_001), "low_water (10001) is above high_water (10000)"),
        (Config::new().queue_limit(9_999), "high_water (10000) is above queue_limit (9999)"),
        (Config::new().max_input(0), "max_input is 0"),
        (Config::new().max_connections(0), "max_connections is 0"),
        (Config::new().idle_timeout(Some(Duration::ZERO)), "idle_timeout is 0"),
        (Config::new().queue_budget(1 << 20), "a listener cannot override settings of the whole"),
        (Config::new().overflow(Overflow::EvictIdlest), "a listener cannot override settings"),
        (Config::new().max_per_ip(Some(1)), "a listener cannot override settings"),
    ];
    for (overrides, expected) in cases {
        let refused = world.listen(ListenOptions::new(PLAIN).overrides(overrides));
        match refused {
            Err(Error::Config(text)) => assert!(text.starts_with(expected), "{text}"),
            other => panic!("{other:?} instead of {expected}"),
        }
    }
    assert!(world.listen(PLAIN).is_ok(), "no listener is there");
}

#[test]
fn high_water_holds_if_a_reconfiguration_contradicts_an_override() {
    let overrides = Config::new().low_water(30_000).queue_limit(40_000);
    let mut two = Two::new(Config::new(), overrides);
    two.reconfigure(Config::new().high_water(10_000));
    let [_, tagged] = two.dial();
    assert_eq!(ask(&mut two.world, &tagged, "flood").len(), 3_000_000);
    two.reconfigure(Config::new().high_water(2_000_000));
    assert_eq!(ask(&mut two.world, &tagged, "flood").len(), 3_000_000);
    assert_eq!(ask(&mut two.world, &tagged, "still here"), "still here");
}

// The own limit of connections:

#[test]
fn connections_above_a_listeners_limit_wait_in_its_backlog_and_others_do_not() {
    for overflow in [Overflow::Wait, Overflow::EvictIdlest] {
        let config = Config::new().max_connections(5).overflow(overflow);
        let mut two = Two::new(config, Config::new().max_connections(2));
        let mut tagged = Vec::new();
        for _ in 0..4 {
            tagged.push(two.world.dial(two.tagged));
            let _ = two.world.run_until_still(); // so that they come in this order
        }
        assert_eq!(two.world.stats().open, 2, "the limit is exact");
        let plain = two.dial()[0].clone();
        assert_eq!(ask(&mut two.world, &plain, "served"), "served");
        assert_eq!(two.world.stats().open, 3);
        for (waiting, leaving) in [(2, 0), (3, 1)] {
            assert_eq!(ask(&mut two.world, &tagged[waiting], "waits"), "");
            tagged[leaving].close();
            let _ = two.world.run_until_still();
            assert_eq!(tagged[waiting].take_received(), b"waits", "a place was free");
            assert_eq!(two.world.stats().open, 3);
        }
    }
}

#[test]
fn a_listeners_limit_survives_a_reconfiguration_and_does_not_raise_the_reactors() {
    let mut two = Two::new(Config::new().max_connections(3), Config::new().max_connections(2));
    two.reconfigure(Config::new().max_connections(1));
    for _ in 0..4 {
        two.world.dial(two.tagged);
    }
    let _ = two.world.run_until_still();
    assert_eq!(two.world.stats().open, 1);
    two.reconfigure(Config::new().max_connections(100));
    let _ = two.world.run_until_still();
    assert_eq!(two.world.stats().open, 2);
}

#[test]
fn a_listeners_limit_and_deadlines_hold_over_several_reactors() {
    let notes = Notes::default();
    let mut world = World::of_many(1, Config::new(), 3, |_| notes.clone()).unwrap();
    let overrides = Config::new().max_connections(7).idle_timeout(Some(5 * SECOND));
    let overrides = overrides.linger_timeout(SECOND);
    let options = ListenOptions::new(OTHER).tag(TAG).overrides(overrides);
    let addr = world.listen(options).unwrap();
    let peers: Vec<_> = (0..20).map(|_| world.dial(addr)).collect();
    let _ = world.run_until_still();
    assert_eq!(world.stats().open, 7);
    let infos = world.connections();
    for reactor in 0..world.reactors().len() {
        let infos = infos.iter().filter(|info| info.reactor == reactor);
        let tags: Vec<_> = infos.map(|info| info.listener_tag).collect();
        assert!((2..=3).contains(&tags.len()) && tags.iter().all(|tag| *tag == TAG), "{tags:?}");
    }
    // Those that wait come in the places of those that are idle, seven at a time.
    for (served, ended) in [(14, 7), (20, 14), (20, 20)] {
        assert!(world.run_for(7 * SECOND).is_continue());
        assert_eq!((world.stats().accepted, world.stats().closed), (served, ended));
    }
    assert!(peers.iter().all(|peer| peer.ending() == Some(Ending::Fin)));
    assert_eq!(notes.take(TAG).len(), 20);
}

// The end of one listener:

#[test]
fn connections_of_a_closed_listener_stay_as_they_are_and_new_ones_are_refused() {
    let overrides = Config::new().max_input(100).idle_timeout(Some(60 * SECOND));
    let mut two = Two::new(Config::new(), overrides);
    let [plain, tagged] = two.dial();
    two.run(SECOND);
    assert!(two.world.close_listener(two.tagged));
    assert!(!two.world.close_listener(two.tagged), "it is closed already");
    let late = two.world.dial(two.tagged);
    let _ = two.world.run_until_still();
    assert_eq!(late.ending(), Some(Ending::Refused));
    assert_eq!(ask(&mut two.world, &tagged, "tag"), "7");
    assert_eq!(ask(&mut two.world, &plain, "tag"), "0");
    assert!(two.world.connections().iter().any(|info| info.listener == Some(two.tagged.into())));
    two.reconfigure(Config::new().max_input(1_000));
    two.run(70 * SECOND);
    assert_eq!((plain.ending(), tagged.ending()), (None, Some(Ending::Fin)));
    assert_eq!(two.world.stats().listeners_lost, 0);
    assert_eq!(ask(&mut two.world, &plain, "on"), "on");
}

#[test]
fn the_backlog_of_a_closed_listener_is_reset() {
    let mut two = Two::new(Config::new(), Config::new().max_connections(1));
    let served = two.world.dial(two.tagged);
    let _ = two.world.run_until_still();
    let waiting = two.world.dial(two.tagged);
    let _ = two.world.run_until_still();
    two.world.close_listener(two.tagged);
    let _ = two.world.run_until_still();
    assert_eq!((served.ending(), waiting.ending()), (None, Some(Ending::Reset)));
}

#[test]
fn an_address_is_used_again_by_another_listener_while_connections_of_the_former_are_left() {
    let mut two = Two::new(Config::new(), Config::new().max_input(10));
    let mut former = vec![(two.world.dial(two.tagged), TAG)];
    let _ = two.world.run_until_still();
    for tag in 100..150 {
        two.world.close_listener(two.tagged);
        let options = ListenOptions::new(OTHER).tag(tag);
        assert_eq!(two.world.listen(options).unwrap(), two.tagged);
        former.push((two.world.dial(two.tagged), tag));
        if tag % 3 == 0 {
            former.remove(0).0.close();
        }
        let _ = two.world.run_until_still();
        for (peer, tag) in &former {
            assert_eq!(ask(&mut two.world, peer, "tag"), tag.to_string());
        }
    }
    former[0].0.send(b"longer than ten bytes");
    let _ = two.world.run_until_still();
    assert_eq!(former[0].0.ending(), None, "the first, which had that limit, has gone");
}

#[test]
fn a_listener_that_was_closed_is_not_brought_back_by_resume() {
    let mut two = Two::new(Config::new(), Config::new());
    for how in [Suspension::KeepListening, Suspension::CloseListeners] {
        two.world.suspend(how);
        assert!(two.world.close_listener(two.tagged));
        two.world.resume().unwrap();
        let [plain, tagged] = two.dial();
        let _ = two.world.run_until_still();
        assert_eq!((plain.ending(), tagged.ending()), (None, Some(Ending::Refused)), "{how:?}");
        two.tagged = two.world.listen(OTHER).unwrap();
    }
}

#[test]
fn a_server_whose_listeners_were_closed_on_purpose_goes_on() {
    let config = Config::new().drain_without_listeners(Some(SECOND));
    let mut two = Two::new(config.clone(), Config::new());
    let [plain, _] = two.dial();
    let _ = two.world.run_until_still();
    for addr in [two.plain, two.tagged] {
        assert!(two.world.close_listener(addr));
    }
    two.run(100 * SECOND);
    two.reconfigure(config.max_input(100));
    two.run(100 * SECOND);
    assert_eq!(ask(&mut two.world, &plain, "on"), "on");
    assert_eq!((two.world.stats().listeners_lost, two.world.lost_listener()), (0, None));
    two.world.listen(PLAIN).unwrap();
    let [again, _] = two.dial();
    assert_eq!(ask(&mut two.world, &again, "on"), "on");
}

#[test]
fn a_server_ends_when_all_listeners_that_were_not_closed_on_purpose_have_died() {
    for dies_first in [true, false] {
        let config = Config::new().drain_without_listeners(Some(SECOND));
        let mut two = Two::new(config, Config::new());
        let _ = two.world.run_until_still();
        if dies_first {
            two.world.break_listener(two.plain);
            let _ = two.world.run_until_still();
            assert_eq!(two.world.lost_listener(), None);
            two.world.close_listener(two.tagged);
        } else {
            two.world.close_listener(two.tagged);
            two.world.break_listener(two.plain);
        }
        assert!(two.world.run_for(10 * SECOND).is_break());
        assert_eq!(
            two.world.lost_listener(),
            Some(two.plain.into()),
            "it died first: {dies_first}"
        );
    }
}

#[test]
fn a_dead_listener_that_is_closed_is_not_lost_any_more() {
    let mut two = Two::new(Config::new(), Config::new());
    let [_, tagged] = two.dial();
    let _ = two.world.run_until_still();
    two.world.break_listener(two.plain);
    let _ = two.world.run_until_still();
    assert_eq!(two.world.stats().listeners_lost, 1);
    for addr in [two.plain, two.tagged] {
        assert!(two.world.close_listener(addr));
    }
    two.reconfigure(Config::new().drain_without_listeners(Some(SECOND)));
    two.run(100 * SECOND);
    assert_eq!(ask(&mut two.world, &tagged, "on"), "on");
}
