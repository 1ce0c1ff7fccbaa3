//! Made-up packet lists in, exact reports out.

use super::*;
use crate::inspect::report::{Report, Severity, Timestamps};

const AUDIO: u32 = 2;
const VIDEO: u32 = 1;

fn video() -> TrackFacts {
    TrackFacts {
        rate: FrameRate::new(25, 1),
        ..TrackFacts::unknown(VIDEO, Kind::Video, Timescale::MILLIS, "avc1".into())
    }
}

fn audio() -> TrackFacts {
    let unknown = TrackFacts::unknown(AUDIO, Kind::Audio, Timescale::MILLIS, "mp4a".into());
    TrackFacts { frame: Some(20_000), ..unknown }
}

fn sample(dts: i64, cts: i32, key: bool) -> Sample {
    Sample { dts, cts, key, size: 100, arrival: None }
}

/// A track of video with these DTS; every `gop`-th is a key frame.
fn of_video(times: &[i64], gop: usize) -> TrackReport {
    let mut a = Analysis::interleaved();
    a.configure(video());
    for (i, dts) in times.iter().enumerate() {
        a.feed(VIDEO, sample(*dts, 0, i % gop == 0));
    }
    a.tracks().remove(0)
}

fn steady(n: i64) -> Vec<i64> {
    (0..n).map(|i| i * 40).collect()
}

#[test]
fn a_steady_track() {
    let t = of_video(&steady(100), 50);
    assert_eq!((t.packets, t.key_frames, t.bytes), (100, 2, 10_000));
    assert_eq!((t.first_dts, t.last_dts, t.duration_seconds), (Some(0.0), Some(3.96), 4.0));
    assert_eq!((t.frame_rate, t.declared_frame_rate), (Some(25.0), Some(25.0)));
    assert_eq!((t.bit_rate, t.b_frames), (Some(20_000), Some(false)));
    let gop = t.gop.expect("of video");
    assert_eq!(
        (gop.min_seconds, gop.median_seconds, gop.max_seconds),
        (Some(2.0), Some(2.0), Some(2.0))
    );
    assert_eq!((gop.open_seconds, gop.packets_before_first_key), (Some(2.0), 0));
    let want = Timestamps {
        backward: 0,
        duplicates: 0,
        jumps: 0,
        worst_step_seconds: None,
        holes: 0,
        longest_step_seconds: Some(0.04),
        jitter_seconds: Some(0.0),
        variable_frame_rate: Some(false),
    };
    assert_eq!(t.timestamps, want);
}

#[test]
fn trouble_with_times_is_counted() {
    // Steps of 40 ms, and in their middle these.
    for (name, steps, want) in [
        ("back", &[-40][..], (1, 0, 0, 0)),
        ("far back", &[-5000], (1, 0, 1, 0)),
        ("the same", &[0, 0], (0, 2, 0, 0)),
        ("a jump", &[1040], (0, 0, 1, 0)),
        ("a second is no jump", &[1000], (0, 0, 0, 1)),
        ("a lost frame", &[80, 40, 80], (0, 0, 0, 2)),
        ("a late frame", &[59], (0, 0, 0, 0)),
        ("all of it", &[-40, 0, 80, 2000, -2000], (2, 1, 2, 1)),
    ] {
        let mut times = steady(200);
        let mut at = 199 * 40;
        for step in steps {
            at += step;
            times.push(at);
        }
        times.extend((1..200).map(|i| at + i * 40));
        let ts = of_video(&times, 50).timestamps;
        assert_eq!((ts.backward, ts.duplicates, ts.jumps, ts.holes), want, "{name}");
        assert_eq!(ts.variable_frame_rate, Some(false), "{name}");
    }
    let far = of_video(&[0, 40, 80, 5080, 80, 120], 3);
    assert_eq!(far.timestamps.worst_step_seconds, Some(5.0));
    assert_eq!(far.gop.expect("of video").max_seconds, None, "no GOP is measured across a jump");
    assert_eq!(far.frame_rate, Some(25.0), "nor a rate");
}

#[test]
fn rounding_to_milliseconds_is_no_variable_rate_and_no_hole() {
    let times: Vec<i64> = (0..300).map(|i| i * 1001 / 30).collect();
    let t = of_video(&times, 30);
    assert_eq!((t.timestamps.holes, t.timestamps.variable_frame_rate), (0, Some(false)));
    assert_eq!(t.timestamps.jitter_seconds, Some(0.001));
    let screen: Vec<i64> = (0..300)
        .scan(0, |at, i| {
            *at += [33, 100, 250][i % 3];
            Some(*at)
        })
        .collect();
    assert_eq!(of_video(&screen, 30).timestamps.variable_frame_rate, Some(true));
}

#[test]
fn b_frames_are_pictures_out_of_order() {
    for (name, cts, want) in [
        ("none", [0, 0, 0, 0], false),
        ("a constant delay", [80, 80, 80, 80], false),
        ("I P B B", [40, 120, 0, 0], true),
    ] {
        let mut a = Analysis::interleaved();
        a.configure(video());
        for (i, cts) in cts.into_iter().enumerate() {
            a.feed(VIDEO, sample(i as i64 * 40, cts, i == 0));
        }
        assert_eq!(a.tracks()[0].b_frames, Some(want), "{name}");
    }
}

