//! One record: the frame around it, packets and marks in and out. Where records lie is the extent's
//! business.

use crate::base::ids::{Seq, TrackId};
use crate::log::format::{
    FRAME_HEAD, FRAME_PREFIX, FormatError, LENGTH_MAX, MARK_MAX, PACKET_HEAD, PAYLOAD_MAX, crc,
    mark,
};
use crate::media::packet::Packet;
use crate::media::timeline::mark::Mark;
use bytes::{BufMut, Bytes, BytesMut};

/// The numbers of the record kinds. Never reuse one; readers skip those they do not know.
pub mod kind {
    /// A coded packet.
    pub const PACKET: u8 = 1;
    /// [`crate::media::timeline::mark::GenerationStart`].
    pub const GENERATION: u8 = 2;
    /// [`crate::media::timeline::mark::SessionRecord`].
    pub const SESSION: u8 = 3;
    /// [`crate::media::track::Track`].
    pub const TRACK: u8 = 4;
    /// [`crate::media::timeline::mark::SegmentStart`].
    pub const SEGMENT_START: u8 = 5;
    /// [`crate::media::timeline::mark::PartEnd`].
    pub const PART_END: u8 = 6;
    /// [`crate::media::timeline::mark::Gap`].
    pub const GAP: u8 = 7;
    /// [`crate::media::timeline::mark::End`].
    pub const END: u8 = 8;
    /// [`crate::media::timeline::cue::Cue`].
    pub const CUE: u8 = 9;
    /// [`crate::log::format::durable::Durable`]: the log's own bookkeeping, in no footer.
    pub const DURABLE: u8 = 10;
    /// No version will give it a meaning: what a build writes that pretends to be a later one
    /// (`Options::format`), so that readers meet a kind that they do not know.
    pub const PRETENDED: u8 = 127;
    /// An extent's footer; not a record of the log but of the extent.
    pub const FOOTER: u8 = 128;
    /// Only between nodes: where the next record lies. See `log::format::stream`.
    pub const MOVED: u8 = 129;
    /// Only between nodes: how far the sender's log goes.
    pub const REACH: u8 = 130;
    /// Only between nodes: nothing follows.
    pub const SEALED: u8 = 131;
    /// Only from a transcoder's worker process to its parent: what it has done so far, as JSON. See
    /// `transcode::wire`.
    pub const REPORT: u8 = 132;
}

/// The bits of a record's flags. One meaning each, over all kinds.
pub mod flag {
    /// Packet: an IDR picture, or audio.
    pub const KEY: u8 = 1;
    /// Packet: belongs to no segment and has no seq.
    pub const UNLISTED: u8 = 2;
    /// Segment start, part end: independent.
    pub const INDEPENDENT: u8 = 4;
    /// Segment start: EXT-X-DISCONTINUITY before it.
    pub const DISCONTINUITY: u8 = 8;
    /// Gap: one part of the segment, not the whole.
    pub const PART: u8 = 16;
    /// End: the session is over.
    pub const SESSION_OVER: u8 = 32;
    /// Cue: it was announced in an extent before.
    pub const REPEATED: u8 = 64;
}

/// What a log holds, one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A coded packet.
    Packet {
        /// The packet; its payload is a slice of what it was read from.
        packet: Packet,
        /// Its place among the listed samples of its track; `None` when it is not listed.
        seq: Option<Seq>,
    },
    /// Anything else that this version knows.
    Mark(Mark),
    /// Nothing that a reader of media needs: a kind of a later version, a mark this version cannot
    /// understand, the log's own bookkeeping. To be skipped.
    Unknown {
        /// The kind's number.
        kind: u8,
    },
}

/// The head of a record, read without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of the whole record.
    pub len: usize,
    /// See [`kind`].
    pub kind: u8,
    /// See [`flag`].
    pub flags: u8,
    /// The track it belongs to; 0 for marks of no track.
    pub track: TrackId,
}

/// Why no record begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It may, but the bytes end first.
    #[error("the record is cut off: {need} bytes are needed")]
    Incomplete {
        /// Bytes needed from the record's start before more can be said.
        need: usize,
    },
    /// The length field is impossible.
    #[error("the record's length field says {length}")]
    Length {
        /// Its value.
        length: u32,
    },
    /// The checksum is wrong.
    #[error("the record's checksum is wrong")]
    Checksum,
}

