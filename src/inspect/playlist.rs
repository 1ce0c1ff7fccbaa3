//! Reads HLS playlists (draft-pantos-hls-rfc8216bis-22) as far as a look at a stream needs them,
//! and more leniently than a player would: unknown tags and attributes are passed over. Pure.

use crate::base::time::{MICROS, Wall};

/// A playlist.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Playlist {
    Multivariant(Multivariant),
    Media(Box<Media>),
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Multivariant {
    pub(super) variants: Vec<Variant>,
    pub(super) renditions: Vec<Rendition>,
}

/// EXT-X-STREAM-INF.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Variant {
    pub(super) uri: String,
    pub(super) bandwidth: Option<u64>,
    pub(super) codecs: Option<String>,
    pub(super) resolution: Option<String>,
    pub(super) frame_rate: Option<f64>,
    pub(super) audio: Option<String>,
}

/// EXT-X-MEDIA.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Rendition {
    pub(super) kind: String,
    pub(super) group: String,
    pub(super) name: String,
    pub(super) uri: Option<String>,
    pub(super) default: bool,
}

/// A media playlist.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Media {
    pub(super) target_duration: Option<f64>,
    pub(super) part_target: Option<f64>,
    pub(super) part_hold_back: Option<f64>,
    pub(super) can_block: bool,
    pub(super) first_msn: u64,
    pub(super) ended: bool,
    /// The last one has no URI while only its parts are listed.
    pub(super) segments: Vec<Segment>,
}

/// A segment, whole or only begun.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Segment {
    pub(super) msn: u64,
    pub(super) file: Option<File>,
    /// Seconds; of its parts while it is not whole.
    pub(super) duration: f64,
    pub(super) parts: Vec<Part>,
    pub(super) gap: bool,
    pub(super) discontinuity: bool,
    /// Of its start; its own or reckoned from one before.
    pub(super) date: Option<Wall>,
    pub(super) map: Option<File>,
}

/// A partial segment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) file: File,
    pub(super) duration: f64,
    pub(super) gap: bool,
}

/// A URI and its byte range.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct File {
    pub(super) uri: String,
    /// Offset and length.
    pub(super) range: Option<(u64, u64)>,
}

impl Media {
    /// Length in seconds.
    pub(super) fn window(&self) -> f64 {
        self.segments.iter().map(|s| s.duration).sum()
    }

    /// Wall clock of the end of the newest media.
    pub(super) fn end(&self) -> Option<Wall> {
        let last = self.segments.last()?;
        Some(last.date?.plus((last.duration * MICROS as f64) as i64))
    }

    /// The segment and part number that a blocking reload has to wait for.
    pub(super) fn next(&self) -> (u64, usize) {
        match self.segments.last() {
            Some(s) if s.file.is_none() => (s.msn, s.parts.len()),
            Some(s) => (s.msn + 1, 0),
            None => (self.first_msn, 0),
        }
    }
}

/// Reads a playlist.
pub(super) fn parse(text: &str) -> Result<Playlist, &'static str> {
    let mut lines = text.lines().map(str::trim);
    if lines.next().map(|l| l.trim_start_matches('\u{feff}')) != Some("#EXTM3U") {
        return Err("it does not begin with #EXTM3U");
    }
    let lines: Vec<&str> = lines.filter(|l| !l.is_empty()).collect();
    let multi = lines.iter().any(|l| l.starts_with("#EXT-X-STREAM-INF:"));
    let media = lines.iter().any(|l| l.starts_with("#EXT-X-TARGETDURATION:"));
    match (multi, media) {
        (true, true) => Err("it mixes tags of multivariant and media playlists"),
        (true, false) => Ok(Playlist::Multivariant(multivariant(&lines))),
        (false, true) => Ok(Playlist::Media(Box::new(Reader::default().read(&lines)))),
        (false, false) => Err("it has neither EXT-X-TARGETDURATION nor EXT-X-STREAM-INF"),
    }
}

