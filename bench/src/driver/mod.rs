//! The handler behind the load: one for each thread.

mod answers;
mod ending;
mod opening;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Sender;
use std::time::Duration;

use readyloop::{BoxError, CloseReason, Conn, ConnId, Context, Handler, Input, TimerKey};

use super::clock::{Clock, nanoseconds};
use super::content::Content;
use super::events::Event;
use super::latency::Latencies;
use super::link::Link;
use super::plan::{Load, Plan};
use super::schedule::Due;
use super::share::Share;
use super::sources::Sources;
use super::tally::{HeldBack, Tally};
use super::trouble::Trouble;
use ending::{kind_of_loss, scan_step};
use opening::{RETRY_AFTER, kind_of_failure};

const RAMP: TimerKey = TimerKey(0);
const SCAN: TimerKey = TimerKey(1);
const END: TimerKey = TimerKey(2);
const LISTENED: TimerKey = TimerKey(3);
/// What was too much for one turn goes on.
const MORE: TimerKey = TimerKey(4);
/// And all above: the connection with this number, less this, is tried again.
const RETRY: u64 = 16;

/// After an idle time, so many connections of a thread echo at once: enough to keep the server busy, and too
/// few to measure how long a queue is.
pub(super) const ECHOES_AT_ONCE: u32 = 64;

/// So long a thread sends at once. Then it takes what has come: answers, and the order to end.
const AT_ONCE: u64 = 5_000_000;

const SECOND: u64 = 1_000_000_000;

/// What all threads have in common.
pub(super) struct Common {
    pub(super) plan: Plan,
    pub(super) targets: Vec<SocketAddr>,
    pub(super) sources: Sources,
    pub(super) content: Content,
    pub(super) clock: Clock,
    /// Connections that are open, for those who watch.
    pub(super) open: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Connections are opened.
    Opening,
    /// They wait for the measured time.
    Ready,
    /// Messages are sent.
    Running,
    /// Those under way are waited for.
    Finishing,
    /// All are answered, and whatever still comes is too much.
    Listening,
    Over,
}

/// A place for a connection.
struct Place {
    link: Link,
    id: Option<ConnId>,
    /// It was aborted from here.
    is_closing: bool,
    /// Since when it has said all, and waits for the server to close it too.
    finished: Option<u64>,
}

/// A connection that is being opened.
struct Dial {
    place: usize,
    since: u64,
}

pub(super) struct Driver {
    common: Arc<Common>,
    share: Share,
    to_conductor: Sender<Event>,
    phase: Phase,
    /// The active ones come first.
    places: Vec<Place>,
    active: usize,
    dials: HashMap<ConnId, Dial>,
    /// How many were begun, all together and in the ramp.
    dialled: u64,
    ramped: u32,
    open: u64,
    active_open: usize,
    under_way: u64,
    /// When the ramp, and later the measured time, began and ends.
    start: u64,
    end: u64,
    /// Who has a time to send.
    due: Option<Due>,
    /// How many of a closed loop's first messages were sent.
    first_sent: u64,
    /// When it was looked whether messages have waited too long.
    scanned: Option<u64>,
    /// Who echoes next after an idle time.
    next_echo: usize,
    /// The second that is counted, and when it is over.
    second: u64,
    second_ends: u64,
    latencies: Box<Latencies>,
    lateness: Latencies,
    tally: Tally,
    /// A message that is put together outside of its connection's callbacks.
    scratch: Vec<u8>,
}

impl Driver {
    pub(super) fn new(common: Arc<Common>, share: Share, to_conductor: Sender<Event>) -> Self {
        let place =
            |number| Place { link: Link::new(number), id: None, is_closing: false, finished: None };
        let places: Vec<_> = share.numbers(common.plan.connections).map(place).collect();
        let active = share.part(common.plan.active) as usize;
        Self {
            share,
            to_conductor,
            phase: Phase::Opening,
            places,
            active,
            dials: HashMap::new(),
            dialled: 0,
            ramped: 0,
            open: 0,
            active_open: 0,
            under_way: 0,
            start: common.clock.now(),
            end: u64::MAX,
            due: None,
            first_sent: 0,
            scanned: None,
            next_echo: 0,
            second: 0,
            second_ends: u64::MAX,
            latencies: Box::new(Latencies::new()),
            lateness: Latencies::new(),
            tally: Tally::default(),
            scratch: Vec::new(),
            common,
        }
    }