/// Reads the frame at the start of `bytes`; with `verify` the record must be complete and its
/// checksum right, without only the head is looked at and the length is believed.
pub fn frame(bytes: &[u8], verify: bool) -> Result<Frame, FrameError> {
    const HEAD: usize = FRAME_PREFIX + FRAME_HEAD;
    let Some((length, _)) = bytes.split_first_chunk::<4>() else {
        return Err(FrameError::Incomplete { need: HEAD });
    };
    let length = u32::from_le_bytes(*length);
    if !(FRAME_HEAD..=LENGTH_MAX).contains(&(length as usize)) {
        return Err(FrameError::Length { length });
    }
    let len = FRAME_PREFIX + length as usize;
    let need = if verify { len } else { HEAD };
    if bytes.len() < need {
        return Err(FrameError::Incomplete { need });
    }
    let sum = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    if verify && crc(&bytes[FRAME_PREFIX..len]) != sum {
        return Err(FrameError::Checksum);
    }
    let track = TrackId(u16::from_le_bytes([bytes[10], bytes[11]]));
    Ok(Frame { len, kind: bytes[8], flags: bytes[9], track })
}

/// Decodes the whole record in `bytes`, whose frame is `frame`. The payload stays a slice of
/// `bytes`.
pub(crate) fn decode(frame: Frame, bytes: &Bytes) -> Result<Record, FormatError> {
    let head = FRAME_PREFIX + FRAME_HEAD;
    let malformed = |what| FormatError::Malformed { kind: frame.kind, what };
    let body = bytes.get(head..frame.len).ok_or(malformed("shorter than its length"))?;
    match frame.kind {
        kind::PACKET => {
            let (seq, dts, cts) =
                packet_head(body).ok_or(malformed("no room for a packet's head"))?;
            let packet = Packet {
                track: frame.track,
                dts,
                cts,
                key: frame.flags & flag::KEY != 0,
                payload: bytes.slice(head + PACKET_HEAD..frame.len),
            };
            let seq = (frame.flags & flag::UNLISTED == 0).then_some(Seq(seq));
            Ok(Record::Packet { packet, seq })
        }
        kind::GENERATION..=kind::CUE => match mark::decode(frame, body) {
            Ok(mark) => Ok(Record::Mark(mark)),
            Err(bad) => Err(malformed(bad.0)),
        },
        kind => Ok(Record::Unknown { kind }),
    }
}

/// Seq, DTS and CTS at the start of a packet's body.
pub(super) fn packet_head(body: &[u8]) -> Option<(u64, i64, i32)> {
    let (seq, rest) = body.split_first_chunk()?;
    let (dts, rest) = rest.split_first_chunk()?;
    let (cts, _) = rest.split_first_chunk()?;
    Some((u64::from_le_bytes(*seq), i64::from_le_bytes(*dts), i32::from_le_bytes(*cts)))
}

/// Appends a packet's record to `out`; returns its bytes. `seq` is `None` for one that is not
/// listed.
pub fn encode_packet(
    out: &mut BytesMut,
    packet: &Packet,
    seq: Option<Seq>,
) -> Result<usize, FormatError> {
    let len = packet.payload.len();
    if len > PAYLOAD_MAX {
        return Err(FormatError::TooLarge { what: "a packet's payload", len, max: PAYLOAD_MAX });
    }
    let mut flags = 0;
    if packet.key {
        flags |= flag::KEY;
    }
    if seq.is_none() {
        flags |= flag::UNLISTED;
    }
    out.reserve(FRAME_PREFIX + FRAME_HEAD + PACKET_HEAD + len);
    let start = begin(out, kind::PACKET, flags, packet.track);
    out.put_u64_le(seq.unwrap_or_default().0);
    out.put_i64_le(packet.dts);
    out.put_i32_le(packet.cts);
    out.put_slice(&packet.payload);
    Ok(finish(out, start))
}

/// Appends a mark's record to `out`; returns its bytes. On an error `out` is as before.
pub fn encode_mark(out: &mut BytesMut, mark: &Mark) -> Result<usize, FormatError> {
    let start = out.len();
    let done = mark::encode(out, mark).and_then(|()| {
        let len = out.len() - start;
        if len > MARK_MAX {
            return Err(FormatError::TooLarge { what: "a mark", len, max: MARK_MAX });
        }
        Ok(finish(out, start))
    });
    if done.is_err() {
        out.truncate(start);
    }
    done
}

/// Appends a record of any kind, as a later version would.
pub(crate) fn encode_other(out: &mut BytesMut, kind: u8, body: &[u8]) {
    let start = begin(out, kind, 0, TrackId(0));
    out.put_slice(body);
    finish(out, start);
}

/// Writes a record's head with its length and checksum still open; returns where it starts.
pub(super) fn begin(out: &mut BytesMut, kind: u8, flags: u8, track: TrackId) -> usize {
    let start = out.len();
    out.put_u64_le(0);
    out.put_u8(kind);
    out.put_u8(flags);
    out.put_u16_le(track.0);
    start
}

/// Closes the record that [`begin`] opened at `start`; returns its bytes.
pub(super) fn finish(out: &mut BytesMut, start: usize) -> usize {
    let covered = start + FRAME_PREFIX;
    let length =
        u32::try_from(out.len() - covered).expect("every record is checked against its limit");
    let sum = crc(&out[covered..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..covered].copy_from_slice(&sum.to_le_bytes());
    out.len() - start
}
