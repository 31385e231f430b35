//! Connections that one reactor has accepted for another.

use std::net::SocketAddr;
use std::sync::Arc;

use super::group::Group;
use crate::core::mailbox::Mailbox;
use crate::table::Listener;

/// A connection that was accepted for another reactor.
pub(crate) struct Arrival<S> {
    pub(super) stream: S,
    pub(super) peer: SocketAddr,
    pub(super) listener: Arc<Listener>,
    /// The idlest has to go for it.
    pub(super) evicts: bool,
}

/// What waits for each reactor of a group.
///
/// It is bounded by the limit on connections, twice: arrivals count as open, and no more come in the place of others
/// than there are.
pub(crate) struct Arrivals<S>(Box<[Mailbox<Arrival<S>>]>);

impl<S> Arrivals<S> {
    pub(crate) fn new(reactors: usize) -> Self {
        Self((0..reactors).map(|_| Mailbox::new(usize::MAX, usize::MAX)).collect())
    }

    /// What waits for one reactor.
    pub(super) fn of(&self, reactor: usize) -> &Mailbox<Arrival<S>> {
        &self.0[reactor]
    }

    /// Hands a connection over, or returns it if the reactor has stopped.
    pub(super) fn hand_over(
        &self,
        group: &Group,
        to: usize,
        arrival: Arrival<S>,
    ) -> Option<Arrival<S>> {
        let put = group.remotes[to].put(self.of(to), arrival, 0, |arrival| arrival);
        put.err().map(|(arrival, _)| arrival)
    }

    /// Drops what waits for a reactor that never runs, and takes nothing in for it any more.
    pub(crate) fn discard(&self, reactor: usize) {
        self.of(reactor).close();
        self.of(reactor).take(usize::MAX, &mut Vec::new());
    }
}
