//! How to test a handler in simulation: a counter that clients can add to, line by line, tried with a
//! thousand networks. `cargo run --release --features sim --example simulated`

use std::ops::ControlFlow;
use std::time::Duration;

use readyloop::net::sim::{Faults, Peer, Rng, World};
use readyloop::{BoxError, Config, Conn, Handler, Input};

/// The protocol: a line with a number adds it, and is answered with the sum so far. The sum is common
/// to all connections.
#[derive(Default)]
struct Counter {
    sum: u64,
}

impl Handler for Counter {
    type State = ();

    fn on_open(&mut self, _conn: &mut Conn<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        _state: &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        while let Some(line) = input.take_until(b"\n") {
            let number: u64 = std::str::from_utf8(line)?.parse()?;
            self.sum = self.sum.checked_add(number).ok_or("the sum is too large")?;
            conn.send(format!("{}\n", self.sum).as_bytes());
        }
        Ok(())
    }
}

const CLIENTS: u64 = 5;
const LINES: u64 = 20;

/// Whatever the network does, each number is added once, and each client sees the sum grow.
fn every_number_is_added_once(seed: u64) -> Result<(), BoxError> {
    let mut world = World::new(seed, Config::new(), Counter::default())?;
    let addr = world.listen("10.0.0.1:7000")?;
    // Connections are slow and stutter, but none is refused, and the process does not sleep until they
    // are overdue.
    let faults = Faults::swarm(&mut Rng::new(seed));
    world.set_faults(Faults { register_refused: 0, time_jump: 0, ..faults });
    let clients: Vec<Peer> = (0..CLIENTS).map(|_| world.dial(addr)).collect();
    for _ in 0..LINES {
        for (client, number) in clients.iter().zip(1..) {
            client.send(format!("{number}\n").as_bytes());
        }
        if world.run_for(Duration::from_millis(50)) == ControlFlow::Break(()) {
            return Err("the reactor has stopped".into());
        }
    }
    clients.iter().for_each(Peer::finish);
    world.calm(); // what is owed must arrive now
    let _ = world.run_for(Duration::from_secs(3_600));

    let expected = LINES * (1..=CLIENTS).sum::<u64>();
    let sum = world.reactor().handler().sum;
    if sum != expected {
        return Err(format!("the sum is {sum}, not {expected}").into());
    }
    for client in clients {
        let text = String::from_utf8(client.received())?;
        let sums = text.lines().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        if sums.len() as u64 != LINES || !sums.is_sorted() {
            return Err(format!("{} was told {sums:?}", client.addr()).into());
        }
    }
    Ok(())
}

fn main() -> Result<(), BoxError> {
    // One seed if it is given: to replay it.
    let only: Option<u64> = std::env::args().nth(1).map(|seed| seed.parse()).transpose()?;
    for seed in only.map_or(0..1_000, |seed| seed..seed + 1) {
        every_number_is_added_once(seed).map_err(|error| {
            format!("seed {seed}: {error}; to replay it, give that number as an argument")
        })?;
    }
    println!("every number was added once, in all the networks that were tried");
    Ok(())
}
