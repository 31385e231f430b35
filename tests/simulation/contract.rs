//! The contract with a handler: one that is written in the simplest way is right. Rows 44 to 50 of
//! `tests/README.md`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Answer, Clock, Ending, Faults, Peer, Reading, Rng, World};
use readyloop::{
    BoxError, CloseReason, Config, Conn, ConnId, ConnectOptions, Context, Echo, Handler, Input,
    TimerKey, from_fn,
};

const ADDR: &str = "10.0.0.1:7000";
const SECOND: Duration = Duration::from_secs(1);

/// Answers each line with so many bytes: takes one a call, as the documentation shows.
#[derive(Clone, Copy)]
struct Answers(usize);

impl Handler for Answers {
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
            let mark = line.first().copied().unwrap_or(b'-');
            conn.send(&vec![mark; self.0]);
        }
        Ok(())
    }
}

/// What [`Answers`] says to these lines.
fn answers(lines: &[u8], size: usize) -> Vec<u8> {
    let marks = lines.split(|byte| *byte == b'\n').filter_map(|line| line.first());
    marks.flat_map(|mark| std::iter::repeat_n(*mark, size)).collect()
}

/// What goes wrong in networks that lose nothing, as this seed says.
fn harmless(seed: u64) -> Faults {
    let faults = Faults::swarm(&mut Rng::new(seed));
    Faults {
        register_refused: 0,
        time_jump: 0,
        tiny_segments: false,
        latency: faults.latency / 20,
        buffer: faults.buffer.max(1_500),
        ..faults
    }
}

fn run_until(world: &mut World<impl Handler>, what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..200_000 {
        if so() {
            return;
        }
        assert!(world.turn(SECOND / 100).is_continue(), "it ended before {what}");
    }
    panic!("{what}: it never came to this: {:?}", world.stats());
}

// Memory:

#[test]
fn row_45_clients_that_read_one_after_another_get_all_within_the_budget_and_none_is_reset() {
    const ANSWER: usize = 10_000;
    const BUDGET: usize = 50_000;
    for seed in 0..40 {
        let config = Config::new().queue_budget(BUDGET);
        let mut world = World::new(seed, config, Answers(ANSWER)).unwrap();
        let addr = world.listen(ADDR).unwrap();
        let clients: Vec<Peer> = (0..60).map(|_| world.dial(addr)).collect();
        assert!(world.run_until_still().is_continue());
        let Faults { buffer, short_write, write_blocks, spurious, .. } = harmless(seed);
        let (latency, buffer) = (SECOND / 1_000_000, buffer.min(4_096));
        let faults =
            Faults { buffer, short_write, write_blocks, spurious, latency, ..Faults::none() };
        world.set_faults(faults);
        for client in &clients {
            client.read(Reading::Never);
            client.send(b"give\n");
            // One after another here, too: those that are served first have the memory.
            assert!(world.run_until_still().is_continue());
        }
        let mut most = 0;
        let handle = world.handle();
        for (number, client) in clients.iter().enumerate() {
            client.read(Reading::AtOnce);
            run_until(&mut world, &format!("seed {seed}: client {number} has its answer"), || {
                most = most.max(handle.stats().waiting_bytes as usize);
                client.received().len() == ANSWER || client.ending().is_some()
            });
            assert_eq!((client.received().len(), client.ending()), (ANSWER, None), "seed {seed}");
        }
        let stats = world.stats();
        assert!(most > BUDGET / 2, "seed {seed}: {most}: memory was no matter");
        assert!(most < BUDGET + ANSWER, "seed {seed}: {most} bytes waited");
        assert_eq!((stats.shed, stats.closed), (0, 0), "seed {seed}");
    }
}

#[test]
fn row_45_clients_that_all_read_share_a_budget_that_is_smaller_than_one_answer() {
    const ANSWER: usize = 20_000;
    for seed in 0..40 {
        let reactors = 1 + usize::from(seed % 2 == 1);
        let config = Config::new().queue_budget(5_000).high_water(1_000);
        let mut world = World::of_many(seed, config, reactors, |_| Answers(ANSWER)).unwrap();
        let addr = world.listen(ADDR).unwrap();
        world.set_faults(harmless(seed));
        let clients: Vec<Peer> = (0..20).map(|_| world.dial(addr)).collect();
        for client in &clients {
            client.send(b"a\nb\n");
        }
        for client in &clients {
            run_until(&mut world, &format!("seed {seed}: two answers"), || {
                client.received().len() == 2 * ANSWER || client.ending().is_some()
            });
            assert!(client.received() == answers(b"a\nb\n", ANSWER), "seed {seed}");
            let most = 5_000 + reactors * ANSWER;
            assert!(world.stats().waiting_bytes < most as u64, "seed {seed}");
        }
        assert_eq!(world.stats().shed, 0, "seed {seed}");
    }
}

