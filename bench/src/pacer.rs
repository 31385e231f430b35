//! Wakes a reactor when messages are due.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use readyloop::{Context, Handle};

use super::clock::Clock;
use super::driver::Driver;
use super::schedule::Due;

/// The longest sleep: then the pacer checks whether the run has ended early.
const NAP: Duration = Duration::from_millis(50);

/// A thread that sleeps until the next message is due, and then wakes the reactor.
///
/// A reactor's timers have a resolution of two milliseconds, which is more than most answers take. This thread is late
/// by the time that the kernel needs to wake two threads. Meanwhile the reactor reads answers.
pub(super) struct Pacer {
    pub(super) handle: Handle,
    pub(super) clock: Clock,
    pub(super) due: Due,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) is_over: Arc<AtomicBool>,
}

impl Pacer {
    /// Returns at the end of the measured time, or when the run is over.
    pub(super) fn run(mut self) {
        // The kernel would join this thread's wake-ups with others that come up to 50 µs later (prctl(2),
        // PR_SET_TIMERSLACK). If the kernel refuses, the messages are later, and the report shows how late.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let is_posted = Arc::new(AtomicBool::new(false));
        while let Some(due) = self.due.next() {
            let at = self.start.saturating_add(due);
            if at >= self.end || !self.sleep_until(at) {
                return;
            }
            // One closure sends all messages that are due by now. If they are too many for one turn, the next closure
            // sends the rest.
            self.due.skip(self.clock.now().saturating_sub(self.start));
            if !is_posted.swap(true, Ordering::AcqRel) && !self.post(&is_posted) {
                return;
            }
        }
    }

    /// Returns whether the run goes on.
    fn sleep_until(&self, time: u64) -> bool {
        loop {
            if self.is_over.load(Ordering::Acquire) {
                return false;
            }
            match self.clock.until(time) {
                Duration::ZERO => return true,
                left => thread::sleep(left.min(NAP)),
            }
        }
    }

    /// Returns false if the reactor has stopped.
    fn post(&self, is_posted: &Arc<AtomicBool>) -> bool {
        let is_posted = Arc::clone(is_posted);
        let send = move |reactor: &mut Context<'_>| {
            // Cleared before `send_due` reads the clock: a message that is due later gets another closure.
            is_posted.store(false, Ordering::Release);
            reactor.with_handler(|driver: &mut Driver, reactor| driver.send_due(reactor));
        };
        self.handle.post(0, send).is_ok()
    }
}
