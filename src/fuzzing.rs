//! Entry points for the fuzzer into private modules. Each runs a script of bytes, and compares the results with a
//! model.

use std::ops::Range;

use crate::core::outbox::Outbox;
use crate::core::shared_bodies::SharedBodies;
use crate::core::unread::Unread;
use crate::framing::reference::{Kind, Reference};
use crate::input::Input;

/// Two bytes a step: the action, and its size.
fn steps(script: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    script.chunks_exact(2).map(|step| (step[0], usize::from(step[1])))
}

/// Pushes bytes into an outbox and consumes them. The outbox must keep their order, and release each shared body.
///
/// # Panics
/// If the result differs from the model: that is a finding.
pub fn outbox(script: &[u8]) {
    let (mut outbox, mut bodies) = (Outbox::default(), SharedBodies::default());
    let mut model: Vec<u8> = Vec::new();
    for (what, size) in steps(script) {
        if what & 1 == 0 {
            let bytes = vec![what; size * (1 + usize::from(what))];
            model.extend(&bytes);
            if what & 2 == 0 || bytes.is_empty() {
                outbox.push(&bytes);
            } else {
                outbox.push_shared(bytes.into(), 0, &mut bodies);
            }
        } else {
            let count = model.len() * size / 255;
            outbox.consume(count, &mut bodies);
            model.drain(..count);
        }
        assert_eq!(outbox.gives_back(&bodies), outbox.copied() + bodies.held());
        assert_eq!((outbox.len(), outbox.is_empty()), (model.len(), model.is_empty()));
        assert!(outbox.slices().flatten().eq(&model));
        assert!(outbox.slices().all(|slice| !slice.is_empty()));
    }
}

/// Bytes arrive in pieces and a handler takes them in many ways, frames included. It must see the stream unchanged, and
/// the frames that a plain decoder finds in it.
///
/// # Panics
/// If the result differs from the model: that is a finding.
pub fn input(script: &[u8]) {
    const DELIMITERS: [&[u8]; 3] = [b"\0", b"\x01\0", b"\0\0\x01"];
    const MAX: usize = 5_000;
    /// The actions that take a frame: one for each framing.
    const FRAMES: Range<usize> = 7..7 + Kind::ALL.len();
    /// Line endings, valid lengths and lengths that are too large.
    const BYTES: [u8; 8] = [0, 1, b'\n', b'\r', 0x82, 0xff, 3, 0x7f];
    let mut unread = Unread::default();
    let mut model: Vec<u8> = Vec::new();
    for (what, size) in steps(script) {
        let variety = if what < 128 { 2 } else { BYTES.len() };
        let arrived: Vec<u8> =
            (0..size).map(|at| BYTES[(at * usize::from(what) >> 3) % variety]).collect();
        unread.append(&arrived);
        model.extend(arrived);
        let shown = unread.len();
        let search = unread.take_search();
        let mut input = Input::resume(unread.bytes(), search, MAX);
        assert_eq!(input.peek(), model);
        match usize::from(what) % (FRAMES.end + 2) {
            0 => drop(input.take()),
            1 => drop(input.take_exact(size / 2)),
            2 => {}
            at @ 3..6 => {
                let delimiter = DELIMITERS[at - 3];
                let at = model.windows(delimiter.len()).position(|window| window == delimiter);
                assert_eq!(input.take_until(delimiter), at.map(|at| &model[..at]));
            }
            6 => assert_eq!(input.take_at_most(size), &model[..size.min(model.len())]),
            at if FRAMES.contains(&at) => {
                take_frame(Kind::ALL[at - FRAMES.start], MAX, &mut input);
            }
            at => {
                let max = 1 + size * 2;
                let kind = if at == FRAMES.end { Kind::Line } else { Kind::Varint };
                take_frame(kind, max, &mut input);
            }
        }
        let left = input.len();
        let search = input.into_search();
        unread.consume(shown - left);
        unread.put_search(search);
        model.drain(..shown - left);
    }
}

fn take_frame(kind: Kind, max: usize, input: &mut Input<'_>) {
    let bytes = input.peek();
    let expected = Reference::first(kind, max, bytes);
    let taken = kind.take_within(input, max);
    let payload = expected.as_ref().map(|found| found.as_ref().map(|(payload, _)| &payload[..]));
    assert_eq!(taken.as_ref().map(|taken| *taken), payload, "{kind:?}");
    let count = expected.ok().flatten().map_or(0, |(_, count)| count);
    assert_eq!(input.peek(), &bytes[count..], "{kind:?}");
}
