//! The small services that TCP stacks used to offer, beside echo.

mod chargen;
mod daytime;
mod discard;
#[cfg(test)]
mod simulated;

pub(crate) use chargen::Chargen;
pub(crate) use daytime::Daytime;
pub(crate) use discard::Discard;
