//! Messages from other threads.

use std::any::TypeId;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Reactor;
use super::group::{Job, Remotable, Replacement};
use super::turn_timer::Served;
use crate::addr::Addr;
use crate::context::Context;
use crate::error::Error;
use crate::handler::Handler;
use crate::net::{ListenOptions, Net};
use crate::one_line::Escaped;
use crate::panic_message::panic_message;
use crate::refusal::ReplaceError;
use crate::suspension::Suspension;
use crate::two_phase_commit::Participant;

impl<H: Handler, N: Net> Reactor<H, N> {
    /// Does what cannot be refused, and can wait for nothing.
    pub(super) fn take_orders(&mut self) {
        if !self.remote().has_orders() {
            return;
        }
        let orders = self.remote().take_orders();
        if let Some(config) = orders.config {
            self.apply(config);
        }
        if let Some(timeout) = orders.drain {
            self.begin_drain(timeout);
        }
    }

    /// Takes in the connections that others have accepted for this reactor.
    #[inline]
    pub(super) fn receive(&mut self) {
        if !self.own_arrivals().has_some() {
            return;
        }
        let mut arrivals = Vec::new();
        for _ in 0..self.table.config().budgets.accepts {
            if self.table.memory.is_used_up() {
                return; // `on_open` may send
            }
            self.own_arrivals().take(1, &mut arrivals);
            let Some(arrival) = arrivals.pop() else { return };
            self.take_in_arrival(arrival);
        }
    }

    /// Runs what was posted, within the budget of a turn. It may send, so that it waits while the memory
    /// budget is used up.
    pub(super) fn read_messages(&mut self) {
        self.holds_messages = false;
        if !self.remote().mailbox.has_some() {
            return;
        }
        if self.table.memory.is_used_up() && !self.group.is_replacing() {
            self.holds_messages = true;
            return;
        }
        // One by one, as each may use the memory up.
        for _ in 0..self.table.config().budgets.messages {
            let waits = self.table.memory.is_used_up() && !self.group.is_replacing();
            if waits || !self.remote().mailbox.has_some() {
                break;
            }
            self.run_jobs(1);
        }
        let is_left = self.remote().mailbox.has_some();
        self.table.stats.count().exhausted.messages += u64::from(is_left);
    }

    pub(super) fn run_jobs(&mut self, most: usize) {
        let mut jobs = std::mem::take(&mut self.jobs);
        self.remote().mailbox.take(most, &mut jobs);
        for job in jobs.drain(..) {
            self.run_job(job);
        }
        self.jobs = jobs;
    }

    fn run_job(&mut self, job: Job) {
        self.table.stats.count().messages += 1;
        self.serves(Served::Message);
        // The reactor is in order whenever user's code runs, and whatever that throws.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job.run(self))) {
            self.table.stats.count().panics += 1;
            let message = Escaped(panic_message(payload));
            log::error!("a posted closure panicked: {message}");
        }
    }
}

impl<H: Handler, N: Net> Remotable for Reactor<H, N> {
    fn with_context(&mut self, act: &mut dyn FnMut(&mut Context<'_>)) {
        act(&mut self.context());
    }

    fn suspend(&mut self, how: Suspension) {
        self.suspend(how);
    }

    fn resume(&mut self) -> Result<(), Error> {
        self.resume()
    }

    fn listen(&mut self, options: ListenOptions) -> Result<SocketAddr, Error> {
        self.listen(options)
    }

    fn close_listener(&mut self, addr: Addr) -> bool {
        self.close_listener(addr)
    }

    fn replace(&mut self, replacement: &dyn Replacement, participant: Participant) {
        if replacement.handler_type() != TypeId::of::<H>() {
            return participant.reject(ReplaceError::OtherType);
        }
        let new = || *replacement.make().downcast().expect("its type was looked at");
        let migrate = |id, state: &H::State| {
            let migrated = replacement.migrate(id, state)?;
            Some(*migrated.downcast().expect("a handler of this type has such states"))
        };
        let successor = self.prepare(new, migrate);
        self.take_over(successor, participant);
    }
}
