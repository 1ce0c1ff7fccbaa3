//! Golden playlists: exact text for what happens in the life of a session.

use super::*;
use crate::base::ids::Msn;
use crate::hls::tape::{Tape, render};
use crate::media::timeline::mark::LastSegment;

const HEAD: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n\
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,\
    PART-HOLD-BACK=1.506,HOLD-BACK=12.0,CAN-SKIP-UNTIL=24.0,CAN-SKIP-DATERANGES=YES\n\
    #EXT-X-PART-INF:PART-TARGET=0.502\n";

fn live(tape: &Tape) -> String {
    let text = render(&tape.window(), View::Live, false, &[]).expect("listed");
    let parsed = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect("parses back");
    assert_eq!(parsed.version, Some(6));
    assert_eq!(parsed.target_duration, 4);
    text
}

#[track_caller]
fn golden(tape: &Tape, after_head: &str) {
    let want = format!("{HEAD}{after_head}");
    assert_eq!(live(tape), want);
}

/// `parts(g, from, n)`: lines of n parts of 500 ms (25 samples each), the first independent.
fn parts(writer: u64, from: u64, n: u64) -> String {
    let line = |i| {
        let independent = if i == 0 { ",INDEPENDENT=YES" } else { "" };
        format!(
            "#EXT-X-PART:DURATION=0.5,URI=\"v3/g{writer}-p{}.m4s\"{independent}\n",
            from + 25 * i
        )
    };
    (0..n).map(line).collect()
}

#[test]
fn nothing_is_listed_before_the_first_part() {
    assert_eq!(render(&Tape::new().window(), View::Live, false, &[]), None);
    assert_eq!(render(&Tape::new().segment().window(), View::Live, false, &[]), None);
}

#[test]
fn an_open_segment_alone_is_a_playlist() {
    let tape = Tape::new().segment().part(500, true).part(500, false);
    let want = "#EXT-X-MEDIA-SEQUENCE:100\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n\
        #EXT-X-MAP:URI=\"v3/init-aa.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:06.125Z\n"
        .to_owned()
        + &parts(1, 0, 2)
        + "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v3/g1-p50.m4s\"\n";
    golden(&tape, &want);
}

#[test]
fn normal_play_and_reports() {
    let window = Tape::new().two_seconds().two_seconds().segment().part(480, true).window();
    let at = |msn, part| Position { msn: Msn(msn), part };
    let reports = [
        Report { rendition: "audio", position: at(102, Some(1)) },
        Report { rendition: "late", position: at(101, None) },
    ];
    let text = render(&window, View::Live, false, &reports).expect("listed");
    let want = format!(
        "{HEAD}#EXT-X-MEDIA-SEQUENCE:100\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n\
        #EXT-X-MAP:URI=\"v3/init-aa.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:06.125Z\n{}\
        #EXTINF:2.0,\nv3/g1-100.m4s\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:08.125Z\n{}\
        #EXTINF:2.0,\nv3/g1-101.m4s\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:10.125Z\n\
        #EXT-X-PART:DURATION=0.48,URI=\"v3/g1-p200.m4s\",INDEPENDENT=YES\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v3/g1-p224.m4s\"\n\
        #EXT-X-RENDITION-REPORT:URI=\"../audio/index.m3u8\",LAST-MSN=102,LAST-PART=1\n\
        #EXT-X-RENDITION-REPORT:URI=\"../late/index.m3u8\",LAST-MSN=101,LAST-PART=0\n",
        parts(1, 0, 4),
        parts(1, 100, 4),
    );
    assert_eq!(text, want);
    let dvr = render(&window, View::Dvr, false, &reports[..1]).expect("listed");
    assert!(dvr.ends_with("URI=\"../audio/dvr.m3u8\",LAST-MSN=102,LAST-PART=1\n"), "{dvr}");
}

/// A GOP of 4 s in segments of 2 s: the second segment says nothing of independence.
#[test]
fn a_long_gop_is_told_truthfully() {
    let tape = Tape::new().segment().part(500, true).dependent().part(500, false).part(500, true);
    golden(
        &tape,
        "#EXT-X-MEDIA-SEQUENCE:100\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n\
        #EXT-X-MAP:URI=\"v3/init-aa.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:06.125Z\n\
        #EXT-X-PART:DURATION=0.5,URI=\"v3/g1-p0.m4s\",INDEPENDENT=YES\n\
        #EXTINF:0.5,\nv3/g1-100.m4s\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:06.625Z\n\
        #EXT-X-PART:DURATION=0.5,URI=\"v3/g1-p25.m4s\"\n\
        #EXT-X-PART:DURATION=0.5,URI=\"v3/g1-p50.m4s\",INDEPENDENT=YES\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v3/g1-p75.m4s\"\n",
    );
}

