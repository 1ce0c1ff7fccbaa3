//! What is remembered of segments that have left the live window: their text, which `hls::text`
//! has, and eight bytes each to find them by name. What their bytes are made of stands in the log.

use crate::base::ids::{Generation, Msn, Seq};
use crate::hls::segment::Segment;

/// Segments that are alike follow one another in runs: a publish is one as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// Index of its first segment.
    from: usize,
    generation: Generation,
    init: Option<u32>,
    gap: bool,
}

/// A segment of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Old {
    pub(super) msn: Msn,
    pub(super) generation: Generation,
    /// Index of the init section in force.
    pub(super) init: Option<u32>,
    pub(super) gap: bool,
}

/// Segments with consecutive numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Past {
    first: Msn,
    /// Of each segment: the number that the next listed sample had when it began.
    seqs: Vec<Seq>,
    runs: Vec<Run>,
}

impl Past {
    /// Takes the segment after the last one.
    pub(super) fn push(&mut self, s: &Segment) {
        if self.seqs.is_empty() {
            self.first = s.msn;
        }
        let run = Run { from: self.seqs.len(), generation: s.generation, init: s.init, gap: s.gap };
        let same = |last: &Run| Run { from: last.from, ..run } == *last;
        if !self.runs.last().is_some_and(same) {
            self.runs.push(run);
        }
        self.seqs.push(s.first_seq);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.seqs.len()
    }

    fn at(&self, index: usize) -> Option<Old> {
        let run = self.runs.partition_point(|r| r.from <= index).checked_sub(1)?;
        let Run { generation, init, gap, .. } = *self.runs.get(run)?;
        let msn = Msn(self.first.0 + index as u64);
        (index < self.seqs.len()).then_some(Old { msn, generation, init, gap })
    }

    /// The segment of this number.
    pub(super) fn segment(&self, msn: Msn) -> Option<Old> {
        self.at(usize::try_from(msn.0.checked_sub(self.first.0)?).ok()?)
    }

    /// The segment of this generation that the sample belongs to, if it is listed at all.
    pub(super) fn sample(&self, generation: Generation, seq: Seq) -> Option<Old> {
        let start = self.runs.partition_point(|r| r.generation < generation);
        let end = self.runs.partition_point(|r| r.generation <= generation);
        let from = self.runs.get(start).map_or(self.seqs.len(), |r| r.from);
        let to = self.runs.get(end).map_or(self.seqs.len(), |r| r.from);
        let after = self.seqs.get(from..to)?.partition_point(|s| *s <= seq);
        self.at(from + after.checked_sub(1)?)
    }
}
