//! What a test in the simulated network relies on: it fails if something is wrong, and it waits for what comes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use readyloop::sim::{Ending, Faults, Peer, Rng, Run, World, check};
use readyloop::{BoxError, CloseReason, Config, Conn, Context, Echo, Handler, Input, TimerKey};

const ADDR: &str = "10.0.0.1:7000";
const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Data,
    Tick,
    Close,
    Post,
}

/// Panics in one place.
struct Buggy(Place);

impl Buggy {
    fn act(&self, place: Place) {
        assert!(self.0 != place, "a bug in {place:?}");
    }
}

impl Handler for Buggy {
    type State = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
        conn.reactor().set_timer(SECOND, TimerKey(0));
        Ok(())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        _: &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        conn.send(input.take());
        self.act(Place::Data);
        Ok(())
    }

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), _: &CloseReason) {
        self.act(Place::Close);
    }

    fn on_tick(&mut self, _: &mut Context<'_>, _: TimerKey) {
        self.act(Place::Tick);
    }
}

fn text_of(test: impl FnOnce()) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(test)).err()?;
    Some(*payload.downcast::<String>().expect("a text"))
}

/// A test that asserts nothing.
fn trusts(world: &mut World<Buggy>) {
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    peer.send(b"hello");
    let _ = world.handle().post(0, |reactor| {
        reactor.with_handler(|handler: &mut Buggy, _| handler.act(Place::Post));
    });
    let _ = world.run_for(10 * SECOND);
}

#[test]
fn a_panic_in_a_callback_fails_the_test_unless_that_is_allowed() {
    for place in [Place::Data, Place::Tick, Place::Close, Place::Post] {
        let text = text_of(|| {
            let mut world = World::new(1, Config::new(), Buggy(place)).unwrap();
            trusts(&mut world); // `on_close` comes when the world is dropped
        });
        assert_eq!(text.unwrap(), format!("a callback panicked: a bug in {place:?}"));
        let mut world = World::of_many(1, Config::new(), 3, |_| Buggy(place)).unwrap();
        world.allow_panics();
        trusts(&mut world);
    }
}

/// Other tests of this process turn the log on, so another process is asked.
#[test]
fn a_panic_is_dealt_with_also_while_nothing_is_logged() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "traps::a_panic_in_a_callback_fails_the_test_unless_that_is_allowed"]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn the_world_is_not_still_while_an_acceptor_pauses() {
    const EMFILE: i32 = 24;
    for reactors in [1, 3] {
        let mut world = World::of_many(1, Config::new(), reactors, |_| Echo).unwrap();
        let addr = world.listen(ADDR).unwrap();
        world.fail_accepts(&[EMFILE; 6]);
        let peer = world.dial(addr);
        peer.send(b"hello");
        peer.shutdown_write();
        assert!(world.run_until_still().is_continue());
        assert_eq!(peer.received(), b"hello", "{reactors} reactors");
        assert_eq!(peer.ending(), Some(Ending::Fin), "{reactors} reactors");
    }
}

/// Echoes some kilobytes to a peer and says whether all came.
fn echoes(world: &mut World<Echo>, bytes: &[u8]) -> Peer {
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    peer.send(bytes);
    peer.shutdown_write();
    let _ = world.run_for(600 * SECOND);
    peer
}

#[test]
fn in_no_swarm_is_the_network_so_slow_that_kilobytes_take_ten_minutes() {
    for seed in 0..100 {
        let faults = Faults::swarm(&mut Rng::new(seed));
        let mut world = World::new(seed, Config::new(), Echo).unwrap();
        world.set_faults(Faults { register_refused: 0, ..faults });
        // After a sleep, deadlines may have passed.
        let peer = echoes(&mut world, &[b'x'; 10_000]);
        assert_eq!(peer.received().len(), 10_000, "seed {seed}");
    }
}

#[test]
fn where_faults_are_harmless_everything_arrives() {
    check(0..500, |run| {
        let bytes: Vec<u8> = (0..run.rng().below(3_000)).map(|at| at as u8).collect();
        let mut world = run.world(Config::new(), Echo);
        let peer = echoes(&mut world, &bytes);
        assert_eq!((peer.received(), peer.ending()), (bytes, Some(Ending::Fin)));
    });
}

#[test]
fn what_a_check_draws_is_the_same_in_every_run() {
    let drawn = || {
        let mut all = Vec::new();
        check(0..20, |run: &mut Run| {
            let number = run.rng().next_u64();
            let mut world = run.world(Config::new(), Echo);
            drop(echoes(&mut world, b"hello"));
            all.push((run.seed(), number, run.faults().clone(), world.trace_hash()));
        });
        all
    };
    let first = drawn();
    assert_eq!(first, drawn());
    assert!(first.windows(2).all(|pair| pair[0].3 != pair[1].3));
}

#[test]
fn a_check_that_fails_names_the_seed_the_faults_and_how_to_replay() {
    for (place, what) in [(Place::Data, "a callback panicked: a bug in Data"), (Place::Close, "no")]
    {
        let text = text_of(|| {
            check(700..705, |run| {
                let mut world = run.world(Config::new(), Buggy(place));
                world.allow_panics();
                let is_bad = run.seed() != 700 || std::env::var_os("READYLOOP_SEED").is_some();
                if is_bad && place == Place::Data {
                    let mut world = run.world(Config::new(), Buggy(place));
                    trusts(&mut world);
                }
                assert!(!is_bad, "no");
            });
        });
        let text = text.expect("it fails");
        if std::env::var_os("READYLOOP_SEED").is_none() {
            assert!(text.starts_with(&format!("seed 701: {what}\n")), "{text}");
            assert!(text.contains("READYLOOP_SEED=701 cargo test traps::a_check_that"), "{text}");
        }
        assert!(text.contains(" of virtual time, with Faults { short_read: "), "{text}");
    }
}

/// What the variables say is for the process, so another one is asked.
#[test]
fn the_environment_says_which_seeds_are_checked() {
    let seeds_with = |variables: &[(&str, &str)]| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "traps::says_its_seeds", "--ignored", "--nocapture"]);
        command.env_remove("READYLOOP_SEED").env_remove("READYLOOP_SEEDS");
        let output = command.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let seeds = |text: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("this is "));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(seeds(&seeds_with(&[])), ["5", "6", "7"]);
    assert_eq!(seeds(&seeds_with(&[("READYLOOP_SEEDS", "2")])), ["5", "6"]);
    let one = seeds_with(&[("READYLOOP_SEED", "4711"), ("READYLOOP_SEEDS", "2")]);
    assert_eq!(seeds(&one), ["4711"]);
    let opened = one.lines().find(|line| line.ends_with("DEBUG #1 192.168.0.1:50000 opened"));
    let (time, _) = opened.expect("the log is printed").split_once(" s ").expect("with the time");
    assert!(time.parse::<f64>().unwrap() > 0.0, "{time}");
}

#[test]
#[ignore = "is run by the one above"]
fn says_its_seeds() {
    check(5..8, |run| {
        println!("\nthis is {}", run.seed());
        let mut world = run.world(Config::new(), Echo);
        drop(echoes(&mut world, b"hello"));
    });
}
