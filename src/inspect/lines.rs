//! Rows of a timeline for people: one line each, the same columns in all, so that an hour of a log
//! can be paged through and searched.

use crate::inspect::rows::{Row, Segment};

/// What the columns of segment rows are.
pub const HEAD: &str = "wall clock (UTC)         track    MSN length s packets    kbit/s  start  \
    parts  GOPs s        frame ms    skew ms";

/// One row, without a newline.
pub fn line(row: &Row) -> String {
    match row {
        Row::Generation { session, generation, base } => {
            format!("-- session {session}, generation {generation}, from MSN {base} on")
        }
        Row::Configuration { track, codec } => format!("-- track {track} is configured: {codec}"),
        Row::Segment(s) => segment(s),
        Row::Gap { track, msn, part, wall, seconds } => {
            let what = part.map_or("whole segment".into(), |p| format!("part {p}"));
            format!("{wall} {track:>5} {msn:>6} {seconds:>8.3}  GAP: {what} absent")
        }
        Row::Cue { id, class, wall, seconds, data } => {
            let class = if class.is_empty() { "" } else { &format!(" ({class})") };
            format!("-- cue {id}{class} at {wall} for {seconds:.3} s: {data}")
        }
        Row::Trouble { track, dts, what } => {
            format!("{:>24} {track:>5}  !! at DTS {dts:.3}: {what}", "")
        }
        Row::Packet { track, seq, dts, pts, cts, size, key, step, at } => {
            let seq = seq.map_or("unlisted".into(), |s| format!("seq {s}"));
            let key = if *key { "key" } else { "" };
            let step = step.map_or(String::new(), |s| format!("{:+.1} ms", s * 1e3));
            format!(
                "{at:>24} {track:>5}   . {seq:<12} DTS {dts:<10.3} PTS {pts:<10.3} CTS {cts:<6.3} \
                 {size:>7} B {key:<3} {step}"
            )
        }
        Row::Hole { extent, offset, bytes } => {
            format!("!! DAMAGE: extent {extent}, {bytes} bytes at byte {offset} are no record")
        }
        Row::End { msn, wall, session_over } => {
            let over = if *session_over { ", and so does the session" } else { "" };
            format!("{wall} -- the generation ends with MSN {msn}{over}")
        }
    }
}

fn segment(s: &Segment) -> String {
    let start = if s.kind == "video" && s.independent { "key" } else { "-" };
    let gops: Vec<String> = s.gops.iter().take(4).map(|g| format!("{g:.2}")).collect();
    let more = if s.gops.len() > 4 { " …" } else { "" };
    let steps = match s.steps {
        Some((a, b)) if ((b - a) * 1e3).abs() < 1.0 => format!("{:.0}", a * 1e3),
        Some((a, b)) => format!("{:.0} to {:.0}", a * 1e3, b * 1e3),
        None => "-".into(),
    };
    let skew = s.skew.map_or("-".into(), |s| format!("{:+.0}", s * 1e3));
    let mut notes = String::new();
    let mut note = |on: bool, text: String| {
        if on {
            notes += "  ";
            notes += &text;
        }
    };
    note(s.discontinuity, format!("DISCONTINUITY {}", s.dseq));
    note(s.gap_parts > 0, format!("{} part(s) ABSENT", s.gap_parts));
    note(s.troubles > 0, format!("{} time(s) off", s.troubles));
    note(s.unlisted > 0, format!("{} packet(s) unlisted before it", s.unlisted));
    note(!s.independent, "begins without a key frame".into());
    format!(
        "{} {:>5} {:>6} {:>8.3} {:>7} {:>9.0}  {start:<5} {:>6}  {:<13} {steps:<11} \
         {skew:>7}{notes}",
        s.wall,
        format!("{} {}", s.track, &s.kind[..1.min(s.kind.len())]),
        s.msn,
        s.seconds,
        s.packets,
        s.bit_rate as f64 / 1e3,
        s.parts,
        gops.join(" ") + more,
    )
}
