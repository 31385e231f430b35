//! `readyloop serve`.

use std::error::Error as _;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;

use readyloop::services::{Chargen, Daytime, Discard, Echo};
use readyloop::{Config, Error, Handle, Handler, ListenOptions, Overflow, Reactor};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use super::args::{ServeArgs, Service, WhenFull};
use super::failure::Failure;
use super::{logging, open_files};

pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    logging::start(args.level(), args.log_file.as_deref())?;
    match args.service {
        Service::Echo => serve(args, Echo),
        Service::Discard => serve(args, Discard),
        Service::Daytime => serve(args, Daytime),
        Service::Chargen => serve(args, Chargen),
    }
}

fn serve(args: &ServeArgs, handler: impl Handler) -> Result<(), Failure> {
    let open_files = open_files::raise();
    let mut reactor = Reactor::new(config(args), handler).map_err(|error| explain(&error))?;
    let signal = stop_on_signals(reactor.handle())?;
    let options = ListenOptions::new().backlog(args.backlog.0);
    for addr in &args.listen {
        let addr = reactor.listen_with(&addr.0, &options).map_err(|error| {
            Failure::of_flag(format!("--listen {}", addr.0), with_advice(&error))
        })?;
        announce(addr);
    }
    open_files.log();
    reactor.run().map_err(|error| explain(&error))?;
    if let Some(name) = signal_hook::low_level::signal_name(signal.load(Ordering::Acquire)) {
        log::info!("ended by {name}");
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

/// For the scripts that wait for it. That nobody reads it is no reason not to serve.
fn announce(addr: std::net::SocketAddr) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "listening on {addr}").and_then(|()| stdout.flush());
}

/// The exit code when a second signal ends what the first could not.
const STOPPED_AT_ONCE: i32 = 3;

/// The first signal stops the reactor at the end of its turn. A second one ends the process at once:
/// the reactor may be held up for ever, for one by a log that nobody reads.
///
/// A thread of its own waits for the signals, so that none can interrupt the reactor at a bad moment. It
/// does not log, as that may block. Returns where the signal's number will be.
fn stop_on_signals(handle: Handle) -> Result<Arc<AtomicI32>, Failure> {
    let refused = |error| Failure::System(format!("signals cannot be handled: {error}"));
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset, and sets it.
        flag::register_conditional_shutdown(signal, STOPPED_AT_ONCE, Arc::clone(&stopping))
            .and_then(|_| flag::register(signal, Arc::clone(&stopping)))
            .map_err(refused)?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(refused)?;
    let received = Arc::new(AtomicI32::new(0));
    let told = Arc::clone(&received);
    let wait = move || {
        for signal in signals.forever() {
            told.store(signal, Ordering::Release);
            handle.stop();
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(refused)?;
    Ok(received)
}

fn explain(error: &Error) -> Failure {
    Failure::System(with_cause(error))
}

fn with_cause(error: &Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
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
        other => with_cause(other),
    };
    format!("{cause}{advice}")
}
