//! Other threads, timers, draining, several reactors, a handler replaced: on real sockets and threads.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use readyloop::{
    Addr, BoxError, CallError, Config, Conn, ConnId, Context, Echo, Error, Handler, Input, Reactor,
    Refusal, Refused, Report, Server as Reactors, Suspension, TimerKey, from_fn,
};

use crate::inside::{collect_log, count_of, logged};
use crate::util::*;

/// A few where nothing is optimised.
const POSTS: usize = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };

/// As many as the variable says.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn row_30_eight_threads_that_flood_the_mailbox_get_back_what_it_does_not_take_and_io_goes_on() {
    let server = Server::start(Config::new().mailbox_limit(1_000), Echo);
    let posts = number("READYLOOP_POSTS", POSTS);
    let (run, flooding) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(8));
    let mut client = server.connect();
    let (returned, echoes) = thread::scope(|scope| {
        let flooders: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut returned = 0;
                    for _ in 0..posts {
                        let run = Arc::clone(&run);
                        let count =
                            move |_: &mut Context<'_>| _ = run.fetch_add(1, Ordering::Relaxed);
                        if let Err(Refused { why, returned: closure, .. }) =
                            server.handle.post(0, count)
                        {
                            assert_eq!(why, Refusal::Full);
                            drop(closure);
                            returned += 1;
                        }
                    }
                    flooding.fetch_sub(1, Ordering::Relaxed);
                    returned
                })
            })
            .collect();
        let mut echoes = 0;
        while flooding.load(Ordering::Relaxed) > 0 {
            echo(&mut client, b"meanwhile");
            echoes += 1;
        }
        let returned: usize = flooders.into_iter().map(|thread| thread.join().unwrap()).sum();
        (returned, echoes)
    });
    let stats = server.stop();
    let run = run.load(Ordering::Relaxed);
    println!("{run} delivered + {returned} returned, {echoes} echoes meanwhile");
    assert_eq!(run + returned, 8 * posts);
    assert_eq!(stats.messages, run as u64);
    assert!(run > 0 && returned > 0 && echoes > 0);
}

#[test]
fn row_31_no_wake_up_is_lost_while_the_reactor_falls_asleep_after_each_message() {
    let server = Server::start(Config::new(), Echo);
    let rounds = number("READYLOOP_ROUNDS", POSTS / 10);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let run = Arc::new(AtomicUsize::new(0));
                for round in 0..rounds {
                    let told = Arc::clone(&run);
                    server
                        .handle
                        .post(0, move |_| told.store(round + 1, Ordering::Release))
                        .unwrap();
                    let give_up = Instant::now() + DEADLINE;
                    while run.load(Ordering::Acquire) <= round {
                        // Nothing else wakes the reactor.
                        assert!(round % 1_000 > 0 || Instant::now() < give_up, "round {round}");
                        thread::yield_now();
                    }
                }
            });
        }
    });
    assert_eq!(server.stop().messages, 2 * rounds as u64);
}

#[test]
fn row_32_what_was_taken_before_a_stop_has_run_and_what_comes_after_it_returns() {
    for _ in 0..50 {
        let server = Server::start(Config::new(), Echo);
        let handle = server.handle.clone();
        let run = Arc::new(AtomicUsize::new(0));
        let (sent, returned) = thread::scope(|scope| {
            let poster = scope.spawn(|| {
                for sent in 1.. {
                    let run = Arc::clone(&run);
                    let posted = handle.post(0, move |_| _ = run.fetch_add(1, Ordering::Relaxed));
                    if posted.is_err_and(|refused| refused.why == Refusal::Stopped) {
                        return (sent, 1);
                    }
                    if sent % 100 == 0 {
                        thread::yield_now();
                    }
                }
                unreachable!("it stops")
            });
            wait_until("some have run", || run.load(Ordering::Relaxed) > 100);
            handle.stop();
            poster.join().unwrap()
        });
        let full = server.stop(); // it has stopped, and all has run
        assert_eq!(full.messages, run.load(Ordering::Relaxed) as u64);
        assert!(run.load(Ordering::Relaxed) + returned <= sent);
    }
}

