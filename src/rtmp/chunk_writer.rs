//! The chunk writer (RTMP 1.0 section 5.3): one message in, its chunks out in one buffer, one copy
//! of the payload.
//!
//! It never begins a message with a type 3 header: implementations disagree about the delta that
//! repeats.

use crate::rtmp::limits::{CHUNK_SIZE_INITIAL, CHUNK_SIZE_MAX};
use crate::rtmp::message::{AUDIO, DATA_AMF0, SET_CHUNK_SIZE, VIDEO};
use bytes::{BufMut, Bytes, BytesMut};

/// Longest payload the 24-bit length field can announce.
pub const PAYLOAD_MAX: usize = 0xFF_FFFF;

/// A payload that no RTMP message can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a type {type_id} message of {length} bytes cannot be sent; the limit is {PAYLOAD_MAX}")]
pub struct PayloadTooLong {
    /// Message type.
    pub type_id: u8,
    /// Bytes of the payload.
    pub length: usize,
}

/// The header last sent on a chunk stream.
#[derive(Debug, Clone, Copy)]
struct Last {
    csid: u8,
    timestamp: u32,
    length: usize,
    type_id: u8,
    stream_id: u32,
}

/// Writes one direction of a connection.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk_size: usize,
    last: Vec<Last>,
}

impl Default for ChunkWriter {
    fn default() -> ChunkWriter {
        ChunkWriter { chunk_size: CHUNK_SIZE_INITIAL, last: Vec::new() }
    }
}

/// The chunk stream of a message type: one each, so that a large picture can be told from what
/// interleaves with it.
fn chunk_stream(type_id: u8) -> u8 {
    match type_id {
        1..=6 => 2,
        AUDIO => 4,
        DATA_AMF0 => 5,
        VIDEO => 6,
        _ => 3,
    }
}

impl ChunkWriter {
    /// The Set Chunk Size message; what is written after it has chunks of that size. `size` is held
    /// to 1 to 2^31-1.
    pub fn set_chunk_size(&mut self, size: u32) -> Bytes {
        let size = size.clamp(1, CHUNK_SIZE_MAX);
        let mut out = BytesMut::with_capacity(16);
        self.put(SET_CHUNK_SIZE, 0, 0, &size.to_be_bytes(), &mut out);
        self.chunk_size = size as usize;
        out.freeze()
    }

    /// The chunks of one message. `timestamp` is in milliseconds modulo 2^32.
    pub fn write(
        &mut self,
        type_id: u8,
        stream_id: u32,
        timestamp: u32,
        payload: &[u8],
    ) -> Result<Bytes, PayloadTooLong> {
        if payload.len() > PAYLOAD_MAX {
            return Err(PayloadTooLong { type_id, length: payload.len() });
        }
        let chunks = payload.len() / self.chunk_size + 1;
        let mut out = BytesMut::with_capacity(16 + payload.len() + 5 * chunks);
        self.put(type_id, stream_id, timestamp, payload, &mut out);
        Ok(out.freeze())
    }

    fn put(
        &mut self,
        type_id: u8,
        stream_id: u32,
        timestamp: u32,
        body: &[u8],
        out: &mut BytesMut,
    ) {
        let csid = chunk_stream(type_id);
        let now = Last { csid, timestamp, length: body.len(), type_id, stream_id };
        let known = self.last.iter_mut().find(|l| l.csid == csid);
        // A delta is only ever forward; a time that goes back is sent whole.
        let delta = known.as_ref().map_or(0, |l| timestamp.wrapping_sub(l.timestamp));
        let fmt = match &known {
            Some(l) if l.stream_id != stream_id || delta > u32::MAX / 2 => 0,
            Some(l) if l.type_id != type_id || l.length != now.length => 1,
            Some(_) => 2,
            None => 0,
        };
        match known {
            Some(l) => *l = now,
            None => self.last.push(now),
        }
        let field = if fmt == 0 { timestamp } else { delta };
        let extended = field >= 0xFF_FFFF;
        out.put_u8(fmt << 6 | csid);
        out.put_uint(u64::from(field.min(0xFF_FFFF)), 3);
        if fmt <= 1 {
            out.put_uint(body.len() as u64, 3);
            out.put_u8(type_id);
        }
        if fmt == 0 {
            out.put_u32_le(stream_id);
        }
        for (i, piece) in body.chunks(self.chunk_size).enumerate() {
            if i > 0 {
                out.put_u8(3 << 6 | csid);
            }
            if extended {
                out.put_u32(field);
            }
            out.put_slice(piece);
        }
        if body.is_empty() && extended {
            out.put_u32(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtmp::chunk::ChunkReader;

    /// What is written reads back the same, by this room's reader and by the one of `rml_rtmp`.
    #[test]
    fn two_readers_read_back_what_was_written() {
        let messages: Vec<(u8, u32, u32, usize)> = vec![
            (20, 0, 0, 200),
            (AUDIO, 1, 10, 7),
            (VIDEO, 1, 10, 400),
            (VIDEO, 1, 43, 400),
            (VIDEO, 1, 76, 300),
            (VIDEO, 1, 20, 300),
            (AUDIO, 1, 0x0100_0000, 129),
            (AUDIO, 1, 0x0300_0000, 300),
            (AUDIO, 1, u32::MAX, 5),
            (AUDIO, 1, 20, 5),
        ];
        for size in [1, 5, 128, 65_536] {
            let mut writer = ChunkWriter::default();
            let mut bytes = writer.set_chunk_size(size).to_vec();
            for &(type_id, stream_id, time, n) in &messages {
                let body: Vec<u8> = (0..n).map(|i| i as u8).collect();
                let sent = writer.write(type_id, stream_id, time, &body).expect("short");
                bytes.extend_from_slice(&sent);
            }
            let mut ours = ChunkReader::new();
            ours.push(&bytes);
            let mut theirs = rml_rtmp::chunk_io::ChunkDeserializer::new();
            let first = theirs.get_next_message(&bytes).expect("legal").expect("whole");
            assert_eq!(first.type_id, 1);
            theirs.set_max_chunk_size(size as usize).expect("legal");
            for &(type_id, stream_id, time, n) in &messages {
                let m = ours.next().expect("legal").expect("whole");
                let body: Vec<u8> = (0..n).map(|i| i as u8).collect();
                assert_eq!((m.type_id, m.stream_id, m.timestamp), (type_id, stream_id, time));
                assert_eq!(m.payload, body);
                let m = theirs.get_next_message(&[]).expect("legal").expect("whole");
                assert_eq!((m.type_id, m.message_stream_id), (type_id, stream_id));
                assert_eq!((m.timestamp.value, &m.data[..]), (time, &body[..]));
            }
        }
    }

    #[test]
    fn a_payload_over_24_bits_is_refused() {
        let error = ChunkWriter::default().write(9, 1, 0, &vec![0; PAYLOAD_MAX + 1]);
        let text = "a type 9 message of 16777216 bytes cannot be sent; the limit is 16777215";
        assert_eq!(error.map_err(|e| e.to_string()), Err(text.into()));
    }

    #[test]
    fn an_empty_payload_is_still_a_message() {
        let mut reader = ChunkReader::new();
        let mut writer = ChunkWriter::default();
        reader.push(&writer.write(AUDIO, 1, 0x0200_0000, &[]).expect("short"));
        let m = reader.next().expect("legal").expect("whole");
        assert_eq!((m.timestamp, m.payload.len()), (0x0200_0000, 0));
    }
}
