//! The figures as tables for people and as JSON. Pure.

use crate::base::units::HumanBytes;
use crate::bench::export::Figures;
use crate::bench::ingest::Run;
use crate::bench::latency;
use crate::bench::serving::Answers;
use crate::bench::stats::{Summary, median};
use crate::bench::viewers::{self, Stopped};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// All measurements of one setting, for one server: the medians of its runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The server's name.
    pub server: &'static str,
    /// Streams.
    pub publishers: usize,
    /// Viewers of each.
    pub viewers_per_stream: usize,
    /// How many runs there were.
    pub runs: usize,
    /// CPU milliseconds for a second of one stream.
    pub cpu_ms_per_stream_second: f64,
    /// The kernel's part of it.
    pub system_ms_per_stream_second: f64,
    /// Resident MiB per stream, with the server's own.
    pub rss_mib_per_stream: f64,
    /// MiB that a stream added to the proportional set size.
    pub pss_mib_per_stream: f64,
    /// MiB of that which are records held for readers.
    pub window_mib_per_stream: Option<f64>,
    /// How late the load itself was, 95th percentile in milliseconds.
    pub load_late_p95_ms: f64,
    /// CPU of this server over the peer's, where there is one.
    pub cpu_over_peer: Option<f64>,
}

const MIB: f64 = 1_048_576.0;

