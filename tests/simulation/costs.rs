//! What does not happen: turns and calls without a purpose.

use std::time::Duration;

use readyloop::sim::{Ending, Faults, Reading, World};
use readyloop::{BoxError, Budgets, CloseReason, Config, Conn, Echo, Handler, Input, from_fn};

const ADDR: &str = "10.0.0.1:7000";

#[test]
fn a_connection_that_has_closed_costs_no_further_turn() {
    let mut world = World::new(1, Config::new(), Echo).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    peer.send(b"hello");
    peer.shutdown_write();
    while world.stats().closed == 0 {
        let after = world.next_move().expect("it is not over yet");
        assert!(world.turn(after).is_continue());
    }
    assert_ne!(world.next_move(), Some(Duration::ZERO), "a connection is still listed as ready");
}

#[test]
fn an_echo_costs_one_read_and_one_write() {
    let mut world = World::new(1, Config::new(), Echo).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    for echoes in 1..=10 {
        peer.send(b"hello");
        assert!(world.run_until_still().is_continue());
        assert_eq!(world.calls(), (echoes, echoes));
    }
    peer.shutdown_write();
    assert!(world.run_until_still().is_continue());
    assert_eq!(world.calls(), (11, 10), "and the end one read");
}

#[test]
fn more_than_fits_into_one_read_is_read_to_its_end() {
    let mut world = World::new(1, Config::new(), Echo).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 1_000_000, ..Faults::none() });
    let peer = world.dial(addr);
    // All of it is there with the first edge; the last read is as full as the others.
    peer.send(&vec![b'x'; 4 * 65_536]);
    assert!(world.run_until_still().is_continue());
    assert_eq!(peer.received().len(), 4 * 65_536);
}

#[test]
fn an_idle_connection_costs_no_turn() {
    let mut world = World::new(1, Config::new(), Echo).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let _peers: Vec<_> = (0..100).map(|_| world.dial(addr)).collect();
    assert!(world.run_until_still().is_continue());
    let turns = world.stats().turns;
    assert!(world.run_for(Duration::from_secs(3_500)).is_continue());
    // The wheel moves all their alarms closer a few times, as many as it has levels at the most.
    assert!(world.stats().turns <= turns + 8, "{} turns", world.stats().turns - turns);
}

#[test]
fn a_producer_stops_when_its_peer_is_cut_off_for_not_reading() {
    let handler = from_fn(|conn, input| {
        input.take();
        (0..20).for_each(|_| conn.send(&[b'x'; 1 << 20])); // more than any queue takes
        while !conn.is_above_high_water() {
            conn.send(b"x");
        }
    });
    let mut world = World::new(1, Config::new(), handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    peer.send(b"go");
    assert!(world.run_until_still().is_continue());
    assert_eq!(peer.ending(), Some(Ending::Reset));
}

#[test]
fn what_was_left_for_want_of_budget_is_done_without_a_new_event() {
    let mut world =
        World::new(1, Config::new().budgets(Budgets { read: 1, ..Budgets::default() }), Echo)
            .unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults {
        short_read: 255,
        latency: Duration::from_nanos(1),
        ..Faults::none()
    });
    let peer = world.dial(addr);
    peer.send(&[b'x'; 1_000]);
    assert!(world.run_until_still().is_continue());
    assert_eq!(peer.received().len(), 1_000);
    assert!(world.stats().turns > 1, "turns are counted");
}

#[test]
fn one_turn_reads_no_more_of_a_connection_than_its_budget_and_one_read() {
    let mut world =
        World::new(1, Config::new().budgets(Budgets { read: 1, ..Budgets::default() }), Echo)
            .unwrap();
    let addr = world.listen(ADDR).unwrap();
    // Each read brings a few bytes, and more are always there.
    let faults = Faults { short_read: 255, partial_means_blocked: false, ..Faults::none() };
    world.set_faults(faults);
    let peer = world.dial(addr);
    peer.send(&[b'x'; 5_000]);
    let mut before = 0;
    while peer.received().len() < 5_000 {
        let after = world.next_move().expect("it is not over yet");
        assert!(world.turn(after).is_continue());
        let reads = world.stats().reads;
        assert!(reads - before <= 1, "{} reads in one turn", reads - before);
        before = reads;
    }
}

