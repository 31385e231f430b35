//! A run from its beginning to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use readyloop::{Budgets, Config, Context, Handle, Reactor};

use super::clock::nanoseconds;
use super::driver::{Common, Driver, ECHOES_AT_ONCE};
use super::error::Error;
use super::events::{Ended, Event};
use super::latency::Latencies;
use super::pacer::Pacer;
use super::plan::{Load, Plan};
use super::progress::Progress;
use super::report::Outcome;
use super::series::{Second, Series};
use super::server_watch::ServerWatch;
use super::share::Share;
use super::tally::Tally;

/// The time between the last connection and the first message: the server may still be accepting.
const SETTLE: Duration = Duration::from_millis(200);

/// The interval at which the progress line changes.
const FRAME: Duration = Duration::from_millis(100);

/// How much longer than the timeouts a thread may take: the machine may be busy.
const GRACE: Duration = Duration::from_secs(60);

/// The limit of queued bytes. It is more than a closed loop has under way. An open loop whose server stalls does not
/// reach it soon.
const MOST_QUEUED: usize = 2 << 30;

pub(super) struct Coordinator {
    common: Arc<Common>,
    server: Option<ServerWatch>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    workers: Vec<Worker>,
    progress: Progress,
    series: Series,
    lateness: Latencies,
    tally: Tally,
    obstacles: Vec<String>,
    /// How many threads are not ready yet.
    preparing: usize,
    /// How many threads have not ended.
    running: usize,
    open: u64,
    start: Option<u64>,
    /// When the measured time ended for the last thread so far.
    ended: u64,
    /// Threads that ended before their time, as no connection was left, and when.
    ended_early: Vec<(Share, u64)>,
    is_over: Arc<AtomicBool>,
}

/// A thread and its reactor.
struct Worker {
    share: Share,
    handle: Handle,
    thread: JoinHandle<()>,
}

impl Coordinator {
    /// Prepares a run. Nothing is open yet. `sender` is the other end of `events`.
    ///
    /// # Errors
    /// The server's process cannot be read.
    pub(super) fn new(
        common: Common,
        (sender, events): (Sender<Event>, Receiver<Event>),
    ) -> Result<Self, Error> {
        let threads = common.plan.threads as usize;
        Ok(Self {
            server: common.plan.server_pid.map(ServerWatch::start).transpose()?,
            common: Arc::new(common),
            events,
            sender,
            workers: Vec::new(),
            progress: Progress::start(),
            series: Series::new(threads),
            lateness: Latencies::new(),
            tally: Tally::default(),
            obstacles: Vec::new(),
            preparing: threads,
            running: threads,
            open: 0,
            start: None,
            ended: 0,
            ended_early: Vec::new(),
            is_over: Arc::default(),
        })
    }

