//! The deadlines of a connection.

use std::time::Duration;

use super::phase::Phase;

/// While the reactor drains, a connection with work left is checked again after the quiet time, but not earlier than
/// this, in milliseconds.
const LOOK_AGAIN: u64 = 50;

/// The timeouts of a connection. `None` for no limit. All times here are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) first_byte: Option<u64>,
    pub(crate) idle: Option<u64>,
    pub(crate) write: Option<u64>,
    pub(crate) linger: u64,
    pub(crate) max_age: Option<u64>,
    /// Set only while the reactor drains.
    pub(crate) quiet: Option<u64>,
}

/// What must happen before a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// The address that is being connected to must answer.
    Connect,
    /// The peer must send its first byte.
    FirstByte,
    /// The peer must send something.
    Idle,
    /// The peer must read some of the queued bytes.
    Write,
    /// After the end: the peer must finish, or the handler must take the rest of the input.
    Linger,
    /// Nothing: the connection is old enough.
    Age,
    /// Nothing: the reactor drains, and the connection has no work left.
    Quiet,
}

/// The state of a connection that its deadlines depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) phase: Phase,
    pub(crate) opened: u64,
    /// When something was last received. In the phases that wait for the end, when that phase began.
    pub(crate) since: u64,
    /// The connection was accepted, and has received nothing yet.
    pub(crate) silent: bool,
    /// The connection is not read from, so its silence means nothing.
    pub(crate) unheard: bool,
    /// The connection has work left.
    pub(crate) unfinished: bool,
    /// If bytes are queued: since when the kernel has taken none of them.
    pub(crate) stalled: Option<u64>,
    /// The deadline for the answer of the address that is being connected to.
    pub(crate) connect_by: Option<u64>,
    /// Spreads the ages of connections that were opened together.
    pub(crate) serial: u64,
}

impl Timeouts {
    /// The first deadline, and its time. For an unheard connection, the time of the next check.
    pub(crate) fn next(&self, of: &Standing, now: u64) -> Option<(u64, Deadline)> {
        let write = due(of.stalled, self.write, Deadline::Write);
        match of.phase {
            Phase::Open | Phase::PeerFinished | Phase::Finishing | Phase::HalfClosed => {
                let since = if of.unheard { now } else { of.since };
                let first = if of.silent { self.first_byte } else { None };
                let age = self.max_age.map(|most| shortened(most, of.serial));
                let quiet = if of.unfinished {
                    due(Some(now), self.quiet.map(|quiet| quiet.max(LOOK_AGAIN)), Deadline::Quiet)
                } else {
                    due(Some(of.since), self.quiet, Deadline::Quiet)
                };
                let all = [
                    quiet,
                    write,
                    due(Some(since), first, Deadline::FirstByte),
                    due(Some(since), self.idle, Deadline::Idle),
                    due(Some(of.opened), age, Deadline::Age),
                ];
                all.into_iter().flatten().min_by_key(|(time, _)| *time)
            }
            Phase::Connecting => due(of.connect_by, Some(0), Deadline::Connect),
            Phase::Flushing { .. } => write,
            Phase::Lingering | Phase::Deaf => {
                due(Some(of.since), Some(self.linger), Deadline::Linger)
            }
            Phase::Closed { .. } => None,
        }
    }
}

fn due(since: Option<u64>, time: Option<u64>, what: Deadline) -> Option<(u64, Deadline)> {
    Some((since?.saturating_add(time?), what))
}

/// Between nine tenths and the whole of `most`, by a hash of the serial number. So connections that were opened
/// together after a restart do not close and reconnect together. The maximum is never exceeded.
fn shortened(most: u64, serial: u64) -> u64 {
    let noise = serial.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32; // Knuth's multiplicative hash
    let cut = (u128::from(most / 10) * u128::from(noise)) >> 32;
    most - u64::try_from(cut).expect("the cut is less than a tenth of a u64")
}

