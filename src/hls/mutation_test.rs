//! Seeded random sessions: between any two versions of a playlist only what 6.2.1 permits, and one
//! text wherever a window began to read.

use crate::base::ids::TrackId;
use crate::base::time::{MICROS, Wall};
use crate::hls::playlist::{self, View};
use crate::hls::tape::{Step, Tape, render, session, tell, window};
use crate::hls::window::Window;
use crate::media::timeline::mark::{LastSegment, Mark};
use std::collections::BTreeMap;

/// Xorshift: the same sessions in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A part's length in milliseconds: whole samples, at most the part target.
    fn part(&mut self) -> i64 {
        20 * (1 + self.below(25)).cast_signed()
    }
}

const HASHES: [&str; 3] = ["aa", "bb", "cc"];

fn real_segment(mut tape: Tape, random: &mut Random, cut: bool) -> Tape {
    tape = match (cut, random.one_in(4)) {
        (true, _) => tape.init(HASHES[random.below(3) as usize]).cut(),
        (false, true) => tape.dependent(),
        (false, false) => tape.segment(),
    };
    for i in 0..1 + random.below(6) {
        let (millis, key) = (random.part(), i == 0 || random.one_in(4));
        tape = tape.part(millis, key);
    }
    for _ in 0..if random.one_in(10) { 1 + random.below(2) } else { 0 } {
        tape = tape.gap_part(random.part(), false);
    }
    tape
}

fn gap_segment(mut tape: Tape, random: &mut Random) -> Tape {
    let (count, mut sum) = (1 + random.below(4), 0);
    for i in 0..count {
        let millis = random.part();
        sum += millis;
        tape = tape.gap_part(millis, i == 0);
    }
    if random.one_in(3) { tape } else { tape.gap_complete(sum) }
}

fn other_generation(mut tape: Tape, random: &mut Random) -> Tape {
    let fates = [LastSegment::Complete, LastSegment::Short, LastSegment::Lost];
    let (fate, last) = (fates[random.below(3) as usize], tape.msn - 1);
    let open = matches!(tape.steps.last(), Some(Step::Mark(_, Mark::PartEnd(_))));
    tape = tape.next_generation(fate, random.below(4));
    if fate == LastSegment::Lost && open && random.one_in(2) {
        tape.gap_mark(last, None, 3000, tape.wall);
    }
    tape.pause(random.below(6000).cast_signed())
}

fn random_session(seed: u64, over: bool) -> Tape {
    let mut random = Random(seed);
    let mut tape = Tape::new();
    let mut cut = false;
    for _ in 0..150 {
        match random.below(23) {
            n @ 21..=22 => {
                let id = format!("cue-{}", tape.steps.len());
                tape = tape.cue(&id, random.part() * 60 * (22 - n).cast_signed());
            }
            20 => tape = tape.init(HASHES[random.below(3) as usize]),
            0..=15 => {
                let fresh = cut || random.one_in(12);
                tape = real_segment(tape, &mut random, fresh);
                cut = false;
            }
            16 | 17 => (tape, cut) = (gap_segment(tape, &mut random), true),
            18 => (tape, cut) = (tape.gap(2000), true),
            _ => (tape, cut) = (other_generation(tape, &mut random), true),
        }
    }
    if over { tape.over() } else { tape }
}

/// A playlist as a player sees it. Panics on lines that no playlist of ours has.
#[derive(Debug, PartialEq, Default, Clone)]
struct Doc {
    constants: Vec<String>,
    msn: u64,
    dseq: u64,
    segments: Vec<Seg>,
    hint: Option<String>,
    map_hint: Option<String>,
    /// Lines of date ranges by their ids.
    ranges: BTreeMap<String, String>,
    ended: bool,
}

#[derive(Debug, PartialEq, Default, Clone)]
struct Seg {
    dsn: u64,
    map: Option<String>,
    clock: String,
    parts: Vec<String>,
    gap: bool,
    /// Duration and URI; `None` while the segment is open.
    complete: Option<(i64, String)>,
}

fn micros(text: &str) -> i64 {
    let (whole, rest) = text.split_once('.').expect("a decimal");
    let rest: i64 = format!("{rest:0<6}").parse().expect("digits");
    whole.parse::<i64>().expect("digits") * MICROS + rest
}

fn attribute<'a>(line: &'a str, name: &str) -> &'a str {
    let at = line.find(&format!("{name}=")).expect(name) + name.len() + 1;
    line[at..].split(',').next().expect("a value").trim_matches('"')
}

