//! Date ranges in playlists: which are listed, in which rendition, for how long, and what a delta
//! update says of them.

use crate::base::ids::{Msn, Seq, TrackId};
use crate::base::time::Wall;
use crate::hls::cues::line;
use crate::hls::playlist::{Skip, View};
use crate::hls::tape::{Tape, form, render, session, tell};
use crate::hls::window::Window;
use crate::media::timeline::cue::Cue;
use crate::media::timeline::mark::{Mark, PartEnd, SegmentStart};

fn cue(data: &str) -> Cue {
    Cue {
        id: "ad-1".into(),
        class: "com.example.ad".into(),
        start: Wall(1_795_195_386_125_000),
        duration: 30_500_000,
        added: Wall(0),
        data: data.into(),
        repeated: false,
    }
}

/// What a page does with the attribute.
fn decoded(line: &str) -> String {
    let (_, value) = line.split_once("X-CASTCTL-DATA=\"").expect("data");
    let value = value.strip_suffix("\"\n").expect("the end");
    assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'$'), "{value}");
    let (mut out, mut rest) = (Vec::new(), value.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let hex = std::str::from_utf8(&tail[..2]).expect("two digits");
            out.push(u8::from_str_radix(hex, 16).expect("two digits"));
            rest = &tail[2..];
        } else {
            out.push(*first);
        }
    }
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn a_line_says_when_what_and_what_about() {
    assert_eq!(
        line(&cue("{\"a\": 1}")),
        "#EXT-X-DATERANGE:ID=\"ad-1\",CLASS=\"com.example.ad\",\
         START-DATE=\"2026-11-20T17:23:06.125Z\",DURATION=30.5,\
         X-CASTCTL-DATA=\"{%22a%22: 1}\"\n"
    );
    let moment = Cue { class: String::new(), duration: 0, ..cue("1") };
    assert_eq!(
        line(&moment),
        "#EXT-X-DATERANGE:ID=\"ad-1\",START-DATE=\"2026-11-20T17:23:06.125Z\",DURATION=0.0,\
         X-CASTCTL-DATA=\"1\"\n"
    );
    for data in ["\"100 % of {$x}\"", "\"\\n\\u0000ä😀\"", "[\n1,\r\n\t2\u{85}]", "\"\u{feff}\""]
    {
        assert_eq!(decoded(&line(&cue(data))), data, "{data:?}");
    }
}

/// Ids of the date ranges in a text.
fn ids(text: &str) -> Vec<&str> {
    let ranges = text.lines().filter_map(|l| l.strip_prefix("#EXT-X-DATERANGE:ID=\""));
    ranges.filter_map(|l| l.split('"').next()).collect()
}

fn shown(window: &Window, view: View, skip: Skip) -> String {
    form(window, view, skip, &[]).expect("listed")
}

#[test]
fn date_ranges_stand_before_the_first_segment_and_the_first_of_an_id_counts() {
    let tape = Tape::new().cue("early", 500).two_seconds().cue("a", 0).cue("a", 9000).segment();
    let text = render(&tape.part(500, true).window(), View::Live, false, &[]).expect("listed");
    let (head, rest) = text.split_once("#EXT-X-DATERANGE:ID=\"early\"").expect("it is there");
    assert!(head.ends_with("#EXT-X-DISCONTINUITY-SEQUENCE:0\n"), "{text}");
    let (ranges, _) = rest.split_once("#EXT-X-MAP").expect("segments follow");
    assert!(ranges.contains("ID=\"a\"") && ranges.contains("DURATION=0.0"), "{text}");
    assert_eq!(ids(&text), ["early", "a"]);
}

/// 6.2.1-M17: gone only when no date of it maps to a listed segment; the DVR playlist keeps all.
#[test]
fn a_live_playlist_loses_a_cue_after_its_last_date() {
    let mut tape = Tape::new().two_seconds().cue("moment", 0).cue("long", 40_000);
    let mut lost = Vec::new();
    for n in 1..80_u64 {
        tape = tape.two_seconds();
        let head = 100 + n.saturating_sub(30);
        let window = tape.window();
        let live = shown(&window, View::Live, Skip::No);
        assert_eq!(ids(&shown(&window, View::Dvr, Skip::No)), ["moment", "long"]);
        let now = ids(&live);
        for id in ["moment", "long"] {
            if !now.contains(&id) && !lost.iter().any(|(of, _)| *of == id) {
                lost.push((id, head));
            }
        }
        assert!(live.contains(&format!("#EXT-X-MEDIA-SEQUENCE:{head}\n")), "{n}");
    }
    // The moment is the start of 101, "long" ends with 120; a target duration is two segments.
    assert_eq!(lost, [("moment", 104), ("long", 124)]);
}

