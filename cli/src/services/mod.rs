//! The small services of old TCP stacks, except echo.

mod chargen;
mod daytime;
mod discard;
#[cfg(test)]
mod simulated;

pub(crate) use chargen::Chargen;
pub(crate) use daytime::Daytime;
pub(crate) use discard::Discard;
