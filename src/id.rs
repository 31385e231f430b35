//! The id of a connection.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sync::{Mutex, PoisonError};

/// Identifies one connection for the life of the process.
///
/// No other connection gets the same id: neither the next connection in the same slot of the table, nor a connection of
/// another server in the process. After a connection has ended, its id refers to no connection. At another server it
/// never refers to one.
///
/// [`Display`](fmt::Display) shows the number of the reactor and the number of the connection: `#2/7` is the seventh
/// connection of the reactor number 2 of this process. The reactor number 0 is left out, so a single server shows `#7`.
/// Reactors are numbered in the order in which they are made. A [`Server`](crate::Server) takes as many numbers as it
/// has reactors. [`ConnInfo::reactor`](crate::ConnInfo::reactor) is the number of the reactor in its server.
///
/// Numbers repeat after 2^31 reactors in one process. In a simulated network, an id is unique among the worlds that
/// exist at the same time on a thread, so that a seed gives the same ids in every run.
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
    /// The upper half is the number of the reactor. The lower half counts its connections from 1. So a single
    /// comparison tells the connections of all reactors apart.
    pub(crate) serial: u64,
    pub(crate) slot: u32,
}

/// How many bits of a serial number count connections.
const COUNTER: u32 = 32;

/// Set in the numbers of simulated reactors: they are assigned separately, and must differ from the other numbers.
pub(crate) const SIMULATED: u32 = 1 << 31;

/// The number of the next reactor in this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Takes this many consecutive numbers, which no other server of this process has.
pub(crate) fn draw_numbers(reactors: usize) -> u32 {
    let count = u32::try_from(reactors).expect("a server has at most 65,536 reactors");
    NEXT.fetch_add(count, Ordering::Relaxed) & !SIMULATED // it only has to be unique
}

/// The serial number before the first one of the reactor with this number.
pub(crate) fn serials_of(number: u32) -> u64 {
    u64::from(number) << COUNTER
}

impl ConnId {
    /// The number, in this process, of the reactor that assigned this id.
    pub(crate) fn number(self) -> u32 {
        (self.serial >> COUNTER) as u32
    }

    /// The part of the serial number that an event carries, to tell successive connections in a slot apart: the lower
    /// half. It repeats after 2^32 connections, but an event is never older than a turn.
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
    pub(crate) fn tag(self) -> u32 {
        self.serial as u32
    }

    /// Whether the reactor needs another number for its next connection.
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

/// The numbers of the reactors of a server.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// The number of the first reactor. The others have the following numbers.
    first: u32,
    reactors: usize,
    /// Further numbers, each with the index of its reactor: a reactor needs another number after 2^32 connections.
    further: Mutex<Vec<(u32, usize)>>,
}

impl Numbers {
    pub(crate) fn new(first: u32, reactors: usize) -> Self {
        Self { first, reactors, further: Mutex::default() }
    }

    /// The first number of a reactor.
    pub(crate) fn of(&self, reactor: usize) -> u32 {
        self.first
            .wrapping_add(u32::try_from(reactor).expect("a server has at most 65,536 reactors"))
    }

    /// Takes another number for a reactor that has used up its last one.
    pub(crate) fn another(&self, reactor: usize) -> u32 {
        let number = draw_numbers(1);
        self.further.lock().unwrap_or_else(PoisonError::into_inner).push((number, reactor));
        number
    }

    /// The index of the reactor of this server that assigned an id. `None` if another server did.
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
