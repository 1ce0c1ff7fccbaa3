//! `castctl bench` from its words to its JSON, small: what it reports and how, never how fast.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Runs `castctl bench` with a clip of the tree in a directory of its own; answers its JSON.
fn bench(args: &[&str]) -> Value {
    let dir = tempfile::tempdir().expect("a directory");
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/media/bbb.flv");
    let mut castctl = Command::new(env!("CARGO_BIN_EXE_castctl"));
    castctl.arg("bench").args(args).arg("--json").arg("--clip").arg(clip);
    let done = castctl.arg("--dir").arg(dir.path()).output().expect("castctl runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{:?}: {said}", done.status);
    assert_eq!(std::fs::read_dir(dir.path()).expect("it is there").count(), 0, "nothing is left");
    serde_json::from_slice(&done.stdout).expect("JSON")
}

#[test]
fn two_publishers_with_a_viewer_each_are_measured() {
    let figures = bench(&["ingest", "--publishers", "2", "--seconds", "3"]);
    let (rows, runs) = (&figures["rows"], &figures["runs"]);
    assert_eq!((rows.as_array().map(Vec::len), runs.as_array().map(Vec::len)), (Some(1), Some(1)));
    assert_eq!(rows[0]["server"], "castctl");
    assert_eq!(rows[0]["publishers"], 2);
    assert_eq!(rows[0]["cpu_over_peer"], Value::Null);
    for field in ["cpu_ms_per_stream_second", "rss_mib_per_stream", "window_mib_per_stream"] {
        assert!(rows[0][field].as_f64().is_some_and(|v| v > 0.0), "{field}: {rows}");
    }
    for field in ["playlists", "media", "bytes"] {
        assert!(runs[0]["viewers"][field].as_u64().is_some_and(|v| v > 0), "{field}: {runs}");
    }
    assert_eq!(runs[0]["viewers"]["errors"], 0, "{runs}");
}

#[test]
fn latency_follows_frames_to_the_viewer() {
    let figures = bench(&["latency", "--seconds", "2"]);
    for field in ["all_frames", "newest_frame", "part_downloadable"] {
        let summary = &figures[field];
        assert!(summary["count"].as_u64().is_some_and(|n| n > 0), "{field}: {figures}");
        let of = |name: &str| summary[name].as_f64().unwrap_or(-1.0);
        assert!(0.0 <= of("median") && of("median") <= of("p95") && of("p95") <= of("max"));
    }
    let (sent, seen) = (&figures["frames_sent"], &figures["frames_seen"]);
    assert!(seen.as_u64() <= sent.as_u64(), "{figures}");
    assert!(figures["first_media_after_publish"].as_f64().is_some_and(|v| v > 0.0), "{figures}");
}

#[test]
fn viewers_are_measured_and_answers_compared_with_nginx() {
    // Enough of both that the server's clock, which counts in 10 ms, sees them.
    let figures = bench(&["viewers", "--viewers", "12", "--seconds", "2", "--rounds", "1"]);
    let run = &figures["viewers"][0];
    assert_eq!((&run["viewers"], &run["renditions"]), (&12.into(), &2.into()), "{figures}");
    for field in ["cpu_ms_per_viewer_second", "bits_per_second", "server_core", "load_core"] {
        assert!(run[field].as_f64().is_some_and(|v| v > 0.0), "{field}: {figures}");
    }
    for field in ["listed_ms", "arrived_ms"] {
        assert!(run[field]["count"].as_u64().is_some_and(|n| n > 0), "{field}: {figures}");
    }
    assert_eq!(run["seen"]["errors"], 0, "{figures}");
    let answers = figures["answers"].as_array().expect("an array");
    let of = |a: &Value| format!("{} {}", a["of"], a["server"]).replace('"', "");
    let kinds: Vec<String> = answers.iter().map(of).collect();
    let both = ["segment castctl", "segment nginx", "playlist castctl", "playlist nginx"];
    assert_eq!(kinds, both);
    for pair in answers.chunks(2) {
        assert_eq!(pair[0]["body_bytes"], pair[1]["body_bytes"], "the same bytes");
        assert!(pair.iter().all(|a| a["per_second"].as_f64().is_some_and(|v| v > 0.0)));
    }
}

