//! The record in which a log says of itself how far it was durable when this was written. Recovery
//! tells by it a tail that a machine crash tore (nothing behind the damage claims to be durable)
//! from damage in what was safe (something does), and which extents need no second look.
//!
//! ```text
//! body: u64 generation | u32 extent, u64 offset of this record | u32 extent, u64 offset before
//!       which the log is durable
//! ```
//!
//! A record names its own place, so that one found by searching damaged bytes is this log's and
//! lies where it was written, not in a payload or in a stale page of another file.

use crate::base::ids::{Generation, TrackId};
use crate::log::format::record::{begin, finish, frame, kind};
use crate::log::format::wire::Fields;
use crate::log::format::{FRAME_HEAD, FRAME_PREFIX, Position};
use bytes::{BufMut, BytesMut};

/// Bytes of the whole record.
pub const DURABLE_LEN: usize = FRAME_PREFIX + FRAME_HEAD + 32;

/// How far a log is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable {
    /// The log's generation.
    pub generation: Generation,
    /// Where this record starts.
    pub at: Position,
    /// Everything before this was durable when the record was written.
    pub upto: Position,
}

impl Durable {
    /// Appends the record to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        let start = begin(out, kind::DURABLE, 0, TrackId(0));
        out.put_u64_le(self.generation.0);
        for p in [self.at, self.upto] {
            out.put_u32_le(p.extent);
            out.put_u64_le(p.offset);
        }
        finish(out, start);
    }

    /// Reads the record at the start of `bytes`, checksum and all; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Durable> {
        let head = frame(bytes, true).ok().filter(|f| f.kind == kind::DURABLE)?;
        let f = &mut Fields::new(&bytes[FRAME_PREFIX + FRAME_HEAD..head.len]);
        let generation = Generation(f.u64("generation").ok()?);
        let mut position =
            || Some(Position { extent: f.u32("extent").ok()?, offset: f.u64("offset").ok()? });
        Some(Durable { generation, at: position()?, upto: position()? })
    }

    /// The highest claim of log `generation` among `bytes`, which start at `from`, wherever it lies
    /// and whatever is around it. Time is linear in the bytes.
    pub fn search(bytes: &[u8], generation: Generation, from: Position) -> Option<Position> {
        let head = [(DURABLE_LEN - FRAME_PREFIX) as u8, 0, 0, 0];
        let found = (0..bytes.len().saturating_sub(DURABLE_LEN - 1)).filter_map(|i| {
            let here = &bytes[i..i + DURABLE_LEN];
            if here[FRAME_PREFIX] != kind::DURABLE || here[..4] != head {
                return None;
            }
            let at = Position { extent: from.extent, offset: from.offset + i as u64 };
            Durable::claim(here, generation, at)
        });
        found.max()
    }

    /// What the record at the start of `bytes`, which lies at `at` in the log of `generation`,
    /// claims; `None` where it is another log's, or lies elsewhere than it says.
    pub fn claim(bytes: &[u8], generation: Generation, at: Position) -> Option<Position> {
        let d = Durable::decode(bytes)?;
        (d.generation == generation && d.at == at && d.upto <= at).then_some(d.upto)
    }
}
