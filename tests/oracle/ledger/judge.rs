//! The last look, when the watch is over: media against playlists, hints and reports against what
//! came of them, renditions against each other.

use super::super::media::{self, Init};
use super::super::playlist::Segment;
use super::super::rules::{Breach, ROUNDING};
use super::super::{Exception, Finding};
use super::{Facts, Ledger, Rendition};
use std::collections::BTreeMap;

/// RTMP's clock counts milliseconds: a part that is closed before its next sample is known may end
/// up to one beside that sample.
const CLOCK: i64 = 1_000;

/// Shorter than any part, longer than what the roundings of a segment's parts come to.
const SLIVER: i64 = 10_000;

impl Ledger {
    /// The last look: media against playlists, renditions against each other. All findings of the
    /// watch.
    pub(crate) fn judge(&mut self) -> Vec<Finding> {
        if self.versions == 0 {
            self.find("unseen", "", "no media playlist was ever served".into());
        }
        for path in self.missing() {
            if !self.repaired(&path) {
                self.find("download", "", format!("{path}: listed, never delivered"));
            }
        }
        let homes: Vec<String> = self.renditions.keys().cloned().collect();
        for home in &homes {
            let rendition = self.renditions.remove(home).unwrap_or_default();
            self.judge_hints(home, &rendition);
            self.judge_reports(home, &rendition);
            for facts in rendition.segments.values() {
                self.judge_media(home, facts);
            }
            self.renditions.insert(home.clone(), rendition);
        }
        self.judge_sessions();
        self.judge_contradictions();
        self.found.values().cloned().collect()
    }

    fn judge_hints(&mut self, home: &str, rendition: &Rendition) {
        for (&(msn, part), uris) in &rendition.hints {
            // The hint names the first part at or past its place that is not a gap.
            let places = rendition.segments.range(msn..).flat_map(|(n, facts)| {
                facts.parts.iter().filter(move |(i, p)| (*n, **i) >= (msn, part) && !p.gap)
            });
            let Some((i, next)) = places.into_iter().next() else { continue };
            let at = rendition.segments.range(msn..).find(|(_, f)| f.parts.get(i) == Some(next));
            let Some((n, facts)) = at else { continue };
            // Parts that left the playlist before anybody looked can't be judged.
            let unseen = |f: &Facts| {
                let seen: i64 = f.parts.values().map(|p| p.duration).sum();
                let lasts = f.segment.duration.unwrap_or(0);
                !f.segment.gap && (f.parts.is_empty() || seen + SLIVER < lasts)
            };
            let seen_before =
                *i == 0 || (*n, *i) == (msn, part) || facts.parts.contains_key(&(i - 1));
            if rendition.segments.range(msn..*n).any(|(_, f)| unseen(f)) || !seen_before {
                continue;
            }
            let generation = |uri: &str| uri.rsplit_once("-p").map(|(g, _)| g.to_owned());
            for uri in
                uris.iter().filter(|u| **u != next.uri && generation(u) == generation(&next.uri))
            {
                let what = format!("{home}: hint {uri} at {msn}.{part}, then came {}", next.uri);
                self.find("M02", "", what);
            }
            if let Some(who) = self.refused.get(&next.uri).cloned() {
                let what = format!("{}: answered 404 as a hint, then was listed", next.uri);
                self.find("M02", &who, what);
            }
        }
    }

    fn judge_reports(&mut self, home: &str, rendition: &Rendition) {
        let mut wrong = Vec::new();
        for (other, (msn, part)) in &rendition.reports {
            let Some(known) = self.renditions.get(other) else {
                wrong.push(format!("{home}: a report of {other}, which is no rendition"));
                continue;
            };
            let newest = known.segments.last_key_value().map_or(0, |(n, _)| *n);
            let count = known.segments.get(msn).and_then(|f| f.count);
            let beyond = *msn > newest + 1 || count.is_some_and(|n| n > 0 && *part >= n as u64);
            if beyond && !self.excused(*msn) {
                wrong.push(format!("{home}: reports {other} at {msn}.{part}, which never was"));
            }
        }
        wrong.into_iter().for_each(|detail| self.find("P18", "", detail));
    }