#[test]
fn gops_are_measured_between_key_frames() {
    let mut a = Analysis::interleaved();
    a.configure(video());
    for i in 0..200 {
        a.feed(VIDEO, sample(i * 40, 0, [10, 35, 135].contains(&i)));
    }
    let gop = a.tracks()[0].gop.expect("of video");
    assert_eq!((gop.min_seconds, gop.max_seconds), (Some(1.0), Some(4.0)));
    assert_eq!((gop.open_seconds, gop.packets_before_first_key), (Some(2.6), 10));
}

#[test]
fn audio_against_video() {
    // Audio is 340 ms later in media time, and comes 600 ms of media behind video.
    let mut a = Analysis::interleaved();
    a.configure(video());
    a.configure(audio());
    let mut packets: Vec<(i64, u32, i64)> = Vec::new();
    packets.extend((0..100).map(|i| (i * 40, VIDEO, i * 40)));
    packets.extend((0..200).map(|i| (i * 20 + 940, AUDIO, i * 20 + 340)));
    packets.sort();
    for (_, track, dts) in packets {
        a.feed(track, sample(dts, 0, true));
    }
    let skew = a.skew().expect("both");
    assert_eq!((skew.start_seconds, skew.end_seconds), (0.34, 0.34));
    let median = skew.interleave_median_seconds.expect("interleaved");
    assert!((-0.64..=-0.58).contains(&median), "{median}");
    let mut report = Report::new("x".into(), "flv");
    (report.tracks, report.skew) = (a.tracks(), a.skew());
    crate::inspect::findings::judge(&mut report, None);
    let texts: Vec<&str> = report.findings.iter().map(|f| &*f.text).collect();
    assert!(texts.contains(&"audio starts 340 ms after video"), "{texts:?}");
    assert!(texts.iter().any(|t| t.ends_with("behind video in order of arrival")), "{texts:?}");
    assert_eq!(Analysis::apart().skew(), None);
}

#[test]
fn a_new_time_base_is_no_trouble() {
    let mut a = Analysis::interleaved();
    a.configure(video());
    for start in [50_000, 0, 7_000] {
        a.restart();
        for i in 0..50 {
            a.feed(VIDEO, sample(start + i * 40, 0, i == 0));
        }
    }
    let t = a.tracks().remove(0);
    assert_eq!((t.timestamps.backward, t.timestamps.jumps), (0, 0));
    assert_eq!((t.packets, t.duration_seconds), (150, 6.0));
    assert_eq!(t.configurations, 1);
    a.configure(TrackFacts { dimensions: Some((1280, 720)), ..video() });
    assert_eq!(a.tracks()[0].configurations, 2);
}

#[test]
fn arrivals_have_a_burst_and_a_pace() {
    let mut a = Analysis::interleaved();
    a.configure(video());
    let mut feed = |dts: i64, at: i64| {
        a.feed(VIDEO, Sample { arrival: Some(Mono(at as u64 * 1000)), ..sample(dts, 0, true) });
    };
    // Two seconds at once, then half of real time.
    (0..50).for_each(|i| feed(i * 40, 1000));
    (50..100).for_each(|i| feed(i * 40, 1000 + (i - 49) * 80));
    let arrival = a.arrival().expect("live");
    assert_eq!(arrival.burst_seconds, 2.04);
    let pace = arrival.pace.expect("long enough");
    assert!((0.45..0.52).contains(&pace), "{pace}");
    assert!(arrival.jitter_seconds.expect("more than a burst") > 1.5);
}

fn texts(t: TrackReport, target: Option<f64>) -> Vec<(Severity, String)> {
    let mut report = Report::new("x".into(), "log");
    report.tracks = vec![t];
    crate::inspect::findings::judge(&mut report, target);
    report.findings.into_iter().map(|f| (f.severity, f.text)).collect()
}

#[test]
fn findings_are_sentences() {
    use Severity::{Note, Problem};
    let long = of_video(&steady(300), 250);
    let slow: Vec<i64> = (0..100).map(|i| i * 50).collect();
    let undeclared = {
        let mut a = Analysis::interleaved();
        a.configure(TrackFacts { rate: None, ..video() });
        steady(100).into_iter().for_each(|t| a.feed(VIDEO, sample(t, 0, t % 2000 == 0)));
        a.tracks().remove(0)
    };
    for (name, found, want) in [
        ("fine", texts(of_video(&steady(100), 50), Some(4.0)), vec![]),
        (
            "a long GOP",
            texts(long, Some(4.0)),
            vec![(
                Problem,
                "video: GOP of 10.0 s is longer than the target duration of 4 s: \
                 segments are cut without a key frame",
            )],
        ),
        (
            "another rate",
            texts(of_video(&slow, 20), None),
            vec![(Problem, "video: declares 25 frames a second and has 20")],
        ),
        (
            "no rate",
            texts(undeclared, Some(4.0)),
            vec![(Note, "video: no frame rate declared (measured 25)")],
        ),
        (
            "steps back",
            texts(of_video(&[&steady(100)[..], &[3880, 3920, 3960]].concat(), 50), Some(4.0)),
            vec![(Problem, "video: 1 step(s) back in decode time, worst -80 ms")],
        ),
    ] {
        let want: Vec<_> = want.into_iter().map(|(s, t)| (s, t.to_owned())).collect();
        assert_eq!(found, want, "{name}");
    }
}
