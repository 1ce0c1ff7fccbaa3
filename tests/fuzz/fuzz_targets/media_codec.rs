//! Runs `castctl::media::fuzz::fuzz_codec` under cargo-fuzz; what must hold is said there.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    castctl::media::fuzz::fuzz_codec(bytes);
});
