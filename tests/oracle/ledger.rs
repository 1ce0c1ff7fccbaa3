//! Everything that any server ever said about a channel, held against everything else it said: the
//! first claim about a segment, a part or a URL is kept, and every later one must agree with it.
//! Agreement with the first claim is agreement between any two.

mod judge;

use super::playlist::{self, Part, Playlist, Segment};
use super::rules::{self, Context};
use super::{Exception, Finding};
use std::collections::{BTreeMap, BTreeSet};

/// Longest time between two looks at a playlist that is the observer's own fault, microseconds.
const JITTER: i64 = 1_000_000;

/// What a server said, and when (microseconds since the watch began).
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// Server and kind of request: one reader whose answers are in order.
    pub(crate) who: String,
    /// Microseconds since the watch began.
    pub(crate) at: i64,
    /// Path of the playlist: `/live/main/s1/video/index.m3u8`.
    pub(crate) path: String,
    /// The part that a blocking reload asked for.
    pub(crate) asked: Option<(u64, u64)>,
}

/// A URL that a playlist named, to be fetched from the server that named it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Want {
    pub(crate) path: String,
    pub(crate) kind: WantKind,
}

/// Why it was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WantKind {
    Media,
    Gap,
    Hint,
}

#[derive(Debug, Default)]
struct Facts {
    segment: Segment,
    parts: BTreeMap<usize, Part>,
    complete: bool,
    /// Number of parts, once a complete segment listed them.
    count: Option<usize>,
}

#[derive(Debug)]
struct Head {
    media_sequence: u64,
    dseq: u64,
    last: (u64, usize),
    ended: bool,
    grown_at: i64,
    /// Init section of the newest segment, and the one that is hinted.
    map: Option<String>,
    map_hint: Option<String>,
    /// Ends of the date ranges.
    ranges: BTreeMap<String, i64>,
}

#[derive(Debug, Default)]
struct Rendition {
    /// When it was first seen, microseconds since the watch began.
    since: i64,
    segments: BTreeMap<u64, Facts>,
    /// Where a hint pointed, and to what.
    hints: BTreeMap<(u64, usize), BTreeSet<String>>,
    reports: BTreeSet<(String, (u64, u64))>,
    ended_at: Option<u64>,
}

#[derive(Debug, Default)]
struct Session {
    renditions: BTreeSet<String>,
    constants: BTreeMap<&'static str, String>,
    ranges: BTreeMap<String, BTreeMap<String, String>>,
}

/// All claims about one channel.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    sessions: BTreeMap<String, Session>,
    renditions: BTreeMap<String, Rendition>,
    heads: BTreeMap<(String, String), Head>,
    media: BTreeMap<String, bytes::Bytes>,
    refused: BTreeMap<String, String>,
    /// Contradictions about a segment, by its number: an exception may be named later, as a test
    /// learns from the logs which numbers lie behind a decided end.
    contradictions: Vec<(u64, Finding)>,
    found: BTreeMap<(&'static str, String), Finding>,
    pub(crate) exceptions: Vec<Exception>,
    /// Those of the servers that are many, by the beginning of [`Claim::who`].
    pub(crate) balancers: BTreeSet<String>,
    pub(crate) versions: usize,
}

/// Ends of a playlist's date ranges by their ids.
fn ends(p: &Playlist) -> BTreeMap<String, i64> {
    let end =
        |a: &BTreeMap<String, String>| Some((a.get("ID")?.clone(), playlist::range(a).ok()?.1));
    p.ranges.iter().filter_map(end).collect()
}

fn dir(path: &str) -> &str {
    &path[..path.rfind('/').map_or(0, |i| i + 1)]
}

/// `uri` as written in the playlist `path`, as an absolute path.
pub(crate) fn resolve(path: &str, uri: &str) -> String {
    let base = reqwest::Url::parse("http://origin").and_then(|u| u.join(path)?.join(uri));
    base.map_or_else(|_| uri.to_owned(), |u| u.path().to_owned())
}

impl Ledger {
    fn find(&mut self, rule: &'static str, who: &str, detail: String) {
        let finding = Finding { rule, who: who.to_owned(), detail: detail.clone() };
        self.found.entry((rule, detail)).or_insert(finding);
    }