/// The value of an attribute, without quotes.
fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    loop {
        let (key, value) = rest.split_once('=')?;
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => value.split_at(value.find(',').unwrap_or(value.len())),
        };
        if key.trim() == name {
            return Some(value);
        }
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

/// A number of seconds or frames: finite and not negative.
fn decimal(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0)
}

fn number(list: &str, name: &str) -> Option<f64> {
    attribute(list, name).and_then(decimal)
}

fn is_yes(list: &str, name: &str) -> bool {
    attribute(list, name) == Some("YES")
}

fn multivariant(lines: &[&str]) -> Multivariant {
    let mut found = Multivariant::default();
    let mut pending: Option<Variant> = None;
    let owned = |list: &str, name| attribute(list, name).map(str::to_owned);
    for line in lines {
        if let Some(list) = line.strip_prefix("#EXT-X-STREAM-INF:") {
            pending = Some(Variant {
                uri: String::new(),
                bandwidth: attribute(list, "BANDWIDTH").and_then(|b| b.parse().ok()),
                codecs: owned(list, "CODECS"),
                resolution: owned(list, "RESOLUTION"),
                frame_rate: number(list, "FRAME-RATE"),
                audio: owned(list, "AUDIO"),
            });
        } else if let Some(list) = line.strip_prefix("#EXT-X-MEDIA:") {
            found.renditions.push(Rendition {
                kind: owned(list, "TYPE").unwrap_or_default(),
                group: owned(list, "GROUP-ID").unwrap_or_default(),
                name: owned(list, "NAME").unwrap_or_default(),
                uri: owned(list, "URI"),
                default: is_yes(list, "DEFAULT"),
            });
        } else if !line.starts_with('#')
            && let Some(variant) = pending.take()
        {
            found.variants.push(Variant { uri: (*line).to_owned(), ..variant });
        }
    }
    found
}

/// A media playlist being read.
#[derive(Default)]
struct Reader {
    out: Media,
    segment: Segment,
    date: Option<Wall>,
    map: Option<File>,
    range: Option<(Option<u64>, u64)>,
    /// Where the newest byte range of each kind ended: a range without an offset goes on there.
    range_end: Option<(String, u64)>,
    part_end: Option<(String, u64)>,
}

impl Reader {
    fn read(mut self, lines: &[&str]) -> Media {
        for line in lines {
            match line.split_once(':') {
                _ if !line.starts_with('#') => self.uri(line),
                Some((tag, value)) => self.tag(tag, value),
                None => self.tag(line, ""),
            }
        }
        if !self.segment.parts.is_empty() {
            self.segment.duration = self.segment.parts.iter().map(|p| p.duration).sum();
            self.close();
        }
        self.out
    }

    fn tag(&mut self, tag: &str, value: &str) {
        match tag {
            "#EXT-X-TARGETDURATION" => self.out.target_duration = decimal(value),
            "#EXT-X-MEDIA-SEQUENCE" => self.out.first_msn = value.parse().unwrap_or(0),
            "#EXT-X-PART-INF" => self.out.part_target = number(value, "PART-TARGET"),
            "#EXT-X-SERVER-CONTROL" => {
                self.out.can_block = is_yes(value, "CAN-BLOCK-RELOAD");
                self.out.part_hold_back = number(value, "PART-HOLD-BACK");
            }
            "#EXT-X-ENDLIST" => self.out.ended = true,
            "#EXT-X-DISCONTINUITY" => self.segment.discontinuity = true,
            "#EXT-X-GAP" => self.segment.gap = true,
            "#EXT-X-PROGRAM-DATE-TIME" => self.date = date(value),
            "#EXT-X-BYTERANGE" => self.range = range(value),
            "#EXT-X-MAP" => self.map = file(value, &mut None),
            "#EXT-X-PART" => self.part(value),
            "#EXTINF" => {
                let seconds = value.split(',').next().unwrap_or_default();
                self.segment.duration = decimal(seconds).unwrap_or(0.0);
            }
            _ => {}
        }
    }

