//! How many system calls a message, or a whole connection, costs a server: counted by strace(1).
//!
//! A small load of its own with a known number of messages, as a server under strace is too slow for the rest.
//! 100 connections ask at once and wait for all answers. Only what lies between the attaching and the detaching
//! counts, so for echoes the connections are there before.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::call_table::sum;
use crate::common::failure::Failure;
use crate::common::process::Server;
use crate::grid::Load;

const CONNECTIONS: usize = 100;
const ROUNDS: usize = 20;
const TIMEOUT: Duration = Duration::from_secs(10);

/// For each message; with [`Load::Churn`] for each connection, with its echo.
///
/// # Errors
/// There is no strace, it may not attach to the server, or a client is not answered.
pub(crate) fn count(server: &Server, load: Load) -> Result<f64, Failure> {
    match load {
        Load::Closed { size, pipeline, .. } => of_echoes(server, size as usize, pipeline as usize),
        Load::Churn => of_connections(server),
        Load::Open(_) | Load::Idle { .. } => Err("system calls are not counted here".into()),
    }
}

fn of_echoes(server: &Server, size: usize, pipeline: usize) -> Result<f64, Failure> {
    let mut clients = connect(server)?;
    echo(&mut clients, size)?;
    let strace = Strace::attach(server)?;
    for _ in 0..ROUNDS {
        echo(&mut clients, size * pipeline)?;
    }
    Ok(strace.detach()? as f64 / (ROUNDS * CONNECTIONS * pipeline) as f64)
}

fn of_connections(server: &Server) -> Result<f64, Failure> {
    let own_files = server.open_files()?;
    // What a server makes for the first ones, it keeps.
    echo(&mut connect(server)?, 64)?;
    server.settle(own_files)?;
    let strace = Strace::attach(server)?;
    for _ in 0..ROUNDS / 2 {
        echo(&mut connect(server)?, 64)?;
        server.settle(own_files)?;
    }
    Ok(strace.detach()? as f64 / (ROUNDS / 2 * CONNECTIONS) as f64)
}

fn connect(server: &Server) -> Result<Vec<TcpStream>, Failure> {
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let client = TcpStream::connect(server.addr)?;
        client.set_read_timeout(Some(TIMEOUT))?;
        client.set_write_timeout(Some(TIMEOUT))?;
        client.set_nodelay(true)?;
        clients.push(client);
    }
    Ok(clients)
}

fn echo(clients: &mut [TcpStream], bytes: usize) -> Result<(), Failure> {
    let sent = vec![b'x'; bytes];
    let mut back = vec![0; bytes];
    for client in &mut *clients {
        client.write_all(&sent)?;
    }
    for client in clients {
        client.read_exact(&mut back)?;
    }
    Ok(())
}

/// strace at work. It ends when this is dropped.
struct Strace {
    child: Child,
    /// Open to the end: strace says there that it detaches.
    stderr: BufReader<ChildStderr>,
    table: PathBuf,
}

impl Strace {
    /// Returns when it counts.
    fn attach(server: &Server) -> Result<Self, Failure> {
        let table = Path::new(env!("CARGO_TARGET_TMPDIR")).join("calls");
        let mut command = Command::new("strace");
        command.args(["-c", "-f", "-o"]).arg(&table).args(["-p", &server.id().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn();
        let mut child = child.map_err(|error| format!("strace cannot be run: {error}"))?;
        let stderr = BufReader::new(child.stderr.take().ok_or("no pipe")?);
        let mut strace = Self { child, stderr, table };
        let mut line = String::new();
        strace.stderr.read_line(&mut line)?;
        if line.contains("attached") { Ok(strace) } else { Err(line.trim().to_owned().into()) }
    }

    /// How many calls it has seen.
    fn detach(mut self) -> Result<u64, Failure> {
        kill_process(Pid::from_child(&self.child), Signal::INT)?;
        self.child.wait()?;
        Ok(sum(&std::fs::read_to_string(&self.table)?)?)
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
