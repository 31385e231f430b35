//! What other threads see of a reactor.

use super::Reactor;
use super::group::LISTENS;
use crate::core::deadlines::millis;
use crate::handler::Handler;
use crate::net::Net;
use crate::sync::Ordering;

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Tells other threads how things stand.
    pub(super) fn publish(&mut self) {
        let remote = &self.group.remotes[self.index];
        remote.publish(&mut self.table.stats);
        if std::mem::take(&mut self.table.made_room) {
            self.group.wake_others(self.index);
        }
    }

    /// For the reactor that accepts: this one begins its turn.
    #[inline]
    pub(super) fn say_that_it_is_busy(&self) {
        if self.group.remotes.len() > 1 {
            self.remote().busy_since.store(self.table.clock.passed(), Ordering::Relaxed);
        }
    }

    /// For the reactor that accepts: the turn is over, and so long has the idlest been silent.
    #[inline]
    pub(super) fn say_how_idle(&self) {
        if self.group.remotes.len() > 1 {
            self.tell_how_idle();
        }
    }

    fn tell_how_idle(&self) {
        let clock = &self.table.clock;
        let deaf = if clock.is_slow_turn() { millis(clock.turn_took()) } else { 0 };
        let idlest = self.table.idlest().map_or(u64::MAX, |(_, since)| since.saturating_add(deaf));
        self.remote().idlest.store(idlest, Ordering::Relaxed);
        self.remote().busy_since.store(LISTENS, Ordering::Relaxed);
    }
}
