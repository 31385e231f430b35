//! The small services that every TCP stack used to offer, as [`Handler`](crate::Handler)s of a few
//! lines: useful for testing, and the proof that the server is generic.

mod chargen;
#[cfg(feature = "cli")]
mod daytime;
mod discard;
mod echo;

pub use chargen::Chargen;
#[cfg(feature = "cli")]
pub use daytime::Daytime;
pub use discard::Discard;
pub use echo::Echo;
