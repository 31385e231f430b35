//! Sending: the first messages, the messages that are due, and the echoes after an idle time.

use std::time::Duration;

use readyloop::Context;

use super::state::{AT_ONCE, Driver, ECHOES_AT_ONCE, END, MORE, Phase, Place, SECOND};
use crate::clock::nanoseconds;
use crate::plan::Load;
use crate::schedule::Due;
use crate::tally::HeldBack;

impl Driver {
    /// Begins the measured time, which starts at `start` for all threads.
    pub(crate) fn begin(&mut self, reactor: &mut Context<'_>, start: u64) {
        if self.phase != Phase::Ready {
            return; // It has ended already.
        }
        let plan = &self.common.plan;
        self.phase = Phase::Running;
        self.start = start;
        self.end = start.saturating_add(nanoseconds(plan.duration));
        self.second_ends = start.saturating_add(SECOND);
        match self.load() {
            Load::Closed { pipeline } => self.send_first(reactor, pipeline),
            Load::Open { .. } => self.due = Self::due(&self.common, self.share),
            Load::Churn => self.ramp(reactor),
            Load::Idle => {
                self.phase = Phase::Finishing;
                self.echo(reactor);
                return self.finish_if_done(reactor);
            }
        }
        reactor.set_timer(self.common.clock.until(self.end), END);
        self.finish_if_none_is_left();
    }

    /// Sends the first `pipeline` messages on each active connection.
    pub(super) fn send_first(&mut self, reactor: &mut Context<'_>, pipeline: u32) {
        let began = self.common.clock.now();
        let all = self.active as u64 * u64::from(pipeline);
        while self.first_sent < all && self.phase == Phase::Running {
            let now = self.common.clock.now();
            if now > began + AT_ONCE {
                reactor.set_timer(Duration::ZERO, MORE);
                return;
            }
            let place = (self.first_sent / u64::from(pipeline)) as usize;
            self.send(reactor, place, now, now);
            self.first_sent += 1;
        }
    }

    /// Sends the messages that are due, up to the limit of one turn. Returns whether all due messages were sent.
    ///
    /// A message that is left keeps its due time, and counts as late. The next call comes when another message is due,
    /// or at the end.
    pub(crate) fn send_due(&mut self, reactor: &mut Context<'_>) -> bool {
        if self.phase != Phase::Running {
            return true;
        }
        let began = self.common.clock.now();
        // A message that is due at the end is not part of the run.
        let until = began.min(self.end - 1).saturating_sub(self.start);
        let most = self.common.plan.most_under_way();
        let mut now = began;
        while let Some(due) = self.due.as_ref().and_then(Due::next).filter(|due| *due <= until) {
            let since = self.start + due;
            // The clock may have stepped back.
            let late = now.saturating_sub(since);
            if self.under_way >= most {
                self.tally.held_back.get_or_insert_with(|| HeldBack {
                    at: now.saturating_sub(self.start),
                    late,
                    under_way: self.under_way,
                });
                return false;
            }
            if now > began + AT_ONCE {
                return false;
            }
            let Some((place, _)) = self.due.as_mut().and_then(|all| all.take(until)) else { break };
            if self.send(reactor, place, since, now) {
                self.lateness.record(late);
            } else {
                self.tally.unsent += 1;
            }
            now = self.common.clock.now();
        }
        true
    }

    /// Starts echoes after an idle time, up to the limit at once.
    pub(super) fn echo(&mut self, reactor: &mut Context<'_>) {
        while self.under_way < u64::from(ECHOES_AT_ONCE) && self.echo_next(reactor) {}
    }

    /// Starts the next echo after an idle time. Returns false if there is none.
    pub(super) fn echo_next(&mut self, reactor: &mut Context<'_>) -> bool {
        while self.next_echo < self.places.len() {
            self.next_echo += 1;
            let now = self.common.clock.now();
            if self.send(reactor, self.next_echo - 1, now, now) {
                return true;
            }
        }
        false
    }

    /// Sends the next message of a place. Returns false if its connection is gone.
    pub(super) fn send(
        &mut self,
        reactor: &mut Context<'_>,
        place: usize,
        due: u64,
        now: u64,
    ) -> bool {
        let Place { stream, id, .. } = &mut self.places[place];
        let Some(id) = *id else { return false };
        let message = stream.next(&self.common.content, due, now);
        self.scratch.clear();
        message.pieces().iter().for_each(|piece| self.scratch.extend_from_slice(piece));
        self.under_way += 1;
        // If the connection is about to end, `on_close` follows, and counts this message as unanswered.
        if let Some(mut conn) = reactor.get(id) {
            conn.send(&self.scratch);
        }
        true
    }
}
