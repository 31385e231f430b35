//! Ending: a message, a connection, the run.

use std::time::Duration;

use readyloop::{CloseReason, Context};

use super::state::{Driver, END, LISTENED, Phase, Place};
use crate::clock::nanoseconds;
use crate::echo_stream::Loss;
use crate::error_kind::{self, ErrorKind};
use crate::events::{Ended, Event};
use crate::latency::Latencies;
use crate::plan::{Load, SLACK};

/// How long the bench reads on after the last answer: the server may send too much. It is not part of the measured
/// time.
const LISTEN_ON: Duration = Duration::from_millis(200);

impl Driver {
    /// Gives up the connections of messages that have timed out, and connections that the server does not close in
    /// time.
    pub(super) fn scan(&mut self, reactor: &mut Context<'_>) {
        let timeout = nanoseconds(self.common.plan.timeout);
        let now = self.common.clock.now();
        // A bench that was stopped for long, by a signal or by a busy machine, has unread answers.
        let step = nanoseconds(scan_step(self.common.plan.timeout));
        if self.scanned.replace(now).is_some_and(|before| now.saturating_sub(before) > 3 * step) {
            self.scanned = None; // The next scan checks the timeouts.
            return;
        }
        let has_waited = |since: u64| now.saturating_sub(since) >= timeout;
        for place in 0..self.active {
            let Place { stream, finished, .. } = &mut self.places[place];
            if stream.oldest().is_some_and(has_waited) {
                self.abort(reactor, place);
                let why = format!("no answer within {:?}", self.common.plan.timeout);
                self.give_up(reactor, place, &why);
            } else if finished.take_if(|since| has_waited(*since)).is_some() {
                self.abort(reactor, place);
                self.lose(&format!(
                    "not closed by the server within {:?}",
                    self.common.plan.timeout
                ));
            }
        }
    }

    fn abort(&mut self, reactor: &mut Context<'_>, place: usize) {
        let Place { id, is_closing, .. } = &mut self.places[place];
        if let Some(id) = id {
            *is_closing = true;
            if let Some(mut conn) = reactor.get(*id) {
                conn.abort();
            }
        }
    }

    /// Counts a lost connection.
    pub(super) fn lose(&mut self, why: &str) {
        self.tally.lost += 1;
        self.tally.error(ErrorKind::Loss, why, 1);
    }

    /// Gives up the messages under way on a connection.
    pub(super) fn give_up(&mut self, reactor: &mut Context<'_>, place: usize, why: &str) {
        let lost = self.count_as_lost(place, why);
        if lost > 0 && self.load() == Load::Idle && self.phase == Phase::Finishing {
            // Do not wait for a server that does not answer, one connection after the other.
            while self.echo_next(reactor) {}
        }
    }

    /// Returns how many were under way.
    fn count_as_lost(&mut self, place: usize, why: &str) -> u64 {
        let Loss { wrong, unanswered } = self.drop_under_way(place);
        self.tally.unanswered += unanswered;
        self.tally.error(ErrorKind::Message, why, unanswered);
        wrong + unanswered
    }

    /// Forgets the messages under way on a connection.
    fn drop_under_way(&mut self, place: usize) -> Loss {
        let loss = self.places[place].stream.give_up();
        self.under_way -= loss.wrong + loss.unanswered;
        self.tally.wrong += loss.wrong;
        self.tally.error(ErrorKind::Message, "wrong answer", loss.wrong);
        loss
    }

    /// Ends the sending once all due messages are sent. A bench that is behind gets a limited time for that.
    pub(super) fn end_sending(&mut self, reactor: &mut Context<'_>) {
        let is_all = self.send_due(reactor);
        if self.phase != Phase::Running {
            return;
        }
        let now = self.common.clock.now();
        let last = self.end.saturating_add(nanoseconds(self.common.plan.slack()));
        if !is_all && now < last {
            reactor.set_timer(Duration::ZERO, END);
            return;
        }
        if let Some(due) = &mut self.due {
            self.tally.behind += due.count_and_skip(self.end - 1 - self.start);
        }
        self.tally.all_sent = now.saturating_sub(self.start);
        self.phase = Phase::Finishing;
        reactor.set_timer(self.common.plan.timeout, END);
        self.finish_if_done(reactor);
    }

