//! Runs `castctl::log::format::fuzz::fuzz_stream` under cargo-fuzz; what must hold is said there.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    castctl::log::format::fuzz::fuzz_stream(bytes);
});
