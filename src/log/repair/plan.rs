//! What is to be changed in a log, decided from its marks and holes alone: which marks go, which
//! gaps and repeated marks come where. Pure; the same records give the same plan, and a log that
//! was changed by it needs no further change.
//!
//! - The session record and the tracks' configurations at an extent's start are repeats: a missing
//!   one is what the extent before ended with, or else what the extent behind repeats, if nothing
//!   in between changed it.
//! - A configuration that the next extent repeats and that this one never says was in one of this
//!   one's holes: it goes where the last of them was.
//! - Everything else is a lane's (`lane`).

use crate::base::ids::TrackId;
use crate::log::format::extent::HEADER_LEN;
use crate::log::format::record::encode_mark;
use crate::log::repair::lane::{Calendar, Lane, Limits, Verdict};
use crate::log::repair::samples::Samples;
use crate::log::repair::scan::{Item, Scanned, What};
use crate::media::codec::details;
use crate::media::timeline::mark::{Mark, SessionRecord};
use crate::media::track::Track;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be changed in one extent, by offsets in the file as it is.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// Records to go in before what lies at or behind the offset.
    pub(super) insert: BTreeMap<u64, Vec<Bytes>>,
    /// Marks that are left out.
    pub(super) drop: BTreeSet<u64>,
    /// Gaps among what goes in.
    pub(super) gaps: u64,
    /// Repeated marks among it.
    pub(super) repeats: u64,
    /// Microseconds of gaps, per track.
    pub(super) lost: BTreeMap<TrackId, i64>,
}

impl Edits {
    pub(super) fn is_empty(&self) -> bool {
        self.insert.is_empty() && self.drop.is_empty()
    }
}

/// Decides for every extent.
pub(super) fn plan(all: &mut [Scanned], samples: &Samples) -> Vec<Edits> {
    let mut edits: Vec<Edits> = all.iter().map(|_| Edits::default()).collect();
    let repeats = repeats(all);
    for (extent, at, mark, raw) in repeats {
        edits[extent].insert.entry(at).or_default().push(raw.clone());
        edits[extent].repeats += 1;
        let items = &mut all[extent].items;
        let to = items.partition_point(|i| i.at < at);
        let what = What::Mark(mark, Some(raw));
        items.insert(to, Item { at, what });
    }
    let mut mender = Mender {
        lanes: BTreeMap::new(),
        limits: Limits::default(),
        calendar: calendar(all),
        samples,
    };
    for (e, edits) in all.iter().zip(&mut edits) {
        for item in &e.items {
            match &item.what {
                What::Hole => mender.lanes.values_mut().for_each(Lane::hole),
                What::Mark(mark, _) => {
                    for verdict in mender.mark(mark) {
                        edits.take(item.at, verdict);
                    }
                }
            }
        }
    }
    edits
}

impl Edits {
    fn take(&mut self, at: u64, verdict: Verdict) {
        for mark in verdict.before {
            let mut raw = BytesMut::new();
            if encode_mark(&mut raw, &mark).is_ok() {
                self.insert.entry(at).or_default().push(raw.freeze());
                self.gaps += 1;
            }
            if let Mark::Gap(g) = mark {
                *self.lost.entry(g.track).or_default() += g.duration;
            }
        }
        if verdict.drop {
            self.drop.insert(at);
        }
    }
}

struct Mender<'a> {
    lanes: BTreeMap<TrackId, Lane>,
    limits: Limits,
    calendar: Calendar,
    samples: &'a Samples,
}

impl Mender<'_> {
    fn mark(&mut self, mark: &Mark) -> Vec<Verdict> {
        let Mender { lanes, limits, calendar, samples } = self;
        match mark {
            Mark::Generation(_) | Mark::Cue(_) => Vec::new(),
            Mark::Session(s) => {
                *limits = self::limits(s);
                Vec::new()
            }
            Mark::Track(t) => {
                of(lanes, t.id).configure(details(t).ok().map(|d| d.mux_timescale));
                Vec::new()
            }
            Mark::SegmentStart(m) => vec![of(lanes, m.track).segment_start(m, *limits, calendar)],
            Mark::PartEnd(m) => vec![of(lanes, m.track).part_end(m, samples, *limits, calendar)],
            Mark::Gap(m) => vec![of(lanes, m.track).gap(m, *limits, calendar)],
            Mark::End(e) => lanes.values_mut().map(|l| l.end(e, *limits, calendar)).collect(),
        }
    }
}