#[test]
fn a_dropped_reactor_closes_all_connections() {
    let closed = std::rc::Rc::new(std::cell::Cell::new(0));
    struct Counting(std::rc::Rc<std::cell::Cell<u32>>);
    impl Handler for Counting {
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
        fn on_close(&mut self, conn: &mut Conn<'_>, (): (), reason: &CloseReason) {
            assert!(matches!(reason, CloseReason::Stopped));
            let age = conn.info().age; // to the millisecond
            assert!(age.abs_diff(Duration::from_secs(7)) < Duration::from_millis(2), "{age:?}");
            assert_eq!((conn.info().bytes_in, conn.info().reads), (5, 1));
            self.0.set(self.0.get() + 1);
        }
    }
    let mut world = World::new(1, Config::new(), Counting(std::rc::Rc::clone(&closed))).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { latency: Duration::ZERO, ..Faults::none() });
    let peer = world.dial(addr);
    peer.send(b"hello");
    assert!(world.turn(Duration::from_secs(1)).is_continue());
    let opened = world.now();
    while world.now() < opened + Duration::from_secs(7) {
        let left = (opened + Duration::from_secs(7)).saturating_sub(world.now());
        assert!(world.turn(left).is_continue());
    }
    drop(world);
    assert_eq!(closed.get(), 1);
}

/// An error that panics when it is shown and when it is dropped.
#[derive(Debug)]
struct Vicious;

impl std::fmt::Display for Vicious {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::panic::panic_any(crate::actor::SCRIPTED)
    }
}

impl std::error::Error for Vicious {}

impl Drop for Vicious {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::panic::panic_any(crate::actor::SCRIPTED);
        }
    }
}

struct Failing;

impl Handler for Failing {
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
        if input.take() == b"abort" {
            conn.abort(); // so that the error below is not the reason, and dropped at once
        }
        Err(Box::new(Vicious))
    }

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), reason: &CloseReason) {
        assert!(matches!(reason, CloseReason::Handler(_) | CloseReason::Aborted));
    }
}

#[test]
fn an_error_that_panics_when_it_is_shown_or_dropped_ends_only_its_connection() {
    crate::oracle::silence_scripted_panics();
    let mut world = World::new(1, Config::new(), Failing).unwrap();
    let addr = world.listen(ADDR).unwrap();
    for request in ["fail", "abort"] {
        let peer = world.dial(addr);
        peer.send(request.as_bytes());
        peer.shutdown_write();
        assert!(world.run_until_still().is_continue());
        assert!(peer.ending().is_some(), "{request}");
    }
    let stats = world.stats();
    assert_eq!((stats.closed, stats.open, stats.panics), (2, 0, 0));
}

#[test]
fn nothing_is_read_from_a_peer_that_does_not_read() {
    let mut world = World::new(1, Config::new().high_water(100), Echo).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 50, ..Faults::none() });
    let peer = world.dial(addr);
    peer.read(Reading::Never);
    peer.send(&[b'x'; 10_000]);
    assert!(world.run_until_still().is_continue());
    let read = world.stats().bytes_in;
    // Two buffers on the way to it, high water, and one more read.
    assert!(read <= 50 + 50 + 100 + 50, "{read} bytes");
    peer.read(Reading::AtOnce);
    assert!(world.run_until_still().is_continue());
    assert_eq!(peer.received().len(), 10_000);
}

/// Sends much with each chunk of input, and asks whether that is too much if it is to.
struct Verbose {
    asks: bool,
    drained: usize,
}

impl Handler for Verbose {
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
        input.take();
        conn.send(&[b'v'; 1_000]);
        assert!(!self.asks || conn.is_above_high_water());
        Ok(())
    }

    fn on_low_water(&mut self, _: &mut Conn<'_>, (): &mut ()) -> Result<(), BoxError> {
        self.drained += 1;
        Ok(())
    }
}

#[test]
fn what_the_kernel_takes_at_once_was_never_queued_unless_the_handler_has_asked() {
    for asks in [false, true] {
        let config = Config::new().high_water(100);
        let mut world = World::new(1, config, Verbose { asks, drained: 0 }).unwrap();
        let addr = world.listen("10.0.0.1:7000").unwrap();
        let peer = world.dial(addr);
        for _ in 0..10 {
            peer.send(b"?");
            let _ = world.run_until_still();
        }
        assert_eq!(peer.received().len(), 10_000);
        assert_eq!(world.handler_mut(0).drained, if asks { 10 } else { 0 });
    }
}
