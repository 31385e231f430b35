//! The end of a server whose listeners have died.

use super::Reactor;
use super::accept::Acceptor;
use crate::handler::Handler;
use crate::net::Net;

impl<H: Handler, N: Net> Reactor<H, N> {
    fn has_listeners(&self) -> bool {
        self.acceptors.iter().flatten().any(Acceptor::is_alive)
    }

    /// If a listener has died: if it was the last one, no connection comes in any more, and the process might stay
    /// without one for ever. The settings say whether it ends.
    ///
    /// A listener that was closed on purpose is none that has died, and none that is left.
    pub(super) fn judge_what_is_lost(&mut self) {
        if self.lost.is_none() || self.is_suspended || self.has_listeners() {
            return;
        }
        if self.acceptors.iter().flatten().next().is_none() {
            self.lost = None; // what had died was closed on purpose afterwards
            return;
        }
        self.group.is_without_listeners(true);
        if let Some(timeout) = self.table.config().drain_without_listeners
            && !self.is_draining()
            && let Some((addr, error)) = self.lost.take()
        {
            log::error!("no listener is left: the server drains and ends");
            self.group.ends_by_loss(addr, error);
            self.group.order_drain(timeout);
        }
    }

    pub(super) fn has_listeners_again(&mut self) {
        if self.has_listeners() {
            self.lost = None;
            self.group.is_without_listeners(false);
        }
    }

    /// Whether a reactor of its own, which would wait for ever, has nothing that could end its waiting: no
    /// listener, no connection and no handle. (Neither timer nor deadline, as it would wait for that.)
    pub(super) fn is_deserted(&self) -> bool {
        self.lost.is_some()
            && self.group.remotes.len() == 1
            && self.table.stats.get().open == 0
            && !self.is_suspended
            && !self.has_listeners()
            && !self.group.has_handles()
    }

    pub(super) fn end_deserted(&mut self) {
        if let Some((addr, error)) = self.lost.take() {
            log::error!("no listener, connection, timer or handle is left: the reactor ends");
            self.group.ends_by_loss(addr, error);
            self.table.stopping = true;
        }
    }
}
