//! `readyloop client`.

mod args;
mod message;
mod pump;
mod script;
mod tally;

use std::net::{SocketAddr, ToSocketAddrs};

pub(crate) use args::ClientArgs;

use super::failure::Failure;

pub(crate) fn run(args: &ClientArgs) -> Result<(), Failure> {
    let name = &args.server.0;
    let refused = |error| Failure::of_flag(name, format!("there is no such address: {error}"));
    let addrs: Vec<SocketAddr> = name.to_socket_addrs().map_err(refused)?.collect();
    match args.plan() {
        None => pump::run(&addrs, args.timeout.0),
        Some(plan) => script::run(plan, addrs),
    }
}