/// Sends to all from callbacks that are for no input.
struct Broadcasts(usize);

impl Handler for Broadcasts {
    type State = ();

    fn on_start(&mut self, reactor: &mut Context<'_>) {
        reactor.set_timer(SECOND / 100, TimerKey(0));
    }

    fn on_tick(&mut self, reactor: &mut Context<'_>, key: TimerKey) {
        reactor.broadcast(vec![b'n'; self.0]);
        reactor.set_timer(SECOND / 100, key);
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
        conn.set_timer(SECOND / 100, TimerKey(0));
        Ok(())
    }

    fn on_timer(
        &mut self,
        conn: &mut Conn<'_>,
        (): &mut (),
        key: TimerKey,
    ) -> Result<(), BoxError> {
        conn.send(&vec![b't'; self.0]);
        conn.set_timer(SECOND / 100, key);
        Ok(())
    }

    fn on_data(
        &mut self,
        _: &mut Conn<'_>,
        (): &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        input.take();
        Ok(())
    }
}

#[test]
fn row_45_timers_and_new_connections_wait_for_memory_too() {
    const CLIENTS: usize = 10;
    let config = Config::new().queue_budget(50_000).max_connections(CLIENTS);
    let mut world = World::new(1, config, Broadcasts(1_000)).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 2_000, ..Faults::none() });
    let clients: Vec<Peer> = (0..CLIENTS - 1).map(|_| world.dial(addr)).collect();
    clients.iter().for_each(|client| client.read(Reading::Never));
    assert!(world.run_for(5 * SECOND).is_continue());
    let waiting = world.stats().waiting_bytes as usize;
    assert!((50_000..50_000 + CLIENTS * 1_000).contains(&waiting), "{waiting} bytes wait");
    let late = world.dial(addr);
    assert!(world.run_for(SECOND).is_continue());
    assert_eq!((world.stats().open as usize, late.received().len()), (CLIENTS - 1, 0));
    clients.iter().for_each(|client| client.read(Reading::AtOnce));
    assert!(world.run_for(SECOND).is_continue());
    assert_eq!((world.stats().open as usize, world.stats().shed), (CLIENTS, 0));
    assert!(late.received().len() > 50_000, "the timers go on");
}

#[test]
fn row_45_messages_of_other_threads_wait_for_memory_and_are_not_lost() {
    let config = Config::new().queue_budget(10_000);
    let mut world = World::new(1, config, Echo).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let client = world.dial(addr);
    client.read(Reading::Never);
    assert!(world.run_until_still().is_continue());
    let id = world.connections()[0].id;
    let handle = world.handle();
    let mut sent = 0;
    for _ in 0..10 {
        for _ in 0..5 {
            sent += usize::from(handle.send(id, vec![b'm'; 1_000]).is_ok());
        }
        assert!(world.run_for(SECOND / 10).is_continue());
        assert!(world.stats().waiting_bytes < 11_000, "{:?}", world.stats());
    }
    assert!(sent > 15, "{sent}: the mailbox holds some, too");
    client.read(Reading::AtOnce);
    assert!(world.run_until_still().is_continue());
    assert_eq!((client.received().len(), client.ending()), (sent * 1_000, None));
}

// A call at a time:

#[test]
fn row_46_a_pipeline_is_answered_whole_and_memory_stays_near_high_water() {
    const ANSWER: usize = 3_000;
    let questions: Vec<u8> = (0..100).flat_map(|at| [b'a' + at % 26, b'\n']).collect();
    for seed in 0..40 {
        let mut world =
            World::new(seed, Config::new().high_water(10_000), Answers(ANSWER)).unwrap();
        let addr = world.listen(ADDR).unwrap();
        world.set_faults(harmless(seed));
        let client = world.dial(addr);
        client.read(Reading::Slowly { bytes: 2_000, every: SECOND / 100 });
        client.send(&questions);
        let mut most = 0;
        let handle = world.handle();
        run_until(&mut world, &format!("seed {seed}: 100 answers"), || {
            most = most.max(handle.stats().waiting_bytes);
            client.received().len() == 100 * ANSWER || client.ending().is_some()
        });
        assert!(client.received() == answers(&questions, ANSWER), "seed {seed}");
        assert!(most <= 10_000 + ANSWER as u64 + 200, "seed {seed}: {most} bytes waited");
    }
}