    /// A multivariant playlist; returns the paths of its media playlists.
    pub(crate) fn multivariant(&mut self, who: &str, path: &str, text: &str) -> Vec<String> {
        let (uris, faults) = match playlist::multivariant(text) {
            Ok(read) => read,
            Err(e) => {
                self.find("syntax", who, format!("{path}: {e}"));
                return Vec::new();
            }
        };
        for fault in faults {
            self.find("P20", who, format!("{path}: {fault}"));
        }
        let paths: Vec<String> = uris.iter().map(|u| resolve(path, u)).collect();
        let session = self.sessions.entry(dir(path).to_owned()).or_default();
        let named: BTreeSet<String> = paths.iter().map(|p| dir(p).to_owned()).collect();
        let differs = !session.renditions.is_empty() && session.renditions != named;
        session.renditions.extend(named);
        if differs {
            self.find("P20", who, format!("{path}: the rendition set has changed"));
        }
        paths
    }

    /// One version of a media playlist; returns what to fetch from whoever served it.
    pub(crate) fn version(&mut self, claim: &Claim, text: &str) -> (Option<Playlist>, Vec<Want>) {
        self.versions += 1;
        let p = match playlist::parse(text) {
            Ok(p) => p,
            Err(e) => {
                self.find("syntax", &claim.who, format!("{}: {e}", claim.path));
                return (None, Vec::new());
            }
        };
        let home = dir(&claim.path).to_owned();
        let session = dir(home.trim_end_matches('/')).to_owned();
        let context = Context::of(&claim.path);
        for (rule, detail) in rules::check(&p, &context) {
            self.find(rule, &claim.who, format!("{}: {detail}", claim.path));
        }
        if let Some((msn, part)) = claim.asked
            && !p.ended
            && p.next().is_none_or(|next| next <= (msn, part))
        {
            let what = format!("{}: answered before {msn}.{part} was there", claim.path);
            self.find("D09", &claim.who, what);
        }
        self.reports(&session, &home, claim, &p);
        self.ranges(&session, claim, &p);
        self.constant(&session, claim, &p);
        self.head(claim, &p);
        self.rendition(&home, claim, &p);
        let wants = self.wants(claim, &p);
        (Some(p), wants)
    }

    /// Every other rendition that has been on air for a moment is reported.
    fn reports(&mut self, session: &str, home: &str, claim: &Claim, p: &Playlist) {
        let Some(known) = self.sessions.get(session).filter(|_| !p.ended) else { return };
        let listed =
            |r: &&String| self.renditions.get(*r).is_some_and(|r| r.since + JITTER < claim.at);
        let told = |r: &String| {
            p.reports.iter().any(|report| dir(&resolve(&claim.path, &report.uri)) == r)
        };
        let others = known.renditions.iter().filter(|r| *r != home).filter(listed);
        let untold: Vec<String> = others.filter(|r| !told(r)).cloned().collect();
        for other in untold {
            self.find("P18", &claim.who, format!("{}: no report of {other}", claim.path));
        }
    }

    /// A date range has the same attributes wherever and whenever it is listed.
    fn ranges(&mut self, session: &str, claim: &Claim, p: &Playlist) {
        let known = &mut self.sessions.entry(session.to_owned()).or_default().ranges;
        let mut broken = Vec::new();
        for a in &p.ranges {
            let id = a.get("ID").cloned().unwrap_or_default();
            let first = known.entry(id.clone()).or_insert_with(|| a.clone());
            if first != a {
                broken.push(format!("{}: date range {id} is {a:?}, was {first:?}", claim.path));
            }
        }
        broken.into_iter().for_each(|detail| self.find("P19", &claim.who, detail));
    }

    /// What may never differ between any two playlists of a session.
    fn constant(&mut self, session: &str, claim: &Claim, p: &Playlist) {
        let known = &mut self.sessions.entry(session.to_owned()).or_default().constants;
        let mut broken = Vec::new();
        let part_target = p.part_target.map(|t| ("P03", "PART-TARGET", t.to_string()));
        for (rule, name, value) in [
            ("P01", "TARGETDURATION", p.target.to_string()),
            ("P09", "SERVER-CONTROL", format!("{:?}", p.control)),
        ]
        .into_iter()
        .chain(part_target)
        {
            let first = known.entry(name).or_insert_with(|| value.clone());
            if *first != value {
                broken.push((rule, format!("{}: {name} {value}, was {first}", claim.path)));
            }
        }
        for (rule, detail) in broken {
            self.find(rule, &claim.who, detail);
        }
    }

