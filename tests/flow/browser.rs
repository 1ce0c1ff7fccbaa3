//! A browser plays: the watch page with hls.js in Chromium, two seconds behind.

use crate::clip;
use crate::oracle::{Exception, Seen};
use crate::process::Process;
use crate::server::{KEY, PATIENCE, Server, channel, silent};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Runs the player script on a page; what it saw in so many seconds.
pub(crate) async fn watch(url: &str, seconds: f64) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/play.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(url).arg(seconds.to_string());
    let process = Process::start(&mut node);
    let ended = process.ended_within(std::time::Duration::from_secs(120)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    serde_json::from_str(&ended.out).unwrap_or_else(|e| panic!("{e}: {}", ended.out))
}

pub(crate) fn number(seen: &Value, path: &str) -> f64 {
    seen.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// The fixture in a loop, in real time, as the demo publishes it.
fn publish(server: &Server) -> Process {
    let url = server.publish_url(KEY);
    let mut replay = std::process::Command::new(env!("CARGO_BIN_EXE_castctl"));
    replay.args(["replay", "--loop"]).arg(clip::fixture()).arg(url.as_str());
    Process::start(&mut replay)
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_js_plays_two_seconds_behind_without_a_stall() {
    let server = Server::start(vec![channel("main", &[KEY])]).await;
    let oracle = server.oracle("main");
    let publisher = publish(&server);
    let begun = |seen: &Seen| seen.newest.len() == 2 && seen.newest.values().all(|n| *n >= 1004);
    oracle.until(PATIENCE, begun).await;
    let seen = watch(server.url("/watch/main").as_str(), 45.0).await;
    drop(publisher);
    assert_eq!(number(&seen, "/stalls"), 0.0, "{seen}");
    assert_eq!(number(&seen, "/videoWidth"), 640.0, "{seen}");
    assert!(number(&seen, "/latency/median") < 2.5, "{seen}");
    // The playback rate may differ from one by a little while hls.js seeks its distance.
    let (advanced, seconds) = (number(&seen, "/advanced"), number(&seen, "/seconds"));
    assert!(seconds >= 44.5 && (advanced - seconds).abs() < 2.0, "{seen}");
    assert!(number(&seen, "/audioBytes") > 0.0, "{seen}");
    assert_eq!(seen["errors"].as_array().map(Vec::len), Some(0), "{seen}");
    oracle.except(Exception::Holes);
    silent(&oracle.report().await);
    server.stop().await;
}

/// The page is opened with the encoder: no player may meet a playlist that it takes for broken.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_there_from_the_start_plays() {
    let server = Server::start(vec![channel("main", &[KEY])]).await;
    let oracle = server.oracle("main");
    let publisher = publish(&server);
    let seen = watch(server.url("/watch/main").as_str(), 6.0).await;
    drop(publisher);
    let fatal = seen["errors"].as_array().map(|all| all.iter().any(|e| e["fatal"] == true));
    assert_eq!(fatal, Some(false), "{seen}");
    assert!(number(&seen, "/advanced") > 4.0, "{seen}");
    oracle.except(Exception::Holes);
    silent(&oracle.report().await);
    server.stop().await;
}
