//! What a window answers and refuses.

use crate::base::ids::{Generation, Msn, Seq, Session, TrackId};
use crate::base::time::Wall;
use crate::hls::error::MarkError;
use crate::hls::lookup::{Lookup, Media, Position};
use crate::hls::name::File;
use crate::hls::playlist::View;
use crate::hls::reload::State;
use crate::hls::tape::{Step, Tape, origin, render, session, tell};
use crate::hls::window::{BREAKS_MAX, HOLE_MAX, Window};
use crate::media::timeline::mark::{
    End, GenerationStart, LastSegment, Mark, PartEnd, SegmentStart,
};

fn fate<T>(lookup: Lookup<T>) -> &'static str {
    match lookup {
        Lookup::Found(_) => "found",
        Lookup::Future => "future",
        Lookup::Never => "never",
        Lookup::Elsewhere => "elsewhere",
    }
}

#[test]
fn as_many_discontinuities_as_are_believed_and_no_more() {
    for (breaks, said) in
        [(BREAKS_MAX, None), (BREAKS_MAX + 1, Some("segment 101: discontinuity number 17 after 0"))]
    {
        let mut tape = Tape::new().two_seconds();
        let mut window = tape.window();
        tape.dseq += breaks;
        let tape = tape.segment().part(500, true);
        let start = &tape.steps[tape.steps.len() - 2..];
        let told = tell(&mut window, &start[0]).map_err(|e| e.to_string());
        assert_eq!(told.err().as_deref(), said, "{breaks}");
        if said.is_none() {
            tell(&mut window, &start[1]).expect("its part");
            let text = render(&window, View::Live, false, &[]).expect("listed");
            let tags = text.lines().filter(|l| *l == "#EXT-X-DISCONTINUITY").count();
            assert_eq!(tags as u64, BREAKS_MAX);
        }
    }
}

#[test]
fn names_are_found_held_or_refused() {
    // 100: parts p0 p25 p50 p75. 101: whole gap. 102: p100, then a gap part.
    // Generation 2: 103 with p0, open.
    let window = Tape::new()
        .two_seconds()
        .gap(2000)
        .cut()
        .part(500, true)
        .gap_part(500, false)
        .next_generation(LastSegment::Short, 0)
        .cut()
        .part(500, true)
        .window();
    for (writer, seq, want) in [
        (1, 0, "found"),
        (1, 75, "found"),
        (1, 1, "never"),
        (1, 100, "found"),
        (1, 125, "never"), // hinted by writer 1 and given up
        (2, 0, "found"),
        (2, 1, "never"),
        (2, 25, "future"), // the hint
        (2, 50, "future"),
        (2, 100_000, "never"),
        (3, 0, "future"),
        (6, 0, "never"),
        (0, 0, "never"),
    ] {
        let got = fate(window.part(origin(writer), Seq(seq)));
        assert_eq!(got, want, "part g{writer}-p{seq}");
    }
    for (writer, msn, want) in [
        (1, 100, "found"),
        (2, 100, "never"),
        (1, 101, "never"),
        (1, 102, "found"),
        (2, 103, "future"),
        (1, 103, "never"),
        (2, 106, "future"),
        (2, 107, "never"),
        (3, 104, "future"),
        (3, 190, "future"), // it may begin far ahead
        (1, 99, "never"),
    ] {
        let got = fate(window.segment(origin(writer), Msn(msn)));
        assert_eq!(got, want, "segment g{writer}-{msn}");
    }
    let Lookup::Found(Media { msn, init, parts, .. }) = window.part(origin(1), Seq(50)) else {
        panic!("listed");
    };
    assert_eq!((msn, &**init, parts.map(<[_]>::len)), (Msn(100), "aa", Some(1)));
    let part = parts.expect("of today")[0];
    assert_eq!((part.first, part.last, part.decode_time), (Seq(50), Seq(74), 1000));
    assert_eq!((part.duration, part.sequence()), (500_000, 51));
    let Lookup::Found(Media { parts, .. }) = window.segment(origin(1), Msn(102)) else {
        panic!("listed");
    };
    let gaps: Vec<bool> = parts.expect("of today").iter().map(|p| p.gap).collect();
    assert_eq!(gaps, [false, true]);
}

#[test]
fn everything_stays_found_after_it_left_the_live_window() {
    let mut tape = Tape::new();
    for _ in 0..100 {
        tape = tape.two_seconds();
    }
    let window = tape.over().window();
    for n in 0..100 {
        assert_eq!(fate(window.segment(origin(1), Msn(100 + n))), "found");
        assert_eq!(fate(window.part(origin(1), Seq(100 * n + 75))), "found");
    }
    assert_eq!(fate(window.segment(origin(1), Msn(200))), "never", "the session is over");
    assert_eq!(fate(window.part(origin(1), Seq(10_000))), "never");
}

