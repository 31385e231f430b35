//! The flags, as they are written and as they are meant.

use std::path::PathBuf;
use std::str::FromStr;

use clap::error::{ContextKind, ErrorKind};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use log::LevelFilter;

use super::bench::BenchArgs;
use super::client::ClientArgs;
use super::failure::Failure;
use super::values::{Count, HostPort, Reactors, Size, Time, TimeLimit};

/// A TCP server for echo and its siblings, on one poll-driven reactor.
///
/// Without arguments it echoes on 127.0.0.1:7000.
#[derive(Debug, Parser)]
#[command(name = "readyloop", version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve until SIGINT or SIGTERM (the default)
    Serve(ServeArgs),
    /// Load an echo server, and say what it does
    Bench(BenchArgs),
    /// Talk to a server: standard input to it, what it says to standard output; or messages by a script
    Client(ClientArgs),
}

impl Command {
    fn check(self) -> Result<Self, Failure> {
        match self {
            Self::Serve(args) => args.check().map(Self::Serve),
            Self::Bench(args) => Ok(Self::Bench(args)), // it is planned when it is run
            Self::Client(args) => args.check().map(Self::Client),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen: an address or a name, and a port (0: any free one). May be repeated
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7000")]
    pub(crate) listen: Vec<HostPort>,

    /// What to serve
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Service::Echo)]
    pub(crate) service: Service,

    /// How many connections the kernel holds ready to be accepted; it lowers what is over its own
    /// limit
    #[arg(long, value_name = "N", default_value = "1024", allow_hyphen_values = true)]
    pub(crate) backlog: Count,

    /// Stop reading from a client while more than this is queued for it
    #[arg(long, value_name = "SIZE", default_value = "32KiB", allow_hyphen_values = true)]
    pub(crate) high_water: Size,

    /// Go on reading when the queue has fallen to this [default: a quarter of --high-water]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) low_water: Option<Size>,

    /// A client for which more than this is queued is cut off [default: 16MiB, or four times
    /// --high-water if that is more]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) queue_limit: Option<Size>,

    /// How much may be queued for all clients together, over all reactors. While it is used up requests wait, and
    /// clients that take nothing for 15 s are cut off
    #[arg(long, value_name = "SIZE", default_value = "256MiB", allow_hyphen_values = true)]
    pub(crate) queue_budget: Size,

    /// How much input may wait to be used; a client that sends more in one message is cut off
    #[arg(long, value_name = "SIZE", default_value = "64KiB", allow_hyphen_values = true)]
    pub(crate) max_input: Size,

    /// How many clients at once [default: what the limit of open files allows, less 64]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) max_connections: Option<Count>,

    /// What becomes of newcomers beyond --max-connections
    #[arg(long, value_name = "HOW", value_enum, default_value_t = WhenFull::Wait)]
    pub(crate) overflow: WhenFull,

