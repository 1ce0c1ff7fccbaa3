//! P01 to P27: what stands in a playlist and how it may change.

use crate::oracle::media;
use crate::oracle::playlist::{self, Playlist, Segment};
use crate::rules::broadcast::{Broadcast, MAIN, TARGET, Version, aired};
use castctl::base::ids::{Generation, Msn, Seq};
use castctl::hls::lookup::Lookup;
use std::collections::BTreeMap;

const LIVE: &str = "video/index.m3u8";

fn read(text: &str) -> Playlist {
    playlist::parse(text).unwrap_or_else(|e| panic!("{e}:\n{text}"))
}

/// The line of `text` that `at` lies in, with its line feed.
fn line_at(text: &str, at: usize) -> std::ops::Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |n| n + 1);
    let end = text[at..].find('\n').map_or(text.len(), |n| at + n + 1);
    start..end
}

/// `text` without the first line that has `what`.
fn without_line(text: &str, what: &str) -> Option<String> {
    let line = line_at(text, text.find(what)?);
    Some([&text[..line.start], &text[line.end..]].concat())
}

/// `text` with another number behind the tag.
fn with_number(text: &str, tag: &str, change: impl Fn(u64) -> u64) -> Option<String> {
    let line = text.lines().find(|l| l.starts_with(tag))?;
    let number = line.split_once(':')?.1.parse().ok()?;
    Some(text.replacen(line, &format!("{tag}:{}", change(number)), 1))
}

#[test]
fn p01_no_segment_outlasts_the_target_duration_which_never_changes() {
    let b = aired();
    b.keeps("P01");
    b.breaks("P01", "#EXT-X-TARGETDURATION:4", "#EXT-X-TARGETDURATION:5");
    b.breaks("P01", "#EXTINF:2.0,", "#EXTINF:4.6,");
    // The GOP of 8 s made a segment as long as one may be.
    let long = b.of(LIVE).flat_map(|v| read(&v.full).segments).filter_map(|s| s.duration).max();
    assert!(long.is_some_and(|d| d > 3_000_000 && d <= TARGET + 499_999), "{long:?}");
}

#[test]
fn p02_the_version_is_what_the_tags_need() {
    let b = aired();
    b.keeps("P02");
    b.breaks("P02", "#EXT-X-VERSION:6", "#EXT-X-VERSION:8");
    b.breaks_when("P02", |text| without_line(text, "#EXT-X-MAP:"));
    let mut seen = BTreeMap::new();
    for v in &b.versions {
        for text in [&v.full, &v.delta, &v.delta_v2] {
            let p = read(text);
            let ranges = |text: &str| text.matches("#EXT-X-DATERANGE:").count();
            let skips_ranges = p.skipped.is_some() && ranges(text) < ranges(&v.full);
            let needed = match (p.skipped.is_some(), skips_ranges) {
                (false, _) => 6,
                (true, false) => 9,
                (true, true) => 10,
            };
            assert_eq!(p.version, needed, "{text}");
            *seen.entry(needed).or_insert(0) += 1;
        }
    }
    assert!(seen.values().all(|n| *n > 100) && seen.len() == 3, "{seen:?}");
}

#[test]
fn p03_the_part_target_is_there_and_never_changes() {
    let b = aired();
    b.keeps("P03");
    b.breaks_when("P03", |text| without_line(text, "#EXT-X-PART-INF"));
    b.breaks("P03", "PART-TARGET=0.202", "PART-TARGET=0.203");
}

#[test]
fn p04_no_part_outlasts_the_part_target() {
    let b = aired();
    b.keeps("P04");
    b.breaks("P04", "#EXT-X-PART:DURATION=0.2,", "#EXT-X-PART:DURATION=0.203,");
}

#[test]
fn p05_parts_last_85_percent_of_the_target_unless_they_may_be_short() {
    let b = aired();
    b.keeps("P05");
    // The second part of a segment: neither independent nor the last.
    b.breaks_when("P05", |text| {
        let first = text.find("INDEPENDENT=YES\n")?;
        let (head, tail) = text.split_at(first);
        Some([head, &tail.replacen("DURATION=0.2,", "DURATION=0.17,", 1)].concat())
    });
}