#[test]
fn position_state_and_hint_follow_the_marks() {
    let file = |writer, seq| Some(File::Part { writer: origin(writer), seq: Seq(seq) });
    let at = |msn, part| Some(Position { msn: Msn(msn), part });
    let one = Tape::new().segment().part(500, true);
    for (name, tape, position, next, parts, hint) in [
        ("nothing", Tape::new(), None, None, (0, 0), file(1, 0)),
        ("started", Tape::new().segment(), None, None, (0, 0), file(1, 0)),
        ("one part", one.clone(), at(100, Some(0)), Some(100), (1, 0), file(1, 25)),
        ("next", one.clone().segment(), at(100, Some(0)), Some(101), (0, 1), file(1, 25)),
        (
            "gap part",
            one.clone().gap_part(500, false),
            at(100, Some(1)),
            Some(100),
            (2, 0),
            file(1, 25),
        ),
        ("gap", one.clone().gap(2000), at(101, None), Some(102), (0, 0), file(1, 25)),
        (
            "new generation",
            one.clone().next_generation(LastSegment::Short, 0),
            at(100, Some(0)),
            Some(101),
            (0, 1),
            file(2, 0),
        ),
        ("over", one.over(), at(100, Some(0)), Some(101), (0, 1), None),
    ] {
        let window = tape.window();
        assert_eq!(window.position(), position, "{name}");
        assert_eq!(window.hint(), hint, "{name}");
        let state = State {
            next: next.map(Msn),
            next_parts: parts.0,
            last_parts: parts.1,
            ended: name == "over",
            part_target: 502_000,
        };
        assert_eq!(window.state(), state, "{name}");
    }
}

/// `apply` says true exactly when the text is different.
#[test]
fn changes_are_told_truthfully() {
    let tape = Tape::new()
        .two_seconds()
        .segment()
        .part(500, true)
        .gap_part(500, false)
        .gap(2000)
        .init("bb")
        .cut()
        .part(500, true)
        .next_generation(LastSegment::Lost, 3)
        .pause(9000)
        .cut()
        .part(500, true)
        .over();
    let mut window = Window::new(session(), TrackId::VIDEO);
    let mut text = None;
    for step in &tape.steps {
        let changed = tell(&mut window, step).expect("legal");
        let now = render(&window, View::Live, false, &[]);
        assert_eq!(changed, now != text, "{step:?}");
        text = now;
    }
}

#[test]
fn a_log_may_be_joined_in_the_middle() {
    let tape = Tape::new().two_seconds().two_seconds().two_seconds().segment().part(500, true);
    // The generation mark, the init section, the segment start and two of its parts are missed.
    let mut window = Window::new(session(), TrackId::VIDEO);
    window.set_init("aa");
    for step in &tape.steps[5..] {
        tell(&mut window, step).expect("legal");
    }
    let text = render(&window, View::Live, false, &[]).expect("listed");
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:101\n"), "{text}");
    assert!(text.ends_with("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v3/g1-p325.m4s\"\n"), "{text}");
}

#[test]
fn broken_marks_are_refused_and_change_nothing() {
    let tape = Tape::new().two_seconds().cut().part(500, true);
    let start = SegmentStart {
        track: TrackId::VIDEO,
        msn: Msn(102),
        dseq: 1,
        discontinuity: false,
        independent: true,
        wall: Wall(tape.wall),
        first_seq: Seq(125),
    };
    let part = PartEnd {
        track: TrackId::VIDEO,
        msn: Msn(101),
        part: 1,
        first_seq: Seq(125),
        last_seq: Seq(149),
        decode_time: 0,
        duration: 500_000,
        independent: false,
    };
    let over =
        End { msn: Msn(101), dseq: 1, wall: Wall(0), tracks: Vec::new(), session_over: true };
    let other = GenerationStart {
        session: Session(8),
        generation: Generation(2),
        job: None,
        base: Msn(102),
        dseq: 1,
        previous: None,
    };
    let msn = |got| MarkError::Msn { got: Msn(got), want: Msn(102) };
    let dseq = |got| MarkError::Dseq { msn: Msn(102), got, have: 1 };
    let bad = |part| MarkError::Part { msn: Msn(101), part };
    let seg = |f: fn(&mut SegmentStart)| {
        let mut s = start;
        f(&mut s);
        Mark::SegmentStart(s)
    };
    let end = |f: fn(&mut PartEnd)| {
        let mut p = part;
        f(&mut p);
        Mark::PartEnd(p)
    };
    for (mark, want) in [
        (seg(|s| s.msn = Msn(101)), msn(101)),
        (seg(|s| s.msn = Msn(103 + HOLE_MAX)), msn(103 + HOLE_MAX)),
        (seg(|s| s.msn = Msn(u64::MAX)), msn(u64::MAX)),
        (seg(|s| s.dseq = 0), dseq(0)),
        (seg(|s| s.dseq = 99), dseq(99)),
        (seg(|s| s.first_seq = Seq(124)), MarkError::Part { msn: Msn(102), part: 0 }),
        (end(|p| p.part = 0), bad(0)),
        (end(|p| p.part = 2), bad(2)),
        (end(|p| p.first_seq = Seq(100)), bad(1)),
        (end(|p| p.last_seq = Seq(124)), bad(1)),
        (end(|p| p.duration = -1), bad(1)),
        (end(|p| p.msn = Msn(102)), MarkError::Part { msn: Msn(102), part: 1 }),
        (Mark::Generation(other), MarkError::OtherSession { got: Session(8), have: Session(7) }),
    ] {
        let mut window = tape.window();
        let before = render(&window, View::Dvr, false, &[]);
        assert_eq!(window.apply(origin(1), &mark), Err(want), "{mark:?}");
        assert_eq!(render(&window, View::Dvr, false, &[]), before, "{mark:?}");
    }
    let mut window = tape.window();
    let stale = MarkError::Stale { got: origin(0), have: origin(1) };
    assert_eq!(window.apply(origin(0), &Mark::PartEnd(part)), Err(stale));
    window.apply(origin(1), &Mark::End(over)).expect("legal");
    assert_eq!(window.apply(origin(1), &Mark::PartEnd(part)), Err(MarkError::AfterEnd));
    let mut bare = Window::new(session(), TrackId::VIDEO);
    let refused = bare.apply(origin(1), &Mark::SegmentStart(start));
    assert_eq!(refused, Err(MarkError::NoInit(Msn(102))));
    let audio = PartEnd { track: TrackId::AUDIO, ..part };
    assert_eq!(bare.apply(origin(1), &Mark::PartEnd(audio)), Ok(false), "another track");
    assert!(matches!(tape.steps[0], Step::Mark(..)));
}

