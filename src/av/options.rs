//! What the encoders of pictures are opened with: the words of x264, x265 and SVT-AV1 for the same
//! settings. Pure.
//!
//! Every encoder is set for low delay (no picture is reordered or looked ahead at) and makes no key
//! frame by itself.

use crate::av::encode::VideoSettings;
use crate::media::track::Codec;

/// A distance between key frames that no stream reaches: x264's own word for "never".
const NEVER: &str = "1073741824";

/// Pixels from which one more thread pays for itself: half of 720p. Each thread of x264 is a slice
/// of every picture, and slices cost bits.
const PIXELS_OF_A_THREAD: u64 = 640 * 720;

/// Threads of one encoder at most: a ladder has several encoders, which run side by side.
const THREADS: u64 = 4;

/// The encoder of a codec; `None` for sound.
pub(super) fn name(codec: Codec) -> Option<&'static str> {
    match codec {
        Codec::H264 => Some("libx264"),
        Codec::Hevc => Some("libx265"),
        Codec::Av1 => Some("libsvtav1"),
        Codec::Aac | Codec::Opus => None,
    }
}

/// Can the encoder be told, picture by picture, to make a key frame? SVT-AV1 behind libav 5.1
/// cannot; it is opened anew instead.
pub(super) fn takes_orders(codec: Codec) -> bool {
    codec != Codec::Av1
}

/// Threads for pictures of this size on a machine with so many cores.
fn threads(s: &VideoSettings, cores: usize) -> u64 {
    let pixels = u64::from(s.width) * u64::from(s.height);
    let most = THREADS.min(cores.max(1) as u64);
    (pixels / PIXELS_OF_A_THREAD).clamp(1, most)
}

/// Names and values.
pub(super) fn options(s: &VideoSettings, cores: usize) -> Vec<(&'static str, String)> {
    let threads = threads(s, cores);
    let level = format!("{}.{}", s.level / 10, s.level % 10);
    let mut out = vec![
        ("flags", "+global_header+cgop".into()),
        ("b", s.bitrate.to_string()),
        ("bufsize", s.bufsize.to_string()),
        ("preset", s.preset.clone()),
    ];
    // SVT-AV1 refuses one that is not above the bitrate.
    if s.codec != Codec::Av1 || s.maxrate > s.bitrate {
        out.push(("maxrate", s.maxrate.to_string()));
    }
    match s.codec {
        Codec::H264 => out.extend([
            ("tune", "zerolatency".into()),
            ("forced-idr", "1".into()),
            ("g", NEVER.into()),
            ("sc_threshold", "0".into()),
            ("profile", s.profile.clone()),
            ("level", level),
            ("threads", threads.to_string()),
        ]),
        Codec::Hevc => out.extend([
            ("tune", "zerolatency".into()),
            ("forced-idr", "1".into()),
            ("profile", s.profile.clone()),
            (
                "x265-params",
                format!(
                    "keyint=-1:scenecut=0:open-gop=0:level-idc={level}:high-tier=0:\
                     pools={threads}:info=0:log-level=none"
                ),
            ),
        ]),
        _ => out.push((
            "svtav1-params",
            format!("pred-struct=1:keyint=-1:scd=0:level={}:lp={threads}", s.level),
        )),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::av::clips_test::settings;

    #[test]
    fn threads_follow_the_size() {
        let of = |width, height, cores| {
            threads(&VideoSettings { width, height, ..settings(Codec::H264) }, cores)
        };
        assert_eq!(of(426, 240, 8), 1);
        assert_eq!(of(1280, 720, 8), 2);
        assert_eq!(of(1920, 1080, 8), 4);
        assert_eq!(of(1920, 1080, 2), 2);
        assert_eq!(of(1920, 1080, 0), 1);
    }

    #[test]
    fn a_maxrate_that_svt_refuses_is_left_out() {
        let flat = |codec| {
            let s = VideoSettings { maxrate: 500_000, bitrate: 500_000, ..settings(codec) };
            options(&s, 2).iter().any(|(name, _)| *name == "maxrate")
        };
        assert!(flat(Codec::H264) && flat(Codec::Hevc) && !flat(Codec::Av1));
    }
}
