//! The services on the simulated network.

use std::net::SocketAddr;
use std::time::Duration;

use readyloop::Config;
use readyloop::sim::{Ending, Faults, Peer, Reading, World, check};

use super::{Chargen, Daytime, Discard};

const HIGH_WATER: usize = 1_000;
const BUFFER: usize = 200;
const SECOND: Duration = Duration::from_secs(1);

/// A line of chargen, with its end.
const LINE: usize = 74;

/// Buffers of the network are small, so that output that the peer has not read waits in the queue.
fn chargen(config: Config) -> (World<Chargen>, SocketAddr) {
    let mut world = World::new(1, config.high_water(HIGH_WATER), Chargen).unwrap();
    world.set_faults(Faults { buffer: BUFFER, ..Faults::none() });
    let addr = world.listen("10.0.0.1:19").unwrap();
    (world, addr)
}

/// The column of a character is the difference to the first of its line (RFC 864).
fn is_pattern(text: &[u8]) -> bool {
    text.iter().enumerate().all(|(at, byte)| {
        let (line, column) = (at / LINE, at % LINE);
        *byte
            == match column {
                72 => b'\r',
                73 => b'\n',
                _ => b' ' + ((line + column) % 95) as u8,
            }
    })
}

#[test]
fn chargen_produces_no_faster_than_its_peer_reads() {
    let (mut world, addr) = chargen(Config::new());
    let peer = world.dial(addr);
    peer.read(Reading::Slowly { bytes: 100, every: SECOND });
    for seconds in 1..=100 {
        assert!(world.run_for(SECOND).is_continue());
        let (read, waits) = (peer.received().len(), world.stats().waiting_bytes as usize);
        assert!(waits < HIGH_WATER + LINE, "{waits} bytes wait after {seconds} s");
        assert!(read <= 100 * (seconds + 1), "{read} bytes were read in {seconds} s");
    }
    // The peer does not starve either.
    assert!(peer.received().len() >= 9_000, "{}", peer.received().len());
    assert!(is_pattern(&peer.received()));
}

#[test]
fn a_peer_that_does_not_read_stops_chargen_and_one_that_reads_again_gets_the_pattern_unbroken() {
    let (mut world, addr) = chargen(Config::new().write_timeout(None));
    let peer = world.dial(addr);
    peer.read(Reading::Never);
    assert!(world.run_for(60 * SECOND).is_continue());
    let sent = world.stats().bytes_out;
    assert!(sent <= 2 * BUFFER as u64, "{sent} bytes went out, but the peer does not read");
    assert!(world.run_for(60 * SECOND).is_continue());
    assert_eq!(world.stats().bytes_out, sent);
    peer.read(Reading::AtOnce);
    assert!(world.run_for(SECOND).is_continue());
    assert!(peer.received().len() > 10 * HIGH_WATER, "{}", peer.received().len());
    assert!(is_pattern(&peer.received()));
}

#[test]
fn a_peer_of_chargen_that_reads_and_sends_nothing_is_not_idle() {
    let (mut world, addr) = chargen(Config::new().idle_timeout(Some(10 * SECOND)));
    let peer = world.dial(addr);
    peer.read(Reading::Slowly { bytes: 100, every: SECOND });
    assert!(world.run_for(120 * SECOND).is_continue());
    assert_eq!(peer.ending(), None);
}

#[test]
fn a_drain_of_chargen_closes_a_connection_to_which_more_could_be_said() {
    let (mut world, addr) = chargen(Config::new());
    let peer = world.dial(addr);
    assert!(world.run_for(SECOND).is_continue());
    world.handle().drain(60 * SECOND);
    peer.shutdown_write();
    assert!(world.run_for(30 * SECOND).is_break());
    assert_eq!(peer.ending(), Some(Ending::Fin));
    assert!(is_pattern(&peer.received()));
}

#[test]
fn the_pattern_of_chargen_is_unbroken_in_any_network() {
    check(0..50, |run| {
        let mut world = run.world(Config::new().high_water(HIGH_WATER), Chargen);
        let addr = world.listen("10.0.0.1:19").unwrap();
        let peers: Vec<Peer> = (0..3).map(|_| world.dial(addr)).collect();
        // A peer that reads at once would get gigabytes.
        let slowly = Reading::Slowly { bytes: 500, every: SECOND / 10 };
        peers.iter().for_each(|peer| peer.read(slowly));
        let _ = world.run_for(10 * SECOND);
        world.calm();
        let _ = world.run_for(10 * SECOND);
        for peer in peers {
            assert!(is_pattern(&peer.received()), "{}", peer.addr());
        }
    });
}

#[test]
fn discard_takes_everything_and_answers_nothing_in_any_network() {
    check(0..50, |run| {
        let mut world = run.world(Config::new().idle_timeout(None), Discard);
        let addr = world.listen("10.0.0.1:9").unwrap();
        let peer = world.dial(addr);
        for _ in 0..20 {
            peer.send(&[b'x'; 500]);
        }
        peer.shutdown_write();
        world.calm();
        let _ = world.run_for(3_600 * SECOND);
        assert_eq!(world.stats().bytes_in, 10_000);
        assert_eq!((peer.received(), peer.ending()), (Vec::new(), Some(Ending::Fin)));
    });
}

#[test]
fn each_peer_of_daytime_gets_one_line_and_an_orderly_end_in_any_network() {
    check(0..200, |run| {
        let mut world = run.world(Config::new(), Daytime);
        let addr = world.listen("10.0.0.1:13").unwrap();
        let (silent, talks) = (world.dial(addr), world.dial(addr));
        talks.send(b"what time is it?\n");
        world.calm();
        let _ = world.run_for(60 * SECOND);
        for peer in [silent, talks] {
            let text = String::from_utf8(peer.received()).unwrap();
            assert!(text.ends_with("-UTC\r\n") && text.lines().count() == 1, "{text:?}");
            assert_eq!(peer.ending(), Some(Ending::Fin), "{}", peer.addr());
        }
    });
}
