//! The values of flags: how they are written, and what they mean.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use super::scope;

/// A host, as an address or a name, and a port. Only the form is checked: the resolver knows whether the name exists.
/// An interface is kept by its number, which the resolver of the standard library understands.
#[derive(Clone, Debug)]
pub(crate) struct HostPort(pub(crate) String);

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(addr) = scope::scoped(text)? {
            return Ok(Self(addr.to_string()));
        }
        let is_name = |host: &str| {
            host.contains(|c: char| c.is_ascii_alphabetic())
                && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        };
        let is_named = text
            .rsplit_once(':')
            .is_some_and(|(host, port)| is_name(host) && port.parse::<u16>().is_ok());
        if is_named || text.parse::<SocketAddr>().is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err("not an address and port, such as 127.0.0.1:7000, [::]:7000, [fe80::1%eth0]:7000 or \
                 localhost:0"
                .to_owned())
        }
    }
}

/// A number of bytes, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) usize);

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let size: ByteSize = text.parse().map_err(|_| "not a size, such as 4096, 64KiB or 1MiB")?;
        match usize::try_from(size.as_u64()) {
            Ok(usize::MAX) => Err("more than this machine can count"),
            Ok(0) => Err("a size of at least one byte is needed"),
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) => Err("more than this machine can count"),
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", ByteSize(self.0 as u64).display().iec())
    }
}

/// A time, such as 500ms, 30s, 5m or 1h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

impl FromStr for Time {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|_| "not a time with its unit, such as 500ms, 30s, 5m or 1h")
    }
}

/// A time that is not 0, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeLimit(pub(crate) Option<Duration>);

impl FromStr for TimeLimit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            _ if text == "off" => Ok(Self(None)),
            Ok(Time(Duration::ZERO)) => Err("a time above 0 is needed (for no limit: off)"),
            Ok(Time(time)) => Ok(Self(Some(time))),
            Err(_) => Err("not a time with its unit, such as 500ms, 30s, 5m or 1h, nor off"),
        }
    }
}

/// A number of connections, at least one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count(pub(crate) u32);

impl FromStr for Count {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(number @ 1..) => Ok(Self(number)),
            _ => Err("not a number of connections from 1 to 4294967295"),
        }
    }
}

/// A number of reactors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reactors(pub(crate) usize);

impl FromStr for Reactors {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            _ if text == "auto" => {
                Ok(Self(std::thread::available_parallelism().map_or(1, usize::from)))
            }
            Ok(number @ 1..=1024) => Ok(Self(number)),
            _ => Err("not a number from 1 to 1024, nor auto"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_with_a_port_are_taken_and_nothing_else() {
        for good in [
            "127.0.0.1:7000",
            "[::1]:0",
            "[::]:7",
            "[fe80::1%3]:7",
            "localhost:80",
            "a.example:65535",
        ] {
            assert_eq!(good.parse::<HostPort>().map(|addr| addr.0), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "7000",
            ":7000",
            "127.0.0.1",
            "::1:80",
            "300.1.1.1:7",
            "localhost:65536",
            "a b:7",
            "a\nb:7",
            "[fe80::1%]:7",
            "[fe80::1%no such]:7",
            "[fe80::1%3]",
            "[127.0.0.1%3]:7",
            "fe80::1%3:7",
        ] {
            assert!(bad.parse::<HostPort>().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_take_units_and_limits_can_be_off() {
        assert_eq!("5m".parse(), Ok(Time(Duration::from_secs(300))));
        assert_eq!("0s".parse(), Ok(Time(Duration::ZERO)));
        assert_eq!("1h 30m".parse(), Ok(TimeLimit(Some(Duration::from_secs(5_400)))));
        assert_eq!("off".parse(), Ok(TimeLimit(None)));
        for bad in ["", "30", "-1s", "soon", "0s", "1 fortnight", "99999999999999999999h"] {
            assert!(bad.parse::<TimeLimit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn reactors_are_counted_or_as_many_as_processors() {
        assert_eq!("2".parse(), Ok(Reactors(2)));
        assert!(matches!("auto".parse(), Ok(Reactors(1..))));
        for bad in ["0", "-1", "1025", "many", ""] {
            assert!(bad.parse::<Reactors>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_take_units_and_nothing_else() {
        assert_eq!("64KiB".parse(), Ok(Size(65_536)));
        assert_eq!("4096".parse(), Ok(Size(4_096)));
        assert_eq!("1 MiB".parse(), Ok(Size(1_048_576)));
        assert_eq!("2kB".parse(), Ok(Size(2_000)));
        for bad in ["", "0", "-1", "lots", "1XiB", "KiB", "99999999999999999999EiB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }
}
