//! Where in the logs segments lie: 32 bytes each, for as long as the session is watched. What is
//! between the two ends of a span holds all that the segment's bytes are made of: its start's mark,
//! its samples, its cues, its parts' marks.

use crate::base::ids::{Msn, TrackId, Writer};
use crate::hls::gather::{Origin, Pending};
use crate::log::format::footer::{Footer, IndexedMark};
use crate::log::format::{Position, Span};
use crate::media::fmp4::fragment::Sample;
use crate::media::timeline::cue::Cue;
use crate::media::timeline::mark::{Mark, PartEnd};
use std::collections::{HashMap, HashSet};

/// One segment's span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    msn: Msn,
    extents: (u32, u32),
    offsets: (u64, u64),
}

impl Place {
    fn new(msn: Msn, span: Span) -> Place {
        let Span { start, end } = span;
        Place { msn, extents: (start.extent, end.extent), offsets: (start.offset, end.offset) }
    }

    /// `None` where samples are missing.
    fn span(&self) -> Option<Span> {
        let start = Position { extent: self.extents.0, offset: self.offsets.0 };
        let end = Position { extent: self.extents.1, offset: self.offsets.1 };
        (start < end).then_some(Span { start, end })
    }
}

/// Where one rendition's segments lie.
#[derive(Debug, Default)]
pub struct Places {
    writers: Vec<(Writer, Vec<Place>)>,
}

impl Places {
    /// A part of a segment, and what it needs of it, lies there; `None`: it is lost.
    pub fn part(&mut self, writer: Writer, msn: Msn, span: Option<Span>) {
        match span {
            Some(span) => self.note(writer, msn, span),
            None => self.spoil(writer, msn),
        }
    }

    /// A segment has something there.
    fn note(&mut self, writer: Writer, msn: Msn, span: Span) {
        self.put(writer, msn, |known| match known {
            None => Some(span),
            Some(known) => known.span().map(|known| Span {
                start: known.start.min(span.start),
                end: known.end.max(span.end),
            }),
        });
    }

    /// A part of a segment is listed, and its samples are not in the log: nothing is served of it.
    fn spoil(&mut self, writer: Writer, msn: Msn) {
        self.put(writer, msn, |_| None);
    }

    fn put(
        &mut self,
        writer: Writer,
        msn: Msn,
        change: impl FnOnce(Option<&Place>) -> Option<Span>,
    ) {
        let of = match self.writers.iter().rposition(|(g, _)| *g == writer) {
            Some(of) => of,
            None => {
                self.writers.push((writer, Vec::new()));
                self.writers.len() - 1
            }
        };
        let places = &mut self.writers[of].1;
        let at = places.partition_point(|p| p.msn < msn);
        let known = places.get(at).filter(|p| p.msn == msn);
        let nothing = Span { start: Position::default(), end: Position::default() };
        let place = Place::new(msn, change(known).unwrap_or(nothing));
        match known {
            Some(_) => places[at] = place,
            None => places.insert(at, place),
        }
    }

    /// The generations with segments.
    pub fn writers(&self) -> impl Iterator<Item = Writer> {
        self.writers.iter().map(|(g, _)| *g)
    }

    /// Are a writer's segments where they are in `other`, which may have more of it? `other` is of
    /// a log that begins with extent `first` now.
    pub fn is_in(&self, writer: Writer, other: &Places, first: u32) -> bool {
        let (noted, there) = (self.of(writer), other.of(writer));
        let kept = noted.iter().position(|p| p.extents.0 >= first).unwrap_or(noted.len());
        let Some((last, whole)) = noted[kept..].split_last() else { return true };
        let from = noted[kept].msn;
        let there = &there[there.partition_point(|p| p.msn < from)..];
        let end = |place: &Place| place.span().map(|span| (span.start, span.end));
        let grown = |there: &Place| match (end(last), end(there)) {
            (Some((start, end)), Some((from, to))) => start == from && end <= to,
            (noted, there) => noted == there,
        };
        there.starts_with(whole)
            && there.get(whole.len()).is_some_and(|there| there.msn == last.msn && grown(there))
    }

