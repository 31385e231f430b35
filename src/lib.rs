//! A generalized TCP server: the library owns everything about connections, you write the business logic.
//!
//! One poll-driven [`Reactor`] holds the listeners and all connections. It accepts on readiness, passes input to the
//! callbacks of a [`Handler`], and sends the output that they queue. There is no async runtime, no thread for each
//! connection, and no buffer for an idle connection.
//!
//! A complete echo server:
//! ```no_run
//! # fn main() -> Result<(), readyloop::Error> {
//! readyloop::serve("127.0.0.1:7000", |conn, input| conn.send(input.take()))
//! # }
//! ```
//! Where to go from here:
//! - A server implements the trait [`Handler`]; [`Echo`] is a short example.
//! - Its callbacks work with [`Conn`], [`Input`] and [`Context`]; [`Line`], [`LengthPrefix`] and [`Framer`] split input
//!   into messages.
//! - [`Config`] and [`ListenOptions`] are the settings.
//! - [`Server`] runs several reactors, and [`Handle`] reaches a server from other threads.
//!
//! # Errors
//! `Display` shows an error and its cause on one line: what failed, a colon, and the cause. Control characters in the
//! texts of handlers are escaped. `source` returns the cause to code that needs its type. A program that prints the
//! sources too prints each cause twice.
//!
//! # Log
//! The library logs with the crate `log`, for example each error of a handler at level warn. Without a logger nothing
//! is printed.
//!
//! # Features
//! `sim` adds the module `sim`, a simulated network to test handlers in. It adds no dependency.
//!
//! `signals` adds `drain_on_signals`, for servers that a supervisor stops with SIGTERM. It adds signal-hook.

// A clock may step back: `saturating_sub` and the like never panic.
#![warn(clippy::unchecked_time_subtraction)]

mod addr;
mod budgets;
mod call;
mod close_reason;
mod config;
mod conn;
mod conn_info;
mod conn_settings;
mod connect_error;
mod contain;
mod context;
mod core;
mod echo;
mod error;
mod framing;
mod from_fn;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod handler;
mod id;
mod input;
mod net;
mod one_line;
mod panic_message;
mod reactor;
mod refusal;
mod report;
mod result;
mod send_error;
mod serve;
mod server;
#[cfg(all(unix, feature = "signals"))]
mod signals;
mod stats;
mod step_error;
mod suspension;
mod sync;
mod table;
mod timer_key;
mod two_phase_commit;
mod view;

pub use addr::Addr;
pub use budgets::Budgets;
pub use bytes::Bytes;
pub use call::Call;
pub use close_reason::CloseReason;
pub use config::{Config, Overflow};
pub use conn::Conn;
pub use conn_info::ConnInfo;
pub use connect_error::{Attempt, ConnectError};
pub use context::Context;
pub use echo::Echo;
pub use error::Error;
pub use framing::{FrameError, Framer, LengthPrefix, Line};
pub use from_fn::from_fn;
pub use handle::Handle;
pub use handler::Handler;
pub use id::ConnId;
pub use input::Input;
#[cfg(feature = "sim")]
pub use net::sim;
pub use net::{ConnectOptions, ListenOptions};
pub use reactor::Reactor;
pub use refusal::{CallError, Refusal, Refused, ReplaceError};
pub use report::Report;
pub use result::{BoxError, Result};
pub use send_error::SendError;
pub use serve::{serve, serve_with};
pub use server::Server;
#[cfg(all(unix, feature = "signals"))]
pub use signals::drain_on_signals;
pub use stats::{Exhausted, Expired, Stats};
pub use suspension::Suspension;
pub use timer_key::TimerKey;

/// The programs of the README and of the pages compile.
#[cfg(doctest)]
mod pages {
    macro_rules! pages {
        ($($(#[$condition:meta])? $name:ident = $path:literal;)*) => {
            $($(#[$condition])? #[doc = include_str!($path)] struct $name;)*
        };
    }

    pages! {
        Readme = "../README.md";
        Api = "../docs/api.md";
        CommandLine = "../docs/command-line.md";
        Connections = "../docs/connections.md";
        Contract = "../docs/contract.md";
        #[cfg(unix)] Embedding = "../docs/embedding.md";
        ForErlang = "../docs/for-erlang.md";
        Framing = "../docs/framing.md";
        Layout = "../docs/layout.md";
        Limits = "../docs/limits.md";
        Operations = "../docs/operations.md";
        Performance = "../docs/performance.md";
        #[cfg(feature = "sim")] Simulation = "../docs/simulation.md";
        Survival = "../docs/survival.md";
        Threads = "../docs/threads.md";
        Turn = "../docs/turn.md";
    }
}