/// The encoder goes away in the middle of a segment and comes back with other parameters.
#[test]
fn a_gap_and_the_return() {
    let away = Tape::new()
        .segment()
        .part(500, true)
        .gap_part(500, false)
        .gap_part(500, true)
        .gap_part(500, false)
        .gap_complete(1000)
        .gap(2000);
    let listed = "#EXT-X-MEDIA-SEQUENCE:100\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n\
        #EXT-X-MAP:URI=\"v3/init-aa.mp4\"\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:06.125Z\n\
        #EXT-X-PART:DURATION=0.5,URI=\"v3/g1-p0.m4s\",INDEPENDENT=YES\n\
        #EXT-X-PART:DURATION=0.5,URI=\"v3/g1-100-gap2.m4s\",GAP=YES\n\
        #EXTINF:1.0,\nv3/g1-100.m4s\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:07.125Z\n\
        #EXT-X-PART:DURATION=0.5,URI=\"v3/g1-101-gap1.m4s\",GAP=YES\n\
        #EXT-X-PART:DURATION=0.5,URI=\"v3/g1-101-gap2.m4s\",GAP=YES\n\
        #EXT-X-GAP\n#EXTINF:1.0,\nv3/g1-101-gap0.m4s\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:08.125Z\n\
        #EXT-X-GAP\n#EXTINF:2.0,\nv3/g1-102-gap0.m4s\n";
    golden(&away, &format!("{listed}#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v3/g1-p25.m4s\"\n"));
    let back = away.init("bb").cut().part(500, true);
    golden(
        &back,
        &format!(
            "{listed}#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"v3/init-bb.mp4\"\n\
            #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:10.125Z\n\
            #EXT-X-PART:DURATION=0.5,URI=\"v3/g1-p25.m4s\",INDEPENDENT=YES\n\
            #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v3/g1-p50.m4s\"\n"
        ),
    );
}

const FIRST: &str = "#EXT-X-MEDIA-SEQUENCE:100\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n\
    #EXT-X-MAP:URI=\"v3/init-aa.mp4\"\n\
    #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:06.125Z\n\
    #EXT-X-PART:DURATION=0.5,URI=\"v3/g1-p0.m4s\",INDEPENDENT=YES\n";

/// The open segment is listed with its marked parts; the numbers up to the new base have no marks
/// and share the time.
#[test]
fn a_new_generation_after_a_short_end() {
    let before = Tape::new().segment().part(500, true);
    let tape = before.clone().next_generation(LastSegment::Short, 2);
    let hint = |g, seq| format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v3/g{g}-p{seq}.m4s\"\n");
    golden(&before, &format!("{FIRST}{}", hint(1, 25)));
    golden(&tape, &format!("{FIRST}#EXTINF:0.5,\nv3/g1-100.m4s\n{}", hint(2, 0)));
    let tape = tape.pause(5000).cut().part(500, true);
    golden(
        &tape,
        &format!(
            "{FIRST}#EXTINF:0.5,\nv3/g1-100.m4s\n\
            #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:06.625Z\n\
            #EXT-X-GAP\n#EXTINF:2.5,\nv3/g2-101-gap0.m4s\n\
            #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:09.125Z\n\
            #EXT-X-GAP\n#EXTINF:2.5,\nv3/g2-102-gap0.m4s\n\
            #EXT-X-DISCONTINUITY\n\
            #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:11.625Z\n\
            #EXT-X-PART:DURATION=0.5,URI=\"v3/g2-p0.m4s\",INDEPENDENT=YES\n{}",
            hint(2, 25)
        ),
    );
}