#[test]
fn p06_a_part_with_a_key_frame_says_so() {
    let b = aired();
    b.keeps("P06");
    let untold = b.everywhere(|text| text.replace(",INDEPENDENT=YES", ""));
    assert!(untold.contains(&"P06"), "{untold:?}");
}

#[test]
fn p07_what_applies_to_a_segment_stands_before_its_first_part() {
    let b = aired();
    b.keeps("P07");
    b.breaks_when("P07", |text| {
        let date = line_at(text, text.rfind("#EXT-X-PROGRAM-DATE-TIME")?);
        let part = line_at(text, date.end);
        let order = [&text[..date.start], &text[part.clone()], &text[date], &text[part.end..]];
        text[part].starts_with("#EXT-X-PART:").then(|| order.concat())
    });
}

#[test]
fn p08_a_segments_parts_are_the_segment() {
    let b = aired();
    b.keeps("P08");
    b.keeps("EXTINF");
    b.breaks_when("P08", |text| {
        let at = text.rfind("#EXTINF:2.0,")?;
        Some([&text[..at], "#EXTINF:2.1,", &text[at + 12..]].concat())
    });
}

#[test]
fn p09_every_playlist_offers_the_same_control() {
    let b = aired();
    b.keeps("P09");
    b.breaks("P09", "CAN-BLOCK-RELOAD=YES,", "");
    b.breaks("P09", ",HOLD-BACK=12.0", ",HOLD-BACK=13.0");
    let control = |v: &Version| v.full.lines().find(|l| l.contains("SERVER-CONTROL")).map(str::len);
    assert!(b.versions.iter().all(|v| control(v) == control(&b.versions[0])));
}

#[test]
fn p10_the_hold_back_of_parts_is_three_part_targets() {
    let b = aired();
    b.keeps("P10");
    b.breaks("P10", "PART-HOLD-BACK=0.606", "PART-HOLD-BACK=0.605");
    b.breaks("P10", "PART-HOLD-BACK=0.606,", "");
}

#[test]
fn p11_the_hold_back_is_three_target_durations() {
    let b = aired();
    b.keeps("P11");
    b.breaks("P11", ",HOLD-BACK=12.0", ",HOLD-BACK=11.9");
}

#[test]
fn p12_the_skip_boundary_is_six_target_durations() {
    let b = aired();
    b.keeps("P12");
    b.breaks("P12", "CAN-SKIP-UNTIL=24.0", "CAN-SKIP-UNTIL=23.9");
    b.breaks("P12", "CAN-SKIP-UNTIL=24.0,", "");
}

#[test]
fn p13_parts_leave_the_playlist_and_stay_downloadable() {
    let b = aired();
    b.keeps("P13");
    let old = "#EXT-X-PART:DURATION=0.2,URI=\"v3/g1-p0.m4s\",INDEPENDENT=YES\n#EXTINF";
    b.breaks("P13", "#EXTINF", old);
    // In order: a segment without parts has none after it that is older.
    for v in b.of(LIVE) {
        let p = read(&v.full);
        let listed: Vec<bool> = p.segments.iter().map(|s| !s.parts.is_empty() || s.gap).collect();
        let first = listed.iter().rposition(|has| !has).map_or(0, |at| at + 1);
        assert!(p.segments[..first].iter().all(|s| s.gap || s.parts.is_empty()), "{}", v.full);
    }
    // Every part that was ever listed is found at the end of the session, minutes later.
    for (side, window) in ["video", "audio"].iter().zip(&b.windows) {
        for path in b.media.keys().filter(|p| p.contains(side) && p.contains("-p")) {
            let seq = path.rsplit_once("-p").and_then(|(_, n)| n.strip_suffix(".m4s"));
            let seq = Seq(seq.and_then(|n| n.parse().ok()).expect("a number"));
            let found = window.part(Generation(1).into(), seq);
            assert!(matches!(found, Lookup::Found(_)), "{path}");
        }
    }
}