    fn of(&self, writer: Writer) -> &[Place] {
        let found = self.writers.iter().find(|(g, _)| *g == writer);
        found.map_or(&[], |(_, places)| places)
    }

    /// Where a segment is.
    pub fn get(&self, writer: Writer, msn: Msn) -> Option<Span> {
        let places = self.of(writer);
        let at = places.binary_search_by_key(&msn, |p| p.msn).ok()?;
        places[at].span()
    }
}

/// Segments that began in extents before this one. Where those were removed nobody can have them
/// whole: sound is written ahead of the picture at which an extent begins.
pub fn begun_before(footer: &Footer) -> HashSet<(TrackId, Msn)> {
    let early = |m: &IndexedMark| m.samples.is_some_and(|s| s.start.extent < footer.extent);
    let parts = footer.marks().filter(early).filter_map(|m| segment(&m.mark));
    parts.collect()
}

/// The segment that a mark belongs to.
pub fn segment(mark: &Mark) -> Option<(TrackId, Msn)> {
    match mark {
        Mark::SegmentStart(s) => Some((s.track, s.msn)),
        Mark::PartEnd(p) => Some((p.track, p.msn)),
        _ => None,
    }
}

/// The marks of a log that a part's span has to reach back to, and what they say about its bytes.
#[derive(Debug, Default)]
pub struct Trail {
    begun: HashMap<TrackId, (Msn, Position)>,
    /// Per track that carries cues: where the oldest stands that no part has taken.
    cues: HashMap<TrackId, Position>,
    pending: HashMap<TrackId, Pending>,
}

impl Trail {
    /// A mark stands at `at`; tracks among `carriers` carry cues.
    pub fn mark(&mut self, mark: &Mark, at: Position, carriers: impl Iterator<Item = TrackId>) {
        match mark {
            Mark::SegmentStart(s) => {
                self.begun.insert(s.track, (s.msn, at));
                self.pending.entry(s.track).or_default().mark(mark);
            }
            Mark::Cue(cue) if !cue.repeated => {
                for track in carriers {
                    self.cues.entry(track).or_insert(at);
                    self.pending.entry(track).or_default().mark(mark);
                }
            }
            _ => {}
        }
    }