    /// Opens the connections, loads them, and returns the results.
    ///
    /// # Errors
    /// [`Error::System`] if a reactor or a thread cannot be made.
    pub(super) fn run(mut self) -> Result<Outcome, Error> {
        for index in 0..self.common.plan.threads {
            let worker = self.start_worker(Share { index, of: self.common.plan.threads })?;
            self.workers.push(worker);
        }
        self.drive();
        // A reactor that is stopped still runs the closures that were posted before.
        self.tell_all(|driver, _| driver.interrupt());
        self.is_over.store(true, Ordering::Release);
        for worker in self.workers.drain(..) {
            worker.handle.stop();
            if worker.thread.join().is_err() {
                self.obstacles.push("a thread of the bench has panicked".to_owned());
            }
        }
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
        }
        Ok(self.outcome())
    }

    fn start_worker(&self, share: Share) -> Result<Worker, Error> {
        let driver = Driver::new(Arc::clone(&self.common), share, self.sender.clone());
        let mut reactor = Reactor::new(config(self.common.plan.timeout), driver)
            .map_err(|error| Error::System(format!("a reactor could not be made: {error}")))?;
        let (handle, sender) = (reactor.handle(), self.sender.clone());
        let run = move || {
            if let Err(error) = reactor.run() {
                let _ = sender.send(Event::Failed(format!("a reactor has failed: {error}")));
            }
        };
        let thread = thread::Builder::new().name(format!("bench {}", share.index)).spawn(run);
        let thread = thread.map_err(|error| {
            Error::of_flag(
                format!("--threads {}", share.of),
                format!("a thread could not be started: {error}"),
            )
        })?;
        Ok(Worker { share, handle, thread })
    }

    fn drive(&mut self) {
        let plan = &self.common.plan;
        let (duration, load) = (plan.duration, plan.load);
        let ramp = Duration::from_secs(u64::from(plan.connections / plan.ramp));
        let opening = ramp + plan.connect_timeout + GRACE;
        if !self.wait(opening, |all| all.preparing == 0) {
            return;
        }
        if load != Load::Churn && self.open == 0 {
            return; // There is nothing to measure.
        }
        // All addresses of a name have the port that was typed behind it.
        let port = self.common.targets.first().map_or(0, SocketAddr::port);
        if !self.pause(SETTLE) || !self.watch(|server| server.check_port(port)) {
            return;
        }
        if load == Load::Idle && !self.pause(duration) {
            return;
        }
        self.watch(|server| server.begin(load));
        self.begin();
        let timeout = match load {
            // At worst each echo takes the whole timeout.
            Load::Idle => self.common.plan.timeout.saturating_mul(self.turns()),
            _ => duration.saturating_add(self.common.plan.timeout),
        };
        if self.wait(timeout.saturating_add(GRACE), |all| all.running == 0) {
            self.watch(|server| server.end(load));
        }
    }

    /// How many rounds of echoes a thread needs after an idle time.
    fn turns(&self) -> u32 {
        self.common.plan.connections.div_ceil(self.common.plan.threads).div_ceil(ECHOES_AT_ONCE)
    }

    /// Begins the measured time, at the same instant for all threads.
    fn begin(&mut self) {
        let start = self.common.clock.now();
        self.start = Some(start);
        let end = start.saturating_add(nanoseconds(self.common.plan.duration));
        self.tell_all(move |driver, context| driver.begin(context, start));
        for worker in &self.workers {
            let Some(due) = Driver::due(&self.common, worker.share) else { continue };
            let pacer = Pacer {
                handle: worker.handle.clone(),
                clock: self.common.clock,
                due,
                start,
                end,
                is_over: Arc::clone(&self.is_over),
            };
            let name = format!("pacer {}", worker.share.index);
            if let Err(error) = thread::Builder::new().name(name).spawn(move || pacer.run()) {
                self.obstacles.push(format!(
                    "the thread that paces the messages could not be started: {error}"
                ));
            }
        }
    }

    fn tell_all(&self, what: impl Fn(&mut Driver, &mut Context<'_>) + Clone + Send + 'static) {
        for worker in &self.workers {
            let what = what.clone();
            let post = move |reactor: &mut Context<'_>| {
                reactor.with_handler(what);
            };
            let _ = worker.handle.post(0, post); // A reactor that has failed has sent an event.
        }
    }

    /// Reads the server's process, if the plan names one. An error is an obstacle. Returns whether there was no error.
    fn watch(&mut self, read: impl FnOnce(&mut ServerWatch) -> Result<(), String>) -> bool {
        let result = self.server.as_mut().map_or(Ok(()), read);
        result.map_err(|problem| self.obstacles.push(problem)).is_ok()
    }

    /// Waits for this time. Returns whether the run goes on.
    fn pause(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if self.obstructed() || self.running == 0 {
                return false;
            }
            let open = self.common.open.load(Ordering::Relaxed);
            self.progress.holding(open, time.saturating_sub(left), time);
            self.take_one(left);
        }
        true
    }

    /// Waits until a condition holds. Returns whether the run goes on.
    fn wait(&mut self, timeout: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let give_up = Instant::now().checked_add(timeout);
        while !condition(self) {
            if self.obstructed() {
                return false;
            }
            let left = give_up.map_or(FRAME, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                self.obstacles.push("the bench itself did not finish in time".to_owned());
                return false;
            }
            self.show();
            self.take_one(left);
        }
        true
    }

    /// Whether the run has to end.
    fn obstructed(&self) -> bool {
        !self.obstacles.is_empty()
    }

    fn show(&self) {
        let plan = &self.common.plan;
        let open = self.common.open.load(Ordering::Relaxed);
        match self.start {
            None => self.progress.opening(open, plan.connections.into()),
            Some(start) => {
                let elapsed = self.common.clock.now().saturating_sub(start);
                let elapsed = Duration::from_nanos(elapsed);
                self.progress.running(open, elapsed, plan.duration, self.series.last());
            }
        }
    }

    /// Handles one event. Waits for it if there is none.
    fn take_one(&mut self, timeout: Duration) {
        let timeout = if self.progress.is_shown() { timeout.min(FRAME) } else { timeout };
        match self.events.recv_timeout(timeout) {
            Ok(event) => self.take(event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => unreachable!("a sender is kept here"),
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Ready { open } => {
                self.preparing -= 1;
                self.open += open;
            }
            Event::Second { second, latencies } => self.series.add(second, &latencies),
            Event::Ended(ended) => {
                let Ended { tally, lateness, at, seconds, ended_early, share } = *ended;
                self.running -= 1;
                self.series.end(seconds);
                self.tally.add(tally);
                self.lateness.add(&lateness);
                self.ended = self.ended.max(at);
                if ended_early && !self.obstructed() {
                    self.ended_early.push((share, at));
                }
            }
            Event::Failed(why) => self.obstacles.push(why),
            Event::Interrupted if self.running > 0 => self.obstacles.push(self.interrupted()),
            Event::Interrupted => {} // it is done already
        }
    }

    fn interrupted(&self) -> String {
        let duration = self.common.plan.duration;
        match self.start {
            None => "interrupted before the measured time began".to_owned(),
            Some(start) => {
                let after = Duration::from_nanos(self.common.clock.now().saturating_sub(start));
                format!("interrupted after {:.1} s of {duration:?}", after.as_secs_f64())
            }
        }
    }

    /// Counts the messages that were due on threads without connections, while others still had some.
    fn count_unsent(&mut self, start: u64) {
        let end = start.saturating_add(nanoseconds(self.common.plan.duration));
        let until = self.ended.min(end - 1).saturating_sub(start);
        for (share, left) in &self.ended_early {
            let Some(mut due) = Driver::due(&self.common, *share) else { return };
            due.skip(left.saturating_sub(start));
            self.tally.unsent += due.count_and_skip(until);
        }
    }

    /// With churn this happens only if no connection could be opened. That is a problem of its own.
    fn report_early_end(&mut self, measured: u64) {
        let Plan { duration, load, .. } = self.common.plan;
        let is_why = load != Load::Churn && !self.ended_early.is_empty() && !self.obstructed();
        if is_why && measured < nanoseconds(duration) {
            let after = Duration::from_nanos(measured).as_secs_f64();
            self.obstacles.push(format!(
                "ended after {after:.1} s of {duration:?}, as no connection was left"
            ));
        }
    }

    fn outcome(mut self) -> Outcome {
        let messages = self.tally.messages;
        self.watch(|server| server.check_activity(messages));
        if let Some(start) = self.start {
            self.count_unsent(start);
            self.report_early_end(self.ended.saturating_sub(start));
        }
        let (mut series, latencies) = self.series.finish();
        let measured = self.start.map_or(0, |start| self.ended.saturating_sub(start));
        // In these seconds the bench waited for answers that did not arrive.
        let is_after =
            |last: &mut Second| Duration::from_secs(last.second).as_nanos() >= measured.into();
        while series.pop_if(|last| last.messages == 0 && is_after(last)).is_some() {}
        Outcome {
            tally: self.tally,
            latencies,
            lateness: self.lateness,
            series,
            measured,
            obstacles: self.obstacles,
            server: self.server.map(ServerWatch::into_server),
        }
    }
}

/// A slow server is measured, not cut off. Answers are read however much is queued: otherwise each side could wait for
/// the other to read.
fn config(timeout: Duration) -> Config {
    Config::new()
        .high_water(MOST_QUEUED)
        .queue_limit(MOST_QUEUED)
        .queue_budget(MOST_QUEUED)
        .budgets(Budgets { connects: 256, ..Budgets::default() })
        .idle_timeout(None)
        .write_timeout(None)
        .linger_timeout(timeout)
        .slow_turn(None)
}
