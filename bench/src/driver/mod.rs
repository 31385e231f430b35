//! The handler behind the load: one for each thread.

mod answers;
mod ending;
mod opening;
mod sending;
mod state;

use readyloop::{BoxError, CloseReason, Conn, ConnId, Context, Handler, Input, TimerKey};

use crate::error_kind::ErrorKind;
use crate::events::Event;
use crate::plan::Load;
use ending::{cause_of_loss, scan_step};
use opening::{RETRY_AFTER, cause_of_failure};
pub(crate) use state::{Common, Driver, ECHOES_AT_ONCE};
use state::{END, LISTENED, MORE, Phase, Place, RAMP, RETRY, SCAN};

impl Handler for Driver {
    /// The index of the connection's place.
    type State = u32;

    fn on_start(&mut self, reactor: &mut Context<'_>) {
        if self.load() == Load::Churn {
            self.phase = Phase::Ready;
            self.tell(Event::Ready { open: 0 });
        } else {
            self.ramp(reactor);
        }
        reactor.set_timer(scan_step(self.common.plan.timeout), SCAN);
    }

    fn on_tick(&mut self, reactor: &mut Context<'_>, key: TimerKey) {
        if self.phase == Phase::Over {
            return;
        }
        match key {
            RAMP if self.phase == Phase::Opening || self.churns() => self.ramp(reactor),
            RAMP => {}
            SCAN => {
                reactor.set_timer(scan_step(self.common.plan.timeout), SCAN);
                self.scan(reactor);
                self.roll(self.common.clock.now());
                self.finish_if_done(reactor);
            }
            // A timer counts from the beginning of the turn that sets it, which is earlier.
            END if self.phase == Phase::Running && self.common.clock.now() < self.end => {
                reactor.set_timer(self.common.clock.until(self.end), END);
            }
            END if self.phase == Phase::Running => self.end_sending(reactor),
            END if self.phase == Phase::Listening => {}
            MORE => match self.load() {
                Load::Closed { pipeline } => self.send_first(reactor, pipeline),
                _ => _ = self.send_due(reactor),
            },
            END | LISTENED => self.finish(),
            TimerKey(retry) => {
                if self.churns() {
                    self.dial(reactor, (retry - RETRY) as usize);
                }
            }
        }
    }

    fn on_open(&mut self, conn: &mut Conn<'_>) -> Result<u32, BoxError> {
        let dial =
            self.dials.remove(&conn.id()).ok_or("the bench has not opened this connection")?;
        self.tally.opened += 1;
        self.count_open(dial.place);
        let place = &mut self.places[dial.place];
        place.id = Some(conn.id());
        (place.is_closing, place.finished) = (false, None);
        if self.common.plan.load == Load::Churn && self.phase != Phase::Over {
            self.under_way += 1;
            let message = place.stream.next(&self.common.content, dial.since, dial.since);
            message.pieces().into_iter().for_each(|piece| conn.send(piece));
        }
        self.see_whether_ready();
        Ok(u32::try_from(dial.place).expect("connections are counted in 32 bits"))
    }

    fn on_connect_failed(&mut self, reactor: &mut Context<'_>, id: ConnId, reason: &CloseReason) {
        let Some(dial) = self.dials.remove(&id) else { return };
        if self.phase == Phase::Over {
            return;
        }
        self.tally.failed += 1;
        self.tally.error(ErrorKind::Connect, &cause_of_failure(reason), 1);
        if self.churns() {
            reactor.set_timer(RETRY_AFTER, TimerKey(RETRY + dial.place as u64));
        }
        self.see_whether_ready();
        self.finish_if_none_is_left();
        self.finish_if_done(reactor);
    }

    fn on_data(
        &mut self,
        conn: &mut Conn<'_>,
        place: &mut u32,
        input: &mut Input<'_>,
    ) -> Result<(), BoxError> {
        let now = self.common.clock.now();
        let bytes = input.take();
        if self.phase == Phase::Over {
            return Ok(());
        }
        self.roll(now);
        let answered = self.receive(conn, *place as usize, bytes, now);
        if answered > 0 {
            self.under_way -= answered;
            self.tally.last_answer = now;
            self.go_on(conn, *place as usize, answered, now);
        }
        Ok(())
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, place: u32, reason: &CloseReason) {
        let place = place as usize;
        self.count_closed(place);
        self.places[place].id = None;
        if self.phase == Phase::Over {
            return;
        }
        let Place { is_closing, finished, .. } = &mut self.places[place];
        let is_orderly = finished.take().is_some() && matches!(reason, CloseReason::PeerFinished);
        if !*is_closing && !is_orderly {
            self.lose(&cause_of_loss(reason));
        }
        self.give_up(&mut conn.reactor(), place, "its connection was lost");
        if self.load() == Load::Idle && self.phase == Phase::Finishing {
            self.echo(&mut conn.reactor());
        }
        if self.churns() {
            self.dial(&mut conn.reactor(), place);
        }
        self.finish_if_none_is_left();
        self.finish_if_done(&mut conn.reactor());
    }
}
