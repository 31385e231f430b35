//! A reactor in the event loop of another: its descriptor and its next deadline are all that the loop needs.

use std::io::{ErrorKind, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use readyloop::{Config, Conn, Context, Handler, Input, Reactor, Result, TimerKey};

use crate::util::*;

/// Echoes, and tells how often its reactor's timer has come.
struct Ticks(mpsc::Sender<u32>);

const TICK: Duration = Duration::from_millis(20);

impl Handler for Ticks {
    type State = ();

    fn on_start(&mut self, reactor: &mut Context<'_>) {
        reactor.set_timer(TICK, TimerKey(1));
    }

    fn on_tick(&mut self, reactor: &mut Context<'_>, key: TimerKey) {
        let count = u32::try_from(key.0).unwrap();
        if self.0.send(count).is_ok() && count < 5 {
            reactor.set_timer(TICK, TimerKey(key.0 + 1));
        }
    }

    fn on_open(&mut self, _: &mut Conn<'_>) -> Result {
        Ok(())
    }

    fn on_data(&mut self, conn: &mut Conn<'_>, (): &mut (), input: &mut Input<'_>) -> Result {
        conn.send(input.take());
        Ok(())
    }
}

/// Makes the reactor's turns when its descriptor is readable or its deadline has come, and returns how many there were.
fn run(mut reactor: Reactor<Ticks>) -> u64 {
    let mut poll = Poll::new().unwrap();
    let descriptor = reactor.as_fd().as_raw_fd();
    poll.registry().register(&mut SourceFd(&descriptor), Token(0), Interest::READABLE).unwrap();
    let mut events = Events::with_capacity(4);
    while let ControlFlow::Continue(()) = reactor.turn(Some(Duration::ZERO)).unwrap() {
        let deadline = reactor.next_deadline();
        let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => other.unwrap(),
        }
    }
    reactor.context().stats().turns
}

#[test]
fn a_reactor_in_another_loop_misses_nothing_and_makes_no_turn_in_vain() {
    let (tell, ticks) = mpsc::channel();
    let (ready, start) = mpsc::channel();
    let thread = thread::spawn(move || {
        let config = Config::new().idle_timeout(Some(Duration::from_millis(300)));
        let mut reactor = Reactor::new(config, Ticks(tell)).unwrap();
        let addr = reactor.listen("127.0.0.1:0").unwrap();
        ready.send((addr, reactor.handle())).unwrap();
        run(reactor)
    });
    let (addr, handle) = start.recv().unwrap();

    // Its own timers come, though nothing happens on a socket.
    let counts: Vec<u32> = (0..5).map(|_| ticks.recv_timeout(DEADLINE).unwrap()).collect();
    assert_eq!(counts, [1, 2, 3, 4, 5]);
    // Sockets are served: new connections, input, and more than one turn reads.
    let mut clients: Vec<_> = (0..50).map(|_| connect(addr)).collect();
    for client in &mut clients {
        echo(client, b"hello");
    }
    let long: Vec<u8> = (0..3_000_000_u32).map(|at| at as u8).collect();
    let mut writer = clients[0].try_clone().unwrap();
    let sent = long.clone();
    let writing = thread::spawn(move || writer.write_all(&sent).unwrap());
    let mut back = vec![0; long.len()];
    clients[0].read_exact(&mut back).unwrap();
    writing.join().unwrap();
    assert!(back == long);
    // Other threads are heard.
    let open = handle.call(0, |reactor| reactor.stats().open).wait(DEADLINE).unwrap();
    assert!(open <= 50, "{open}");
    // Deadlines come.
    for client in &mut clients {
        assert_eq!(read_to_end(client), b"");
    }
    handle.stop();
    let turns = thread.join().unwrap();
    // A loop that polls by the clock, or spins, makes thousands a second.
    let events = 5 + 50 * 4 + 3_000_000 / 1_000 + 100;
    assert!(turns < events, "{turns} turns for at most {events} events");
}

#[test]
fn a_connection_knows_its_own_address_and_takes_options() {
    let server = Server::start(
        Config::new(),
        readyloop::from_fn(|conn, input| {
            input.take();
            let set =
                conn.set_no_delay(false).is_ok() && conn.set_keep_alive(Some(DEADLINE)).is_ok();
            let addr = conn.local_addr().unwrap();
            let id = conn.id();
            let same = conn.reactor().get(id).unwrap().local_addr().unwrap() == addr;
            write!(conn, "{addr} {set} {same}").unwrap();
            conn.close();
        }),
    );
    let mut client = server.connect();
    client.write_all(b"?").unwrap();
    let told = String::from_utf8(read_to_end(&mut client)).unwrap();
    assert_eq!(told, format!("{} true true", client.peer_addr().unwrap()));
}
