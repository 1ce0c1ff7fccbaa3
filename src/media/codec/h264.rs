//! H.264 as ISO/IEC 14496-15 stores it: the decoder configuration record (avcC) and payloads of
//! length-prefixed NAL units. Annex B byte streams are not read here.

use crate::media::codec::{CONFIG_MAX, CodecError};

/// A slice of an IDR picture (ISO/IEC 14496-10, table 7-1).
pub const NAL_IDR: u8 = 5;
/// A sequence parameter set.
pub const NAL_SPS: u8 = 7;
/// A picture parameter set.
pub const NAL_PPS: u8 = 8;

/// The parts of an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvcConfig<'a> {
    /// Size of the NAL length field in payloads: 1, 2 or 4 bytes.
    pub nal_len_size: u8,
    /// The first sequence parameter set, a NAL unit with its header byte; at least 4 bytes.
    pub sps: &'a [u8],
}

impl<'a> AvcConfig<'a> {
    /// Reads and validates a record. What follows the picture parameter sets (the extension of the
    /// High profiles) is optional and not read: encoders differ in it and no player needs it.
    ///
    /// # Errors
    /// With the byte offset: a version other than 1, a length size of 3, no SPS or PPS, a parameter
    /// set that is cut off or is another kind of NAL unit, more than [`CONFIG_MAX`] bytes.
    pub fn parse(data: &'a [u8]) -> Result<AvcConfig<'a>, CodecError> {
        if data.len() > CONFIG_MAX {
            return Err(CodecError::Invalid { what: "avcC length", at: CONFIG_MAX });
        }
        let head: &[u8; 6] = data
            .first_chunk()
            .ok_or(CodecError::Truncated { what: "avcC header", at: data.len() })?;
        if head[0] != 1 {
            return Err(CodecError::Invalid { what: "avcC configurationVersion", at: 0 });
        }
        let nal_len_size = (head[4] & 3) + 1;
        if nal_len_size == 3 {
            return Err(CodecError::Invalid { what: "avcC lengthSizeMinusOne", at: 4 });
        }
        let mut at = 6;
        let sps = sets(data, &mut at, head[5] & 31, NAL_SPS, "avcC sequence parameter set")?;
        if sps.len() < 4 {
            return Err(CodecError::Truncated { what: "avcC sequence parameter set", at: 8 });
        }
        let pps_count = *data
            .get(at)
            .ok_or(CodecError::Truncated { what: "avcC numOfPictureParameterSets", at })?;
        at += 1;
        sets(data, &mut at, pps_count, NAL_PPS, "avcC picture parameter set")?;
        Ok(AvcConfig { nal_len_size, sps })
    }

    /// The codec string of RFC 6381, 3.3: profile, constraints and level of the SPS itself, since
    /// the copies in the record's header are wrong with some encoders.
    pub fn codec_string(&self) -> String {
        let byte = |i: usize| self.sps.get(i).copied().unwrap_or_default();
        format!("avc1.{:02x}{:02x}{:02x}", byte(1), byte(2), byte(3))
    }
}

/// All parameter sets of a record, SPS before PPS, each after a length field of the record's own
/// length size: what an access unit has in front when it carries them itself.
///
/// # Errors
/// As [`AvcConfig::parse`].
pub fn parameter_sets(data: &[u8]) -> Result<Vec<u8>, CodecError> {
    let size = AvcConfig::parse(data)?.nal_len_size;
    let (mut at, mut out) = (6, Vec::with_capacity(data.len()));
    let mut copy = |at: &mut usize, count: u8| {
        for _ in 0..count {
            let len = usize::from(u16::from_be_bytes([data[*at], data[*at + 1]]));
            let nal = &data[*at + 2..*at + 2 + len];
            *at += 2 + len;
            // A set that a length field cannot count is left out: no payload could carry it.
            if size > 1 || len < 256 {
                out.extend_from_slice(&(len as u32).to_be_bytes()[4 - usize::from(size)..]);
                out.extend_from_slice(nal);
            }
        }
    };
    copy(&mut at, data[5] & 31);
    let pps = data[at];
    at += 1;
    copy(&mut at, pps);
    Ok(out)
}

/// Walks over `count` parameter sets of the NAL type `kind` and returns the first.
fn sets<'a>(
    data: &'a [u8],
    at: &mut usize,
    count: u8,
    kind: u8,
    what: &'static str,
) -> Result<&'a [u8], CodecError> {
    let mut first = None;
    for _ in 0..count {
        let here = *at;
        let cut = CodecError::Truncated { what, at: here };
        let size = data.get(here..here + 2).ok_or_else(|| cut.clone())?;
        let size = usize::from(u16::from_be_bytes([size[0], size[1]]));
        let nal = data.get(here + 2..here + 2 + size).ok_or(cut)?;
        if nal.first().map(|b| b & 31) != Some(kind) {
            return Err(CodecError::Invalid { what, at: here + 2 });
        }
        first.get_or_insert(nal);
        *at = here + 2 + size;
    }
    first.ok_or(CodecError::Invalid { what, at: at.saturating_sub(1) })
}

/// The NAL units of a payload, without their length fields. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Nals<'a> {
    payload: &'a [u8],
    at: usize,
    len_size: usize,
}

/// Iterates over the length-prefixed NAL units of a payload. `nal_len_size` is that of the avcC;
/// anything but 1 to 4 is read as 4. Empty units, which some encoders send, are skipped.
pub fn nals(payload: &[u8], nal_len_size: u8) -> Nals<'_> {
    let len_size = if (1..=4).contains(&nal_len_size) { usize::from(nal_len_size) } else { 4 };
    Nals { payload, at: 0, len_size }
}

impl<'a> Iterator for Nals<'a> {
    type Item = Result<&'a [u8], CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.payload.len() {
            let (here, body) = (self.at, self.at + self.len_size);
            let nal = self.payload.get(here..body).and_then(|len| {
                let len = len.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
                self.payload.get(body..body.checked_add(len)?)
            });
            let Some(nal) = nal else {
                self.at = self.payload.len();
                return Some(Err(CodecError::Truncated { what: "NAL unit", at: here }));
            };
            self.at = body + nal.len();
            if !nal.is_empty() {
                return Some(Ok(nal));
            }
        }
        None
    }
}

/// True when the payload is an IDR picture. The first slice decides (all slices of an IDR picture
/// are IDR slices: ISO/IEC 14496-10, 7.4.1.2.4), so a recovery-point I picture is not one, and a
/// payload that breaks off before its first slice is not one either.
pub fn is_idr(payload: &[u8], nal_len_size: u8) -> bool {
    for nal in nals(payload, nal_len_size).map_while(Result::ok) {
        match nal[0] & 31 {
            NAL_IDR => return true,
            1..=4 => return false,
            _ => {}
        }
    }
    false
}
