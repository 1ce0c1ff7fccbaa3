//! Codecs by the four characters that Enhanced RTMP knows them by.

use crate::media::track::Codec;

/// The codecs that castctl carries.
const CARRIED: [(Codec, &str); 5] = [
    (Codec::H264, "avc1"),
    (Codec::Hevc, "hvc1"),
    (Codec::Av1, "av01"),
    (Codec::Aac, "mp4a"),
    (Codec::Opus, "Opus"),
];

/// A codec's four characters.
pub fn of(codec: Codec) -> &'static str {
    CARRIED.iter().find(|(c, _)| *c == codec).map_or("", |(_, name)| *name)
}

/// The codec of these four characters; `None` for those that castctl does not carry.
pub fn codec(fourcc: &[u8]) -> Option<Codec> {
    CARRIED.iter().find(|(_, name)| name.as_bytes() == fourcc).map(|(c, _)| *c)
}

/// The four characters as the number that `onMetaData` has (Enhanced RTMP v2, "Enhancing
/// onMetaData"): big-endian.
pub fn number(codec: Codec) -> u32 {
    of(codec).bytes().fold(0, |n, b| n << 8 | u32::from(b))
}

/// Any codec of Enhanced RTMP for people: `VP9 (Enhanced RTMP vp09)`.
pub(super) fn describe(fourcc: &[u8]) -> String {
    let name = match fourcc {
        b"vvc1" => "VVC",
        b"vp08" => "VP8",
        b"vp09" => "VP9",
        b"fLaC" => "FLAC",
        b"ac-3" => "AC-3",
        b"ec-3" => "E-AC-3",
        b".mp3" => "MP3",
        _ => codec(fourcc).map_or("Codec", Codec::name),
    };
    format!("{name} (Enhanced RTMP {})", fourcc.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_codecs() {
        for c in Codec::ALL {
            assert_eq!(codec(of(c).as_bytes()), Some(c));
        }
        assert_eq!(number(Codec::Av1), 0x6176_3031);
        assert_eq!(describe(b"hvc1"), "HEVC (Enhanced RTMP hvc1)");
    }
}
