//! The processor and the priority of each process.

use crate::common::failure::Failure;
use crate::common::machine::{Machine, go_first, kernel, versions};
use crate::common::process::Server;
use crate::servers::Kind;

pub(crate) struct Placing {
    machine: Machine,
    /// The calling thread goes before all others.
    goes_first: bool,
}

impl Placing {
    /// Keeps the last processor for servers, and all others for the calling thread and those that it
    /// starts, if there is more than one.
    pub(crate) fn new() -> Result<Self, Failure> {
        let machine = Machine::new(1)?;
        let goes_first = go_first();
        machine.enter()?;
        Ok(Self { machine, goes_first })
    }

    pub(crate) fn start(&self, kind: Kind) -> Result<Server, Failure> {
        let mut command = kind.command()?;
        self.machine.start_server(|| Server::start(&mut command))?
    }

    pub(crate) fn describe(&self) -> String {
        let placed = match self.machine.is_divided() {
            true => "one for servers, the rest for clients",
            false => "shared by servers and clients",
        };
        let priority = match self.goes_first {
            true => "measuring threads have real-time priority",
            false => "measuring threads have no priority, for want of the right",
        };
        let (processors, kernel) = (self.machine.processors, kernel());
        format!("{processors} processors, {placed}; {priority}; {kernel}; {}.", versions())
    }
}