    /// EXTINF and DURATION against samples, parts against their segment, sync flags against
    /// INDEPENDENT.
    fn judge_media(&mut self, home: &str, facts: &Facts) {
        let Some(init) = facts.segment.map.as_ref().and_then(|m| self.media.get(m)) else { return };
        let broken = match media::init(init) {
            Ok(init) if init.timescale > 0 => {
                let mut broken = self.weigh_parts(facts, init);
                broken.extend(self.weigh_segment(facts, init));
                broken
            }
            Ok(_) => vec![("M06", "an init section with timescale 0".into())],
            Err(e) => vec![("M06", format!("init section: {e}"))],
        };
        for (rule, detail) in broken {
            self.find(rule, "", format!("{home}: segment {}: {detail}", facts.segment.msn));
        }
    }

    fn weigh_parts(&self, facts: &Facts, init: Init) -> Vec<Breach> {
        let mut broken: Vec<Breach> = Vec::new();
        let holes = self.exceptions.contains(&Exception::Holes);
        let mut end = None;
        for (i, part) in &facts.parts {
            let Some(bytes) = self.media.get(&part.uri).filter(|_| !part.gap) else {
                end = None;
                continue;
            };
            let read = match media::fragments(bytes, init) {
                Ok(read) => read,
                Err(e) => {
                    broken.push(("M05", format!("part {i}: {e}")));
                    continue;
                }
            };
            let (says, lasts) = (part.duration, init.micros(read.duration()));
            if (lasts - says).abs() > ROUNDING {
                broken.push(("P08", format!("part {i}: DURATION {says} us, media {lasts} us")));
            }
            if read.has_sync() != part.independent {
                let (says, is) = (part.independent, read.has_sync());
                broken.push(("P06", format!("part {i}: INDEPENDENT {says}, a sync sample {is}")));
            }
            if *i == 0 && facts.segment.discontinuity > 0 && !read.first_is_sync() {
                let what = "begins after a discontinuity without a sync sample";
                broken.push(("M05", what.into()));
            }
            if let (Some(end), Some(start)) = (end, read.start())
                && init.micros(start.abs_diff(end)) >= CLOCK
                && (start < end || !holes)
            {
                let what = format!("part {i} starts at {start}, the one before ended at {end}");
                broken.push(("M05", what));
            }
            end = read.end();
        }
        broken
    }

    fn weigh_segment(&self, facts: &Facts, init: Init) -> Vec<Breach> {
        let whole = facts.segment.uri.as_ref().filter(|_| !facts.segment.gap);
        let Some(bytes) = whole.and_then(|uri| self.media.get(uri)) else { return Vec::new() };
        let mut broken: Vec<Breach> = Vec::new();
        match media::fragments(bytes, init) {
            Err(e) => broken.push(("M05", e)),
            Ok(read) => {
                let says = facts.segment.duration.unwrap_or(0);
                let lasts = init.micros(read.duration());
                if (lasts - says).abs() > ROUNDING {
                    broken.push(("EXTINF", format!("EXTINF {says} us, media {lasts} us")));
                }
            }
        }
        // Only when every part was listed and delivered can the bytes be compared.
        let parts = facts.parts.values().map(|p| self.media.get(&p.uri).map(|b| b.as_ref()));
        let joined = parts.collect::<Option<Vec<&[u8]>>>().map(|all| all.concat());
        let all = facts.count.is_some_and(|n| n > 0 && n == facts.parts.len());
        if all && joined.is_some_and(|j| j != *bytes) {
            broken.push(("P08", "its bytes are not its parts' bytes".into()));
        }
        broken
    }

    /// Same MSN, same discontinuity sequence, near enough the same wall clock in every rendition.
    fn judge_sessions(&mut self) {
        let mut broken = Vec::new();
        for session in self.sessions.values() {
            let mut first: BTreeMap<u64, (&String, &Segment)> = BTreeMap::new();
            for home in &session.renditions {
                let Some(rendition) = self.renditions.get(home) else { continue };
                for (msn, facts) in &rendition.segments {
                    let (other, known) = first.entry(*msn).or_insert((home, &facts.segment));
                    if known.dseq != facts.segment.dseq {
                        broken.push((
                            "P20",
                            format!(
                                "segment {msn}: discontinuity sequence {} in {other}, {} in {home}",
                                known.dseq, facts.segment.dseq
                            ),
                        ));
                    }
                    let apart = known.pdt.zip(facts.segment.pdt).map_or(0, |(a, b)| (a - b).abs());
                    if apart > 1_000_000 {
                        broken.push((
                            "P16",
                            format!("segment {msn}: {apart} us apart in {other} and {home}"),
                        ));
                    }
                }
            }
        }
        broken.into_iter().for_each(|(rule, detail)| self.find(rule, "", detail));
    }
}
