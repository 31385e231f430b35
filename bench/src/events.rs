//! The messages of the threads to the coordinator.

use super::latency::Latencies;
use super::share::Share;
use super::tally::Tally;

#[derive(Debug)]
pub(super) enum Event {
    /// Each connection of a thread is open or has failed. `open` are open.
    Ready { open: u64 },
    /// A second of the measured time is over.
    Second { second: u64, latencies: Box<Latencies> },
    /// A thread has done its part of the load.
    Ended(Box<Ended>),
    /// A reactor has failed.
    Failed(String),
    /// The run is ended from another thread.
    Interrupted,
}

#[derive(Debug)]
pub(super) struct Ended {
    pub(super) tally: Tally,
    /// How late the messages of an open loop were sent.
    pub(super) lateness: Latencies,
    /// When the measured time ended, on the clock of the run.
    pub(super) at: u64,
    /// How many seconds the thread has reported.
    pub(super) seconds: u64,
    /// No connection was left, or the run was interrupted.
    pub(super) ended_early: bool,
    pub(super) share: Share,
}
