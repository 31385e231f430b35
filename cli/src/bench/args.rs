//! The flags of `readyloop bench`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use readyloop_bench::{Load, Plan, Sizes};

use crate::scope;
use crate::values::{HostPort, Size, Time};

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The echo server to load: an address or a name, and its port
    #[arg(value_name = "ADDR")]
    pub(super) target: HostPort,

    /// How many connections [default: 100; with --churn: as --active]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    connections: Option<Number>,

    /// How many connections carry messages. The rest are open and idle [default: all]
    #[arg(long, value_name = "N", conflicts_with = "idle", allow_hyphen_values = true)]
    active: Option<Number>,

    /// The length of messages: a size, or a range such as 64-4096 in which all sizes are equally likely
    #[arg(long, value_name = "BYTES", default_value = "64", allow_hyphen_values = true, value_parser = sizes)]
    size: Sizes,

    /// How many messages are under way on each active connection [default: 1]
    #[arg(long, value_name = "N", conflicts_with_all = ["rate", "churn", "idle"], allow_hyphen_values = true)]
    pipeline: Option<Number>,

    /// How long to measure, once all connections are open
    #[arg(long, value_name = "TIME", default_value = "5s", allow_hyphen_values = true)]
    duration: Span,

    /// Send this many messages a second over all active connections, whether answers come or not. Latency counts from
    /// when a message was due
    #[arg(long, value_name = "N", conflicts_with_all = ["churn", "idle"], allow_hyphen_values = true)]
    rate: Option<Number>,

    /// Connect, echo one message, close, and repeat, with --active connections at a time. Latency counts from the
    /// start of the connect
    #[arg(long, conflicts_with = "idle")]
    churn: bool,

    /// Open all connections, hold them for --duration, then echo one message on each
    #[arg(long)]
    idle: bool,

    /// How many connections to open a second
    #[arg(long, value_name = "N", default_value = "10000", allow_hyphen_values = true)]
    ramp: Number,

    /// How many threads make the load, each with a reactor
    #[arg(long, value_name = "N", default_value = "1", allow_hyphen_values = true)]
    threads: Threads,

    /// A connection that is not open after this time has failed
    #[arg(long, value_name = "TIME", default_value = "5s", allow_hyphen_values = true)]
    connect_timeout: Span,

    /// A message without an answer after this time is an error, and its connection is given up. With --churn, so is a
    /// connection that the server does not close. The check may come later by a tenth of this time (at least 10 ms,
    /// at most 250 ms)
    #[arg(long, value_name = "TIME", default_value = "5s", allow_hyphen_values = true)]
    timeout: Span,

    /// Connect from this address. May be repeated: connections take the addresses in turn [default: the kernel's
    /// choice; several addresses of 127.0.0.0/8 if one does not have enough ports]
    #[arg(long, value_name = "ADDR", value_parser = scope::source)]
    source: Vec<SocketAddr>,

    /// Count the bytes of answers, but do not compare them with the bytes that were sent
    #[arg(long)]
    no_verify: bool,

    /// The server's process on this machine: report its processor time and memory. The process must have a socket at
    /// the server's port
    #[arg(long, value_name = "PID", allow_hyphen_values = true)]
    pid: Option<Number>,

    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(super) json: bool,

    /// Draw latency by percentile and throughput over time into this file. If nothing was measured, the file is not
    /// changed
    #[arg(long, value_name = "FILE.svg")]
    pub(super) plot: Option<PathBuf>,
}

impl BenchArgs {
    /// The plan that the flags describe. [`Plan::check`] finds contradictions.
    pub(super) fn plan(&self) -> Plan {
        let number = |number: Option<Number>, default| number.map_or(default, |number| number.0);
        let default = if self.churn { number(self.active, 100) } else { 100 };
        let connections = number(self.connections, default);
        Plan {
            load: self.load(),
            connections,
            active: number(self.active, connections),
            sizes: self.size,
            duration: self.duration.0,
            ramp: self.ramp.0,
            threads: self.threads.0,
            connect_timeout: self.connect_timeout.0,
            timeout: self.timeout.0,
            verify: !self.no_verify,
            sources: self.source.clone(),
            server_pid: self.pid.map(|pid| pid.0),
        }
    }

