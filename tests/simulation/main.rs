//! The whole reactor in a simulated network: whole scenarios drawn from a seed, with oracles at every
//! turn, and one test for each fault.
//!
//! ```text
//! cargo test --release --test simulation                          some thousand seeds
//! READYLOOP_SEEDS=1000000 cargo test --release --test simulation seeds
//! READYLOOP_SEED=4711 cargo test --release --test simulation replay
//! ```

mod actor;
mod bodies;
mod clocks;
mod closing;
mod connector;
mod contract;
mod costs;
mod dials;
mod endless;
mod framing;
mod ids;
mod life;
mod listeners;
mod logs;
mod oracle;
mod protection;
mod rows;
mod scenario;
mod seeds;
mod shared;
mod stalls;
mod texts;
mod traps;