    /// The part of a schedule that this thread keeps.
    pub(super) fn due(common: &Common, share: Share) -> Option<Due> {
        let schedule = common.plan.schedule()?;
        let numbers = share.numbers(common.plan.active).map(u64::from).collect();
        Some(Due::new(schedule, numbers))
    }

    fn load(&self) -> Load {
        self.common.plan.load
    }

    fn tell(&self, event: Event) {
        let _ = self.to_conductor.send(event); // a conductor that is gone has given up
    }

    /// The measured time begins: at `start`, for all threads.
    pub(super) fn begin(&mut self, reactor: &mut Context<'_>, start: u64) {
        if self.phase != Phase::Ready {
            return; // it was ended already
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
        self.finish_if_nobody_is_left();
    }

    /// Brings as many messages under way on each connection as are to be.
    fn send_first(&mut self, reactor: &mut Context<'_>, pipeline: u32) {
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

    /// Sends what is due, as much of it as may be sent at once. Returns whether that was all.
    ///
    /// What is left keeps its time, and counts as late. The next call comes when another message is due, or at the
    /// end.
    pub(super) fn send_due(&mut self, reactor: &mut Context<'_>) -> bool {
        if self.phase != Phase::Running {
            return true;
        }
        let began = self.common.clock.now();
        // What is due at the end is not of this run.
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

    /// Has as many connections echo as may at once, after an idle time.
    fn echo(&mut self, reactor: &mut Context<'_>) {
        while self.under_way < u64::from(ECHOES_AT_ONCE) && self.echo_next(reactor) {}
    }

    /// Has the next connection echo, after an idle time. Returns whether there is one.
    fn echo_next(&mut self, reactor: &mut Context<'_>) -> bool {
        while self.next_echo < self.places.len() {
            self.next_echo += 1;
            let now = self.common.clock.now();
            if self.send(reactor, self.next_echo - 1, now, now) {
                return true;
            }
        }
        false
    }

    /// Returns whether there is a connection to send on.
    fn send(&mut self, reactor: &mut Context<'_>, place: usize, due: u64, now: u64) -> bool {
        let Place { link, id, .. } = &mut self.places[place];
        let Some(id) = *id else { return false };
        let message = link.next(&self.common.content, due, now);
        self.scratch.clear();
        message.pieces().iter().for_each(|piece| self.scratch.extend_from_slice(piece));
        self.under_way += 1;
        // If it is about to end, its `on_close` follows, and finds this message unanswered.
        if let Some(mut conn) = reactor.get(id) {
            conn.send(&self.scratch);
        }
        true
    }
}

impl Handler for Driver {
    /// Its place.
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
        let dial = self.dials.remove(&conn.id()).ok_or("nobody has asked for it")?;
        self.tally.opened += 1;
        self.count_open(dial.place);
        let place = &mut self.places[dial.place];
        place.id = Some(conn.id());
        (place.is_closing, place.finished) = (false, None);
        if self.common.plan.load == Load::Churn && self.phase != Phase::Over {
            self.under_way += 1;
            let message = place.link.next(&self.common.content, dial.since, dial.since);
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
        self.tally.error(Trouble::Connect, &kind_of_failure(reason), 1);
        if self.churns() {
            reactor.set_timer(RETRY_AFTER, TimerKey(RETRY + dial.place as u64));
        }
        self.see_whether_ready();
        self.finish_if_nobody_is_left();
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
            self.lose(&kind_of_loss(reason));
        }
        self.give_up(&mut conn.reactor(), place, "its connection was lost");
        if self.load() == Load::Idle && self.phase == Phase::Finishing {
            self.echo(&mut conn.reactor());
        }
        if self.churns() {
            self.dial(&mut conn.reactor(), place);
        }
        self.finish_if_nobody_is_left();
        self.finish_if_done(&mut conn.reactor());
    }
}
