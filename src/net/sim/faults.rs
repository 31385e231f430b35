//! What can go wrong, and how often.

use std::time::Duration;

use super::rng::Rng;

/// How often each fault of the simulated network happens. A chance is a number of 256: 0 is never,
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
    /// A read returns part of what is there; the rest arrives a moment later.
    pub short_read: u8,
    /// A write takes part of what fits; there is room again a moment later.
    pub short_write: u8,
    /// A read finds nothing although something is about to be there.
    pub read_blocks: u8,
    /// A write finds no room although there is about to be some.
    pub write_blocks: u8,
    /// `accept` finds nobody although somebody is about to be there.
    pub accept_blocks: u8,
    /// Any call is interrupted by a signal (EINTR).
    pub interrupted: u8,
    /// An event comes for a connection to which nothing has happened.
    pub spurious: u8,
    /// An event comes twice in a batch.
    pub doubled: u8,
    /// An event comes late, by up to ten times the latency and 50 ms at most, and so out of order.
    pub delayed: u8,
    /// An event comes for a socket that was closed before (epoll(7), question 6).
    pub stale: u8,
    /// `accept` fails with one of the errors of accept(2), the fatal ones aside.
    pub accept_error: u8,
    /// A connection outward fails at once, with one of the errors of socket(2), bind(2) (if it has a source
    /// address) or connect(2).
    pub connect_error: u8,
    /// Registering a socket is refused (ENOSPC, ENOMEM).
    pub register_refused: u8,
    /// The process sleeps between two turns, for up to a minute; then it is awake for at least as long. Deadlines
    /// may have passed for those whose bytes another fault holds up.
    pub time_jump: u8,
    /// A reading of the monotonic clock is up to 10 ms behind the time, and so may be behind the reading before.
    pub clock_behind: u8,
    /// Bytes arrive and peers act between two calls of the reactor, not only while it waits.
    pub meanwhile: u8,
    /// The most events of connections that one wait brings. At least 1.
    pub batch: usize,
    /// A RST destroys what its receiver has not read yet.
    pub reset_destroys: u8,
    /// What is sent at once arrives in pieces.
    pub split: u8,
    /// Segments are a few bytes long.
    pub tiny_segments: bool,
    /// The longest way from one end to the other.
    pub latency: Duration,
    /// What each socket buffers in each direction, in bytes. At least 1.
    pub buffer: usize,
    /// A partial read or write uses the readiness up, as with epoll and kqueue. If not, only
    /// `WouldBlock` does, which is all that mio promises on every system.
    pub partial_means_blocked: bool,
}

impl Faults {
    /// A network that does what one expects, with a millisecond of latency.
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

    /// A mix that is drawn anew: about half of the faults do not happen at all, the others rarely or
    /// often, so that rare combinations occur (swarm testing: Groce and others, 2012).
    ///
    /// Some of these cost connections or bytes. [`harmless`](Self::harmless) has none of them, so that a test can
    /// assert that everything arrives. Whatever is drawn, a connection moves some kilobytes a minute.
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

    /// A way takes at most as many milliseconds as it carries bytes: or hours would not be enough for a few
    /// kilobytes.
    fn with_progress(self) -> Self {
        let carried = if self.tiny_segments { self.buffer.min(4) } else { self.buffer };
        let most = Duration::from_millis(carried as u64);
        Self { latency: self.latency.min(most), ..self }
    }

    /// A [`swarm`](Self::swarm) without what costs a connection or a byte that arrives otherwise: no socket is
    /// refused, no connection outward fails by itself, no RST destroys what had arrived, and the process does not
    /// sleep until deadlines have passed.
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

    /// These, but nothing goes wrong any more: for the end of a test, when all that is owed has to
    /// arrive. What the network is like stays.
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
