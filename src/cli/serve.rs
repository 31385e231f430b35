//! `readyloop serve`.

use std::io::ErrorKind;
use std::time::Duration;

use readyloop::services::{Chargen, Daytime, Discard, Echo};
use readyloop::{Config, Error, Handler, ListenOptions, Overflow, Report, Server};

use super::args::{ServeArgs, Service, WhenFull};
use super::failure::{Failure, with_causes};
use super::signals::{Ending, Signals};
use super::{logging, open_files, streams};

/// So long standard output may take for the line that says where the server listens.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let log = logging::start(args.level(), args.log_file.as_deref())?;
    match args.service {
        Service::Echo => serve(args, log, Echo),
        Service::Discard => serve(args, log, Discard),
        Service::Daytime => serve(args, log, Daytime),
        Service::Chargen => serve(args, log, Chargen),
    }
}

fn serve<H>(args: &ServeArgs, log: logging::Reopen, handler: H) -> Result<(), Failure>
where
    H: Handler + Clone + Send + Sync + 'static,
{
    let open_files = open_files::raise();
    let make = move |_reactor| handler.clone();
    let mut server = Server::new(config(args), args.reactors.0, make)
        .map_err(|error| Failure::System(with_causes(&error)))?;
    let signals = Signals::start(server.handle(), args.drain_timeout.0, log)?;
    let options = ListenOptions::new().backlog(args.backlog.0).reuse_port(args.reuse_port);
    for addr in &args.listen {
        let addr = server.listen_with(&addr.0, &options).map_err(|error| {
            Failure::of_flag(format!("--listen {}", addr.0), with_advice(&error))
        })?;
        announce(addr);
    }
    open_files.log();
    let report = server.run().map_err(|error| Failure::System(with_causes(&error)))?;
    judge(signals.ending(), &report)
}

/// Whether everybody had what was theirs.
fn judge(ending: Option<Ending>, report: &Report) -> Result<(), Failure> {
    let Some(Ending { signal, at_once }) = ending else { return Ok(()) };
    log::info!("ended by {signal}");
    let Report { cut, unsent, .. } = report;
    if at_once {
        return Err(Failure::Cut(format!(
            "stopped at once by a second signal: {cut} clients were cut off, with {unsent} bytes unsent"
        )));
    }
    if *cut > 0 {
        return Err(Failure::Cut(format!(
            "{cut} clients were cut off, with {unsent} bytes unsent (--drain-timeout says how long they \
             have to finish)"
        )));
    }
    Ok(())
}

fn config(args: &ServeArgs) -> Config {
    let mut config = Config::new()
        .high_water(args.high_water.0)
        .max_input(args.max_input.0)
        .queue_budget(args.queue_budget.0)
        .first_byte_timeout(args.first_byte_timeout.0)
        .idle_timeout(args.idle_timeout.0)
        .write_timeout(args.write_timeout.0)
        .linger_timeout(args.linger_timeout.0)
        .max_age(args.max_age.0)
        .max_per_ip(args.max_per_ip.map(|most| most.0))
        .overflow(match args.overflow {
            WhenFull::Wait => Overflow::Wait,
            WhenFull::Reject => Overflow::Reject {
                last_words: args.reject_message.clone().unwrap_or_default().into_bytes(),
            },
            WhenFull::Evict => Overflow::EvictIdlest,
        });
    if let Some(low) = args.low_water {
        config = config.low_water(low.0);
    }
    if let Some(limit) = args.queue_limit {
        config = config.queue_limit(limit.0);
    }
    if let Some(most) = args.max_connections {
        config = config.max_connections(most.0 as usize);
    }
    if let Some(rate) = args.accept_rate {
        config = config.accept_rate(rate.0, args.accept_burst.unwrap_or(rate).0);
    }
    config
}

/// For the scripts that wait for it. That standard output does not take the line is no reason not to serve, but a
/// script may wait in vain then, and the log says why.
fn announce(addr: std::net::SocketAddr) {
    if let Err(error) = streams::print_within(PATIENCE, &format!("listening on {addr}\n")) {
        log::warn!("standard output did not take \"listening on {addr}\": {error}");
    }
}

/// What refused an address, and what can be done about it.
fn with_advice(error: &Error) -> String {
    let advice = match error {
        Error::Listen { source, .. } => match source.kind() {
            ErrorKind::AddrInUse => "; choose another port, or stop the program that has it",
            ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
            ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
            _ => "",
        },
        _ => "",
    };
    let cause = match error {
        Error::Listen { source, .. } | Error::Resolve(source) => source.to_string(),
        other => with_causes(other),
    };
    format!("{cause}{advice}")
}