/// What was listed of a lost segment stays; the segment is a gap, as long as the new writer says,
/// or as its parts.
#[test]
fn a_new_generation_after_a_lost_segment() {
    let lost = Tape::new().segment().part(500, true).next_generation(LastSegment::Lost, 0);
    let mut told = lost.clone().pause(1500);
    told.gap_mark(100, None, 2000, told.wall - 2_000_000);
    for (tape, duration, clock) in
        [(told, "2.0", "17:23:08.125Z"), (lost.pause(1500), "0.5", "17:23:08.125Z")]
    {
        golden(
            &tape.cut().part(500, true),
            &format!(
                "{FIRST}#EXT-X-GAP\n#EXTINF:{duration},\nv3/g1-100-gap0.m4s\n\
                #EXT-X-DISCONTINUITY\n\
                #EXT-X-PROGRAM-DATE-TIME:2026-11-20T{clock}\n\
                #EXT-X-PART:DURATION=0.5,URI=\"v3/g2-p0.m4s\",INDEPENDENT=YES\n\
                #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v3/g2-p25.m4s\"\n"
            ),
        );
    }
}

#[test]
fn the_end_of_a_session_closes_and_has_no_hint() {
    let tape = Tape::new().segment().part(500, true).over();
    let want = format!("{HEAD}{FIRST}#EXTINF:0.5,\nv3/g1-100.m4s\n#EXT-X-ENDLIST\n");
    assert_eq!(live(&tape), want);
    // D12: directives mean nothing any more.
    assert_eq!(render(&tape.window(), View::Live, true, &[]), Some(want));
}

/// 40 segments of 2 s: the window is the last 30 (60 s), parts are on the last 6 (12 s), a delta
/// keeps the last 12 (24 s).
#[test]
fn window_parts_and_delta_update() {
    let mut tape = Tape::new();
    for n in 0..40 {
        tape = if n == 20 { tape.init("bb").cut() } else { tape.segment() };
        tape = tape.part(500, true).part(500, false).part(500, false).part(500, false);
    }
    let window = tape.segment().window();
    let full = render(&window, View::Live, false, &[]).expect("listed");
    assert!(full.starts_with(&format!(
        "{HEAD}#EXT-X-MEDIA-SEQUENCE:110\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n\
        #EXT-X-MAP:URI=\"v3/init-aa.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:26.125Z\n\
        #EXTINF:2.0,\nv3/g1-110.m4s\n"
    )));
    assert_eq!(full.matches("#EXTINF:").count(), 30);
    assert_eq!(full.matches("#EXT-X-PART:").count(), 7 * 4, "ends at most 12 s before the end");
    assert_eq!(full.matches("#EXT-X-MAP:").count(), 2);
    let delta = render(&window, View::Live, true, &[]).expect("listed");
    let (head, rest) = delta.split_once("#EXT-X-SKIP:SKIPPED-SEGMENTS=17\n").expect("a skip");
    let full_head = format!("{HEAD}#EXT-X-MEDIA-SEQUENCE:110\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n");
    assert_eq!(head, full_head.replace("VERSION:6", "VERSION:9"));
    // The init section in force is said; D13: the skipped lines and the rest are the playlist.
    let map = "#EXT-X-MAP:URI=\"v3/init-bb.mp4\"\n";
    let rest = rest.strip_prefix(map).expect("in force");
    assert!(full.ends_with(rest));
    assert!(rest.starts_with("#EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:24:00.125Z\n"), "{rest}");
    let dvr = render(&window, View::Dvr, true, &[]).expect("listed");
    assert!(dvr.contains("#EXT-X-MEDIA-SEQUENCE:100\n"));
    assert!(dvr.ends_with(&format!("#EXT-X-SKIP:SKIPPED-SEGMENTS=27\n{map}{rest}")));
}

/// A delta that would skip nothing is the full playlist: SKIPPED-SEGMENTS=0 confuses players.
#[test]
fn a_short_playlist_has_no_delta() {
    let window = Tape::new().two_seconds().segment().window();
    let full = render(&window, View::Live, false, &[]);
    assert_eq!(render(&window, View::Live, true, &[]), full);
}

/// The head's discontinuity number stays what it was, whether its tag is still there or not.
#[test]
fn the_discontinuity_sequence_counts_what_left() {
    let mut tape = Tape::new().two_seconds().cut();
    tape = tape.part(500, true).part(500, false).part(500, false).part(500, false);
    let at = |tape: &Tape| {
        let text = live(tape);
        let parsed = m3u8_rs::parse_media_playlist_res(text.as_bytes()).expect("parses back");
        (parsed.media_sequence, parsed.discontinuity_sequence, parsed.segments[0].discontinuity)
    };
    assert_eq!(at(&tape), (100, 0, false));
    for _ in 0..29 {
        tape = tape.two_seconds();
    }
    assert_eq!(at(&tape.clone().segment()), (101, 0, true));
    assert_eq!(at(&tape.two_seconds().segment()), (102, 1, false));
}
