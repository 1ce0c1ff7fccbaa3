//! Moments and the playlists that begin with them: held against the DVR playlist of the same
//! version, whatever happened before and since.

use super::*;
use crate::base::time::MICROS;
use crate::hls::playlist::{Skip, Version, render};
use crate::hls::tape::{Step, Tape, tell, window};
use crate::media::timeline::mark::LastSegment;

/// The tape's zero.
const BEGIN: i64 = 1_795_195_386_125_000;

fn at(seconds: f64) -> Wall {
    Wall(BEGIN + (seconds * MICROS as f64) as i64)
}

fn found(window: &Window, seconds: f64) -> Option<u64> {
    match window.moment(at(seconds)) {
        Found::Segment(msn) => Some(msn.0),
        Found::Soon => None,
        Found::Beyond => Some(0),
    }
}

#[test]
fn a_moment_is_in_the_segment_that_began_last() {
    // 100 to 103, of 2 s each; 104 is open.
    let tape = Tape::new().two_seconds().two_seconds().two_seconds().two_seconds();
    let window = tape.segment().part(500, true).window();
    for (seconds, msn) in [
        (-9.0, Some(100)),
        (0.0, Some(100)),
        (1.999, Some(100)),
        (2.0, Some(101)),
        (7.9, Some(103)),
        (8.0, None),
        (8.4, None),
        (8.5, Some(0)),
        (99.0, Some(0)),
    ] {
        assert_eq!(found(&window, seconds), msn, "{seconds}");
    }
    // A date in a playlist has no more than milliseconds: it leads to its own segment.
    let date = window.date(Msn(101)).expect("complete");
    assert_eq!(window.moment(Wall(date.0 / 1_000 * 1_000)), Found::Segment(Msn(101)));
}

#[test]
fn a_playlist_begins_where_a_decoder_can_and_with_media() {
    let dependent = |tape: Tape| tape.dependent().part(1_000, false);
    let tape = dependent(dependent(Tape::new().two_seconds())).gap(2_000).gap(2_000);
    // 100 with a key frame, 101 and 102 without, gaps 103 and 104, 105 after a discontinuity.
    let tape = tape.cut().part(1_000, true).two_seconds();
    for (seconds, msn) in [(2.5, 100), (3.5, 100), (4.5, 105), (7.0, 105), (8.2, 105), (9.5, 106)] {
        let window = tape.clone().segment().part(500, true).window();
        assert_eq!(found(&window, seconds), Some(msn), "{seconds}");
    }
    // Nothing has come after the gap, and nothing will.
    let away = Tape::new().two_seconds().gap(2_000).gap(2_000);
    assert_eq!(found(&away.clone().window(), 3.0), Some(0));
    assert_eq!(found(&away.clone().over().window(), 3.0), Some(0));
    assert_eq!(found(&away.cut().part(500, true).window(), 3.0), None);
}

#[test]
fn a_range_ends_with_the_last_media_before_its_end() {
    let tape = Tape::new().two_seconds().two_seconds().gap(2_000).cut().part(500, true);
    let (open, over) = (tape.clone().window(), tape.over().window());
    for (seconds, want) in [
        (-1.0, Until::Nothing),
        (0.0, Until::Nothing),
        (0.1, Until::Segment(Msn(100))),
        (2.0, Until::Segment(Msn(100))),
        (2.1, Until::Segment(Msn(101))),
        (5.9, Until::Segment(Msn(101))),
    ] {
        assert_eq!(open.until(at(seconds)), want, "{seconds}");
        assert_eq!(over.until(at(seconds)), want, "{seconds}");
    }
    assert_eq!(open.until(at(6.1)), Until::NotYet);
    assert_eq!(over.until(at(6.1)), Until::Segment(Msn(103)));
    assert_eq!(over.until(at(999.0)), Until::Segment(Msn(103)));
}

/// What a broadcast may be like, long enough that blocks are made of it.
fn long() -> Vec<Step> {
    let mut tape = Tape::new();
    for n in 0..330 {
        tape = match n {
            20 => tape.cue("goal", 4_000).two_seconds(),
            40 | 41 => tape.gap(2_000),
            42 => tape.cut().part(500, true).part(500, false),
            90 => tape.init("bb").two_seconds(),
            150 => tape.next_generation(LastSegment::Complete, 3).init("cc").cut().part(500, true),
            200 => tape.dependent().part(1_000, false),
            _ => tape.two_seconds(),
        };
    }
    tape.over().steps
}

/// The lines of the segments from `msn` on, and what follows them.
fn lines(dvr: &str, first: u64, msn: u64) -> &str {
    let body = dvr.find("#EXT-X-MAP").unwrap_or_default();
    let skipped: usize = dvr[body..]
        .split_inclusive('\n')
        .scan(first, |next, line| {
            let before = *next < msn;
            *next += u64::from(!line.starts_with('#'));
            before.then_some(line.len())
        })
        .sum();
    &dvr[body + skipped..]
}

