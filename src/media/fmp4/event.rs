//! Cues in the media: an event message box (ISO/IEC 23009-1, 5.10.3.3) of version 1 with an ID3
//! tag, as "Carriage of ID3 Timed Metadata in the Common Media Application Format" of the AOM says.
//! Players that know either hand it to the page: hls.js as a metadata text track, shaka and
//! AVPlayer as timed metadata.
//!
//! The tag (ID3v2.4.0) has one frame, TXXX: description [`DESCRIPTION`], value a JSON object with
//! the members `id`, `class`, `start` (RFC 3339), `duration` (seconds) and `data`, the cue's own.

use crate::base::time::{MICROS, Timescale};
use crate::media::timeline::cue::Cue;
use bytes::{BufMut, Bytes};
use mp4_atom::{Emsg, EmsgTimestamp, Encode};

/// What the message is: an ID3 tag.
pub const SCHEME: &str = "https://aomedia.org/emsg/ID3";

/// By this the frame is known.
pub const DESCRIPTION: &str = "castctl.cue";

/// Text encoding of an ID3 frame: UTF-8 (ID3v2.4.0, 4).
const UTF8: u8 = 3;

/// An event's length where it is unknown or has more than 32 bits.
const UNKNOWN: u32 = u32::MAX;

/// The box of a cue that begins at `time`, in ticks of the track's `mux` timescale. What begins
/// before the track's time does begins with it.
pub fn event(cue: &Cue, time: i64, mux: Timescale) -> Bytes {
    let duration = u32::try_from(mux.from_micros(cue.duration)).unwrap_or(UNKNOWN);
    let emsg = Emsg {
        timescale: mux.get(),
        presentation_time: EmsgTimestamp::Absolute(u64::try_from(time).unwrap_or(0)),
        event_duration: duration,
        // Players take a message with the number of one they know for a repetition of it.
        id: crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, cue.id.as_bytes()) as u32,
        scheme_id_uri: SCHEME.into(),
        value: String::new(),
        message_data: tag(cue),
    };
    let mut out = Vec::with_capacity(emsg.message_data.len() + 128);
    emsg.encode(&mut out).expect("writing to memory cannot fail");
    out.into()
}

/// The ID3 tag.
fn tag(cue: &Cue) -> Vec<u8> {
    let Cue { id, class, start, duration, data, .. } = cue;
    let (whole, rest) = (duration / MICROS, duration % MICROS);
    let value = format!(
        "{{\"id\":\"{id}\",\"class\":\"{class}\",\"start\":\"{start}\",\
         \"duration\":{whole}.{rest:06},\"data\":{data}}}"
    );
    let frame = 1 + DESCRIPTION.len() + 1 + value.len();
    let mut out = Vec::with_capacity(20 + frame);
    out.put_slice(b"ID3\x04\0\0");
    out.put_u32(syncsafe(10 + frame));
    out.put_slice(b"TXXX");
    out.put_u32(syncsafe(frame));
    out.put_u16(0);
    out.put_u8(UTF8);
    out.put_slice(DESCRIPTION.as_bytes());
    out.put_u8(0);
    out.put_slice(value.as_bytes());
    out
}

/// A size of 28 bits in four bytes of seven (ID3v2.4.0, 6.2). A tag of a cue is far smaller.
fn syncsafe(n: usize) -> u32 {
    let n = n as u32 & 0x0fff_ffff;
    (n & 0x7f) | (n & 0x3f80) << 1 | (n & 0x1f_c000) << 2 | (n & 0x0fe0_0000) << 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Wall;
    use crate::media::timeline::cue::{CUE_DATA_MAX, CUE_DURATION_MAX};
    use mp4_atom::Decode;

    fn cue() -> Cue {
        Cue {
            id: "ad-1".into(),
            class: "com.example.ad".into(),
            start: Wall(1_795_195_386_125_000),
            duration: 1_500_000,
            added: Wall(0),
            data: "{\"n\": \"ä\"}".into(),
            repeated: false,
        }
    }

    #[test]
    fn the_box_says_when_and_what() {
        let mux = Timescale::new(90_000).expect("not zero");
        let bytes = event(&cue(), 123_456, mux);
        let emsg = Emsg::decode(&mut &bytes[..]).expect("a box");
        assert_eq!((emsg.timescale, emsg.event_duration), (90_000, 135_000));
        assert_eq!(emsg.presentation_time, EmsgTimestamp::Absolute(123_456));
        assert_eq!((emsg.scheme_id_uri.as_str(), emsg.value.as_str()), (SCHEME, ""));
        let value = "{\"id\":\"ad-1\",\"class\":\"com.example.ad\",\
                     \"start\":\"2026-11-20T17:23:06.125Z\",\"duration\":1.500000,\
                     \"data\":{\"n\": \"ä\"}}";
        let frame = [b"\x03castctl.cue\0", value.as_bytes()].concat();
        let len = frame.len() as u8;
        // The sizes have two bytes of seven bits.
        let size = |n: u8| [0, 0, n >> 7, n & 0x7f];
        let head = [b"TXXX".as_slice(), &size(len), &[0, 0]].concat();
        let tag = [b"ID3\x04\0\0".as_slice(), &size(len + 10), &head, &frame].concat();
        assert_eq!(emsg.message_data, tag);
        let long = Cue { duration: CUE_DURATION_MAX, ..cue() };
        let emsg = Emsg::decode(&mut &event(&long, -1, mux)[..]).expect("a box");
        assert_eq!(emsg.presentation_time, EmsgTimestamp::Absolute(0), "with the track's time");
        assert_eq!(emsg.event_duration, 12 * 3_600 * 90_000);
        let other = Cue { id: "ad-2".into(), ..cue() };
        let other = Emsg::decode(&mut &event(&other, 0, mux)[..]).expect("a box");
        assert_ne!(other.id, emsg.id);
    }

    #[test]
    fn sizes_are_of_seven_bits_a_byte() {
        for (n, want) in [(0, 0), (127, 127), (128, 0x100), (0x3fff, 0x7f7f), (0x4000, 0x1_0000)] {
            assert_eq!(syncsafe(n), want, "{n}");
        }
        assert!(syncsafe(CUE_DATA_MAX + 1024) < 0x10_0000);
    }
}