/// A timeout in milliseconds, rounded up.
pub(crate) fn millis(time: Duration) -> u64 {
    let rest = time.subsec_nanos().div_ceil(1_000_000);
    time.as_secs().saturating_mul(1_000).saturating_add(rest.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        first_byte: Some(10),
        idle: Some(100),
        write: Some(50),
        linger: 5,
        max_age: Some(1_000),
        quiet: None,
    };

    const STANDING: Standing = Standing {
        phase: Phase::Open,
        opened: 7_000,
        since: 7_000,
        silent: true,
        unheard: false,
        unfinished: false,
        stalled: None,
        connect_by: None,
        serial: 1,
    };

    fn next(of: Standing) -> Option<(u64, Deadline)> {
        TIMEOUTS.next(&of, 7_900)
    }

    #[test]
    fn the_first_byte_is_due_sooner_than_the_next_ones() {
        assert_eq!(next(STANDING), Some((7_010, Deadline::FirstByte)));
        let heard = Standing { silent: false, since: 7_200, ..STANDING };
        assert_eq!(next(heard), Some((7_300, Deadline::Idle)));
    }

    #[test]
    fn silence_does_not_count_while_the_connection_is_not_read_from() {
        let unheard = Standing { silent: false, unheard: true, opened: 7_500, ..STANDING };
        assert_eq!(next(unheard), Some((8_000, Deadline::Idle)), "it is checked again");
    }

    #[test]
    fn a_queue_that_does_not_move_is_due_whatever_else_comes_in() {
        let stalled = Standing { silent: false, since: 7_890, stalled: Some(7_800), ..STANDING };
        assert_eq!(next(stalled), Some((7_850, Deadline::Write)));
        let flushing = Phase::Flushing { peer_finished: false };
        let closing = Standing { phase: flushing, since: 0, opened: 0, ..stalled };
        assert_eq!(next(closing), Some((7_850, Deadline::Write)));
    }

    #[test]
    fn an_address_that_is_connected_to_has_no_deadline_but_its_answer() {
        let connecting = Standing { phase: Phase::Connecting, ..STANDING };
        assert_eq!(
            next(Standing { connect_by: Some(7_950), ..connecting }),
            Some((7_950, Deadline::Connect))
        );
        assert_eq!(next(connecting), None);
    }

    #[test]
    fn after_the_end_only_lingering_counts() {
        for phase in [Phase::Lingering, Phase::Deaf] {
            let ending = Standing { phase, since: 7_600, ..STANDING };
            assert_eq!(next(ending), Some((7_605, Deadline::Linger)));
        }
        assert_eq!(next(Standing { phase: Phase::Closed { reset: true }, ..STANDING }), None);
    }

    #[test]
    fn ages_differ_by_up_to_a_tenth_and_none_is_above_the_maximum() {
        let ages: Vec<u64> = (1..=1_000).map(|serial| shortened(1_000, serial)).collect();
        assert!(ages.iter().all(|age| (900..=1_000).contains(age)));
        for tenth in (900..1_000).step_by(10) {
            let count = ages.iter().filter(|age| (tenth..tenth + 10).contains(*age)).count();
            assert!((80..=120).contains(&count), "{count} of 1,000 from {tenth}");
        }
        let old = Standing { silent: false, since: 7_890, opened: 6_950, ..STANDING };
        assert!(matches!(next(old), Some((7_850..=7_950, Deadline::Age))));
    }

    #[test]
    fn while_draining_a_quiet_connection_is_closed_and_a_busy_one_is_checked_again() {
        let draining = Timeouts { quiet: Some(20), ..TIMEOUTS };
        let heard = Standing { silent: false, since: 7_890, opened: 7_500, ..STANDING };
        assert_eq!(draining.next(&heard, 7_900), Some((7_910, Deadline::Quiet)));
        let busy = Standing { unfinished: true, ..heard };
        assert_eq!(draining.next(&busy, 7_900), Some((7_950, Deadline::Quiet)));
        let flushing = Phase::Flushing { peer_finished: false };
        assert_eq!(draining.next(&Standing { phase: flushing, ..heard }, 7_900), None);
    }

    #[test]
    fn a_timeout_that_is_off_is_never_due() {
        let off = Timeouts { first_byte: None, idle: None, write: None, max_age: None, ..TIMEOUTS };
        assert_eq!(off.next(&STANDING, 7_000), None);
    }

    #[test]
    fn a_time_out_is_rounded_up() {
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::from_millis(5)), 5);
        assert_eq!(millis(Duration::MAX), u64::MAX);
    }
}