fn check(version: &Version, start: &mut Start, before: Option<&Forms>) -> Option<Forms> {
    let whole = version.whole.as_ref().expect("asked for");
    let dvr = version.dvr.as_ref().expect("asked for");
    let forms = start.forms(whole, before)?;
    let (text, msn) = (forms.full.concat(), start.msn);
    let name = format!("from-{msn}.m3u8");
    let same = lines(&dvr.full.concat(), 100, msn.0).replace("dvr.m3u8", &name);
    let same = same[body_at(&same)..].to_owned();
    assert!(text.ends_with(&same), "{msn}: {text}\n\n{same}");
    let head = &text[..text.len() - same.len()];
    let parsed = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect("a playlist");
    assert_eq!(parsed.media_sequence, msn.0);
    assert!(head.contains(BEGINS) && head.contains("#EXT-X-MAP:URI="), "{head}");
    assert_eq!(head.lines().filter(|l| !l.starts_with('#')).count(), 0, "{head}");
    // With the lines that it skips, an update is the playlist.
    let delta = forms.delta.concat();
    if let Some((update, rest)) = delta.split_once("#EXT-X-SKIP:SKIPPED-SEGMENTS=") {
        let (count, rest) = rest.split_once('\n').expect("a line");
        assert!(text.starts_with(&update.replace("VERSION:9", "VERSION:6")), "{update}");
        let skipped = msn.0 + count.parse::<u64>().expect("a number");
        let ends = lines(&dvr.full.concat(), 100, skipped).replace("dvr.m3u8", &name);
        assert!(rest.ends_with(&ends), "{delta}");
        let v2 = forms.delta_v2.concat();
        assert!(v2.ends_with(&ends) && v2.contains("RECENTLY-REMOVED-DATERANGES"), "{v2}");
    }
    Some(forms)
}

#[test]
fn a_playlist_is_the_dvr_playlist_from_its_segment_on_in_every_version() {
    let steps = long();
    let mut window = window(&steps[..40]);
    let firsts = [100_u64, 101, 127, 128, 140, 142, 143, 190, 191, 250, 253, 256, 300, 431];
    let mut kept: Vec<(Start, Option<Forms>)> = Vec::new();
    let other = Position { msn: Msn(7), part: Some(1) };
    let reports = [Report { rendition: "audio", position: other }];
    let mut version = None;
    for (n, step) in steps.iter().enumerate().skip(40) {
        tell(&mut window, step).expect("it fits");
        let last = n + 1 == steps.len();
        if n % 7 != 0 && !last {
            continue;
        }
        let new = render(&window, &reports, true, version.as_ref()).expect("listed");
        for first in firsts {
            let known = kept.iter().any(|(start, _)| start.msn.0 == first);
            if !known && let Some(start) = window.start(Msn(first)) {
                kept.push((start, None));
            }
        }
        for (start, before) in &mut kept {
            let forms = check(&new, start, before.as_ref()).expect("once listed, for ever");
            // Who begins with this version gets the same bytes and the same ETag.
            let mut fresh = window.start(start.msn).expect("listed");
            let again = check(&new, &mut fresh, None).expect("listed");
            assert_eq!(again.full.hash(), forms.full.hash(), "{}", start.msn);
            assert_eq!(again.get(Skip::Ranges).hash(), forms.delta_v2.hash(), "{}", start.msn);
            *before = Some(forms);
        }
        version = Some(new);
    }
    assert_eq!(kept.len(), firsts.len(), "all were listed");
}

#[test]
fn blocks_are_the_dvr_playlists_and_nothing_is_compressed_twice() {
    let steps = long();
    let mut window = window(&steps[..steps.len() - 9]);
    let first = render(&window, &[], true, None).expect("listed");
    let dvr = first.dvr.as_ref().expect("asked for");
    let mut start = window.start(Msn(140)).expect("listed");
    let forms = start.forms(first.whole.as_ref().expect("asked for"), None).expect("listed");
    let blocks =
        |rope: &Rope| -> Vec<*const u8> { rope.strands().map(|s| s.text().as_ptr()).collect() };
    let (mine, its) = (blocks(&forms.full), blocks(&dvr.full));
    let copied = mine.iter().filter(|at| !its.contains(at)).count();
    // Header, lead, tail, and the block that it begins in, which is a slice.
    assert_eq!(copied, 4, "of {}", mine.len());
    dvr.full.gzip();
    assert!(forms.full.unpacked() < 17 << 10, "{}", forms.full.unpacked());
    forms.full.gzip();
    for step in &steps[steps.len() - 9..steps.len() - 1] {
        tell(&mut window, step).expect("it fits");
    }
    let next = render(&window, &[], true, Some(&first)).expect("listed");
    next.dvr.as_ref().expect("asked for").full.gzip();
    let forms = start.forms(next.whole.as_ref().expect("asked for"), Some(&forms));
    let left = forms.expect("listed").full.unpacked();
    assert!(left < 1 << 10, "{left} bytes, of a tail and a header");
}