fn read(text: &str) -> Doc {
    let mut doc = Doc::default();
    let (mut seg, mut begun, mut duration) = (Seg::default(), false, None);
    for line in text.lines() {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXTM3U"
            | "#EXT-X-VERSION"
            | "#EXT-X-TARGETDURATION"
            | "#EXT-X-SERVER-CONTROL"
            | "#EXT-X-PART-INF" => doc.constants.push(line.into()),
            "#EXT-X-MEDIA-SEQUENCE" => doc.msn = value.parse().expect("a number"),
            "#EXT-X-DISCONTINUITY-SEQUENCE" => {
                doc.dseq = value.parse().expect("a number");
                seg.dsn = doc.dseq;
            }
            "#EXT-X-DISCONTINUITY" => seg.dsn += 1,
            "#EXT-X-MAP" => seg.map = Some(attribute(line, "URI").into()),
            "#EXT-X-DATERANGE" => {
                let known = doc.ranges.insert(attribute(line, "ID").into(), line.into());
                assert_eq!(known, None, "P19: an id twice");
            }
            "#EXT-X-PROGRAM-DATE-TIME" => (seg.clock, begun) = (value.into(), true),
            "#EXT-X-PART" => seg.parts.push(value.into()),
            "#EXT-X-GAP" => seg.gap = true,
            "#EXTINF" => duration = Some(micros(value.trim_end_matches(','))),
            "#EXT-X-PRELOAD-HINT" => {
                let uri = Some(attribute(line, "URI").into());
                match attribute(line, "TYPE") {
                    "MAP" => doc.map_hint = uri,
                    _ => doc.hint = uri,
                }
            }
            "#EXT-X-ENDLIST" => doc.ended = true,
            uri => {
                assert!(uri.starts_with("v3/g"), "{uri}");
                seg.complete = Some((duration.take().expect("EXTINF before URI"), uri.into()));
                let next = Seg { dsn: seg.dsn, map: seg.map.clone(), ..Seg::default() };
                doc.segments.push(std::mem::replace(&mut seg, next));
                begun = false;
            }
        }
    }
    if begun {
        assert!(!seg.parts.is_empty(), "P07: tags of a segment without a part");
        doc.segments.push(seg);
    }
    doc
}

impl Doc {
    fn complete_micros(&self) -> i64 {
        self.segments.iter().filter_map(|s| s.complete.as_ref()).map(|c| c.0).sum()
    }

    fn real_parts(&self) -> Vec<&str> {
        let lines = self.segments.iter().flat_map(|s| &s.parts);
        lines.filter(|p| !p.contains("GAP=YES")).map(|p| attribute(p, "URI")).collect()
    }
}

fn moment(text: &str) -> Wall {
    text.parse().expect("a moment")
}

/// When a date range is over.
fn over(line: &str) -> Wall {
    moment(attribute(line, "START-DATE")).plus(micros(attribute(line, "DURATION")))
}

/// The rules for one version.
fn legal(doc: &Doc) {
    assert_eq!(doc.hint.is_none(), doc.ended, "P17");
    assert!(doc.map_hint.is_none() || !doc.ended, "P17");
    let last_map = doc.segments.last().and_then(|s| s.map.as_ref());
    assert!(doc.map_hint.is_none() || doc.map_hint.as_ref() != last_map, "a hint of what is there");
    let open = doc.segments.iter().filter(|s| s.complete.is_none()).count();
    assert!(open <= 1 && (open == 0 || doc.segments.last().is_some_and(|s| s.complete.is_none())));
    let mut parts_before = false;
    for seg in &doc.segments {
        let sum: i64 = seg.parts.iter().map(|p| micros(attribute(p, "DURATION"))).sum();
        assert!(seg.parts.iter().all(|p| micros(attribute(p, "DURATION")) <= 502_000), "P04");
        if let Some((duration, uri)) = &seg.complete {
            assert!(duration / MICROS <= 4, "P01");
            assert_eq!(seg.gap, uri.ends_with("-gap0.m4s"), "P22");
            assert!(seg.gap || seg.parts.is_empty() || sum == *duration, "P08: {seg:?}");
        }
        assert!(!(parts_before && seg.parts.is_empty() && !seg.gap), "6.2.2-M5: {seg:?}");
        parts_before |= !seg.parts.is_empty();
        assert!(!seg.clock.is_empty(), "P16");
        assert!(seg.gap || seg.map.is_some(), "a segment without an init section");
    }
}

