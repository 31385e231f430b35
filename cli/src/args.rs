//! The flags of the binary and of `readyloop serve`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::error::{ContextKind, ErrorKind};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use log::LevelFilter;

use super::bench::BenchArgs;
use super::client::ClientArgs;
use super::failure::Failure;
use super::values::{Count, HostPort, Reactors, Size, Time, TimeLimit};

/// A TCP server on one poll-driven reactor: echo, discard, daytime, chargen.
///
/// Without arguments it serves echo on 127.0.0.1:7000.
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
    /// Load an echo server, and measure its answers
    Bench(BenchArgs),
    /// Connect to a server: copy standard input to it and its answers to standard output, or send messages at a fixed
    /// interval
    Client(ClientArgs),
}

impl Command {
    fn check(self) -> Result<Self, Failure> {
        match self {
            Self::Serve(args) => args.check().map(Self::Serve),
            Self::Bench(args) => Ok(Self::Bench(args)), // The load generator checks its plan.
            Self::Client(args) => args.check().map(Self::Client),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen: an address or a name, and a port (0: any free port). May be repeated
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7000")]
    pub(crate) listen: Vec<HostPort>,

    /// The service
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Service::Echo)]
    pub(crate) service: Service,

    /// The length of the backlog: how many connections the kernel holds until they are accepted. The kernel lowers it
    /// to its own limit
    #[arg(long, value_name = "N", default_value = "1024", allow_hyphen_values = true)]
    pub(crate) backlog: Count,

    /// Stop reading from a client while more than this is queued for it
    #[arg(long, value_name = "SIZE", default_value = "32KiB", allow_hyphen_values = true)]
    pub(crate) high_water: Size,

    /// Resume reading when the queue has fallen to this [default: a quarter of --high-water]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) low_water: Option<Size>,

    /// Reset a client for which more than this is queued [default: 16MiB, or four times --high-water if that is more]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) queue_limit: Option<Size>,

    /// The memory budget: the limit of queued output and unread input of all clients together. While it is used up,
    /// requests wait, and a client that reads nothing for 15 s (or for a quarter of --write-timeout, if that is less)
    /// may be reset
    #[arg(long, value_name = "SIZE", default_value = "256MiB", allow_hyphen_values = true)]
    pub(crate) queue_budget: Size,

    /// The limit of unread input of a client. A client that sends a longer message is closed
    #[arg(long, value_name = "SIZE", default_value = "65KiB", allow_hyphen_values = true)]
    pub(crate) max_input: Size,

    /// The limit of connections [default: the limit of open files, less 64, and less 2 for each further reactor; at least half of the limit]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) max_connections: Option<Count>,

    /// What happens to new connections beyond --max-connections
    #[arg(long, value_name = "HOW", value_enum, default_value_t = WhenFull::Wait)]
    pub(crate) overflow: WhenFull,

    /// The text that a rejected connection gets, with --overflow reject
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) reject_message: Option<String>,

    /// The limit of connections from one address (IPv6: from one /64 network). Further ones are reset [default: no
    /// limit, because many clients may share an address behind a proxy or a NAT]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) max_per_ip: Option<Count>,

    /// The limit of new connections a second. Further ones are reset [default: no limit]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) accept_rate: Option<Count>,

    /// The limit of new connections at once after a quiet time [default: as --accept-rate]
    #[arg(long, value_name = "N", requires = "accept_rate", allow_hyphen_values = true)]
    pub(crate) accept_burst: Option<Count>,

    /// Close a new client that sends nothing within this time, such as 10s; or off
    #[arg(long, value_name = "TIME", default_value = "off", allow_hyphen_values = true)]
    pub(crate) first_byte_timeout: TimeLimit,

    /// Close a client that sends nothing for this time; or off
    #[arg(long, value_name = "TIME", default_value = "1h", allow_hyphen_values = true)]
    pub(crate) idle_timeout: TimeLimit,

    /// Reset a client if bytes are queued for it and it reads none of them for this time; or off
    #[arg(long, value_name = "TIME", default_value = "1m", allow_hyphen_values = true)]
    pub(crate) write_timeout: TimeLimit,

    /// How long the server waits for a client to close its side, after the server has sent everything and a FIN
    #[arg(long, value_name = "TIME", default_value = "5s", allow_hyphen_values = true)]
    pub(crate) linger_timeout: Time,

    /// Close a connection after this time, or up to a tenth earlier; or off
    #[arg(long, value_name = "TIME", default_value = "off", allow_hyphen_values = true)]
    pub(crate) max_age: TimeLimit,

    /// How many reactors, each on its own thread; or auto: one for each processor
    #[arg(long, value_name = "N", default_value = "1", allow_hyphen_values = true)]
    pub(crate) reactors: Reactors,

    /// Share the port with other processes that also set this. The kernel spreads connections over them
    #[arg(long)]
    pub(crate) reuse_port: bool,

    /// [::] accepts IPv6 connections only. Without this flag, it accepts IPv4 connections too
    #[arg(long)]
    pub(crate) only_v6: bool,

    /// How long clients may take to finish after SIGINT or SIGTERM. Then the remaining ones are cut off
    #[arg(long, value_name = "TIME", default_value = "10s", allow_hyphen_values = true)]
    pub(crate) drain_timeout: Time,

    /// The log level: off, error, warn, info, debug (each connection), trace (each read and write)
    #[arg(long, value_name = "LEVEL", default_value = "info", conflicts_with = "verbose")]
    log_level: Level,

    /// Append the log to this file instead of standard error
    #[arg(long, value_name = "PATH")]
    pub(crate) log_file: Option<PathBuf>,

    /// Log each connection (-v), and each read and write (-vv)
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
            "--reject-message needs --overflow reject".to_owned()
        } else {
            return Ok(self);
        };
        Err(Failure::Usage(problem))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhenFull {
    /// They wait in the kernel's backlog until there is room
    Wait,
    /// They are closed at once, after --reject-message if it is set
    Reject,
    /// They are served, and for each the longest idle client is closed
    Evict,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Service {
    /// Send the input back (RFC 862)
    Echo,
    /// Discard the input (RFC 863)
    Discard,
    /// Send the time and close (RFC 867)
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

/// Joins the lines of an error of clap into one.
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