#[test]
fn a_call_brings_an_answer_a_panic_or_says_that_it_took_too_long() {
    const LONG: Duration = Duration::from_secs(20);
    let server = Server::start(Config::new(), Echo);
    let handle = &server.handle;
    assert_eq!(handle.call(0, |_| 6 * 7).wait(LONG), Ok(42));
    let panics = |_: &mut Context<'_>| -> u8 { panic!("this panic is part of the test") };
    assert_eq!(handle.call(0, panics).wait(LONG), Err(CallError::NoAnswer));
    let released = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&released);
    let blocks = move |_: &mut Context<'_>| {
        while !until.load(Ordering::Acquire) {
            thread::yield_now();
        }
    };
    assert_eq!(handle.call(0, blocks).wait(Duration::from_millis(1)), Err(CallError::TimedOut));
    released.store(true, Ordering::Release);
    assert_eq!(handle.call(0, |_| "goes on").wait(LONG), Ok("goes on"));
}

#[test]
fn connections_can_be_listed_and_closed_from_outside() {
    let server = Server::start(Config::new(), Echo);
    let mut clients: Vec<TcpStream> = (0..5).map(|_| server.connect()).collect();
    for (client, count) in clients.iter_mut().zip(1..) {
        echo(client, &noise(count));
    }
    let mut list = server.handle.connections(DEADLINE).unwrap();
    list.sort_by_key(|conn| conn.bytes_in);
    for (conn, (client, count)) in list.iter().zip(clients.iter().zip(1..)) {
        assert_eq!(conn.peer, client.local_addr().unwrap());
        assert_eq!(conn.listener, Some(server.addr.into()));
        assert_eq!((conn.bytes_in, conn.bytes_out, conn.queued), (count, count, 0));
        assert!(conn.idle <= conn.age);
    }
    assert_eq!(list.len(), 5);
    server.handle.send(list[2].id, "bye").unwrap();
    server
        .handle
        .post(list[2].id, {
            let id = list[2].id;
            move |reactor| reactor.get(id).expect("it is there").close()
        })
        .unwrap();
    assert_eq!(read_to_end(&mut clients[2]), b"bye");
    drop(clients.swap_remove(2));
    wait_until("it is gone", || server.handle.connections(DEADLINE).unwrap().len() == 4);
}

#[test]
fn suspended_the_port_refuses_or_the_backlog_waits_and_it_comes_back() {
    let server = Server::start(Config::new(), Echo);
    let mut resident = server.connect();
    server.handle.suspend(Suspension::KeepListening).wait(DEADLINE).unwrap();
    let mut waiting = server.connect();
    waiting.write_all(b"hello").unwrap();
    echo(&mut resident, b"still here");
    assert_eq!(server.handle.stats().open, 1);
    server.handle.resume().wait(DEADLINE).unwrap().unwrap();
    waiting.read_exact(&mut [0; 5]).unwrap();
    server.handle.suspend(Suspension::CloseListeners).wait(DEADLINE).unwrap();
    assert!(TcpStream::connect(server.addr).is_err());
    let thief = std::net::TcpListener::bind(server.addr).unwrap();
    let error = server.handle.resume().wait(DEADLINE).unwrap().unwrap_err();
    assert!(matches!(&error, Error::Listen { addr, .. } if *addr == server.addr), "{error}");
    drop(thief);
    server.handle.resume().wait(DEADLINE).unwrap().unwrap();
    echo(&mut server.connect(), b"hello again");
    echo(&mut resident, b"still here");
}

