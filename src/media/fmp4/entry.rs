//! Sample entries read back: which codec, and the configuration record as packets have it.

use crate::media::codec::{CONFIG_MAX, opus};
use crate::media::fmp4::read::{Part, ReadError};
use crate::media::track::Codec;
use bytes::Bytes;

/// Bytes of a visual and of an audio sample entry before the boxes in it (ISO/IEC 14496-12, 12.1.3
/// and 12.2.3).
const VISUAL_ENTRY: usize = 78;
const AUDIO_ENTRY: usize = 28;

/// The configuration record of an entry that castctl carries.
///
/// # Errors
/// The entry is cut short or its boxes are none.
pub(super) fn codec(name: [u8; 4], entry: &Part) -> Result<Option<(Codec, Bytes)>, ReadError> {
    let found = match &name {
        b"avc1" | b"avc3" => {
            let avcc = entry.from(VISUAL_ENTRY, "avc1")?.find(b"avcC")?;
            avcc.map(|part| (Codec::H264, part.data))
        }
        b"hvc1" | b"hev1" => {
            let hvcc = entry.from(VISUAL_ENTRY, "hvc1")?.find(b"hvcC")?;
            hvcc.map(|part| (Codec::Hevc, part.data))
        }
        b"av01" => {
            let av1c = entry.from(VISUAL_ENTRY, "av01")?.find(b"av1C")?;
            av1c.map(|part| (Codec::Av1, part.data))
        }
        b"Opus" => {
            let dops = entry.from(AUDIO_ENTRY, "Opus")?.find(b"dOps")?;
            dops.and_then(|part| Some((Codec::Opus, opus_head(&part.data)?)))
        }
        b"mp4a" => match entry.from(AUDIO_ENTRY, "mp4a")?.find(b"esds")? {
            Some(esds) => specific(&esds)?.map(|config| (Codec::Aac, config)),
            None => None,
        },
        _ => None,
    };
    Ok(found.filter(|(_, config)| config.len() <= CONFIG_MAX))
}

/// The OpusHead of a `dOps` (Encapsulation of Opus in ISOBMFF, 4.3.2); `None` when it is none.
fn opus_head(dops: &[u8]) -> Option<Bytes> {
    let d: &[u8; 11] = dops.first_chunk()?;
    let mapping = match d[10] {
        0 => None,
        family => {
            let table = dops.get(11..13 + usize::from(d[1]))?;
            let (streams, coupled, channels) = (table[0], table[1], &table[2..]);
            Some(opus::Mapping { family, streams, coupled, channels })
        }
    };
    let head = opus::Head {
        channels: d[1],
        pre_skip: u16::from_be_bytes([d[2], d[3]]),
        input_rate: u32::from_be_bytes([d[4], d[5], d[6], d[7]]),
        gain: i16::from_be_bytes([d[8], d[9]]),
        mapping,
    };
    (d[0] == 0).then(|| head.to_bytes())
}

/// The decoder specific info of an `esds` (ISO/IEC 14496-1, 7.2.6).
fn specific(esds: &Part) -> Result<Option<Bytes>, ReadError> {
    const ES: u8 = 3;
    const DECODER_CONFIG: u8 = 4;
    const DECODER_SPECIFIC: u8 = 5;
    // Version and flags; then each descriptor lies in the one before, behind its own fields.
    let mut part = esds.from(4, "esds")?;
    for (tag, fields) in [(ES, 3), (DECODER_CONFIG, 13), (DECODER_SPECIFIC, 0)] {
        if part.data.first() != Some(&tag) {
            return Ok(None);
        }
        let (mut len, mut at) = (0usize, 1);
        for _ in 0..4 {
            let truncated = ReadError::Truncated { what: "esds", at: part.at + at };
            let byte = *part.data.get(at).ok_or(truncated)?;
            (len, at) = (len << 7 | usize::from(byte & 0x7f), at + 1);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let body = part.from(at, "esds")?;
        if tag == DECODER_SPECIFIC {
            let truncated = ReadError::Truncated { what: "esds", at: body.at };
            return if len > body.data.len() {
                Err(truncated)
            } else {
                Ok(Some(body.data.slice(..len)))
            };
        }
        part = body.from(fields, "esds")?;
    }
    Ok(None)
}