    /// A mark of a footer; of a part its place, `None` where its samples are lost.
    pub fn listed<'a>(
        &mut self,
        m: &'a IndexedMark,
        carriers: impl Iterator<Item = TrackId>,
    ) -> Option<(&'a PartEnd, Option<Span>)> {
        self.mark(&m.mark, m.at, carriers);
        let Mark::PartEnd(p) = &m.mark else { return None };
        let span = m.samples.map(|samples| self.span(p, samples, m.end));
        self.part(p, None);
        Some((p, span))
    }

    /// A part's span: `samples`, its own mark, which ends at `end`, and what stands before it of
    /// its segment and its cues.
    pub fn span(&self, mark: &PartEnd, samples: Span, end: Position) -> Span {
        let begun = self.begun.get(&mark.track).filter(|(msn, _)| *msn == mark.msn);
        let before = begun.map(|(_, at)| at).into_iter().chain(self.cues.get(&mark.track));
        let start = before.fold(samples.start, |start, at| start.min(*at));
        Span { start, end: samples.end.max(end) }
    }

    /// A part ends whose first sample is `first`, where that is at hand: takes its cues.
    pub fn part(&mut self, mark: &PartEnd, first: Option<&Sample>) -> (Vec<Cue>, Option<Origin>) {
        self.cues.remove(&mark.track);
        self.pending.entry(mark.track).or_default().part(mark, first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Generation;

    fn at(extent: u32, offset: u64) -> Position {
        Position { extent, offset }
    }

    #[test]
    fn spans_grow_are_found_and_may_be_spoilt() {
        let mut places = Places::default();
        let (one, two) = (Writer::from(Generation(1)), Writer::from(Generation(2)));
        let span = |from: u64, to: u64| Span { start: at(0, from), end: at(1, to) };
        places.note(one, Msn(100), span(50, 60));
        places.note(one, Msn(102), span(70, 80));
        places.note(two, Msn(103), span(1, 2));
        places.note(one, Msn(100), span(40, 55));
        // A log that is read again after an error brings an older segment again.
        places.note(one, Msn(101), span(60, 65));
        assert_eq!(places.get(one, Msn(100)), Some(span(40, 60)));
        assert_eq!(places.get(one, Msn(101)), Some(span(60, 65)));
        assert_eq!(places.get(two, Msn(103)), Some(span(1, 2)));
        assert_eq!(places.get(one, Msn(103)), None);
        places.spoil(one, Msn(102));
        places.note(one, Msn(102), span(70, 90));
        assert_eq!(places.get(one, Msn(102)), None, "half a segment is none");
        assert_eq!(size_of::<Place>(), 32);
    }

    #[test]
    fn more_of_a_log_is_no_change_and_less_or_elsewhere_is_one() {
        let of = Writer::from(Generation(1));
        let places = |all: &[(u64, u64, u64)]| {
            let mut places = Places::default();
            for (msn, from, to) in all {
                let span = (from < to).then(|| Span { start: at(0, *from), end: at(0, *to) });
                places.part(of, Msn(*msn), span);
            }
            places
        };
        let noted = places(&[(100, 50, 60), (101, 60, 70)]);
        for more in [
            &[(100, 50, 60), (101, 60, 70)][..],
            &[(100, 50, 60), (101, 60, 75)],
            &[(100, 50, 60), (101, 60, 75), (102, 75, 80)],
        ] {
            assert!(noted.is_in(of, &places(more), 0), "{more:?}");
        }
        for changed in [
            &[][..],
            &[(100, 50, 60)],
            &[(100, 50, 60), (101, 60, 65)],
            &[(100, 50, 60), (101, 61, 70)],
            &[(100, 50, 59), (101, 60, 70)],
            &[(100, 50, 60), (101, 0, 0)],
            &[(100, 50, 60), (102, 60, 70)],
        ] {
            assert!(!noted.is_in(of, &places(changed), 0), "{changed:?}");
        }
        assert!(Places::default().is_in(of, &noted, 0), "nothing was noted");
        assert!(noted.is_in(of, &places(&[]), 1), "all of it was removed");
        let in_extents = |all: &[(u64, u32)]| {
            let mut places = Places::default();
            for (msn, n) in all {
                let span = Span { start: at(*n, *msn), end: at(*n, *msn + 1) };
                places.part(of, Msn(*msn), Some(span));
            }
            places
        };
        let noted = in_extents(&[(100, 0), (101, 1), (102, 1)]);
        let head = in_extents(&[(101, 1), (102, 1)]);
        assert!(noted.is_in(of, &head, 1) && !noted.is_in(of, &head, 0));
        assert!(!noted.is_in(of, &in_extents(&[(102, 1)]), 1), "that was not removed");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn sound_that_was_written_ahead_of_its_extent_is_known() {
        let data = tempfile::tempdir().expect("a directory");
        let dir = crate::log::fixture::write_log(data.path(), 2_000_000, true).await;
        let log = crate::log::dir::LogDir::open(&dir).expect("a log");
        let mut ahead = 0;
        for &extent in log.extents() {
            let footer = log.footer(extent).expect("read").expect("sealed");
            let found = begun_before(&footer);
            // At most one of each track, and the picture begins its extent.
            assert!(found.iter().all(|(track, _)| *track == TrackId::AUDIO), "{found:?}");
            assert!(found.len() <= usize::from(extent > 0), "{extent}: {found:?}");
            ahead += found.len();
        }
        assert!(ahead > 0, "{} extents", log.extents().len());
    }
}
