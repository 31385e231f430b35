//! Several reactors on real threads, of which one is blocked by a callback.

use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use readyloop::{BoxError, Config, Conn, Handler, Input, Overflow, Server as Reactors};

use crate::util::*;

/// Echoes; at the word it tells that it blocks, and blocks until it is told to go on.
struct Blocks {
    tells: Sender<()>,
    goes_on: Arc<Mutex<Receiver<()>>>,
}

impl Handler for Blocks {
    type State = ();

    fn on_open(&mut self, _: &mut Conn<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        _: &mut (),
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        let bytes = input.take();
        conn.send(bytes);
        if bytes == b"block" {
            self.tells.send(())?;
            let _ = self.goes_on.lock().unwrap().recv_timeout(2 * DEADLINE);
        }
        Ok(())
    }
}

#[test]
fn while_one_reactor_is_blocked_clients_take_places_of_the_others_and_are_served() {
    const PLACES: usize = 40;
    let config = Config::new().max_connections(PLACES).overflow(Overflow::EvictIdlest);
    let (tells, told) = channel();
    let (go_on, goes_on) = channel();
    let goes_on = Arc::new(Mutex::new(goes_on));
    let make = move |_| Blocks { tells: tells.clone(), goes_on: Arc::clone(&goes_on) };
    let mut server = Reactors::new(config, 4, make).unwrap();
    let addr = server.listen("127.0.0.1:0").unwrap();
    let handle = server.handle();
    let serving = thread::spawn(move || server.run());
    let mut residents: Vec<_> = (0..PLACES).map(|_| connect(addr)).collect();
    residents.iter_mut().for_each(|client| echo(client, b"here"));
    let list = handle.connections(DEADLINE).unwrap();
    let is_of_last = |client: &std::net::TcpStream| {
        let addr = client.local_addr().unwrap();
        list.iter().any(|conn| conn.peer == addr && conn.reactor == 3)
    };
    let mut of_last = residents.iter_mut().filter(|client| is_of_last(client));
    // Its other connections will soon be silent for longer than those of all others.
    of_last.next().unwrap().write_all(b"block").unwrap();
    told.recv_timeout(DEADLINE).unwrap();
    let blocked = Instant::now();
    wait_until("it can be seen that it is blocked", || {
        blocked.elapsed() > Duration::from_millis(50)
    });
    let mut clients: Vec<_> = (0..20).map(|_| connect(addr)).collect();
    clients.iter_mut().for_each(|client| echo(client, b"hello"));
    assert_eq!(handle.stats().evicted, 20);
    go_on.send(()).unwrap();
    of_last.for_each(|client| echo(client, b"still here"));
    handle.stop();
    serving.join().unwrap().unwrap();
}