#[test]
fn row_46_a_handler_that_loops_by_itself_works_within_the_queue_limit() {
    let handler = from_fn(|conn, input| {
        while let Some(line) = input.take_until(b"\n") {
            conn.send(&line.repeat(10_000));
        }
    });
    let mut world = World::new(1, Config::new(), handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let client = world.dial(addr);
    client.send(&b"x\n".repeat(500));
    assert!(world.run_until_still().is_continue());
    assert_eq!((client.received().len(), client.ending()), (5_000_000, None));
}

#[test]
fn row_46_the_answers_to_what_came_together_go_out_together() {
    let mut world = World::new(1, Config::new(), Answers(100)).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let client = world.dial(addr);
    assert!(world.run_until_still().is_continue());
    client.send(&b"x\n".repeat(50));
    assert!(world.run_until_still().is_continue());
    assert_eq!((client.received().len(), world.calls().1), (5_000, 1));
}

// Silence:

#[test]
fn row_47_a_peer_that_reads_a_long_answer_and_then_asks_again_is_not_idle() {
    for seed in 0..40 {
        let config = Config::new().idle_timeout(Some(2 * SECOND)).high_water(10_000);
        let mut world = World::new(seed, config, Answers(106_000)).unwrap();
        let addr = world.listen(ADDR).unwrap();
        world.set_faults(Faults { buffer: 4_000, ..harmless(seed) });
        let client = world.dial(addr);
        client.read(Reading::Slowly { bytes: 2_000, every: SECOND / 10 }); // for 5.3 s
        client.send(b"a\n");
        run_until(&mut world, &format!("seed {seed}: an answer"), || {
            client.received().len() == 106_000 || client.ending().is_some()
        });
        client.read(Reading::AtOnce);
        client.send(b"b\n");
        assert!(world.run_for(SECOND).is_continue());
        assert!(client.received() == answers(b"a\nb\n", 106_000), "seed {seed}");
        assert_eq!(client.ending(), None, "seed {seed}");
        assert!(world.run_for(4 * SECOND).is_continue());
        assert_eq!((client.ending(), world.stats().expired.idle), (Some(Ending::Fin), 1));
    }
}

#[test]
fn row_47_silence_while_a_peer_waits_for_memory_is_not_held_against_it() {
    let config = Config::new().idle_timeout(Some(2 * SECOND)).queue_budget(10_000);
    let mut world = World::new(1, config.write_timeout(None), Answers(12_000)).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let (reader, waiting) = (world.dial(addr), world.dial(addr));
    reader.read(Reading::Slowly { bytes: 100, every: SECOND / 10 }); // for 12 s
    reader.send(b"a\n");
    assert!(world.run_for(SECOND / 10).is_continue());
    waiting.send(b"b\n");
    run_until(&mut world, "an answer to the one that waited", || {
        waiting.received().len() == 12_000 || waiting.ending().is_some()
    });
    assert_eq!(waiting.ending(), None);
    waiting.send(b"c\n");
    assert!(world.run_for(SECOND).is_continue());
    assert!(waiting.received() == answers(b"b\nc\n", 12_000));
}

#[test]
fn row_47_what_the_kernel_has_not_told_yet_is_asked_for_before_a_peer_counts_as_idle() {
    for seed in 0..200 {
        let config = Config::new().idle_timeout(Some(2 * SECOND));
        let mut world = World::new(seed, config, Echo).unwrap();
        let addr = world.listen(ADDR).unwrap();
        let client = world.dial(addr);
        assert!(world.run_until_still().is_continue());
        // Every event is late, by up to as much as the way from one end to the other takes.
        world.set_faults(Faults { delayed: 255, latency: SECOND / 20, ..Faults::none() });
        for _ in 0..10 {
            client.send(b"x");
            assert!(world.run_for(2 * SECOND - Duration::from_millis(60)).is_continue());
        }
        assert_eq!((client.received().len(), client.ending()), (10, None), "seed {seed}");
    }
}

// Unread input:

const DONE: TimerKey = TimerKey(1);

/// Works at one line at a time, for a while, and answers when a timer says so. It leaves what comes meanwhile.
struct Works;

impl Handler for Works {
    /// The line that it works at, and whether the peer has finished.
    type State = (Option<u8>, bool);

    fn on_open(&mut self, _: &mut Conn<'_>) -> Result<Self::State, BoxError> {
        Ok((None, false))
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        (work, _): &mut Self::State,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        if work.is_none()
            && let Some(line) = input.take_until(b"\n")
        {
            *work = line.first().copied();
            conn.set_timer(SECOND, DONE);
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        conn: &mut Conn<'_>,
        (work, _): &mut Self::State,
        _: TimerKey,
    ) -> Result<(), BoxError> {
        conn.send(&[work.take().ok_or("there was no work")?; 10]);
        Ok(())
    }

    fn on_eof(
        &mut self,
        conn: &mut Conn<'_>,
        (work, has_finished): &mut Self::State,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        *has_finished = true;
        if work.is_none() && input.is_empty() {
            conn.close();
        }
        Ok(())
    }
}

#[test]
fn row_48_requests_that_wait_for_a_timer_are_all_answered() {
    for seed in 0..40 {
        let mut world = World::new(seed, Config::new(), Works).unwrap();
        let addr = world.listen(ADDR).unwrap();
        world.set_faults(harmless(seed));
        let client = world.dial(addr);
        client.send(b"a\nb\nc\nd\n");
        assert!(world.run_for(10 * SECOND).is_continue());
        assert_eq!(client.received(), answers(b"a\nb\nc\nd\n", 10), "seed {seed}");
    }
}

/// Works as [`Works`] does, and closes when all is done.
struct WorksToTheEnd;

impl Handler for WorksToTheEnd {
    type State = (Option<u8>, bool);

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<Self::State, BoxError> {
        Works.on_open(conn)
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut Self::State,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        Works.on_data(conn, state, input)?;
        if state.1 && input.is_empty() {
            state.1 = false;
            conn.set_timer(2 * SECOND, TimerKey(2));
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut Self::State,
        key: TimerKey,
    ) -> Result<(), BoxError> {
        if key == DONE {
            return Works.on_timer(conn, state, key);
        }
        conn.close();
        Ok(())
    }

    fn on_eof(
        &mut self,
        conn: &mut Conn<'_>,
        state: &mut Self::State,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        Works.on_eof(conn, state, input)
    }
}

#[test]
fn row_48_requests_that_are_left_at_the_end_of_the_stream_are_offered_again_after_it() {
    for seed in 0..40 {
        let mut world = World::new(seed, Config::new(), WorksToTheEnd).unwrap();
        let addr = world.listen(ADDR).unwrap();
        world.set_faults(harmless(seed));
        let client = world.dial(addr);
        client.send(b"a\nb\nc\n");
        client.shutdown_write();
        assert!(world.run_for(20 * SECOND).is_continue());
        assert_eq!(client.received(), answers(b"a\nb\nc\n", 10), "seed {seed}");
        assert_eq!(client.ending(), Some(Ending::Fin), "seed {seed}");
    }
}

/// Leaves its input while much is queued, and is told when it is not.
struct Careful(usize);

impl Handler for Careful {
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
        if conn.is_above_high_water() {
            return Ok(());
        }
        if let Some(line) = input.take_until(b"\n") {
            conn.send(&line.repeat(self.0));
        }
        Ok(())
    }
}

#[test]
fn row_48_requests_that_wait_until_the_queue_has_drained_are_all_answered() {
    for seed in 0..40 {
        let mut world = World::new(seed, Config::new().high_water(1_000), Careful(5_000)).unwrap();
        let addr = world.listen(ADDR).unwrap();
        world.set_faults(harmless(seed));
        let client = world.dial(addr);
        client.send(b"a\nb\nc\nd\n");
        assert!(world.run_for(10 * SECOND).is_continue());
        assert!(client.received() == answers(b"a\nb\nc\nd\n", 5_000), "seed {seed}");
    }
}

#[test]
fn row_48_resuming_a_connection_that_was_not_paused_offers_its_input_again() {
    /// Takes a line of the first connection for each byte that another one sends.
    struct Tickets(Option<ConnId>, usize);
    impl Handler for Tickets {
        type State = ();
        fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
            self.0 = self.0.or_else(|| Some(conn.id()));
            Ok(())
        }
        fn on_data(
            &mut self,
            conn: &mut Conn<'_>,
            (): &mut (),
            input: &mut Input<'_>,
        ) -> Result<(), BoxError> {
            let first = self.0.ok_or("no connection came first")?;
            if conn.id() != first {
                self.1 += input.take().len();
                conn.reactor().get(first).ok_or("it has gone")?.resume();
            } else if self.1 > 0
                && let Some(line) = input.take_until(b"\n")
            {
                self.1 -= 1;
                conn.send(line);
            }
            Ok(())
        }
    }
    let mut world = World::new(1, Config::new(), Tickets(None, 0)).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let first = world.dial(addr);
    assert!(world.run_until_still().is_continue());
    let other = world.dial(addr);
    first.send(b"a\nb\nc\n");
    assert!(world.run_until_still().is_continue());
    assert_eq!(first.received(), b"");
    other.send(b"!");
    assert!(world.run_until_still().is_continue());
    assert_eq!(first.received(), b"a");
    other.send(b"!!");
    assert!(world.run_until_still().is_continue());
    assert_eq!(first.received(), b"abc");
}

// Limits:

#[test]
fn row_49_a_queue_limit_below_one_read_resets_no_client_that_reads() {
    for seed in 0..40 {
        for limit in [1, 1_000, 60_000] {
            let config = Config::new().high_water(limit).queue_limit(limit);
            let mut world = World::new(seed, config, Echo).unwrap();
            let addr = world.listen(ADDR).unwrap();
            world.set_faults(harmless(seed));
            let client = world.dial(addr);
            client.read(Reading::Slowly { bytes: 5_000, every: SECOND / 100 });
            client.send(&[b'x'; 200_000]);
            client.shutdown_write();
            run_until(&mut world, &format!("seed {seed}: all came back"), || {
                client.ending().is_some()
            });
            let end = (client.received().len(), client.ending());
            assert_eq!(end, (200_000, Some(Ending::Fin)), "seed {seed}, limit {limit}");
        }
    }
}

#[test]
fn row_49_an_answer_in_several_pieces_may_be_longer_than_the_limit() {
    let handler = from_fn(|conn, input| {
        if input.take_until(b"\n").is_some() {
            conn.send(b"head");
            conn.send(&[b'b'; 50_000]);
            conn.send(b"tail");
            conn.reactor().broadcast(vec![b'n'; 3_000]);
            conn.reactor().broadcast(vec![b'n'; 3_000]);
        }
    });
    let config = Config::new().high_water(1_000).queue_limit(2_000);
    let mut world = World::new(1, config, handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let (asks, listens) = (world.dial(addr), world.dial(addr));
    assert!(world.run_until_still().is_continue());
    asks.send(b"?\n?\n");
    assert!(world.run_until_still().is_continue());
    assert_eq!((asks.received().len(), asks.ending()), (100_016, None));
    assert_eq!((listens.received().len(), listens.ending()), (12_000, None));
}

#[test]
fn row_49_to_send_nothing_resets_no_connection() {
    struct Sends;
    impl Handler for Sends {
        type State = ();
        fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
            conn.send(&[b'x'; 50_000]);
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
            conn: &mut Conn<'_>,
            (): &mut (),
            input: &mut Input<'_>,
        ) -> Result<(), BoxError> {
            conn.send(input.take());
            conn.close();
            Ok(())
        }
    }
    let config = Config::new().high_water(1_000).queue_limit(2_000);
    let mut world = World::new(1, config, Sends).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let client = world.dial(addr);
    client.shutdown_write();
    assert!(world.run_until_still().is_continue());
    assert_eq!((client.received().len(), client.ending()), (50_000, Some(Ending::Fin)));
}

#[test]
fn row_49_a_client_that_does_not_read_is_still_cut_off_at_its_limit() {
    let handler = from_fn(|conn, input| {
        input.take();
        conn.reactor().broadcast(vec![b'n'; 500]);
    });
    let config = Config::new().high_water(1_000).queue_limit(2_000);
    let mut world = World::new(1, config, handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let (asks, stuck) = (world.dial(addr), world.dial(addr));
    stuck.read(Reading::Never);
    assert!(world.run_until_still().is_continue());
    for _ in 0..10 {
        asks.send(b"?");
        assert!(world.run_until_still().is_continue());
        assert!(world.stats().waiting_bytes <= 2_500, "{:?}", world.stats());
    }
    assert_eq!((asks.ending(), stuck.ending()), (None, Some(Ending::Reset)));
}

// Time:

/// Echoes, and lets time pass in each call: a server whose turns are all slow.
struct Slow {
    clock: Rc<RefCell<Option<Clock>>>,
    takes: Duration,
    seen: Rc<RefCell<Vec<String>>>,
}

impl Slow {
    fn work(&self) {
        self.clock.borrow().as_ref().expect("the world has one").pass(self.takes);
    }

    fn note(&self, what: &str) {
        self.seen.borrow_mut().push(what.to_owned());
    }
}

impl Handler for Slow {
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
        self.work();
        conn.send(input.take());
        Ok(())
    }

    fn on_tick(&mut self, _: &mut Context<'_>, _: TimerKey) {
        self.note("tick");
    }

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), reason: &CloseReason) {
        self.note(&format!("{reason:?}"));
    }

    fn on_connect_failed(&mut self, _: &mut Context<'_>, _: ConnId, _: &CloseReason) {
        self.note("not connected");
    }
}

