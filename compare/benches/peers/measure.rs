//! What is measured in a row.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    Rate,
    Megabytes,
    P50,
    P99,
    P999,
    Late,
    User,
    Total,
    Busy,
    Resident,
    ResidentAfterEcho,
    Calls,
}

impl Measure {
    /// As the head of a column.
    pub(crate) fn head(self) -> &'static str {
        match self {
            Self::Rate => "a second",
            Self::Megabytes => "MB/s each way",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::P999 => "p99.9 µs",
            Self::Late => "the load's own p99.9 µs",
            Self::User => "user µs",
            Self::Total => "user + system µs",
            Self::Busy => "busy %",
            Self::Resident => "resident bytes a connection",
            Self::ResidentAfterEcho => "the same after an echo",
            Self::Calls => "system calls",
        }
    }

    /// As part of a sentence.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Megabytes => "bytes a second",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Late => "lateness of the load",
            Self::User => "user time",
            Self::Total => "processor time",
            Self::Busy => "business",
            Self::Resident => "resident memory",
            Self::ResidentAfterEcho => "resident memory after an echo",
            Self::Calls => "number of system calls",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Rate => " /s",
            Self::Megabytes => " MB/s",
            Self::P50 | Self::P99 | Self::P999 | Self::Late | Self::User | Self::Total => " µs",
            Self::Busy => " %",
            Self::Resident | Self::ResidentAfterEcho => " B",
            Self::Calls => "",
        }
    }

    /// Whether more of it is better, if that can be said.
    pub(crate) fn more_is_better(self) -> Option<bool> {
        match self {
            Self::Rate => Some(true),
            // The first is the rate once more, and the others say how far the rest can be believed.
            Self::Megabytes | Self::Late | Self::Busy => None,
            _ => Some(false),
        }
    }
}
