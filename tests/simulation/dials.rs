//! What is known of outbound connections.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use readyloop::sim::{Answer, DialAttempt, Rng};
use readyloop::{Attempt, CloseReason, ConnId, ConnectOptions};

/// What there is to be called, so many addresses of each.
const KINDS: [Answer; 4] = [Answer::Accept, Answer::Refuse, Answer::Silence, Answer::Unreachable];
const OF_EACH: u8 = 12;

/// The longest time that a plan gives.
pub(crate) const LONGEST: Duration = Duration::from_secs(20);

/// All addresses that there are to be called, and what they do.
pub(crate) fn remotes() -> impl Iterator<Item = (SocketAddr, Answer)> {
    let numbers = move |kind| (0..OF_EACH).map(move |number| (kind, number));
    let all = (0..KINDS.len() as u8).flat_map(numbers);
    all.map(|(kind, number)| (addr(kind, number), KINDS[usize::from(kind)]))
}

fn addr(kind: u8, number: u8) -> SocketAddr {
    SocketAddr::from(([10, 1, kind, number], 9_000))
}

fn answer_of(addr: SocketAddr) -> Option<Answer> {
    let SocketAddr::V4(addr) = addr else { return None };
    KINDS.get(usize::from(addr.ip().octets()[2])).copied()
}

#[derive(Debug, Default)]
pub(crate) struct Dials {
    by_id: BTreeMap<ConnId, Dial>,
    /// How many addresses of each kind were used.
    used: [u8; KINDS.len()],
    /// Whether something can go wrong by itself.
    pub(crate) faults: bool,
}

/// One of them, with what has become of it.
#[derive(Debug)]
pub(crate) struct Dial {
    addrs: Vec<SocketAddr>,
    timeout: Duration,
    pub(crate) begun: Instant,
    opened: bool,
    failed: bool,
    given_up: bool,
    /// It was begun when the reactor was about to stop, or had drained for as long as it may: then nothing
    /// need follow.
    late: bool,
}

impl Dial {
    pub(crate) fn new(addrs: Vec<SocketAddr>, timeout: Duration, begun: Instant) -> Self {
        Self { addrs, timeout, begun, opened: false, failed: false, given_up: false, late: false }
    }

    fn is_decided(&self) -> bool {
        self.opened || self.failed
    }

    /// The address to try after this one.
    fn after(&self, addr: SocketAddr) -> SocketAddr {
        let index = self.addrs.iter().position(|other| *other == addr);
        index.and_then(|index| self.addrs.get(index + 1)).copied().unwrap_or(addr)
    }
}

/// Whether the same address is to be tried again: ENOMEM, ENFILE, EMFILE or ENOBUFS of any attempt, EAGAIN of
/// `connect`.
fn waits_for_room(step: &str, number: i32) -> bool {
    matches!(number, 12 | 23 | 24 | 105) || (step, number) == ("connect", 11)
}

const TIMES: [u64; 4] = [1, 100, 2_000, 20_000];

/// Every other connection has a source address of its own.
pub(crate) fn options(timeout: Duration, seed: u64) -> ConnectOptions {
    let source = (seed % 2 == 1).then_some(([10, 0, 0, 253], 0).into());
    ConnectOptions::new().timeout(timeout).source(source)
}

impl Dials {
    /// Up to three addresses, and how long it may take.
    pub(crate) fn plan(&mut self, seed: u64) -> Option<(Vec<SocketAddr>, Duration)> {
        let rng = &mut Rng::new(seed);
        let timeout = Duration::from_millis(TIMES[rng.size_below(TIMES.len())]);
        let mut addrs = Vec::new();
        for _ in 0..rng.below(4) {
            let kind = [0, 0, 0, 1, 2, 3][rng.size_below(6)];
            if self.used[kind] == OF_EACH {
                return None;
            }
            addrs.push(addr(kind as u8, self.used[kind]));
            self.used[kind] += 1;
        }
        Some((addrs, timeout))
    }

    pub(crate) fn begin(&mut self, id: ConnId, dial: Dial, late: bool) -> bool {
        self.by_id.insert(id, Dial { late, ..dial }).is_none()
    }

