//! Bodies that many connections share: `Conn::send_bytes` and `Context::broadcast`.

use std::net::SocketAddr;
use std::time::Duration;

use readyloop::sim::{Ending, Faults, Peer, Reading, Rng, World};
use readyloop::{Bytes, Config, Conn, Echo, Handler, Input, from_fn};

use crate::bodies::Bodies;

const ADDR: &str = "10.0.0.1:7000";
const SECOND: Duration = Duration::from_secs(1);
const MIB: usize = 1 << 20;

/// What a queue holds of a shared body, beside the body.
const REFERENCE: usize = 96;

fn world_of<H: Handler>(config: Config, handler: H) -> (World<H>, SocketAddr) {
    let mut world = World::new(1, config, handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    (world, addr)
}

fn dial_deaf<H: Handler>(world: &mut World<H>, addr: SocketAddr, count: usize) -> Vec<Peer> {
    let peers: Vec<_> = (0..count).map(|_| world.dial(addr)).collect();
    peers.iter().for_each(|peer| peer.read(Reading::Never));
    peers
}

fn noise(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.below(256) as u8).collect()
}

/// Answers each line with a body of its own.
fn answers(bodies: &Bodies, len: usize) -> impl Handler<State = ()> {
    let bodies = bodies.clone();
    from_fn(move |conn: &mut Conn, input: &mut Input| {
        while input.take_until(b"\n").is_some() {
            conn.send_bytes(bodies.make(vec![b'a'; len]));
        }
    })
}

#[test]
fn row_61_a_broadcast_to_ten_thousand_clients_counts_once_against_the_budget() {
    const CLIENTS: usize = 10_000;
    let config = Config::new().queue_budget(4 * MIB).max_connections(CLIENTS);
    let (mut world, addr) = world_of(config, from_fn(|_, input| _ = input.take()));
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let peers = dial_deaf(&mut world, addr, CLIENTS);
    assert!(world.run_until_still().is_continue());
    let bodies = Bodies::default();
    let body = bodies.make(vec![b'n'; MIB]);
    for times in 1..=2 {
        world.reactor().context().broadcast(body.clone());
        assert!(world.run_until_still().is_continue());
        let held = MIB + times * CLIENTS * REFERENCE;
        assert_eq!(world.stats().waiting_bytes, held as u64);
        let infos = world.connections();
        assert!(infos.iter().all(|info| info.queued > times * MIB - 10_000), "a queue counts all");
    }
    drop(body);
    for (at, peer) in peers.iter().enumerate() {
        match at % 4 {
            0 => peer.reset(),
            1 => peer.close(),
            2 if at < 40 => peer.read(Reading::AtOnce),
            _ => peer.vanish(),
        }
    }
    assert!(world.run_for(3_600 * SECOND).is_continue());
    let received = peers.iter().filter(|peer| peer.received().len() == 2 * MIB).count();
    assert_eq!((received, world.stats().shed), (10, 0));
    assert_eq!((world.stats().waiting_bytes, bodies.in_memory()), (0, 0));
}

#[test]
fn row_61_a_broadcast_that_is_posted_to_each_reactor_counts_once_for_each() {
    const REACTORS: usize = 3;
    const CLIENTS: usize = 30;
    let config = Config::new().queue_budget(4 * MIB);
    let mut world = World::of_many(1, config, REACTORS, |_| Echo).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let peers = dial_deaf(&mut world, addr, CLIENTS);
    assert!(world.run_until_still().is_continue());
    let bodies = Bodies::default();
    let body = bodies.make(vec![b'n'; MIB]);
    for reactor in 0..REACTORS {
        let body = body.clone();
        world.handle().post(reactor, move |reactor| reactor.broadcast(body)).unwrap();
    }
    drop(body);
    assert!(world.run_until_still().is_continue());
    let held = REACTORS * MIB + CLIENTS * REFERENCE;
    assert_eq!((world.handle().stats().waiting_bytes, bodies.in_memory()), (held as u64, 1));
    peers.iter().for_each(|peer| peer.read(Reading::AtOnce));
    assert!(world.run_until_still().is_continue());
    assert!(peers.iter().all(|peer| peer.received().len() == MIB));
    assert_eq!((world.handle().stats().waiting_bytes, bodies.in_memory()), (0, 0));
}