#[test]
fn p14_three_target_durations_stay_and_what_left_stays_downloadable() {
    let b = aired();
    b.keeps("P14");
    b.breaks_when("P14", |text| {
        let p = read(text);
        let kept = p.segments.iter().rev().scan(0, |sum, s| {
            *sum += s.length();
            Some(*sum)
        });
        let gone = p.segments.len() - kept.take_while(|sum| *sum < 3 * TARGET).count();
        let uri = p.segments[gone - 1].uri.as_ref()?;
        let start = text.find("#EXT-X-MAP")?;
        let map = line_at(text, start);
        let rest = line_at(text, text.find(uri.as_str())?).end;
        let cut = [&text[..start], &text[map], &text[rest..]].concat();
        with_number(&cut, "#EXT-X-MEDIA-SEQUENCE", |n| n + gone as u64)
    });
    for (side, window) in ["video", "audio"].iter().zip(&b.windows) {
        let path = format!("{side}/dvr.m3u8");
        let all = read(&b.of(&path).last().expect("a version").full);
        for s in all.segments.iter().filter(|s| !s.gap) {
            let found = window.segment(Generation(1).into(), Msn(s.msn));
            assert!(matches!(found, Lookup::Found(_)), "{side} {}", s.msn);
        }
    }
}

#[test]
fn p15_the_sequence_numbers_only_rise() {
    let b = aired();
    b.keeps("P15");
    for tag in ["#EXT-X-MEDIA-SEQUENCE", "#EXT-X-DISCONTINUITY-SEQUENCE"] {
        b.breaks_when("P15", |text| with_number(text, tag, |n| n.saturating_sub(1)));
    }
    let last = read(&b.of(LIVE).last().expect("a version").full);
    assert!(last.media_sequence > 1000 && last.dseq > 0, "both have risen");
}

#[test]
fn p16_every_segment_has_a_date_that_goes_on() {
    let b = aired();
    b.keeps("P16");
    b.breaks_when("P16", |text| without_line(text, "#EXT-X-PROGRAM-DATE-TIME"));
    // The newest date, a minute back.
    b.breaks_when("P16", |text| {
        let line = line_at(text, text.rfind("#EXT-X-PROGRAM-DATE-TIME")?);
        let (date, minute) = (&text[line.clone()], line.start + 39);
        let earlier = (text[minute..minute + 2].parse::<u32>().ok()? + 59) % 60;
        let date = format!("{}{earlier:02}{}", &date[..39], &date[41..]);
        Some([&text[..line.start], &date, &text[line.end..]].concat())
    });
    for v in &b.versions {
        assert!(read(&v.full).segments.iter().all(|s| s.pdt.is_some()), "{}", v.full);
    }
}

#[test]
fn p17_one_hint_of_a_kind_and_none_after_the_end() {
    let b = aired();
    b.keeps("P17");
    let hint = "#EXT-X-PRELOAD-HINT:TYPE=PART";
    b.breaks("P17", hint, &format!("{hint},URI=\"v3/g1-p1.m4s\"\n{hint}"));
    b.breaks("P17", hint, &format!("#EXT-X-ENDLIST\n{hint}"));
    b.breaks_when("P17", |text| without_line(text, hint));
    b.breaks("P17", hint, "#EXT-X-PRELOAD-HINT:TYPE=SEGMENT");
    // The new configuration was hinted before its first segment.
    let hinted = b.of(LIVE).filter(|v| v.full.contains("PRELOAD-HINT:TYPE=MAP"));
    let uris: Vec<String> = hinted.map(|v| read(&v.full).hints[0].1.clone()).collect();
    let last = read(&b.of(LIVE).last().expect("a version").full);
    let now = last.segments.last().and_then(|s| s.map.clone());
    assert!(!uris.is_empty() && uris.iter().all(|u| Some(u) == now.as_ref()), "{uris:?}");
}