    /// What never goes back for one reader of one playlist.
    fn head(&mut self, claim: &Claim, p: &Playlist) {
        let last = p.last().map_or((0, 0), |(msn, parts)| (msn, parts.unwrap_or(usize::MAX)));
        let mut head = Head {
            media_sequence: p.media_sequence,
            dseq: p.dseq,
            last,
            ended: p.ended,
            grown_at: claim.at,
            map: p.segments.last().and_then(|s| s.map.clone()),
            map_hint: p.hints.iter().find(|(kind, _)| kind == "MAP").map(|(_, uri)| uri.clone()),
            ranges: ends(p),
        };
        let key = (claim.who.clone(), claim.path.clone());
        // Of several servers one is always a little behind: its older version is no step back, and
        // is held against all others as every version is.
        let many = self.is_many(&claim.who);
        let is_older = |old: &Head| !old.ended && head.last < old.last;
        if many && self.heads.get(&key).is_some_and(is_older) {
            return;
        }
        let mut broken: Vec<(&'static str, String)> = Vec::new();
        let mut moved = None;
        if let Some(old) = self.heads.get(&key) {
            let mut back = |rule, name: &str, fell: bool| {
                if fell {
                    broken.push((rule, format!("{name} went back")));
                }
            };
            // Where two servers list other durations behind a decided end, their windows may begin
            // at other numbers of it.
            let window = head.media_sequence < old.media_sequence;
            if many && window {
                let detail = format!("{}: MEDIA-SEQUENCE went back", claim.path);
                let found = Finding { rule: "P15", who: claim.who.clone(), detail };
                moved = Some((head.media_sequence, found));
            }
            back("P15", "MEDIA-SEQUENCE", window && !many);
            back("P15", "DISCONTINUITY-SEQUENCE", head.dseq < old.dseq);
            back("P24", "the end of the playlist", head.last < old.last);
            back("P24", "EXT-X-ENDLIST", old.ended && !head.ended);
            let removed = head.media_sequence > old.media_sequence;
            if removed && p.kind.is_some() {
                broken.push(("P25", "an EVENT playlist lost segments".into()));
            }
            if removed && !p.ended && p.length() < 3 * p.target {
                broken.push(("P14", format!("only {} us are left", p.length())));
            }
            if let Some(hint) = &old.map_hint
                && head.map != old.map
                && head.map.as_ref() != Some(hint)
            {
                broken.push(("M02", format!("hint of {hint}, then came {:?}", head.map)));
            }
            let first = p.segments.iter().find_map(|s| s.pdt).unwrap_or(i64::MAX);
            for (id, end) in old.ranges.iter().filter(|(id, _)| !head.ranges.contains_key(*id)) {
                if *end >= first {
                    broken.push(("P19", format!("date range {id} is gone, {end} is listed")));
                }
            }
            let waited = claim.at - old.grown_at;
            let excused = self.exceptions.iter().any(|e| matches!(e, Exception::StandsStill));
            if !old.ended && waited > p.target * 3 / 2 + JITTER && !excused {
                let what = format!("no new segment for {waited} us (after {})", old.last.0);
                broken.push(("P21", what));
            }
            if head.last.0 == old.last.0 && !head.ended {
                head.grown_at = old.grown_at;
            }
        }
        self.heads.insert(key, head);
        self.contradictions.extend(moved);
        for (rule, detail) in broken {
            self.find(rule, &claim.who, format!("{}: {detail}", claim.path));
        }
    }

    /// Holds every segment against what was said of it before.
    fn rendition(&mut self, home: &str, claim: &Claim, p: &Playlist) {
        let new = || Rendition { since: claim.at, ..Rendition::default() };
        let mut known = self.renditions.remove(home).unwrap_or_else(new);
        let mut broken = Vec::new();
        for segment in &p.segments {
            if let Some(end) = known.ended_at
                && segment.msn > end
            {
                broken.push((segment.msn, format!("segment {} after the end {end}", segment.msn)));
            }
            let resolved = resolved(&claim.path, segment);
            match known.segments.get_mut(&segment.msn) {
                Some(facts) => facts.agree(&resolved, &mut broken),
                None => {
                    let mut facts = Facts::default();
                    facts.agree_new(&resolved);
                    known.segments.insert(segment.msn, facts);
                }
            }
        }
        if p.ended
            && let Some(last) = p.segments.last()
        {
            if let Some((newest, _)) =
                known.segments.last_key_value().filter(|(n, _)| **n > last.msn)
            {
                broken.push((last.msn, format!("ends at {}, but {newest} was listed", last.msn)));
            }
            known.ended_at = Some(last.msn);
        }
        if let Some((msn, part)) = p.next() {
            let hints = p.hints.iter().filter(|(kind, _)| kind == "PART");
            let uris = hints.map(|(_, uri)| resolve(&claim.path, uri));
            known.hints.entry((msn, part as usize)).or_default().extend(uris);
        }
        for report in &p.reports {
            let other = dir(&resolve(&claim.path, &report.uri)).to_owned();
            known.reports.extend(report.last.map(|last| (other, last)));
        }
        self.renditions.insert(home.to_owned(), known);
        for (msn, detail) in broken {
            let detail = format!("{home}: {detail}");
            self.contradictions
                .push((msn, Finding { rule: "P24", who: claim.who.clone(), detail }));
        }
    }

    /// Finds the contradictions that no exception names.
    fn judge_contradictions(&mut self) {
        for (msn, Finding { rule, who, detail }) in std::mem::take(&mut self.contradictions) {
            if !self.excused(msn) {
                self.find(rule, &who, detail);
            }
        }
    }

    /// Is this MSN one whose contradictions the contract names?
    fn excused(&self, msn: u64) -> bool {
        self.exceptions.iter().any(|e| match e {
            Exception::DecidedEnd { msns } | Exception::Repaired { msns } => msns.contains(&msn),
            Exception::StandsStill | Exception::NodesAway | Exception::Holes => false,
        })
    }

    fn wants(&self, claim: &Claim, p: &Playlist) -> Vec<Want> {
        let mut out = Vec::new();
        let mut want = |uri: &str, kind| {
            out.push(Want { path: resolve(&claim.path, uri), kind });
        };
        let kind = |gap| if gap { WantKind::Gap } else { WantKind::Media };
        for segment in &p.segments {
            segment.uri.iter().for_each(|u| want(u, kind(segment.gap)));
            segment.map.iter().for_each(|u| want(u, WantKind::Media));
            segment.parts.iter().for_each(|part| want(&part.uri, kind(part.gap)));
        }
        p.hints.iter().for_each(|(_, uri)| want(uri, WantKind::Hint));
        out
    }

    /// A media URL answered 200 with these bytes.
    pub(crate) fn bytes(&mut self, who: &str, path: &str, bytes: bytes::Bytes) {
        let first = self.media.entry(path.to_owned()).or_insert_with(|| bytes.clone()).clone();
        if first != bytes && !self.repaired(path) {
            let (a, b) = (first.len(), bytes.len());
            self.find("one-url", who, format!("{path}: {b} bytes that differ from the first {a}"));
        }
    }

    /// A URL answered something else; `kind` says why it was asked for.
    pub(crate) fn refused(&mut self, who: &str, want: &Want, status: u16) {
        match want.kind {
            WantKind::Media if !self.repaired(&want.path) => {
                let detail = format!("{}: listed, but answered {status}", want.path);
                // Who listed it may be another server than who was asked.
                match self.segment_of(&want.path).filter(|_| self.is_many(who)) {
                    Some(msn) => {
                        let found = Finding { rule: "download", who: who.to_owned(), detail };
                        self.contradictions.push((msn, found));
                    }
                    None => self.find("download", who, detail),
                }
            }
            WantKind::Gap if status != 404 => {
                self.find("P22", who, format!("{}: a gap that answered {status}", want.path));
            }
            WantKind::Hint if status == 404 => {
                self.refused.insert(want.path.clone(), who.to_owned());
            }
            _ => {}
        }
    }

    fn repaired(&self, path: &str) -> bool {
        self.segment_of(path).is_some_and(|msn| {
            self.exceptions
                .iter()
                .any(|e| matches!(e, Exception::Repaired { msns } if msns.contains(&msn)))
        })
    }

    /// The segment that lists this URL as its own or as a part's.
    fn segment_of(&self, path: &str) -> Option<u64> {
        let hit = |f: &Facts| {
            f.segment.uri.as_deref() == Some(path) || f.parts.values().any(|p| p.uri == path)
        };
        let home = self.renditions.iter().find(|(home, _)| path.starts_with(home.as_str()));
        let (_, rendition) = home?;
        rendition.segments.iter().rev().find(|(_, f)| hit(f)).map(|(msn, _)| *msn)
    }

    /// Is each answer of this server perhaps another's?
    fn is_many(&self, who: &str) -> bool {
        self.balancers.iter().any(|b| who.starts_with(b))
    }

    /// Listed media that nobody has delivered.
    pub(crate) fn missing(&self) -> Vec<String> {
        let mut out = BTreeSet::new();
        for facts in self.renditions.values().flat_map(|r| r.segments.values()) {
            let parts = facts.parts.values().filter(|p| !p.gap).map(|p| &p.uri);
            let whole = facts.segment.uri.iter().filter(|_| !facts.segment.gap);
            out.extend(parts.chain(whole).chain(&facts.segment.map).cloned());
        }
        out.retain(|path| !self.media.contains_key(path));
        out.into_iter().collect()
    }

    /// The newest segment of every rendition.
    pub(crate) fn newest(&self) -> BTreeMap<String, u64> {
        let last = |r: &Rendition| r.segments.last_key_value().map(|(msn, _)| *msn);
        self.renditions.iter().filter_map(|(k, r)| Some((k.clone(), last(r)?))).collect()
    }

    /// Every media URL that was downloaded, with its bytes.
    pub(crate) fn media(&self) -> &BTreeMap<String, bytes::Bytes> {
        &self.media
    }

    /// Number of media URLs that were downloaded.
    pub(crate) fn downloads(&self) -> usize {
        self.media.len()
    }
}

fn resolved(path: &str, segment: &Segment) -> Segment {
    let mut out = segment.clone();
    out.uri = out.uri.map(|u| resolve(path, &u));
    out.map = out.map.map(|u| resolve(path, &u));
    out.parts.iter_mut().for_each(|p| p.uri = resolve(path, &p.uri));
    out
}

impl Facts {
    fn agree_new(&mut self, segment: &Segment) {
        self.complete = segment.uri.is_some();
        self.parts = segment.parts.iter().cloned().enumerate().collect();
        self.count = (self.complete && !segment.parts.is_empty()).then_some(segment.parts.len());
        self.segment = segment.clone();
    }

