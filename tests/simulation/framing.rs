//! Framing on whole connections: what a hostile peer sends ends its connection with a typed cause and takes no
//! memory, and what is sent as a frame arrives as one.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Ending, Faults, Peer, Rng, World};
use readyloop::{
    CloseReason, Config, Conn, FrameError, Handler, Input, LengthPrefix, Line, Result, from_fn,
};

const ADDR: &str = "10.0.0.1:7000";
const SECOND: Duration = Duration::from_secs(1);
const MAX_INPUT: usize = 1_000;

/// The default, which is also what may be sent before the kernel is offered it.
const QUEUE_LIMIT: usize = 16 * 1024 * 1024;

#[derive(Clone, Copy, Debug)]
enum Framing {
    Line(Line),
    Prefix(LengthPrefix),
}

/// Echoes each frame, and notes the error of framing for which a connection has ended, if it was one.
#[derive(Clone)]
struct Frames {
    framing: Framing,
    limit: usize,
    ends: Rc<RefCell<Vec<Option<FrameError>>>>,
}

impl Frames {
    fn new(framing: Framing, limit: usize) -> Self {
        Self { framing, limit, ends: Rc::default() }
    }
}

impl Handler for Frames {
    type State = ();

    fn on_open(&mut self, _: &mut Conn) -> Result {
        Ok(())
    }

    fn on_data(&mut self, conn: &mut Conn, (): &mut (), input: &mut Input) -> Result {
        let input = input.limit_frames(self.limit);
        match self.framing {
            Framing::Line(line) => {
                if let Some(payload) = input.take_frame(&line)? {
                    conn.send_frame(&line, payload)?;
                }
            }
            Framing::Prefix(prefix) => {
                if let Some(payload) = input.take_length_prefixed(prefix)? {
                    conn.send_frame(&prefix, payload)?;
                }
            }
        }
        Ok(())
    }

    fn on_close(&mut self, _: &mut Conn, (): (), reason: &CloseReason) {
        let cause = reason.source().and_then(|cause| cause.downcast_ref());
        self.ends.borrow_mut().push(cause.cloned());
    }
}

/// A network that loses nothing, and cuts what is sent into the smallest pieces.
fn in_pieces(seed: u64) -> Faults {
    let drawn = Faults::swarm(&mut Rng::new(seed));
    Faults {
        register_refused: 0,
        time_jump: 0,
        accept_error: 0,
        tiny_segments: seed.is_multiple_of(2),
        short_read: 200,
        split: 200,
        latency: drawn.latency / 20,
        ..drawn
    }
}

/// Starts a server and sends to it until the connection has ended. Returns the cause. What is kept of the input
/// stays below `max_input` in every turn.
fn end_of(
    seed: u64,
    framing: Framing,
    limit: usize,
    start: &[u8],
    endless: u8,
) -> Option<FrameError> {
    let handler = Frames::new(framing, limit);
    let ends = Rc::clone(&handler.ends);
    let mut world = World::new(seed, Config::new().max_input(MAX_INPUT), handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(in_pieces(seed));
    let peer = world.dial(addr);
    peer.send(start);
    for _ in 0..200_000 {
        if !ends.borrow().is_empty() {
            return ends.borrow()[0].clone();
        }
        if peer.unread_by_server() < 100 {
            peer.send(&[endless; 500]);
        }
        if peer.ending().is_some() {
            peer.close();
        }
        assert!(world.turn(SECOND / 100).is_continue());
        let kept = world.stats().waiting_bytes;
        assert!(kept < MAX_INPUT as u64, "seed {seed}, {framing:?}: {kept} bytes are kept");
    }
    panic!("seed {seed}, {framing:?}: it has not ended: {:?}", world.stats());
}

#[test]
fn a_hostile_varint_ends_the_connection_with_a_typed_cause_and_its_body_is_not_kept() {
    let too_long = |length| Some(FrameError::TooLong { length, max: MAX_INPUT });
    for seed in 0..20 {
        for (start, expected) in [
            (&[0xff; 10][..], Some(FrameError::InvalidVarint)),
            (&[0x80; 10], Some(FrameError::InvalidVarint)),
            (b"\xff\xff\xff\xff\x0f", too_long(u64::from(u32::MAX))),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", too_long(u64::MAX)),
            (b"\xe7\x07", too_long(999)),
        ] {
            let framing = Framing::Prefix(LengthPrefix::Varint);
            let end = end_of(seed, framing, usize::MAX, start, b'x');
            assert_eq!(end, expected, "seed {seed}: {start:?}");
        }
    }
}

#[test]
fn a_length_that_can_never_fit_ends_the_connection_with_its_last_byte() {
    for seed in 0..20 {
        for (prefix, limit, start, length) in [
            (LengthPrefix::U8, 100, &[100][..], 100),
            (LengthPrefix::U16, usize::MAX, &[0xff; 2], 65_535),
            (LengthPrefix::U16Le, usize::MAX, b"\xe7\x03", 999),
            (LengthPrefix::U32, usize::MAX, &[0xff; 4], u64::from(u32::MAX)),
            (LengthPrefix::U32Le, usize::MAX, b"\xe7\x03\0\0", 999),
        ] {
            let end = end_of(seed, Framing::Prefix(prefix), limit, start, 0);
            let max = limit.min(MAX_INPUT);
            assert_eq!(end, Some(FrameError::TooLong { length, max }), "seed {seed}: {prefix:?}");
        }
    }
}

#[test]
fn an_endless_line_ends_the_connection_with_a_typed_cause_at_its_bound() {
    for seed in 0..20 {
        for (line, limit) in [(Line::Lf, usize::MAX), (Line::CrLf, 100)] {
            let end = end_of(seed, Framing::Line(line), limit, b"one\r\ntwo\nth\rree", b'x');
            let max = limit.min(MAX_INPUT);
            assert_eq!(end, Some(FrameError::LineTooLong { max }), "seed {seed}: {line:?}");
        }
    }
}

#[test]
fn frames_up_to_the_bound_are_echoed_whole_however_they_are_cut() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let framing = [
            Framing::Line(Line::Lf),
            Framing::Prefix(LengthPrefix::U16),
            Framing::Prefix(LengthPrefix::Varint),
        ][rng.size_below(3)];
        let mut bytes = Vec::new();
        for number in 0..30 {
            let most = if number == 29 { 998 } else { rng.size_below(300) };
            match framing {
                Framing::Line(_) => bytes.extend([vec![b'a'; most], b"\n".to_vec()].concat()),
                Framing::Prefix(LengthPrefix::U16) => {
                    bytes.extend([&(most as u16).to_be_bytes()[..], &vec![0; most]].concat());
                }
                Framing::Prefix(_) => {
                    let prefix = [0x80 | (most % 128) as u8, (most / 128) as u8];
                    let prefix = if most < 128 { &[most as u8][..] } else { &prefix };
                    bytes.extend([prefix, &vec![0; most]].concat());
                }
            }
        }
        let handler = Frames::new(framing, usize::MAX);
        let mut world = World::new(seed, Config::new().max_input(MAX_INPUT), handler).unwrap();
        let addr = world.listen(ADDR).unwrap();
        world.set_faults(in_pieces(seed));
        let peer = world.dial(addr);
        peer.send(&bytes);
        assert_arrives(&mut world, &peer, &bytes);
    }
}

