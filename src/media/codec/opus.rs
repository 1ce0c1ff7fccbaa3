//! Opus: the identification header (OpusHead, RFC 7845, 5.1), which is the configuration here and
//! becomes the `dOps` of MP4 (Encapsulation of Opus in ISOBMFF, 4.3.2), and how long a packet
//! sounds (RFC 6716, 3.1). Nothing is decoded.

use crate::media::codec::{AudioDetails, CodecError, FrameLength};
use bytes::Bytes;

/// The clock of Opus: whatever was recorded, a decoder puts out 48 kHz.
pub const RATE: u32 = 48_000;

/// Ticks of a frame where nothing says it: 20 ms, as encoders make them unless told otherwise.
pub const FRAME_NOMINAL: u32 = 960;

/// Longest packet in ticks: 120 ms (RFC 6716, 3.2.5).
pub const PACKET_MAX: u32 = 5_760;

const MAGIC: &[u8; 8] = b"OpusHead";

/// Bytes of a header of mapping family 0.
const HEAD: usize = 19;

/// How the coded streams become channels (RFC 7845, 5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping<'a> {
    /// `Channel Mapping Family`; not 0.
    pub family: u8,
    /// Streams in a packet.
    pub streams: u8,
    /// How many of them are stereo.
    pub coupled: u8,
    /// For each channel the decoded channel that it gets; 255 is silence.
    pub channels: &'a [u8],
}

/// An identification header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// Output channels; not zero.
    pub channels: u8,
    /// Ticks of 48 kHz at the start of the decoded sound that are to be dropped.
    pub pre_skip: u16,
    /// Rate of what was recorded, in Hz; 0 when unknown. Informative.
    pub input_rate: u32,
    /// Q7.8 decibels to apply.
    pub gain: i16,
    /// `None` for mapping family 0: mono or stereo.
    pub mapping: Option<Mapping<'a>>,
}

impl<'a> Head<'a> {
    /// Reads a header.
    ///
    /// # Errors
    /// With the byte offset: no such header, another major version, no channels, more than two of
    /// family 0, a mapping that is cut off or names streams that are not there.
    pub fn parse(data: &'a [u8]) -> Result<Head<'a>, CodecError> {
        let invalid = |what, at| CodecError::Invalid { what, at };
        let h: &[u8; HEAD] =
            data.first_chunk().ok_or(CodecError::Truncated { what: "OpusHead", at: data.len() })?;
        if &h[..8] != MAGIC {
            return Err(invalid("OpusHead magic", 0));
        }
        // The upper half is the major version (RFC 7845, 5.1).
        if h[8] >> 4 != 0 {
            return Err(invalid("OpusHead version", 8));
        }
        let (channels, family) = (h[9], h[18]);
        if channels == 0 || family == 0 && channels > 2 {
            return Err(invalid("OpusHead channels", 9));
        }
        let mut mapping = None;
        if family > 0 {
            let cut = CodecError::Truncated { what: "OpusHead channel mapping", at: HEAD };
            let table = data.get(HEAD..HEAD + 2 + usize::from(channels)).ok_or(cut)?;
            let (streams, coupled, map) = (table[0], table[1], &table[2..]);
            let decoded = u16::from(streams) + u16::from(coupled);
            let known = |c: &u8| *c == 255 || u16::from(*c) < decoded;
            if streams == 0 || coupled > streams || decoded > 255 || !map.iter().all(known) {
                return Err(invalid("OpusHead channel mapping", HEAD));
            }
            mapping = Some(Mapping { family, streams, coupled, channels: map });
        }
        Ok(Head {
            channels,
            pre_skip: u16::from_le_bytes([h[10], h[11]]),
            input_rate: u32::from_le_bytes([h[12], h[13], h[14], h[15]]),
            gain: i16::from_le_bytes([h[16], h[17]]),
            mapping,
        })
    }

    /// The header's bytes.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(HEAD + 2 + usize::from(self.channels));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[1, self.channels]);
        out.extend_from_slice(&self.pre_skip.to_le_bytes());
        out.extend_from_slice(&self.input_rate.to_le_bytes());
        out.extend_from_slice(&self.gain.to_le_bytes());
        out.push(self.mapping.map_or(0, |m| m.family));
        if let Some(m) = &self.mapping {
            out.extend_from_slice(&[m.streams, m.coupled]);
            out.extend_from_slice(m.channels);
        }
        out.into()
    }

    /// What viewers and planners need to know.
    pub fn details(&self) -> AudioDetails {
        AudioDetails {
            sample_rate: RATE,
            output_rate: RATE,
            channels: self.channels,
            frame: FrameLength::InPacket { usual: FRAME_NOMINAL },
            object_type: 0,
        }
    }
}

/// Streams, coupled streams and order of channels of mapping family 1 for 3 to 8 channels (RFC
/// 7845, 5.1.1.2).
const SURROUND: [(u8, u8, &[u8]); 6] = [
    (2, 1, &[0, 2, 1]),
    (2, 2, &[0, 1, 2, 3]),
    (3, 2, &[0, 4, 1, 2, 3]),
    (4, 2, &[0, 4, 1, 2, 3, 5]),
    (4, 3, &[0, 4, 1, 2, 3, 5, 6]),
    (5, 3, &[0, 6, 1, 2, 3, 4, 5, 7]),
];

/// A header for an encoder that sends none (Enhanced RTMP allows it): nothing to skip, the usual
/// mapping. `None` for no channels and for more than 8, which have no usual mapping.
pub fn default_head(channels: u8) -> Option<Bytes> {
    let mapping = match channels {
        1 | 2 => None,
        _ => {
            let at = usize::from(channels).checked_sub(3)?;
            let (streams, coupled, channels) = *SURROUND.get(at)?;
            Some(Mapping { family: 1, streams, coupled, channels })
        }
    };
    let head = Head { channels, pre_skip: 0, input_rate: RATE, gain: 0, mapping };
    Some(head.to_bytes())
}

/// Ticks of 48 kHz that a packet sounds: its first byte tells the length of a frame, and how many
/// there are (RFC 6716, 3.1 and 3.2). In a packet of several streams all sound as long, and the
/// first says so in the same bytes. [`FRAME_NOMINAL`] for a packet that no decoder takes.
pub fn ticks(packet: &[u8]) -> u32 {
    let Some(&toc) = packet.first() else { return FRAME_NOMINAL };
    // Table 2: SILK, hybrid, CELT.
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => 120 << (config & 3),
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(0, |b| u32::from(b & 63)),
    };
    let all = frame * count;
    if (1..=PACKET_MAX).contains(&all) { all } else { FRAME_NOMINAL }
}
