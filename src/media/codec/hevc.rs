//! HEVC as ISO/IEC 14496-15 stores it: the decoder configuration record (hvcC) and payloads of
//! length-prefixed NAL units.

use crate::media::codec::h264::nals;
use crate::media::codec::hevc_sps::{self, Sps};
use crate::media::codec::{CONFIG_MAX, CodecError};
use bytes::{BufMut, Bytes, BytesMut};

/// A video parameter set (ISO/IEC 23008-2, table 7-1).
pub const NAL_VPS: u8 = 32;
/// A sequence parameter set.
pub const NAL_SPS: u8 = 33;
/// A picture parameter set.
pub const NAL_PPS: u8 = 34;
/// An access unit delimiter.
pub const NAL_DELIMITER: u8 = 35;

/// Pictures that a decoder can start at: BLA, IDR and CRA, and two kinds held in reserve.
const IRAP: std::ops::RangeInclusive<u8> = 16..=23;
/// Coded slices; everything above is no picture.
const VCL_LAST: u8 = 31;
/// Skipped leading pictures, which refer to pictures before their random access point.
const RASL: std::ops::RangeInclusive<u8> = 8..=9;

/// Bytes of a record before its arrays of parameter sets.
const HEAD: usize = 23;

/// nal_unit_type of a NAL unit; 63 of one without a header.
pub fn kind(nal: &[u8]) -> u8 {
    nal.first().map_or(63, |b| b >> 1 & 63)
}

/// The parts of an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1) that are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HevcConfig<'a> {
    /// Size of the NAL length field in payloads: 1, 2 or 4 bytes.
    pub nal_len_size: u8,
    /// Every NAL unit of the record in its order: parameter sets, and SEI messages of some
    /// encoders.
    pub nals: Vec<&'a [u8]>,
}

impl<'a> HevcConfig<'a> {
    /// Reads and validates a record.
    ///
    /// # Errors
    /// With the byte offset: a version other than 1 (0 too, which early encoders wrote), a length
    /// size of 3, no VPS, SPS or PPS, a NAL unit that is cut off or is not of its array's kind,
    /// more than [`CONFIG_MAX`] bytes.
    pub fn parse(data: &'a [u8]) -> Result<HevcConfig<'a>, CodecError> {
        if data.len() > CONFIG_MAX {
            return Err(CodecError::Invalid { what: "hvcC length", at: CONFIG_MAX });
        }
        let head: &[u8; HEAD] = data
            .first_chunk()
            .ok_or(CodecError::Truncated { what: "hvcC header", at: data.len() })?;
        if head[0] > 1 {
            return Err(CodecError::Invalid { what: "hvcC configurationVersion", at: 0 });
        }
        let nal_len_size = (head[21] & 3) + 1;
        if nal_len_size == 3 {
            return Err(CodecError::Invalid { what: "hvcC lengthSizeMinusOne", at: 21 });
        }
        let (mut at, mut nals) = (HEAD, Vec::new());
        for _ in 0..head[22] {
            let cut = CodecError::Truncated { what: "hvcC array", at };
            let head: &[u8; 3] = data.get(at..).and_then(|d| d.first_chunk()).ok_or(cut)?;
            let (array, count) = (head[0] & 63, u16::from_be_bytes([head[1], head[2]]));
            at += 3;
            for _ in 0..count {
                let nal = unit(data, &mut at)?;
                if kind(nal) != array {
                    return Err(CodecError::Invalid { what: "hvcC NAL unit", at: at - nal.len() });
                }
                nals.push(nal);
            }
        }
        let config = HevcConfig { nal_len_size, nals };
        for (wanted, what) in [
            (NAL_VPS, "hvcC video parameter set"),
            (NAL_SPS, "hvcC sequence parameter set"),
            (NAL_PPS, "hvcC picture parameter set"),
        ] {
            config.of(wanted).next().ok_or(CodecError::Invalid { what, at: data.len() })?;
        }
        Ok(config)
    }

    /// The NAL units of a kind.
    pub fn of(&self, wanted: u8) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.nals.iter().copied().filter(move |n| kind(n) == wanted)
    }

