//! AV1 as its ISOBMFF binding stores it (AV1 Codec ISO Media File Format Binding): the
//! configuration record (av1C) and payloads of open bitstream units (OBUs, AV1 specification 5.3)
//! that each carry their size.

use crate::media::codec::av1_sequence::{self, Sequence};
use crate::media::codec::{CONFIG_MAX, CodecError};
use bytes::{BufMut, Bytes, BytesMut};

/// A sequence header (AV1 specification, 6.2.2).
const OBU_SEQUENCE_HEADER: u8 = 1;
/// A temporal delimiter: a stream needs it, a file does not.
const OBU_TEMPORAL_DELIMITER: u8 = 2;
/// A frame header of its own.
const OBU_FRAME_HEADER: u8 = 3;
/// A frame header with its tiles.
const OBU_FRAME: u8 = 6;

/// Bytes of a record before its OBUs.
const HEAD: usize = 4;

/// One open bitstream unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obu<'a> {
    /// `obu_type`.
    pub kind: u8,
    /// What follows header and size.
    pub body: &'a [u8],
    /// Bytes of header, size and body.
    pub len: usize,
}

/// The OBUs of a payload. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Obus<'a> {
    payload: &'a [u8],
    at: usize,
}

/// Iterates over the OBUs of a payload; the last may leave out its size.
pub fn obus(payload: &[u8]) -> Obus<'_> {
    Obus { payload, at: 0 }
}

impl<'a> Iterator for Obus<'a> {
    type Item = Result<Obu<'a>, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        if at >= self.payload.len() {
            return None;
        }
        let obu = obu(&self.payload[at..]).ok_or(CodecError::Truncated { what: "OBU", at });
        self.at = obu.as_ref().map_or(self.payload.len(), |o| at + o.len);
        Some(obu)
    }
}

/// Reads header and size (5.3.2, 4.10.5).
fn obu(data: &[u8]) -> Option<Obu<'_>> {
    let first = *data.first()?;
    let (extension, sized) = (first & 4 != 0, first & 2 != 0);
    // The forbidden bit.
    if first & 0x80 != 0 {
        return None;
    }
    let mut at = if extension { 2 } else { 1 };
    let mut size = data.len().checked_sub(at)?;
    if sized {
        size = 0;
        for i in 0.. {
            // A size has at most eight bytes, and what is held fits a usize.
            let byte = *data.get(at).filter(|_| i < 8)?;
            at += 1;
            size |= usize::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    let end = at.checked_add(size)?;
    Some(Obu { kind: first >> 3 & 15, body: data.get(at..end)?, len: end })
}

/// The parts of an AV1CodecConfigurationRecord (2.3.3) that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Av1Config {
    /// The sequence header; `None` where the encoder sends it in its key frames alone.
    pub sequence: Option<Sequence>,
}

impl Av1Config {
    /// Reads and validates a record.
    ///
    /// # Errors
    /// With the byte offset: another marker or version, OBUs that are cut off, a sequence header
    /// that cannot be read, more than [`CONFIG_MAX`] bytes.
    pub fn parse(data: &[u8]) -> Result<Av1Config, CodecError> {
        if data.len() > CONFIG_MAX {
            return Err(CodecError::Invalid { what: "av1C length", at: CONFIG_MAX });
        }
        let head: &[u8; HEAD] = data
            .first_chunk()
            .ok_or(CodecError::Truncated { what: "av1C header", at: data.len() })?;
        if head[0] != 0x81 {
            return Err(CodecError::Invalid { what: "av1C marker and version", at: 0 });
        }
        let mut sequence = None;
        for obu in obus(&data[HEAD..]) {
            let obu = obu.map_err(|_| CodecError::Truncated { what: "av1C OBU", at: HEAD })?;
            if obu.kind == OBU_SEQUENCE_HEADER && sequence.is_none() {
                sequence = Some(av1_sequence::parse(obu.body)?);
            }
        }
        Ok(Av1Config { sequence })
    }
}