#[test]
fn a_timer_comes_on_time_while_nothing_else_happens() {
    struct Reminds;
    impl Handler for Reminds {
        type State = Option<Instant>;

        fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<Self::State, BoxError> {
            conn.set_timer(Duration::from_millis(50), TimerKey(0));
            Ok(Some(Instant::now()))
        }

        fn on_data(
            &mut self,
            _: &mut Conn<'_>,
            _: &mut Self::State,
            _: &mut Input<'_>,
        ) -> Result<(), BoxError> {
            Ok(())
        }

        fn on_timer(
            &mut self,
            conn: &mut Conn<'_>,
            set: &mut Self::State,
            _: TimerKey,
        ) -> Result<(), BoxError> {
            let early = set.take().ok_or("once")?.elapsed() < Duration::from_millis(50);
            conn.send(if early { b"early" } else { b"in time" });
            conn.close();
            Ok(())
        }
    }
    let server = Server::start(Config::new(), Reminds);
    assert_eq!(read_to_end(&mut server.connect()), b"in time");
}

/// Echoes, and has its state say which version it is of.
struct Version(u32);

impl Handler for Version {
    type State = u32;

    fn on_open(&mut self, _: &mut Conn<'_>) -> Result<u32, BoxError> {
        Ok(self.0)
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        version: &mut u32,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        if *version != self.0 {
            return Err(format!("a state of version {version} in version {}", self.0).into());
        }
        // Each in its own way.
        if self.0.is_multiple_of(2) {
            conn.send(input.take());
        } else {
            let half = input.len().div_ceil(2);
            conn.send(input.take_exact(half).unwrap_or_default());
        }
        Ok(())
    }
}

#[test]
fn replaced_a_thousand_times_under_load_no_byte_is_lost_changed_or_doubled() {
    const CLIENTS: usize = 200;
    let replacements = if cfg!(debug_assertions) { 100 } else { 1_000 };
    let mut server = Reactors::new(Config::new(), 2, |_| Version(0)).unwrap();
    let addr = server.listen("127.0.0.1:0").unwrap();
    let handle = server.handle();
    let serving = thread::spawn(move || server.run());
    let (done, echoed) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (done, echoed) = (&done, &echoed);
            scope.spawn(move || {
                let mut client = connect(addr);
                let bytes = noise(10_000 + number);
                while !done.load(Ordering::Relaxed) {
                    for chunk in bytes.chunks(997) {
                        echo(&mut client, chunk);
                    }
                    echoed.fetch_add(bytes.len(), Ordering::Relaxed);
                }
            });
        }
        wait_until("all are there", || handle.stats().open == CLIENTS as u64);
        for version in 1..=replacements {
            let migrate = move |_: ConnId, old: &u32| {
                assert_eq!(*old, version - 1);
                Some(version)
            };
            handle.replace(move |_| Version(version), migrate, DEADLINE).unwrap();
        }
        // A handler that cannot migrate one connection is refused for all.
        let list = handle.connections(DEADLINE).unwrap();
        let of_second: Vec<ConnId> =
            list.iter().filter(|conn| conn.reactor == 1).map(|conn| conn.id).collect();
        let bad = move |id: ConnId, old: &u32| {
            let is_the_one = of_second.contains(&id) && count_of(id) == 7;
            assert!(!is_the_one, "part of the test");
            Some(old + 1)
        };
        let refused = handle.replace(|_| Version(u32::MAX), bad, DEADLINE);
        assert!(refused.is_err(), "{refused:?}");
        let before = echoed.load(Ordering::Relaxed);
        wait_until("the old one goes on", || echoed.load(Ordering::Relaxed) > before + 10_000_000);
        done.store(true, Ordering::Relaxed);
    });
    println!("{} MB echoed meanwhile", echoed.into_inner() / 1_000_000);
    assert_eq!(handle.stats().panics, 0, "a migration that panics is no callback");
    handle.drain(DEADLINE);
    let report = serving.join().unwrap().unwrap();
    assert_eq!((report.cut, report.unsent), (0, 0));
}

/// Echoes, and pauses a connection for ever that has sent something.
fn pauses() -> impl Handler<State = ()> {
    from_fn(|conn, input| {
        conn.send(input.take());
        conn.pause();
    })
}

