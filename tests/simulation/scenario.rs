//! What happens in a run: what peers do, how the handler reacts, and what the network is like.

use std::time::Duration;

use proptest::prelude::*;
use readyloop::sim::{Faults, Reading, Rng};
use readyloop::{Budgets, Config, Overflow};

/// A run, whole. The same scenario goes the same way.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    /// How many serve together.
    pub(crate) reactors: usize,
    pub(crate) limits: Limits,
    /// Whether anything goes wrong but what the script says.
    pub(crate) faults: bool,
    pub(crate) script: Vec<Step>,
    /// What the handler does, call by call, over and over.
    pub(crate) reactions: Vec<Reaction>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_input: usize,
    pub(crate) high_water: usize,
    pub(crate) low_water: usize,
    pub(crate) queue_limit: usize,
    pub(crate) read_budget: usize,
    pub(crate) accept_budget: usize,
    pub(crate) linger: Duration,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) write: Option<Duration>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) write_budget: usize,
    pub(crate) call_budget: usize,
    pub(crate) timer_budget: usize,
    pub(crate) queue_budget: usize,
    pub(crate) message_budget: usize,
    pub(crate) mailbox_limit: usize,
    pub(crate) drain_quiet: Duration,
    pub(crate) connections: usize,
    pub(crate) when_full: WhenFull,
    pub(crate) per_ip: Option<u32>,
    pub(crate) rate: Option<(u32, u32)>,
    pub(crate) backlog: u32,
    /// No connection is sent more than this by the handler's own doing, so that every run ends.
    pub(crate) enough: usize,
    pub(crate) overrides: Overrides,
}

/// What the second listener overrides. Its connections are the tagged ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overrides {
    max_input: Option<usize>,
    /// High water, low water and the queue limit.
    marks: Option<(usize, usize, usize)>,
    linger: Option<Duration>,
    first_byte: Option<Option<Duration>>,
    idle: Option<Option<Duration>>,
    write: Option<Option<Duration>>,
    max_age: Option<Option<Duration>>,
    pub(crate) connections: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    Wait,
    Reject,
    Evict,
}

impl Limits {
    pub(crate) fn config(&self) -> Config {
        let overflow = match self.when_full {
            WhenFull::Wait => Overflow::Wait,
            WhenFull::Reject => Overflow::Reject { last_words: Vec::new() },
            WhenFull::Evict => Overflow::EvictIdlest,
        };
        let config = match self.rate {
            Some((per_second, burst)) => Config::new().accept_rate(per_second, burst),
            None => Config::new(),
        };
        config
            .max_connections(self.connections)
            .overflow(overflow)
            .max_per_ip(self.per_ip)
            .max_input(self.max_input)
            .high_water(self.high_water)
            .low_water(self.low_water)
            .queue_limit(self.queue_limit)
            .budgets(Budgets {
                read: self.read_budget,
                write: self.write_budget,
                calls: self.call_budget,
                accepts: self.accept_budget,
                timers: self.timer_budget,
                messages: self.message_budget,
                ..Budgets::default()
            })
            .linger_timeout(self.linger)
            .first_byte_timeout(self.first_byte)
            .idle_timeout(self.idle)
            .write_timeout(self.write)
            .max_age(self.max_age)
            .queue_budget(self.queue_budget)
            .mailbox_limit(self.mailbox_limit)
            .drain_quiet(self.drain_quiet)
    }

    /// Those of the connections that came by a listener with this tag.
    pub(crate) fn of(&self, tag: u64) -> Self {
        if tag == 0 {
            return *self;
        }
        let marks = (self.high_water, self.low_water, self.queue_limit);
        let (high_water, low_water, queue_limit) = self.overrides.marks.unwrap_or(marks);
        Self {
            max_input: self.overrides.max_input.unwrap_or(self.max_input),
            high_water,
            low_water,
            queue_limit,
            linger: self.overrides.linger.unwrap_or(self.linger),
            first_byte: self.overrides.first_byte.unwrap_or(self.first_byte),
            idle: self.overrides.idle.unwrap_or(self.idle),
            write: self.overrides.write.unwrap_or(self.write),
            max_age: self.overrides.max_age.unwrap_or(self.max_age),
            ..*self
        }
    }

    /// A peer that takes nothing for so long is cut off when the memory budget is used up and others wait.
    pub(crate) fn stall(&self) -> Duration {
        self.write.map_or(Duration::MAX, |write| write / 4).min(Duration::from_secs(15))
    }