#[test]
fn row_45_a_body_for_each_client_counts_for_each_and_clients_that_read_are_not_reset() {
    const ANSWER: usize = 10_000;
    const BUDGET: usize = 50_000;
    for seed in 0..40 {
        let bodies = Bodies::default();
        let config = Config::new().queue_budget(BUDGET);
        let mut world = World::new(seed, config, answers(&bodies, ANSWER)).unwrap();
        let addr = world.listen(ADDR).unwrap();
        let (buffer, latency) = (1_000 + 50 * seed as usize, SECOND / 1_000_000);
        world.set_faults(Faults { buffer, latency, ..Faults::none() });
        let peers = dial_deaf(&mut world, addr, 60);
        for peer in &peers {
            peer.send(b"give\n");
        }
        assert!(world.run_until_still().is_continue());
        let waiting = world.stats().waiting_bytes as usize;
        assert!((BUDGET..BUDGET + ANSWER + REFERENCE).contains(&waiting), "{waiting} bytes wait");
        assert!(bodies.in_memory() <= BUDGET / ANSWER, "{} are in memory", bodies.in_memory());
        for peer in &peers {
            peer.read(Reading::AtOnce);
            assert!(world.run_for(SECOND / 100).is_continue());
            assert!(bodies.in_memory() <= BUDGET / ANSWER + 1);
        }
        assert!(world.run_until_still().is_continue());
        for peer in &peers {
            assert_eq!((peer.received().len(), peer.ending()), (ANSWER, None), "seed {seed}");
        }
        assert_eq!((world.stats().waiting_bytes, world.stats().shed), (0, 0), "seed {seed}");
        assert_eq!(bodies.in_memory(), 0);
    }
}

#[test]
fn bodies_and_copied_bytes_arrive_in_the_order_in_which_they_are_sent() {
    for seed in 0..200 {
        let rng = &mut Rng::new(seed);
        let bodies = Bodies::default();
        let pieces: Vec<(bool, Vec<u8>)> = (0..1 + rng.size_below(40))
            .map(|_| {
                let most = [10, 5_000, 20_000][rng.size_below(3)];
                let len = rng.size_below(most);
                (rng.below(2) == 0, noise(rng, len))
            })
            .collect();
        let len = [1, 5_000][rng.size_below(2)];
        let question = noise(rng, len);
        let mut expected = question.clone();
        pieces.iter().for_each(|(_, bytes)| expected.extend_from_slice(bytes));
        let source = bodies.clone();
        let handler = from_fn(move |conn, input| {
            if input.len() < len {
                return;
            }
            conn.send(input.take()); // large input that is sent back is not copied either
            for (is_shared, bytes) in &pieces {
                if *is_shared {
                    conn.send_bytes(source.make(bytes.clone()));
                } else {
                    conn.send(bytes);
                }
            }
        });
        let mut world = World::new(seed, Config::new(), handler).unwrap();
        let addr = world.listen(ADDR).unwrap();
        let peer = world.dial(addr);
        let buffer = [100_000, 5_000, 700][rng.size_below(3)];
        let short_write = [0, 100][rng.size_below(2)];
        world.set_faults(Faults { buffer, short_write, ..Faults::none() });
        peer.send(&question);
        assert!(world.run_until_still().is_continue());
        assert!(peer.received() == expected, "seed {seed}");
        assert_eq!((world.stats().waiting_bytes, bodies.in_memory()), (0, 0), "seed {seed}");
    }
}

#[test]
fn several_bodies_and_what_is_between_them_go_out_in_one_write() {
    let bodies = Bodies::default();
    let source = bodies.clone();
    let handler = from_fn(move |conn, input| {
        input.take();
        for _ in 0..7 {
            conn.send(b"head");
            conn.send_bytes(source.make(vec![b'b'; 5_000]));
        }
    });
    let (mut world, addr) = world_of(Config::new(), handler);
    world.set_faults(Faults { buffer: 100_000, ..Faults::none() });
    let peer = world.dial(addr);
    peer.send(b"go");
    assert!(world.run_until_still().is_continue());
    assert_eq!((peer.received().len(), world.calls().1), (7 * 5_004, 1));
    assert_eq!(bodies.in_memory(), 0, "nothing was queued");
}

#[test]
fn row_61_every_end_of_a_connection_gives_its_bodies_back() {
    let (mut shed, mut ended) = (0, 0);
    for seed in 0..100 {
        let rng = &mut Rng::new(seed);
        let bodies = Bodies::default();
        let source = bodies.clone();
        let handler = from_fn(move |conn: &mut Conn, input: &mut Input| {
            let Some(order) = input.take_until(b"\n") else { return };
            match order {
                b"all" => conn.reactor().broadcast(source.make(vec![b'a'; 20_000])),
                b"mine" => conn.send_bytes(source.make(vec![b'm'; 9_000])),
                b"mixed" => {
                    let body = source.make(vec![b'x'; 6_000]);
                    conn.send_bytes(body.clone());
                    conn.send(b"between");
                    conn.send_bytes(body.slice(100..));
                    conn.reactor().broadcast(body);
                }
                b"close" => conn.close(),
                b"abort" => conn.abort(),
                _ => conn.shutdown_write(),
            }
        });
        let config = Config::new()
            .high_water(5_000)
            .queue_budget([20_000, 60_000, 10 * MIB][rng.size_below(3)])
            .queue_limit([10_000, 100_000][rng.size_below(2)])
            .write_timeout(Some([20, 600][rng.size_below(2)] * SECOND));
        let mut world = World::new(seed, config, handler).unwrap();
        let addr = world.listen(ADDR).unwrap();
        let peers: Vec<_> = (0..10).map(|_| world.dial(addr)).collect();
        assert!(world.run_until_still().is_continue());
        let buffer = 100 + rng.size_below(9_000);
        world.set_faults(Faults { buffer, short_write: 50, write_blocks: 50, ..Faults::none() });
        for _ in 0..60 {
            let peer = &peers[rng.size_below(peers.len())];
            let slowly = Reading::Slowly { bytes: 1 + rng.size_below(5_000), every: SECOND / 10 };
            match rng.below(20) {
                0..5 => drop(peer.send(b"all\n")),
                5..8 => drop(peer.send(b"mine\n")),
                8..11 => drop(peer.send(b"mixed\n")),
                11..13 => peer.read(Reading::Never),
                13 | 14 => peer.read(slowly),
                15 => peer.read(Reading::AtOnce),
                16 => peer.reset(),
                17 => peer.close(),
                18 => peer.shutdown_write(),
                _ => {
                    let orders = [&b"close\n"[..], b"abort\n", b"finish\n"];
                    peer.send(orders[rng.size_below(3)]);
                }
            }
            let time = [0, SECOND.as_millis() as u64, 30_000][rng.size_below(3)];
            assert!(world.run_for(Duration::from_millis(rng.below(1 + time))).is_continue());
        }
        peers.iter().for_each(|peer| peer.read(Reading::AtOnce));
        assert!(world.run_for(10 * SECOND).is_continue());
        let stats = world.stats();
        assert_eq!((stats.waiting_bytes, bodies.in_memory()), (0, 0), "seed {seed}: {stats:?}");
        shed += stats.shed;
        ended += stats.closed;
    }
    assert!(shed > 30 && ended > 300, "{shed} were shed, {ended} have ended");
}