    pub(crate) fn choose(&self, number: usize) -> Option<ConnId> {
        self.by_id.keys().nth(number % self.by_id.len().max(1)).copied()
    }

    pub(crate) fn is_given_up(&mut self, id: ConnId) {
        self.by_id.get_mut(&id).expect("it was chosen of these").given_up = true;
    }

    /// Returns whether it was to be, and at this address.
    pub(crate) fn opened(&mut self, id: ConnId, addr: SocketAddr) -> bool {
        let Some(dial) = self.by_id.get_mut(&id) else { return false };
        let right = dial.addrs.contains(&addr) && answer_of(addr) == Some(Answer::Accept);
        let once = !dial.is_decided() && !dial.given_up;
        dial.opened = true;
        right && once
    }

    /// Returns whether it was to be expected.
    pub(crate) fn failed(&mut self, id: ConnId) -> bool {
        self.by_id
            .get_mut(&id)
            .is_some_and(|dial| !dial.is_decided() && !std::mem::replace(&mut dial.failed, true))
    }

    pub(crate) fn may_fail(&self, id: ConnId, reason: &CloseReason, now: Instant) -> bool {
        let Some(dial) = self.by_id.get(&id) else { return false };
        match reason {
            CloseReason::Closed => dial.given_up,
            CloseReason::NotConnected(error) => {
                let tried = error.attempts().iter().map(|attempt| attempt.addr);
                let in_order = tried.eq(dial.addrs[..error.attempts().len()].iter().copied());
                let all = error.attempts().len() == dial.addrs.len();
                let is_over = now - dial.begun >= dial.timeout;
                let for_a_reason = |attempt: &Attempt| self.may_be_refused(attempt, is_over);
                in_order && (all || is_over) && error.attempts().iter().all(for_a_reason)
            }
            _ => false,
        }
    }

    /// Whether this may have become of an address. Its share of the time may be over before the whole is.
    fn may_be_refused(&self, attempt: &Attempt, is_over: bool) -> bool {
        match (answer_of(attempt.addr), attempt.source.kind()) {
            (Some(Answer::Refuse), ErrorKind::ConnectionRefused) => true,
            (Some(Answer::Unreachable), ErrorKind::NetworkUnreachable) => true,
            (Some(Answer::Silence), ErrorKind::TimedOut) => true,
            // Its peer may be there and gone again before it is looked at.
            (Some(Answer::Accept), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => true,
            (_, ErrorKind::TimedOut) => self.faults || is_over,
            _ => self.faults,
        }
    }

    /// An address that cannot be used leads to the next one at once: it is tried once, and the reactor does not
    /// wait before it tries the next.
    pub(crate) fn check_dials(&self, attempts: &[DialAttempt]) -> Result<(), String> {
        for dial in self.by_id.values() {
            let mut of_dial =
                attempts.iter().filter(|attempt| dial.addrs.contains(&attempt.addr)).peekable();
            while let Some(attempt) = of_dial.next() {
                let (Some(next), Some((step, number))) = (of_dial.peek(), attempt.failed) else {
                    continue;
                };
                if !waits_for_room(step, number)
                    && (next.addr, next.waits) != (dial.after(attempt.addr), attempt.waits)
                {
                    return Err(format!("after {attempt:?} came {next:?}"));
                }
            }
        }
        Ok(())
    }

    /// Those that hold a slot, or may.
    pub(crate) fn undecided(&self) -> usize {
        self.by_id.values().filter(|dial| !dial.is_decided() && !dial.late).count()
    }

    /// Those that may hold a slot, with a socket or between two: the late ones included.
    pub(crate) fn without_socket(&self) -> usize {
        self.by_id.values().filter(|dial| !dial.is_decided()).count()
    }

    pub(crate) fn count_failed(&self) -> usize {
        self.by_id.values().filter(|dial| dial.failed).count()
    }

    pub(crate) fn late(&self) -> usize {
        self.by_id.values().filter(|dial| dial.late).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}
