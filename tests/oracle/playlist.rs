//! A strict reader of the playlists castctl writes: every tag is known, every number exact.
//! Durations and times are microseconds. It shares no code with the renderer, so that the two can
//! disagree.

use std::collections::BTreeMap;

/// A media playlist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Playlist {
    pub(crate) version: u32,
    pub(crate) target: i64,
    pub(crate) part_target: Option<i64>,
    pub(crate) control: BTreeMap<String, String>,
    pub(crate) media_sequence: u64,
    pub(crate) dseq: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) hints: Vec<(String, String)>,
    pub(crate) reports: Vec<Report>,
    /// Attributes of EXT-X-DATERANGE, in order.
    pub(crate) ranges: Vec<BTreeMap<String, String>>,
    pub(crate) ended: bool,
    pub(crate) kind: Option<String>,
    /// Attributes of EXT-X-START.
    pub(crate) start: Option<BTreeMap<String, String>>,
    /// SKIPPED-SEGMENTS of EXT-X-SKIP.
    pub(crate) skipped: Option<u64>,
    /// RECENTLY-REMOVED-DATERANGES of EXT-X-SKIP.
    pub(crate) removed: Option<Vec<String>>,
    /// Tags that must stand before a segment's first part and did not (P07).
    pub(crate) late_tags: Vec<String>,
}

/// A segment; without `uri` the open one, which has parts only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) msn: u64,
    pub(crate) dseq: u64,
    /// Number of EXT-X-DISCONTINUITY tags before it.
    pub(crate) discontinuity: u64,
    pub(crate) gap: bool,
    pub(crate) pdt: Option<i64>,
    pub(crate) map: Option<String>,
    pub(crate) duration: Option<i64>,
    pub(crate) uri: Option<String>,
    pub(crate) parts: Vec<Part>,
}

/// A partial segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) uri: String,
    pub(crate) duration: i64,
    pub(crate) independent: bool,
    pub(crate) gap: bool,
}

/// EXT-X-RENDITION-REPORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) uri: String,
    pub(crate) last: Option<(u64, u64)>,
}

impl Playlist {
    /// The newest position: MSN, and how many of its parts are listed (`None`: it is complete).
    pub(crate) fn last(&self) -> Option<(u64, Option<usize>)> {
        self.segments.last().map(|s| (s.msn, s.uri.is_none().then_some(s.parts.len())))
    }

    /// What to ask a blocking reload for: the part after the newest.
    pub(crate) fn next(&self) -> Option<(u64, u64)> {
        Some(match self.last()? {
            (msn, None) => (msn + 1, 0),
            (msn, Some(parts)) => (msn, parts as u64),
        })
    }

    /// Sum of all durations, the open segment's parts included.
    pub(crate) fn length(&self) -> i64 {
        self.segments.iter().map(Segment::length).sum()
    }
}

impl Segment {
    pub(crate) fn length(&self) -> i64 {
        self.duration.unwrap_or_else(|| self.parts.iter().map(|p| p.duration).sum())
    }
}

/// Attributes of a tag: `A=1,B="x,y"`; quotes are taken off.
pub(crate) fn attributes(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut out = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, tail) = rest.split_once('=').ok_or(format!("attribute without '=': {rest}"))?;
        let (value, tail) = match tail.strip_prefix('"') {
            Some(quoted) => {
                let (value, tail) = quoted.split_once('"').ok_or("an unclosed quote")?;
                (value, tail.strip_prefix(',').unwrap_or(tail))
            }
            None => tail.split_once(',').unwrap_or((tail, "")),
        };
        if out.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(format!("attribute {name} twice"));
        }
        rest = tail;
    }
    Ok(out)
}

/// `12.345` seconds in microseconds.
pub(crate) fn seconds(text: &str) -> Result<i64, String> {
    let bad = || format!("not a decimal number of seconds: {text}");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if !part.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let micros: String = part.chars().chain("000000".chars()).take(6).collect();
    let whole: i64 = whole.parse().map_err(|_| bad())?;
    Ok(whole * 1_000_000 + micros.parse::<i64>().map_err(|_| bad())?)
}

