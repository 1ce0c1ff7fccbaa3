//! One rendition's state: what its marks, read in log order, make listed, removed, hinted and
//! downloadable. The text is in `hls::text`, the playlists are put together in `hls::playlist`;
//! media bytes and waiting are the edge's.
//!
//! What the draft and the contract leave open is decided so:
//! - The live window is the shortest run of complete segments at the end that lasts [`LIVE_WINDOW`]
//!   or three target durations, whichever is longer; the DVR view is the whole session.
//! - Parts are listed for the open segment and for segments whose end is at most three target
//!   durations before the end of the last listed part; all parts of a segment or none.
//! - EXT-X-DISCONTINUITY-SEQUENCE is the absolute number of the first listed segment less the
//!   EXT-X-DISCONTINUITY tags that stand before that segment. A segment has as many tags as its
//!   number is above the number of the segment before it; where that is unknown (the first segment
//!   that a window sees) the mark's flag counts.
//! - Numbers that no mark accounts for, between two marks, are gaps that share the wall-clock time
//!   between them.
//! - A segment whose generation lost it keeps the lines that were listed, and is completed with
//!   EXT-X-GAP.
//! - A segment that ended without a part was never listed; its number is accounted for as above.
//! - Marks that a decided end leaves out, but which this window has read, stay listed.

use crate::base::ids::{Msn, Seq, Session, TrackId, Writer};
use crate::base::time::MICROS;
use crate::hls::cues::Cues;
use crate::hls::error::MarkError;
use crate::hls::name::File;
use crate::hls::past::Past;
use crate::hls::segment::{Open, Part, Segment};
use crate::hls::text::Text;
use crate::media::timeline::mark::{
    End, Gap, GenerationStart, LastSegment, Mark, PartEnd, SegmentStart, SessionRecord,
};
use crate::media::track::Kind;
use std::collections::VecDeque;
use std::sync::Arc;

/// Least duration of the live window in microseconds: enough to seek back a little and for a player
/// that has stalled to find its place again, and small enough that a playlist is about 10 KiB.
pub const LIVE_WINDOW: i64 = 60 * MICROS;

/// Parts are listed for so many target durations before the end (6.2.2); also the least duration of
/// a live playlist.
pub const PART_TARGET_DURATIONS: i64 = 3;

/// CAN-SKIP-UNTIL in target durations: the least that is allowed (4.4.3.8).
pub const SKIP_TARGET_DURATIONS: i64 = 6;

/// Most numbers without a mark that are listed as gaps at once: five hours of 2 s segments, far
/// above any reconnect window, and 10 MB at most. More is a damaged log.
pub const HOLE_MAX: u64 = 10_000;

/// Most EXT-X-DISCONTINUITY tags before one segment; more is a damaged log.
pub const BREAKS_MAX: u64 = 16;

/// An init section's name.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) hash: Arc<str>,
    /// A segment began under it: it is part of the session for good.
    pub(super) listed: bool,
}

/// The first version of the renderer whose playlists hint a new init section.
const HINTS_INIT: u32 = 2;

/// One rendition of one session; see the module.
#[derive(Debug, Clone)]
pub struct Window {
    pub(super) session: Arc<SessionRecord>,
    pub(super) track: TrackId,
    id: Option<Session>,
    pub(super) writer: Option<Writer>,
    pub(super) inits: Vec<Named>,
    pub(super) init: Option<u32>,
    /// Number, and discontinuity number before its tags, of the first complete segment.
    pub(super) first: Option<(Msn, u64)>,
    /// Complete segments that left the live window.
    pub(super) past: Past,
    /// Those after them; consecutive numbers.
    pub(super) segments: VecDeque<Segment>,
    /// Segments stay in `segments` whole.
    pub(super) keep: bool,
    /// The generations that were read, and those of them that another edge may have read more of.
    pub(super) writers: Vec<Writer>,
    pub(super) unsure: Vec<Writer>,
    pub(super) open: Option<Open>,
    /// The next listed sample; unknown before the first mark that tells.
    pub(super) next_seq: Option<Seq>,
    /// First segment of the live window.
    pub(super) head: usize,
    /// First segment whose parts are listed.
    pub(super) parted: usize,
    /// First segment that a delta update does not skip.
    pub(super) skip: usize,
    pub(super) text: Text,
    pub(super) cues: Cues,
    /// The track whose segments' dates cues are held against.
    leader: Option<TrackId>,
    pub(super) ended: bool,
}

