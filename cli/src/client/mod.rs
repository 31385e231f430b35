//! `readyloop client`.

mod args;
mod connect;
mod copy;
mod message;
mod script;
mod tally;

use std::net::{SocketAddr, ToSocketAddrs};

pub(crate) use args::ClientArgs;

use super::failure::Failure;
use super::interrupt::Interrupt;

pub(crate) fn run(args: &ClientArgs) -> Result<(), Failure> {
    let plan = args.plan();
    // A copy has no summary, so signals keep their default action.
    let interrupt = plan.as_ref().map(|_| Interrupt::start()).transpose()?;
    let name = &args.server.0;
    let refused = |error| Failure::of_flag(name, format!("there is no such address: {error}"));
    let addrs: Vec<SocketAddr> = name.to_socket_addrs().map_err(refused)?.collect();
    match (plan, interrupt) {
        (Some(plan), Some(interrupt)) => script::run(plan, addrs, &interrupt),
        _ => copy::run(&addrs, args.timeout.0),
    }
}