/// 6.2.1-M10: `new` may follow `old`.
fn permitted(old: &Doc, new: &Doc) {
    assert_eq!(old.constants, new.constants, "P01, P03, P09");
    assert!(new.msn >= old.msn && new.dseq >= old.dseq, "P15");
    let last = |d: &Doc| d.msn + d.segments.len() as u64;
    assert!(last(new) >= last(old), "the end went back");
    assert!(!old.ended || old == new, "a change after ENDLIST");
    if new.msn > old.msn {
        assert!(new.complete_micros() >= 12 * MICROS, "P14");
    }
    for (i, seg) in old.segments.iter().enumerate() {
        let Some(at) = (old.msn + i as u64).checked_sub(new.msn) else { continue };
        let now = &new.segments[at as usize];
        assert_eq!((seg.dsn, &seg.map, &seg.clock), (now.dsn, &now.map, &now.clock), "P24");
        if seg.complete.is_some() {
            assert_eq!((&seg.complete, seg.gap), (&now.complete, now.gap), "P24");
            assert!(now.parts.is_empty() || now.parts == seg.parts, "P24");
        } else {
            let dropped = now.parts.is_empty() && now.complete.is_some();
            assert!(dropped || now.parts.starts_with(&seg.parts), "P24");
        }
    }
    for (id, line) in &old.ranges {
        match new.ranges.get(id) {
            Some(now) => assert_eq!(line, now, "P19"),
            None => assert!(over(line) < moment(&new.segments[0].clock), "P19: {line}"),
        }
    }
    let (before, after) = (old.real_parts(), new.real_parts());
    let overlap = before.last().and_then(|l| after.iter().position(|p| p == l));
    if let (Some(at), Some(hint)) = (overlap, &old.hint)
        && let Some(next) = after.get(at + 1)
    {
        let writer = |name: &str| name.split('-').next().map(str::to_owned);
        assert!(next == hint || writer(next) != writer(hint), "M02: {next}, not {hint}");
    }
}

/// A new init section is the one that the version before hinted, if it hinted any (6.2.6).
fn told_ahead(old: &Doc, new: &Doc) {
    let last = |d: &Doc| d.segments.last().and_then(|s| s.map.clone());
    if let (Some(hint), Some(map)) =
        (&old.map_hint, last(new).filter(|m| Some(m) != last(old).as_ref()))
    {
        assert_eq!(*hint, map, "M02");
    }
}

fn versions(tape: &Tape, view: View) -> Vec<String> {
    let mut window = Window::new(session(), TrackId::VIDEO);
    let mut out = Vec::new();
    let mut before = None;
    for step in &tape.steps {
        let changed = tell(&mut window, step).expect("a legal mark");
        if let Some(version) = playlist::render(&window, &[], true, before.as_ref()) {
            let rope = &version.forms(view).expect("both are rendered").full;
            let text = rope.concat();
            assert_eq!(changed, out.last() != Some(&text), "{step:?}");
            if changed {
                // What is taken over from the version before changes nothing.
                let alone = playlist::render(&window, &[], true, None).expect("listed");
                let alone = &alone.forms(view).expect("both are rendered").full;
                assert_eq!((rope.hash(), rope.len()), (alone.hash(), text.len()));
                assert_eq!((rope.gzip(), &text), (alone.gzip(), &alone.concat()));
                out.push(text);
            }
            merges(&window, view);
            before = Some(version);
        }
    }
    out
}

/// D13: skipped lines and update are the playlist, but for the init section in force, which the
/// update says where its first segment does not.
fn merges(window: &Window, view: View) {
    let full = render(window, view, false, &[]).expect("listed");
    let delta = render(window, view, true, &[]).expect("listed");
    let Some((_, rest)) = delta.split_once("#EXT-X-SKIP:SKIPPED-SEGMENTS=") else {
        assert_eq!(delta, full);
        return;
    };
    let (count, rest) = rest.split_once('\n').expect("a line");
    let is_range = |l: &&str| l.starts_with("#EXT-X-DATERANGE");
    let ranges: Vec<&str> = rest.lines().take_while(is_range).collect();
    assert_eq!(ranges, full.lines().filter(is_range).collect::<Vec<_>>(), "D10: they remain");
    let rest = &rest[ranges.iter().map(|l| l.len() + 1).sum()..];
    let before_uri = |l: &&str| l.starts_with('#') && !l.starts_with("#EXT-X-PART:");
    let maps = rest.lines().take_while(before_uri).filter(|l| l.starts_with("#EXT-X-MAP:"));
    assert_eq!(maps.count(), 1, "{delta}");
    let (map, after) = rest.split_once('\n').expect("a line");
    let rest = if full.ends_with(rest) { rest } else { after };
    let skipped = full.strip_suffix(rest).expect("the update ends the playlist");
    let in_force = skipped.lines().rfind(|l| l.starts_with("#EXT-X-MAP:"));
    assert!(rest != after || in_force == Some(map), "{map}");
    let uris = skipped.lines().filter(|l| !l.starts_with('#')).count();
    assert_eq!(uris.to_string(), count, "D10");
    assert!(skipped.lines().last().is_some_and(|l| !l.starts_with('#')), "cut between segments");
}

