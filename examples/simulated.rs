//! How to test a handler in simulation: a counter that clients can add to, line by line, on a thousand simulated
//! networks. `cargo run --release --features sim --example simulated`

use std::time::Duration;

use readyloop::sim::{Peer, Run, check};
use readyloop::{Config, Conn, Handler, Input, Result};

/// The protocol: a line with a number adds the number to the sum. The answer is the new sum. All connections share one
/// sum.
#[derive(Default)]
struct Counter {
    sum: u64,
}

impl Handler for Counter {
    type State = ();

    fn on_open(&mut self, _conn: &mut Conn) -> Result {
        Ok(())
    }

    fn on_data(&mut self, conn: &mut Conn, _state: &mut (), input: &mut Input) -> Result {
        if let Some(line) = input.take_line()? {
            let number: u64 = std::str::from_utf8(line)?.parse()?;
            self.sum = self.sum.checked_add(number).ok_or("the sum is too large")?;
            conn.send(format!("{}\n", self.sum).as_bytes());
        }
        Ok(())
    }
}

const CLIENTS: u64 = 5;
const LINES: u64 = 20;

/// Whatever the network does, each number is added once, and each client sees the sum grow. Connections are slow and
/// stutter, but none is lost.
fn every_number_is_added_once(run: &mut Run) {
    let mut world = run.world(Config::new(), Counter::default());
    let addr = world.listen("10.0.0.1:7000").unwrap();
    let clients: Vec<Peer> = (0..CLIENTS).map(|_| world.dial(addr)).collect();
    for _ in 0..LINES {
        for (client, number) in clients.iter().zip(1..) {
            client.send(format!("{number}\n").as_bytes());
        }
        assert!(world.run_for(Duration::from_millis(50)).is_continue(), "the reactor has stopped");
    }
    clients.iter().for_each(Peer::shutdown_write);
    world.calm(); // no more faults, so all bytes must arrive now
    let _ = world.run_for(Duration::from_secs(3_600));

    assert_eq!(world.handler_mut(0).sum, LINES * (1..=CLIENTS).sum::<u64>());
    for client in clients {
        let text = String::from_utf8(client.received()).unwrap();
        let sums: Vec<u64> = text.lines().map(|sum| sum.parse().unwrap()).collect();
        let is_whole = sums.len() as u64 == LINES && sums.is_sorted();
        assert!(is_whole, "{} was told {sums:?}", client.addr());
    }
}

fn main() {
    // One seed alone, with its log: READYLOOP_SEED=17.
    check(0..1_000, every_number_is_added_once);
    println!("every number was added once, on every simulated network");
}
