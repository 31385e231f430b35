//! Faults of the simulated network, and how often they happen.

use std::time::Duration;

use super::rng::Rng;

/// How often each fault of the simulated network happens. Fields of type `u8` are probabilities in 256ths: 0 is never,
/// 255 nearly always.
///
/// # Examples
/// ```
/// use readyloop::sim::{Faults, Rng};
///
/// let only_short_reads = Faults { short_read: 200, ..Faults::none() };
/// let whatever_the_seed_says = Faults::swarm(&mut Rng::new(42));
/// # assert_ne!(only_short_reads, whatever_the_seed_says);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// A read returns a part of the available bytes. The rest arrives a moment later.
    pub short_read: u8,
    /// A write takes a part of the bytes that fit. There is room again a moment later.
    pub short_write: u8,
    /// A read returns `WouldBlock` although bytes are available. They arrive a moment later.
    pub read_blocks: u8,
    /// A write returns `WouldBlock` although there is room. There is room again a moment later.
    pub write_blocks: u8,
    /// `accept` returns `WouldBlock` although a connection waits. It arrives a moment later.
    pub accept_blocks: u8,
    /// A signal interrupts a call (EINTR).
    pub interrupted: u8,
    /// An event is delivered for a connection to which nothing has happened.
    pub spurious: u8,
    /// An event is delivered twice in a batch.
    pub doubled: u8,
    /// An event is delivered late, by up to ten latencies and at most 50 ms, and so out of order.
    pub delayed: u8,
    /// An event is delivered for a socket that is already closed (epoll(7), question 6).
    pub stale: u8,
    /// `accept` fails with an error of accept(2) that is not fatal.
    pub accept_error: u8,
    /// An outbound connection fails at once, with an error of socket(2) or connect(2), or of bind(2) if it has a source
    /// address.
    pub connect_error: u8,
    /// Registering a socket fails (ENOSPC, ENOMEM).
    pub register_refused: u8,
    /// The process sleeps between two turns, for up to a minute. Then it is awake for at least as long. Deadlines may
    /// pass during the sleep, for peers whose bytes are held up by other faults.
    pub time_jump: u8,
    /// A reading of the monotonic clock is up to 10 ms behind the time, and possibly behind the previous reading.
    pub clock_behind: u8,
    /// Bytes arrive and peers act between two calls of the reactor, not only while it waits.
    pub meanwhile: u8,
    /// How many events of connections one wait returns at most. At least 1.
    pub batch: usize,
    /// A RST destroys the bytes that its receiver has not read yet.
    pub reset_destroys: u8,
    /// Bytes that are sent at once arrive in pieces.
    pub split: u8,
    /// Whether segments are a few bytes long.
    pub tiny_segments: bool,
    /// The maximum latency of one way.
    pub latency: Duration,
    /// The size of each socket buffer in each direction, in bytes. At least 1.
    pub buffer: usize,
    /// Whether a partial read or write uses up the readiness, as with epoll and kqueue. If not, only `WouldBlock` does:
    /// this is all that mio promises on every system.
    pub partial_means_blocked: bool,
}

impl Faults {
    /// No faults, and a latency of one millisecond.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            short_read: 0,
            short_write: 0,
            read_blocks: 0,
            write_blocks: 0,
            accept_blocks: 0,
            interrupted: 0,
            spurious: 0,
            doubled: 0,
            delayed: 0,
            stale: 0,
            accept_error: 0,
            connect_error: 0,
            register_refused: 0,
            time_jump: 0,
            clock_behind: 0,
            meanwhile: 0,
            batch: usize::MAX,
            reset_destroys: 0,
            split: 0,
            tiny_segments: false,
            latency: Duration::from_millis(1),
            buffer: 64 * 1024,
            partial_means_blocked: true,
        }
    }

    /// Draws a new mix of faults. About half of the faults do not happen at all, the others happen rarely or often, so
    /// that rare combinations occur (swarm testing: Groce and others, 2012).
    ///
    /// Some of the faults cost connections or bytes. [`harmless`](Self::harmless) leaves these out, so that a test can
    /// assert that everything arrives. With each mix a connection transfers at least some kilobytes a minute.
    #[must_use]
    pub fn swarm(rng: &mut Rng) -> Self {
        let mut chance = |most: u64| {
            let often = [0, 0, most / 8, most][rng.size_below(4)];
            u8::try_from(rng.below(often + 1)).unwrap_or(u8::MAX)
        };
        Self {
            short_read: chance(255),
            short_write: chance(255),
            read_blocks: chance(160),
            write_blocks: chance(160),
            accept_blocks: chance(160),
            interrupted: chance(128),
            spurious: chance(160),
            doubled: chance(255),
            delayed: chance(200),
            stale: chance(200),
            accept_error: chance(128),
            connect_error: chance(128),
            register_refused: chance(100),
            time_jump: chance(20),
            clock_behind: chance(128),
            meanwhile: chance(128),
            batch: [usize::MAX, 1, 2, usize::MAX][usize::from(chance(3))],
            reset_destroys: chance(255),
            split: chance(255),
            tiny_segments: chance(255) > 128,
            latency: Duration::from_micros(1 + rng.below(200_000)),
            buffer: [1, 7, 100, 1_500, 4_096, 65_536][rng.size_below(6)],
            partial_means_blocked: rng.below(4) != 0,
        }
        .with_progress()
    }

    /// Limits the latency to as many milliseconds as a segment carries bytes. Otherwise hours would not be enough for a
    /// few kilobytes.
    fn with_progress(self) -> Self {
        let carried = if self.tiny_segments { self.buffer.min(4) } else { self.buffer };
        let most = Duration::from_millis(carried as u64);
        Self { latency: self.latency.min(most), ..self }
    }

    /// A [`swarm`](Self::swarm) without faults that cost a connection or bytes: registering never fails, no outbound
    /// connection fails by itself, no RST destroys bytes that had arrived, and the process does not sleep past
    /// deadlines.
    ///
    /// # Examples
    /// ```
    /// use readyloop::sim::{Faults, Rng};
    ///
    /// let faults = Faults::harmless(&mut Rng::new(42));
    /// assert_eq!((faults.register_refused, faults.time_jump), (0, 0));
    /// ```
    #[must_use]
    pub fn harmless(rng: &mut Rng) -> Self {
        Self {
            connect_error: 0,
            register_refused: 0,
            time_jump: 0,
            reset_destroys: 0,
            ..Self::swarm(rng)
        }
    }

    /// The same network without faults: for the end of a test, when everything that is owed must arrive. The latency,
    /// the buffers and the segments stay as they are.
    #[must_use]
    pub fn calmed(&self) -> Self {
        Self {
            latency: self.latency,
            buffer: self.buffer,
            split: self.split,
            batch: self.batch,
            tiny_segments: self.tiny_segments,
            partial_means_blocked: self.partial_means_blocked,
            ..Self::none()
        }
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}
