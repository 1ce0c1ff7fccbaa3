//! A report for people.

use crate::base::units::HumanBytes;
use crate::inspect::findings::time;
use crate::inspect::report::hls::{HlsFacts, PlaylistFacts};
use crate::inspect::report::log::{GenerationFacts, LogFacts};
use crate::inspect::report::{Finding, Gop, Report, Severity, TrackReport};
use comfy_table::{Table, presets};

/// The whole report as text, without a newline at its end.
pub fn render(report: &Report) -> String {
    if let Some(logs) = &report.logs {
        let mut parts = vec![head(report)];
        parts.extend(logs.iter().map(render));
        parts.push(format!("{} logs in all", logs.len()));
        return parts.join("\n\n");
    }
    let mut parts = vec![head(report)];
    if let Some(hls) = &report.hls {
        parts.extend(self::hls(hls));
    }
    if let Some(log) = &report.log {
        parts.extend(self::log(log));
    }
    if !report.tracks.is_empty() {
        parts.push(tracks(&report.tracks).to_string());
    }
    parts.push(findings(report));
    parts.join("\n\n")
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(header.iter().copied());
    table
}

fn head(r: &Report) -> String {
    let mut lines = vec![format!("{} ({}, {})", r.target, r.kind, HumanBytes(r.bytes))];
    if let Some(m) = &r.metadata {
        let encoder = m.encoder.as_deref().unwrap_or("unnamed");
        let size = m.width.zip(m.height).map_or(String::new(), |(w, h)| format!(", {w}x{h}"));
        let fps = m.frame_rate.map_or(String::new(), |f| format!(", {f} fps"));
        let rate = |what: &str, kbit: Option<f64>| {
            kbit.map_or(String::new(), |k| format!(", {what} {k:.0} kbit/s"))
        };
        let rates = rate("video", m.video_data_rate) + &rate("audio", m.audio_data_rate);
        lines.push(format!("encoder says: {encoder}{size}{fps}{rates}"));
    }
    if let Some(s) = &r.skew {
        let mut line = format!(
            "audio against video: starts {:+.3} s, ends {:+.3} s",
            s.start_seconds, s.end_seconds
        );
        if let Some((min, max)) = s.interleave_min_seconds.zip(s.interleave_max_seconds) {
            line += &format!(", {min:+.3} to {max:+.3} s in order of arrival");
        }
        lines.push(line);
    }
    if let Some(a) = &r.arrival {
        let pace = a.pace.map_or("unknown".into(), |p| format!("{p:.2}x"));
        let jitter = a.jitter_seconds.map_or("unknown".into(), time);
        let burst = time(a.burst_seconds);
        lines.push(format!("arrival: burst {burst}, then pace {pace}, jitter {jitter}"));
    }
    lines.join("\n")
}

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".into(), |v| v.to_string())
}

fn tracks(list: &[TrackReport]) -> Table {
    let mut out = table(&[
        "track", "codec", "format", "rate", "bit rate", "packets", "keys", "GOP s", "B", "first s",
        "last s", "duration",
    ]);
    for t in list {
        let name = t.name.as_deref().unwrap_or(t.kind);
        let format = match (t.width.zip(t.height), t.sample_rate) {
            (Some((w, h)), _) => {
                let sar = t.sample_aspect_ratio.as_ref().map(|s| format!(" sar {s}"));
                format!("{w}x{h}{}", sar.unwrap_or_default())
            }
            (None, Some(hz)) => format!("{hz} Hz {} ch", or_dash(t.channels)),
            _ => "-".into(),
        };
        let rate = match (t.declared_frame_rate, t.frame_rate) {
            (Some(d), Some(m)) => format!("{m} (says {d})"),
            (None, Some(m)) => m.to_string(),
            _ => "-".into(),
        };
        out.add_row([
            format!("{} {name}", t.id),
            t.codec.clone(),
            format,
            rate,
            t.bit_rate.map_or("-".into(), |b| format!("{} kbit/s", b / 1000)),
            t.packets.to_string(),
            t.key_frames.to_string(),
            t.gop.as_ref().map_or("-".into(), gop),
            t.b_frames.map_or("-", |b| if b { "yes" } else { "no" }).into(),
            t.first_dts.map_or("-".into(), |d| format!("{d:.3}")),
            t.last_dts.map_or("-".into(), |d| format!("{d:.3}")),
            time(t.duration_seconds),
        ]);
    }
    out
}

/// Shortest, median and longest.
fn gop(g: &Gop) -> String {
    match (g.min_seconds, g.median_seconds, g.max_seconds) {
        (Some(min), Some(median), Some(max)) => format!("{min:.2} / {median:.2} / {max:.2}"),
        _ => g.open_seconds.map_or("-".into(), |o| format!("over {o:.2}")),
    }
}