fn assert_arrives(world: &mut World<impl Handler>, peer: &Peer, bytes: &[u8]) {
    for _ in 0..200_000 {
        if peer.ending().is_some() || peer.received().len() >= bytes.len() {
            break;
        }
        assert!(world.turn(SECOND / 100).is_continue());
    }
    assert_eq!(peer.ending(), None);
    assert!(peer.received() == bytes, "{} bytes came", peer.received().len());
}

#[test]
fn a_payload_that_does_not_fit_its_length_is_an_error_of_the_sender_and_nothing_of_it_is_sent() {
    let outcomes = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&outcomes);
    let handler = from_fn(move |conn, input| {
        input.take();
        let mut send = |prefix, length: usize| {
            seen.borrow_mut().push(conn.send_frame(&prefix, &vec![b'x'; length]));
        };
        send(LengthPrefix::U8, 1);
        send(LengthPrefix::U8, 256);
        send(LengthPrefix::U16, 65_536);
        let line = conn.send_frame(&Line::Lf, b"two\nlines");
        seen.borrow_mut().push(line);
        conn.send(b"end");
    });
    let mut world = World::new(1, Config::new(), handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    peer.send(b"go");
    assert!(world.run_until_still().is_continue());
    let expected = [
        Ok(()),
        Err(FrameError::PayloadTooLong { length: 256, max: 255 }),
        Err(FrameError::PayloadTooLong { length: 65_536, max: 65_535 }),
        Err(FrameError::LineEndInPayload { at: 3 }),
    ];
    assert_eq!(*outcomes.borrow(), expected);
    assert_eq!(peer.received(), b"\x01xend");
}

#[test]
fn the_longest_frame_with_a_prefix_of_two_bytes_is_received_by_default() {
    let handler = from_fn(|conn, input| {
        if let Some(payload) = input.take_length_prefixed(LengthPrefix::U16)? {
            conn.send_frame(&LengthPrefix::U16, payload)?;
        }
        Ok(())
    });
    let mut world = World::new(1, Config::new(), handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    let frame = [&[0xff; 2][..], &[b'x'; 0xffff]].concat();
    peer.send(&frame);
    assert!(world.run_until_still().is_continue());
    assert_eq!((peer.ending(), peer.received()), (None, frame));
}

#[test]
fn a_frame_is_queued_whole_where_its_prefix_alone_reaches_the_queue_limit() {
    let handler = from_fn(|conn, input| {
        input.take();
        conn.send(&vec![b'x'; QUEUE_LIMIT]);
        conn.send_frame(&LengthPrefix::U32, b"hello").expect("it fits the prefix");
    });
    let config = Config::new().queue_limit(QUEUE_LIMIT).queue_budget(4 * QUEUE_LIMIT);
    let mut world = World::new(1, config, handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    world.set_faults(Faults { buffer: 1 << 20, ..Faults::none() });
    let peer = world.dial(addr);
    peer.send(b"go");
    assert!(world.run_until_still().is_continue());
    assert_eq!(peer.ending(), None);
    assert_eq!(peer.received()[QUEUE_LIMIT..], *b"\0\0\0\x05hello");
}

#[test]
fn empty_frames_count_for_the_queue_limit_too() {
    let queued = Rc::new(RefCell::new(0));
    let seen = Rc::clone(&queued);
    let handler = from_fn(move |conn, input| {
        input.take();
        conn.send(&vec![b'x'; QUEUE_LIMIT]);
        for _ in 0..100 {
            conn.send_frame(&Line::Lf, b"").expect("an empty line is a line");
        }
        *seen.borrow_mut() = conn.info().queued;
    });
    let config = Config::new().queue_limit(QUEUE_LIMIT).queue_budget(4 * QUEUE_LIMIT);
    let mut world = World::new(1, config, handler).unwrap();
    let addr = world.listen(ADDR).unwrap();
    let peer = world.dial(addr);
    peer.send(b"go");
    assert!(world.run_until_still().is_continue());
    assert_eq!((*queued.borrow(), peer.ending()), (QUEUE_LIMIT + 1, Some(Ending::Reset)));
}