#[test]
fn what_is_shed_first_is_the_connection_whose_end_gives_back_the_most_memory() {
    const SHARED: usize = 100_000;
    let bodies = Bodies::default();
    let source = bodies.clone();
    let handler = from_fn(move |conn: &mut Conn, input: &mut Input| match input.take() {
        b"mine and news" => {
            conn.send_bytes(source.make(vec![b'm'; 60_000]));
            conn.reactor().broadcast(source.make(vec![b'n'; SHARED]));
        }
        _ => conn.send(b"late"),
    });
    let (mut world, addr) = world_of(Config::new().queue_budget(150_000), handler);
    let readers = dial_deaf(&mut world, addr, 20);
    let hog = world.dial(addr);
    hog.read(Reading::Never);
    assert!(world.run_until_still().is_continue());
    // All stall at the same time.
    let latency = Duration::from_nanos(1);
    world.set_faults(Faults { buffer: 1_000, latency, ..Faults::none() });
    hog.send(b"mine and news");
    assert!(world.run_for(SECOND / 2).is_continue());
    let late = world.dial(addr);
    late.send(b"x"); // waits for memory
    assert!(world.run_for(20 * SECOND).is_continue());
    assert_eq!((hog.ending(), world.stats().shed), (Some(Ending::Reset), 1));
    assert_eq!(late.received(), b"late");
    assert!(readers.iter().all(|reader| reader.ending().is_none()));
    readers.iter().for_each(|reader| reader.read(Reading::AtOnce));
    assert!(world.run_until_still().is_continue());
    assert!(readers.iter().all(|reader| reader.received().len() == SHARED));
    assert_eq!((world.stats().waiting_bytes, bodies.in_memory()), (0, 0));
}

#[test]
fn a_body_whose_owner_panics_when_it_is_dropped_ends_no_connection() {
    struct Owner(Vec<u8>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Owner {
        fn drop(&mut self) {
            panic!("a bug in the owner");
        }
    }
    let handler = from_fn(|conn, input| {
        input.take();
        conn.send_bytes(Bytes::from_owner(Owner(vec![b'b'; 10_000])));
    });
    let (mut world, addr) = world_of(Config::new(), handler);
    world.set_faults(Faults { buffer: 100_000, ..Faults::none() });
    let at_once = world.dial(addr);
    at_once.send(b"go");
    assert!(world.run_until_still().is_continue());
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let (late, never) = (world.dial(addr), world.dial(addr));
    never.read(Reading::Never);
    late.send(b"go");
    never.send(b"go");
    assert!(world.run_until_still().is_continue());
    never.reset();
    assert!(world.run_until_still().is_continue());
    assert_eq!((at_once.received().len(), late.received().len()), (10_000, 10_000));
    let stats = world.stats();
    assert_eq!((stats.open, stats.panics, stats.waiting_bytes), (2, 0, 0));
}

#[test]
fn a_small_body_is_copied_so_that_it_keeps_nothing_else_in_memory() {
    let bodies = Bodies::default();
    let source = bodies.clone();
    let handler = from_fn(move |conn, input| {
        input.take();
        conn.send_bytes(source.make(vec![b'b'; MIB]).slice(..1_023));
    });
    let (mut world, addr) = world_of(Config::new(), handler);
    world.set_faults(Faults { buffer: 100, ..Faults::none() });
    let peers = dial_deaf(&mut world, addr, 1);
    peers[0].send(b"go");
    assert!(world.run_until_still().is_continue());
    assert_eq!(bodies.in_memory(), 0);
    peers[0].read(Reading::AtOnce);
    assert!(world.run_until_still().is_continue());
    assert_eq!(peers[0].received().len(), 1_023);
}