#[test]
fn row_44_slow_turns_in_a_row_move_no_deadline() {
    for takes in [10, 20, 150].map(Duration::from_millis) {
        let (clock, seen) = (Rc::default(), Rc::default());
        let handler = Slow { clock: Rc::clone(&clock), takes, seen: Rc::clone(&seen) };
        let config = Config::new().idle_timeout(Some(SECOND)).write_timeout(Some(SECOND));
        let mut world = World::new(1, config, handler).unwrap();
        *clock.borrow_mut() = Some(world.clock());
        let addr = world.listen(ADDR).unwrap();
        let faults = Faults { buffer: 1 << 20, latency: SECOND / 1_000_000, ..Faults::none() };
        world.set_faults(faults.clone());
        let (busy, quiet) = (world.dial(addr), world.dial(addr));
        assert!(world.run_until_still().is_continue());
        let silent: SocketAddr = ([10, 0, 0, 9], 7).into();
        world.answer(silent, Answer::Silence);
        let options = ConnectOptions::new().timeout(SECOND);
        world.reactor().context().connect(&[silent], &options);
        world.reactor().context().set_timer(SECOND, TimerKey(0));
        let began = world.now();
        let expected = ["tick", "IdleTimeout { limit: 1s }", "not connected"];
        let has_all = || {
            let seen = seen.borrow();
            expected.iter().all(|what| seen.iter().any(|seen| seen == what))
        };
        // There is always something to do, so that one slow turn follows the other.
        while !has_all() && world.now() - began < 30 * SECOND {
            busy.send(b"x");
            assert!(world.turn(SECOND).is_continue());
            if quiet.ending().is_some() {
                quiet.close(); // so that it does not linger
            }
        }
        let took = world.now() - began;
        assert!(has_all(), "turns of {takes:?}: {:?}", seen.borrow());
        // One turn before it begins, one until it is judged, and some for the end of a connection.
        assert!(took <= SECOND + 5 * takes + SECOND / 50, "turns of {takes:?}: {took:?}");
    }
}