/// RFC 3339 in UTC, `2026-11-20T17:23:06.125Z`, in microseconds since 1970.
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    let bad = || format!("not an RFC 3339 time in UTC: {text}");
    let (date, time) = text.strip_suffix('Z').and_then(|t| t.split_once('T')).ok_or_else(bad)?;
    let numbers = |s: &str, by: char| -> Result<Vec<i64>, String> {
        s.split(by).map(|n| n.parse().map_err(|_| bad())).collect()
    };
    let [year, month, day] = numbers(date, '-')?[..] else { return Err(bad()) };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [h, m, s] = numbers(clock, ':')?[..] else { return Err(bad()) };
    // Days from the civil date, in years that start on 1 March.
    let (y, mo) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * mo + 2) / 5 + day - 1 - 719_468;
    Ok(((days * 24 + h) * 60 + m) * 60_000_000 + seconds(&format!("{s}.{fraction}"))?)
}

/// From when to when a date range lasts; without a duration or end, only its start is known.
pub(crate) fn range(a: &BTreeMap<String, String>) -> Result<(i64, i64), String> {
    let start = moment(a.get("START-DATE").ok_or("EXT-X-DATERANGE without START-DATE")?)?;
    let end = match (a.get("DURATION"), a.get("END-DATE")) {
        (Some(duration), _) => start + seconds(duration)?,
        (None, Some(end)) => moment(end)?,
        (None, None) => start,
    };
    if end < start {
        Err("a date range that ends before it starts".into())
    } else {
        Ok((start, end))
    }
}

/// What is written before the next segment's URI.
#[derive(Default)]
struct Pending {
    segment: Segment,
    begun: bool,
}

/// Reads a media playlist; the message names the line.
pub(crate) fn parse(text: &str) -> Result<Playlist, String> {
    let mut lines = text.lines().enumerate();
    if lines.next().map(|(_, l)| l) != Some("#EXTM3U") {
        return Err("line 1: no #EXTM3U".into());
    }
    let mut out = Playlist::default();
    let (mut pending, mut map) = (Pending::default(), None);
    let mut first_dseq = 0;
    for (i, line) in lines.filter(|(_, l)| !l.is_empty()) {
        let at = |e: String| format!("line {}: {e}", i + 1);
        if line.starts_with('#') {
            let (tag, value) = line.split_once(':').unwrap_or((line, ""));
            if header(&mut out, &mut first_dseq, tag, value).map_err(at)? {
                continue;
            }
            if !segment_tag(&mut pending, &mut map, &mut out, tag, value).map_err(at)? {
                return Err(at(format!("unknown tag {tag}")));
            }
        } else {
            pending.segment.uri = Some(line.to_owned());
            if pending.segment.duration.is_none() {
                return Err(at("a segment without EXTINF".into()));
            }
            finish(&mut out, &mut pending, &map);
        }
    }
    if pending.begun && !pending.segment.parts.is_empty() {
        finish(&mut out, &mut pending, &map);
    }
    let mut dseq = first_dseq;
    let skipped = out.skipped.unwrap_or(0);
    let first = out.media_sequence + skipped;
    for (n, segment) in out.segments.iter_mut().enumerate() {
        segment.msn = first + n as u64;
        // 4.4.3.3: the playlist's number plus all tags before the segment, its own included.
        dseq += segment.discontinuity;
        segment.dseq = dseq;
    }
    out.dseq = first_dseq;
    Ok(out)
}

fn finish(out: &mut Playlist, pending: &mut Pending, map: &Option<String>) {
    let mut segment = std::mem::take(pending).segment;
    segment.map = map.clone();
    out.segments.push(segment);
}

