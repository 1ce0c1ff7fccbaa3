//! Rewinding while live: the segment that a moment is in, and the playlist that begins with it.
//!
//! Such a playlist is the DVR playlist from that segment on, with the same lines, hints and reports
//! (of the playlists of the other renditions that begin with the same number). Nothing is ever
//! removed from it, so it is of type EVENT, and it says that players begin at its beginning. It
//! lists the date ranges of the whole session, as the DVR playlist does: those before its beginning
//! cost a player nothing, and their text is shared.
//!
//! - A moment is in the last segment that does not begin after it, to the millisecond, which is
//!   what dates in playlists have; before the first segment, in the first one.
//! - A playlist begins where a decoder can: at that segment, or at the nearest before it that can
//!   be decoded from its start. Where the moment is in a gap, at the first media after it.
//! - Only complete segments are answered, so that every edge answers the same one.
//!
//! What it costs: every block of the DVR playlist behind the first is taken over as it is, text and
//! compressed form ([`Start`] keeps the list); the block that it begins in is cut once, without a
//! copy. A version adds a header and a tail.

use crate::base::ids::Msn;
use crate::base::time::Wall;
use crate::hls::frame::{self, BEGINS, END, NewRanges, VERSION, VERSION_SKIP};
use crate::hls::lookup::Position;
use crate::hls::playlist::{self, BLOCK, Forms, Report, View};
use crate::hls::rope::{Blocks, Rope, Run, Strand};
use crate::hls::text::{BREAK, body_at, segment_at};
use crate::hls::window::Window;
use crate::media::timeline::mark::SessionRecord;
use std::fmt::Write;
use std::sync::Arc;

/// Where a moment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A playlist that begins with this segment has it.
    Segment(Msn),
    /// In the segment that is being written: soon it is complete.
    Soon,
    /// Behind all media that there is.
    Beyond,
}

/// The last segment before a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// This one, which has media.
    Segment(Msn),
    /// There is no media before the moment.
    Nothing,
    /// What is before the moment is not complete yet.
    NotYet,
}

/// A complete segment, of the past or not.
struct Known {
    msn: Msn,
    wall: Wall,
    gap: bool,
    independent: bool,
    dseq: u64,
    init: Option<u32>,
}

/// Dates in playlists have milliseconds.
fn millis(wall: Wall) -> i64 {
    wall.0.div_euclid(1_000)
}

impl Window {
    fn complete(&self) -> usize {
        self.past.len() + self.segments.len()
    }

    fn known(&self, index: usize) -> Option<Known> {
        if let Some(old) = self.past.at(index) {
            let (msn, wall, gap, independent) = (old.msn, old.wall, old.gap, old.independent);
            return Some(Known { msn, wall, gap, independent, dseq: old.dseq, init: old.init });
        }
        let s = self.segments.get(index.checked_sub(self.past.len())?)?;
        let (msn, wall, gap, independent) = (s.msn, s.wall, s.gap, s.is_independent());
        Some(Known { msn, wall, gap, independent, dseq: s.dseq, init: s.init })
    }

