//! Tests of frames that arrive in pieces. The pieces go through the input buffer of a connection, and the decoded
//! frames are compared with the [`reference`](super::reference).

use std::collections::VecDeque;
use std::time::Instant;

use proptest::prelude::*;

use super::reference::{Kind, Reference};
use super::{FrameError, Framer, Line};
use crate::core::search::{Search, examined};
use crate::core::unread::Unread;
use crate::input::Input;

/// The input of a connection, as the reactor offers it.
struct Arrivals {
    unread: Unread,
    max: usize,
}

impl Arrivals {
    fn new(max: usize) -> Self {
        Self { unread: Unread::default(), max }
    }

    /// Adds bytes that have arrived, and passes each decoded payload to `frame`.
    fn offer(
        &mut self,
        bytes: &[u8],
        kind: Kind,
        mut frame: impl FnMut(&[u8]),
    ) -> Result<(), FrameError> {
        if self.unread.is_empty() {
            let mut input = Input::resume(bytes, Search::default(), self.max);
            while let Some(payload) = kind.take(&mut input)? {
                frame(payload);
            }
            if !input.is_empty() {
                self.unread.append(input.peek());
                self.unread.put_search(input.into_search());
            }
            return Ok(());
        }
        self.unread.append(bytes);
        let (search, shown) = (self.unread.take_search(), self.unread.len());
        let mut input = Input::resume(self.unread.bytes(), search, self.max);
        while let Some(payload) = kind.take(&mut input)? {
            frame(payload);
        }
        let (taken, search) = (shown - input.len(), input.into_search());
        self.unread.consume(taken);
        self.unread.put_search(search);
        Ok(())
    }
}

/// Offers the stream in pieces of these lengths, and compares with the reference after each piece.
fn compare(kind: Kind, max: usize, stream: &[u8], mut piece: impl FnMut() -> usize) {
    let mut reference = Reference::new(kind, max);
    let mut arrivals = Arrivals::new(max);
    let mut rest = stream;
    while !rest.is_empty() {
        let (bytes, later) = rest.split_at(piece().clamp(1, rest.len()));
        rest = later;
        let mut frames: VecDeque<Vec<u8>> = VecDeque::new();
        let outcome = arrivals.offer(bytes, kind, |frame| frames.push_back(frame.to_vec()));
        for byte in bytes {
            match reference.push(*byte) {
                Ok(None) => {}
                Ok(Some(frame)) => {
                    assert_eq!(frames.pop_front().as_deref(), Some(frame), "{kind:?}");
                }
                Err(error) => {
                    assert_eq!((frames.len(), outcome), (0, Err(error)), "{kind:?}");
                    return;
                }
            }
        }
        assert_eq!((frames.len(), outcome), (0, Ok(())), "{kind:?}");
        assert!(
            arrivals.unread.len() < max,
            "{kind:?}: {} bytes are unread",
            arrivals.unread.len()
        );
    }
}

/// A payload to encode as a frame, or bytes that may be no valid frame.
#[derive(Clone, Debug)]
enum Part {
    Frame(Vec<u8>),
    Garbage(Vec<u8>),
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let letters = prop_oneof![3 => Just(b'a'), 1 => Just(b'\r'), 1 => Just(b'\n')];
    let payload = prop_oneof![
        2 => prop::collection::vec(letters.clone(), 0..12),
        2 => prop::collection::vec(letters.clone(), 0..40),
        1 => prop::collection::vec(letters, 100..300),
    ];
    let bytes = prop::sample::select(vec![0, 1, 2, 0x7f, 0x80, 0xff, b'\r', b'\n']);
    let garbage = prop::collection::vec(bytes, 1..12);
    let part = prop_oneof![
        12 => payload.prop_map(Part::Frame),
        1 => garbage.prop_map(Part::Garbage),
    ];
    prop::collection::vec(part, 1..30)
}

fn stream(kind: Kind, parts: &[Part]) -> Vec<u8> {
    let mut stream = Vec::new();
    for part in parts {
        match part {
            Part::Frame(payload) => encode(kind, payload, &mut stream),
            Part::Garbage(bytes) => stream.extend(bytes),
        }
    }
    stream
}

/// Appends the frame, unless the framing cannot carry the payload.
fn encode(kind: Kind, payload: &[u8], stream: &mut Vec<u8>) {
    let output = &mut |bytes: &[u8]| stream.extend_from_slice(bytes);
    let _refused = match kind.prefix() {
        Some(prefix) => prefix.encode(payload, output),
        None => Line::Lf.encode(payload, output),
    };
}

