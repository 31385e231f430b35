//! The name of a connection.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sync::{Mutex, PoisonError};

/// Names one connection for the life of the process.
///
/// No other connection gets the same id: not the next one in its slot of the table, and not one of another
/// server in the process. An id that outlives its connection names nothing, and so does an id at a server that
/// did not give it: what is asked of such an id is an error.
///
/// [`Display`](fmt::Display) shows the number of the reactor in this process and, behind it, how many
/// connections that reactor had counted: `#2/7` is the seventh connection of the reactor number 2. The number 0
/// is left out, so a server that is alone shows `#7`. Reactors are numbered in the order in which they are made; a
/// [`Server`](crate::Server) takes as many numbers as it has reactors.
/// [`Handle::reactor_of`](crate::Handle::reactor_of) tells which reactor of a server serves the connection.
///
/// Numbers repeat after 2^31 reactors in one process, and no sooner. In a simulated network an id is unique
/// among the worlds that exist at the same time on a thread: so a seed gives the same ids in every run.
///
/// # Examples
/// ```
/// use std::collections::HashMap;
/// use readyloop::ConnId;
///
/// // A handler that knows its users by name keeps the ids, not the connections.
/// let mut users: HashMap<String, ConnId> = HashMap::new();
/// # let _ = users.get("ada");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// The upper half is the number of the reactor, the lower half counts its connections from 1. So one
    /// comparison tells the connections of all reactors apart.
    pub(crate) serial: u64,
    pub(crate) slot: u32,
}

/// How many bits of a serial number count connections.
const COUNTER: u32 = 32;

/// Set in the numbers that simulated reactors have: they are drawn apart, and must not equal those of others.
pub(crate) const SIMULATED: u32 = 1 << 31;

/// The number of the next reactor in this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Takes so many numbers in a row, which no other server of this process has.
pub(crate) fn draw_numbers(reactors: usize) -> u32 {
    let count = u32::try_from(reactors).expect("a server has at most 65,536 reactors");
    NEXT.fetch_add(count, Ordering::Relaxed) & !SIMULATED // it only has to be unique
}

/// What stands before the first serial number of a reactor with this number.
pub(crate) fn serials_of(number: u32) -> u64 {
    u64::from(number) << COUNTER
}

impl ConnId {
    /// The number of the reactor that gave it, in this process.
    pub(crate) fn number(self) -> u32 {
        (self.serial >> COUNTER) as u32
    }

    /// What an event carries of the serial number, to tell a slot's tenants apart: how many connections the
    /// reactor had counted. It repeats after 2^32 connections, but an event is never older than a turn.
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
    pub(crate) fn tag(self) -> u32 {
        self.serial as u32
    }

    /// Whether its reactor needs another number for the next one.
    pub(crate) fn is_last_of_its_number(self) -> bool {
        self.tag() == u32::MAX
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.tag();
        match self.number() & !SIMULATED {
            0 => write!(f, "#{count}"),
            number => write!(f, "#{number}/{count}"),
        }
    }
}

/// Which numbers the reactors of a server have.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// That of the first reactor; the others have the following ones.
    first: u32,
    reactors: usize,
    /// Drawn later, and by which reactor: after 2^32 connections it needs another number.
    further: Mutex<Vec<(u32, usize)>>,
}

impl Numbers {
    pub(crate) fn new(first: u32, reactors: usize) -> Self {
        Self { first, reactors, further: Mutex::default() }
    }

    /// The number that a reactor begins with.
    pub(crate) fn of(&self, reactor: usize) -> u32 {
        self.first
            .wrapping_add(u32::try_from(reactor).expect("a server has at most 65,536 reactors"))
    }

    /// Another number for a reactor that has used its own up.
    pub(crate) fn another(&self, reactor: usize) -> u32 {
        let number = draw_numbers(1);
        self.further.lock().unwrap_or_else(PoisonError::into_inner).push((number, reactor));
        number
    }

    /// The reactor of this server that gave an id; `None` if another server did.
    pub(crate) fn reactor_of(&self, id: ConnId) -> Option<usize> {
        let place = id.number().wrapping_sub(self.first) as usize;
        if place < self.reactors {
            return Some(place);
        }
        let further = self.further.lock().unwrap_or_else(PoisonError::into_inner);
        further.iter().find(|(number, _)| *number == id.number()).map(|(_, reactor)| *reactor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> ConnId {
        ConnId { serial: serials_of(number) + 7, slot: 0 }
    }

    #[test]
    fn an_id_takes_sixteen_bytes_and_shows_the_reactor_only_if_it_is_not_the_first() {
        assert_eq!(size_of::<ConnId>(), 16);
        assert_eq!([id(0), id(2), id(SIMULATED)].map(|id| id.to_string()), ["#7", "#2/7", "#7"]);
    }

    #[test]
    fn servers_have_no_number_in_common() {
        let servers = [1, 3, 2].map(|reactors| Numbers::new(draw_numbers(reactors), reactors));
        for (index, server) in servers.iter().enumerate() {
            for reactor in 0..server.reactors {
                let id = id(server.of(reactor));
                for (other, numbers) in servers.iter().enumerate() {
                    let known = (other == index).then_some(reactor);
                    assert_eq!(numbers.reactor_of(id), known, "{id} at {numbers:?}");
                }
            }
        }
    }

    #[test]
    fn a_reactor_that_draws_another_number_is_found_by_both() {
        let numbers = Numbers::new(draw_numbers(2), 2);
        let another = numbers.another(1);
        assert_ne!(another, numbers.of(1));
        assert_eq!(numbers.reactor_of(id(numbers.of(1))), Some(1));
        assert_eq!(numbers.reactor_of(id(another)), Some(1));
        assert_eq!(numbers.reactor_of(id(draw_numbers(1))), None);
    }

    #[test]
    fn numbers_go_on_behind_the_greatest() {
        let numbers = Numbers::new(u32::MAX, 3);
        assert_eq!((0..3).map(|reactor| numbers.of(reactor)).collect::<Vec<_>>(), [u32::MAX, 0, 1]);
        assert_eq!(numbers.reactor_of(id(1)), Some(2));
        assert_eq!(numbers.reactor_of(id(2)), None);
    }
}