#[test]
fn p18_every_other_rendition_is_reported() {
    let b = aired();
    b.keeps("P18");
    b.breaks_when("P18", |text| without_line(text, "#EXT-X-RENDITION-REPORT"));
    b.breaks("P18", "../audio/index.m3u8", "http://elsewhere/audio/index.m3u8");
    b.breaks_when("P18", |text| {
        let at = text.find(",LAST-PART=")?;
        Some([&text[..at], &text[line_at(text, at).end - 1..]].concat())
    });
    // As new as the version that has it: never behind what the other's own version said.
    let mut newest = BTreeMap::new();
    for v in b.versions.iter().filter(|v| v.path.ends_with("index.m3u8")) {
        let p = read(&v.full);
        for report in &p.reports {
            let other = if v.path.contains("video") { "audio" } else { "video" };
            assert_eq!(report.uri, format!("../{other}/index.m3u8"));
            let known = newest.get(other).copied().unwrap_or_default();
            assert!(report.last.expect("a position") >= known, "{}", v.full);
        }
        if let Some((msn, parts)) = p.next() {
            let last = if parts == 0 { (msn - 1, 0) } else { (msn, parts - 1) };
            newest.insert(if v.path.contains("video") { "video" } else { "audio" }, last);
        }
    }
}

#[test]
fn p19_date_ranges_stay_as_they_were_while_a_date_of_them_is_listed() {
    let b = aired();
    b.keeps("P19");
    b.breaks("P19", "{%22n%22: 1}", "{%22n%22: 2}");
    b.breaks_when("P19", |text| {
        let p = read(text);
        let [range] = &p.ranges[..] else { return None };
        let over = playlist::range(range).is_ok_and(|(_, end)| Some(end) < p.segments[0].pdt);
        (!over).then(|| without_line(text, "#EXT-X-DATERANGE")).flatten()
    });
    let ids = |v: &Version| -> Vec<String> {
        read(&v.full).ranges.iter().map(|a| a["ID"].clone()).collect()
    };
    for rest in ["video/dvr.m3u8", "audio/dvr.m3u8"] {
        let last = b.of(rest).last().expect("a version");
        assert_eq!(ids(last), ["moment", "long", "later"], "{rest}");
    }
    // The same set in both renditions, wherever both begin with the same number.
    let mut sets: BTreeMap<(u64, usize), Vec<String>> = BTreeMap::new();
    for v in b.versions.iter().filter(|v| v.path.ends_with("index.m3u8")) {
        let (first, announced) = (read(&v.full).media_sequence, b.announced(v.at));
        let set = sets.entry((first, announced)).or_insert_with(|| ids(v));
        assert_eq!(*set, ids(v), "{} at {}", v.path, v.at);
    }
    let seen: usize = sets.values().map(Vec::len).sum();
    assert!(seen > 20, "{seen}");
}

#[test]
fn p20_renditions_match_and_codecs_name_every_format() {
    let b = aired();
    b.keeps("P20");
    let other = b.everywhere(|text| {
        let raised = with_number(text, "#EXT-X-DISCONTINUITY-SEQUENCE", |n| n + 1);
        raised.unwrap_or_default()
    });
    assert!(other.contains(&"P20"), "{other:?}");
    let (uris, faults) = playlist::multivariant(&b.multivariant).expect("a playlist");
    assert_eq!((uris.len(), faults), (2, Vec::new()));
    let codecs = "CODECS=\"avc1.42c01e,mp4a.40.2\"";
    assert!(b.multivariant.contains(codecs), "{}", b.multivariant);
    let without = b.multivariant.replace(&format!("{codecs},"), "");
    assert_eq!(playlist::multivariant(&without).expect("a playlist").1.len(), 1);
    assert!(MAIN.ends_with("index.m3u8"));
}

