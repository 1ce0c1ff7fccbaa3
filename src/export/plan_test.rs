//! Plans of a recording in the tree: exact starts and ends, what is decoded and not shown, sound
//! beside picture, stretches laid one after another.

use super::*;
use crate::base::ids::{Msn, TrackId};
use crate::export::collect::Collector;
use crate::log::dir::LogDir;
use crate::log::fixture::{ON_AIR, write_log};
use crate::log::format::record::Record;
use crate::media::timeline::mark::{Mark, SegmentStart};
use std::path::Path;

/// All records of a log.
async fn records(dir: &Path) -> Vec<Record> {
    let log = LogDir::open(dir).expect("a log");
    let (mut all, mut reader) = (Vec::new(), log.read_from(0));
    while let Some(batch) = reader.next().await.expect("whole") {
        all.extend(batch.records().map(|e| e.record));
    }
    all
}

/// The fixture once, or as two generations of which the second is dated `later` microseconds after
/// the first.
async fn content(later: Option<i64>) -> Content {
    let dir = tempfile::tempdir().expect("a directory");
    let records = records(&write_log(dir.path(), i64::MAX, true).await).await;
    let mut collector = Collector::default();
    records.iter().for_each(|r| collector.record(Generation(3), r));
    for r in records.into_iter().filter(|_| later.is_some()) {
        let moved = match r {
            Record::Mark(Mark::SegmentStart(s)) => Record::Mark(Mark::SegmentStart(SegmentStart {
                wall: s.wall.plus(later.unwrap_or(0)),
                dseq: s.dseq + 1,
                msn: Msn(s.msn.0 + 100),
                ..s
            })),
            Record::Mark(Mark::PartEnd(mut p)) => {
                p.msn = Msn(p.msn.0 + 100);
                Record::Mark(Mark::PartEnd(p))
            }
            r => r,
        };
        collector.record(Generation(4), &moved);
    }
    collector.finish()
}

fn cut(from: Option<i64>, to: Option<i64>) -> Cut {
    let at = |t: i64| ON_AIR.plus(t);
    Cut {
        range: Range { from: from.map(at), to: to.map(at), ..Range::default() },
        ..Cut::default()
    }
}

/// Where a track's edit begins, in its own ticks, and the whole plan's seconds.
fn begins(t: &PlanTrack) -> u64 {
    t.edits.iter().find_map(|e| e.media).expect("something is shown")
}

#[tokio::test]
async fn all_of_a_recording_is_in_its_plan() {
    let content = content(None).await;
    let counts: Vec<usize> = content.lanes.iter().map(|l| l.samples.len()).collect();
    let plan = plan(content, &cut(None, None)).expect("a plan");
    let placed: Vec<usize> = plan.tracks.iter().map(|t| t.lane.samples.len()).collect();
    assert_eq!(placed, counts);
    assert_eq!(plan.timescale.get(), 4_410_000, "of 90 kHz and 44.1 kHz");
    for t in &plan.tracks {
        assert_eq!(t.lane.samples[0].dts, 0);
        let grows = t.lane.samples.windows(2).all(|w| w[0].dts < w[1].dts);
        assert!(grows && t.end > t.lane.samples[t.lane.samples.len() - 1].dts);
    }
    assert!((9_900_000..10_200_000).contains(&plan.duration), "{}", plan.duration);
    assert!(plan.joints.is_empty());
}

#[tokio::test]
async fn a_range_begins_and_ends_with_the_asked_pictures() {
    let whole = content(None).await;
    let lane = &whole.lanes[0];
    let mut shown: Vec<(Wall, i64)> =
        lane.samples.iter().map(|s| (lane.wall(s), s.pts())).collect();
    shown.sort_unstable();
    let (from, to) = (shown[60].0.since(ON_AIR) - 1, shown[123].0.since(ON_AIR));
    let plan = plan(whole, &cut(Some(from), Some(to))).expect("a plan");
    let video = &plan.tracks[0];
    let start = begins(video) as i64;
    let length = plan.timescale.convert(video.edits[0].duration as i64, video.timescale);
    let mut visible: Vec<i64> = video.lane.samples.iter().map(Sample::pts).collect();
    visible.retain(|pts| (start..start + length).contains(pts));
    visible.sort_unstable();
    let want: Vec<i64> = shown[60..123].iter().map(|s| s.1 - shown[60].1 + start).collect();
    assert_eq!(visible, want);
    assert_eq!(plan.from, shown[60].0);
    assert!(video.lane.samples[0].key(), "it can be decoded from its first sample");
    // Sound is trimmed to the same moment; the frame before is there for the decoder.
    let audio = &plan.tracks[1];
    assert_eq!(audio.edits.len(), 1, "it begins with the picture");
    assert!((1024..2048).contains(&begins(audio)), "{}", begins(audio));
    let apart = audio.edits[0].duration.abs_diff(video.edits[0].duration);
    assert!(apart <= 4_410_000 / 40, "{apart}");
    // Both tracks' media, taken to the movie's time, begin to be shown at the same moment.
    let at = |t: &PlanTrack| t.timescale.convert(t.zero + begins(t) as i64, plan.timescale);
    assert!((at(video) - at(audio)).abs() <= 100 / 2, "half a tick of 44.1 kHz");
}

