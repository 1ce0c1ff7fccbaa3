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
    if let Ok(body::AudioBody::Coded(payload)) = body::audio(&bytes) {
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

/// Reads `data` as an avcC, a sequence parameter set, an AudioSpecificConfig and a payload;
/// whatever is accepted must also fit into an init section.
pub fn fuzz_codec(data: &[u8]) {
    let _ = codec::sps::parse(data);
    for nal_len_size in 0..=5 {
        let nals = codec::h264::nals(data, nal_len_size).map_while(Result::ok);
        assert!(nals.map(<[u8]>::len).sum::<usize>() <= data.len(), "NAL units do not overlap");
        codec::h264::is_idr(data, nal_len_size);
    }
    for codec in [Codec::H264, Codec::Aac] {
        let track = Track {
            id: TrackId(1),
            codec,
            timescale: Timescale::MILLIS,
            rate: None,
            config: Bytes::copy_from_slice(data),
        };
        if let Ok(details) = codec::details(&track) {
            let init = fmp4::init::init(&track, &details, 1).expect("details fit their track");
            assert!(init.len() < data.len() + 1024, "an init section is small");
        }
    }
}

#[cfg(test)]
#[path = "fuzz_seeded.rs"]
pub(crate) mod seeded;

#[cfg(test)]
#[path = "fuzz_test.rs"]
mod tests;