#[test]
fn a_reactor_that_has_drained_before_the_others_does_not_hinder_a_replacement() {
    let mut server = Reactors::new(Config::new(), 2, |_| pauses()).unwrap();
    let addr = server.listen("127.0.0.1:0").unwrap();
    let handle = server.handle();
    let serving = thread::spawn(move || server.run());
    let mut client = connect(addr);
    echo(&mut client, b"keep me");
    let busy = handle.connections(DEADLINE).unwrap()[0].reactor;
    handle.drain(10 * DEADLINE);
    wait_until(
        "the other reactor has ended",
        || matches!(handle.post(1 - busy, |_| ()), Err(refused) if refused.why == Refusal::Stopped),
    );
    assert_eq!(handle.replace(|_| pauses(), |_, ()| None, DEADLINE), Ok(()));
    handle.stop();
    assert_eq!(serving.join().unwrap().unwrap().cut, 1);
    assert_eq!(
        handle.replace(|_| pauses(), |_, ()| None, DEADLINE),
        Err(CallError::Refused(Refusal::Stopped).into())
    );
}

#[test]
fn two_reactors_under_load_share_evenly_keep_the_cap_and_their_figures_are_what_is_seen_outside() {
    const CAP: u64 = 100;
    let mut server =
        Reactors::new(Config::new().max_connections(CAP as usize), 2, |_| Echo).unwrap();
    let addr = server.listen("127.0.0.1:0").unwrap();
    let handle = server.handle();
    let serving = thread::spawn(move || server.run());
    let (sent, dialled) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let most = AtomicUsize::new(0);
    thread::scope(|scope| {
        // More than there is room for come and go.
        for number in 0..16 {
            let (sent, dialled) = (&sent, &dialled);
            scope.spawn(move || {
                for round in 0..20 {
                    let mut clients: Vec<_> = (0..10).map(|_| connect(addr)).collect();
                    dialled.fetch_add(clients.len(), Ordering::Relaxed);
                    for client in &mut clients {
                        // Connections in the backlog are served when others go, so each goes at once.
                        client.write_all(&noise(number * 10 + round)).unwrap();
                        sent.fetch_add(number * 10 + round, Ordering::Relaxed);
                        client.shutdown(std::net::Shutdown::Write).unwrap();
                        assert_eq!(read_to_end(client).len(), number * 10 + round);
                    }
                }
            });
        }
        while dialled.load(Ordering::Relaxed) < 16 * 20 * 10 {
            let open = handle.stats().open;
            assert!(open <= CAP, "{open} at once");
            most.fetch_max(open as usize, Ordering::Relaxed);
        }
    });
    wait_until("all have gone", || handle.stats().open == 0);
    let stats = handle.stats();
    assert_eq!(stats.accepted as usize, dialled.into_inner());
    let sent = sent.into_inner() as u64;
    assert_eq!((stats.bytes_in, stats.bytes_out), (sent, sent));
    // At rest, each has half of them, to the one.
    let mut clients: Vec<_> = (0..51).map(|_| connect(addr)).collect();
    clients.iter_mut().for_each(|client| echo(client, b"hello"));
    let list = handle.connections(DEADLINE).unwrap();
    let first = list.iter().filter(|conn| conn.reactor == 0).count();
    assert!((25..=26).contains(&first), "{first} of 51");
    // And the cap is exact: one more than it has to wait.
    clients.extend((51..CAP).map(|_| connect(addr)));
    clients.iter_mut().for_each(|client| echo(client, b"hello"));
    let mut waiting = connect(addr);
    waiting.write_all(b"hello").unwrap();
    wait_until("the cap is reached", || handle.stats().open == CAP);
    drop(clients.pop());
    waiting.read_exact(&mut [0; 5]).unwrap();
    drop((clients, waiting));
    wait_until("all have gone", || handle.stats().open == 0);
    handle.stop();
    let report = serving.join().unwrap().unwrap();
    assert_eq!(report, Report::default());
}