impl Window {
    /// The empty window of the rendition that `track` carries.
    pub fn new(session: Arc<SessionRecord>, track: TrackId) -> Window {
        let text = Text::new(session.render);
        let cues = Cues::new(session.target_duration);
        let video = session.renditions.iter().find(|r| r.kind == Kind::Video);
        let leader = video.or(session.renditions.first()).map(|r| r.track);
        Window {
            session,
            track,
            id: None,
            writer: None,
            inits: Vec::new(),
            init: None,
            first: None,
            past: Past::default(),
            segments: VecDeque::new(),
            keep: false,
            writers: Vec::new(),
            unsure: Vec::new(),
            open: None,
            next_seq: None,
            head: 0,
            parted: 0,
            skip: 0,
            text,
            cues,
            leader,
            ended: false,
        }
    }

    /// A window that remembers everything of every segment, for `hls::vod`.
    pub fn whole(session: Arc<SessionRecord>, track: TrackId) -> Window {
        let window = Window::new(session, track);
        Window { keep: true, cues: window.cues.clone().whole(), ..window }
    }

    /// Names the init section of segments that start from now on. To be called for every Track mark
    /// of this track, before later marks are applied; the same hash again changes nothing. True
    /// when the playlists are different now, because they hint it.
    pub fn set_init(&mut self, hash: &str) -> bool {
        let before = self.hinted_init();
        let known = self.inits.iter().position(|i| &*i.hash == hash);
        let at = known.unwrap_or_else(|| {
            self.inits.push(Named { hash: hash.into(), listed: false });
            self.inits.len() - 1
        });
        self.init = u32::try_from(at).ok();
        self.hinted_init() != before
    }

    /// Applies the next mark of the log of `generation`. True when a playlist of this rendition is
    /// different now; marks of other tracks are ignored. A log may be joined anywhere: what comes
    /// before the first segment start or gap is skipped.
    pub fn apply(&mut self, writer: Writer, mark: &Mark) -> Result<bool, MarkError> {
        let ours = match mark {
            Mark::Session(_) | Mark::Track(_) => return Ok(false),
            Mark::Generation(start) => return self.generation_start(start),
            Mark::End(_) => true,
            Mark::SegmentStart(s) => s.track == self.track,
            Mark::PartEnd(p) => p.track == self.track,
            Mark::Gap(g) => g.track == self.track,
            Mark::Cue(_) => true,
        };
        match mark {
            Mark::SegmentStart(s) if Some(s.track) == self.leader => self.cues.hear(s.msn, s.wall),
            Mark::Gap(g) if Some(g.track) == self.leader => self.cues.hear(g.msn, g.wall),
            _ => {}
        }
        if !ours {
            return Ok(false);
        }
        if self.ended {
            return Err(MarkError::AfterEnd);
        }
        let entered = self.enter(writer, None, None)?;
        let changed = match mark {
            Mark::SegmentStart(s) => self.segment_start(s),
            Mark::PartEnd(p) => self.part_end(p),
            Mark::Gap(g) => match g.part {
                Some(i) => self.gap_part(g, i),
                None => self.gap_whole(g),
            },
            Mark::End(e) => Ok(self.end(e)),
            Mark::Cue(c) => {
                let head = self.is_listed().then(|| self.head_numbers().0);
                Ok(self.cues.add(c, head) && self.is_listed())
            }
            _ => Ok(false),
        };
        Ok(entered | changed?)
    }