/// Times at which a playlist got a new part, and whether a new segment came with it.
fn growth(b: &Broadcast, rest: &str) -> Vec<(i64, bool)> {
    let mut last = (0, 0);
    let mut out = Vec::new();
    for v in b.of(rest) {
        let next = read(&v.full).next().unwrap_or_default();
        if next > last {
            out.push((v.at, next.0 > last.0));
            last = next;
        }
    }
    out
}

/// 6.2.1-M22 and M23. Knowingly late (TIMELINE, 5): the first gap part, 1.5 target durations after
/// the last media, for the encoder may only be slow; and the first part after a new connection,
/// which begins with a key frame.
#[test]
fn p21_a_segment_each_one_and_a_half_target_durations_and_a_part_each_part_target() {
    let b = aired();
    b.keeps("P21");
    for rest in [LIVE, "audio/index.m3u8"] {
        let grown = growth(b, rest);
        let knowingly = |at: i64| (40_000_000..=46_100_000).contains(&at);
        let mut late = Vec::new();
        for pair in grown.windows(2) {
            let (before, now) = (pair[0].0, pair[1].0);
            // A part's last sample comes a frame before its end.
            if now - before > 202_000 + 40_000 && !knowingly(now) {
                late.push((before, now));
            }
        }
        // Where the time base is new, what comes first is waited for: 52 s and 80 s.
        late.retain(|(_, now)| !(52_000_000..52_600_000).contains(now));
        late.retain(|(_, now)| !(80_000_000..80_600_000).contains(now));
        assert!(late.is_empty(), "{rest}: {late:?}");
        let segments: Vec<i64> = grown.iter().filter(|g| g.1).map(|g| g.0).collect();
        assert!(segments.windows(2).all(|w| w[1] - w[0] <= TARGET * 3 / 2 + 100_000), "{rest}");
    }
    // The oracle would notice: versions of 7 s are missing.
    let all: Vec<&Version> = b.versions.iter().filter(|v| v.path.ends_with(LIVE)).collect();
    let holed: Vec<&Version> =
        all.into_iter().filter(|v| !(100_000_000..107_500_000).contains(&v.at)).collect();
    assert!(b.watched(&holed).iter().any(|f| f.rule == "P21"));
}

/// Is everything between 40 s and 52 s marked as absent, and nothing else?
fn marked(p: &Playlist) -> Result<usize, String> {
    let begun = 1_795_195_386_000_000;
    let (mut gaps, mut parts) = (0, 0);
    for s in &p.segments {
        let from = s.pdt.unwrap_or(0) - begun;
        let absent = (39_900_000..51_900_000).contains(&from);
        if absent != (s.gap || s.uri.is_none() && s.parts.iter().all(|p| p.gap)) {
            return Err(format!("{s:?}"));
        }
        gaps += usize::from(s.gap);
        for part in &s.parts {
            if part.gap != absent {
                return Err(format!("{part:?}"));
            }
            parts += usize::from(part.gap);
        }
    }
    Ok(gaps + parts)
}

#[test]
fn p22_absent_media_is_marked_segment_and_part() {
    let b = aired();
    b.keeps("P22");
    let mut most = 0;
    for v in b.versions.iter().filter(|v| v.path.ends_with("index.m3u8")) {
        most = most.max(marked(&read(&v.full)).unwrap_or_else(|e| panic!("{e}:\n{}", v.full)));
    }
    assert!(most > 10, "{most}");
    for (from, to) in [("#EXT-X-GAP\n", ""), (",GAP=YES", "")] {
        let v = b.of(LIVE).find(|v| v.full.contains(from)).expect("a gap");
        assert!(marked(&read(&v.full.replacen(from, to, 1))).is_err(), "{from}");
    }
}