#[test]
fn row_44_what_is_begun_in_a_slow_turn_has_all_of_its_time_from_the_end_of_that() {
    let clock: Rc<RefCell<Option<Clock>>> = Rc::default();
    let hands = Rc::clone(&clock);
    let upstream: SocketAddr = ([10, 0, 0, 9], 7).into();
    let handler = from_fn(move |conn, input| {
        input.take();
        let options = ConnectOptions::new().timeout(SECOND);
        conn.reactor().connect(&[upstream], &options);
        hands.borrow().as_ref().expect("the world has one").pass(5 * SECOND);
    });
    let mut world = World::new(1, Config::new(), handler).unwrap();
    *clock.borrow_mut() = Some(world.clock());
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { latency: SECOND / 2, ..Faults::none() });
    world.answer(upstream, Answer::Accept);
    world.dial(addr).send(b"x");
    assert!(world.run_for(20 * SECOND).is_continue());
    assert_eq!((world.stats().open, world.stats().not_connected), (2, 0));
}

// The truth at the end:

/// Clients that ask again as soon as they are answered, each with a question of its own size.
struct Askers {
    peers: Vec<Peer>,
    asked: Vec<usize>,
}

impl Askers {
    fn new(world: &mut World<impl Handler>, addr: SocketAddr, count: usize) -> Self {
        Self { peers: (0..count).map(|_| world.dial(addr)).collect(), asked: vec![0; count] }
    }

