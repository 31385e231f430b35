//! The state of a driver: its connections, its part of the plan, its counts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Sender;

use readyloop::{ConnId, TimerKey};

use crate::clock::Clock;
use crate::content::Content;
use crate::echo_stream::EchoStream;
use crate::events::Event;
use crate::latency::Latencies;
use crate::plan::{Load, Plan};
use crate::schedule::Due;
use crate::share::Share;
use crate::sources::Sources;
use crate::tally::Tally;

pub(super) const RAMP: TimerKey = TimerKey(0);
pub(super) const SCAN: TimerKey = TimerKey(1);
pub(super) const END: TimerKey = TimerKey(2);
pub(super) const LISTENED: TimerKey = TimerKey(3);
/// Sends the messages that were too many for one turn.
pub(super) const MORE: TimerKey = TimerKey(4);
/// A key from here on retries a connection. The index of its place is the key less this number.
pub(super) const RETRY: u64 = 16;

/// How many connections of a thread echo at once after an idle time: enough to keep the server busy, too few for a
/// queue to dominate the latency.
pub(crate) const ECHOES_AT_ONCE: u32 = 64;

/// How long a thread sends in one turn, in nanoseconds. Then it reads answers and messages of the coordinator.
pub(super) const AT_ONCE: u64 = 5_000_000;

pub(super) const SECOND: u64 = 1_000_000_000;

/// The data that all threads share.
pub(crate) struct Common {
    pub(crate) plan: Plan,
    pub(crate) targets: Vec<SocketAddr>,
    pub(crate) sources: Sources,
    pub(crate) content: Content,
    pub(crate) clock: Clock,
    /// How many connections are open, for the progress line.
    pub(crate) open: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connections are opened.
    Opening,
    /// Connections are open, and wait for the measured time.
    Ready,
    /// Messages are sent.
    Running,
    /// Answers to the messages under way are awaited.
    Finishing,
    /// All messages are answered. Further bytes are an error.
    Listening,
    Over,
}

/// A place for a connection.
pub(super) struct Place {
    pub(super) stream: EchoStream,
    pub(super) id: Option<ConnId>,
    /// The driver has aborted the connection.
    pub(super) is_closing: bool,
    /// When this side sent its FIN. The server must close its side within the timeout.
    pub(super) finished: Option<u64>,
}

/// A connection that is being opened.
pub(super) struct Dial {
    pub(super) place: usize,
    pub(super) since: u64,
}

pub(crate) struct Driver {
    pub(super) common: Arc<Common>,
    pub(super) share: Share,
    pub(super) to_coordinator: Sender<Event>,
    pub(super) phase: Phase,
    /// The active places come first.
    pub(super) places: Vec<Place>,
    pub(super) active: usize,
    pub(super) dials: HashMap<ConnId, Dial>,
    /// How many connects have begun: all, and those of the ramp.
    pub(super) dialled: u64,
    pub(super) ramped: u32,
    pub(super) open: u64,
    pub(super) active_open: usize,
    pub(super) under_way: u64,
    /// When the ramp, and later the measured time, began and ends.
    pub(super) start: u64,
    pub(super) end: u64,
    /// When the messages of an open loop are due.
    pub(super) due: Option<Due>,
    /// How many of a closed loop's first messages were sent.
    pub(super) first_sent: u64,
    /// When timeouts were last checked.
    pub(super) scanned: Option<u64>,
    /// The place that echoes next after an idle time.
    pub(super) next_echo: usize,
    /// The second that is counted, and when it is over.
    pub(super) second: u64,
    pub(super) second_ends: u64,
    pub(super) latencies: Box<Latencies>,
    pub(super) lateness: Latencies,
    pub(super) tally: Tally,
    /// A buffer for a message that is sent outside of its connection's callbacks.
    pub(super) scratch: Vec<u8>,
}

impl Driver {
    pub(crate) fn new(common: Arc<Common>, share: Share, to_coordinator: Sender<Event>) -> Self {
        let place = |number| Place {
            stream: EchoStream::new(number),
            id: None,
            is_closing: false,
            finished: None,
        };
        let places: Vec<_> = share.numbers(common.plan.connections).map(place).collect();
        let active = share.part(common.plan.active) as usize;
        Self {
            share,
            to_coordinator,
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
    pub(crate) fn due(common: &Common, share: Share) -> Option<Due> {
        let schedule = common.plan.schedule()?;
        let numbers = share.numbers(common.plan.active).map(u64::from).collect();
        Some(Due::new(schedule, numbers))
    }

    pub(super) fn load(&self) -> Load {
        self.common.plan.load
    }

    pub(super) fn tell(&self, event: Event) {
        let _ = self.to_coordinator.send(event); // If the coordinator is gone, the run is over.
    }
}
