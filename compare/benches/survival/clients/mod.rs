//! The clients, the same for every server.

mod connect;
mod dialler;
mod flood;
mod quiet;
mod sleeper;

pub(crate) use connect::{
    MESSAGE, connect, connect_with_small_buffers, numbered_round_trip, round_trip,
};
pub(crate) use dialler::Dialler;
pub(crate) use flood::Flood;
pub(crate) use quiet::{QuietClients, Times};
pub(crate) use sleeper::Sleeper;
