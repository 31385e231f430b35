//! The server's process during a run: its memory and processor time before, during and after the load.

use std::io;

use super::error::Error;
use super::plan::Load;
use super::report::Server;
use super::server_side::{Cpu, ServerSide};

/// Reads the server's process at the steps of a run. An error is a line for the report.
pub(super) struct ServerWatch {
    side: ServerSide,
    server: Server,
    /// Before the load.
    cpu: Option<Cpu>,
}

impl ServerWatch {
    /// # Errors
    /// [`Error::System`] if there is no such process, or its figures cannot be read.
    pub(super) fn start(pid: u32) -> Result<Self, Error> {
        let side = ServerSide::new(pid);
        let before = side.resident().and_then(|before| side.cpu().map(|_| before));
        let before = before.map_err(|error| {
            let text = match error.kind() {
                io::ErrorKind::NotFound => "there is no such process".to_owned(),
                _ => format!("its memory and processor time cannot be read: {error}"),
            };
            Error::of_flag(format!("--pid {pid}"), text)
        })?;
        Ok(Self { side, server: Server { pid, before, ..Server::default() }, cpu: None })
    }

    /// Checks that the process may be the server.
    ///
    /// Call it when connections are open: a process that gets its connections from another process need not listen
    /// itself.
    ///
    /// # Errors
    /// None of its sockets is at this port.
    pub(super) fn check_port(&self, port: u16) -> Result<(), String> {
        if self.side.is_at_port(port) != Some(false) {
            return Ok(());
        }
        Err(format!(
            "--pid {} is not the server: none of that process's sockets is at port {port}; nothing was measured",
            self.server.pid
        ))
    }

    /// Reads the process when all connections are idle, before the load.
    ///
    /// # Errors
    /// The process cannot be read any more.
    pub(super) fn begin(&mut self, load: Load) -> Result<(), String> {
        self.server.open = match load {
            Load::Churn => None,
            _ => Some(self.side.resident().map_err(|error| self.unreadable(&error))?),
        };
        self.cpu = Some(self.side.cpu().map_err(|error| self.unreadable(&error))?);
        Ok(())
    }

    /// Reads the process after the load.
    ///
    /// # Errors
    /// The process cannot be read any more.
    pub(super) fn end(&mut self, load: Load) -> Result<(), String> {
        if let Some(before) = self.cpu {
            let cpu = self.side.cpu().map_err(|error| self.unreadable(&error))?;
            self.server.spent = Some(cpu.since(before));
        }
        if load == Load::Idle {
            let resident = self.side.resident().map_err(|error| self.unreadable(&error))?;
            self.server.after_echo = Some(resident);
        }
        Ok(())
    }

    /// Checks that the process took processor time. If it did not, another process has answered.
    ///
    /// # Errors
    /// It took none, although messages were answered.
    pub(super) fn check_activity(&self, messages: u64) -> Result<(), String> {
        let Server { pid, spent, .. } = self.server;
        if messages == 0 || !spent.is_some_and(|spent| spent.is_nothing()) {
            return Ok(());
        }
        Err(format!(
            "--pid {pid} is not the server, or not the part of it that answers: that process took no processor time \
             while {messages} messages were answered"
        ))
    }

    /// The figures of the server's process.
    pub(super) fn into_server(self) -> Server {
        self.server
    }

    fn unreadable(&self, error: &io::Error) -> String {
        format!("--pid {}: its memory and processor time cannot be read: {error}", self.server.pid)
    }
}
