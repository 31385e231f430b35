//! The promises of the library, kept on real sockets.
//!
//! `README.md` in the folder above says which test keeps which promise.

mod inside;
mod util;

mod connector;
mod contract;
mod embedded;
mod faults;
mod handlers;
mod ids;
mod library;
mod life;
mod listeners;
mod panic_texts;
mod shared;
mod stalls;
