//! The servers that are compared: each the usual echo server of its library.

mod bare_mio;

use std::process::Command;

use ::tokio::runtime::Builder;

use crate::common::failure::Failure;
use crate::common::process;
use crate::common::servers::{command, listener, message_io, tokio};

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

    /// What starts it in a process of its own.
    pub(crate) fn command(self) -> Result<Command, Failure> {
        match self {
            Self::Readyloop => process::readyloop(),
            other => command(other.name()),
        }
    }

    /// Serves in this process, until it is killed.
    pub(crate) fn serve(self) -> Result<(), Failure> {
        match self {
            Self::Readyloop => Err("that is a binary of its own".into()),
            Self::BareMio => bare_mio::serve(),
            Self::Tokio => {
                let runtime = Builder::new_current_thread().enable_io().build()?;
                tokio::serve(&runtime, listener()?, tokio::BUFFER)
            }
            Self::MessageIo => message_io::serve(),
        }
    }
}