    /// All deadlines that do not wait for others have passed after this.
    pub(crate) fn longest(&self) -> Duration {
        let times = |tag| self.of(tag).longest_of_one();
        times(0).max(times(1))
    }

    fn longest_of_one(&self) -> Duration {
        let times = [self.first_byte, self.idle, self.write, self.max_age];
        let always = [self.linger, self.stall()];
        times.into_iter().flatten().chain(always).max().unwrap_or_default()
    }
}

/// What a peer does, or the test. Peers are counted round the number that have dialled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// From one of a few addresses.
    Dial {
        ip: u8,
    },
    Send {
        peer: usize,
        bytes: usize,
    },
    Finish {
        peer: usize,
    },
    Close {
        peer: usize,
    },
    Reset {
        peer: usize,
    },
    Vanish {
        peer: usize,
    },
    Read {
        peer: usize,
        how: Reading,
    },
    Run {
        micros: u64,
    },
    /// Other deadlines and budgets, as this seed says.
    Reconfigure {
        seed: u64,
    },
    BreakListener,
    /// The second listener is closed, and perhaps its address is listened on again.
    CloseListener {
        again: bool,
    },
    /// From now on every `accept` fails with this error number.
    FailAccepts {
        error: i32,
    },
    StopFromOutside,
    /// An outbound connection is opened, outside of all callbacks.
    Connect {
        seed: u64,
    },
    /// Another thread has a closure run for a connection.
    Post {
        conn: usize,
    },
    Suspend {
        close: bool,
    },
    Resume,
    Drain {
        millis: u64,
    },
    /// Another handler takes over, or its migration panics.
    Replace {
        panics: bool,
    },
}

/// What the handler does in one call, as far as that call can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    Echo,
    /// Takes and echoes at most so much: as a handler does that sees one message at a time.
    EchoSome(usize),
    Take(usize),
    Leave,
    Send(usize),
    TrySend(usize),
    Close,
    /// Whether it is read from above high water, too.
    ReadAbove(bool),
    /// Half-closes: sends no more, and goes on hearing.
    Finish,
    FinishOther {
        other: usize,
    },
    SendAndClose(usize),
    /// Sends until it is above high water, as the docs of `is_above_high_water` show.
    Produce,
    Abort,
    Fail,
    Panic,
    PanicInDrop,
    SendToOther {
        other: usize,
        bytes: usize,
    },
    CloseOther {
        other: usize,
    },
    /// Opens an outbound connection, to addresses and in a time that this seed says.
    Connect {
        seed: u64,
    },
    /// Gives up one that is being opened, or closes it.
    CloseDialled {
        other: usize,
    },
    AbortOther {
        other: usize,
    },
    Broadcast(usize),
    /// Sends one shared body, of so many bytes more than the largest that is copied, to itself and to all others.
    Share(usize),
    Pause,
    Resume,
    ResumeFor(u16),
    PauseOther {
        other: usize,
    },
    ResumeOther {
        other: usize,
        calls: Option<u16>,
    },
    SetTimer {
        key: u64,
        millis: u64,
    },
    CancelTimer {
        key: u64,
    },
    SetTimerOf {
        other: usize,
        key: u64,
        millis: u64,
    },
    /// A timer of the reactor itself.
    SetTick {
        key: u64,
        millis: u64,
    },
    Stop,
}

impl Scenario {
    /// The scenario of a seed.
    pub(crate) fn draw(seed: u64) -> Self {
        let rng = &mut Rng::new(seed ^ 0x5ce4_a710);
        let steps = 3 + rng.size_below(40);
        let mild = rng.below(3) == 0;
        let scenario = Self {
            seed,
            reactors: one_of(&mut Rng::new(seed ^ 0x7ea3), &[1, 1, 1, 2, 3]),
            limits: Limits::draw(rng)
                .with_messages(&mut Rng::new(seed ^ 0x3e55))
                .with_overrides(&mut Rng::new(seed ^ 0x7a65)),
            faults: rng.below(10) != 0,
            script: std::iter::once(Step::Dial { ip: 0 })
                .chain((0..steps).map(|_| Step::draw(rng)))
                .collect(),
            reactions: (0..=rng.size_below(12)).map(|_| Reaction::draw(rng, mild)).collect(),
        };
        if rng.below(50) == 0 { scenario.enlarged() } else { scenario }
    }