#[test]
fn the_registrys_word_ends_a_session_whose_last_record_is_missing() {
    let mut window = Tape::new().two_seconds().cut().part(500, true).window();
    assert!(window.end_session(origin(1)));
    let text = render(&window, View::Live, false, &[]).expect("listed");
    assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
    assert_eq!(text.matches("#EXTINF").count(), 2, "what was open is listed with its parts");
    assert!(!window.end_session(origin(1)), "once");
    let mut newer = Tape::new().two_seconds().next_generation(LastSegment::Short, 0).window();
    assert!(!newer.end_session(origin(1)), "a newer writer goes on");
}

/// A writer that could not be asked had listed media whose dates ran ahead of the next one's clock.
#[test]
fn dates_do_not_go_back_where_numbers_were_passed_over() {
    for ahead in [0, 3, 200, 1_900] {
        let tape = Tape::new().two_seconds().cut().part(500, true).part(500, false);
        let tape = tape.part(500, false).part(500, false);
        let tape = tape.next_generation(LastSegment::Short, 5).pause(-ahead);
        let window = tape.cut().part(500, true).two_seconds().window();
        let text = render(&window, View::Live, false, &[]).expect("listed");
        let dates = text.lines().filter_map(|l| l.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:"));
        let dates: Vec<Wall> = dates.map(|d| d.parse().expect("a date")).collect();
        assert!(dates.len() >= 8, "{text}");
        assert!(dates.is_sorted(), "{ahead} ms: {text}");
    }
}

/// Who left a log before its writer's last words lists nothing under the name of what others have
/// more of.
#[test]
fn a_segment_that_is_not_all_there_is_a_gap_and_may_be_had_elsewhere() {
    let tape = Tape::new().two_seconds().segment().part(500, true).part(500, false);
    let end = tape.decided(LastSegment::Complete, false);
    let read = tape.steps.len();
    let next = tape.next_generation(LastSegment::Complete, 0).cut().part(500, true);
    for missing in 0..=2 {
        let mut window = Window::new(session(), TrackId::VIDEO);
        for step in &next.steps[..read - missing] {
            tell(&mut window, step).expect("legal");
        }
        assert_eq!(window.lacks(origin(1), &end), missing > 0, "{missing}");
        for step in &next.steps[read..] {
            tell(&mut window, step).expect("legal");
        }
        let found = fate(window.segment(origin(1), Msn(101)));
        assert_eq!(found, if missing == 0 { "found" } else { "elsewhere" }, "{missing}");
        let text = render(&window, View::Live, false, &[]).expect("listed");
        assert_eq!(text.matches("g1-101.m4s").count(), usize::from(missing == 0), "{text}");
    }
}

/// The end was decided by the last report of a writer that could not be asked: what began before
/// that is all there in its log, and this window has not seen it.
#[test]
fn what_was_whole_by_the_last_report_is_not_listed_with_less() {
    let tape = Tape::new().two_seconds().segment().part(500, true);
    let read = tape.steps.len();
    let tape = tape.part(500, false).segment().part(500, true);
    let end = tape.decided(LastSegment::Lost, false);
    let next = tape.next_generation(LastSegment::Lost, 3).cut().part(500, true);
    let mut window = Window::new(session(), TrackId::VIDEO);
    for step in &next.steps[..read] {
        tell(&mut window, step).expect("legal");
    }
    assert!(window.lacks(origin(1), &end));
    let all = next.steps.iter().position(|s| matches!(s, Step::Mark(w, _) if *w == origin(2)));
    for step in &next.steps[all.expect("a next writer")..] {
        tell(&mut window, step).expect("legal");
    }
    assert_eq!(fate(window.segment(origin(1), Msn(101))), "elsewhere");
    assert!(!next.window().lacks(origin(1), &end));
}
