//! The end of connections, and of the reactor.

use super::Reactor;
use super::turn_timer::Served;
use crate::close_reason::CloseReason;
use crate::contain::contain;
use crate::core::phase::Phase;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::Net;
use crate::report::Report;
use crate::table::Entry;

impl<H: Handler, N: Net> Reactor<H, N> {
    #[inline]
    pub(super) fn reap(&mut self) {
        if !self.closed.is_empty() {
            self.bury_all();
        }
    }

    fn bury_all(&mut self) {
        let mut closed = std::mem::take(&mut self.closed);
        for id in closed.drain(..) {
            self.bury(id);
        }
        self.closed = closed;
    }

    /// Closes the socket, tells the handler, frees the slot.
    pub(super) fn bury(&mut self, id: ConnId) {
        let Some(entry) = self.table.get_mut(id) else { return };
        let unsent = entry.queued();
        let reset = entry.phase == Phase::Closed { reset: true } || unsent > 0;
        let never_was_open = entry.dial().is_some();
        let unanswered = entry.unanswered;
        let reason = entry.take_reason();
        let reason = self.drain_reason(reason, unanswered);
        let socket = self.take_socket(id);
        let (stream, state) =
            socket.map_or((None, None), |socket| (Some(socket.stream), socket.state));
        match stream {
            // A FIN would let the peer take what it got for the whole.
            Some(stream) if reset => self.net.reset(stream),
            Some(stream) => self.net.close(stream),
            None => {} // none of its addresses is being tried
        }
        contain(|| self.log_close(id, &reason));
        if never_was_open {
            self.call_on_connect_failed(id, &reason);
        } else {
            self.note_end(&reason, unsent, unanswered);
        }
        if let Some(state) = state {
            self.serves(Served::Conn(id));
            self.call_on_close(id, state, &reason);
        }
        contain(|| drop(reason));
        self.table.remove(id);
    }

    /// At the deadline of a drain a connection may be asked for more while it is closed. Then it was cut off.
    fn drain_reason(&self, reason: CloseReason, unanswered: bool) -> CloseReason {
        match (reason, self.missed_drain_timeout()) {
            (CloseReason::Drained, Some(limit)) if unanswered => {
                CloseReason::DrainTimeout { limit }
            }
            (reason, _) => reason,
        }
    }

    fn log_close(&self, id: ConnId, reason: &CloseReason) {
        if let Some(entry) = self.table.get(id)
            && log::log_enabled!(log::Level::Debug)
        {
            log::debug!(
                "{id} {} closed: {reason}; {} bytes in, {} bytes out, open for {:.3} s",
                entry.peer(),
                entry.bytes_in(),
                entry.bytes_out(),
                self.table.since(entry.opened()).as_secs_f64(),
            );
        }
    }

    /// What the report at the end says of it.
    fn note_end(&mut self, reason: &CloseReason, unsent: usize, unanswered: bool) {
        let is_cut = match reason {
            CloseReason::Stopped | CloseReason::DrainTimeout { .. } => true,
            CloseReason::Io(_) => false, // its peer has ended it
            _ => unsent > 0 || unanswered,
        };
        if is_cut {
            self.report.cut += 1;
            self.report.unsent += unsent as u64;
        } else {
            self.report.finished += 1;
        }
    }

    /// Ends all connections, for the reasons that are said. A peer of a lingering connection has received everything.
    pub(super) fn end_all(&mut self, reason: impl Fn(&Entry) -> CloseReason) {
        let ids: Vec<_> = self.table.ids().collect();
        for &id in &ids {
            let entry = self.table.entry(id);
            match entry.phase {
                Phase::Lingering => {
                    // What is unread would make a RST of the end, and may be a request.
                    self.table.entry(id).readable = true;
                    self.read_to_the_end(id);
                    let entry = self.table.entry(id);
                    entry.phase = entry.phase.after_linger();
                }
                _ => entry.cut(reason(entry), false),
            }
        }
        self.closed.extend(ids);
        self.reap();
    }

    /// The end of the reactor: nothing is taken in any more, what was taken in is done, and all is closed.
    pub(super) fn shut_down(&mut self) {
        if std::mem::replace(&mut self.is_shut_down, true) {
            return;
        }
        let name = self.name();
        if self.is_drained() {
            log::info!("{name}drained: {}", self.report);
        } else {
            self.group.stop(); // one reactor does not outlive another
            if self.is_started {
                log::info!("{name}stopped, with {} connections open", self.table.stats.get().open);
            }
            if self.drain.is_none() {
                self.report = Report::default();
            }
        }
        self.table.stopping = true;
        self.remote().close();
        self.own_arrivals().close();
        self.run_jobs(usize::MAX);
        self.acceptors.clear();
        self.turn_away_arrivals();
        self.end_all(|_| CloseReason::Stopped);
        if self.is_started {
            self.callback_of_reactor(|handler, context| handler.on_stop(context));
        }
        self.log.finish(self.table.clock.now());
        self.publish();
    }

    fn turn_away_arrivals(&mut self) {
        let mut arrivals = Vec::new();
        self.own_arrivals().take(usize::MAX, &mut arrivals);
        for arrival in arrivals {
            self.turn_away(arrival);
            self.table.stats.count().closed += 1;
            self.report.cut += 1;
        }
    }
}

impl<H: Handler, N: Net> Drop for Reactor<H, N> {
    /// Every `on_open` gets its `on_close`, also when the reactor is thrown away while it runs.
    fn drop(&mut self) {
        self.shut_down();
    }
}
