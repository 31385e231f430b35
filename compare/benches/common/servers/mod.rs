//! Echo servers that are compared with this crate's, each in a process of its own: the bench starts itself
//! again with a hidden argument.

pub(crate) mod message_io;
pub(crate) mod tokio;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

use crate::common::failure::Failure;

/// The hidden argument that makes a bench a server; its name follows.
const SERVE: &str = "--serve";

/// Which server this process has to be, if any.
pub(crate) fn wanted() -> Option<String> {
    let mut args = std::env::args().skip_while(|arg| arg != SERVE);
    args.next().map(|_| args.next().unwrap_or_default())
}

/// What starts this bench as a server.
pub(crate) fn command(name: &str) -> Result<std::process::Command, Failure> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args([SERVE, name]);
    Ok(command)
}

/// A listener with the backlog that readyloop and message-io have. Mio's and tokio's own is 128: too
/// small for the 200 that dial at once, and a trial of its own.
pub(crate) fn listener() -> Result<TcpListener, Failure> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Tells the parent process, as the real binary does.
pub(crate) fn announce(addr: SocketAddr) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "listening on {addr}")?;
    Ok(out.flush()?)
}
