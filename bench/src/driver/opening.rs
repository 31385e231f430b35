//! Opening connections.

use std::sync::atomic::Ordering;
use std::time::Duration;

use readyloop::{CloseReason, ConnectOptions, Context};

use super::state::{Common, Dial, Driver, Phase, RAMP, SECOND};
use crate::clock::nanoseconds;
use crate::error_kind;
use crate::events::Event;
use crate::plan::Load;

/// The interval at which a ramp opens connections.
const RAMP_STEP: Duration = Duration::from_millis(5);

/// How long a failed connection waits for its retry, with churn. Otherwise the bench would spin, and flood a server
/// that refuses.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(100);

impl Driver {
    /// Opens the connections that are due by now.
    pub(super) fn ramp(&mut self, reactor: &mut Context<'_>) {
        let plan = &self.common.plan;
        let elapsed = self.common.clock.now().saturating_sub(self.start) + nanoseconds(RAMP_STEP);
        let wanted = u128::from(elapsed) * u128::from(plan.ramp) / u128::from(SECOND);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).clamp(1, plan.connections);
        while self.ramped < self.share.part(wanted) {
            self.dial(reactor, self.ramped as usize);
            self.ramped += 1;
        }
        if (self.ramped as usize) < self.places.len() {
            reactor.set_timer(RAMP_STEP, RAMP);
        }
    }

    pub(super) fn dial(&mut self, reactor: &mut Context<'_>, place: usize) {
        let Common { plan, targets, sources, clock, .. } = &*self.common;
        let connection = self.dialled * u64::from(self.share.of) + u64::from(self.share.index);
        let source = sources.of(connection);
        let options = ConnectOptions::new().timeout(plan.connect_timeout).source(source);
        let since = clock.now();
        let id = reactor.connect(targets, &options);
        self.dialled += 1;
        self.dials.insert(id, Dial { place, since });
    }

    /// Whether a connection that has ended is replaced.
    pub(super) fn churns(&self) -> bool {
        self.load() == Load::Churn
            && self.phase == Phase::Running
            && self.common.clock.now() < self.end
    }

    pub(super) fn see_whether_ready(&mut self) {
        let is_ready = self.ramped as usize == self.places.len() && self.dials.is_empty();
        if self.phase == Phase::Opening && is_ready {
            self.phase = Phase::Ready;
            self.tell(Event::Ready { open: self.open });
        }
    }

    pub(super) fn count_open(&mut self, place: usize) {
        self.open += 1;
        self.active_open += usize::from(place < self.active);
        self.common.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_closed(&mut self, place: usize) {
        self.open -= 1;
        self.active_open -= usize::from(place < self.active);
        self.common.open.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) fn cause_of_failure(reason: &CloseReason) -> String {
    match reason {
        CloseReason::NotConnected(error) => match error.attempts().last() {
            Some(attempt) => error_kind::cause_of_attempt(attempt.step, &attempt.source),
            None => error.to_string(),
        },
        other => other.to_string(),
    }
}
