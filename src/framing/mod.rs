//! Where a message of a byte stream begins and ends.

mod error;
mod framer;
mod length_prefix;
mod line;
#[cfg(any(test, fuzzing))]
pub(crate) mod reference;
#[cfg(test)]
mod trickle;
mod varint;

pub use error::FrameError;
pub use framer::Framer;
pub use length_prefix::LengthPrefix;
pub use line::Line;
