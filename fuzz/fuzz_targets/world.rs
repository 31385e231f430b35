//! A script of bytes for the simulated world, with the oracles of the simulation tests.
#![no_main]
#![allow(dead_code)] // the modules are those of the tests, which use more of them

#[path = "../../tests/simulation/actor.rs"]
mod actor;
#[path = "../../tests/simulation/bodies.rs"]
mod bodies;
#[path = "../../tests/simulation/dials.rs"]
mod dials;
#[path = "../../tests/simulation/oracle.rs"]
mod oracle;
#[path = "../../tests/simulation/scenario.rs"]
mod scenario;

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    if let Some(scenario) = scenario::Scenario::from_bytes(script)
        && let Err(broken) = oracle::run(&scenario)
    {
        panic!("{broken}\n{scenario:#?}\n{:#?}", scenario.network());
    }
});
