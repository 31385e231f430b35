//! What a handler is shown and takes, in any pieces, against the plain stream of bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| readyloop::fuzzing::input(script));
