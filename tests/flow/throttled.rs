//! A browser whose network becomes narrow, and wide again: hls.js goes down the ladder and up.

use crate::clip;
use crate::fetched;
use crate::ladder;
use crate::oracle::Exception;
use crate::process::Process;
use crate::server::{KEY, silent};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The source's height, whose rendition takes 2.5 Mbit/s.
const SOURCE: u64 = 720;

/// How the source is encoded: a key frame a second, and so many bits whatever it shows.
const CODED: &str = "-s 1280x720 -g 25 -b:a 64k -b:v 2500k -minrate 2500k -maxrate 2500k \
                     -bufsize 2500k -x264-params nal-hrd=cbr:force-cfr=1";

/// Less than the source takes, and more than any of its rungs does with its sound.
const NARROW: &str = "throttle=1200@14-34";

/// What a player showed: when, in seconds, which height.
fn heights(seen: &Value) -> Vec<(f64, u64)> {
    let pair = |p: &Value| Some((p[0].as_f64()?, p[1].as_u64()?));
    seen["heights"].as_array().into_iter().flatten().filter_map(pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hls_js_goes_down_the_ladder_and_up_as_its_network_does() {
    let server = ladder::server(Duration::from_secs(8)).await;
    let oracle = server.oracle("main");
    let mut replay = Command::new(env!("CARGO_BIN_EXE_castctl"));
    let dir = tempfile::tempdir().expect("a directory");
    let clip = clip::make(dir.path(), "wide", 20, CODED).await;
    replay.args(["replay", "--loop"]).arg(&clip).arg(server.publish_url(KEY));
    let publisher = Process::start(&mut replay);
    let session = fetched::session(&server.url("/"), "main").await;
    fetched::media_until(&session, "90p", |p| ladder::whole(p) >= 4).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/players.mjs");
    let mut node = Command::new("node");
    let page = format!("page=hls.js-abr,{}", server.url("/live/main/index.m3u8"));
    node.arg(script).args(["75", NARROW, &page]);
    let ended = Process::start(&mut node).ended_within(Duration::from_secs(150)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    drop(publisher);
    let last = ended.out.lines().last().expect("what it did");
    let seen: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!((&seen["stalls"], &seen["fatal"]), (&0.into(), &Value::Array(vec![])), "{seen}");
    let heights = heights(&seen);
    let source = |at: &&(f64, u64)| at.1 == SOURCE;
    let first = heights.iter().find(source).map(|(at, _)| *at);
    let down = heights.iter().find(|(at, h)| *at > 14.0 && *h < SOURCE).map(|(at, _)| *at);
    let up = heights.iter().filter(source).find(|(at, _)| Some(*at) > down).map(|(at, _)| *at);
    assert!(first < Some(14.0) && first.is_some(), "the best while it can: {seen}");
    assert!(down.is_some() && down < up, "down and up again: {seen}");
    let advanced = seen["advanced"].as_f64().unwrap_or_default();
    assert!(advanced > 73.0, "{seen}");
    oracle.except(Exception::Holes);
    silent(&oracle.report().await);
    server.stop().await;
}