/// The runs by setting and server, in the order in which they first appear; `peer` is the server
/// that the others are compared with.
pub fn rows(runs: &[Run], peer: Option<&str>) -> Vec<Row> {
    let mut groups: Vec<Vec<&Run>> = Vec::new();
    let key = |r: &Run| (r.publishers, r.viewers_per_stream, r.server);
    for run in runs {
        match groups.iter_mut().find(|g| key(g[0]) == key(run)) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    let mut rows: Vec<Row> = groups.iter().filter_map(|g| row(g)).collect();
    let cpu: Vec<(usize, usize, &str, f64)> = rows
        .iter()
        .map(|r| (r.publishers, r.viewers_per_stream, r.server, r.cpu_ms_per_stream_second))
        .collect();
    for row in &mut rows {
        let same = |c: &&(usize, usize, &str, f64)| {
            (c.0, c.1) == (row.publishers, row.viewers_per_stream) && Some(c.2) == peer
        };
        let other = cpu.iter().find(same).map(|c| c.3).filter(|c| *c > 0.0);
        row.cpu_over_peer =
            other.filter(|_| Some(row.server) != peer).map(|c| row.cpu_ms_per_stream_second / c);
    }
    rows
}

fn row(group: &[&Run]) -> Option<Row> {
    let first = group.first()?;
    let of = |f: fn(&Run) -> f64| {
        median(&group.iter().map(|r| f(r)).collect::<Vec<f64>>()).unwrap_or_default()
    };
    let window: Vec<f64> =
        group.iter().filter_map(|r| r.window_per_stream).map(|b| b as f64 / MIB).collect();
    Some(Row {
        server: first.server,
        publishers: first.publishers,
        viewers_per_stream: first.viewers_per_stream,
        runs: group.len(),
        cpu_ms_per_stream_second: of(|r| r.cpu_ms_per_stream_second),
        system_ms_per_stream_second: of(|r| r.system_ms_per_stream_second),
        rss_mib_per_stream: of(|r| r.rss_per_stream as f64 / MIB),
        pss_mib_per_stream: of(|r| r.pss_per_stream as f64 / MIB),
        window_mib_per_stream: median(&window),
        load_late_p95_ms: of(|r| r.late_ms.map_or(0.0, |l| l.p95)),
        cpu_over_peer: None,
    })
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The ingest table.
pub fn ingest_table(rows: &[Row]) -> String {
    let mut out = table(&[
        "server",
        "publishers",
        "viewers",
        "CPU ms/s",
        "kernel",
        "RSS MiB",
        "PSS-base",
        "window",
        "load late p95",
        "CPU ratio",
    ]);
    for r in rows {
        let optional = |v: Option<f64>| v.map_or("-".to_owned(), |v| format!("{v:.2}"));
        out.add_row([
            r.server.to_owned(),
            r.publishers.to_string(),
            (r.publishers * r.viewers_per_stream).to_string(),
            format!("{:.2}", r.cpu_ms_per_stream_second),
            format!("{:.2}", r.system_ms_per_stream_second),
            format!("{:.2}", r.rss_mib_per_stream),
            format!("{:.2}", r.pss_mib_per_stream),
            optional(r.window_mib_per_stream),
            format!("{:.1} ms", r.load_late_p95_ms),
            optional(r.cpu_over_peer),
        ]);
    }
    format!("{out}\nCPU, memory: per stream (CPU milliseconds for a second of it)")
}

/// The latency table.
pub fn latency_table(report: &latency::Report) -> String {
    let mut out = table(&["milliseconds", "median", "p95", "max", "samples"]);
    let mut summarized = |name: &str, s: Option<Summary>| {
        let Some(s) = s else { return };
        let ms = |v: f64| format!("{v:.1}");
        out.add_row([name.to_owned(), ms(s.median), ms(s.p95), ms(s.max), s.count.to_string()]);
    };
    summarized("frame sent to its bytes fetched, all frames", report.all_frames);
    summarized("newest frame of a part", report.newest_frame);
    summarized("newest frame, hinted part downloadable", report.part_downloadable);
    for (name, ms) in [
        ("first media listed after the publish began", report.first_media_after_publish),
        ("first media listed after the first key frame", report.first_media_after_key_frame),
        ("stable URL answered after the first key frame", report.playable_after_key_frame),
    ] {
        if let Some(ms) = ms {
            out.add_row([name.to_owned(), format!("{ms:.1}")]);
        }
    }
    out.to_string()
}

/// The viewers' tables.
pub fn viewers_table(figures: &viewers::Figures) -> String {
    let mut out = table(&[
        "viewers",
        "CPU ms/s",
        "kernel",
        "a rendition",
        "RSS KiB",
        "listed p50",
        "p99",
        "part p50",
        "p99",
        "server",
        "load",
    ]);
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let ms = |s: Option<Summary>, of: fn(Summary) -> f64| {
        s.map_or("-".to_owned(), |s| format!("{:.1}", of(s)))
    };
    for r in &figures.viewers {
        out.add_row([
            r.viewers.to_string(),
            format!("{:.3}", r.cpu_ms_per_viewer_second),
            format!("{:.3}", r.system_ms_per_viewer_second),
            format!("{:.3}", r.cpu_ms_per_rendition_second),
            format!("{:.0}", r.rss_per_viewer as f64 / 1024.0),
            ms(r.listed_ms, |s| s.median),
            ms(r.listed_ms, |s| s.p99),
            ms(r.arrived_ms, |s| s.median),
            ms(r.arrived_ms, |s| s.p99),
            percent(r.server_core),
            percent(r.load_core),
        ]);
    }
    let mut text = format!(
        "{out}\nCPU milliseconds and memory: per viewer (of all renditions) and second of it; \
         listed, part: from the picture that completes a part until the first byte of the playlist \
         and of the part was at the last viewer, ms; server, load: share of its core"
    );
    if let Some(Stopped { viewers, load_core }) = figures.stopped {
        let (used, most) = (percent(load_core), percent(viewers::LOAD_MOST));
        text += &format!(
            "\nstopped at {viewers} viewers: the load used {used} of its core, more than {most}; \
             figures would be its own"
        );
    }
    if !figures.answers.is_empty() {
        text = format!("{text}\n\n{}", answers_table(&figures.answers, percent));
    }
    text
}

fn answers_table(answers: &[Answers], percent: fn(f64) -> String) -> String {
    let mut out = table(&[
        "answers",
        "of",
        "KiB",
        "per second",
        "Gbit/s",
        "CPU s/Gbit",
        "CPU us each",
        "server",
        "wrk",
        "bounded by",
    ]);
    for a in answers {
        out.add_row([
            a.server.to_owned(),
            a.of.to_owned(),
            format!("{:.1}", a.body_bytes as f64 / 1024.0),
            format!("{:.0}", a.per_second),
            format!("{:.2}", a.gbit_per_second),
            format!("{:.4}", a.cpu_seconds_per_gbit),
            format!("{:.1}", a.cpu_us_per_answer),
            percent(a.server_core),
            percent(a.load_core),
            a.bound_by.to_owned(),
        ]);
    }
    let rounds = answers.first().map_or(0, |a| a.rounds);
    format!("{out}\nmedians of {rounds} rounds, the servers in turn; wrk over 32 connections")
}

/// The export table.
pub fn export_table(figures: &Figures) -> String {
    let mut out = table(&["writes a durable MP4", "MiB/s", "castctl's speed over it"]);
    let castctl = figures.castctl_mib_per_second;
    for (name, rate) in [
        ("castctl export", castctl),
        ("ffmpeg -c copy, index first", figures.ffmpeg_faststart_mib_per_second),
        ("ffmpeg -c copy, index last", figures.ffmpeg_mib_per_second),
    ] {
        out.add_row([name.to_owned(), format!("{rate:.0}"), format!("{:.2}", castctl / rate)]);
    }
    let (bytes, rounds) = (HumanBytes(figures.bytes), figures.rounds);
    format!("{out}\n{bytes}; medians of {rounds} rounds")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::viewer::Seen;

    fn run(server: &'static str, publishers: usize, cpu: f64) -> Run {
        Run {
            server,
            publishers,
            viewers_per_stream: 1,
            seconds: 30.0,
            cpu_ms_per_stream_second: cpu,
            system_ms_per_stream_second: cpu / 2.0,
            rss_per_stream: 2 << 20,
            pss_per_stream: 1 << 20,
            window_per_stream: (server == "castctl").then_some(512 << 10),
            bits_per_second: 2_500_000,
            late_ms: None,
            viewers: Seen::default(),
        }
    }

    #[test]
    fn rows_are_medians_and_compared_within_their_setting() {
        let runs = [
            run("castctl", 20, 3.0),
            run("peer", 20, 2.0),
            run("castctl", 20, 5.0),
            run("peer", 20, 2.0),
            run("castctl", 20, 4.0),
            run("castctl", 50, 9.0),
        ];
        let rows = rows(&runs, Some("peer"));
        let facts: Vec<_> = rows
            .iter()
            .map(|r| (r.server, r.publishers, r.runs, r.cpu_ms_per_stream_second, r.cpu_over_peer))
            .collect();
        assert_eq!(
            facts,
            [
                ("castctl", 20, 3, 4.0, Some(2.0)),
                ("peer", 20, 2, 2.0, None),
                ("castctl", 50, 1, 9.0, None),
            ]
        );
        assert_eq!(rows[0].window_mib_per_stream, Some(0.5));
        assert_eq!(rows[1].window_mib_per_stream, None);
        let text = ingest_table(&rows);
        assert!(text.lines().count() >= 5 && text.contains("2.00"), "{text}");
    }

    #[test]
    fn a_latency_table_leaves_out_what_was_not_measured() {
        let mut report = latency::Report {
            all_frames: Some(Summary {
                count: 10,
                median: 120.0,
                p95: 200.0,
                p99: 205.0,
                max: 210.0,
            }),
            newest_frame: None,
            part_downloadable: None,
            first_media_after_publish: Some(250.04),
            first_media_after_key_frame: None,
            playable_after_key_frame: None,
            frames_sent: 12,
            frames_seen: 10,
        };
        let text = latency_table(&report);
        assert!(text.contains("120.0") && text.contains("250.0"), "{text}");
        assert!(!text.contains("newest"), "{text}");
        report.all_frames = None;
        assert!(!latency_table(&report).contains("120.0"));
    }
}
