//! The handler behind the load: one for each thread.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use readyloop::{
    BoxError, CloseReason, Conn, ConnId, ConnectOptions, Context, Handler, Input, TimerKey,
};

use super::clock::{Clock, nanoseconds};
use super::content::Content;
use super::events::{Ended, Event};
use super::latency::Latencies;
use super::link::{Answer, Link};
use super::plan::{Load, Plan};
use super::schedule::Due;
use super::share::Share;
use super::sources::Sources;
use super::tally::Tally;
use super::trouble::{self, Trouble};

const RAMP: TimerKey = TimerKey(0);
const SCAN: TimerKey = TimerKey(1);
const END: TimerKey = TimerKey(2);
/// And all above: the connection with this number, less this, is tried again.
const RETRY: u64 = 16;

/// As often as connections are opened in a ramp.
const RAMP_STEP: Duration = Duration::from_millis(5);

/// Where connections come and go, one that has failed is not tried again before: a server that refuses is not
/// to be flooded, and the bench not to spin.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// After an idle time, so many connections of a thread echo at once: enough to keep the server busy, and too
/// few to measure how long a queue is.
const ECHOES_AT_ONCE: usize = 64;

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
    Over,
}

/// A place for a connection.
struct Place {
    link: Link,
    id: Option<ConnId>,
    /// It was closed from here.
    is_closing: bool,
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
        let place = |number| Place { link: Link::new(number), id: None, is_closing: false };
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
        self.second_ends = start + SECOND;
        match self.load() {
            Load::Closed { pipeline } => self.send_first(reactor, pipeline),
            Load::Open { .. } => self.due = Self::due(&self.common, self.share),
            Load::Churn => self.ramp(reactor),
            Load::Idle => {
                self.phase = Phase::Finishing;
                for _ in 0..ECHOES_AT_ONCE {
                    self.echo_next(reactor);
                }
                return self.finish_if_done();
            }
        }
        reactor.set_timer(self.common.clock.until(self.end), END);
        self.finish_if_nobody_is_left();
    }

    fn send_first(&mut self, reactor: &mut Context<'_>, pipeline: u32) {
        for place in 0..self.active {
            for _ in 0..pipeline {
                self.send(reactor, place, self.common.clock.now());
            }
        }
    }

    /// Sends what is due.
    pub(super) fn send_due(&mut self, reactor: &mut Context<'_>) {
        if self.phase != Phase::Running {
            return;
        }
        let now = self.common.clock.now();
        // What is due at the end is not of this run.
        let until = now.min(self.end - 1).saturating_sub(self.start);
        while let Some((place, due)) = self.due.as_mut().and_then(|due| due.take(until)) {
            let since = self.start + due;
            self.lateness.record(now - since);
            if !self.send(reactor, place, since) {
                self.tally.unsent += 1;
            }
        }
    }

    /// Has the next connection echo, after an idle time. Returns whether there is one.
    fn echo_next(&mut self, reactor: &mut Context<'_>) -> bool {
        while self.next_echo < self.places.len() {
            self.next_echo += 1;
            if self.send(reactor, self.next_echo - 1, self.common.clock.now()) {
                return true;
            }
        }
        false
    }

    /// Returns whether there is a connection to send on.
    fn send(&mut self, reactor: &mut Context<'_>, place: usize, since: u64) -> bool {
        let Place { link, id, .. } = &mut self.places[place];
        let Some(id) = *id else { return false };
        let message = link.next(&self.common.content, since);
        self.scratch.clear();
        message.pieces().iter().for_each(|piece| self.scratch.extend_from_slice(piece));
        self.under_way += 1;
        // If it is about to end, its `on_close` follows, and finds this message unanswered.
        let _ = reactor.send(id, &self.scratch);
        true
    }

    /// Opens as many connections as there should be by now.
    fn ramp(&mut self, reactor: &mut Context<'_>) {
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

    fn dial(&mut self, reactor: &mut Context<'_>, place: usize) {
        let Common { plan, targets, sources, clock, .. } = &*self.common;
        let connection = self.dialled * u64::from(self.share.of) + u64::from(self.share.index);
        let source = sources.of(connection);
        let options = ConnectOptions::new().timeout(plan.connect_timeout).source(source);
        let since = clock.now();
        let id = reactor.connect(targets, &options);
        self.dialled += 1;
        self.dials.insert(id, Dial { place, since });
    }

    /// Whether another connection is to follow one that has ended.
    fn churns(&self) -> bool {
        self.load() == Load::Churn
            && self.phase == Phase::Running
            && self.common.clock.now() < self.end
    }

    fn see_whether_ready(&mut self) {
        let is_ready = self.ramped as usize == self.places.len() && self.dials.is_empty();
        if self.phase == Phase::Opening && is_ready {
            self.phase = Phase::Ready;
            self.tell(Event::Ready { open: self.open });
        }
    }

    fn count_open(&mut self, place: usize) {
        self.open += 1;
        self.active_open += usize::from(place < self.active);
        self.common.open.fetch_add(1, Ordering::Relaxed);
    }

    fn count_closed(&mut self, place: usize) {
        self.open -= 1;
        self.active_open -= usize::from(place < self.active);
        self.common.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Gives up messages that have waited too long, with their connections.
    fn scan(&mut self, reactor: &mut Context<'_>) {
        let timeout = nanoseconds(self.common.plan.timeout);
        let now = self.common.clock.now();
        for place in 0..self.active {
            let Place { link, id, is_closing } = &mut self.places[place];
            if link.oldest().is_some_and(|since| now.saturating_sub(since) >= timeout) {
                if let Some(id) = id {
                    *is_closing = true;
                    let _ = reactor.abort(*id); // it may have ended just now
                }
                let why = format!("no answer within {:?}", self.common.plan.timeout);
                self.give_up(reactor, place, &why);
            }
        }
    }

    /// What is under way there gets no whole answer any more.
    fn give_up(&mut self, reactor: &mut Context<'_>, place: usize, why: &str) {
        let lost = self.count_as_lost(place, why);
        if lost > 0 && self.load() == Load::Idle && self.phase == Phase::Finishing {
            // From a server that does not answer, it is not waited for one after the other.
            while self.echo_next(reactor) {}
        }
    }

    /// Returns how many were under way.
    fn count_as_lost(&mut self, place: usize, why: &str) -> u64 {
        let loss = self.places[place].link.give_up();
        let lost = loss.wrong + loss.unanswered;
        self.under_way -= lost;
        self.tally.wrong += loss.wrong;
        self.tally.unanswered += loss.unanswered;
        self.tally.error(Trouble::Message, "wrong answer", loss.wrong);
        self.tally.error(Trouble::Message, why, loss.unanswered);
        lost
    }

    /// Nothing more is sent.
    fn end_sending(&mut self, reactor: &mut Context<'_>) {
        self.send_due(reactor);
        if self.phase == Phase::Running {
            self.phase = Phase::Finishing;
            reactor.set_timer(self.common.plan.timeout, END);
            self.finish_if_done();
        }
    }

    fn finish_if_done(&mut self) {
        let is_done = match self.load() {
            Load::Churn => self.dials.is_empty() && self.open == 0,
            Load::Idle => self.under_way == 0 && self.next_echo == self.places.len(),
            Load::Closed { .. } | Load::Open { .. } => self.under_way == 0,
        };
        if self.phase == Phase::Finishing && is_done {
            self.finish();
        }
    }

    /// If there is nobody left to send, there is nothing to measure until the end.
    fn finish_if_nobody_is_left(&mut self) {
        let is_lost = match self.load() {
            Load::Closed { .. } | Load::Open { .. } => self.active_open == 0,
            Load::Churn => self.tally.opened == 0 && self.tally.failed >= self.places.len() as u64,
            Load::Idle => false, // each connection comes to its turn, or is passed over
        };
        if self.phase == Phase::Running && is_lost {
            self.finish();
        }
    }

    /// Ends this thread's part, whether it is done or not. Connections stay open.
    pub(super) fn finish(&mut self) {
        if self.phase == Phase::Over {
            return;
        }
        let was_measured = self.second_ends < u64::MAX;
        let now = self.common.clock.now();
        let ended_early = matches!(self.phase, Phase::Running);
        self.phase = Phase::Over;
        for place in 0..self.active {
            self.count_as_lost(place, "no answer by the end");
        }
        let not_open = self.dials.len() as u64;
        self.tally.failed += not_open;
        self.tally.error(Trouble::Connect, "not open by the end", not_open);
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
        self.tell(Event::Ended(Box::new(Ended { tally, lateness, at })));
    }

    /// Tells of the seconds that are over.
    fn roll(&mut self, now: u64) {
        while now >= self.second_ends {
            self.tell_second();
        }
    }

    fn tell_second(&mut self) {
        let latencies = std::mem::replace(&mut self.latencies, Box::new(Latencies::new()));
        self.tell(Event::Second { second: self.second, latencies });
        self.second += 1;
        self.second_ends += SECOND;
    }

    /// Takes what has come. Returns how many messages it completes.
    fn receive(&mut self, conn: &mut Conn<'_>, place: usize, bytes: &[u8], now: u64) -> u64 {
        let Self { common, places, tally, latencies, .. } = self;
        let Place { link, is_closing, .. } = &mut places[place];
        let before = link.under_way();
        tally.bytes += bytes.len() as u64;
        let (mut wrong, mut difference) = (0, None);
        let result = link.receive(
            &common.content,
            common.plan.verify,
            bytes,
            |answer| match answer {
                Answer::Right { since } => {
                    tally.messages += 1;
                    latencies.record(now.saturating_sub(since));
                }
                Answer::Wrong => wrong += 1,
            },
            |found| difference = difference.take().or(Some(found)),
        );
        let answered = (before - link.under_way()) as u64;
        if let Some(difference) = difference {
            tally.first_wrong.get_or_insert_with(|| difference.to_string());
        }
        if result.is_err() {
            tally.wrong += 1;
            tally.error(Trouble::Message, "more came back than was sent", 1);
            *is_closing = true;
            conn.abort();
        }
        tally.wrong += wrong;
        tally.error(Trouble::Message, "wrong answer", wrong);
        answered
    }

    /// Has the connection do what comes after so many answers.
    fn go_on(&mut self, conn: &mut Conn<'_>, place: usize, answered: u64, now: u64) {
        match self.load() {
            _ if self.places[place].is_closing => {}
            Load::Closed { .. } if self.phase == Phase::Running && now < self.end => {
                self.under_way += answered;
                for _ in 0..answered {
                    let message = self.places[place].link.next(&self.common.content, now);
                    message.pieces().into_iter().for_each(|piece| conn.send(piece));
                }
            }
            Load::Closed { .. } | Load::Open { .. } => {}
            Load::Churn => {
                self.places[place].is_closing = true;
                conn.close();
            }
            Load::Idle => {
                self.echo_next(&mut conn.others()); // one message was under way, and one answered
            }
        }
        self.finish_if_done();
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
                self.finish_if_done();
            }
            END if self.phase == Phase::Running => self.end_sending(reactor),
            END => self.finish(),
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
        place.is_closing = false;
        if self.common.plan.load == Load::Churn && self.phase != Phase::Over {
            self.under_way += 1;
            let message = place.link.next(&self.common.content, dial.since);
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
        self.finish_if_done();
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
        if !self.places[place].is_closing {
            self.tally.lost += 1;
            self.tally.error(Trouble::Loss, &kind_of_loss(reason), 1);
        }
        self.give_up(&mut conn.others(), place, "its connection was lost");
        if self.churns() {
            self.dial(&mut conn.others(), place);
        }
        self.finish_if_nobody_is_left();
        self.finish_if_done();
    }
}

/// So often it is looked whether messages have waited too long; also how much longer they may have.
fn scan_step(timeout: Duration) -> Duration {
    (timeout / 10).clamp(Duration::from_millis(10), Duration::from_millis(250))
}

fn kind_of_failure(reason: &CloseReason) -> String {
    match reason {
        CloseReason::NotConnected(error) => match error.attempts().last() {
            Some(attempt) => trouble::kind_of_attempt(attempt.step, &attempt.source),
            None => error.to_string(),
        },
        other => other.to_string(),
    }
}

fn kind_of_loss(reason: &CloseReason) -> String {
    match reason {
        CloseReason::PeerFinished => "closed by the server".to_owned(),
        CloseReason::Io(error) => trouble::kind(error),
        other => other.to_string(),
    }
}