#[test]
fn only_permitted_mutations_between_any_two_versions() {
    for seed in 1..=12_u64 {
        let tape = random_session(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), seed % 2 == 0);
        for view in [View::Live, View::Dvr] {
            let texts = versions(&tape, view);
            let docs: Vec<Doc> = texts.iter().map(|t| read(t)).collect();
            assert!(docs.len() > 300, "{}", docs.len());
            docs.iter().for_each(legal);
            docs.windows(2).for_each(|pair| permitted(&pair[0], &pair[1]));
            docs.windows(2).for_each(|pair| told_ahead(&pair[0], &pair[1]));
            let mut random = Random(seed);
            for _ in 0..500 {
                let i = random.below(docs.len() as u64 - 1) as usize;
                let j = i + 1 + random.below((docs.len() - i - 1) as u64) as usize;
                permitted(&docs[i], &docs[j]);
            }
            m3u8_rs::parse_media_playlist_res(texts[texts.len() - 1].as_bytes()).expect("parses");
        }
    }
}

/// A window that read all marks and one that began later have the same live playlist and the same
/// answers.
#[test]
fn warm_and_cold_are_the_same() {
    let mut compared = 0;
    for seed in 1..=12_u64 {
        let tape = random_session(seed.wrapping_mul(0xd134_2543_de82_ef95), false);
        let warm = tape.window();
        let text = render(&warm, View::Live, false, &[]).expect("listed");
        let head = read(&text).msn;
        let mut init = None;
        for (i, step) in tape.steps.iter().enumerate() {
            match step {
                Step::Init(_) => init = Some(step.clone()),
                Step::Mark(_, Mark::SegmentStart(s)) if s.msn.0 <= head && i % 3 == 0 => {
                    // An extent begins with the cues before it that are not long over.
                    let cues = tape.steps[..i].iter().filter(|s| s.is_cue());
                    let steps = init.iter().chain(cues).chain(&tape.steps[i..]);
                    let steps: Vec<Step> = steps.cloned().collect();
                    let cold = window(&steps);
                    for skip in [false, true] {
                        let (a, b) = (
                            render(&cold, View::Live, skip, &[]),
                            render(&warm, View::Live, skip, &[]),
                        );
                        assert_eq!(a, b, "seed {seed}, from step {i}");
                    }
                    let hash = |w: &Window| {
                        let version = playlist::render(w, &[], false, None).expect("listed");
                        (version.live.full.hash(), version.live.delta.hash())
                    };
                    assert_eq!(hash(&cold), hash(&warm), "the ETag is the text's");
                    assert_eq!(cold.state(), warm.state());
                    assert_eq!(cold.position(), warm.position());
                    compared += 1;
                }
                Step::Mark(..) => {}
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

/// The differ is no fig leaf: what must not happen is found.
#[test]
fn the_differ_finds_what_is_not_permitted() {
    let tape = Tape::new().two_seconds().two_seconds().segment().part(500, true);
    let text = render(&tape.window(), View::Live, false, &[]).expect("listed");
    let old = read(&text);
    for (from, to) in [
        ("TARGETDURATION:4", "TARGETDURATION:5"),
        ("MEDIA-SEQUENCE:100", "MEDIA-SEQUENCE:99"),
        ("MEDIA-SEQUENCE:100", "MEDIA-SEQUENCE:101"),
        ("init-aa", "init-bb"),
        ("#EXTINF:2.0,", "#EXTINF:1.9,"),
        ("v3/g1-100.m4s", "v3/g2-100.m4s"),
        ("17:23:08.125Z", "17:23:08.126Z"),
        ("g1-p200.m4s\",INDEPENDENT=YES", "g1-p200.m4s\""),
        ("g1-p125.m4s", "g1-p126.m4s"),
    ] {
        let new = read(&text.replacen(from, to, 1));
        assert_ne!(old, new, "{from}");
        let found = std::panic::catch_unwind(|| permitted(&old, &new));
        assert!(found.is_err(), "{from} to {to}");
    }
    permitted(&old, &old);
}
