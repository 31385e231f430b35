//! The promises of readyloop, kept by the real binary.
//!
//! `tests/README.md` of the repository says which test keeps which promise.

#[path = "../../../tests/simulation/endless.rs"]
mod endless;
#[path = "../../../tests/suite/util.rs"]
mod util;

mod bench;
mod bench_report;
mod binary;
mod client_command;
mod log;
mod many;
mod outside;
mod protection;
mod servers;
mod services;
mod signals;
mod system;