/// Tags of the playlist as a whole; `false` when `tag` is not one.
fn header(out: &mut Playlist, dseq: &mut u64, tag: &str, value: &str) -> Result<bool, String> {
    let number = || value.parse::<u64>().map_err(|_| format!("{tag}: not a number: {value}"));
    let want = |a: &BTreeMap<String, String>, name: &str| {
        a.get(name).cloned().ok_or(format!("{tag} without {name}"))
    };
    match tag {
        "#EXT-X-VERSION" => out.version = number()? as u32,
        "#EXT-X-TARGETDURATION" => out.target = number()? as i64 * 1_000_000,
        "#EXT-X-MEDIA-SEQUENCE" => out.media_sequence = number()?,
        "#EXT-X-DISCONTINUITY-SEQUENCE" => *dseq = number()?,
        "#EXT-X-PLAYLIST-TYPE" => out.kind = Some(value.to_owned()),
        "#EXT-X-ENDLIST" => out.ended = true,
        "#EXT-X-START" => out.start = Some(attributes(value)?),
        "#EXT-X-INDEPENDENT-SEGMENTS" => {}
        "#EXT-X-DATERANGE" => out.ranges.push(attributes(value)?),
        "#EXT-X-SERVER-CONTROL" => out.control = attributes(value)?,
        "#EXT-X-PART-INF" => {
            out.part_target = Some(seconds(&want(&attributes(value)?, "PART-TARGET")?)?);
        }
        "#EXT-X-SKIP" => {
            let a = attributes(value)?;
            let n = want(&a, "SKIPPED-SEGMENTS")?;
            if out.skipped.is_some() {
                return Err("EXT-X-SKIP twice".into());
            }
            out.skipped = Some(n.parse().map_err(|_| format!("SKIPPED-SEGMENTS={n}"))?);
            let ids = |list: &String| {
                list.split('\t').filter(|id| !id.is_empty()).map(str::to_owned).collect()
            };
            out.removed = a.get("RECENTLY-REMOVED-DATERANGES").map(ids);
        }
        "#EXT-X-PRELOAD-HINT" => {
            let a = attributes(value)?;
            out.hints.push((want(&a, "TYPE")?, want(&a, "URI")?));
        }
        "#EXT-X-RENDITION-REPORT" => {
            let a = attributes(value)?;
            let n = |name: &str| a.get(name).and_then(|v| v.parse().ok());
            let last = n("LAST-MSN").zip(n("LAST-PART"));
            out.reports.push(Report { uri: want(&a, "URI")?, last });
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Tags of the segment that follows; `false` when `tag` is not one.
fn segment_tag(
    pending: &mut Pending,
    map: &mut Option<String>,
    out: &mut Playlist,
    tag: &str,
    value: &str,
) -> Result<bool, String> {
    let segment = &mut pending.segment;
    let leads = matches!(tag, "#EXT-X-DISCONTINUITY" | "#EXT-X-MAP" | "#EXT-X-PROGRAM-DATE-TIME");
    if leads && !segment.parts.is_empty() {
        out.late_tags.push(tag.to_owned());
    }
    match tag {
        "#EXT-X-DISCONTINUITY" => segment.discontinuity += 1,
        "#EXT-X-GAP" => segment.gap = true,
        "#EXT-X-BITRATE" => {}
        "#EXT-X-PROGRAM-DATE-TIME" => segment.pdt = Some(moment(value)?),
        "#EXT-X-MAP" => {
            let a = attributes(value)?;
            *map = Some(a.get("URI").cloned().ok_or("EXT-X-MAP without URI")?);
        }
        "#EXTINF" => {
            segment.duration = Some(seconds(value.split(',').next().unwrap_or_default())?);
        }
        "#EXT-X-PART" => {
            let a = attributes(value)?;
            let yes = |name: &str| a.get(name).is_some_and(|v| v == "YES");
            segment.parts.push(Part {
                uri: a.get("URI").cloned().ok_or("EXT-X-PART without URI")?,
                duration: seconds(a.get("DURATION").ok_or("EXT-X-PART without DURATION")?)?,
                independent: yes("INDEPENDENT"),
                gap: yes("GAP"),
            });
        }
        _ => return Ok(false),
    }
    pending.begun = true;
    Ok(true)
}

/// The media playlists that a multivariant playlist names, as written, and what is wrong with it.
pub(crate) fn multivariant(text: &str) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut uris, mut faults) = (Vec::new(), Vec::new());
    let mut variant = false;
    for line in text.lines() {
        if let Some(value) = line.strip_prefix("#EXT-X-MEDIA:") {
            uris.extend(attributes(value)?.remove("URI"));
        } else if let Some(value) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            variant = true;
            let a = attributes(value)?;
            for name in ["BANDWIDTH", "CODECS"] {
                if !a.contains_key(name) {
                    faults.push(format!("EXT-X-STREAM-INF without {name}"));
                }
            }
        } else if !line.starts_with('#') && variant && !line.is_empty() {
            uris.push(line.to_owned());
            variant = false;
        }
    }
    uris.sort();
    uris.dedup();
    if uris.is_empty() { Err("names no media playlist".into()) } else { Ok((uris, faults)) }
}
