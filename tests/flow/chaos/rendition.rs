//! What a player knows of one rendition: where each segment lies in list time, and what it has sent
//! for. Pure.

use crate::oracle::playlist::{Playlist, Segment};
use std::collections::BTreeMap;
use std::time::Duration;

/// Something to load, or an absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) uri: String,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) gap: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Where segments begin in list time.
    starts: BTreeMap<u64, i64>,
    /// The next segment and part to load; `None` before the first.
    next: Option<(u64, usize)>,
    edge: i64,
    /// The end of the list that was read last.
    last: Option<(u64, usize)>,
    /// That list ended before the one that was read before it.
    pub(crate) went_back: bool,
    target: i64,
    part_target: i64,
    /// Where the newest segment with a date begins, and the date.
    dated: Option<(i64, i64)>,
    /// Where what was sent for ends.
    read_to: i64,
    /// Segments that left the lists before they were loaded.
    pub(crate) skipped: u64,
}

impl Known {
    /// Where the newest list ends.
    pub(crate) fn edge(&self) -> i64 {
        self.edge
    }

    /// PART-HOLD-BACK.
    pub(crate) fn distance(&self, p: &Playlist) -> i64 {
        let hold = p.control.get("PART-HOLD-BACK");
        let hold = hold.and_then(|t| crate::oracle::playlist::seconds(t).ok());
        hold.unwrap_or(3 * p.target)
    }

    /// How long hls.js waits for a blocked reload.
    pub(crate) fn patience(&self) -> Duration {
        let longest = (3 * self.part_target).max(self.target * 8 / 10);
        Duration::from_micros(longest.unsigned_abs())
    }

    /// Takes a version in; what is new in it, from `place` on at first.
    ///
    /// # Errors
    /// What no player could go on with.
    pub(crate) fn update(&mut self, p: &Playlist, place: i64) -> Result<Vec<Item>, String> {
        (self.target, self.part_target) = (p.target, p.part_target.unwrap_or(p.target));
        self.arrange(p)?;
        let last = p.last().map(|(msn, parts)| (msn, parts.unwrap_or(usize::MAX)));
        self.went_back = last < self.last;
        self.last = last;
        let end = p.segments.last().map_or(0, |s| self.starts[&s.msn] + s.length());
        self.edge = self.edge.max(end);
        if self.next.is_none() {
            // The segment in which the player begins, whole: its key frame is at its start.
            let begin = if place > 0 { place } else { self.edge - self.distance(p) };
            let from = p.segments.iter().rev().find(|s| self.starts[&s.msn] <= begin);
            self.next = from.or(p.segments.first()).map(|s| (s.msn, 0));
        }
        let mut out = Vec::new();
        for s in &p.segments {
            self.items(s, &mut out);
        }
        Ok(out)
    }

    /// Where the segments lie: from one that is known, else from their dates.
    fn arrange(&mut self, p: &Playlist) -> Result<(), String> {
        let first = p.segments.first().ok_or("an empty playlist")?;
        let anchor = p.segments.iter().find_map(|s| Some((s.msn, *self.starts.get(&s.msn)?)));
        let date = first.pdt.ok_or("the first segment has no date");
        let (msn, at) = match (anchor, self.dated) {
            (Some(known), _) => known,
            (None, None) => (first.msn, date?),
            // A list that has nothing of the one before: so much later as its date is.
            (None, Some((at, was))) => (first.msn, (at + date? - was).max(self.edge)),
        };
        let mut end = at;
        for s in p.segments.iter().filter(|s| s.msn >= msn) {
            let start = *self.starts.entry(s.msn).or_insert(end);
            self.dated = s.pdt.map(|date| (start, date)).or(self.dated);
            end = start + s.length();
        }
        let mut start = at;
        for s in p.segments.iter().rev().filter(|s| s.msn < msn) {
            start -= s.length();
            self.starts.entry(s.msn).or_insert(start);
        }
        Ok(())
    }

