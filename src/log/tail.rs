//! The newest records of a log in memory, as the writer made them: readers share the bytes. Holds
//! only what has been written to the file; forgets by size and by media time, never because a
//! reader is slow.

use crate::log::batch::Batch;
use crate::log::format::Position;
use crate::log::format::record::frame;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// A batch on its way to the file and then to the readers.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// The end of the batch before it: the same as `first`, or the end of the extent before.
    pub(super) follows: Position,
    /// Where its first record starts.
    pub(super) first: Position,
    /// Whole records.
    pub(super) bytes: Bytes,
    /// Media time of its newest packet, microseconds.
    pub(super) media: i64,
    /// A segment starts in it.
    pub(super) segment: bool,
    /// Bytes that would end the log behind it.
    pub(super) closing: u64,
}

impl Written {
    pub(super) fn end(&self) -> Position {
        Position { extent: self.first.extent, offset: self.first.offset + self.bytes.len() as u64 }
    }
}

/// The position asked for is inside a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotARecord;

/// The batches in memory, oldest first, without holes between them.
#[derive(Debug, Default)]
pub(super) struct Tail {
    batches: VecDeque<Written>,
    bytes: usize,
}

impl Tail {
    /// Adds the newest batch and forgets what exceeds the limits; the newest batch always stays.
    /// Returns a buffer that nothing refers to any more, if one came free.
    pub(super) fn push(
        &mut self,
        batch: Written,
        max_bytes: usize,
        max_micros: i64,
    ) -> Option<BytesMut> {
        let mut free = None;
        let newest = batch.media;
        self.bytes += batch.bytes.len();
        self.batches.push_back(batch);
        while self.batches.len() > 1
            && let Some(oldest) = self.batches.front()
            && (self.bytes > max_bytes || newest.saturating_sub(oldest.media) > max_micros)
        {
            self.bytes -= oldest.bytes.len();
            let forgotten = self.batches.pop_front();
            free = forgotten.and_then(|b| b.bytes.try_into_mut().ok()).or(free);
        }
        free
    }

    /// The records from `cursor` to the end of the batch that holds it; `None` when they are not in
    /// memory.
    pub(super) fn get(&self, cursor: Position) -> Result<Option<Batch>, NotARecord> {
        let i = self.batches.partition_point(|b| b.end() <= cursor);
        let Some(b) = self.batches.get(i) else { return Ok(None) };
        if b.first == cursor || b.follows == cursor {
            return Ok(Some(Batch::trusted(b.first, b.bytes.clone())));
        }
        if cursor < b.first {
            return Ok(None);
        }
        // The cursor is inside this batch: walk to it, so that no reader starts in the middle of a
        // record.
        let want = (cursor.offset - b.first.offset) as usize;
        let mut at = 0;
        while at < want {
            at += frame(&b.bytes[at..], false).map_err(|_| NotARecord)?.len;
        }
        if at != want {
            return Err(NotARecord);
        }
        Ok(Some(Batch::trusted(cursor, b.bytes.slice(want..))))
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(offset: u64, media: i64, bytes: Bytes) -> Written {
        let first = Position { extent: 0, offset };
        Written { follows: first, first, bytes, media, segment: false, closing: 0 }
    }

    #[test]
    fn a_forgotten_buffer_comes_back_when_nobody_reads_it() {
        let mut buf = BytesMut::with_capacity(64);
        let mut take = |byte: u8| {
            buf.extend_from_slice(&[byte; 16]);
            buf.split().freeze()
        };
        let (one, two) = (take(1), take(2));
        drop(buf);
        let other = Bytes::from(vec![3; 16]);
        let mut tail = Tail::default();
        assert_eq!(tail.push(batch(0, 0, one), 100, 5), None);
        assert_eq!(tail.push(batch(16, 1, two.clone()), 100, 5), None);
        // Both batches of the buffer are forgotten, but a reader still holds the second.
        assert_eq!(tail.push(batch(32, 10, other.clone()), 100, 5), None);
        assert_eq!(tail.bytes(), 16);
        drop(other);
        let free = tail.push(batch(48, 20, two), 100, 5).expect("nobody reads the third");
        assert!(free.capacity() >= 16);
    }
}
