//! What the window remembers of a segment and its parts: enough to list them and to build their
//! bytes again from the log, for as long as the session lives. The bytes themselves are the edge's.

use crate::base::ids::{Msn, Seq, Writer};
use crate::base::time::Wall;
use crate::media::fmp4::fragment::{Fragment, Sample};
use crate::media::fmp4::init::{Init, TRACK_NUMBER};
use crate::media::timeline::mark::{LastSegment, PartEnd, TrackEnd};

/// One part of a segment: samples `first..=last` of the segment's track and generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// First sample. For a gap part: the first sample that will be listed after it.
    pub first: Seq,
    /// Last sample; means nothing for a gap part.
    pub last: Seq,
    /// `baseMediaDecodeTime` in ticks of the track's mux timescale; 0 for a gap part.
    pub decode_time: u64,
    /// Decode-time duration in microseconds.
    pub duration: i64,
    /// INDEPENDENT=YES.
    pub independent: bool,
    /// GAP=YES: there are no samples.
    pub gap: bool,
}

impl Part {
    /// `mfhd` sequence number (ISO/IEC 14496-12, 8.8.5): the first sample's number plus one, so
    /// that it grows from part to part and is the same wherever the part is made.
    pub fn sequence(&self) -> u32 {
        (self.first.0 as u32).wrapping_add(1)
    }

    /// What the part's bytes are made from: the same samples give the same bytes wherever it is
    /// muxed, on an edge or in an export.
    pub fn fragment<'a>(&self, init: &Init, samples: &'a [Sample]) -> Fragment<'a> {
        Fragment {
            track_number: TRACK_NUMBER,
            description: 1,
            sequence: self.sequence(),
            decode_time: self.decode_time,
            duration: self.duration,
            timescale: init.track.timescale,
            mux: init.details.mux_timescale,
            frames: init.details.frame_length(),
            samples,
        }
    }
}

impl From<&PartEnd> for Part {
    /// A part as its mark lists it.
    fn from(p: &PartEnd) -> Part {
        Part {
            first: p.first_seq,
            last: p.last_seq,
            decode_time: p.decode_time,
            duration: p.duration,
            independent: p.independent,
            gap: false,
        }
    }
}

/// One complete segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub msn: Msn,
    /// The generation that wrote it.
    pub writer: Writer,
    /// Wall clock of its start.
    pub wall: Wall,
    /// EXTINF in microseconds.
    pub duration: i64,
    /// Absolute discontinuity sequence number.
    pub dseq: u64,
    /// EXT-X-GAP: nothing of it exists.
    pub gap: bool,
    /// Its parts in order; empty for a gap that was written as a whole.
    pub parts: Box<[Part]>,
    /// EXT-X-DISCONTINUITY tags before it.
    pub(super) breaks: u32,
    /// Index of the init section in force, into the window's list.
    pub(super) init: Option<u32>,
    /// The number that the next listed sample had when this segment began: with the generation, the
    /// key of look-ups.
    pub(super) first_seq: Seq,
    /// Media time of its end in microseconds, counted from the window's first segment.
    pub(super) end: i64,
    /// Where its lines begin in the text without parts, once they are there.
    pub(super) text_at: usize,
    /// Where its lines after EXT-X-DISCONTINUITY and EXT-X-MAP begin there.
    pub(super) body_at: usize,
}

impl Segment {
    /// It can be decoded from its start.
    pub fn is_independent(&self) -> bool {
        self.parts.first().is_some_and(|p| p.independent)
    }
}

/// The segment that is being written.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) msn: Msn,
    pub(super) writer: Writer,
    pub(super) wall: Wall,
    pub(super) dseq: u64,
    pub(super) breaks: u32,
    pub(super) init: Option<u32>,
    pub(super) first_seq: Seq,
    /// A SegmentStart began it; else a gap part did, and it has no media.
    pub(super) started: bool,
    /// The generation ended and nothing of this segment can be served any more.
    pub(super) lost: bool,
    pub(super) parts: Vec<Part>,
}

impl Open {
    /// Microseconds listed so far.
    pub(super) fn duration(&self) -> i64 {
        self.parts.iter().map(|p| p.duration).sum()
    }

    /// Is it the last of its generation, with all its parts?
    pub(super) fn has_all(&self, fate: &TrackEnd) -> bool {
        self.msn == fate.msn && self.parts.len() as u64 >= u64::from(fate.parts)
    }

    /// Is it unknown what is all of it, by how its generation ended?
    pub(super) fn is_lost(&self, fate: &TrackEnd) -> bool {
        match fate.last {
            LastSegment::Lost => true,
            LastSegment::Complete | LastSegment::Short => !self.has_all(fate),
        }
    }

    /// All that is listed of it is absent.
    pub(super) fn is_gap(&self) -> bool {
        self.lost || self.parts.iter().all(|p| p.gap)
    }
}