    /// How many complete segments begin at or before a moment.
    fn begun(&self, by: impl Fn(Wall) -> bool) -> usize {
        let (mut low, mut high) = (0, self.complete());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.known(middle).is_some_and(|k| by(k.wall)) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    /// The first number; `None` while no segment is complete.
    pub fn first_msn(&self) -> Option<Msn> {
        self.known(0).map(|k| k.msn)
    }

    fn numbered(&self, msn: Msn) -> Option<Known> {
        let at = msn.0.checked_sub(self.first_msn()?.0)?;
        self.known(usize::try_from(at).ok()?)
    }

    /// The date of a complete segment.
    pub fn date(&self, msn: Msn) -> Option<Wall> {
        self.numbered(msn).map(|k| k.wall)
    }

    /// The discontinuity number of a complete segment.
    pub(super) fn dseq(&self, msn: Msn) -> Option<u64> {
        self.numbered(msn).map(|k| k.dseq)
    }

    /// Where the complete segments end.
    pub fn complete_until(&self) -> Option<Wall> {
        self.segments.back().map(|s| s.wall.plus(s.duration))
    }

    /// The segment that a playlist of what happened from `at` on begins with.
    pub fn moment(&self, at: Wall) -> Found {
        let beyond = self.end_wall().is_none_or(|end| millis(end) <= millis(at));
        if beyond {
            return Found::Beyond;
        }
        let listed = self.open.as_ref().filter(|o| !o.parts.is_empty());
        let media_is_open = listed.is_some_and(|o| !o.is_gap());
        if listed.is_some_and(|o| millis(o.wall) <= millis(at)) {
            return Found::Soon;
        }
        let mut index = self.begun(|wall| millis(wall) <= millis(at)).saturating_sub(1);
        while self.known(index).is_some_and(|k| k.gap) {
            index += 1;
        }
        if index >= self.complete() {
            return if media_is_open { Found::Soon } else { Found::Beyond };
        }
        let begins = |i: usize| self.known(i).is_some_and(|k| !k.gap && k.independent);
        let media = |i: &usize| self.known(*i).is_some_and(|k| !k.gap);
        let decodable = (0..=index).rev().take_while(media).find(|i| begins(*i)).unwrap_or(index);
        self.known(decodable).map_or(Found::Beyond, |k| Found::Segment(k.msn))
    }

    /// The last segment with media that begins before `at`.
    pub fn until(&self, at: Wall) -> Until {
        let complete = self.complete_until().is_some_and(|end| millis(end) >= millis(at));
        if !complete && !self.ended {
            return Until::NotYet;
        }
        let before = self.begun(|wall| millis(wall) < millis(at));
        let last = (0..before).rev().filter_map(|i| self.known(i)).find(|k| !k.gap);
        last.map_or(Until::Nothing, |k| Until::Segment(k.msn))
    }

    /// The beginning of a playlist that begins with this segment, which is listed, or with the
    /// window's first where that comes later.
    pub fn start(&self, msn: Msn) -> Option<Start> {
        let (first, before) = self.first?;
        let msn = msn.max(first);
        let index = usize::try_from(msn.0 - first.0).ok()?;
        let dseq_before = match index.checked_sub(1) {
            Some(before) => self.known(before)?.dseq,
            None => before,
        };
        let open = self.open.as_ref().filter(|o| o.msn == msn && !o.parts.is_empty());
        let (dseq, init) = match (self.known(index), open) {
            (Some(k), _) => (k.dseq, k.init),
            (None, Some(o)) => (o.dseq, o.init),
            (None, None) => return None,
        };
        let (mut map, breaks) = (String::new(), dseq.saturating_sub(dseq_before));
        playlist::lead(&mut map, self, 0, init);
        let lead = Strand::new(BREAK.repeat(usize::try_from(breaks).ok()?) + &map);
        Some(Start { msn, dseq: dseq_before, breaks, map, lead, blocks: None })
    }
}

/// What a version of the DVR playlist is made of, for playlists that begin within it.
#[derive(Debug)]
pub struct Whole {
    session: Arc<SessionRecord>,
    /// Its first segment.
    first: Msn,
    /// The first that delta updates do not skip, where they skip any.
    skip: Option<Msn>,
    dvr: Arc<Rope>,
    new: Option<NewRanges>,
    /// The init section in force where they begin.
    init: Strand,
    hints: String,
    positions: Vec<(String, Position)>,
    ended: bool,
}

/// The runs of a DVR playlist (`hls::playlist`) between its header and its tail.
const CUES: usize = 1;
const BLOCKS: usize = 3;
const REST: usize = 4;
const BODY: usize = 5;

impl Whole {
    pub(super) fn new(window: &Window, reports: &[Report<'_>], dvr: &Forms) -> Whole {
        let (first, _) = window.first.unwrap_or_else(|| window.head_numbers());
        let skip = window.segments.get(window.skip).map(|s| s.msn).filter(|skip| *skip > first);
        let position = |r: &Report<'_>| (r.rendition.to_owned(), r.position);
        Whole {
            session: window.session.clone(),
            first,
            skip,
            dvr: dvr.full.clone(),
            new: frame::new_ranges(window, View::Dvr),
            init: Strand::new(frame::init_in_force(window)),
            hints: frame::hints(window),
            positions: reports.iter().map(position).collect(),
            ended: window.ended,
        }
    }

    fn strand(&self, run: usize) -> Option<&Strand> {
        match self.dvr.runs().get(run)? {
            Run::One(strand) => Some(strand),
            Run::Many(_) => None,
        }
    }

    fn blocks(&self, run: usize) -> Option<&Arc<Blocks>> {
        match self.dvr.runs().get(run)? {
            Run::Many(blocks) => Some(blocks),
            Run::One(_) => None,
        }
    }
}

/// Lines of a strand from its `n`th segment on, without what the lead has.
fn cut(strand: &Strand, n: u64) -> Option<Strand> {
    let text = std::str::from_utf8(strand.text()).ok()?;
    let at = segment_at(text, usize::try_from(n).ok()?)?;
    Some(strand.after(at + body_at(&text[at..])))
}

/// The beginning of a playlist that begins with a segment of the session.
#[derive(Debug, Clone)]
pub struct Start {
    msn: Msn,
    /// The discontinuity number before its tags.
    dseq: u64,
    breaks: u64,
    /// EXT-X-MAP that is in force.
    map: String,
    /// EXT-X-DISCONTINUITY and EXT-X-MAP.
    lead: Strand,
    /// So many blocks of the DVR playlist are in these, or before them.
    blocks: Option<(usize, Arc<Blocks>)>,
}

impl Start {
    /// The discontinuity number before the first segment's tags.
    pub(super) fn dseq(&self) -> u64 {
        self.dseq
    }

