//! What is remembered of segments that have left the live window: their text, which `hls::text`
//! has, and sixteen bytes each (29 KB an hour at 2 s segments), to find them by name and by date.
//! What their bytes are made of stands in the log.

use crate::base::ids::{Msn, Seq, Writer};
use crate::base::time::Wall;
use crate::hls::segment::Segment;

/// Segments that are alike follow one another in runs: a publish is one as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// Index of its first segment.
    from: usize,
    writer: Writer,
    init: Option<u32>,
    dseq: u64,
    gap: bool,
}

/// What differs from segment to segment.
#[derive(Debug, Clone, Copy)]
struct Own {
    /// The number that the next listed sample had when it began.
    seq: Seq,
    /// Its date, and in the lowest bit whether it can be decoded from its start.
    date: i64,
}

impl Own {
    fn new(s: &Segment) -> Own {
        let date = (s.wall.0 << 1) | i64::from(s.is_independent());
        Own { seq: s.first_seq, date }
    }

    fn wall(self) -> Wall {
        Wall(self.date >> 1)
    }

    fn is_independent(self) -> bool {
        self.date & 1 == 1
    }
}

/// A segment of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Old {
    pub(super) msn: Msn,
    pub(super) writer: Writer,
    /// Index of the init section in force.
    pub(super) init: Option<u32>,
    /// Absolute discontinuity sequence number.
    pub(super) dseq: u64,
    pub(super) wall: Wall,
    pub(super) gap: bool,
    /// It can be decoded from its start.
    pub(super) independent: bool,
}

/// Segments with consecutive numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Past {
    first: Msn,
    own: Vec<Own>,
    runs: Vec<Run>,
}

impl Past {
    /// Takes the segment after the last one.
    pub(super) fn push(&mut self, s: &Segment) {
        if self.own.is_empty() {
            self.first = s.msn;
        }
        let (from, writer, init) = (self.own.len(), s.writer, s.init);
        let run = Run { from, writer, init, dseq: s.dseq, gap: s.gap };
        let same = |last: &Run| Run { from: last.from, ..run } == *last;
        if !self.runs.last().is_some_and(same) {
            self.runs.push(run);
        }
        self.own.push(Own::new(s));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.own.len()
    }

    /// The segment of this index.
    pub(super) fn at(&self, index: usize) -> Option<Old> {
        let own = *self.own.get(index)?;
        let run = self.runs.partition_point(|r| r.from <= index).checked_sub(1)?;
        let Run { writer, init, dseq, gap, .. } = *self.runs.get(run)?;
        let msn = Msn(self.first.0 + index as u64);
        let (wall, independent) = (own.wall(), own.is_independent());
        Some(Old { msn, writer, init, dseq, wall, gap, independent })
    }

    /// The segment of this number.
    pub(super) fn segment(&self, msn: Msn) -> Option<Old> {
        self.at(usize::try_from(msn.0.checked_sub(self.first.0)?).ok()?)
    }

    /// The segment of this generation that the sample belongs to, if it is listed at all.
    pub(super) fn sample(&self, writer: Writer, seq: Seq) -> Option<Old> {
        let start = self.runs.partition_point(|r| r.writer < writer);
        let end = self.runs.partition_point(|r| r.writer <= writer);
        let from = self.runs.get(start).map_or(self.own.len(), |r| r.from);
        let to = self.runs.get(end).map_or(self.own.len(), |r| r.from);
        let after = self.own.get(from..to)?.partition_point(|o| o.seq <= seq);
        self.at(from + after.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_of_the_past_costs_sixteen_bytes() {
        assert_eq!(size_of::<Own>(), 16);
    }
}
