//! The rules that one version of a media playlist keeps by itself. Names are those of the rule list
//! (P01 …).

use super::playlist::{Playlist, Segment};

/// What a playlist's rules depend on besides its text.
#[derive(Debug, Default)]
pub(crate) struct Context {
    /// The DVR form, which may be of type EVENT.
    pub(crate) dvr: bool,
    /// The segment that the playlist's name says it begins with, for ever.
    pub(crate) begins: Option<u64>,
}

impl Context {
    /// Of the playlist at `path`.
    pub(crate) fn of(path: &str) -> Context {
        let name = path.rsplit('/').next().unwrap_or_default();
        let begins = name.strip_prefix("from-").and_then(|n| n.strip_suffix(".m3u8")?.parse().ok());
        Context { dvr: name == "dvr.m3u8", begins }
    }
}

/// A rule's name and what broke it.
pub(crate) type Breach = (&'static str, String);

/// Rendering rounds to microseconds; sums of rounded numbers may be off by this much.
pub(crate) const ROUNDING: i64 = 1_000;

/// All breaches in one version.
pub(crate) fn check(p: &Playlist, context: &Context) -> Vec<Breach> {
    let mut out = Vec::new();
    constants(p, context, &mut out);
    control(p, &mut out);
    for (i, segment) in p.segments.iter().enumerate() {
        parts(p, segment, &mut out);
        if let Some(d) = segment.duration {
            if (d + 500_000) / 1_000_000 > p.target / 1_000_000 {
                out.push(("P01", format!("segment {} lasts {d} us", segment.msn)));
            }
            let sum: i64 = segment.parts.iter().map(|p| p.duration).sum();
            if !segment.parts.is_empty() && !segment.gap && (sum - d).abs() > ROUNDING {
                let what = format!("segment {}: EXTINF {d} us, its parts {sum} us", segment.msn);
                out.push(("P08", what));
            }
        }
        dates(p, i, &mut out);
    }
    stale_parts(p, &mut out);
    ranges(p, &mut out);
    tail(p, &mut out);
    out
}

fn constants(p: &Playlist, context: &Context, out: &mut Vec<Breach>) {
    if p.target < 1_000_000 {
        out.push(("P01", "no TARGETDURATION of at least 1".into()));
    }
    let needed = if p.skipped.is_some() { 9 } else { 6 };
    if p.version != needed {
        out.push(("P02", format!("EXT-X-VERSION {} where {needed} is needed", p.version)));
    }
    if p.part_target.is_none() && p.segments.iter().any(|s| !s.parts.is_empty()) {
        out.push(("P03", "EXT-X-PART without EXT-X-PART-INF".into()));
    }
    for tag in &p.late_tags {
        out.push(("P07", format!("{tag} after the first part of its segment")));
    }
    let whole = context.dvr || context.begins.is_some();
    if p.kind.as_deref().is_some_and(|kind| !whole || kind != "EVENT") {
        out.push(("P25", format!("PLAYLIST-TYPE {:?}", p.kind)));
    }
    if let Some(first) = context.begins {
        let at_once = p.start.as_ref().is_some_and(|a| {
            a.get("TIME-OFFSET").map(String::as_str) == Some("0")
                && a.get("PRECISE").map(String::as_str) == Some("YES")
        });
        if p.kind.is_none() || !at_once || p.media_sequence != first {
            let what = (p.media_sequence, &p.kind, &p.start);
            out.push(("P25", format!("begins in the past, but not where it says: {what:?}")));
        }
    }
    if p.segments.iter().any(|s| s.map.is_none() && s.uri.is_some() && !s.gap) {
        out.push(("P02", "a segment without EXT-X-MAP".into()));
    }
}

fn control(p: &Playlist, out: &mut Vec<Breach>) {
    let time = |name: &str| p.control.get(name).and_then(|v| super::playlist::seconds(v).ok());
    if p.control.get("CAN-BLOCK-RELOAD").map(String::as_str) != Some("YES") {
        out.push(("P09", "no CAN-BLOCK-RELOAD=YES".into()));
    }
    if let Some(target) = p.part_target
        && time("PART-HOLD-BACK").is_none_or(|t| t < 3 * target)
    {
        out.push(("P10", "PART-HOLD-BACK is missing or below 3 PART-TARGET".into()));
    }
    if time("HOLD-BACK").is_some_and(|t| t < 3 * p.target) {
        out.push(("P11", "HOLD-BACK below 3 TARGETDURATION".into()));
    }
    let skip = time("CAN-SKIP-UNTIL");
    let ranges = p.control.contains_key("CAN-SKIP-DATERANGES");
    if skip.is_some_and(|t| t < 6 * p.target) || (ranges && skip.is_none()) {
        out.push(("P12", "CAN-SKIP-UNTIL below 6 TARGETDURATION, or missing".into()));
    }
}

fn parts(p: &Playlist, segment: &Segment, out: &mut Vec<Breach>) {
    let Some(target) = p.part_target else { return };
    for (i, part) in segment.parts.iter().enumerate() {
        let what = || format!("part {}.{i} lasts {} us", segment.msn, part.duration);
        if part.duration > target {
            out.push(("P04", format!("{} of {target}", what())));
        }
        // The open segment's last part may yet turn out to be the last of its parent.
        let next = segment.parts.get(i + 1);
        let excused = part.independent || part.gap || next.is_none_or(|n| n.gap);
        if part.duration * 100 < target * 85 && !excused {
            out.push(("P05", format!("{} of {target}", what())));
        }
    }
}

fn dates(p: &Playlist, i: usize, out: &mut Vec<Breach>) {
    let segment = &p.segments[i];
    if segment.pdt.is_none() && (i == 0 || segment.discontinuity > 0) {
        out.push(("P16", format!("segment {} has no PROGRAM-DATE-TIME", segment.msn)));
    }
    let before = i.checked_sub(1).map(|b| &p.segments[b]);
    let Some((before, (from, to))) = before.and_then(|b| Some((b, b.pdt.zip(segment.pdt)?))) else {
        return;
    };
    if to < from || to + 1_000_000 < from + before.length() {
        let what = format!("wall clock goes back from segment {} to {}", before.msn, segment.msn);
        out.push(("P16", what));
    }
}

/// Parts further than three target durations from the end are gone (their segment may straddle).
fn stale_parts(p: &Playlist, out: &mut Vec<Breach>) {
    let mut after = 0;
    for segment in p.segments.iter().rev() {
        if after > 3 * p.target && !segment.parts.is_empty() {
            out.push(("P13", format!("segment {} still lists its parts", segment.msn)));
        }
        after += segment.length();
    }
}

fn ranges(p: &Playlist, out: &mut Vec<Breach>) {
    if !p.ranges.is_empty() && p.segments.iter().all(|s| s.pdt.is_none()) {
        out.push(("P19", "date ranges without a PROGRAM-DATE-TIME".into()));
    }
    let mut seen = std::collections::BTreeSet::new();
    for a in &p.ranges {
        let id = a.get("ID").cloned().unwrap_or_default();
        let mut found = |what: &str| out.push(("P19", format!("date range {id:?}: {what}")));
        if let Err(e) = super::playlist::range(a) {
            found(&e);
        }
        if id.is_empty() || !seen.insert(id.clone()) {
            found("no ID, or one twice");
        }
        let ends = a.contains_key("DURATION") || a.contains_key("END-DATE");
        if a.contains_key("END-ON-NEXT") && (ends || !a.contains_key("CLASS")) {
            found("END-ON-NEXT without CLASS, or with an end");
        }
        if a.contains_key("PLANNED-DURATION") && !ends && p.ended {
            found("planned, and never ended");
        }
    }
}

fn tail(p: &Playlist, out: &mut Vec<Breach>) {
    let of = |kind: &str| p.hints.iter().filter(|(k, _)| k == kind).count();
    if of("PART") > 1 || of("MAP") > 1 || of("PART") + of("MAP") != p.hints.len() {
        out.push(("P17", format!("preload hints {:?}", p.hints)));
    }
    if p.ended && !p.hints.is_empty() {
        out.push(("P17", "a preload hint after the end".into()));
    }
    if !p.ended && p.part_target.is_some() && of("PART") == 0 {
        out.push(("P17", "no preload hint: players would poll".into()));
    }
    if p.ended {
        return;
    }
    for report in p.reports.iter().filter(|r| r.last.is_none() || r.uri.contains("://")) {
        out.push(("P18", format!("report of {} without LAST-MSN and LAST-PART", report.uri)));
    }
}
