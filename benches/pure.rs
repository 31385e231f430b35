//! The parts that need no system, each alone: `cargo bench --bench pure`.
//!
//! What is measured is in the library's `src/benching.rs`, as these parts are not public. Each load is as large
//! as the promise about it: a queue that the kernel takes in pieces, lines out of a large kept input, 100,000
//! alarms, 19,000 connections. The times are for the whole load, and the throughput is that of its elements.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use readyloop::benching::{Alarms, Connections, queue_and_drain, take_lines};

const ALARMS: usize = 100_000;
const CONNECTIONS: usize = 19_000;

/// In milliseconds, as the wheel's ticks are.
const HOUR: u64 = 3_600_000;

criterion_main!(pure);

criterion_group! {
    name = pure;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20);
    targets = outbox, input, wheel, table
}

fn outbox(criterion: &mut Criterion) {
    const QUEUED: usize = 1 << 20;
    const PORTION: usize = 20_000;
    let mut group = criterion.benchmark_group("outbox");
    group.throughput(Throughput::Bytes(QUEUED as u64));
    for size in [64, 4_096, 65_536] {
        let piece = vec![7; size];
        group.bench_function(BenchmarkId::new("queue 1 MiB and drain it", size), |bencher| {
            bencher.iter(|| {
                let pieces = std::iter::repeat_n(black_box(&piece[..]), QUEUED / size);
                queue_and_drain(pieces, PORTION)
            });
        });
    }
    group.finish();
}

fn input(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("input");
    let short: Vec<u8> = b"a line of sixty-four bytes, as chatty protocols like to send......\r\n"
        .iter()
        .copied()
        .cycle()
        .take(68 * 1_000)
        .collect();
    let mut long = vec![b'x'; 1 << 20];
    long.extend(b"\r\n");
    let loads = [("lines of 66 bytes", &short, 1_000), ("one line of 1 MiB", &long, 1)];
    for (title, bytes, expected) in loads {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        for size in [1_460, 65_536] {
            assert_eq!(take_lines(bytes.chunks(size)), expected, "{title} in chunks of {size}");
            group.bench_function(
                BenchmarkId::new(format!("{title}, in chunks"), size),
                |bencher| {
                    bencher.iter(|| take_lines(black_box(bytes).chunks(size)));
                },
            );
        }
    }
    group.finish();
}

fn wheel(criterion: &mut Criterion) {
    let spread = spread_times();
    let mut group = criterion.benchmark_group("wheel");
    group.throughput(Throughput::Elements(ALARMS as u64));
    group.bench_function("set 100,000", |bencher| {
        bencher.iter_with_large_drop(|| Alarms::set(black_box(&spread)));
    });
    group.bench_function("put off 100,000", |bencher| {
        let setup = || Alarms::set(&spread);
        let load = |alarms: &mut Alarms| alarms.put_off(black_box(&spread), HOUR);
        bencher.iter_batched_ref(setup, load, BatchSize::LargeInput);
    });
    let at_once = vec![HOUR; ALARMS];
    for (title, times) in [("spread over an hour", &spread), ("all at one time", &at_once)] {
        group.bench_function(format!("ring 100,000, {title}"), |bencher| {
            let load = |alarms: &mut Alarms| assert_eq!(alarms.ring(HOUR), ALARMS);
            bencher.iter_batched_ref(|| Alarms::set(times), load, BatchSize::LargeInput);
        });
    }
    group.finish();
}

/// The same on every run, and in no order.
fn spread_times() -> Vec<u64> {
    (1..=ALARMS as u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % HOUR).collect()
}

fn table(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table");
    group.throughput(Throughput::Elements(CONNECTIONS as u64));
    group.bench_function("insert 19,000", |bencher| {
        bencher.iter_with_large_drop(|| Connections::open(CONNECTIONS));
    });
    group.bench_function("remove 19,000", |bencher| {
        let load = |connections: &mut Connections| assert_eq!(connections.close(), 0);
        bencher.iter_batched_ref(|| Connections::open(CONNECTIONS), load, BatchSize::LargeInput);
    });
    for (title, stride) in [("all", 1), ("100", CONNECTIONS / 100)] {
        let active = CONNECTIONS / stride;
        let mut connections = Connections::open(CONNECTIONS);
        group.throughput(Throughput::Elements(active as u64));
        group.bench_function(format!("a turn with {title} of 19,000 readable"), |bencher| {
            bencher.iter(|| {
                connections.pass(Duration::from_millis(1));
                assert_eq!(connections.mark(stride), active);
                connections.work()
            });
        });
    }
    group.finish();
}