    /// The first sequence parameter set.
    ///
    /// # Errors
    /// As [`hevc_sps::parse`].
    pub fn sps(&self) -> Result<Sps, CodecError> {
        hevc_sps::parse(self.of(NAL_SPS).next().unwrap_or_default())
    }
}

/// A NAL unit behind its 16-bit length; not empty.
fn unit<'a>(data: &'a [u8], at: &mut usize) -> Result<&'a [u8], CodecError> {
    let what = "hvcC NAL unit";
    let cut = CodecError::Truncated { what, at: *at };
    let len: &[u8; 2] = data.get(*at..).and_then(|d| d.first_chunk()).ok_or(cut.clone())?;
    let from = *at + 2;
    let nal = data.get(from..from + usize::from(u16::from_be_bytes(*len))).ok_or(cut)?;
    if nal.is_empty() {
        return Err(CodecError::Invalid { what, at: *at });
    }
    *at = from + nal.len();
    Ok(nal)
}

/// The codec string of ISO/IEC 14496-15, E.3, from the profile of the set itself, since the copy in
/// the record's header is wrong with some encoders: `hvc1.1.6.L93.b0`.
pub fn codec_string(sps: &Sps) -> String {
    let p = &sps.profile;
    let space = ["", "A", "B", "C"][usize::from(p.space & 3)];
    let tier = if p.high_tier { 'H' } else { 'L' };
    let compatibility = p.compatibility.reverse_bits();
    let mut out = format!("hvc1.{space}{}.{compatibility:x}.{tier}{}", p.idc, p.level);
    let used = p.constraints.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    for byte in &p.constraints[..used] {
        out.push_str(&format!(".{byte:x}"));
    }
    out
}

/// True when the payload is a picture that a decoder can start at. The first slice decides: all
/// slices of a picture are of one kind (7.4.2.2).
pub fn is_irap(payload: &[u8], nal_len_size: u8) -> bool {
    picture(payload, nal_len_size).is_some_and(|k| IRAP.contains(&k))
}

/// True when the payload is a leading picture that refers to pictures from before its random access
/// point: a decoder that started there drops it.
pub fn is_skipped_leading(payload: &[u8], nal_len_size: u8) -> bool {
    picture(payload, nal_len_size).is_some_and(|k| RASL.contains(&k))
}

/// nal_unit_type of the first slice.
fn picture(payload: &[u8], nal_len_size: u8) -> Option<u8> {
    nals(payload, nal_len_size).map_while(Result::ok).map(kind).find(|k| *k <= VCL_LAST)
}

/// All parameter sets of a record, each after a length field of the record's own length size: what
/// an access unit has in front when it carries them itself.
///
/// # Errors
/// As [`HevcConfig::parse`].
pub fn parameter_sets(data: &[u8]) -> Result<Vec<u8>, CodecError> {
    let config = HevcConfig::parse(data)?;
    let size = config.nal_len_size;
    let mut out = Vec::with_capacity(data.len());
    for nal in config.nals.iter().filter(|n| (NAL_VPS..=NAL_PPS).contains(&kind(n))) {
        // A set that a length field cannot count is left out: no payload could carry it.
        if size > 1 || nal.len() < 256 {
            out.extend_from_slice(&(nal.len() as u32).to_be_bytes()[4 - usize::from(size)..]);
            out.extend_from_slice(nal);
        }
    }
    Ok(out)
}

/// The number that a parameter set goes by among those of its kind, with the kind; `None` when it
/// cannot be read. A PPS begins with its number (7.3.2.3.1), a VPS too (7.3.2.1); there is hardly
/// ever more than one SPS, so all count as one.
fn number(nal: &[u8]) -> Option<(u8, u32)> {
    let byte = u32::from(*nal.get(2)?);
    match kind(nal) {
        NAL_VPS => Some((NAL_VPS, byte >> 4)),
        NAL_SPS => Some((NAL_SPS, 0)),
        // Numbers that do not end in the byte are as one.
        NAL_PPS => {
            let zeros = (byte as u8).leading_zeros();
            Some((NAL_PPS, if zeros > 3 { u32::MAX } else { byte >> (7 - 2 * zeros) }))
        }
        _ => None,
    }
}