/// The codec string of the binding's section 5: `av01.0.04M.08`, with colours where they are not
/// the usual ones.
pub fn codec_string(s: &Sequence) -> String {
    let tier = if s.high_tier { 'H' } else { 'M' };
    let mut out = format!("av01.{}.{:02}{tier}.{:02}", s.profile, s.level, s.bits);
    let undeclared = [2, 2, 2];
    let usual = [[1, 1, 1], undeclared].contains(&s.colour) && !s.full_range;
    if s.monochrome || s.subsampling != [1, 1, 0] || !usual {
        let [x, y, position] = s.subsampling;
        let [primaries, transfer, matrix] = s.colour;
        out.push_str(&format!(
            ".{}.{x}{y}{position}.{primaries:02}.{transfer:02}.{matrix:02}.{}",
            u8::from(s.monochrome),
            u8::from(s.full_range)
        ));
    }
    out
}

/// True when a decoder can start at the payload: its first frame is a key frame that is shown
/// (2.5). The sequence header may be in it or in the record.
pub fn is_key(payload: &[u8]) -> bool {
    for obu in obus(payload).map_while(Result::ok) {
        if obu.kind == OBU_FRAME || obu.kind == OBU_FRAME_HEADER {
            // show_existing_frame 0, frame_type KEY_FRAME (two bits), show_frame 1 (5.9.2). Still
            // pictures leave these bits out; they are no live stream.
            return obu.body.first().is_some_and(|b| b >> 4 == 1);
        }
    }
    false
}

/// The payload without the temporal delimiters in front (2.4: a sample has none). Shares memory.
pub fn without_delimiters(payload: &Bytes) -> Bytes {
    let mut at = 0;
    for obu in obus(payload).map_while(Result::ok) {
        if obu.kind != OBU_TEMPORAL_DELIMITER {
            break;
        }
        at += obu.len;
    }
    payload.slice(at..)
}

/// The body of a payload's sequence header.
fn sequence_header(payload: &[u8]) -> Option<&[u8]> {
    let mut all = obus(payload).map_while(Result::ok);
    all.find(|o| o.kind == OBU_SEQUENCE_HEADER).map(|o| o.body)
}

/// The sequence header of a record as an OBU, as a key frame carries it; empty without one.
pub fn sequence_obu(record: &[u8]) -> Vec<u8> {
    let body = record.get(HEAD..).and_then(sequence_header);
    body.map_or(Vec::new(), |body| {
        let mut out = Vec::with_capacity(body.len() + 4);
        put_sequence(&mut out, body);
        out
    })
}

fn put_sequence(out: &mut impl BufMut, body: &[u8]) {
    out.put_u8(OBU_SEQUENCE_HEADER << 3 | 2);
    let mut size = body.len();
    while size > 0x7f {
        out.put_u8(0x80 | (size & 0x7f) as u8);
        size >>= 7;
    }
    out.put_u8(size as u8);
    out.put_slice(body);
}

/// The record that is in force from a key frame on, when the sequence header in its payload is not
/// that of `record` (2.3.4: the two must be one); `None` when it is, there is none, or it cannot be
/// read.
pub fn in_band(record: &[u8], payload: &[u8]) -> Option<Bytes> {
    let body = sequence_header(payload)?;
    if record.get(HEAD..).and_then(sequence_header) == Some(body) {
        return None;
    }
    let s = av1_sequence::parse(body).ok()?;
    let mut out = BytesMut::with_capacity(HEAD + body.len() + 4);
    out.put_u8(0x81);
    out.put_u8(s.profile << 5 | s.level);
    let [x, y, position] = s.subsampling;
    let flag = |on: bool, bit: u8| if on { 1 << bit } else { 0 };
    out.put_u8(
        flag(s.high_tier, 7)
            | flag(s.bits > 8, 6)
            | flag(s.bits > 10, 5)
            | flag(s.monochrome, 4)
            | flag(x == 1, 3)
            | flag(y == 1, 2)
            | position,
    );
    // initial_presentation_delay: not given.
    out.put_u8(0);
    put_sequence(&mut out, body);
    (out.len() <= CONFIG_MAX).then(|| out.freeze())
}
