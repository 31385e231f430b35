//! What the threads of a run tell its coordinator.

use super::latency::Latencies;
use super::share::Share;
use super::tally::Tally;

#[derive(Debug)]
pub(super) enum Event {
    /// Each of a thread's connections is open, or has failed; so many are open.
    Ready { open: u64 },
    /// A second of the measured time is over.
    Second { second: u64, latencies: Box<Latencies> },
    /// A thread has done its part of the load.
    Ended(Box<Ended>),
    /// A reactor has failed.
    Failed(String),
    /// SIGINT or SIGTERM.
    Interrupted,
}

#[derive(Debug)]
pub(super) struct Ended {
    pub(super) tally: Tally,
    /// How late messages were that had a time.
    pub(super) lateness: Latencies,
    /// When the measured time ended, on the clock of the run.
    pub(super) at: u64,
    /// Of how many seconds it has told.
    pub(super) seconds: u64,
    /// Nobody was left to send, or it was interrupted.
    pub(super) ended_early: bool,
    pub(super) share: Share,
}