fn of(lanes: &mut BTreeMap<TrackId, Lane>, track: TrackId) -> &mut Lane {
    lanes.entry(track).or_insert_with(|| Lane::new(track))
}

fn limits(s: &SessionRecord) -> Limits {
    let target_duration = i64::from(s.target_duration) * crate::base::time::MICROS;
    Limits { part_target: s.part_target, target_duration, segment: s.segment }
}

fn calendar(all: &[Scanned]) -> Calendar {
    let mut calendar = Calendar::new();
    for item in all.iter().flat_map(|e| &e.items) {
        let (msn, dseq, wall) = match &item.what {
            What::Mark(Mark::SegmentStart(m), _) => (m.msn, m.dseq, m.wall),
            What::Mark(Mark::Gap(m), _) if m.part.is_none_or(|p| p == 0) => (m.msn, m.dseq, m.wall),
            _ => continue,
        };
        calendar.entry(msn).or_insert((dseq, wall));
    }
    calendar
}

/// A mark to go in: extent (by its place in the list), offset, the mark, its bytes.
type Repeat = (usize, u64, Mark, Bytes);

/// The newest session record and configurations on the way through a log.
#[derive(Default)]
struct Known {
    session: Option<(Mark, Bytes)>,
    tracks: Vec<(Track, Bytes)>,
}

impl Known {
    fn note(&mut self, mark: &Mark, raw: &Bytes) {
        match mark {
            Mark::Session(_) => self.session = Some((mark.clone(), raw.clone())),
            Mark::Track(t) => {
                self.tracks.retain(|(k, _)| k.id != t.id);
                self.tracks.push((t.clone(), raw.clone()));
            }
            _ => {}
        }
    }

    fn track(&self, id: TrackId) -> Option<&Track> {
        self.tracks.iter().map(|(t, _)| t).find(|t| t.id == id)
    }
}

fn repeats(all: &[Scanned]) -> Vec<Repeat> {
    let mut out = Vec::new();
    let mut known = Known::default();
    for (i, e) in all.iter().enumerate() {
        // The first record of a log is not a repeat; these follow it.
        let head = HEADER_LEN as u64 + u64::from(e.index == 0);
        let mut here = Known::default();
        e.leading().for_each(|(m, raw)| here.note(m, raw));
        let damaged = !e.sound && (e.is_holed() || e.header.is_err());
        let ahead = ahead(&all[i + 1..]);
        if damaged {
            let session = known.session.clone().or(ahead.session.clone());
            if let (None, Some((mark, raw))) = (&here.session, session) {
                known.note(&mark, &raw);
                out.push((i, head, mark, raw));
            }
            let changed = |id| e.items.iter().any(|item| is_config(&item.what, id));
            let earlier = known.tracks.clone();
            let later = ahead.tracks.iter().filter(|(t, _)| known.track(t.id).is_none());
            let later: Vec<_> = later.filter(|(t, _)| !changed(t.id)).cloned().collect();
            for (track, raw) in earlier.into_iter().chain(later) {
                if here.track(track.id).is_none() {
                    let mark = Mark::Track(track);
                    known.note(&mark, &raw);
                    out.push((i, head, mark, raw));
                }
            }
        }
        for item in &e.items {
            if let What::Mark(mark, Some(raw)) = &item.what {
                known.note(mark, raw);
            }
        }
        let hole = e.items.iter().rev().find(|item| matches!(item.what, What::Hole));
        if let Some(hole) = hole.filter(|_| !e.report.missing) {
            for (track, raw) in &ahead.tracks {
                if known.track(track.id).is_some_and(|k| k != track) {
                    let mark = Mark::Track(track.clone());
                    known.note(&mark, raw);
                    out.push((i, hole.at, mark, raw.clone()));
                }
            }
        }
    }
    out
}

/// What the next extent that is there repeats.
fn ahead(rest: &[Scanned]) -> Known {
    let mut known = Known::default();
    if let Some(next) = rest.iter().find(|e| e.leading().next().is_some()) {
        next.leading().for_each(|(m, raw)| known.note(m, raw));
    }
    known
}

fn is_config(what: &What, id: TrackId) -> bool {
    matches!(what, What::Mark(Mark::Track(t), _) if t.id == id)
}