    /// The same with a hundred times the bytes: more than one read takes, more pieces than one write.
    fn enlarged(mut self) -> Self {
        for step in &mut self.script {
            if let Step::Send { bytes, .. } = step {
                *bytes *= 100;
            }
        }
        for reaction in &mut self.reactions {
            if let Reaction::Send(bytes)
            | Reaction::TrySend(bytes)
            | Reaction::Broadcast(bytes)
            | Reaction::Share(bytes)
            | Reaction::SendToOther { bytes, .. } = reaction
            {
                *bytes *= 100;
            }
        }
        // Or it would take a turn for every other byte.
        self.limits.high_water = self.limits.high_water.max(20_000);
        self.limits.queue_limit += 2_000_000;
        self.limits.queue_budget += 2_000_000;
        self.limits.write_budget = self.limits.write_budget.max(1_000);
        self.limits.enough = 2_000_000;
        self.limits.overrides.marks = None;
        self
    }

    /// The scenario of a script of bytes: eleven for the whole, then two a step or a reaction. A change
    /// of one byte changes one thing, so that a fuzzer can find its way.
    pub(crate) fn from_bytes(script: &[u8]) -> Option<Self> {
        let (head, rest) = script.split_first_chunk::<11>()?;
        let (seed, [limits, faults, reactions]) =
            (head.first_chunk::<8>()?, [head[8], head[9], head[10]]);
        let mut draws = rest
            .chunks_exact(2)
            .map(|pair| Rng::new(u64::from(u16::from_le_bytes([pair[0], pair[1]]))));
        let reactions = 1 + usize::from(reactions % 12);
        Some(Self {
            seed: u64::from_le_bytes(*seed),
            reactors: 1 + usize::from(faults / 4 % 4 == 0),
            limits: Limits::draw(&mut Rng::new(u64::from(limits)))
                .with_messages(&mut Rng::new(u64::from(limits)))
                .with_overrides(&mut Rng::new(u64::from(limits))),
            faults: faults % 4 != 0,
            reactions: draws
                .by_ref()
                .take(reactions)
                .map(|mut rng| Reaction::draw(&mut rng, false))
                .collect(),
            script: std::iter::once(Step::Dial { ip: 0 })
                .chain(draws.take(60).map(|mut rng| Step::draw(&mut rng)))
                .collect(),
        })
        .filter(|scenario: &Self| !scenario.reactions.is_empty())
    }

    pub(crate) fn network(&self) -> Faults {
        let mut faults =
            if self.faults { Faults::swarm(&mut Rng::new(self.seed)) } else { Faults::none() };
        if self.limits.enough > 100_000 {
            // So much a byte at a time would take too long.
            (faults.tiny_segments, faults.buffer) = (false, faults.buffer.max(200_000));
        }
        faults
    }

    /// Scenarios that proptest can make shorter.
    pub(crate) fn strategy() -> impl Strategy<Value = Self> {
        let from_seed = |draw: fn(&mut Rng) -> Step| {
            any::<u64>().prop_map(move |seed| draw(&mut Rng::new(seed)))
        };
        let reaction = any::<u64>().prop_map(|seed| Reaction::draw(&mut Rng::new(seed), false));
        (
            any::<u64>(),
            1..3usize,
            any::<u64>().prop_map(|seed| {
                let rng = &mut Rng::new(seed);
                Limits::draw(rng).with_messages(rng).with_overrides(rng)
            }),
            any::<bool>(),
            prop::collection::vec(from_seed(Step::draw), 0..40),
            prop::collection::vec(reaction, 1..12),
        )
            .prop_map(|(seed, reactors, limits, faults, mut script, reactions)| {
                script.insert(0, Step::Dial { ip: 0 });
                Self { seed, reactors, limits, faults, script, reactions }
            })
    }
}

fn one_of(rng: &mut Rng, sizes: &[usize]) -> usize {
    sizes[rng.size_below(sizes.len())]
}

/// Mostly none, or up to so many milliseconds.
fn seldom(rng: &mut Rng, most: u64) -> Option<Duration> {
    let time = Duration::from_millis(1 + rng.below(most));
    (rng.below(4) == 0).then_some(time)
}

/// Mostly small, at times large.
fn size(rng: &mut Rng) -> usize {
    let most = one_of(rng, &[2, 10, 50, 50, 300, 3_000]);
    1 + rng.size_below(most)
}

