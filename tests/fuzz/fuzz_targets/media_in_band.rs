//! Runs `castctl::media::fuzz::fuzz_in_band` under cargo-fuzz; what must hold is said there. The
//! first two bytes say which codec, and where the configuration ends and the payload begins.
#![no_main]

use castctl::media::track::Codec;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [codec, len, rest @ ..] = bytes else { return };
    let codec = if codec & 1 == 0 { Codec::Hevc } else { Codec::Av1 };
    let (config, payload) = rest.split_at(usize::from(*len).min(rest.len()));
    castctl::media::fuzz::fuzz_in_band(codec, config, payload);
});