    fn ask(&mut self) {
        for (number, (peer, asked)) in self.peers.iter().zip(&mut self.asked).enumerate() {
            if peer.ending().is_none() && peer.received().len() == *asked {
                let question = vec![b'?'; 10 * (number + 1)];
                *asked += if peer.send(&question) { question.len() } else { 0 };
            } else if peer.ending().is_some() {
                peer.close();
            }
        }
    }

    /// How many have lost something: not all that they have asked was answered.
    fn losers(&self) -> usize {
        let both = self.peers.iter().zip(&self.asked);
        both.filter(|(peer, asked)| peer.received().len() < **asked).count()
    }
}

#[test]
fn row_50_a_drain_counts_each_client_that_lost_a_request_and_no_other() {
    let mut lost = BTreeSet::new();
    for seed in 0..100 {
        let reactors = 1 + usize::from(seed % 3 == 0);
        let mut world = World::of_many(seed, Config::new(), reactors, |_| Echo).unwrap();
        let addr = world.listen(ADDR).unwrap();
        let mut askers = Askers::new(&mut world, addr, 10);
        assert!(world.run_until_still().is_continue());
        let latency = Duration::from_millis(1 + seed % 20);
        world.set_faults(Faults { latency, ..harmless(seed) });
        let began = world.now();
        let mut is_draining = false;
        loop {
            if !is_draining && world.now() - began > SECOND {
                world.handle().drain(SECOND);
                is_draining = true;
            }
            askers.ask();
            if world.turn(SECOND / 1_000).is_break() {
                break;
            }
            assert!(world.now() - began < 3 * SECOND, "seed {seed}: it ends in time");
        }
        // What was on its way when the server ended arrives, or not.
        let _ = world.run_for(SECOND);
        let report = world.report().unwrap();
        let losers = askers.losers();
        assert_eq!(report.cut, losers as u64, "seed {seed}: {report}");
        assert_eq!(report.finished + report.cut, 10, "seed {seed}");
        lost.insert(losers);
    }
    assert!(lost.len() > 2, "it depends on the moment how many lose something: {lost:?}");
}

