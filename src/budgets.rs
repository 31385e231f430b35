//! How much work a turn does.

const KIB: usize = 1024;

/// The most work of each kind that a reactor does in one turn, set by [`Config::budgets`](crate::Config::budgets).
///
/// A connection, listener or mailbox that has more work continues in the next turn, behind the others. With a larger
/// budget, a connection that is busy alone needs fewer turns, but the others wait longer for it. Budgets cost no
/// memory. Each is at least 1.
///
/// The defaults suit most servers. [`Exhausted`](crate::Exhausted) counts how often each budget runs out.
///
/// Fields may be added, so begin with the defaults, as the example does.
///
/// # Examples
/// ```
/// use readyloop::{Budgets, Config};
///
/// let config = Config::new().budgets(Budgets { accepts: 64, ..Budgets::default() });
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// After this many bytes read in a turn, a connection waits for its next turn. Default 64 KiB, one full read.
    pub read: usize,
    /// After this many bytes written in a turn, a connection waits for its next turn. Default 256 KiB. What is left
    /// over is copied to the connection's queue.
    pub write: usize,
    /// How many times [`on_data`](crate::Handler::on_data) is called for the bytes of one read. Default 64.
    pub calls: usize,
    /// How many connections each listener accepts. Default 16. It bounds how long a flood of new connections delays
    /// the established ones.
    pub accepts: usize,
    /// How many attempts to connect to an address are begun. Default 16.
    pub connects: usize,
    /// How many timers and deadlines are handled. Default 256. It bounds the turn if the deadlines of a hundred
    /// thousand connections are due at once.
    pub timers: usize,
    /// How many messages from other threads are handled. Default 256.
    pub messages: usize,
}

impl Budgets {
    pub(crate) const DEFAULT: Self = Self {
        read: 64 * KIB,
        write: 256 * KIB,
        calls: 64,
        accepts: 16,
        connects: 16,
        timers: 256,
        messages: 256,
    };

    /// The budgets, each with the name of its field.
    pub(crate) fn named(&self) -> [(&'static str, usize); 7] {
        let Self { read, write, calls, accepts, connects, timers, messages } = *self;
        [
            ("budgets.read", read),
            ("budgets.write", write),
            ("budgets.calls", calls),
            ("budgets.accepts", accepts),
            ("budgets.connects", connects),
            ("budgets.timers", timers),
            ("budgets.messages", messages),
        ]
    }
}

impl Default for Budgets {
    fn default() -> Self {
        Self::DEFAULT
    }
}
