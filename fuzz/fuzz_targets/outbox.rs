//! The outbox, against a plain queue.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| readyloop::fuzzing::outbox(script));