impl Limits {
    fn draw(rng: &mut Rng) -> Self {
        let high_water = one_of(rng, &[1, 20, 100, 1_000, 65_536]);
        Self {
            max_input: one_of(rng, &[1, 20, 200, 2_000, 65_536]),
            high_water,
            low_water: rng.size_below(high_water + 1),
            queue_limit: high_water + one_of(rng, &[0, 100, 4_000, 1_000_000]),
            read_budget: one_of(rng, &[1, 50, 65_536]),
            accept_budget: one_of(rng, &[1, 2, 32]),
            linger: Duration::from_millis(1 + rng.below(5_000)),
            first_byte: seldom(rng, 2_000),
            idle: seldom(rng, 20_000),
            write: seldom(rng, 20_000),
            max_age: seldom(rng, 60_000),
            write_budget: one_of(rng, &[1, 50, 262_144]),
            call_budget: one_of(rng, &[1, 2, 64]),
            timer_budget: one_of(rng, &[1, 2, 256]),
            queue_budget: one_of(rng, &[1, 200, 5_000, 1 << 28, 1 << 28, 1 << 28]),
            message_budget: 256,
            mailbox_limit: 1 << 14,
            drain_quiet: Duration::from_millis(250),
            connections: one_of(rng, &[1, 2, 3, 100, 100]),
            when_full: [WhenFull::Wait, WhenFull::Reject, WhenFull::Evict][rng.size_below(3)],
            per_ip: [None, None, Some(1), Some(2)][rng.size_below(4)],
            rate: [None, None, Some((2, 2))][rng.size_below(3)],
            backlog: [1, 2, 1_024][rng.size_below(3)],
            enough: 20_000,
            overrides: Overrides::NONE,
        }
    }

    fn with_overrides(self, rng: &mut Rng) -> Self {
        let high_water = one_of(rng, &[1, 50, 500, 65_536]);
        let low_water = rng.size_below(high_water + 1);
        let marks = (high_water, low_water, high_water + one_of(rng, &[0, 1_000, 1_000_000]));
        let max_input = one_of(rng, &[1, 100, 65_536]);
        let linger = Duration::from_millis(1 + rng.below(5_000));
        let times = [2_000, 20_000, 20_000, 60_000].map(|most| seldom(rng, most));
        let [first_byte, idle, write, max_age] = times;
        let overrides = Overrides {
            max_input: (rng.below(2) == 0).then_some(max_input),
            marks: (rng.below(2) == 0).then_some(marks),
            linger: (rng.below(2) == 0).then_some(linger),
            first_byte: (rng.below(2) == 0).then_some(first_byte),
            idle: (rng.below(2) == 0).then_some(idle),
            write: (rng.below(2) == 0).then_some(write),
            max_age: (rng.below(2) == 0).then_some(max_age),
            connections: [None, None, Some(1), Some(2)][rng.size_below(4)],
        };
        Self { overrides, ..self }
    }

    /// What other threads do to the reactor.
    fn with_messages(self, rng: &mut Rng) -> Self {
        Self {
            message_budget: one_of(rng, &[1, 3, 256]),
            mailbox_limit: one_of(rng, &[1, 2, 100]),
            drain_quiet: Duration::from_millis(rng.below(2_000)),
            ..self
        }
    }

    /// The same bounds, other deadlines and budgets.
    pub(crate) fn changed(&self, seed: u64) -> Self {
        let other = Self::draw(&mut Rng::new(seed));
        Self {
            max_input: self.max_input,
            high_water: self.high_water,
            low_water: self.low_water,
            queue_limit: self.queue_limit,
            write_budget: self.write_budget.max(other.write_budget),
            queue_budget: self.queue_budget.max(other.queue_budget),
            connections: self.connections,
            when_full: self.when_full,
            per_ip: self.per_ip,
            rate: self.rate,
            backlog: self.backlog,
            enough: self.enough,
            message_budget: self.message_budget,
            mailbox_limit: self.mailbox_limit,
            drain_quiet: self.drain_quiet,
            overrides: self.overrides,
            ..other
        }
    }
}

impl Overrides {
    const NONE: Self = Self {
        max_input: None,
        marks: None,
        linger: None,
        first_byte: None,
        idle: None,
        write: None,
        max_age: None,
        connections: None,
    };

    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new();
        if let Some(bytes) = self.max_input {
            config = config.max_input(bytes);
        }
        if let Some((high, low, limit)) = self.marks {
            config = config.high_water(high).low_water(low).queue_limit(limit);
        }
        if let Some(time) = self.linger {
            config = config.linger_timeout(time);
        }
        if let Some(time) = self.first_byte {
            config = config.first_byte_timeout(time);
        }
        if let Some(time) = self.idle {
            config = config.idle_timeout(time);
        }
        if let Some(time) = self.write {
            config = config.write_timeout(time);
        }
        if let Some(time) = self.max_age {
            config = config.max_age(time);
        }
        if let Some(most) = self.connections {
            config = config.max_connections(most);
        }
        config
    }
}

