//! Last words: `on_closing`.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Ending, Faults, Peer, World};
use readyloop::{CloseReason, Config, Conn, Context, Handler, Input, Result, TimerKey};

const ADDR: &str = "10.0.0.1:7000";
const SECOND: Duration = Duration::from_secs(1);

/// Takes whole lines, says why the library closes, and notes all that it hears of the end.
struct Polite {
    heard: Rc<RefCell<Vec<String>>>,
    /// What `on_closing` does besides.
    also: fn(&mut Conn<'_>) -> Result,
}

impl Handler for Polite {
    type State = ();

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result {
        conn.set_timer(20 * SECOND, TimerKey(0));
        Ok(())
    }

    fn on_data(&mut self, conn: &mut Conn<'_>, (): &mut (), input: &mut Input<'_>) -> Result {
        match input.take_until(b"\n") {
            Some(b"quit") => conn.close(),
            Some(b"fail") => Err("as it was told to")?,
            _ => {}
        }
        Ok(())
    }

    fn on_timer(&mut self, _: &mut Conn<'_>, (): &mut (), _: TimerKey) -> Result {
        self.heard.borrow_mut().push("timer".to_owned());
        Ok(())
    }

    fn on_closing(&mut self, conn: &mut Conn<'_>, (): &mut (), reason: &CloseReason) -> Result {
        self.heard.borrow_mut().push(format!("closing: {reason}"));
        write!(conn, "bye: {reason}")?;
        (self.also)(conn)
    }

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), reason: &CloseReason) {
        self.heard.borrow_mut().push(format!("closed: {reason}"));
    }
}

/// What ends a connection.
type Act = fn(&mut World<Polite>, &Peer);

