//! Row 53: a monotonic clock that steps back.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use readyloop::sim::{Clock, Ending, Faults, Peer, World};
use readyloop::{BoxError, Config, Conn, Echo, Handler, Input, Overflow, TimerKey};

const ADDR: &str = "10.0.0.1:7000";
const SECOND: Duration = Duration::from_secs(1);
const TEN_MS: Duration = Duration::from_millis(10);

/// Echoes, and has the clock step back by so much in each callback; writes down each time that it is shown.
#[derive(Default)]
struct Stepper {
    clock: Option<Clock>,
    by: Duration,
    takes: Duration,
    shown: Rc<RefCell<Vec<Instant>>>,
}

impl Stepper {
    fn step(&self, conn: &mut Conn<'_>) {
        self.shown.borrow_mut().push(conn.reactor().now());
        if let Some(clock) = &self.clock {
            clock.pass(self.takes);
            clock.step_back(self.by);
        }
    }
}

impl Handler for Stepper {
    type State = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
        self.step(conn);
        Ok(())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        _: &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        conn.send(input.take());
        self.step(conn);
        conn.set_timer(TEN_MS, TimerKey(1));
        Ok(())
    }

    fn on_timer(&mut self, conn: &mut Conn<'_>, _: &mut (), _: TimerKey) -> Result<(), BoxError> {
        conn.send(b".");
        self.step(conn);
        Ok(())
    }
}

/// In each way in which a turn can take: at once, slowly but counted as usual, and slow enough to be restamped
/// and complained about.
#[test]
fn row_53_a_clock_that_steps_back_within_a_turn_changes_nothing() {
    for by in [Duration::from_nanos(1), TEN_MS, 60 * SECOND] {
        for takes in [Duration::ZERO, Duration::from_millis(5), SECOND] {
            let config = Config::new().idle_timeout(Some(7_200 * SECOND));
            let config = config.accept_rate(1_000, 10).slow_turn(Some(Duration::from_millis(100)));
            let mut world = World::new(1, config, Stepper::default()).unwrap();
            let clock = world.clock();
            let handler = world.handler_mut(0);
            (handler.clock, handler.by, handler.takes) = (Some(clock), by, takes);
            let shown = Rc::clone(&handler.shown);
            let addr = world.listen(ADDR).unwrap();
            let peers: Vec<Peer> = (0..3).map(|_| world.dial(addr)).collect();
            assert!(world.run_for(10 * SECOND).is_continue());
            peers.iter().for_each(|peer| assert!(peer.send(b"hello")));
            assert!(world.run_for(60 * SECOND).is_continue(), "the server goes on");
            for peer in &peers {
                assert!(peer.received().starts_with(b"hello"), "{by:?} {takes:?}");
            }
            assert!(shown.borrow().is_sorted(), "no callback sees time go back");
            // When the clock has caught up, whatever is due comes.
            world.handler_mut(0).clock = None;
            assert!(world.run_for(3 * 3_600 * SECOND).is_continue());
            for peer in &peers {
                assert_eq!(peer.received(), b"hello.", "{by:?} {takes:?}: its timer");
                assert_eq!(peer.ending(), Some(Ending::Fin), "{by:?} {takes:?}: its idle deadline");
            }
        }
    }
}

/// Between turns, with everything pending that has a time: a paused acceptor, a drain, an eviction by idle time.
#[test]
fn row_53_a_clock_that_steps_back_between_turns_delays_what_is_due_by_no_more_than_the_step() {
    const EMFILE: i32 = 24;
    let config = Config::new().max_connections(2).overflow(Overflow::EvictIdlest);
    let mut world = World::new(1, config.accept_rate(10, 10), Echo).unwrap();
    let clock = world.clock();
    let addr = world.listen(ADDR).unwrap();
    let back = |world: &mut World<Echo>| {
        clock.step_back(TEN_MS);
        let _ = world.turn(Duration::ZERO);
    };
    world.fail_accepts(&[EMFILE, EMFILE]);
    let first = world.dial(addr);
    let _ = world.run_for(2 * TEN_MS);
    back(&mut world);
    assert!(first.send(b"hello"));
    let _ = world.run_for(SECOND);
    assert_eq!(first.received(), b"hello", "the acceptor has come back");
    let others = [world.dial(addr), world.dial(addr)];
    for other in &others {
        back(&mut world);
        assert!(other.send(b"hello"));
        let _ = world.run_for(SECOND);
    }
    assert_eq!(first.ending(), Some(Ending::Fin), "the idlest has made room");
    assert!(others.iter().all(|other| other.received() == b"hello"));
    world.handle().drain(SECOND);
    let _ = world.turn(Duration::ZERO);
    back(&mut world);
    assert!(world.run_for(10 * SECOND).is_break(), "the drain ends");
}

#[test]
fn row_53_readings_that_are_behind_at_random_end_no_reactor_and_lose_nothing() {
    for seed in 0..300 {
        let config = Config::new().idle_timeout(Some(60 * SECOND));
        let mut world = World::of_many(seed, config, 1 + seed as usize % 3, |_| Echo).unwrap();
        let addr = world.listen(ADDR).unwrap();
        world.set_faults(Faults { clock_behind: 128, ..Faults::none() });
        let peers: Vec<Peer> = (0..4).map(|_| world.dial(addr)).collect();
        for _ in 0..50 {
            peers.iter().for_each(|peer| assert!(peer.send(b"hello")));
            assert!(world.run_for(Duration::from_millis(3)).is_continue(), "seed {seed}");
        }
        let _ = world.run_for(59 * SECOND);
        for peer in &peers {
            assert_eq!((peer.received(), peer.ending()), (b"hello".repeat(50), None), "{seed}");
        }
        let _ = world.run_for(2 * SECOND);
        assert!(peers.iter().all(|peer| peer.ending() == Some(Ending::Fin)), "seed {seed}");
    }
}