/// The record that is in force from a random access point on, when parameter sets in its payload
/// differ from those of `record`; `None` when they do not, there are none, or they cannot be read.
pub fn in_band(record: &[u8], payload: &[u8]) -> Option<Bytes> {
    let size = HevcConfig::parse(record).ok()?.nal_len_size;
    let sets: Vec<&[u8]> = nals(payload, size)
        .map_while(Result::ok)
        .take_while(|n| kind(n) > VCL_LAST)
        .filter(|n| (NAL_VPS..=NAL_PPS).contains(&kind(n)))
        .collect();
    if sets.is_empty() { None } else { updated(Some(record), &sets, size) }
}

/// A record with `sets` in place of those of the same kind and number in `old`; `None` when that
/// changes nothing, or there is no set of some kind yet, or they do not fit.
pub fn updated(old: Option<&[u8]>, sets: &[&[u8]], nal_len_size: u8) -> Option<Bytes> {
    let before = old.and_then(|o| HevcConfig::parse(o).ok());
    let mut all: Vec<&[u8]> = before.map(|c| c.nals).unwrap_or_default();
    // The last of a number counts.
    let mut news: Vec<&[u8]> = Vec::new();
    for set in sets {
        let name = number(set)?;
        news.retain(|n| number(n) != Some(name));
        news.push(set);
    }
    if news.iter().all(|s| all.contains(s)) {
        return None;
    }
    // A new sequence begins anew: what an older one had besides is not kept.
    if news.iter().any(|s| kind(s) == NAL_SPS && !all.contains(s)) {
        all.retain(|n| !news.iter().any(|s| kind(s) == kind(n)));
    }
    all.retain(|n| !news.iter().any(|s| number(s) == number(n)));
    all.extend(news);
    record(&all, nal_len_size)
}

/// An HEVCDecoderConfigurationRecord of these parameter sets (and SEI messages).
fn record(nals: &[&[u8]], nal_len_size: u8) -> Option<Bytes> {
    let sps = hevc_sps::parse(nals.iter().find(|n| kind(n) == NAL_SPS)?).ok()?;
    let p = sps.profile;
    let mut out = BytesMut::with_capacity(HEAD + nals.iter().map(|n| n.len() + 5).sum::<usize>());
    out.put_u8(1);
    out.put_u8(p.space << 6 | u8::from(p.high_tier) << 5 | p.idc);
    out.put_u32(p.compatibility);
    out.put_slice(&p.constraints);
    out.put_u8(p.level);
    // Reserved bits are ones; segmentation and parallelism unknown.
    out.put_slice(&[0xf0, 0, 0xfc, 0xfc | sps.chroma]);
    out.put_slice(&[0xf8 | (sps.luma_bits - 8) & 7, 0xf8 | (sps.chroma_bits - 8) & 7]);
    // No average frame rate.
    out.put_u16(0);
    out.put_u8(sps.layers << 3 | u8::from(sps.nested) << 2 | (nal_len_size - 1));
    let kinds = [NAL_VPS, NAL_SPS, NAL_PPS];
    out.put_u8(kinds.len() as u8);
    for wanted in kinds {
        let of_kind = nals.iter().filter(|n| kind(n) == wanted);
        out.put_u8(wanted);
        out.put_u16(u16::try_from(of_kind.clone().count()).ok().filter(|n| *n > 0)?);
        for nal in of_kind {
            out.put_u16(u16::try_from(nal.len()).ok()?);
            out.put_slice(nal);
        }
    }
    (out.len() <= CONFIG_MAX).then(|| out.freeze())
}

/// The record with every array of parameter sets marked complete, as a sample entry `hvc1` must
/// have it (14496-15, 8.4.1.1.1). Encoders leave the mark out; sets that a payload repeats are
/// those of the record at every point.
pub fn complete(record: &[u8]) -> Vec<u8> {
    let mut out = record.to_vec();
    let mut at = HEAD;
    for _ in 0..record.get(HEAD - 1).copied().unwrap_or(0) {
        let Some(head) = record.get(at..).and_then(|r| r.first_chunk::<3>()) else { break };
        if (NAL_VPS..=NAL_PPS).contains(&(head[0] & 63)) {
            out[at] |= 0x80;
        }
        at += 3;
        for _ in 0..u16::from_be_bytes([head[1], head[2]]) {
            if unit(record, &mut at).is_err() {
                return out;
            }
        }
    }
    out
}