#[test]
fn row_50_an_answer_that_is_underway_at_the_deadline_is_not_destroyed_by_a_reset() {
    for seed in 0..100 {
        let mut world = World::new(seed, Config::new(), Echo).unwrap();
        let addr = world.listen(ADDR).unwrap();
        world.set_faults(Faults { latency: SECOND / 20, ..Faults::none() });
        let peer = world.dial(addr);
        assert!(world.run_until_still().is_continue());
        world.handle().drain(SECOND);
        // It asks so that the question comes with the deadline, and another one behind it.
        assert!(
            world.run_for(SECOND - SECOND / 25 - Duration::from_millis(seed % 20)).is_continue()
        );
        peer.send(b"first");
        assert!(world.run_for(SECOND / 100).is_continue());
        peer.send(b"second");
        while world.turn(SECOND).is_continue() {}
        let _ = world.run_for(SECOND);
        let received = peer.received();
        assert!(b"firstsecond".starts_with(&received[..]), "seed {seed}");
        assert_ne!(peer.ending(), Some(Ending::Reset), "seed {seed}");
        let is_cut = received.len() < b"firstsecond".len();
        assert_eq!(world.report().unwrap().cut, u64::from(is_cut), "seed {seed}");
    }
}

#[test]
fn row_45_the_backlog_is_accepted_when_a_drain_begins_while_memory_is_used_up() {
    let config = Config::new().queue_budget(50_000);
    let mut world = World::new(1, config, Answers(60_000)).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 2_000, ..Faults::none() });
    let hog = world.dial(addr);
    hog.read(Reading::Never);
    hog.send(b"x\n");
    assert!(world.run_until_still().is_continue());
    let late = world.dial(addr);
    late.send(b"y\n");
    assert!(world.run_for(SECOND / 10).is_continue());
    assert_eq!(world.stats().open, 1);
    world.handle().drain(5 * SECOND);
    assert!(world.run_for(SECOND / 2).is_continue());
    hog.read(Reading::AtOnce);
    let _ended = world.run_for(6 * SECOND);
    assert_eq!((hog.received().len(), hog.ending()), (60_000, Some(Ending::Fin)));
    assert_eq!((late.received().len(), late.ending()), (60_000, Some(Ending::Fin)));
}

#[test]
fn row_45_a_peer_that_waits_to_be_read_is_not_starved_by_long_pipelines() {
    let config = Config::new().queue_budget(200_000);
    let mut world = World::new(1, config, Answers(1)).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 100_000, ..Faults::none() });
    let hog = world.dial(addr);
    hog.read(Reading::Never);
    assert!(world.run_until_still().is_continue());
    let floods = [world.dial(addr), world.dial(addr)];
    let polite = world.dial(addr);
    assert!(world.run_until_still().is_continue());
    let id = world.connections()[0].id;
    let lines = b"f\n".repeat(40_000);
    floods.iter().for_each(|flood| assert!(flood.send(&lines)));
    // Each has a part of its lines in the server, and is owed calls.
    run_until(&mut world, "both floods are read", || {
        floods.iter().all(|flood| flood.unread_by_server() < lines.len())
    });
    world.reactor().context().get(id).unwrap().send(&vec![b'h'; 400_000]);
    polite.send(b"p\n");
    assert!(world.run_for(SECOND / 10).is_continue());
    assert_eq!(polite.unread_by_server(), 2, "there is no memory");
    hog.read(Reading::AtOnce);
    run_until(&mut world, "there is memory", || hog.received().len() > 300_000);
    for _ in 0..20 {
        assert!(world.turn(SECOND / 1_000).is_continue());
    }
    assert_eq!(polite.unread_by_server(), 0, "it is read in its turn");
    assert!(floods.iter().all(|flood| flood.received().len() < 20_000), "the floods go on");
}