    fn generation_start(&mut self, start: &GenerationStart) -> Result<bool, MarkError> {
        let have = *self.id.get_or_insert(start.session);
        if have != start.session {
            return Err(MarkError::OtherSession { got: start.session, have });
        }
        if self.ended {
            return Err(MarkError::AfterEnd);
        }
        let have = self.writer;
        let lacked = start.previous.as_ref().is_some_and(|(of, end)| self.lacks(*of, end));
        let changed = self.enter(start.writer(), start.previous.as_ref(), Some(Seq(0)))?;
        // What its writer did not tell, others may know better.
        if let (Some((of, end)), Some(have)) = (&start.previous, have)
            && have < start.writer()
            && (*of != have || start.base != end.msn.next() || lacked)
        {
            self.unsure.push(have);
        }
        Ok(changed)
    }

    /// Makes `generation` the current one; what the older one left open ends as decided, else with
    /// what it has.
    fn enter(
        &mut self,
        writer: Writer,
        previous: Option<&(Writer, End)>,
        next: Option<Seq>,
    ) -> Result<bool, MarkError> {
        match self.writer {
            Some(have) if have == writer => return Ok(false),
            Some(have) if have > writer => {
                return Err(MarkError::Stale { got: writer, have });
            }
            _ => {}
        }
        match previous {
            Some((of, end)) if self.is_ended_by(*of, end) => self.end_open(end),
            _ => self.close(None),
        };
        self.writers.push(writer);
        self.writer = Some(writer);
        self.next_seq = next;
        Ok(self.is_listed())
    }

    fn segment_start(&mut self, s: &SegmentStart) -> Result<bool, MarkError> {
        self.due(s.msn)?;
        self.breaks(s.msn, s.dseq, s.discontinuity)?;
        let Some(init) = self.init else { return Err(MarkError::NoInit(s.msn)) };
        let hinted = self.next_seq;
        if hinted.is_some_and(|next| s.first_seq < next) {
            return Err(MarkError::Part { msn: s.msn, part: 0 });
        }
        let mut changed = self.close(None);
        changed |= self.fill(s.msn, s.wall);
        self.next_seq = Some(s.first_seq);
        self.begin(s.msn, s.wall, s.dseq, s.discontinuity, Some(init))?;
        Ok(changed || (hinted != self.next_seq && self.is_listed()))
    }

    fn part_end(&mut self, p: &PartEnd) -> Result<bool, MarkError> {
        let wrong = MarkError::Part { msn: p.msn, part: p.part };
        if self.open.is_none() && self.segments.is_empty() {
            return Ok(false);
        }
        let next = self.next_seq;
        let open = self.open.as_mut().filter(|o| o.msn == p.msn && o.started && !o.lost);
        let open = open.ok_or(wrong)?;
        let follows = p.part as usize == open.parts.len() && Some(p.first_seq) >= next;
        if !follows || p.last_seq < p.first_seq || p.duration < 0 {
            return Err(wrong);
        }
        let part = Part::from(p);
        open.parts.push(part);
        self.text.part(&part, &File::Part { writer: open.writer, seq: p.first_seq });
        self.next_seq = Some(Seq(p.last_seq.0.saturating_add(1)));
        self.retire();
        Ok(true)
    }

    fn gap_part(&mut self, g: &Gap, index: u32) -> Result<bool, MarkError> {
        let wrong = MarkError::Part { msn: g.msn, part: index };
        if g.duration < 0 {
            return Err(wrong);
        }
        if self.open.as_ref().is_none_or(|o| o.msn != g.msn) {
            if index != 0 {
                return if self.segments.is_empty() { Ok(false) } else { Err(wrong) };
            }
            self.due(g.msn)?;
            self.breaks(g.msn, g.dseq, false)?;
            self.close(None);
            self.fill(g.msn, g.wall);
            self.begin(g.msn, g.wall, g.dseq, false, None)?;
        }
        let first = self.next_seq.unwrap_or_default();
        let open = self.open.as_mut().filter(|o| o.parts.len() == index as usize && !o.lost);
        let open = open.ok_or(wrong)?;
        let part = Part {
            first,
            last: first,
            decode_time: 0,
            duration: g.duration,
            independent: false,
            gap: true,
        };
        open.parts.push(part);
        let (writer, n) = (open.writer, index.saturating_add(1));
        self.text.part(&part, &File::Gap { writer, msn: g.msn, n });
        self.retire();
        Ok(true)
    }

