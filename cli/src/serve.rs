//! `readyloop serve`.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use readyloop::{Addr, Config, Echo, Error, Handler, ListenOptions, Overflow, Report, Server};

use super::args::{ServeArgs, Service, WhenFull};
use super::failure::Failure;
use super::serve_signals::{Ending, Signals};
use super::services::{Chargen, Daytime, Discard};
use super::{logging, open_files, streams};

/// How long standard output may take for the addresses before the log has a warning.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let signals = Signals::start(args.log_file.is_some())?;
    let log = logging::start(args.level(), args.log_file.as_deref())?;
    match args.service {
        Service::Echo => serve(args, &signals, log, Echo),
        Service::Discard => serve(args, &signals, log, Discard),
        Service::Daytime => serve(args, &signals, log, Daytime),
        Service::Chargen => serve(args, &signals, log, Chargen),
    }
}

fn serve<H>(
    args: &ServeArgs,
    signals: &Signals,
    log: logging::Reopen,
    handler: H,
) -> Result<(), Failure>
where
    H: Handler + Clone + Send + Sync + 'static,
{
    let open_files = open_files::raise();
    let make = move |_reactor| handler.clone();
    let mut server = Server::new(config(args), args.reactors.0, make)
        .map_err(|error| Failure::System(error.to_string()))?;
    let mut taken = Vec::new();
    for addr in &args.listen {
        let options = ListenOptions::new(&addr.0)
            .backlog(args.backlog.0)
            .reuse_port(args.reuse_port)
            .only_v6(args.only_v6);
        let addr = server.listen(options).map_err(|error| {
            Failure::of_flag(
                format!("--listen {}", addr.0),
                with_advice(&error, &taken, args.only_v6),
            )
        })?;
        taken.push(addr);
    }
    signals.serve(server.handle(), args.drain_timeout.0, log);
    announce(&taken);
    open_files.log();
    let report = server.run().map_err(|error| Failure::System(error.to_string()))?;
    judge(signals.ending(), &report)
}

/// Fails if clients were cut off.
fn judge(ending: Option<Ending>, report: &Report) -> Result<(), Failure> {
    let Some(Ending { signal, at_once }) = ending else { return Ok(()) };
    log::info!("ended by {signal}");
    let Report { cut, unsent, .. } = report;
    if at_once {
        return Err(Failure::CutOff(format!(
            "stopped at once by a second signal: {cut} clients were cut off, with {unsent} bytes unsent"
        )));
    }
    if *cut > 0 {
        return Err(Failure::CutOff(format!(
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
        // A supervisor restarts a server without listeners only if its process ends.
        .drain_without_listeners(Some(args.drain_timeout.0))
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

/// Prints the addresses to standard output, for scripts that wait for them.
///
/// If standard output does not take the addresses in time, the server serves clients all the same. A script may wait in
/// vain then, so the log has a warning. A thread continues to wait for the reader, without a limit.
fn announce(addrs: &[SocketAddr]) {
    let text: String = addrs.iter().map(|addr| format!("listening on {addr}\n")).collect();
    let warn = |error: io::Error| {
        log::warn!("standard output did not take the addresses of the listeners: {error}");
    };
    let say = move || match streams::print_within(ANNOUNCE_TIMEOUT, &text) {
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            warn(error);
            let _ = streams::write_all(io::stdout(), text.as_bytes());
        }
        Err(error) => warn(error),
        Ok(()) => {}
    };
    if let Err(error) = thread::Builder::new().name("announcer".to_owned()).spawn(say) {
        warn(error);
    }
}

/// Why an address is refused, and what to do about it. This server already listens on the addresses in `taken`.
fn with_advice(error: &Error, taken: &[SocketAddr], only_v6: bool) -> String {
    let advice = match error {
        Error::Listen { addr, source, .. } => match source.kind() {
            ErrorKind::AddrInUse => match addr {
                Addr::Ip(addr) => in_use(*addr, taken, only_v6),
                _ => String::new(),
            },
            ErrorKind::PermissionDenied => "; ports below 1024 need a privilege".to_owned(),
            ErrorKind::AddrNotAvailable => {
                "; no interface of this machine has that address".to_owned()
            }
            _ => String::new(),
        },
        _ => String::new(),
    };
    let cause = match error {
        Error::Listen { source, .. } | Error::Resolve(source) => source.to_string(),
        other => other.to_string(),
    };
    format!("{cause}{advice}")
}

const ALL_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// What to do about an address that this server or another program uses.
fn in_use(addr: SocketAddr, taken: &[SocketAddr], only_v6: bool) -> String {
    let own =
        taken.iter().find(|own| own.port() == addr.port() && overlap(own.ip(), addr.ip(), only_v6));
    let port = addr.port();
    match own {
        Some(own) if own.is_ipv4() != addr.is_ipv4() => {
            let v4 = if own.is_ipv4() { *own } else { addr };
            format!("; [::]:{port} takes IPv4 too: leave out --listen {v4}, or add --only-v6")
        }
        Some(own) => format!("; this server listens on {own} already: leave out one of the two"),
        None if addr.ip() == ALL_V6 && !only_v6 => {
            "; choose another port, stop the program that uses it, or \
                                                    add --only-v6 if that program uses it for IPv4 only"
                .to_owned()
        }
        None => "; choose another port, or stop the program that uses it".to_owned(),
    }
}

/// Whether two addresses with the same port conflict.
fn overlap(one: IpAddr, other: IpAddr, only_v6: bool) -> bool {
    if one.is_ipv4() == other.is_ipv4() {
        one == other || one.is_unspecified() || other.is_unspecified()
    } else {
        !only_v6 && (one == ALL_V6 || other == ALL_V6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_listener_in_the_way_is_told_from_another_program() {
        let advice = |taken: &str, addr: &str, only_v6| {
            in_use(addr.parse().unwrap(), &[taken.parse().unwrap()], only_v6)
        };
        let too = "; [::]:7 takes IPv4 too: leave out --listen 0.0.0.0:7, or add --only-v6";
        assert_eq!(advice("0.0.0.0:7", "[::]:7", false), too);
        assert_eq!(advice("[::]:7", "0.0.0.0:7", false), too);
        assert!(advice("[::]:7", "127.0.0.1:7", false).contains("leave out --listen 127.0.0.1:7"));
        assert!(advice("127.0.0.1:7", "0.0.0.0:7", false).contains("on 127.0.0.1:7 already"));
        assert!(advice("[::]:7", "[::1]:7", true).contains("on [::]:7 already"));
        for (taken, addr, only_v6) in [
            ("127.0.0.1:8", "127.0.0.1:7", false),
            ("127.0.0.2:7", "127.0.0.1:7", false),
            ("[::1]:7", "127.0.0.1:7", false),
            ("[::]:7", "127.0.0.1:7", true),
        ] {
            assert!(advice(taken, addr, only_v6).contains("stop the program"), "{taken} {addr}");
        }
        assert!(advice("127.0.0.1:8", "[::]:7", false).contains("add --only-v6 if"));
    }
}
