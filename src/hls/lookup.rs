//! Questions to a window: what a media name stands for, which part is hinted, how far the playlist
//! is. Read only; what changes the window is in `hls::window`.

use crate::base::ids::{Msn, Seq, Writer};
use crate::base::time::Wall;
use crate::hls::name::File;
use crate::hls::past::Old;
use crate::hls::reload::State;
use crate::hls::segment::Part;
use crate::hls::window::Window;
use std::sync::Arc;

/// How many samples past the next one a part's name may be and still be held: an edge that is
/// behind another gets such requests. Covers a blocked request's longest life (12 s at the default
/// target duration) at 300 samples a second.
pub const SEQ_AHEAD: u64 = 4_096;

/// How many segments past the next one a segment's name may be and still be held, as for reloads
/// (6.2.5.2).
pub const MSN_AHEAD: u64 = 2;

/// How many writers past the newest that is known a name's may be and still be held: an edge may
/// learn of a new one late.
pub const WRITERS_AHEAD: u64 = 3;

/// What a media name stands for at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<T> {
    /// It exists.
    Found(T),
    /// It may come, soon: hold the request.
    Future,
    /// It never was, is absent, or was given up: 404.
    Never,
    /// It is not here, and another edge may have listed it: 503, so that a balancer asks that one.
    Elsewhere,
}

/// Where a media object belongs and what is needed to make its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Media<'a> {
    /// The segment, or the part's segment.
    pub msn: Msn,
    /// The generation whose log has the samples.
    pub writer: Writer,
    /// Hash of the init section in force.
    pub init: &'a Arc<str>,
    /// The part, or all parts of the segment in order; gap parts have no samples. `None`: it is of
    /// the past, and what it is made of stands in the log alone.
    pub parts: Option<&'a [Part]>,
}

/// The end of a playlist, as EXT-X-RENDITION-REPORT has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Segment of the last listed part, or the last segment.
    pub msn: Msn,
    /// Index of its last part; `None` for a gap that was written as a whole.
    pub part: Option<u32>,
}

impl Window {
    /// Something is listed: there is a playlist.
    pub fn is_listed(&self) -> bool {
        !self.segments.is_empty() || self.listed_open_parts() > 0
    }

    /// A complete segment is listed, gaps included.
    pub fn has_segment(&self) -> bool {
        !self.segments.is_empty()
    }

    /// ENDLIST: nothing will change any more.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The newest generation that was entered.
    pub fn current(&self) -> Option<Writer> {
        self.writer
    }

    /// The name of the rendition in URLs; empty for a track that is none of the session's.
    pub fn rendition(&self) -> &str {
        self.session.rendition(self.track).map_or("", |r| &r.name)
    }

    /// Do its parts carry the events of cues?
    pub fn carries_cues(&self) -> bool {
        self.session.carries_cues(self.track)
    }

    /// Version of muxer and renderer, as it stands in media URLs.
    pub fn render(&self) -> u32 {
        self.session.render
    }

    fn listed_open_parts(&self) -> usize {
        self.open.as_ref().map_or(0, |o| o.parts.len())
    }

    /// The name of the part that comes next (EXT-X-PRELOAD-HINT); `None` when the session is over,
    /// or before the first mark that tells.
    pub fn hint(&self) -> Option<File> {
        let (writer, seq) = (self.writer?, self.next_seq?);
        (!self.ended).then_some(File::Part { writer, seq })
    }

    /// The name of the init section that the next segment will have, where that is another than now
    /// (EXT-X-PRELOAD-HINT with TYPE=MAP).
    pub fn init_hint(&self) -> Option<File> {
        let named = self.inits.get(self.hinted_init()? as usize)?;
        Some(File::Init { hash: named.hash.to_string() })
    }

    /// The init section of this hash: there once a segment has it or the next one will. One that
    /// was hinted and given up is gone; one that nobody has heard of may be known to another edge
    /// already.
    pub fn init(&self, hash: &str) -> Lookup<()> {
        match self.inits.iter().position(|i| &*i.hash == hash) {
            Some(at) if self.inits[at].listed || self.init.is_some_and(|i| i as usize == at) => {
                Lookup::Found(())
            }
            None if !self.ended => Lookup::Future,
            _ => Lookup::Never,
        }
    }

    /// The end of the playlist, for the reports in other renditions; `None` while nothing is
    /// listed.
    pub fn position(&self) -> Option<Position> {
        let (msn, parts) = match &self.open {
            Some(open) if !open.parts.is_empty() => (open.msn, open.parts.len()),
            _ => self.segments.back().map(|s| (s.msn, s.parts.len()))?,
        };
        Some(Position { msn, part: parts.checked_sub(1).and_then(|p| u32::try_from(p).ok()) })
    }

    /// Wall clock of the end of what is listed; `None` while nothing is. For latency figures.
    pub fn end_wall(&self) -> Option<Wall> {
        match &self.open {
            Some(open) if !open.parts.is_empty() => Some(open.wall.plus(open.duration())),
            _ => self.segments.back().map(|s| s.wall.plus(s.duration)),
        }
    }

