//! AAC frames with ADTS headers (ISO/IEC 14496-3, 1.A.2.2), as MPEG-TS carries them: the header is
//! taken off and becomes an AudioSpecificConfig. Pure.

use bytes::Bytes;

/// The fixed and the variable header, and the checksum that may follow.
const HEADER: usize = 7;
const CHECKSUM: usize = 2;

/// A frame without its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Object type, sampling frequency index and channels of the header.
    profile: (u8, u8, u8),
    /// The raw access unit.
    pub(super) payload: &'a [u8],
    /// Bytes of header and payload.
    len: usize,
}

impl Frame<'_> {
    /// The AudioSpecificConfig of 2 bytes (1.6.2.1).
    pub(super) fn config(&self) -> Bytes {
        let (object, rate, channels) = self.profile;
        Bytes::copy_from_slice(&[object << 3 | rate >> 1, rate << 7 | channels << 3])
    }
}

/// The frames in a piece of an ADTS stream, in order; what is left at the first thing that is no
/// frame is dropped.
pub(super) fn frames(data: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let frame = frame(rest)?;
        rest = &rest[frame.len..];
        Some(frame)
    })
}

/// Reads one frame; `None` for anything else, and for several raw blocks in one frame, which no
/// container can tell apart.
fn frame(data: &[u8]) -> Option<Frame<'_>> {
    let h: &[u8; HEADER] = data.first_chunk()?;
    // Sync word, and layer zero.
    if h[0] != 0xff || h[1] & 0xf6 != 0xf0 {
        return None;
    }
    let header = if h[1] & 1 == 1 { HEADER } else { HEADER + CHECKSUM };
    let (object, rate) = ((h[2] >> 6) + 1, h[2] >> 2 & 15);
    let channels = (h[2] & 1) << 2 | h[3] >> 6;
    let len = usize::from(h[3] & 3) << 11 | usize::from(h[4]) << 3 | usize::from(h[5] >> 5);
    let payload = data.get(header..len)?;
    if rate > 12 || h[6] & 3 != 0 || payload.is_empty() {
        return None;
    }
    Some(Frame { profile: (object, rate, channels), payload, len })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::aac;

    #[test]
    fn a_header_becomes_a_configuration() {
        // AAC-LC, 48 kHz, stereo, 9 bytes in all, twice.
        let one = [0xff, 0xf1, 0x4c, 0x80, 0x01, 0x3f, 0xfc, 0xaa, 0xbb];
        let two = [one, one].concat();
        let got: Vec<Frame<'_>> = frames(&two).collect();
        assert_eq!(got.len(), 2);
        assert_eq!(got[1].payload, [0xaa, 0xbb]);
        let config = aac::parse(&got[0].config()).expect("a configuration");
        let what = (config.sample_rate, config.channels, config.object_type);
        assert_eq!(what, (48_000, 2, 2));
    }

    #[test]
    fn what_is_no_frame_ends_it() {
        for bad in
            [&[][..], &[0xff, 0xf1, 0x4c], &[0; 16], &[0xff, 0xf1, 0x4c, 0x80, 0xff, 0xff, 0]]
        {
            assert_eq!(frames(bad).count(), 0, "{bad:x?}");
        }
    }
}