proptest! {
    #[test]
    fn what_comes_in_pieces_is_decoded_as_the_reference_does_and_fails_at_the_same_byte(
        parts in parts(),
        kind in prop_oneof![
            Just(Kind::Line),
            Just(Kind::Varint),
            prop::sample::select(Kind::ALL.to_vec()),
        ],
        max in prop_oneof![1..20usize, 20..400usize, Just(usize::MAX)],
        pieces in prop::collection::vec(1..60usize, 1..20),
    ) {
        let stream = stream(kind, &parts);
        let mut pieces = pieces.into_iter().cycle();
        compare(kind, max, &stream, || pieces.next().unwrap());
        compare(kind, max, &stream, || 1);
        compare(kind, max, &stream, || usize::MAX);
    }

    #[test]
    fn what_one_end_encodes_the_other_decodes(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..10),
        kind in prop::sample::select(Kind::ALL.to_vec()),
    ) {
        let mut bytes = Vec::new();
        let mut carried = Vec::new();
        for payload in &payloads {
            let before = bytes.len();
            encode(kind, payload, &mut bytes);
            if bytes.len() > before {
                carried.push(&payload[..]);
            }
        }
        let mut input = Input::new(&bytes);
        for payload in carried {
            prop_assert_eq!(kind.take(&mut input), Ok(Some(payload)));
        }
        prop_assert!(input.is_empty());
    }
}

#[test]
fn a_line_that_comes_byte_by_byte_is_looked_through_once() {
    const LENGTH: u64 = 64 * 1024;
    let mut arrivals = Arrivals::new(usize::MAX);
    let before = examined();
    let mut lines = 0;
    for _ in 1..LENGTH {
        arrivals.offer(b"x", Kind::Line, |_| lines += 1).unwrap();
    }
    arrivals.offer(b"\n", Kind::Line, |_| lines += 1).unwrap();
    assert_eq!((lines, examined() - before), (1, LENGTH));
}

/// A number of bytes that the caller of a measurement may set.
fn bytes_of(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number of bytes"))
}

/// Draws the same numbers in every run.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize
    }

    /// A number below 2 to the power of `bits`. Small numbers are as frequent as large ones.
    fn size(&mut self, bits: u32) -> usize {
        let width = self.next() % bits as usize + 1;
        self.next() & ((1 << width) - 1)
    }
}

const MEASURED: [Kind; 4] = [Kind::Line, Kind::BigEndian(2), Kind::LittleEndian(4), Kind::Varint];

/// Frames of 0 to 32 KiB.
fn load(kind: Kind, length: usize) -> Vec<u8> {
    let mut draw = Draw(4711);
    let mut stream = Vec::with_capacity(length + (1 << 15));
    while stream.len() < length {
        let fill = b'a' + (draw.next() % 26) as u8;
        encode(kind, &vec![fill; draw.size(15)], &mut stream);
    }
    stream
}

#[test]
#[ignore = "takes minutes: cargo test --release -p readyloop --lib gigabyte -- --ignored --nocapture"]
fn a_gigabyte_in_pieces_is_decoded_as_the_reference_does() {
    const BLOCK: usize = 1 << 24;
    const MAX: usize = 1 << 16;
    let total = bytes_of("READYLOOP_FRAMING_BYTES", 1_000_000_000);
    for kind in MEASURED {
        let block = load(kind, BLOCK.min(total));
        for (title, bits) in [("one byte each", 0), ("0 to 4 KiB, at random", 12)] {
            let mut draw = Draw(815);
            let mut piece = || if bits == 0 { 1 } else { draw.size(bits) };
            for _ in 0..total.div_ceil(block.len()) {
                compare(kind, MAX, &block, &mut piece);
            }
            let mut arrivals = Arrivals::new(MAX);
            let (mut frames, mut bytes) = (0, 0);
            let started = Instant::now();
            while bytes < total {
                let mut rest = &block[..];
                while !rest.is_empty() {
                    let (piece, later) = rest.split_at(piece().clamp(1, rest.len()));
                    arrivals.offer(piece, kind, |_| frames += 1).unwrap();
                    rest = later;
                }
                bytes += block.len();
            }
            let rate = bytes as f64 / started.elapsed().as_secs_f64() / 1e6;
            println!("{kind:?}, {title}: {bytes} bytes, {frames} frames, {rate:.0} MB/s");
        }
    }
}

#[test]
#[ignore = "for callgrind: READYLOOP_FRAMING_BYTES=65536 valgrind --tool=callgrind … a_frame_in --ignored"]
fn a_frame_in_pieces_of_one_byte_costs_the_same_a_byte_whatever_its_length() {
    let length = bytes_of("READYLOOP_FRAMING_BYTES", 1 << 16);
    let kind = MEASURED[bytes_of("READYLOOP_FRAMING_KIND", 0)];
    let mut stream = Vec::with_capacity(length);
    let prefix = kind.prefix().map_or(1, |_| 4);
    encode(kind, &vec![b'x'; length - prefix], &mut stream);
    let mut arrivals = Arrivals::new(usize::MAX);
    let mut frames = 0;
    for byte in stream.chunks(1) {
        arrivals.offer(byte, kind, |_| frames += 1).unwrap();
    }
    assert_eq!(frames, 1);
}
