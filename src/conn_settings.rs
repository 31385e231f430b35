//! The settings that hold for one connection.

use std::fmt;
use std::time::Duration;

use crate::core::deadlines::{Timeouts, millis};

/// A setting of [`Config`](crate::Config) that may be unset. Then the default applies, or the setting of the reactor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setting<T>(Option<T>);

impl<T: Copy> Setting<T> {
    pub(crate) const UNSET: Self = Self(None);

    pub(crate) const fn to(value: T) -> Self {
        Self(Some(value))
    }

    pub(crate) fn or(self, default: T) -> T {
        self.0.unwrap_or(default)
    }

    pub(crate) fn or_else(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Setting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("default"),
        }
    }
}

/// The limits and deadlines of a connection: those of its listener's overrides, otherwise those of the reactor's
/// [`Config`](crate::Config). `low_water <= high_water <= queue_limit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnSettings {
    pub(crate) max_input: usize,
    pub(crate) high_water: usize,
    pub(crate) low_water: usize,
    pub(crate) queue_limit: usize,
    pub(crate) first_byte_timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    pub(crate) linger_timeout: Duration,
    pub(crate) max_age: Option<Duration>,
}

impl ConnSettings {
    /// The deadlines in milliseconds. `quiet` is set while the reactor drains.
    pub(crate) fn timeouts(&self, quiet: Option<u64>) -> Timeouts {
        Timeouts {
            first_byte: self.first_byte_timeout.map(millis),
            idle: self.idle_timeout.map(millis),
            write: self.write_timeout.map(millis),
            linger: millis(self.linger_timeout),
            max_age: self.max_age.map(millis),
            quiet,
        }
    }
}