/// EPERM, ENOMEM, EMFILE, EPROTO, ECONNABORTED, and a number that does not exist.
const ACCEPT_ERRORS: [i32; 6] = [1, 12, 24, 71, 103, 4_000];

impl Step {
    fn draw(rng: &mut Rng) -> Self {
        let peer = rng.size_below(8);
        match rng.below(100) {
            0..12 => Self::Dial { ip: peer as u8 % 4 },
            12..42 => Self::Send { peer, bytes: size(rng) },
            42..50 => Self::Finish { peer },
            50..53 => Self::Close { peer },
            53..57 => Self::Reset { peer },
            57..59 => Self::Vanish { peer },
            59..69 => {
                let every = Duration::from_millis(1 + rng.below(1_000));
                let slowly = Reading::Slowly { bytes: size(rng), every };
                Self::Read {
                    peer,
                    how: [Reading::AtOnce, Reading::Never, slowly][rng.size_below(3)],
                }
            }
            69..74 => match rng.below(10) {
                0 | 1 => Self::Suspend { close: rng.below(2) == 0 },
                2 | 3 => Self::Resume,
                4 => Self::Drain { millis: rng.below(20_000) },
                5 => Self::Replace { panics: rng.below(3) == 0 },
                6 => Self::Connect { seed: rng.below(1 << 16) },
                7 => Self::CloseListener { again: peer != 0 },
                _ => Self::Post { conn: peer },
            },
            74..97 => {
                let most = [100, 10_000, 3_000_000][rng.size_below(3)];
                Self::Run { micros: 1 + rng.below(most) }
            }
            97 => Self::Reconfigure { seed: rng.below(u64::MAX) },
            98 => Self::StopFromOutside,
            _ if rng.below(2) == 0 => Self::BreakListener,
            _ => Self::FailAccepts { error: ACCEPT_ERRORS[rng.size_below(ACCEPT_ERRORS.len())] },
        }
    }
}

impl Reaction {
    fn draw(rng: &mut Rng, mild: bool) -> Self {
        let other = rng.size_below(8);
        match rng.below(if mild { 70 } else { 101 }) {
            0..25 => Self::Echo,
            25..40 => Self::EchoSome(size(rng)),
            40..50 => Self::Take(size(rng)),
            50 => Self::Leave,
            51 => Self::Connect { seed: rng.below(1 << 16) },
            52 => Self::SetTimer { key: rng.below(3), millis: rng.below(300) },
            53..60 => Self::Send(size(rng)),
            60..64 => Self::TrySend(size(rng)),
            64..67 => Self::Produce,
            67..69 => Self::Broadcast(size(rng)),
            69 => Self::Share(size(rng)),
            70 => Self::Finish,
            71..74 => Self::Close,
            74..78 => Self::SendAndClose(size(rng)),
            78..80 => Self::Abort,
            80..83 => Self::Fail,
            83..86 => Self::Panic,
            86..88 => Self::PanicInDrop,
            88..93 => Self::SendToOther { other, bytes: size(rng) },
            93 => Self::FinishOther { other },
            94 => Self::ReadAbove(rng.below(4) != 0),
            95 => Self::CloseOther { other },
            96..98 => Self::AbortOther { other },
            98 => match rng.below(9) {
                4 | 5 => Self::SetTimer { key: rng.below(3), millis: rng.below(5_000) },
                6 => Self::CancelTimer { key: rng.below(3) },
                7 => Self::SetTimerOf { other, key: rng.below(3), millis: rng.below(5_000) },
                8 => Self::SetTick { key: rng.below(3), millis: rng.below(5_000) },
                0 => Self::Pause,
                1 => Self::Resume,
                2 => Self::ResumeFor(rng.below(4) as u16),
                3 => Self::PauseOther { other },
                _ => {
                    Self::ResumeOther { other, calls: [None, Some(1), Some(3)][rng.size_below(3)] }
                }
            },
            99 => Self::Stop,
            _ => Self::CloseDialled { other },
        }
    }
}
