//! The parts that need no system, each alone: `cargo bench --bench pure`.
//!
//! The files are the library's own. Each load is as large as the promise about it: a queue that the kernel takes in
//! pieces, lines out of a large input, 100,000 alarms. The times are for the whole load.

use std::hint::black_box;
use std::iter;

use brunch::{Bench, Benches};
use bytes::Bytes;

#[allow(dead_code, unused_imports, reason = "the library and its tests use all of it")]
#[path = "../src/contain.rs"]
mod contain;

#[allow(dead_code, unused_imports, reason = "the library and its tests use all of it")]
#[path = "../src/core"]
mod core {
    pub(crate) mod block;
    pub(crate) mod outbox;
    pub(crate) mod search;
    pub(crate) mod shared_bodies;
    pub(crate) mod unread;
    pub(crate) mod wheel;
}

use core::outbox::Outbox;
use core::shared_bodies::SharedBodies;
use core::unread::Unread;
use core::wheel::{Step, Wheel};

const ALARMS: usize = 100_000;

/// In milliseconds, as the wheel's ticks are.
const HOUR: u64 = 3_600_000;

fn main() {
    let mut benches = Benches::default();
    outbox(&mut benches);
    input(&mut benches);
    wheel(&mut benches);
    benches.finish();
}

fn outbox(benches: &mut Benches) {
    const QUEUED: usize = 1 << 20;
    for size in [64, 4_096, 65_536] {
        let piece = vec![7; size];
        benches.push(Bench::new(format!("outbox: queue 1 MiB by {size} bytes and drain it")).run(
            || {
                let pieces = iter::repeat_n(black_box(&piece[..]), QUEUED / size);
                queue_and_drain(pieces)
            },
        ));
    }
    const READERS: usize = 1_000;
    for size in [256, 1_024, 2_048, 4_096, 16_384] {
        let body = Bytes::from(vec![7; size]);
        benches.push(
            Bench::new(format!("outbox: queue {size} bytes for 1,000 readers, copied"))
                .run(|| queue_for_many(READERS, |outbox, _| outbox.push(black_box(&body)))),
        );
        benches.push(
            Bench::new(format!("outbox: queue {size} bytes for 1,000 readers, shared")).run(|| {
                let share = |outbox: &mut Outbox, bodies: &mut _| {
                    outbox.push_shared(black_box(&body).clone(), 0, bodies);
                };
                queue_for_many(READERS, share)
            }),
        );
    }
}

/// Queues something for each of so many readers, then lets all of them take it. Returns how many bytes they took.
fn queue_for_many(readers: usize, push: impl Fn(&mut Outbox, &mut SharedBodies)) -> usize {
    let mut bodies = SharedBodies::default();
    let mut outboxes: Vec<_> = (0..readers).map(|_| Outbox::default()).collect();
    outboxes.iter_mut().for_each(|outbox| push(outbox, &mut bodies));
    let taken = outboxes.iter_mut().map(|outbox| {
        let len = outbox.len();
        outbox.consume(len, &mut bodies);
        len
    });
    taken.sum()
}

/// Queues each piece, then consumes all in portions, as a kernel takes them. Returns how many slices there
/// were to send, over all portions.
fn queue_and_drain<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> usize {
    const PORTION: usize = 20_000;
    let (mut outbox, mut bodies) = (Outbox::default(), SharedBodies::default());
    pieces.for_each(|piece| outbox.push(piece));
    let mut slices = 0;
    while !outbox.is_empty() {
        slices += outbox.slices().count();
        outbox.consume(outbox.len().min(PORTION), &mut bodies);
    }
    slices
}

fn input(benches: &mut Benches) {
    let line = b"a line of sixty-four bytes, as chatty protocols like to send......\r\n";
    let short = line.repeat(1_000);
    let mut long = vec![b'x'; 1 << 20];
    long.extend(b"\r\n");
    for (title, bytes, expected) in
        [("1,000 lines of 66 bytes", &short, 1_000), ("one line of 1 MiB", &long, 1)]
    {
        for size in [1_460, 65_536] {
            assert_eq!(take_lines(bytes.chunks(size)), expected, "{title} in chunks of {size}");
            benches.push(
                Bench::new(format!("input: {title}, in chunks of {size}"))
                    .run(|| take_lines(black_box(bytes).chunks(size))),
            );
        }
    }
}

/// Bytes come in chunks, and all complete lines are taken after each; an unfinished line stays. Returns how
/// many lines there were.
fn take_lines<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> usize {
    const END: &[u8] = b"\r\n";
    let mut unread = Unread::default();
    let mut lines = 0;
    for chunk in chunks {
        unread.append(chunk);
        let mut search = unread.take_search();
        let mut taken = 0;
        while let Some(len) = search.find(&unread.bytes()[taken..], END) {
            search.advance(len + END.len());
            taken += len + END.len();
            lines += 1;
        }
        unread.consume(taken);
        unread.put_search(search);
    }
    lines
}

fn wheel(benches: &mut Benches) {
    let spread = spread_times();
    let at_once = vec![HOUR; ALARMS];
    benches.push(Bench::new("wheel: set 100,000 alarms").run(|| set(black_box(&spread))));
    benches.push(
        Bench::new("wheel: set 100,000 alarms, and put them off")
            .run(|| put_off(set(black_box(&spread)), &spread)),
    );
    for (title, times) in [("spread over an hour", &spread), ("all at one time", &at_once)] {
        benches.push(Bench::new(format!("wheel: set 100,000 alarms, and do them, {title}")).run(
            || {
                assert_eq!(ring(set(black_box(times))), ALARMS);
            },
        ));
    }
}

/// The same on every run, and in no order.
fn spread_times() -> Vec<u64> {
    (1..=ALARMS as u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % HOUR).collect()
}

/// An alarm at each of these times.
fn set(times: &[u64]) -> Wheel {
    let mut wheel = Wheel::with_capacity(times.len());
    (0..).zip(times).for_each(|(slot, time)| wheel.set(slot, *time));
    wheel
}

/// Sets all anew, an hour later.
fn put_off(mut wheel: Wheel, times: &[u64]) -> Wheel {
    (0..).zip(times).for_each(|(slot, time)| wheel.set(slot, time + HOUR));
    wheel
}

/// Does all that is due within an hour. Returns how many alarms that is.
fn ring(mut wheel: Wheel) -> usize {
    let steps = iter::from_fn(|| wheel.step(HOUR));
    steps.filter(|step| matches!(step, Step::Rings(_))).count()
}
