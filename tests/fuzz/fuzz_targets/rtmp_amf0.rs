//! Runs `castctl::rtmp::fuzz::fuzz_amf0` under cargo-fuzz; what must hold is said there.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| castctl::rtmp::fuzz::fuzz_amf0(bytes));