    /// ENDLIST is listed.
    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// How far the playlist is, for `hls::reload::decide`; the same for the live and the DVR view.
    pub fn state(&self) -> State {
        let next = match &self.open {
            Some(open) if !open.parts.is_empty() => Some(open.msn),
            _ => self.segments.back().map(|s| s.msn.next()),
        };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        State {
            next,
            next_parts: count(self.listed_open_parts()),
            last_parts: self.segments.back().map_or(0, |s| count(s.parts.len())),
            ended: self.ended,
            part_target: self.session.part_target,
        }
    }

    /// The complete segment of this name. Segments stay known after they have left the live
    /// playlist: the DVR view lists them, and they must stay downloadable (6.2.2).
    pub fn segment(&self, writer: Writer, msn: Msn) -> Lookup<Media<'_>> {
        if let Some(old) = self.past.segment(msn) {
            return self.old(writer, old);
        }
        let at = self.segments.front().and_then(|s| msn.0.checked_sub(s.msn.0));
        if let Some(s) = at.and_then(|i| self.segments.get(usize::try_from(i).ok()?)) {
            let init = s.init.and_then(|i| self.inits.get(i as usize));
            return match init.map(|i| &i.hash) {
                Some(init) if s.writer == writer && !s.gap => {
                    Lookup::Found(Media { msn, writer, init, parts: Some(&s.parts) })
                }
                _ => self.not_here(writer),
            };
        }
        let next = self.segments.back().map(|s| s.msn.next());
        // The next generation may begin far ahead: after a writer that could not be asked.
        let begins = self.writer.is_some_and(|current| writer > current);
        let near = next.is_none_or(|n| msn >= n && (begins || msn.0 - n.0 <= MSN_AHEAD + 1));
        if near && self.may_come(writer) { Lookup::Future } else { self.not_here(writer) }
    }

    /// A name of a generation that is over and has no such thing here: one whose end was decided
    /// without it, or whose log could not be read.
    fn not_here<T>(&self, writer: Writer) -> Lookup<T> {
        // Numbers begin with 1.
        let is_old = self.writer.is_some_and(|current| writer < current && writer.generation.0 > 0);
        let is_passed = !self.writers.contains(&writer);
        match is_old && (is_passed || self.unsure.contains(&writer)) {
            true => Lookup::Elsewhere,
            false => Lookup::Never,
        }
    }

    /// A segment of the past, or one that has a sample's number.
    fn old(&self, writer: Writer, old: Old) -> Lookup<Media<'_>> {
        match old.init.and_then(|i| self.inits.get(i as usize)).map(|i| &i.hash) {
            Some(init) if old.writer == writer && !old.gap => {
                Lookup::Found(Media { msn: old.msn, writer, init, parts: None })
            }
            _ => self.not_here(writer),
        }
    }

    /// The part of this name; [`Media::parts`] has this one part. Of the past, only the segment is
    /// known that a part of this name would be of.
    pub fn part(&self, writer: Writer, seq: Seq) -> Lookup<Media<'_>> {
        if let Some(open) = self.open.as_ref().filter(|o| o.writer == writer)
            && let Some(found) = self.find(open.msn, writer, open.init, &open.parts, seq)
        {
            return Lookup::Found(found);
        }
        let after = self.segments.partition_point(|s| (s.writer, s.first_seq) <= (writer, seq));
        let held = after.checked_sub(1).and_then(|i| self.segments.get(i));
        if let Some(s) = held.filter(|s| s.writer == writer) {
            if let Some(found) = self.find(s.msn, writer, s.init, &s.parts, seq) {
                return Lookup::Found(found);
            }
        } else if let Some(old) = self.past.sample(writer, seq) {
            return self.old(writer, old);
        }
        let next = match self.writer {
            Some(current) if current == writer => self.next_seq,
            _ => Some(Seq(0)),
        };
        let near = next.is_none_or(|n| seq >= n && seq.0 - n.0 <= SEQ_AHEAD);
        if near && self.may_come(writer) { Lookup::Future } else { self.not_here(writer) }
    }

    fn find<'a>(
        &'a self,
        msn: Msn,
        writer: Writer,
        init: Option<u32>,
        parts: &'a [Part],
        seq: Seq,
    ) -> Option<Media<'a>> {
        let at = parts.iter().position(|p| !p.gap && p.first == seq)?;
        let init = &self.inits.get(init? as usize)?.hash;
        Some(Media { msn, writer, init, parts: Some(&parts[at..=at]) })
    }

    /// It writes now, or this edge has not heard of it yet.
    fn may_come(&self, writer: Writer) -> bool {
        let current = self.writer.unwrap_or(writer);
        let ahead = match writer.generation.0.checked_sub(current.generation.0) {
            Some(0) => u64::from(job(writer).saturating_sub(job(current))),
            Some(generations) => generations.max(u64::from(job(writer))),
            None => return false,
        };
        !self.ended && writer >= current && ahead <= WRITERS_AHEAD
    }
}

/// The number of a writer's job; 0 for an origin.
fn job(writer: Writer) -> u32 {
    writer.job.map_or(0, |job| job.0)
}
