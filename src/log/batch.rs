//! A run of whole records, as readers get it: shared bytes and the position they begin at.

use crate::log::format::Position;
use crate::log::format::record::Record;
use crate::log::format::scan::{Scan, Stop};
use bytes::Bytes;

/// Whole records of one extent, one after another. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    first: Position,
    bytes: Bytes,
}

/// A record and the positions it lies between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it starts.
    pub start: Position,
    /// Where it ends.
    pub end: Position,
    /// What it is; a payload is a slice of the batch's bytes.
    pub record: Record,
}

impl Batch {
    /// Takes bytes from outside: every record must be whole and its checksum right.
    pub fn new(first: Position, bytes: Bytes) -> Result<Batch, Stop> {
        let stop = Scan::new(&bytes).run();
        if stop.why.is_some() { Err(stop) } else { Ok(Batch { first, bytes }) }
    }

    /// Bytes that this process wrote itself or has verified.
    pub(super) fn trusted(first: Position, bytes: Bytes) -> Batch {
        Batch { first, bytes }
    }

    /// Where the first record starts.
    pub fn first(&self) -> Position {
        self.first
    }

    /// Where the last record ends.
    pub fn end(&self) -> Position {
        self.at(self.bytes.len())
    }

    /// The records as they are stored.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The records one by one; payloads are not copied.
    pub fn records(&self) -> impl Iterator<Item = Entry> + '_ {
        Scan::trusted(&self.bytes).map(|r| Entry {
            start: self.at(r.range.start),
            end: self.at(r.range.end),
            record: r.record,
        })
    }

    fn at(&self, i: usize) -> Position {
        Position { extent: self.first.extent, offset: self.first.offset + i as u64 }
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({} to {})", self.first, self.end())
    }
}
