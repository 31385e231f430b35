//! Outbound connections: the connector.

use std::io::ErrorKind;
use std::net::SocketAddr;

use super::rate_limited_log::Notice;
use super::turn_timer::Served;
use super::{Reactor, Socket, uninterrupted};
use crate::close_reason::CloseReason;
use crate::core::dial_fault::DialFault;
use crate::core::phase::Phase;
use crate::handler::Handler;
use crate::id::ConnId;
use crate::net::{Net, Token};
use crate::step_error::StepError;
use crate::table::Entry;

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Tries the next addresses of those that are to be opened, within the budget.
    pub(super) fn dial(&mut self) {
        for _ in 0..self.table.config().budgets.connects {
            let Some(id) = self.table.next_to_dial() else { return };
            self.try_next(id);
        }
        self.table.stats.count().exhausted.connects += u64::from(self.table.has_to_dial());
    }

    fn try_next(&mut self, id: ConnId) {
        let (now, passed) = (self.table.clock.stamp(), self.table.clock.passed());
        let entry = self.table.get_mut(id).filter(|entry| entry.phase == Phase::Connecting);
        let Some(dial) = entry.and_then(Entry::dial) else { return }; // it was given up
        let next = if dial.is_over(passed) { None } else { dial.next(now) };
        let Some(addr) = next else {
            let reason = CloseReason::NotConnected(dial.give_up());
            self.table.entry(id).cut(reason, false);
            return self.closed.push(id);
        };
        let stream = self.net.connect(addr, &dial.options);
        self.table.entry(id).calls(addr);
        match stream.and_then(|stream| self.watch_stream(id, stream)) {
            Ok(stream) => {
                self.put_socket(id.slot as usize, Socket { stream, state: None });
                self.table.watch(id);
            }
            Err(error) => match DialFault::of(error.step, &error.source) {
                DialFault::NoRoom => self.wait_for_room(id, error),
                DialFault::Unusable => self.attempt_failed(id, error),
            },
        }
    }

    /// The lack of descriptors or memory says nothing of the address: it is tried again after a while.
    fn wait_for_room(&mut self, id: ConnId, error: StepError) {
        let notice = Notice::DialStarved { step: error.step, error: error.source.to_string() };
        self.log.add(notice, self.table.clock.now());
        let now = self.table.clock.stamp();
        let entry = self.table.entry(id);
        let addr = entry.peer();
        if let Some(dial) = entry.dial() {
            dial.wait(addr, error, now);
        }
        self.table.watch(id);
    }

    fn watch_stream(&mut self, id: ConnId, mut stream: N::Stream) -> Result<N::Stream, StepError> {
        let token = Token::Conn { slot: id.slot, tag: id.tag() };
        match self.net.register(&mut stream, token) {
            Ok(()) => Ok(stream),
            Err(source) => {
                self.net.close(stream);
                Err(StepError { step: "register", source })
            }
        }
    }

    /// Something has happened to a connection that is being opened.
    pub(super) fn see_whether_connected(&mut self, id: ConnId) {
        // None while the next address has yet to be tried: an event may be about the last one.
        let socket = self.program.sockets.get_mut(id.slot as usize).and_then(Option::as_mut);
        let is_connected = socket.map_or(Ok(false), |socket| {
            uninterrupted(|| self.net.is_connected(&mut socket.stream))
        });
        match is_connected {
            Ok(true) => {
                let now = self.table.clock.stamp();
                self.table.entry(id).has_connected(now);
                self.open(id);
            }
            Ok(false) => {
                self.table.entry(id).writable = false;
                self.table.watch(id);
            }
            Err(source) => self.attempt_failed(id, StepError { step: "connect", source }),
        }
    }

    /// The time is over of the address at hand, or of the wait before it is tried again.
    pub(super) fn attempt_timed_out(&mut self, id: ConnId) {
        if self.table.entry(id).dial().is_some_and(|dial| dial.is_waiting()) {
            return self.table.dial_again(id);
        }
        let source = ErrorKind::TimedOut.into();
        self.attempt_failed(id, StepError { step: "connect", source });
    }

    fn attempt_failed(&mut self, id: ConnId, error: StepError) {
        if let Some(socket) = self.take_socket(id) {
            self.net.close(socket.stream);
        }
        let entry = self.table.entry(id);
        let addr: SocketAddr = entry.peer();
        log::debug!("{id} cannot connect to {addr}: {error}");
        if let Some(dial) = entry.dial() {
            dial.failed(addr, error);
        }
        entry.writable = false;
        self.table.dial_again(id);
    }

    /// The end of a connection that never was one.
    pub(super) fn call_on_connect_failed(&mut self, id: ConnId, reason: &CloseReason) {
        self.table.stats.count().not_connected += 1;
        self.serves(Served::Conn(id));
        self.callback_of_reactor(|handler, context| {
            handler.on_connect_failed(context, id, reason);
        });
    }
}
