//! Bodies of fuzz targets: each takes a stranger's bytes through every reader of one module. They
//! hold the promises a caller relies on (no panic, slices of the input, bounded output), and
//! `cargo test` drives them with seeded mutations of real media.

use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::media::flv::{body, file};
use crate::media::track::{Codec, Track};
use crate::media::{codec, fmp4};
use bytes::Bytes;

/// Reads `data` as a video body, as an audio body, and as a file in two pieces.
pub fn fuzz_flv(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    for nal_len_size in [1, 2, 4] {
        if let Ok(body::VideoBody::Coded { payload, .. }) = body::video(&bytes, nal_len_size) {
            assert!(payload.len() < data.len(), "a payload is a part of its body");
        }
    }
    if let Ok(body::AudioBody::Coded { payload, .. }) = body::audio(&bytes) {
        assert!(payload.len() < data.len(), "a payload is a part of its body");
    }
    let mut reader = file::FlvReader::new();
    let mut total = 0;
    let (a, b) = data.split_at(data.len() / 2);
    for piece in [a, b] {
        reader.push(piece);
        while let Ok(Some(tag)) = reader.next_tag() {
            total += tag.body.len();
            let _ = body::video(&tag.body, 4);
            let _ = body::audio(&tag.body);
        }
    }
    assert!(total <= data.len(), "bodies are parts of the file");
}

/// Reads `data` as a configuration of every codec, as parameter sets and as a payload; whatever is
/// accepted must also fit into an init section, and what a payload says of its configuration must
/// be a configuration, and then no news.
pub fn fuzz_codec(data: &[u8]) {
    let _ = codec::sps::parse(data);
    let _ = codec::hevc_sps::parse(data);
    let _ = codec::av1_sequence::parse(data);
    assert!((1..=codec::opus::PACKET_MAX).contains(&codec::opus::ticks(data)), "some time");
    for nal_len_size in 0..=5 {
        let nals = codec::h264::nals(data, nal_len_size).map_while(Result::ok);
        assert!(nals.map(<[u8]>::len).sum::<usize>() <= data.len(), "NAL units do not overlap");
        for codec in Codec::ALL {
            codec::is_key(codec, data, nal_len_size);
        }
        codec::hevc::is_skipped_leading(data, nal_len_size);
    }
    let obus = codec::av1::obus(data).map_while(Result::ok);
    assert!(obus.map(|o| o.len).sum::<usize>() <= data.len(), "OBUs do not overlap");
    for codec in Codec::ALL {
        let config = Bytes::copy_from_slice(data);
        let (id, timescale) = (TrackId(1), Timescale::MILLIS);
        let track = Track { id, codec, timescale, rate: None, config };
        if let Ok(details) = codec::details(&track) {
            let init = fmp4::init::init(&track, &details, 1).expect("details fit their track");
            assert!(init.len() < data.len() + 1024, "an init section is small");
            assert!(codec::key_prefix(&track).is_ok(), "what is read can be repeated");
        }
    }
}

/// Reads `payload` as a key frame under the configuration `config`.
pub fn fuzz_in_band(codec: Codec, config: &[u8], payload: &[u8]) {
    let Some(news) = codec::in_band(codec, config, payload) else { return };
    assert!(news.len() <= codec::CONFIG_MAX, "a record is small");
    assert_eq!(codec::in_band(codec, &news, payload), None, "told once");
    let (id, timescale) = (TrackId(1), Timescale::MILLIS);
    let track = Track { id, codec, timescale, rate: None, config: news };
    codec::details(&track).expect("a record that can be read");
}

#[cfg(test)]
#[path = "fuzz_seeded.rs"]
pub(crate) mod seeded;

#[cfg(test)]
#[path = "fuzz_test.rs"]
mod tests;
