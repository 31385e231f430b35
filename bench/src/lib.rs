//! The load generator of `readyloop bench`: loads an echo server, verifies its answers, and measures them.
//!
//! A [`Plan`] describes a run, a [`Bench`] carries it out, and a [`Report`] has the results: as a table (`Display`), as
//! JSON (`Serialize`) and as a picture ([`Report::draw`]).
//!
//! Each thread has a reactor of the library, and opens its connections with the library's connector.
//!
//! # Examples
//! ```
//! use std::time::Duration;
//!
//! use readyloop::{Echo, Config, Reactor};
//! use readyloop_bench::{Bench, Load, Plan};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut server = Reactor::new(Config::new(), Echo)?;
//! let addr = server.listen("127.0.0.1:0")?;
//! std::thread::spawn(move || server.run());
//!
//! let plan = Plan {
//!     load: Load::Closed { pipeline: 4 },
//!     connections: 10,
//!     active: 10,
//!     duration: Duration::from_millis(100),
//!     ..Plan::default()
//! };
//! let report = Bench::new(&addr.to_string(), plan)?.run()?;
//! assert!(report.problems().is_empty(), "{report}");
//! # Ok(())
//! # }
//! ```

// A clock may step back: `saturating_sub` and the like never panic.
#![warn(clippy::unchecked_time_subtraction)]

mod bench;
mod clock;
mod content;
mod coordinator;
mod driver;
mod echo_stream;
mod error;
mod error_kind;
mod events;
mod lag;
mod latency;
mod numbers;
mod pacer;
mod plan;
mod plot;
mod preflight;
mod problems;
mod progress;
mod report;

mod schedule;
mod series;
mod server_side;
mod server_watch;
mod share;
mod sizes;
mod sources;
mod table;
mod tally;

pub use bench::{Bench, Handle};
pub use error::Error;
pub use plan::{Load, Plan};
pub use report::Report;
pub use sizes::Sizes;