    /// EXT-X-MAP in force at the first segment, and EXT-X-DISCONTINUITY tags before it.
    pub(super) fn lead(&self) -> (&str, u64) {
        (&self.map, self.breaks)
    }

    /// The playlist of a version; `None` when its first segment is not listed there. What is equal
    /// to a strand of `before`, its last version, is taken over from it.
    pub fn forms(&mut self, whole: &Whole, before: Option<&Forms>) -> Option<Forms> {
        let lines = self.lines(whole)?;
        let tail = Run::One(self.tail(whole));
        let numbers = (self.msn, self.dseq);
        let header = |version| frame::header(&whole.session, numbers, version) + BEGINS;
        let cues = whole.dvr.runs().get(CUES..BLOCKS)?;
        let body = lines[2].clone();
        let mut full = vec![Run::One(Strand::new(header(VERSION)))];
        full.extend_from_slice(cues);
        full.extend([Run::One(self.lead.clone())].into_iter().chain(lines));
        full.push(tail.clone());
        let share = |rope: Rope, known: Option<&Arc<Rope>>| match known {
            Some(known) => Arc::new(rope.sharing(known)),
            None => Arc::new(rope),
        };
        let full = share(Rope::new(full), before.map(|b| &b.full));
        let skipped = whole.skip.and_then(|skip| skip.0.checked_sub(self.msn.0));
        let Some(skipped) = skipped.filter(|n| *n > 0 && !whole.ended) else {
            return Some(Forms { delta: full.clone(), delta_v2: full.clone(), full });
        };
        let mut text = header(VERSION_SKIP);
        writeln!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}").ok()?;
        let mut delta = vec![Run::One(Strand::new(text))];
        delta.extend_from_slice(cues);
        let init = Run::One(whole.init.clone());
        delta.extend([init.clone(), body.clone(), tail.clone()]);
        let delta = share(Rope::new(delta), before.map(|b| &b.delta));
        let delta_v2 = whole.new.as_ref().map(|new| {
            let text =
                new.head(header(new.version), usize::try_from(skipped).unwrap_or(usize::MAX));
            let runs = vec![Run::One(Strand::new(text)), init, body, tail];
            share(Rope::new(runs), before.map(|b| &b.delta_v2))
        });
        Some(Forms { delta_v2: delta_v2.unwrap_or_else(|| delta.clone()), full, delta })
    }

    /// The segments: blocks, what follows them, and what no delta update skips.
    fn lines(&mut self, whole: &Whole) -> Option<[Run; 3]> {
        let (blocks, rest) = (whole.blocks(BLOCKS)?, whole.strand(REST)?);
        let body = whole.strand(BODY)?;
        let (none, empty) = (Run::Many(Arc::default()), || Run::One(Strand::new(String::new())));
        // A block begins with a number that BLOCK divides, but for the first.
        let begin = |block: u64| whole.first.0.max((whole.first.0 / BLOCK + block) * BLOCK);
        let frozen = blocks.strands().len();
        let body_from = whole.skip.unwrap_or(whole.first).0;
        if self.msn.0 >= body_from {
            let body = cut(body, self.msn.0 - body_from)?;
            return Some([none, empty(), Run::One(body)]);
        }
        let at = (self.msn.0 / BLOCK).checked_sub(whole.first.0 / BLOCK)?;
        let index = usize::try_from(at).ok()?;
        if index >= frozen {
            let rest = cut(rest, self.msn.0 - begin(frozen as u64))?;
            return Some([none, Run::One(rest), Run::One(body.clone())]);
        }
        let (taken, mine) = match self.blocks.take().filter(|(taken, _)| *taken <= frozen) {
            Some(known) => known,
            None => {
                let first = cut(&blocks.strands()[index], self.msn.0 - begin(at))?;
                (index + 1, Arc::new(Blocks::default().with(&[first])))
            }
        };
        let mine = match blocks.strands().get(taken..)? {
            [] => mine,
            more => Arc::new(mine.with(more)),
        };
        self.blocks = Some((frozen, mine.clone()));
        Some([Run::Many(mine), Run::One(rest.clone()), Run::One(body.clone())])
    }

    fn tail(&self, whole: &Whole) -> Strand {
        let mut out = whole.hints.clone();
        let file = format!("from-{}.m3u8", self.msn);
        for (rendition, position) in &whole.positions {
            frame::report(&mut out, rendition, &file, *position);
        }
        if whole.ended {
            out.push_str(END);
        }
        Strand::new(out)
    }
}

#[cfg(test)]
#[path = "rewind_test.rs"]
mod tests;