#[test]
fn collecting_is_measured_beside_rclone_and_by_what_viewers_notice() {
    let bucket = tempfile::tempdir().expect("a directory");
    let to = format!("file://{}/archive", bucket.path().display());
    let words = ["collect", "--to", &to, "--mib", "100", "--rounds", "2", "--seconds", "2"];
    let figures = bench(&words);
    let speed = &figures["speed"];
    // 8 logs of 12.5 MiB, each read back of castctl and of rclone's two ways in both rounds.
    assert_eq!((&speed["extents"], &speed["verified"]), (&8.into(), &48.into()), "{speed}");
    assert!(speed["bytes"].as_u64().is_some_and(|b| b > 100 << 20), "{speed}");
    let ways = speed["rclone"].as_array().expect("ways");
    let names: Vec<&str> = ways.iter().filter_map(|w| w["way"].as_str()).collect();
    assert_eq!(names, ["whole files", "parts of 8 MiB"]);
    for took in ways.iter().chain([&speed["castctl"]]) {
        for field in ["seconds", "cpu_seconds", "mib_per_second"] {
            assert!(took[field].as_f64().is_some_and(|v| v > 0.0), "{field}: {speed}");
        }
    }
    for way in ways {
        let of = |took: &Value| took["seconds"].as_f64().unwrap_or(0.0);
        let ratio = way["castctl_seconds_over"].as_f64().unwrap_or(0.0);
        assert!((ratio - of(&speed["castctl"]) / of(way)).abs() < 1e-6, "{speed}");
    }
    let ingest = &figures["ingest"];
    for run in ["without", "with"] {
        let parts = &ingest[run]["newest_frame"];
        assert!(parts["count"].as_u64().is_some_and(|n| n > 0), "{run}: {ingest}");
    }
    assert!(ingest["collected_mib"].as_f64().is_some_and(|v| v >= 100.0), "{ingest}");
    let left = std::fs::read_dir(bucket.path().join("archive")).expect("it is there");
    let files = left.filter(|e| e.as_ref().is_ok_and(|e| e.path().is_file()));
    assert_eq!(files.count(), 0, "what was put there is taken away");
}

#[test]
fn an_export_that_fails_is_no_figure() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut castctl = Command::new(env!("CARGO_BIN_EXE_castctl"));
    castctl.args(["bench", "export", "/does/not/exist", "--dir"]).arg(dir.path());
    let done = castctl.output().expect("castctl runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(3), "{said}");
    assert!(said.contains("there is no log at /does/not/exist"), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("it is there").count(), 0, "nothing is left");
}

#[test]
fn a_log_is_written_read_and_recovered() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut castctl = Command::new(env!("CARGO_BIN_EXE_castctl"));
    castctl.args(["bench", "log", "--mib", "4", "--json", "--dir"]).arg(dir.path());
    let done = castctl.output().expect("castctl runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{:?}: {said}", done.status);
    assert_eq!(std::fs::read_dir(dir.path()).expect("it is there").count(), 0, "nothing is left");
    let figures: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    // A record's head is 32 bytes; the generation's own record is shared by all.
    assert!((32.0..33.0).contains(&figures["overhead_per_packet"].as_f64().unwrap_or(0.0)));
    for field in ["append_gb_per_second", "scan_gb_per_second", "recover_gb_per_second"] {
        assert!(figures[field].as_f64().is_some_and(|v| v > 0.0), "{field}: {figures}");
    }
}

#[test]
fn a_playlist_version_costs_what_is_new() {
    let mut castctl = Command::new(env!("CARGO_BIN_EXE_castctl"));
    let done = castctl.args(["bench", "playlist", "--hours", "1,4", "--json"]).output();
    let done = done.expect("castctl runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{:?}: {said}", done.status);
    let rows: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let rows = rows.as_array().expect("rows");
    let names: Vec<&str> = rows.iter().filter_map(|r| r["playlist"].as_str()).collect();
    assert_eq!(names, ["live", "1 h", "4 h"]);
    let text = |i: usize| rows[i]["text"].as_u64().unwrap_or(0);
    // Segments of 2 s, 1800 an hour.
    assert!((60 * 1800..160 * 1800).contains(&text(1)), "{rows:?}");
    assert!(text(2) > 3 * text(1) && text(0) < 20_000, "{rows:?}");
    for row in rows {
        for field in ["version_us", "version_gzip_us", "first_gzip_ms", "gzip"] {
            assert!(row[field].as_f64().is_some_and(|v| v > 0.0), "{field}: {row}");
        }
    }
}