    /// Said to those who are turned away by --overflow reject
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) reject_message: Option<String>,

    /// How many clients of one address (of one /64 network for IPv6); more are reset [default: any
    /// number, as behind a proxy or a NAT many have one address]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) max_per_ip: Option<Count>,

    /// How many new clients a second; more are reset [default: any number]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) accept_rate: Option<Count>,

    /// How many new clients at once after a quiet time [default: as --accept-rate]
    #[arg(long, value_name = "N", requires = "accept_rate", allow_hyphen_values = true)]
    pub(crate) accept_burst: Option<Count>,

    /// A client that has not sent a byte after this time is closed, such as 10s; or off
    #[arg(long, value_name = "TIME", default_value = "off", allow_hyphen_values = true)]
    pub(crate) first_byte_timeout: TimeLimit,

    /// A client that sends nothing for this time is closed; or off
    #[arg(long, value_name = "TIME", default_value = "1h", allow_hyphen_values = true)]
    pub(crate) idle_timeout: TimeLimit,

    /// A client that takes nothing of what is queued for it for this time is cut off; or off
    #[arg(long, value_name = "TIME", default_value = "1m", allow_hyphen_values = true)]
    pub(crate) write_timeout: TimeLimit,

    /// How long a client that was sent everything has for its own end of the connection
    #[arg(long, value_name = "TIME", default_value = "5s", allow_hyphen_values = true)]
    pub(crate) linger_timeout: Time,

    /// A client is closed in order after this time, or up to a tenth before; or off
    #[arg(long, value_name = "TIME", default_value = "off", allow_hyphen_values = true)]
    pub(crate) max_age: TimeLimit,

    /// How many reactors, each on a thread of its own; or auto, for as many as there are processors
    #[arg(long, value_name = "N", default_value = "1", allow_hyphen_values = true)]
    pub(crate) reactors: Reactors,

    /// Share the port with other processes that do so too; the kernel spreads clients by a hash
    #[arg(long)]
    pub(crate) reuse_port: bool,

    /// Leave IPv4 alone where an IPv6 address is listened on: [::] takes both without it
    #[arg(long)]
    pub(crate) only_v6: bool,

    /// How long clients have to finish after SIGINT or SIGTERM; who has not is cut off
    #[arg(long, value_name = "TIME", default_value = "10s", allow_hyphen_values = true)]
    pub(crate) drain_timeout: Time,

    /// How much to log: off, error, warn, info, debug (each connection), trace (each chunk)
    #[arg(long, value_name = "LEVEL", default_value = "info", conflicts_with = "verbose")]
    log_level: Level,

    /// Log to the end of this file instead of standard error
    #[arg(long, value_name = "PATH")]
    pub(crate) log_file: Option<PathBuf>,

    /// Log each connection (-v) and each chunk (-vv)
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

impl ServeArgs {
    pub(crate) fn level(&self) -> LevelFilter {
        match self.verbose {
            0 => self.log_level.0,
            1 => LevelFilter::Debug,
            _ => LevelFilter::Trace,
        }
    }

    fn check(self) -> Result<Self, Failure> {
        let high = self.high_water;
        let problem = if let Some(low) = self.low_water.filter(|low| *low > high) {
            format!("--low-water {low} is above --high-water {high}")
        } else if let Some(limit) = self.queue_limit.filter(|limit| *limit < high) {
            format!("--queue-limit {limit} is below --high-water {high}")
        } else if self.reject_message.is_some() && self.overflow != WhenFull::Reject {
            "--reject-message is only said with --overflow reject".to_owned()
        } else {
            return Ok(self);
        };
        Err(Failure::Usage(problem))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhenFull {
    /// They stay in the kernel's backlog until there is room
    Wait,
    /// They are closed at once, after --reject-message if there is one
    Reject,
    /// They are served, and the client that has been silent the longest is closed for each
    Evict,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Service {
    /// Send back what comes in (RFC 862)
    Echo,
    /// Throw away what comes in (RFC 863)
    Discard,
    /// Tell the time and close (RFC 867)
    Daytime,
    /// Send characters without end (RFC 864)
    Chargen,
}

#[derive(Clone, Copy, Debug)]
struct Level(LevelFilter);

impl FromStr for Level {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "not one of off, error, warn, info, debug, trace")
    }
}

/// What the command line asks for.
pub(crate) enum Request {
    Run(Box<Command>),
    /// The help, or the version.
    Show(String),
}

/// # Errors
/// [`Failure::Usage`] if the command line is wrong.
pub(crate) fn parse() -> Result<Request, Failure> {
    let line = match CommandLine::try_parse() {
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            return Ok(Request::Show(error.render().to_string()));
        }
        result => result.map_err(|error| on_one_line(&error))?,
    };
    let command = line.command.unwrap_or(Command::Serve(line.serve)).check()?;
    Ok(Request::Run(Box::new(command)))
}

/// The several lines of clap as one.
fn on_one_line(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let mut line = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty() && !line.starts_with("tip:"))
        .collect::<Vec<_>>()
        .join(" ");
    if error.get(ContextKind::InvalidArg).is_none() {
        line.push_str(" (see --help)");
    }
    Failure::Usage(line.trim_start_matches("error: ").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_declared_without_contradiction() {
        CommandLine::command().debug_assert();
    }
}