fn log(log: &LogFacts) -> [String; 2] {
    let mut out = table(&[
        "generation",
        "MSN",
        "from",
        "extents",
        "sealed",
        "footers",
        "visible to",
        "durable to",
        "bytes",
    ]);
    for g in &log.generations {
        out.add_row(generation(g));
    }
    let generations = out.to_string();
    let mut out = table(&["in the log", ""]);
    let c = &log.cost;
    let total = c.total_bytes.max(1) as f64;
    let share = |n: u64| format!("{} ({:.1} %)", HumanBytes(n), n as f64 * 100.0 / total);
    let mut rows = vec![
        ("segments", format!("{} ({} without a key frame)", log.segments, log.dependent_segments)),
        ("parts", log.parts.to_string()),
        ("gaps", format!("{}, {} discontinuities", log.gaps, log.discontinuities)),
        ("cues", log.cues.to_string()),
        ("unlisted", format!("{} packets", log.unlisted_packets)),
        ("media", share(c.media_bytes)),
        ("heads", share(c.head_bytes)),
        ("marks", share(c.mark_bytes)),
        ("footers", share(c.extent_bytes)),
    ];
    if c.damaged_bytes > 0 {
        rows.push(("damaged", share(c.damaged_bytes)));
    }
    for (what, value) in rows {
        out.add_row([what.to_owned(), value]);
    }
    [generations, out.to_string()]
}

fn generation(g: &GenerationFacts) -> Vec<String> {
    let session = g.session.map_or(String::new(), |s| format!("s{s}/"));
    let sealed = g.extents.iter().filter(|e| e.sealed).count();
    let bad = g.extents.iter().filter(|e| e.footer_ok == Some(false)).count();
    let end = match (g.ended, g.session_over) {
        (true, true) => ", session over",
        (true, false) => ", ended",
        (false, _) => "",
    };
    vec![
        format!("{session}g{}", g.generation),
        format!("{} to {}", or_dash(g.first_msn), or_dash(g.last_msn)),
        or_dash(g.from.as_ref()),
        g.extents.len().to_string(),
        format!("{sealed} of {}{end}", g.extents.len()),
        if bad == 0 { "ok".into() } else { format!("{bad} bad") },
        g.visible.to_string(),
        g.durable.map_or("not noted".into(), |p| p.to_string()),
        HumanBytes(g.extents.iter().map(|e| e.bytes).sum()).to_string(),
    ]
}

fn hls(hls: &HlsFacts) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(variants) = &hls.variants {
        let mut out = table(&["variant", "bandwidth", "codecs", "resolution", "fps"]);
        for v in variants {
            out.add_row([
                v.uri.clone(),
                v.bandwidth.map_or("-".into(), |b| format!("{} kbit/s", b / 1000)),
                or_dash(v.codecs.as_ref()),
                or_dash(v.resolution.as_ref()),
                or_dash(v.frame_rate),
            ]);
        }
        parts.push(out.to_string());
    }
    let mut out = table(&[
        "playlist",
        "target",
        "part",
        "MSN",
        "window",
        "gaps",
        "versions",
        "slowest",
        "latency s",
        "files",
    ]);
    for p in &hls.playlists {
        out.add_row(playlist(p));
    }
    parts.push(out.to_string());
    parts
}

fn playlist(p: &PlaylistFacts) -> Vec<String> {
    let seconds = |s: Option<f64>| s.map_or("-".into(), |s| format!("{s} s"));
    let blocking = if p.blocking_reload { " blocking" } else { "" };
    let latency = p
        .latency_seconds
        .map_or("-".into(), |l| format!("{:.2} / {:.2} / {:.2}", l.min, l.median, l.max));
    let ended = if p.ended { " ended" } else { "" };
    vec![
        p.role.clone(),
        seconds(p.target_duration),
        seconds(p.part_target),
        format!("{} to {}{ended}", or_dash(p.first_msn), or_dash(p.last_msn)),
        format!("{} ({} segments)", time(p.window_seconds), p.segments),
        p.gaps.to_string(),
        format!("{}{blocking}", p.versions),
        p.slowest_reload_seconds.map_or("-".into(), time),
        latency,
        format!("{} ({} failed)", p.fetched, p.failed),
    ]
}

fn findings(r: &Report) -> String {
    if r.findings.is_empty() {
        return "nothing remarkable".into();
    }
    let line = |f: &Finding| {
        let word = match f.severity {
            Severity::Damage => "damage ",
            Severity::Problem => "problem",
            Severity::Note => "note   ",
        };
        format!("{word}  {}", f.text)
    };
    r.findings.iter().map(line).collect::<Vec<_>>().join("\n")
}