    fn part(&mut self, list: &str) {
        let Some(file) = file(list, &mut self.part_end) else { return };
        let duration = number(list, "DURATION").unwrap_or(0.0);
        self.segment.parts.push(Part { file, duration, gap: is_yes(list, "GAP") });
    }

    fn uri(&mut self, uri: &str) {
        let range = self.range.take().map(|r| placed(uri, r, &mut self.range_end));
        self.segment.file = Some(File { uri: uri.to_owned(), range });
        self.close();
    }

    fn close(&mut self) {
        let mut segment = std::mem::take(&mut self.segment);
        segment.msn = self.out.first_msn.saturating_add(self.out.segments.len() as u64);
        (segment.date, segment.map) = (self.date, self.map.clone());
        let length = (segment.duration * MICROS as f64) as i64;
        self.date = self.date.map(|d| d.plus(length));
        self.out.segments.push(segment);
    }
}

/// URI and BYTERANGE of a tag.
fn file(list: &str, end: &mut Option<(String, u64)>) -> Option<File> {
    let uri = attribute(list, "URI")?.to_owned();
    let range = attribute(list, "BYTERANGE").and_then(range).map(|r| placed(&uri, r, end));
    Some(File { uri, range })
}

/// `length[@offset]`.
fn range(value: &str) -> Option<(Option<u64>, u64)> {
    match value.split_once('@') {
        Some((length, offset)) => Some((Some(offset.parse().ok()?), length.parse().ok()?)),
        None => Some((None, value.parse().ok()?)),
    }
}

fn placed(
    uri: &str,
    (offset, length): (Option<u64>, u64),
    end: &mut Option<(String, u64)>,
) -> (u64, u64) {
    let before = end.as_ref().filter(|(of, _)| of == uri).map_or(0, |(_, at)| *at);
    let offset = offset.unwrap_or(before);
    *end = Some((uri.to_owned(), offset.saturating_add(length)));
    (offset, length)
}

/// An RFC 3339 date with its offset, `2026-11-20T17:23:06.125+01:00`.
fn date(text: &str) -> Option<Wall> {
    let (day, time) = text.trim().split_once(['T', 't', ' '])?;
    let mut day = day.splitn(3, '-').map(str::parse::<i64>);
    let (y, m, d) = (day.next()?.ok()?, day.next()?.ok()?, day.next()?.ok()?);
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at(zone_at);
    let mut parts = time.splitn(3, ':');
    let (h, min) = (parts.next()?.parse::<i64>().ok()?, parts.next()?.parse::<i64>().ok()?);
    let seconds: f64 = parts.next()?.parse().ok()?;
    let sane = (0..10_000).contains(&y)
        && (1..=12).contains(&m)
        && (1..=31).contains(&d)
        && (0..24).contains(&h)
        && (0..60).contains(&min)
        && (0.0..61.0).contains(&seconds);
    if !sane {
        return None;
    }
    let minutes = days(y, m, d) * 1440 + h * 60 + min - offset(zone)?;
    Some(Wall(minutes * 60 * MICROS + (seconds * MICROS as f64).round() as i64))
}

/// Minutes east of Greenwich: `Z`, `+01:00`, `+0100`.
fn offset(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
    let (h, m) = digits.split_at_checked(2)?;
    let minutes = if m.is_empty() { 0 } else { m.parse().ok()? };
    Some(sign * (h.parse::<i64>().ok()? * 60 + minutes))
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
fn days(y: i64, m: i64, d: i64) -> i64 {
    // Years begin in March, so that a leap day is the last of its year.
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let (yoe, mp) = (y.rem_euclid(400), (m + 9) % 12);
    let doy = (153 * mp + 2) / 5 + d - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

#[cfg(test)]
#[path = "playlist_test.rs"]
mod tests;