#[test]
fn connections_of_two_reactors_talk_to_each_other_by_the_handle() {
    /// Tells all what it hears, wherever they are.
    struct Room(Arc<Mutex<Option<readyloop::Handle>>>);
    impl Handler for Room {
        type State = ();

        fn on_open(&mut self, _: &mut Conn<'_>) -> Result<(), BoxError> {
            Ok(())
        }

        fn on_data(
            &mut self,
            _: &mut Conn<'_>,
            (): &mut (),
            input: &mut Input<'_>,
        ) -> Result<(), BoxError> {
            let handle = self.0.lock().unwrap().clone().ok_or("it was set")?;
            let word = input.take().to_vec();
            for reactor in 0..handle.reactors() {
                let word = word.clone();
                handle.post(reactor, move |reactor| reactor.broadcast(word))?;
            }
            Ok(())
        }
    }
    let shared = Arc::new(Mutex::new(None));
    let given = Arc::clone(&shared);
    let mut server = Reactors::new(Config::new(), 2, move |_| Room(Arc::clone(&given))).unwrap();
    *shared.lock().unwrap() = Some(server.handle());
    let addr = server.listen("127.0.0.1:0").unwrap();
    let handle = server.handle();
    let serving = thread::spawn(move || server.run());
    let mut clients: Vec<_> = (0..6).map(|_| connect(addr)).collect();
    wait_until("all are there", || handle.stats().open == 6);
    clients[0].write_all(b"hello").unwrap();
    for client in &mut clients {
        let mut word = [0; 5];
        client.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"hello");
    }
    handle.stop();
    serving.join().unwrap().unwrap();
}

#[test]
fn a_drain_amid_new_connections_cuts_none() {
    for _ in 0..20 {
        let mut server = Reactors::new(Config::new(), 2, |_| Echo).unwrap();
        let addr = server.listen("127.0.0.1:0").unwrap();
        let handle = server.handle();
        let serving = thread::spawn(move || server.run());
        let report = thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| while TcpStream::connect(addr).is_ok() {});
            }
            wait_until("some have come", || handle.stats().accepted > 20);
            handle.drain(DEADLINE);
            serving.join().unwrap().unwrap()
        });
        assert_eq!((report.cut, report.unsent), (0, 0));
    }
}

#[test]
fn a_reactor_that_fails_ends_the_server_with_an_error() {
    let make = |index| {
        assert!(index < 2, "no handler for the third: part of the test");
        Echo
    };
    let mut server = Reactors::new(Config::new(), 3, make).unwrap();
    server.listen("127.0.0.1:0").unwrap();
    let handle = server.handle();
    /// Panics when what holds it is dropped instead of run.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("part of the test");
        }
    }
    for _ in 0..2 {
        let bomb = Bomb;
        handle.post(2, move |_| std::mem::forget(bomb)).unwrap();
    }
    let asker = handle.clone();
    let asking = thread::spawn(move || asker.call(2, |_| ()).wait(Duration::MAX));
    let error = server.run().unwrap_err();
    assert!(matches!(error, Error::Reactor { index: 2, .. }), "{error:?}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("no handler for the third"), "{cause}");
    let answer = asking.join().unwrap();
    let is_told = matches!(answer, Err(CallError::NoAnswer | CallError::Refused(_)));
    assert!(is_told, "{answer:?}");
    for reactor in 0..3 {
        let refused = handle.post(reactor, |_| ()).unwrap_err();
        assert_eq!(refused.why, Refusal::Stopped, "reactor {reactor}");
    }
    assert!(Reactors::new(Config::new(), 0, |_| Echo).is_err());
}

