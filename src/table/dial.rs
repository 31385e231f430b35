//! A connection that is being opened outbound.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::vec;

use super::{Entry, Table};
use crate::connect_error::{Attempt, ConnectError};
use crate::core::deadlines::millis;
use crate::id::ConnId;
use crate::net::ConnectOptions;
use crate::step_error::StepError;

/// The address of one that is to be opened outbound, and was given none.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// How long a connection waits for descriptors or memory before it is tried again, in milliseconds: as long as an
/// acceptor does at most.
const WAIT_FOR_ROOM: u64 = 200;

/// Which addresses are left to try, until when, and what became of the others. Times are in milliseconds
/// since the table was made.
#[derive(Debug)]
pub(crate) struct Dial {
    left: vec::IntoIter<SocketAddr>,
    pub(crate) options: ConnectOptions,
    /// When all of the time is over.
    give_up: u64,
    /// When that of the address at hand is, if one is being tried.
    until: Option<u64>,
    /// When the whole was begun, and when the address at hand was.
    begun: u64,
    tried: u64,
    attempts: Vec<Attempt>,
    /// The address that the system had no room for, and what it said.
    starved: Option<(SocketAddr, StepError)>,
}

impl Dial {
    pub(super) fn new(addrs: Vec<SocketAddr>, options: ConnectOptions, now: u64) -> Self {
        let give_up = now.saturating_add(millis(options.timeout));
        Self {
            left: addrs.into_iter(),
            options,
            give_up,
            until: None,
            begun: now,
            tried: now,
            attempts: Vec::new(),
            starved: None,
        }
    }

    /// Whether all of the time is over. `passed` is rounded down, so that it is not early.
    pub(crate) fn is_over(&self, passed: u64) -> bool {
        passed >= self.give_up
    }

    /// The address to try next. It has an equal share of the time that is left.
    pub(crate) fn next(&mut self, now: u64) -> Option<SocketAddr> {
        let time = self.give_up.saturating_sub(now).max(1);
        let again = self.starved.take().map(|(addr, _)| addr);
        let share = time.div_ceil((self.left.len() + usize::from(again.is_some())).max(1) as u64);
        self.tried = now;
        again.or_else(|| self.left.next()).inspect(|_| self.until = Some(now + share))
    }

    pub(super) fn until(&self) -> Option<u64> {
        self.until
    }

    /// It could not be connected to.
    pub(crate) fn failed(&mut self, addr: SocketAddr, error: StepError) {
        self.until = None;
        self.attempts.push(Attempt { addr, step: error.step, source: error.source });
    }

    /// It is to be tried again after a while.
    pub(crate) fn wait(&mut self, addr: SocketAddr, error: StepError, now: u64) {
        self.starved = Some((addr, error));
        self.until = Some(self.give_up.min(now + WAIT_FOR_ROOM));
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.starved.is_some()
    }

    /// What was begun in a slow turn was begun at its end: before, no answer could be seen. What was begun
    /// earlier keeps its deadline, or a row of slow turns would move it for ever.
    pub(super) fn restamp(&mut self, from: u64, to: u64) {
        let late = to.saturating_sub(from);
        if self.begun == from {
            self.begun = to;
            self.give_up = self.give_up.saturating_add(late);
        }
        if self.tried == from {
            self.tried = to;
            let until = self.until.map(|until| until.saturating_add(late));
            self.until = until.map(|until| until.min(self.give_up));
        }
    }

    /// There is nothing left to try.
    pub(crate) fn give_up(&mut self) -> ConnectError {
        if let Some((addr, error)) = self.starved.take() {
            self.failed(addr, error);
        }
        ConnectError::new(std::mem::take(&mut self.attempts), self.left.len())
    }
}

impl Table {
    /// Gives a slot to a connection that is to be opened outbound. Once the reactor is about to end it has
    /// none, and nothing follows.
    pub(crate) fn dial(&mut self, addrs: Vec<SocketAddr>, options: ConnectOptions) -> ConnId {
        let id = self.next_id();
        if self.begins_nothing() {
            self.gave(id);
            return id;
        }
        let peer = addrs.first().copied().unwrap_or(NOWHERE);
        let now = self.clock.stamp();
        self.put(id, Entry::outbound(id.serial, Dial::new(addrs, options, now), peer, now));
        self.stats.count().dialled += 1;
        self.to_dial.push_back(id);
        id
    }

    pub(crate) fn begins_nothing(&self) -> bool {
        self.stopping || self.is_ending
    }

    /// One of those whose next address is to be tried.
    pub(crate) fn next_to_dial(&mut self) -> Option<ConnId> {
        self.to_dial.pop_front()
    }

    pub(crate) fn has_to_dial(&self) -> bool {
        !self.to_dial.is_empty()
    }

    /// The address that was tried has failed.
    pub(crate) fn dial_again(&mut self, id: ConnId) {
        self.to_dial.push_back(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn dial(addrs: u16) -> Dial {
        let addrs = (1..=addrs).map(|port| SocketAddr::from(([192, 0, 2, 1], port))).collect();
        Dial::new(addrs, ConnectOptions::new().timeout(Duration::from_millis(900)), 100)
    }

    #[test]
    fn each_address_has_its_share_of_the_time_that_is_left() {
        let mut dial = dial(3);
        assert_eq!(dial.next(100).map(|addr| addr.port()), Some(1));
        assert_eq!(dial.until(), Some(400));
        assert_eq!(dial.next(400).map(|addr| addr.port()), Some(2));
        assert_eq!(dial.until(), Some(700));
        // This one was refused at once, so that the last has more.
        assert_eq!(dial.next(410).map(|addr| addr.port()), Some(3));
        assert_eq!(dial.until(), Some(1_000));
        assert_eq!(dial.next(420), None);
    }

    #[test]
    fn a_slow_turn_moves_the_deadlines_of_what_was_begun_in_it_and_no_others() {
        let mut dial = dial(3);
        dial.next(100);
        dial.restamp(100, 130);
        assert_eq!((dial.until(), dial.give_up), (Some(430), 1_030));
        dial.restamp(150, 180);
        assert_eq!((dial.until(), dial.give_up), (Some(430), 1_030));
        dial.next(430);
        dial.restamp(430, 450);
        assert_eq!((dial.until(), dial.give_up), (Some(750), 1_030));
        dial.next(1_020);
        dial.restamp(1_020, 1_100);
        assert_eq!(dial.until(), Some(1_030), "no later than the whole");
    }

    #[test]
    fn addresses_for_which_there_is_no_time_are_not_tried_but_counted() {
        let mut dial = dial(3);
        dial.next(100);
        assert!(!dial.is_over(999));
        assert!(dial.is_over(1_000));
        assert_eq!(dial.give_up().to_string(), "no time to try any of 2 addresses");
    }
}
