//! The bytes of a repaired extent: header, the records that are kept with what goes in between, and
//! the footer they amount to. Pure; the plan says what changes.

use crate::log::format::FormatError;
use crate::log::format::extent::{HEADER_LEN, Header};
use crate::log::format::index::Indexer;
use crate::log::format::record::{Record, frame};
use crate::log::repair::plan::Edits;
use crate::log::repair::salvage::{Piece, salvage};
use bytes::{Bytes, BytesMut};
use std::ops::Range;

/// A repaired extent, as pieces of the old file and new bytes.
#[derive(Debug, Default)]
pub(super) struct Rebuilt {
    chunks: Vec<Chunk>,
    pub(super) len: u64,
    /// The footer is not the one that was there.
    pub(super) new_footer: bool,
}

#[derive(Debug)]
enum Chunk {
    Old(Range<usize>),
    New(Bytes),
}

impl Rebuilt {
    fn new_bytes(&mut self, bytes: Bytes) {
        self.len += bytes.len() as u64;
        self.chunks.push(Chunk::New(bytes));
    }

    fn old(&mut self, range: Range<usize>) {
        self.len += range.len() as u64;
        match self.chunks.last_mut() {
            Some(Chunk::Old(last)) if last.end == range.start => last.end = range.end,
            _ => self.chunks.push(Chunk::Old(range)),
        }
    }

    /// Its bytes one after another; `old` is the file as it was.
    pub(super) fn slices<'a>(&'a self, old: &'a Bytes) -> impl Iterator<Item = &'a [u8]> {
        self.chunks.iter().map(move |c| match c {
            Chunk::Old(range) => &old[range.clone()],
            Chunk::New(bytes) => &bytes[..],
        })
    }

    /// Is it the file as it was?
    pub(super) fn is(&self, old: &Bytes) -> bool {
        let mut at = 0;
        self.len == old.len() as u64
            && self.slices(old).all(|s| {
                at += s.len();
                old[at - s.len()..at] == *s
            })
    }
}

/// Puts an extent together. `indexer` is where the log stands at its start, and is moved on to the
/// start of the next one; `blind`: what came before the extent is not known, so a footer that is
/// there is believed as long as nothing is changed.
///
/// # Errors
/// What goes in is beyond an extent's limits.
pub(super) fn rebuild(
    header: Header,
    old: &Bytes,
    edits: &Edits,
    sealed: bool,
    blind: bool,
    indexer: &mut Indexer,
) -> Result<Rebuilt, FormatError> {
    let mut building = Building { out: Rebuilt::default(), edits, indexer, done: None, bad: None };
    let head = header.encode();
    if old.starts_with(&head) {
        building.out.old(0..HEADER_LEN);
    } else {
        building.out.new_bytes(Bytes::copy_from_slice(&head));
    }
    let mut holed = false;
    let ends = salvage(header.extent, old, &mut |piece| {
        holed |= !matches!(piece, Piece::Record(_));
        building.piece(piece);
    });
    building.inserts(u64::MAX);
    let Building { mut out, bad, .. } = building;
    if let Some(e) = bad {
        return Err(e);
    }
    let mut footer = indexer.footer(out.len);
    let kept = ends.footer.filter(|f| {
        *f == footer || blind && !holed && edits.is_empty() && f.records_end == out.len
    });
    if let Some(kept) = kept.filter(|_| ends.footer_fault.is_none()) {
        let at = kept.records_end as usize;
        footer = kept;
        out.old(at..old.len());
    } else if sealed {
        let mut bytes = BytesMut::with_capacity(footer.encoded_len());
        footer.encode(&mut bytes);
        out.new_bytes(bytes.freeze());
        out.new_footer = true;
    }
    *indexer = Indexer::resume(&footer);
    Ok(out)
}

struct Building<'a> {
    out: Rebuilt,
    edits: &'a Edits,
    indexer: &'a mut Indexer,
    /// Everything that goes in at or before this offset is in.
    done: Option<u64>,
    bad: Option<FormatError>,
}

impl Building<'_> {
    fn piece(&mut self, piece: Piece) {
        let (found, old) = match piece {
            Piece::Record(found) => (found, true),
            Piece::Restored { found, .. } => (found, false),
            Piece::Lost { at, .. } => return self.inserts(at),
        };
        self.inserts(found.at);
        if self.edits.drop.contains(&found.at) {
            return;
        }
        self.observe(&found.raw, &found.record);
        let at = found.at as usize;
        if old {
            self.out.old(at..at + found.raw.len());
        } else {
            self.out.new_bytes(found.raw);
        }
    }

    /// Puts in what goes before a record at `upto`.
    fn inserts(&mut self, upto: u64) {
        let from = self.done.map_or(0, |d| d + 1);
        if from > upto {
            return;
        }
        let edits = self.edits;
        for raw in edits.insert.range(from..=upto).flat_map(|(_, raws)| raws) {
            let record =
                frame(raw, true).ok().and_then(|f| crate::log::format::record::decode(f, raw).ok());
            let record = record.expect("it was encoded or read whole");
            self.observe(raw, &record);
            self.out.new_bytes(raw.clone());
        }
        self.done = Some(upto.min(u64::MAX - 1));
    }

    fn observe(&mut self, raw: &Bytes, record: &Record) {
        if let Err(e) = self.indexer.observe(self.out.len, raw, record) {
            self.bad.get_or_insert(e);
        }
    }
}