/// Ticks ten times a second, and counts that.
struct Ticks(Rc<RefCell<usize>>);

impl Handler for Ticks {
    type State = ();

    fn on_start(&mut self, reactor: &mut Context<'_>) {
        reactor.set_timer(SECOND / 10, TimerKey(0));
    }

    fn on_tick(&mut self, reactor: &mut Context<'_>, key: TimerKey) {
        *self.0.borrow_mut() += 1;
        reactor.set_timer(SECOND / 10, key);
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
        if input.take_until(b"\n").is_some() {
            conn.send(&[b'a'; 30_000]);
        }
        Ok(())
    }
}

#[test]
fn row_45_timers_and_new_connections_get_their_turn_while_others_use_the_memory_up_again_and_again()
{
    let ticks = Rc::new(RefCell::new(0));
    let config = Config::new().queue_budget(60_000);
    let mut world = World::new(1, config, Ticks(Rc::clone(&ticks))).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 2_000, latency: SECOND / 1_000, ..Faults::none() });
    let clients: Vec<Peer> = (0..200).map(|_| world.dial(addr)).collect();
    assert!(world.run_until_still().is_continue());
    for client in &clients {
        client.send(&b"q\n".repeat(300));
    }
    assert!(world.run_for(SECOND).is_continue());
    let before = *ticks.borrow();
    let late = world.dial(addr);
    late.send(b"q\n");
    assert!(world.run_for(5 * SECOND).is_continue());
    let ticked = *ticks.borrow() - before;
    assert!(ticked > 25, "{ticked} ticks of 50");
    assert_eq!(world.stats().open, 201, "the new connection is in");
}

/// Counts its timers.
struct Counts(Rc<RefCell<usize>>);

impl Handler for Counts {
    type State = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
        conn.set_timer(SECOND / 10, TimerKey(0));
        Ok(())
    }

    fn on_timer(&mut self, _: &mut Conn<'_>, (): &mut (), _: TimerKey) -> Result<(), BoxError> {
        *self.0.borrow_mut() += 1;
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
}

#[test]
fn row_45_a_timer_that_waits_for_memory_may_be_moved() {
    for late in 1..200 {
        let count = Rc::new(RefCell::new(0));
        let config = Config::new().queue_budget(50_000);
        let mut world = World::new(1, config, Counts(Rc::clone(&count))).unwrap();
        let addr = world.listen(ADDR).unwrap();
        world.set_faults(Faults { buffer: 20_000, ..Faults::none() });
        let hog = world.dial(addr);
        hog.read(Reading::Never);
        assert!(world.run_for(SECOND / 20).is_continue());
        let id = world.connections()[0].id;
        world.reactor().context().get(id).unwrap().send(&vec![b'h'; 100_000]);
        assert!(world.run_for(SECOND / 5).is_continue());
        assert_eq!(*count.borrow(), 0, "there is no memory");
        world.reactor().context().get(id).unwrap().set_timer(SECOND / 20, TimerKey(0));
        hog.read(Reading::AtOnce);
        world.clock().pass(late * SECOND / 1_000);
        assert!(world.run_for(SECOND).is_continue());
        assert_eq!(*count.borrow(), 1);
    }
}

#[test]
fn row_45_a_peer_that_stalls_is_shed_in_time_though_the_kernel_has_room_that_it_does_not_tell_of() {
    let config = Config::new().queue_budget(50_000);
    let mut world = World::new(1, config, Answers(200_000)).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 30_000, ..Faults::none() });
    let hog = world.dial(addr);
    hog.read(Reading::Never);
    hog.send(b"x\n");
    assert!(world.run_until_still().is_continue());
    // The room of one small read is less than a third of the buffer, which no event tells of.
    hog.read(Reading::Slowly { bytes: 5_000, every: SECOND / 100 });
    assert!(world.run_for(SECOND / 64).is_continue());
    hog.read(Reading::Never);
    let late = world.dial(addr);
    late.send(b"y\n");
    assert!(world.run_for(17 * SECOND).is_continue());
    assert_eq!(hog.received().len(), 5_000);
    assert_eq!(world.stats().shed, 1);
    assert_eq!(late.received().len(), 200_000);
}
