//! What is remarkable about a stream, in words. Pure: a report in, sentences out.

use crate::inspect::report::{Report, Severity, Skew, TrackReport};

/// Where nothing promises a target duration, a GOP longer than this is worth a word, seconds.
const GOP_LONG: f64 = 4.0;

/// A measured rate may differ from the declared one by this share.
const RATE_SHARE: f64 = 0.02;

/// Audio and video may start this far apart before lips show it, seconds.
const START_SKEW: f64 = 0.1;

/// ... and end, or lie apart in order of arrival, seconds.
const END_SKEW: f64 = 0.5;

/// Pace of live media that is no longer real time.
const PACE_OFF: f64 = 0.05;

/// Seconds of packets' lateness that a player's buffer has to be larger than.
const JITTER_LONG: f64 = 1.0;

/// Adds what tracks, skew and arrival say. `target` is the target duration in seconds, where one is
/// promised.
pub(super) fn judge(report: &mut Report, target: Option<f64>) {
    let mut found = Vec::new();
    // EXTINF is rounded before it is compared with EXT-X-TARGETDURATION (4.4.3.1).
    let target = target.map(|t| if report.kind == "hls" { t + 0.5 } else { t });
    for t in &report.tracks {
        track(t, target, &mut |s, text| found.push((s, text)));
    }
    if let Some(skew) = &report.skew {
        self::skew(skew, report.kind, &mut |s, text| found.push((s, text)));
    }
    if let Some(a) = report.arrival {
        if let Some(pace) = a.pace.filter(|p| (p - 1.0).abs() > PACE_OFF) {
            let text = format!("media arrives at {pace:.2} times real time");
            found.push((Severity::Problem, text));
        }
        if let Some(jitter) = a.jitter_seconds.filter(|j| *j > JITTER_LONG) {
            let text = format!("packets arrive up to {} late", time(jitter));
            found.push((Severity::Problem, text));
        }
    }
    for (severity, text) in found {
        report.found(severity, text);
    }
    report.findings.sort_by_key(|f| f.severity);
}

type Found<'a> = &'a mut dyn FnMut(Severity, String);

fn track(t: &TrackReport, target: Option<f64>, found: Found<'_>) {
    let who = t.name.as_deref().unwrap_or(t.kind);
    if t.packets == 0 {
        return found(Severity::Problem, format!("{who}: announced, but no packet came"));
    }
    if t.configurations > 1 {
        let n = t.configurations - 1;
        found(Severity::Note, format!("{who}: the configuration changed {n} time(s)"));
    }
    if t.kind == "video" {
        rate(who, t, found);
        gop(who, t, target, found);
    }
    times(who, t, found);
}

fn rate(who: &str, t: &TrackReport, found: Found<'_>) {
    match (t.declared_frame_rate, t.frame_rate) {
        (None, Some(fps)) => {
            found(Severity::Note, format!("{who}: no frame rate declared (measured {fps})"));
        }
        (None, None) => found(Severity::Note, format!("{who}: no frame rate declared")),
        (Some(says), Some(has)) if (says - has).abs() > says * RATE_SHARE => {
            let text = format!("{who}: declares {says} frames a second and has {has}");
            found(Severity::Problem, text);
        }
        _ => {}
    }
}

fn gop(who: &str, t: &TrackReport, target: Option<f64>, found: Found<'_>) {
    let Some(gop) = &t.gop else { return };
    if t.key_frames == 0 {
        return found(Severity::Problem, format!("{who}: no key frame at all"));
    }
    let longest = gop.max_seconds.into_iter().chain(gop.open_seconds).fold(0.0, f64::max);
    match target {
        Some(target) if longest > target => found(
            Severity::Problem,
            format!(
                "{who}: GOP of {longest:.1} s is longer than the target duration of {} s: \
                 segments are cut without a key frame",
                target.floor()
            ),
        ),
        None if longest > GOP_LONG => found(
            Severity::Problem,
            format!(
                "{who}: GOP of {longest:.1} s: joining and switching wait for a key frame, and HLS \
                 segments start at one"
            ),
        ),
        _ => {}
    }
    let n = gop.packets_before_first_key;
    if n > 0 {
        found(Severity::Note, format!("{who}: {n} packet(s) before the first key frame"));
    }
}

fn times(who: &str, t: &TrackReport, found: Found<'_>) {
    let ts = &t.timestamps;
    let worst = ts.worst_step_seconds.map_or(String::new(), |w| format!(", worst {}", time(w)));
    if ts.backward > 0 {
        let text = format!("{who}: {} step(s) back in decode time{worst}", ts.backward);
        found(Severity::Problem, text);
    }
    if ts.jumps > 0 {
        let text = format!("{who}: {} jump(s) of more than a second{worst}", ts.jumps);
        found(Severity::Problem, text);
    }
    if ts.duplicates > 0 {
        let text = format!("{who}: {} packet(s) with the time of the one before", ts.duplicates);
        found(Severity::Problem, text);
    }
    let longest = ts.longest_step_seconds.map_or(String::new(), time);
    if ts.variable_frame_rate == Some(true) {
        let jitter = ts.jitter_seconds.map_or(String::new(), time);
        let text = format!(
            "{who}: the frame rate varies: durations differ by {jitter}, the longest is {longest}"
        );
        found(Severity::Note, text);
    } else if ts.holes > 0 {
        let text = format!("{who}: {} hole(s) in its times, the longest {longest}", ts.holes);
        found(Severity::Problem, text);
    }
}

fn skew(s: &Skew, kind: &str, found: Found<'_>) {
    let lies = |seconds: f64, one: &'static str, other: &'static str| match seconds {
        0.0.. => (time(seconds), one),
        _ => (time(-seconds), other),
    };
    if s.start_seconds.abs() > START_SKEW {
        let (by, side) = lies(s.start_seconds, "after", "before");
        match kind {
            // A player that joins gets sound at once and pictures from a key frame on.
            "rtmp" if s.start_seconds < 0.0 => {
                found(Severity::Note, format!("the first picture came {by} after the first sound"));
            }
            _ => found(Severity::Problem, format!("audio starts {by} {side} video")),
        }
    }
    let whole = matches!(kind, "flv" | "log");
    if whole && s.end_seconds.abs() > END_SKEW {
        let (by, side) = lies(s.end_seconds, "after", "before");
        found(Severity::Note, format!("audio ends {by} {side} video"));
    }
    if let Some(middle) = s.interleave_median_seconds
        && middle.abs() > END_SKEW
    {
        let (by, side) = lies(middle, "ahead of", "behind");
        let text = format!("audio comes {by} {side} video in order of arrival");
        found(Severity::Problem, text);
    }
}

/// Seconds for people: `340 ms`, `1.2 s`.
pub(super) fn time(seconds: f64) -> String {
    if seconds.abs() < 1.0 {
        format!("{:.0} ms", seconds * 1000.0)
    } else {
        format!("{seconds:.1} s")
    }
}