    pub(super) fn finish_if_done(&mut self, reactor: &mut Context<'_>) {
        if self.phase != Phase::Finishing {
            return;
        }
        let is_done = match self.load() {
            Load::Churn => self.dials.is_empty() && self.open == 0,
            Load::Idle => self.under_way == 0 && self.next_echo == self.places.len(),
            Load::Closed { .. } | Load::Open { .. } => self.under_way == 0,
        };
        match self.load() {
            _ if !is_done => {}
            Load::Churn => self.finish(), // Each connection was read to its end.
            Load::Closed { .. } | Load::Open { .. } | Load::Idle => {
                self.phase = Phase::Listening;
                reactor.set_timer(LISTEN_ON, LISTENED);
            }
        }
    }

    /// Ends early if no connection is left to send on.
    pub(super) fn finish_if_none_is_left(&mut self) {
        let is_lost = match self.load() {
            Load::Closed { .. } | Load::Open { .. } => self.active_open == 0,
            Load::Churn => self.tally.opened == 0 && self.tally.failed >= self.places.len() as u64,
            Load::Idle => false, // Each connection gets its turn, or is skipped.
        };
        if self.phase == Phase::Running && is_lost {
            self.finish();
        }
    }

    /// Ends this thread's part early. Then messages without an answer are not a fault of the server.
    pub(crate) fn interrupt(&mut self) {
        if self.phase == Phase::Over {
            return;
        }
        for place in 0..self.active {
            self.tally.under_way += self.drop_under_way(place).unanswered;
            self.places[place].finished = None;
        }
        self.tally.opening += std::mem::take(&mut self.dials).len() as u64;
        self.finish();
    }

    /// Ends this thread's part. Connections stay open.
    pub(super) fn finish(&mut self) {
        if self.phase == Phase::Over {
            return;
        }
        let was_measured = self.second_ends < u64::MAX;
        let now = self.common.clock.now();
        let ended_early = matches!(self.phase, Phase::Running);
        if ended_early {
            self.leave_unsent(now);
        }
        self.phase = Phase::Over;
        for place in 0..self.active {
            self.count_as_lost(place, "no answer by the end");
            if self.places[place].finished.take().is_some() {
                self.lose("not closed by the server by the end");
            }
        }
        let not_open = self.dials.len() as u64;
        self.tally.failed += not_open;
        self.tally.error(ErrorKind::Connect, "not open by the end", not_open);
        if was_measured {
            self.roll(now);
            if !self.latencies.is_empty() {
                self.tell_second();
            }
        }
        let last = self.tally.last_answer;
        let at = match self.load() {
            _ if ended_early => now,
            Load::Idle => last,
            _ => last.max(self.end),
        };
        let at = if was_measured { at } else { self.start };
        let tally = std::mem::take(&mut self.tally);
        let lateness = std::mem::replace(&mut self.lateness, Latencies::new());
        self.tell(Event::Ended(Box::new(Ended {
            tally,
            lateness,
            at,
            seconds: self.second,
            ended_early,
            share: self.share,
        })));
    }

    /// Counts the messages that were due by now and were not sent.
    fn leave_unsent(&mut self, now: u64) {
        let until = now.min(self.end - 1).saturating_sub(self.start);
        let Some(due) = &mut self.due else { return };
        let late = due.next().map_or(0, |next| until.saturating_sub(next));
        if late > nanoseconds(SLACK) {
            self.tally.behind += due.count_and_skip(until);
            return;
        }
        for (place, left) in self.places.iter().zip(due.left(until)) {
            match place.id {
                Some(_) => self.tally.under_way += left,
                None => self.tally.unsent += left,
            }
        }
    }
}

/// How often timeouts are checked. A message may wait this much longer than its timeout.
pub(super) fn scan_step(timeout: Duration) -> Duration {
    (timeout / 10).clamp(Duration::from_millis(10), Duration::from_millis(250))
}

pub(super) fn cause_of_loss(reason: &CloseReason) -> String {
    match reason {
        CloseReason::PeerFinished => "closed by the server".to_owned(),
        CloseReason::Io(error) => error_kind::cause(error),
        CloseReason::OutboxOverflow { .. } | CloseReason::Shed { .. } => {
            error_kind::NO_MEMORY.to_owned()
        }
        other => other.to_string(),
    }
}
