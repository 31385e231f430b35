//! The rows: what all peers go through.

/// One load, the same for all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) title: &'static str,
    pub(crate) load: Load,
    /// The servers are those with two threads, and two with one.
    pub(crate) is_double: bool,
    /// It is measured so many times as long. User time is told of such rows alone: the kernel samples it by its
    /// ticks, and there have to be many of them.
    pub(crate) longer: u32,
    /// System calls are counted too.
    pub(crate) is_traced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Closed loop: an answer brings the next message.
    Closed { connections: u32, active: u32, size: u32, pipeline: u32 },
    /// Open loop on 100 connections, 64 B each.
    Open(Share),
    /// 100 at a time connect, echo 64 B and close.
    Churn,
    /// All are open and idle, then each echoes once.
    Idle { connections: u32 },
}

impl Load {
    /// In bytes, with all that are sent at a time.
    pub(crate) fn largest_message(self) -> u32 {
        match self {
            Self::Closed { size, pipeline, .. } => size * pipeline,
            Self::Open(_) | Self::Churn | Self::Idle { .. } => 64,
        }
    }
}

/// Seven tenths of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    OfTheSlowest,
    OfItsOwn,
}

pub(crate) const ONE: &str = "1 connection, 64 B";
pub(crate) const ECHO: &str = "100 connections, 64 B";
pub(crate) const PIPELINE: &str = "100 connections, 64 B, pipeline 16";
pub(crate) const LARGE: &str = "100 connections, 64 KiB";
pub(crate) const MANY: [&str; 3] =
    ["1,000 connections, 64 B", "10,000 connections, 64 B", "19,000 connections, 64 B"];
pub(crate) const NEIGHBOURS: &str = "19,000 connections of which 100 active, 64 B";
pub(crate) const OPEN_SLOWEST: &str = "open loop at 70 % of the slowest's top rate";
pub(crate) const OPEN_OWN: &str = "open loop at 70 % of its own top rate";
pub(crate) const CHURN: &str = "connect, echo 64 B, close; 100 at a time";
pub(crate) const IDLE: &str = "19,000 idle connections";

pub(crate) fn rows() -> Vec<Row> {
    let all = |title, connections, size, pipeline| {
        let load = Load::Closed { connections, active: connections, size, pipeline };
        Row { title, load, is_double: false, longer: 1, is_traced: false }
    };
    let other = |title, load| Row { load, ..all(title, 0, 0, 0) };
    let neighbours = Load::Closed { connections: 19_000, active: 100, size: 64, pipeline: 1 };
    let double = |row: Row| Row { is_double: true, ..row };
    let traced = |row: Row| Row { is_traced: true, ..row };
    vec![
        all(ONE, 1, 64, 1),
        Row { longer: 6, ..traced(all(ECHO, 100, 64, 1)) },
        // These are compared with the row above, so they follow at once.
        other(NEIGHBOURS, neighbours),
        other(OPEN_SLOWEST, Load::Open(Share::OfTheSlowest)),
        other(OPEN_OWN, Load::Open(Share::OfItsOwn)),
        traced(all(PIPELINE, 100, 64, 16)),
        all("100 connections, 4 KiB", 100, 4 << 10, 1),
        all("100 connections, 4 KiB, pipeline 16", 100, 4 << 10, 16),
        traced(all(LARGE, 100, 64 << 10, 1)),
        all(MANY[0], 1_000, 64, 1),
        all(MANY[1], 10_000, 64, 1),
        all(MANY[2], 19_000, 64, 1),
        Row { longer: 2, ..traced(other(CHURN, Load::Churn)) },
        other(IDLE, Load::Idle { connections: 19_000 }),
        double(all("two threads: 100 connections, 64 B", 100, 64, 1)),
        double(all("two threads: 1,000 connections, 64 B", 1_000, 64, 1)),
        double(all("two threads: 100 connections, 64 B, pipeline 16", 100, 64, 16)),
        double(all("two threads: 100 connections, 64 KiB", 100, 64 << 10, 1)),
    ]
}
