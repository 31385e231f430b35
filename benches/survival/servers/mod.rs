//! The servers that are compared: each the usual echo server of its library.

mod bare_mio;
mod message_io;
mod tokio;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

use crate::Failure;

/// The hidden argument that makes this bench a server.
pub(crate) const SERVE: &str = "--serve";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Readyloop,
    BareMio,
    Tokio,
    MessageIo,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] =
        [Self::Readyloop, Self::BareMio, Self::Tokio, Self::MessageIo];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Readyloop => "readyloop",
            Self::BareMio => "bare mio loop",
            Self::Tokio => "tokio",
            Self::MessageIo => "message-io",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Serves in this process, until it is killed.
    pub(crate) fn serve(self) -> Result<(), Failure> {
        match self {
            Self::Readyloop => Err("that is a binary of its own".into()),
            Self::BareMio => bare_mio::serve(),
            Self::Tokio => tokio::serve(),
            Self::MessageIo => message_io::serve(),
        }
    }
}

/// A listener with the backlog that readyloop and message-io have. Mio's and tokio's own is 128: too
/// small for the 200 that dial at once, and a trial of its own.
fn listener() -> Result<TcpListener, Failure> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Tells the parent process, as the real binary does.
fn announce(addr: SocketAddr) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    writeln!(out, "listening on {addr}")?;
    Ok(out.flush()?)
}
