//! The servers that are compared.

use std::process::Command;

use ::tokio::runtime::{Builder, Runtime};
use socket2::SockRef;

use crate::common::failure::Failure;
use crate::common::process;
use crate::common::servers::{command, listener, message_io, tokio};
use crate::grid::Row;
use crate::{floor, mio};

const LARGE_BUFFER: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Floor,
    Mio,
    Tokio,
    TokioLarge,
    MessageIo,
    Readyloop,
    TokioTwo,
    ReadyloopTwo,
}

impl Peer {
    /// Those with one thread that serves.
    pub(crate) const SINGLE: &[Self] =
        &[Self::Floor, Self::Mio, Self::Tokio, Self::TokioLarge, Self::MessageIo, Self::Readyloop];

    /// Those with two, and two with one beside them.
    pub(crate) const DOUBLE: &[Self] =
        &[Self::Floor, Self::Readyloop, Self::TokioTwo, Self::ReadyloopTwo];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "epoll loop in C",
            Self::Mio => "bare mio loop",
            Self::Tokio => "tokio",
            Self::TokioLarge => "tokio, 64 KiB buffers",
            Self::MessageIo => "message-io",
            Self::Readyloop => "readyloop",
            Self::TokioTwo => "tokio, 2 workers",
            Self::ReadyloopTwo => "readyloop, 2 reactors",
        }
    }

    /// Whether it takes part: buffers of 64 KiB are for messages that fill them.
    pub(crate) fn goes_through(self, row: &Row) -> bool {
        self != Self::TokioLarge || row.load.largest_message() >= LARGE_BUFFER as u32
    }

    fn named(name: &str) -> Option<Self> {
        Self::SINGLE.iter().chain(Self::DOUBLE).copied().find(|peer| peer.name() == name)
    }

    /// What starts it in a process of its own.
    pub(crate) fn command(self) -> Result<Command, Failure> {
        match self {
            Self::Floor => Ok(Command::new(floor::binary())),
            Self::Readyloop => process::readyloop(),
            Self::ReadyloopTwo => {
                let mut command = process::readyloop()?;
                command.args(["--reactors", "2"]);
                Ok(command)
            }
            Self::Mio | Self::Tokio | Self::TokioLarge | Self::MessageIo | Self::TokioTwo => {
                command(self.name())
            }
        }
    }
}

/// Serves in this process, until it is killed.
pub(crate) fn serve(name: &str) -> Result<(), Failure> {
    let listener = listener()?;
    // On Linux all connections inherit it. Message-io makes its own listener, and cannot be told.
    SockRef::from(&listener).set_tcp_nodelay(true)?;
    match Peer::named(name) {
        Some(Peer::Mio) => mio::serve(listener),
        Some(Peer::Tokio) => tokio::serve(&current_thread()?, listener, tokio::BUFFER),
        Some(Peer::TokioLarge) => tokio::serve(&current_thread()?, listener, LARGE_BUFFER),
        Some(Peer::TokioTwo) => {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_io().build()?;
            tokio::serve(&runtime, listener, tokio::BUFFER)
        }
        Some(Peer::MessageIo) => message_io::serve(),
        Some(Peer::Floor | Peer::Readyloop | Peer::ReadyloopTwo) | None => {
            Err(format!("{name} is not served from here").into())
        }
    }
}

fn current_thread() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_io().build()
}
