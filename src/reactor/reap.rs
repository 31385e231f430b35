//! The end of connections, and of the reactor.

use super::Reactor;
use super::callback::contain;
use crate::close_reason::{CloseReason, OneLine};
use crate::core::phase::Phase;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::Net;

impl<H: Handler, N: Net> Reactor<H, N> {
    pub(super) fn reap(&mut self) {
        if self.closed.is_empty() {
            return;
        }
        let mut closed = std::mem::take(&mut self.closed);
        for id in closed.drain(..) {
            self.bury(id);
        }
        self.closed = closed;
    }

    /// Closes the socket, tells the handler, frees the slot.
    pub(super) fn bury(&mut self, id: ConnId) {
        let Some(entry) = self.table.get_mut(id) else { return };
        let reset = entry.phase == Phase::Closed { reset: true } || entry.queued() > 0;
        let reason = entry.take_reason();
        let Some(socket) = self.sockets[id.slot as usize].take() else { return };
        if reset {
            // A FIN would let the peer take what it got for the whole.
            self.net.reset(socket.stream);
        } else {
            self.net.close(socket.stream);
        }
        contain(|| self.log_close(id, &reason));
        if let Some(state) = socket.state {
            self.call_on_close(id, state, &reason);
        }
        contain(|| drop(reason));
        self.table.remove(id);
    }

    fn log_close(&self, id: ConnId, reason: &CloseReason) {
        if let Some(entry) = self.table.get(id)
            && log::log_enabled!(log::Level::Debug)
        {
            let counters = entry.counters();
            log::debug!(
                "{id} {} closed: {}; {} bytes in, {} bytes out, open for {:.3} s",
                entry.peer(),
                OneLine(reason),
                counters.bytes_in,
                counters.bytes_out,
                self.table.age(entry).as_secs_f64(),
            );
        }
    }

    pub(super) fn shut_down(&mut self) {
        if std::mem::replace(&mut self.is_shut_down, true) {
            return;
        }
        if !self.acceptors.is_empty() {
            log::info!("stopped, with {} connections still open", self.table.stats.open);
        }
        self.acceptors.clear();
        let ids: Vec<_> = self.table.ids().collect();
        for &id in &ids {
            self.table.entry(id).cut(CloseReason::Stopped, false);
        }
        self.closed.extend(ids);
        self.reap();
    }
}

impl<H: Handler, N: Net> Drop for Reactor<H, N> {
    /// Every `on_open` gets its `on_close`, also when the reactor is thrown away while it runs.
    fn drop(&mut self) {
        self.shut_down();
    }
}