/// 6.2.4-M2i: renditions with the same first number list the same cues, though their dates differ.
#[test]
fn audio_and_video_list_the_same_cues() {
    let mut tape = Tape::new();
    for n in 0..60 {
        tape = tape.two_seconds().cue(&format!("c{n}"), i64::from(n) * 700 % 5000);
    }
    let mut video = Window::new(session(), TrackId::VIDEO);
    let mut audio = Window::new(session(), TrackId::AUDIO);
    audio.set_init("cc");
    let mut same = 0;
    for step in &tape.steps {
        tell(&mut video, step).expect("legal");
        let crate::hls::tape::Step::Mark(writer, mark) = step else { continue };
        audio.apply(*writer, mark).expect("legal");
        // Audio has the same marks; its segments begin 9 ms before video's.
        let of_audio = match mark {
            Mark::SegmentStart(s) => Some(Mark::SegmentStart(SegmentStart {
                track: TrackId::AUDIO,
                wall: s.wall.plus(-9_000),
                ..*s
            })),
            Mark::PartEnd(p) => Some(Mark::PartEnd(PartEnd { track: TrackId::AUDIO, ..*p })),
            _ => None,
        };
        if let Some(mark) = of_audio {
            audio.apply(*writer, &mark).expect("legal");
        }
        if audio.head_numbers() == video.head_numbers()
            && let Some(live) = render(&video, View::Live, false, &[])
        {
            let other = render(&audio, View::Live, false, &[]).expect("listed");
            let ranges = |text: &str| -> Vec<String> {
                text.lines().filter(|l| l.contains("DATERANGE:")).map(str::to_owned).collect()
            };
            assert_eq!(ranges(&live), ranges(&other));
            same += 1;
        }
    }
    assert!(same > 200, "{same}");
}

/// 6.2.5.1-M2, M3: what was announced more than a skip boundary ago is not repeated, what was
/// removed within one is told.
#[test]
fn an_update_without_old_date_ranges() {
    let mut tape = Tape::new().two_seconds().cue("old", 0).cue("long", 300_000);
    for _ in 0..33 {
        tape = tape.two_seconds();
    }
    tape = tape.cue("new", 0).two_seconds();
    let window = tape.window();
    // 34 segments are complete, 12 of them within 24 s; the moment at the start of 101 left with
    // 104.
    let v2 = shown(&window, View::Live, Skip::Ranges);
    let skip = v2.lines().find(|l| l.starts_with("#EXT-X-SKIP")).expect("an update");
    assert_eq!(skip, "#EXT-X-SKIP:SKIPPED-SEGMENTS=17,RECENTLY-REMOVED-DATERANGES=\"old\"", "{v2}");
    assert_eq!(ids(&v2), ["new"]);
    assert!(v2.contains("#EXT-X-VERSION:10\n"), "date ranges are left out");
    let yes = shown(&window, View::Live, Skip::Segments);
    assert_eq!(ids(&yes), ["long", "new"]);
    assert!(yes.contains("#EXT-X-VERSION:9\n") && !yes.contains("REMOVED"), "{yes}");
    let dvr = shown(&window, View::Dvr, Skip::Ranges);
    assert_eq!(ids(&dvr), ["new"]);
    assert!(dvr.contains("DATERANGES=\"\"") && dvr.contains("#EXT-X-VERSION:10\n"), "{dvr}");
    assert_eq!(ids(&shown(&window, View::Dvr, Skip::Segments)), ["old", "long", "new"]);
    // Long after: nothing is new, nothing was removed lately.
    for _ in 0..60 {
        tape = tape.two_seconds();
    }
    let later = shown(&tape.window(), View::Live, Skip::Ranges);
    assert!(later.contains("RECENTLY-REMOVED-DATERANGES=\"\"\n"), "{later}");
    assert_eq!(ids(&later), [""; 0]);
    assert!(later.contains("#EXT-X-VERSION:10\n"), "\"long\" is left out");
    // Without cues an update that may skip them needs no more than one that may not.
    let mut bare = Tape::new();
    for _ in 0..20 {
        bare = bare.two_seconds();
    }
    let bare = shown(&bare.window(), View::Live, Skip::Ranges);
    assert!(bare.contains("#EXT-X-VERSION:9\n"), "{bare}");
}

/// A day of cues, one a minute, costs the DVR playlist's versions what is new.
#[test]
fn many_cues_are_listed_whole_in_the_dvr_playlist() {
    let mut tape = Tape::new();
    for n in 0..400 {
        tape = tape.gap(2000).cue(&format!("c{n}"), 0);
    }
    let window = tape.window();
    let dvr = shown(&window, View::Dvr, Skip::No);
    let want: Vec<String> = (0..400).map(|n| format!("c{n}")).collect();
    assert_eq!(ids(&dvr), want);
    let live = shown(&window, View::Live, Skip::No);
    assert_eq!(ids(&live).len(), 33, "60 s, and a target duration before");
}

/// A session of the renderer's first version has none of it.
#[test]
fn sessions_of_the_first_version_stay_as_they_were() {
    let mut record = (*session()).clone();
    record.render = 1;
    let mut window = Window::new(record.into(), TrackId::VIDEO);
    let tape = Tape::new();
    for step in &(0..20).fold(tape, |tape, _| tape.two_seconds()).steps {
        tell(&mut window, step).expect("legal");
    }
    assert!(!window.set_init("bb"), "not hinted");
    let yes = shown(&window, View::Live, Skip::Segments);
    assert!(!yes.contains("CAN-SKIP-DATERANGES") && yes.contains("CAN-SKIP-UNTIL=24.0\n"), "{yes}");
    assert_eq!(shown(&window, View::Live, Skip::Ranges), yes);
    let next = SegmentStart {
        track: TrackId::VIDEO,
        msn: Msn(120),
        dseq: 1,
        discontinuity: true,
        independent: true,
        wall: Wall(0),
        first_seq: Seq(2000),
    };
    let writer = crate::hls::tape::origin(1);
    window.apply(writer, &Mark::SegmentStart(next)).expect("legal");
    assert!(!shown(&window, View::Live, Skip::No).contains("TYPE=MAP"));
}