    /// What is new of one segment.
    fn items(&mut self, s: &Segment, out: &mut Vec<Item>) {
        let Some((msn, mut part)) = self.next.filter(|next| s.msn >= next.0) else { return };
        let item = |uri: &str, from, to, gap| Item { uri: uri.to_owned(), from, to, gap };
        let start = self.starts[&s.msn];
        if s.msn > msn {
            // Nobody lists them any more.
            let from = self.starts.get(&msn).copied().unwrap_or(self.read_to);
            out.push(item("skipped", from.min(start), start, true));
            (self.skipped, part) = (self.skipped + s.msn - msn, 0);
        }
        let mut from = start;
        for (i, p) in s.parts.iter().enumerate() {
            let to = from + p.duration;
            if i >= part {
                out.push(item(&p.uri, from, to, p.gap));
            }
            from = to;
        }
        let end = start + s.length();
        match &s.uri {
            // Whole: its parts are listed no more.
            Some(uri) if s.parts.is_empty() => out.push(item(uri, start, end, s.gap)),
            // What its generation lost.
            Some(uri) if s.gap && end > from => out.push(item(uri, from, end, true)),
            _ => {}
        }
        self.read_to = end;
        self.next = match s.uri {
            Some(_) => Some((s.msn + 1, 0)),
            None => Some((s.msn, part.max(s.parts.len()))),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::playlist::Part;

    const SECOND: i64 = 1_000_000;

    fn part(n: u32) -> Part {
        Part { uri: format!("p{n}"), duration: SECOND, independent: n == 0, gap: false }
    }

    fn segment(msn: u64, parts: u32, whole: bool) -> Segment {
        Segment {
            msn,
            pdt: Some(msn as i64 * 2 * SECOND),
            uri: whole.then(|| format!("s{msn}")),
            duration: whole.then_some(2 * SECOND),
            parts: (0..parts).map(part).collect(),
            ..Segment::default()
        }
    }

    fn list(segments: Vec<Segment>) -> Playlist {
        let media_sequence = segments.first().map_or(0, |s| s.msn);
        Playlist {
            target: 2 * SECOND,
            part_target: Some(SECOND),
            media_sequence,
            segments,
            ..Playlist::default()
        }
    }

    fn uris(items: &[Item]) -> Vec<&str> {
        items.iter().map(|i| i.uri.as_str()).collect()
    }

    #[test]
    fn what_is_new_is_loaded_once() {
        let mut known = Known::default();
        let first = list(vec![segment(7, 0, true), segment(8, 2, true), segment(9, 1, false)]);
        let place = 17 * SECOND;
        assert_eq!(uris(&known.update(&first, place).expect("good")), ["p0", "p1", "p0"]);
        assert_eq!(known.edge(), 19 * SECOND);
        let next = list(vec![segment(8, 2, true), segment(9, 2, true), segment(10, 1, false)]);
        let items = known.update(&next, place).expect("good");
        assert_eq!(uris(&items), ["p1", "p0"]);
        assert_eq!((items[0].from, items[1].to), (19 * SECOND, 21 * SECOND));
        // Another edge is a part behind.
        let behind = list(vec![segment(8, 2, true), segment(9, 1, false)]);
        assert_eq!(known.update(&behind, place), Ok(Vec::new()));
        assert!(known.went_back);
    }

    #[test]
    fn what_is_no_longer_listed_is_an_absence() {
        let mut known = Known::default();
        let first = list(vec![segment(7, 2, true)]);
        known.update(&first, 14 * SECOND).expect("good");
        let items = known.update(&list(vec![segment(9, 0, true)]), 0).expect("good");
        assert_eq!(uris(&items), ["skipped", "s9"]);
        assert_eq!((items[0].from, items[0].to), (16 * SECOND, 18 * SECOND));
        assert_eq!((items[0].gap, known.skipped), (true, 1));
        assert!(known.update(&list(Vec::new()), 0).is_err());
    }
}