    /// A segment is absent as a whole. Parts with media that were listed of it cannot be taken
    /// back: then the segment is complete with what it has.
    fn gap_whole(&mut self, g: &Gap) -> Result<bool, MarkError> {
        if g.duration < 0 {
            return Err(MarkError::Part { msn: g.msn, part: 0 });
        }
        match &self.open {
            Some(open) if open.msn == g.msn && !open.parts.is_empty() => {
                let duration = open.is_gap().then_some(g.duration);
                return Ok(self.close(duration));
            }
            Some(open) if open.msn == g.msn => {}
            _ => self.due(g.msn)?,
        }
        self.breaks(g.msn, g.dseq, false)?;
        self.close(None);
        self.fill(g.msn, g.wall);
        self.begin(g.msn, g.wall, g.dseq, false, None)?;
        Ok(self.close(Some(g.duration)))
    }

    fn end(&mut self, end: &End) -> bool {
        let mut changed = self.end_open(end);
        if end.session_over {
            self.close(None);
            self.ended = true;
            changed = true;
        }
        changed
    }

    /// Ends the session where no record does: the registry's word, once every log was read. True
    /// when that is news.
    pub fn end_session(&mut self, last: Writer) -> bool {
        if self.ended || self.writer.is_some_and(|g| g > last) {
            return false;
        }
        self.close(None);
        self.ended = true;
        true
    }

    /// Index of the init section that the next segment will have and no listed one before it has.
    pub(super) fn hinted_init(&self) -> Option<u32> {
        let listed = self.open.as_ref().filter(|o| !o.parts.is_empty()).map(|o| o.init);
        let in_force = listed.or_else(|| self.segments.back().map(|s| s.init))?;
        let hints = !self.ended && self.session.render >= HINTS_INIT;
        self.init.filter(|_| hints && self.init != in_force)
    }

    /// Does this end say how the current generation ended? That of a later one does where that had
    /// no media: it ended where the one before it did.
    fn is_ended_by(&self, of: Writer, end: &End) -> bool {
        let fate = end.tracks.iter().find(|t| t.track == self.track);
        let same = fate.zip(self.open.as_ref()).is_some_and(|(fate, open)| fate.msn == open.msn);
        self.writer.is_some_and(|have| have == of || (have < of && same))
    }

    /// Was less read of the current generation than is known to be there? Its log has more of
    /// segments that others list; what is missing has the names of what they have.
    pub fn lacks(&self, of: Writer, end: &End) -> bool {
        let Some(fate) = end.tracks.iter().find(|t| t.track == self.track) else { return false };
        let is_lost = fate.last == LastSegment::Lost;
        let Some(open) = &self.open else {
            let before = if is_lost { fate.msn.0.saturating_sub(1) } else { fate.msn.0 };
            return self.writer == Some(of)
                && self.segments.back().is_none_or(|s| s.msn.0 < before);
        };
        match is_lost {
            true => self.writer == Some(of) && open.msn < fate.msn,
            false => self.is_ended_by(of, end) && open.msn <= fate.msn && !open.has_all(fate),
        }
    }

    /// The open segment's fate at the end of its generation. A lost one stays open until the next
    /// mark, which may be the gap that takes its place. So does one that is not all there, and one
    /// that had begun by then without the registry's knowledge: nobody knows what is all of it.
    fn end_open(&mut self, end: &End) -> bool {
        let fate = end.tracks.iter().find(|t| t.track == self.track);
        match (&mut self.open, fate) {
            (Some(open), Some(fate)) if !open.parts.is_empty() && open.is_lost(fate) => {
                open.lost = true;
                false
            }
            _ => self.close(None),
        }
    }
}