    fn load(&self) -> Load {
        match self.rate {
            _ if self.churn => Load::Churn,
            _ if self.idle => Load::Idle,
            Some(rate) => Load::Open { rate: rate.0 },
            None => Load::Closed { pipeline: self.pipeline.map_or(1, |pipeline| pipeline.0) },
        }
    }
}

/// One size, or two with a hyphen between them.
fn sizes(text: &str) -> Result<Sizes, String> {
    let (smallest, largest) = text.split_once('-').unwrap_or((text, text));
    match (smallest.parse(), largest.parse()) {
        (Ok(Size(smallest)), Ok(Size(largest))) => {
            Sizes::new(smallest, largest).map_err(|error| error.to_string())
        }
        _ => Err("not a size or a range of sizes, such as 64, 4KiB or 64-4096".to_owned()),
    }
}

/// A number, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number(u32);

impl FromStr for Number {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(number @ 1..) => Ok(Self(number)),
            _ => Err("not a number from 1 to 4294967295"),
        }
    }
}

/// A number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Threads(u32);

impl FromStr for Threads {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(number @ 1..=1024) => Ok(Self(number)),
            _ => Err("not a number from 1 to 1024"),
        }
    }
}

/// A time that is not 0, and not longer than a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span(Duration);

const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse()? {
            Time(Duration::ZERO) => Err("a time above 0 is needed"),
            Time(time) if time > YEAR => Err("more than a year"),
            Time(time) => Ok(Self(time)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn plan(flags: &str) -> Result<Plan, String> {
        let line = ["readyloop", "127.0.0.1:7"].into_iter().chain(flags.split_whitespace());
        let line = Line::try_parse_from(line).map_err(|error| error.to_string())?;
        let plan = line.bench.plan();
        plan.check().map(|()| plan).map_err(|error| error.to_string())
    }

    #[test]
    fn without_flags_it_is_a_closed_loop_on_a_hundred_connections() {
        let plan = plan("").unwrap();
        assert_eq!(plan.load, Load::Closed { pipeline: 1 });
        assert_eq!((plan.connections, plan.active, plan.threads), (100, 100, 1));
        assert!(plan.verify);
    }

    #[test]
    fn each_load_has_its_flags() {
        assert_eq!(plan("--pipeline 8").unwrap().load, Load::Closed { pipeline: 8 });
        assert_eq!(plan("--rate 1000").unwrap().load, Load::Open { rate: 1_000 });
        assert_eq!(plan("--idle").unwrap().load, Load::Idle);
        let churn = plan("--churn --active 7").unwrap();
        assert_eq!((churn.load, churn.connections, churn.active), (Load::Churn, 7, 7));
    }

    #[test]
    fn contradictions_are_refused() {
        for flags in [
            "--connections 5 --active 6",
            "--connections 5 --active 4 --churn",
            "--rate 5 --pipeline 2",
            "--churn --idle",
            "--churn --rate 5",
            "--idle --pipeline 2",
            "--idle --active 2",
            "--connections 2 --threads 3",
            "--size 1GiB --connections 2",
            "--size 1 --pipeline 4000000000",
            "--size 4GB --pipeline 4000000000 --connections 4000000000",
            "--connections 0",
            "--duration 0s",
            "--duration 2years",
            "--timeout 5",
            "--threads 0",
            "--pid -1",
            "--source nowhere",
        ] {
            assert!(plan(flags).is_err(), "{flags}");
        }
    }

    #[test]
    fn one_size_or_a_range_with_units_is_taken_and_nothing_else() {
        for (text, smallest, largest) in
            [("64", 64, 64), ("64-4096", 64, 4_096), ("1KiB-1MiB", 1_024, 1_048_576), ("7-7", 7, 7)]
        {
            assert_eq!(sizes(text), Ok(Sizes::new(smallest, largest).unwrap()), "{text}");
        }
        for bad in ["", "0", "-", "64-", "-64", "0-5", "9-5", "1-2-3", "some", "5GiB"] {
            assert!(sizes(bad).is_err(), "{bad}");
        }
    }
}