/// A server with one peer that is open, and what its handler hears.
fn start(
    config: Config,
    also: fn(&mut Conn<'_>) -> Result,
) -> (World<Polite>, Peer, Rc<RefCell<Vec<String>>>) {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let handler = Polite { heard: Rc::clone(&heard), also };
    let mut world = World::new(1, config, handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    assert!(world.run_until_still().is_continue());
    (world, peer, heard)
}

/// The peer has got the last words and a FIN, and the handler has heard of the reason twice.
fn assert_polite(peer: &Peer, heard: &RefCell<Vec<String>>, reason: &str) {
    let words = String::from_utf8(peer.received()).unwrap();
    assert_eq!((words, peer.ending()), (format!("bye: {reason}"), Some(Ending::Fin)));
    assert_eq!(*heard.borrow(), [format!("closing: {reason}"), format!("closed: {reason}")]);
}

#[test]
fn a_connection_that_the_library_closes_has_its_last_words_whatever_the_reason() {
    let quiet = |_: &mut Conn<'_>| Ok(());
    let cases: [(Config, Act, &str); 5] = [
        (Config::new().idle_timeout(Some(SECOND)), |_, _| {}, "the peer sent nothing for 1s"),
        (Config::new().first_byte_timeout(Some(SECOND)), |_, _| {}, "no byte arrived within 1s"),
        (
            Config::new().max_age(Some(SECOND)),
            |_, _| {},
            "the connection reached its maximum age of 1s",
        ),
        (
            Config::new().max_input(100),
            |_, peer| assert!(peer.send(&[b'x'; 200])),
            "the handler left more than 100 bytes of input unread",
        ),
        (
            Config::new(),
            |world, _| world.handle().drain(5 * SECOND),
            "the server drained, and the connection was idle",
        ),
    ];
    for (config, act, reason) in cases {
        let (mut world, peer, heard) = start(config, quiet);
        act(&mut world, &peer);
        let _ = world.run_for(9 * SECOND);
        assert_polite(&peer, &heard, reason);
    }
}

#[test]
fn last_words_may_be_spoken_at_the_deadline_of_a_drain() {
    let (mut world, peer, heard) = start(Config::new(), |_| Ok(()));
    assert!(peer.send(b"an unfinished li"));
    assert!(world.run_until_still().is_continue());
    world.handle().drain(SECOND);
    let _ = world.run_for(9 * SECOND);
    let told = heard.borrow()[0].clone();
    assert!(told.contains("drain"), "{told}");
    assert_polite(&peer, &heard, told.strip_prefix("closing: ").unwrap());
}

#[test]
fn the_reason_stays_though_the_handler_closes_or_fails_in_its_last_words() {
    let acts: [fn(&mut Conn<'_>) -> Result; 3] = [
        |conn| {
            conn.close();
            Ok(())
        },
        |_| Err("too late")?,
        |conn| {
            conn.set_timer(Duration::ZERO, TimerKey(7));
            conn.shutdown_write();
            Ok(())
        },
    ];
    for also in acts {
        let (mut world, peer, heard) = start(Config::new().idle_timeout(Some(SECOND)), also);
        let _ = world.run_for(9 * SECOND);
        assert_polite(&peer, &heard, "the peer sent nothing for 1s");
    }
}

#[test]
fn an_abort_in_the_last_words_resets_the_connection() {
    let also = |conn: &mut Conn<'_>| {
        conn.abort();
        Ok(())
    };
    let (mut world, peer, heard) = start(Config::new().idle_timeout(Some(SECOND)), also);
    let _ = world.run_for(9 * SECOND);
    assert_eq!(peer.ending(), Some(Ending::Reset));
    assert_eq!(heard.borrow()[1], "closed: aborted by the handler");
}

#[test]
fn an_end_that_is_not_the_librarys_has_no_last_words() {
    let acts: [Act; 5] = [
        |_, peer| assert!(peer.send(b"quit\n")),
        |_, peer| assert!(peer.send(b"fail\n")),
        |_, peer| peer.shutdown_write(),
        |_, peer| peer.reset(),
        |world, _| world.handle().stop(),
    ];
    for act in acts {
        let (mut world, peer, heard) = start(Config::new(), |_| Ok(()));
        act(&mut world, &peer);
        let _ = world.run_for(9 * SECOND);
        assert_eq!(peer.received(), b"");
        let heard = heard.borrow();
        assert!(heard.len() == 1 && heard[0].starts_with("closed: "), "{heard:?}");
    }
}

#[test]
fn last_words_to_a_slow_reader_arrive_whole() {
    let also = |conn: &mut Conn<'_>| {
        conn.send(&[b'.'; 100_000]);
        Ok(())
    };
    let (mut world, peer, _heard) = start(Config::new().idle_timeout(Some(SECOND)), also);
    world.set_faults(Faults { buffer: 1_000, ..Faults::none() });
    let _ = world.run_for(30 * SECOND);
    assert_eq!(peer.ending(), Some(Ending::Fin));
    let received = peer.received();
    assert!(received.starts_with(b"bye: ") && received.ends_with(&[b'.'; 100_000]));
}

/// Tells all others, and reads their states, in its last words.
struct Gossip;

impl Handler for Gossip {
    type State = u32;

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<u32> {
        Ok(conn.peer_addr().port().map_or(0, u32::from))
    }

    fn on_data(&mut self, conn: &mut Conn<'_>, _: &mut u32, input: &mut Input<'_>) -> Result {
        conn.send(input.take());
        Ok(())
    }

    fn on_closing(&mut self, conn: &mut Conn<'_>, own: &mut u32, _: &CloseReason) -> Result {
        assert!(conn.state::<u32>().is_none(), "the callback has it already");
        let mut sum = *own;
        conn.reactor().for_each(|other| sum += *other.state::<u32>().expect("it is there"));
        write!(conn, "{sum}")?;
        Ok(())
    }
}

#[test]
fn the_states_of_other_connections_are_reached_from_a_callback_and_from_posted_closures() {
    let config = Config::new().max_age(Some(20 * SECOND));
    let mut world = World::new(1, config, Gossip).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peers: Vec<Peer> = (0..5).map(|_| world.dial(addr)).collect();
    assert!(world.run_until_still().is_continue());
    let sum: u32 = peers.iter().map(|peer| u32::from(peer.addr().port())).sum();
    let double = |reactor: &mut Context<'_>| {
        reactor.for_each(|conn| *conn.state::<u32>().unwrap() *= 2);
        reactor.with_handler(|_: &mut Gossip, reactor| {
            reactor.for_each(|conn| *conn.state::<u32>().unwrap() /= 2);
        });
    };
    world.handle().post(0, double).unwrap();
    let _ = world.run_for(30 * SECOND);
    let words: Vec<String> =
        peers.iter().map(|peer| String::from_utf8(peer.received()).unwrap()).collect();
    assert_eq!(words.iter().filter(|word| **word == sum.to_string()).count(), 1, "{words:?}");
    assert!(peers.iter().all(|peer| peer.ending() == Some(Ending::Fin)));
}
