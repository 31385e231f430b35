//! The promises of readyloop, kept on real sockets and by the real binary.
//!
//! `README.md` in the folder above says which test keeps which promise.

mod util;

mod client;
mod connector;
mod contract;
mod embedded;
mod faults;
mod handlers;
mod ids;
mod library;
mod life;
mod panic_texts;
mod stalls;

#[cfg(feature = "cli")]
mod bench;
#[cfg(feature = "cli")]
mod bench_report;
#[cfg(feature = "cli")]
mod binary;
#[cfg(feature = "cli")]
mod client_command;
#[cfg(feature = "cli")]
mod log;
#[cfg(feature = "cli")]
mod many;
#[cfg(feature = "cli")]
mod outside;
#[cfg(feature = "cli")]
mod protection;
#[cfg(feature = "cli")]
mod signals;