#[test]
fn the_reactors_own_life_is_told() {
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);
    impl Handler for Told {
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

        fn on_start(&mut self, reactor: &mut Context<'_>) {
            self.0.lock().unwrap().push("start".to_owned());
            reactor.set_timer(Duration::from_millis(1), TimerKey(3));
        }

        fn on_tick(&mut self, reactor: &mut Context<'_>, key: TimerKey) {
            self.0.lock().unwrap().push(format!("tick {}", key.0));
            reactor.stop();
        }

        fn on_stop(&mut self, _: &mut Context<'_>) {
            self.0.lock().unwrap().push("stop".to_owned());
        }
    }
    let told = Told::default();
    let mut reactor = readyloop::Reactor::new(Config::new(), told.clone()).unwrap();
    reactor.run().unwrap();
    drop(reactor);
    assert_eq!(*told.0.lock().unwrap(), ["start", "tick 3", "stop"]);
}

/// A reactor whose `run` is awaited elsewhere, without a handle; its address, and what `run` returns.
fn runs(
    config: Config,
    listeners: usize,
) -> (Vec<SocketAddr>, thread::JoinHandle<Result<Report, Error>>) {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut reactor = Reactor::new(config, Echo)?;
        let addrs: Result<Vec<_>, _> =
            (0..listeners).map(|_| reactor.listen("127.0.0.1:0")).collect();
        sender.send(addrs?).unwrap();
        reactor.run()
    });
    (receiver.recv().unwrap(), thread)
}

fn lost(result: Result<Report, Error>) -> (Addr, Report) {
    match result {
        Err(Error::ListenersLost { addr, report, source }) => {
            assert_eq!(source.kind(), std::io::ErrorKind::InvalidInput);
            (addr, report)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn row_05_a_reactor_without_listeners_connections_and_handles_ends_with_an_error() {
    let (addrs, thread) = runs(Config::new(), 2);
    let mut resident = connect(addrs[0]);
    echo(&mut resident, b"before");
    for addr in &addrs {
        kill_listener(std::process::id(), *addr);
        wait_until("it is closed", || std::net::TcpStream::connect(addr).is_err());
        echo(&mut resident, b"after");
    }
    drop(resident);
    let (addr, _) = lost(thread.join().unwrap());
    assert_eq!(addr, addrs[1]);
}

#[test]
fn row_05_a_reactor_that_can_be_reached_by_a_handle_goes_on_and_listens_again_when_told() {
    let server = Server::start(Config::new(), Echo);
    kill_listener(std::process::id(), server.addr);
    wait_until("it is noticed", || server.stats().listeners_lost == 1);
    server.handle.resume().wait(DEADLINE).unwrap().unwrap();
    echo(&mut server.connect(), b"again");
    // A reactor that no handle can reach ends with its last handle.
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        let mut reactor = Reactor::new(Config::new(), Echo)?;
        sender.send((reactor.listen("127.0.0.1:0")?, reactor.handle())).unwrap();
        reactor.run()
    });
    let (addr, handle) = receiver.recv().unwrap();
    kill_listener(std::process::id(), addr);
    wait_until("it is noticed", || handle.stats().listeners_lost == 1);
    let other = handle.clone();
    drop(handle);
    assert!(other.call(0, |reactor| reactor.stats().open).wait(DEADLINE).is_ok(), "it still runs");
    drop(other);
    assert_eq!(lost(thread.join().unwrap()).0, addr);
}

#[test]
fn row_29_a_slow_turn_is_counted_and_the_log_names_its_connection() {
    collect_log();
    let config = Config::new().slow_turn(Some(Duration::from_millis(50)));
    let blocks = from_fn(|conn, input| {
        if input.peek() == b"block" {
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(60) {
                thread::yield_now();
            }
        }
        conn.send(input.take());
    });
    let server = Server::start(config, blocks);
    let (mut client, mut other) = (server.connect(), server.connect());
    echo(&mut other, b"hello");
    echo(&mut client, b"block");
    echo(&mut client, b"hello");
    assert!(server.stats().slow_turns >= 1);
    let name = client.local_addr().unwrap().to_string();
    let lines = logged();
    let line = lines.iter().find(|line| line.contains(&name)).expect("it is named");
    assert!(line.contains("took too long"), "{line}");
}
