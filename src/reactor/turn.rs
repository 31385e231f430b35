//! A turn of the reactor: the map of all that it does.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::time::Duration;

use super::Reactor;
use super::turn_timer::TurnTimer;
use crate::error::Error;
use crate::handler::Handler;
use crate::net::{Net, Token};
use crate::report::Report;

/// After so many turns without a sight of all events deadlines are judged all the same.
const BLIND_TURNS: u32 = 100;

impl<H: Handler, N: Net> Reactor<H, N> {
    pub(super) fn make_turn(
        &mut self,
        timeout: Option<Duration>,
    ) -> Result<ControlFlow<Report>, Error> {
        if !self.is_stopping() {
            self.start();
            let was_interrupted = self.poll(timeout)?;
            let saw_all = self.mark() && !was_interrupted;
            self.work();
            let may_expire = self.may_judge_deadlines(saw_all);
            if self.has_chores() {
                self.do_chores(may_expire);
            }
            self.end_turn();
        }
        if self.is_drained() {
            // A reactor that accepts for this one keeps its connections from now on. Those on their way are served.
            self.own_arrivals().close();
        }
        if self.is_stopping() || self.is_drained() {
            self.shut_down();
            return Ok(ControlFlow::Break(self.report));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether a turn has more to do than to serve connections. Most turns do not, and a chore costs a call to find out
    /// that there is nothing to do. Here each chore is a comparison.
    fn has_chores(&self) -> bool {
        let remote = self.remote();
        !self.closed.is_empty()
            || remote.has_orders()
            || remote.mailbox.has_some()
            || self.own_arrivals().has_some()
            || self.has_acceptor_to_see_to()
            || self.table.has_alarm_due()
            || !self.held_timers.is_empty()
            || self.table.has_to_dial()
            || self.table.waiting_for_memory() > 0
            || self.table.memory.takes_no_input()
            || self.drain.is_some()
            || self.log.due().is_some()
    }

    fn do_chores(&mut self, may_expire: bool) {
        self.work_with_memory(false);
        self.reap(); // before others are judged by whether there is room
        self.take_orders();
        self.receive();
        self.accept();
        self.read_messages();
        if may_expire {
            self.expire();
        }
        self.work_with_memory(true);
        self.dial();
        self.log.go_on(self.table.clock.now());
        self.go_on_draining();
        self.reap();
        self.shed();
    }

    /// Waits for events. Returns whether a signal has ended the wait: that makes a turn without events.
    fn poll(&mut self, timeout: Option<Duration>) -> Result<bool, Error> {
        let mut wait = self.poll_timeout(timeout, self.table.clock.latest());
        if wait.is_none() && self.is_deserted() {
            self.end_deserted();
            wait = Some(Duration::ZERO);
        }
        let was_interrupted = match self.net.poll(wait) {
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            other => other.map(|()| false).map_err(Error::Poll)?,
        };
        let read = self.net.now();
        self.table.clock.begin_turn(read);
        self.table.look_at_memory();
        self.turn_timer = TurnTimer::new(read);
        self.say_that_it_is_busy();
        Ok(was_interrupted)
    }

    /// Records what the events report, and nothing else. Returns whether all pending events were reported.
    fn mark(&mut self) -> bool {
        let Self { net, table, acceptors, .. } = self;
        net.events(|event| match event.token {
            Token::Listener(index) => {
                if let Some(Some(acceptor)) = acceptors.get_mut(usize::from(index)) {
                    acceptor.mark_ready();
                }
            }
            Token::Conn { slot, tag } => table.mark(slot, tag, event),
        })
    }

    /// Input is read before a deadline is judged, so that a process that slept does not punish its peers. So deadlines
    /// wait as long as there may be events that were not reported: a signal ended the wait (SIGCONT does), or a batch
    /// was full. But they do not wait for ever.
    fn may_judge_deadlines(&mut self, saw_all: bool) -> bool {
        let may = saw_all || self.blind_turns == BLIND_TURNS;
        self.blind_turns = if may { 0 } else { self.blind_turns + 1 };
        may
    }

    fn end_turn(&mut self) {
        self.read_clock();
        self.judge_turn();
        self.table.end_turn();
        self.table.stats.turned();
        self.publish();
        self.say_how_idle();
    }
}
