//! A browser plays: the watch page with hls.js in Chromium, two seconds behind.

use crate::clip;
use crate::process::{Process, ffmpeg};
use crate::server::{KEY, Server, channel, silent};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Seconds that are watched.
const SECONDS: f64 = 45.0;

/// Runs the player script on a page; what it saw.
async fn watch(url: &str) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/play.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(url).arg(SECONDS.to_string());
    let process = Process::start(&mut node);
    let ended = process.ended_within(std::time::Duration::from_secs(120)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.out))
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_js_plays_two_seconds_behind_without_a_stall() {
    let server = Server::start(vec![channel("main", &[KEY])]).await;
    let oracle = server.oracle("main");
    let fixture = clip::fixture();
    let words = format!("-re -stream_loop -1 -i {} -c copy -f flv", fixture.display());
    let publisher = Process::start(ffmpeg(&words).arg(server.publish_url(KEY)));
    let seen = watch(server.url("/watch/main").as_str()).await;
    drop(publisher);
    let number = |path: &str| seen.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    assert_eq!(number("/stalls"), 0.0, "{seen}");
    assert_eq!(number("/videoWidth"), 640.0, "{seen}");
    assert!(number("/latency/median") < 2.5, "{seen}");
    // The playback rate may differ from one by a little while hls.js seeks its distance.
    assert!((number("/advanced") - number("/seconds")).abs() < 2.0, "{seen}");
    assert!(number("/seconds") >= SECONDS, "{seen}");
    assert!(number("/audioBytes") > 0.0, "{seen}");
    assert_eq!(seen["errors"].as_array().map(Vec::len), Some(0), "{seen}");
    silent(&oracle.report().await);
    server.stop().await;
}
