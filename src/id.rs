//! The name of a connection.

use std::fmt;

/// Names one connection for ever.
///
/// It holds the connection's slot in the table and its serial number, which is never given twice: an
/// id that outlives its connection names nobody, and never the slot's next tenant. The serial number
/// counts from 1 in the order of accepting and is what [`Display`](fmt::Display) shows, behind the number
/// of the reactor if that is not the first: `#7` is the first one's seventh connection, `#2/7` the third's.
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
    /// The upper 16 bits are the number of the reactor. So no two reactors give the same one, and an id that
    /// comes to the wrong reactor names nobody there.
    pub(crate) serial: u64,
    pub(crate) slot: u32,
}

/// How many bits of a serial number count the connections of a reactor.
const COUNTER: u32 = 48;

/// What stands before the first serial number of a reactor.
pub(crate) fn serials_of(reactor: usize) -> u64 {
    (reactor as u64) << COUNTER
}

impl ConnId {
    /// Which reactor serves it: 0 if there is only one. What is posted there reaches it, see
    /// [`Handle::post_to`](crate::Handle::post_to).
    #[must_use]
    pub fn reactor(self) -> usize {
        (self.serial >> COUNTER) as usize
    }

    /// What an event carries of the serial number, to tell a slot's tenants apart. It repeats after
    /// 2^32 connections, but an event is never older than a turn.
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
    pub(crate) fn tag(self) -> u32 {
        self.serial as u32
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.serial & ((1 << COUNTER) - 1);
        match self.reactor() {
            0 => write!(f, "#{count}"),
            reactor => write!(f, "#{reactor}/{count}"),
        }
    }
}
