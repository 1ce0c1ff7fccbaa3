//! What is written beside a log's extents before the oldest of them are removed: where the log
//! begins from then on, and its first record, which nothing repeats.
//!
//! ```text
//! u64 magic "casttrim" | u32 first extent that is there | u32 bytes of the record that follows
//! u64 generation | u32 flags (1: all of it was removed) | u32 crc of the 28 bytes before
//! the generation's start, a record as it lay in extent 0; nothing where that was lost
//! ```

use crate::base::ids::Generation;
use crate::log::format::crc;
use crate::log::format::record::Record;
use crate::log::format::scan::Scan;
use crate::media::timeline::mark::{GenerationStart, Mark};
use bytes::{Bytes, BytesMut};

/// First bytes of the file.
const MAGIC: [u8; 8] = *b"casttrim";

/// Bytes before the record.
pub const TRIMMED_LEN: usize = 32;

const WHOLE: u32 = 1;

/// Extents that were removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trimmed {
    /// The first that was not: the log begins there.
    pub first: u32,
    /// Whose log it is.
    pub generation: Generation,
    /// All of it is removed: what still lies there goes too.
    pub whole: bool,
    /// The log's first record; empty where it was lost.
    pub start: Bytes,
}

impl Trimmed {
    /// The file's bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = [0; TRIMMED_LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&self.first.to_le_bytes());
        out[12..16].copy_from_slice(&(self.start.len() as u32).to_le_bytes());
        out[16..24].copy_from_slice(&self.generation.0.to_le_bytes());
        out[24..28].copy_from_slice(&(if self.whole { WHOLE } else { 0 }).to_le_bytes());
        let sum = crc(&out[..28]);
        out[28..].copy_from_slice(&sum.to_le_bytes());
        let mut bytes = BytesMut::from(&out[..]);
        bytes.extend_from_slice(&self.start);
        bytes.freeze()
    }

    /// Reads the file's bytes; `None` of anything else, and of a file that is damaged.
    pub fn decode(bytes: &Bytes) -> Option<Trimmed> {
        let h: &[u8; TRIMMED_LEN] = bytes.first_chunk()?;
        if h[..8] != MAGIC || crc(&h[..28]).to_le_bytes() != h[28..] {
            return None;
        }
        let four = |at: usize| u32::from_le_bytes([h[at], h[at + 1], h[at + 2], h[at + 3]]);
        let generation = u64::from(four(16)) | u64::from(four(20)) << 32;
        let (start, len) = (bytes.slice(TRIMMED_LEN..), four(12) as usize);
        let trimmed = Trimmed {
            first: four(8),
            generation: Generation(generation),
            whole: four(24) & WHOLE != 0,
            start,
        };
        let whole = trimmed.start.is_empty() || trimmed.begins().is_some();
        (trimmed.start.len() == len && whole).then_some(trimmed)
    }

    /// How the generation began.
    pub fn begins(&self) -> Option<GenerationStart> {
        match Scan::new(&self.start).next()?.record {
            Record::Mark(Mark::Generation(start)) => Some(start),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Msn, Session};
    use crate::log::format::record::encode_mark;

    #[test]
    fn what_is_written_is_read_and_no_other_bytes_are() {
        let (session, generation) = (Session(3), Generation(0x1_0000_0002));
        let (job, base, dseq, previous) = (None, Msn(100), 2, None);
        let begins = GenerationStart { session, generation, job, base, dseq, previous };
        let mut start = BytesMut::new();
        encode_mark(&mut start, &Mark::Generation(begins.clone())).expect("it fits");
        let trimmed = Trimmed { first: 7, generation, whole: false, start: start.freeze() };
        let bytes = trimmed.encode();
        assert_eq!(Trimmed::decode(&bytes).as_ref(), Some(&trimmed));
        assert_eq!(trimmed.begins(), Some(begins));
        let lost = Trimmed { whole: true, start: Bytes::new(), ..trimmed };
        assert_eq!(Trimmed::decode(&lost.encode()), Some(lost));
        for len in 0..bytes.len() {
            assert_eq!(Trimmed::decode(&bytes.slice(..len)), None, "{len} bytes");
            let mut bad = bytes.to_vec();
            bad[len] ^= 1;
            assert_eq!(Trimmed::decode(&bad.into()), None, "byte {len}");
        }
    }
}
