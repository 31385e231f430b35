//! Several reactors, of which one is busy with a callback that blocks.

use std::time::Duration;

use readyloop::sim::{Clock, Peer, World};
use readyloop::{BoxError, Config, Conn, Context, Handler, Input, Overflow, TimerKey};

const ADDR: &str = "10.0.0.1:7000";
const SECOND: Duration = Duration::from_secs(1);

/// Echoes. One of its timers blocks the reactor for so long, again and again.
#[derive(Default)]
struct Staller {
    clock: Option<Clock>,
    every: Duration,
    time: Duration,
    is_set: bool,
}

impl Handler for Staller {
    type State = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<(), BoxError> {
        if self.clock.is_some() && !std::mem::replace(&mut self.is_set, true) {
            conn.reactor().set_timer(self.every, TimerKey(0));
        }
        Ok(())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        _: &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        conn.send(input.take());
        Ok(())
    }

    fn on_tick(&mut self, reactor: &mut Context<'_>, _: TimerKey) {
        if let Some(clock) = &self.clock {
            clock.stall(self.time);
            reactor.set_timer(self.every + self.time, TimerKey(0));
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Stall {
    reactor: usize,
    /// How long it serves between two stalls, and how long these take.
    every: Duration,
    time: Duration,
}

/// Clients that dial, ask, and dial again as soon as they are answered. The connections that they had stay open, or
/// are closed. Returns how many were answered in one second.
fn answered(config: Config, closes: bool, stall: Option<Stall>) -> usize {
    let mut world = World::of_many(1, config, 4, |_| Staller::default()).unwrap();
    if let Some(stall) = stall {
        let clock = world.clock();
        let handler = world.reactors()[stall.reactor].handler_mut();
        (handler.clock, handler.every, handler.time) = (Some(clock), stall.every, stall.time);
    }
    let addr = world.listen(ADDR).unwrap();
    let dial = |world: &mut World<Staller>| -> Peer {
        let peer = world.dial(addr);
        peer.send(b"hello");
        peer
    };
    let mut clients: Vec<Peer> = (0..32).map(|_| dial(&mut world)).collect();
    let mut answers = 0;
    while world.now() < SECOND {
        assert!(world.run_for(Duration::from_millis(1)).is_continue());
        for client in &mut clients {
            let is_answered = client.received() == b"hello";
            answers += usize::from(is_answered);
            if is_answered || client.ending().is_some() {
                if closes {
                    client.close();
                }
                *client = dial(&mut world);
            }
        }
    }
    answers
}

const MS: Duration = Duration::from_millis(1);

const STALLS: [Stall; 4] = [
    Stall { reactor: 2, every: MS.saturating_mul(50), time: MS.saturating_mul(450) },
    Stall { reactor: 3, every: MS.saturating_mul(5), time: MS.saturating_mul(50) },
    Stall { reactor: 1, every: MS, time: MS.saturating_mul(500) },
    Stall { reactor: 2, every: MS, time: MS.saturating_mul(8) },
];

/// One of four: without it there would be three quarters.
fn costs_little_more_than_its_share(config: &Config, closes: bool) {
    let without = answered(config.clone(), closes, None);
    for stall in STALLS {
        let with = answered(config.clone(), closes, Some(stall));
        println!("{stall:?}: {with} of {without} answers");
        // Clients that it got before it could be seen to stall wait for it.
        assert!(with * 100 >= without * 55, "{stall:?}: {with} of {without} answers");
    }
}

#[test]
fn one_stalling_reactor_of_four_costs_little_more_than_its_share_where_the_idlest_make_room() {
    let config = Config::new().max_connections(200).overflow(Overflow::EvictIdlest);
    costs_little_more_than_its_share(&config, false);
}

#[test]
fn one_stalling_reactor_of_four_costs_little_more_than_its_share_where_connections_are_short() {
    costs_little_more_than_its_share(&Config::new(), true);
}

/// A reactor that does not read takes nothing for silence.
#[test]
fn connections_of_a_stalled_reactor_are_not_the_idlest() {
    let config = Config::new().max_connections(8).overflow(Overflow::EvictIdlest);
    let mut world = World::of_many(1, config, 2, |_| Staller::default()).unwrap();
    let clock = world.clock();
    let handler = world.reactors()[1].handler_mut();
    (handler.clock, handler.every, handler.time) = (Some(clock), SECOND, 10 * SECOND);
    let addr = world.listen(ADDR).unwrap();
    let peers: Vec<Peer> = (0..8).map(|_| world.dial(addr)).collect();
    let _ = world.run_for(SECOND / 2);
    assert!(
        world.reactors().iter_mut().all(|reactor| reactor.context().stats().open == 4),
        "four each"
    );
    // All clients send each second, also those of the reactor that does not listen; but one of the other reactor's.
    let of_first = world.connections()[0].peer;
    let (silent, speaking): (Vec<_>, Vec<_>) =
        peers.iter().partition(|peer| peer.addr() == of_first);
    for _ in 0..9 {
        speaking.iter().for_each(|peer| assert!(peer.send(b"x")));
        let _ = world.run_for(SECOND);
    }
    let client = world.dial(addr);
    client.send(b"hello");
    let _ = world.run_for(SECOND / 100);
    assert_eq!(client.received(), b"hello", "it does not wait for the stalled reactor");
    let _ = world.run_for(SECOND);
    assert!(silent[0].ending().is_some(), "the idlest has made room");
    assert!(speaking.iter().all(|peer| peer.ending().is_none()));
}