#[tokio::test]
async fn at_a_key_frame_nothing_is_skipped() {
    let exact = plan(content(None).await, &cut(Some(3_000_000), None)).expect("a plan");
    let cut = Cut { at_key_frame: true, ..cut(Some(3_000_000), None) };
    let key = plan(content(None).await, &cut).expect("a plan");
    let first = |p: &Plan| p.tracks[0].lane.samples[0];
    assert_eq!(first(&exact).seq, first(&key).seq, "the same key frame is in both");
    assert!(begins(&exact.tracks[0]) > begins(&key.tracks[0]));
    assert_eq!(begins(&key.tracks[0]) as i64, first(&key).pts());
    assert!(key.from < exact.from);
}

#[tokio::test]
async fn segments_are_cut_as_they_are_numbered() {
    let whole = content(None).await;
    let lane = &whole.lanes[0];
    let of = |msn: u64| lane.segments.iter().find(|s| s.msn == Msn(msn)).expect("listed").wall;
    let (from, to) = (of(8), of(10));
    let range = Range { first: Some(Msn(8)), last: Some(Msn(9)), ..Range::default() };
    let plan = plan(whole, &Cut { range, ..Cut::default() }).expect("a plan");
    assert_eq!(plan.from, from);
    assert!((plan.duration - to.since(from)).abs() < 25_000, "{}", plan.duration);
}

#[tokio::test]
async fn stretches_are_closed_up_or_kept_and_tracks_move_together() {
    let later = 60_000_000;
    let alone = plan(content(None).await, &cut(None, None)).expect("a plan");
    for gaps in [Gaps::Close, Gaps::Keep] {
        let cut = Cut { gaps, ..cut(None, None) };
        let both = plan(content(Some(later)).await, &cut).expect("a plan");
        assert_eq!(both.joints.len(), 1);
        let moved: Vec<i64> = both
            .tracks
            .iter()
            .zip(&alone.tracks)
            .map(|(b, a)| {
                let n = a.lane.samples.len();
                assert_eq!(b.lane.samples.len(), 2 * n);
                let by = b.lane.samples[n].pts() - b.lane.samples[0].pts();
                let same = |i: usize| b.lane.samples[n + i].pts() - b.lane.samples[i].pts() == by;
                assert!((0..n).all(same), "all of a stretch moves alike");
                b.timescale.convert(by, both.timescale)
            })
            .collect();
        assert!((moved[0] - moved[1]).abs() <= 100, "{moved:?}");
        let by = both.timescale.to_micros(moved[0]);
        match gaps {
            Gaps::Close => assert!((by - alone.duration).abs() < 50_000, "{by}"),
            Gaps::Keep => assert!((by - later).abs() < 1_000, "{by}"),
        }
        let absent = both.joints[0].absent;
        assert!((absent - (later - alone.duration)).abs() < 50_000, "{absent}");
    }
}

#[tokio::test]
async fn a_range_without_media_has_no_plan() {
    for (from, to) in [(Some(60_000_000), None), (None, Some(-60_000_000))] {
        assert!(plan(content(None).await, &cut(from, to)).is_none());
    }
    let mut none = content(None).await;
    none.lanes.retain(|l| l.track == TrackId(9));
    assert!(plan(none, &cut(None, None)).is_none());
}

#[test]
fn the_movie_counts_in_what_all_tracks_divide() {
    for (scales, want) in [
        (vec![90_000, 48_000], 720_000),
        (vec![90_000, 44_100], 4_410_000),
        (vec![90_000], 90_000),
        (vec![4_294_967_291, 90_000], 1_000_000),
        (vec![], 1),
    ] {
        assert_eq!(common(scales.into_iter()).get(), want);
    }
}