/// A change of init section or of media time without EXT-X-DISCONTINUITY; `Ok`: how many there are
/// with it.
fn changes(b: &Broadcast, p: &Playlist, home: &str) -> Result<usize, String> {
    let bytes = |uri: &str| b.media.get(&format!("{home}{uri}"));
    let mut before: Option<(&Segment, f64)> = None;
    let mut told = 0;
    for s in p.segments.iter().filter(|s| !s.gap) {
        let (Some(map), Some(uri)) = (&s.map, &s.uri) else { continue };
        let init = media::init(bytes(map).expect("its init section")).expect("readable");
        let read = media::fragments(bytes(uri).expect("its bytes"), init).expect("readable");
        let time = |ticks: Option<u64>| init.micros(ticks.unwrap_or(0)) as f64 / 1e6;
        if let Some((last, end)) = before {
            let changed = last.map != s.map || (time(read.start()) - end).abs() > 0.1;
            if changed && last.dseq == s.dseq {
                return Err(format!("{last:?}\n{s:?}"));
            }
            told += usize::from(changed);
        }
        before = Some((s, time(read.end())));
    }
    Ok(told)
}

#[test]
fn p23_a_change_of_format_or_time_is_a_discontinuity() {
    let b = aired();
    for side in ["video", "audio"] {
        let v = b.of("dvr.m3u8").rfind(|v| v.path.contains(side)).expect("a version");
        let home = format!("/live/main/s1/{side}/");
        assert_eq!(changes(b, &read(&v.full), &home), Ok(2), "back at 52 s, another clock at 80 s");
        let untold = v.full.replacen("#EXT-X-DISCONTINUITY\n", "", 1);
        assert!(changes(b, &read(&untold), &home).is_err(), "{side}");
    }
}

#[test]
fn p24_only_permitted_changes_between_versions() {
    let b = aired();
    b.keeps("P24");
    b.breaks("P24", "#EXTINF:2.0,", "#EXTINF:2.001,");
    // The last part of the newest complete segment is gone.
    b.breaks_when("P24", |text| {
        let line = line_at(text, text[..text.rfind("#EXTINF")?].rfind("#EXT-X-PART:")?);
        Some([&text[..line.start], &text[line.end..]].concat())
    });
    b.breaks("P24", "-p", "-p9");
}

#[test]
fn p25_a_playlist_that_slides_has_no_type() {
    let b = aired();
    b.keeps("P25");
    b.breaks("P25", "#EXT-X-TARGET", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-TARGET");
    assert!(b.versions.iter().all(|v| !v.full.contains("PLAYLIST-TYPE")));
}

/// What one rendition has at its end and another does not, microseconds.
fn ahead(one: &Playlist, other: &Playlist) -> i64 {
    let end = |p: &Playlist| p.segments.last().map_or(0, |s| s.pdt.unwrap_or(0) + s.length());
    end(one) - end(other)
}

#[test]
fn p27_renditions_differ_at_their_ends_by_less_than_a_target_duration() {
    let b = aired();
    let mut newest: BTreeMap<&str, Playlist> = BTreeMap::new();
    let dvr: Vec<&Version> = b.of("dvr.m3u8").collect();
    for (i, v) in dvr.iter().enumerate() {
        let side = if v.path.contains("video") { "video" } else { "audio" };
        newest.insert(side, read(&v.full));
        // What came at the same moment came together.
        if dvr.get(i + 1).is_some_and(|next| next.at == v.at) {
            continue;
        }
        if let [one, other] = &newest.values().collect::<Vec<_>>()[..] {
            assert!(ahead(one, other).abs() <= TARGET, "at {}", v.at);
            assert_eq!(one.media_sequence, other.media_sequence);
        }
    }
    let [audio, video] = &newest.values().collect::<Vec<_>>()[..] else { panic!("two") };
    let numbers = |p: &Playlist| -> Vec<(u64, u64, bool)> {
        p.segments.iter().map(|s| (s.msn, s.dseq, s.gap)).collect()
    };
    assert_eq!(numbers(audio), numbers(video), "nothing is missing in the middle");
    let mut short = (*audio).clone();
    short.segments.truncate(short.segments.len() - 3);
    assert!(ahead(video, &short) > TARGET, "it would be noticed");
}
