//! The name of a connection.

use std::fmt;

/// Names one connection for ever.
///
/// It holds the connection's slot in the table and its serial number, which is never given twice: an
/// id that outlives its connection names nobody, and never the slot's next tenant. The serial number
/// counts from 1 in the order of accepting and is what [`Display`](fmt::Display) shows.
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
    pub(crate) serial: u64,
    pub(crate) slot: u32,
}

impl ConnId {
    /// What an event carries of the serial number, to tell a slot's tenants apart. It repeats after
    /// 2^32 connections, but an event is never older than a turn.
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
    pub(crate) fn tag(self) -> u32 {
        self.serial as u32
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.serial)
    }
}
