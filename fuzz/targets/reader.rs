//! One program for each reader, which it knows by its own name.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| samesession::fuzzing::run(env!("CARGO_BIN_NAME"), bytes));