    fn agree(&mut self, now: &Segment, broken: &mut Vec<(u64, String)>) {
        let mut differs = |what: &str, was: String, is: String| {
            if was != is {
                broken.push((now.msn, format!("segment {}: {what} {is}, was {was}", now.msn)));
            }
        };
        let was = &self.segment;
        differs("discontinuity sequence", was.dseq.to_string(), now.dseq.to_string());
        // How many tags is the server's choice as long as the sequence number is the same.
        let tagged = |s: &Segment| (s.discontinuity > 0).to_string();
        differs("DISCONTINUITY", tagged(was), tagged(now));
        if let (Some(a), Some(b)) = (was.pdt, now.pdt) {
            differs("PROGRAM-DATE-TIME", a.to_string(), b.to_string());
        }
        if was.map.is_some() && now.map.is_some() {
            differs("EXT-X-MAP", format!("{:?}", was.map), format!("{:?}", now.map));
        }
        let complete = now.uri.is_some();
        if self.complete && complete {
            differs("URI", format!("{:?}", was.uri), format!("{:?}", now.uri));
            differs("EXTINF", format!("{:?}", was.duration), format!("{:?}", now.duration));
            differs("GAP", was.gap.to_string(), now.gap.to_string());
        }
        for (i, part) in now.parts.iter().enumerate() {
            match self.parts.get(&i) {
                Some(known) if known != part => {
                    differs(&format!("part {i}"), format!("{known:?}"), format!("{part:?}"));
                }
                Some(_) => {}
                None => {
                    self.parts.insert(i, part.clone());
                }
            }
        }
        if complete && !now.parts.is_empty() {
            let count = *self.count.get_or_insert(now.parts.len());
            differs("number of parts", count.to_string(), now.parts.len().to_string());
        }
        if let Some(count) = self.count
            && self.parts.len() > count
        {
            differs("number of parts", self.parts.len().to_string(), count.to_string());
        }
        if !self.complete && complete {
            let parts = std::mem::take(&mut self.segment.parts);
            self.segment = Segment { parts, ..now.clone() };
            self.complete = true;
        }
    }
}
