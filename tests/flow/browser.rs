//! A browser plays: the watch page with hls.js in Chromium, two seconds behind.

use crate::announced::cue;
use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::oracle::playlist::Playlist;
use crate::oracle::{Exception, Seen};
use crate::process::{Process, ffmpeg, run};
use crate::server::{KEY, PATIENCE, Server, channel, silent};
use castctl::base::time::Wall;
use castctl::rt::task;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Runs the player script on a page.
fn player(url: &str, seconds: f64) -> Process {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/play.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(url).arg(seconds.to_string());
    Process::start(&mut node)
}

/// Runs the player script on a page; what it saw in so many seconds.
pub(crate) async fn watch(url: &str, seconds: f64) -> Value {
    seen(player(url, seconds)).await
}

async fn seen(process: Process) -> Value {
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
    // T07's other half: caches that take the query as it is hit.
    assert!(number(&seen, "/reloads") > 50.0 && seen["disorder"] == 0, "{seen}");
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

/// A page that was opened with a moment: it plays from there while the channel goes on.
#[tokio::test(flavor = "multi_thread")]
async fn hls_js_plays_from_the_past_while_it_is_live() {
    let server = Server::start(vec![channel("main", &[KEY])]).await;
    let oracle = server.oracle("main");
    let publisher = publish(&server);
    let begun = |seen: &Seen| seen.newest.len() == 2 && seen.newest.values().all(|n| *n >= 1008);
    oracle.until(PATIENCE, begun).await;
    let seen = watch(server.url("/watch/main?from=-12").as_str(), 12.0).await;
    drop(publisher);
    assert_eq!((number(&seen, "/stalls"), &seen["state"]), (0.0, &"live".into()), "{seen}");
    let (advanced, seconds) = (number(&seen, "/advanced"), number(&seen, "/seconds"));
    assert!(seconds >= 11.5 && (advanced - seconds).abs() < 1.0, "{seen}");
    // A segment begins up to a few seconds before the moment, and starting takes its time.
    let latency = number(&seen, "/latency/median");
    assert!((12.0..22.0).contains(&latency), "{seen}");
    assert!(number(&seen, "/reloads") > 10.0 && seen["disorder"] == 0, "{seen}");
    assert!(seen["session"].as_str().is_some_and(|s| s.contains("/s1/from-")), "{seen}");
    assert_eq!(seen["errors"].as_array().map(Vec::len), Some(0), "{seen}");
    oracle.except(Exception::Holes);
    silent(&oracle.report().await);
    server.stop().await;
}

/// Milliseconds of the clip at which black becomes white.
const FLASH: i64 = 24_000;

/// What a frame lasts, in seconds.
const FRAME: f64 = 0.04;

/// The date at which the flash will be on air, as the newest segments say.
async fn flash(server: &Server) -> Wall {
    let session = fetched::session(&server.url("/"), "main").await;
    let complete = |p: &Playlist| p.segments.iter().any(|s| s.uri.is_some());
    let list = fetched::media_until(&session, "video", complete).await;
    let s = list.segments.into_iter().rfind(|s| s.uri.is_some()).expect("complete");
    let at = |uri: &Option<String>| {
        let uri = uri.as_ref().expect("complete, with an init section");
        session.join(&format!("video/{uri}")).expect("a URL")
    };
    let init = fetched::ok(at(&s.map)).await;
    let first = fetched::fragments(&fetched::ok(at(&s.uri)).await)[0].pts;
    let first = first * 1_000 / i64::from(fetched::timescale(&init));
    assert!(first + 3_000 < FLASH, "the player began too late: at {first} ms of the clip");
    Wall(s.pdt.expect("a date") + (FLASH - first) * 1_000)
}

/// Black becomes white, and a cue is announced for that moment while the page plays: it comes up
/// with the first white frame. Within a frame: that callback for a frame may come with the next.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_a_cue_with_its_frame() {
    let server = Server::start(vec![channel("main", &[KEY])]).await;
    let clip = server.data().join("flash.flv");
    let words = format!(
        "-y -f lavfi -i color=black:s=320x180:r=25,\
         drawbox=color=white:t=fill:enable='gte(t,{})' -f lavfi -i sine=sample_rate=48000 -t 40 \
         -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 50 -bf 0 -c:a aac",
        FLASH / 1000
    );
    let made = run(ffmpeg(&words).arg(&clip)).await;
    assert_eq!(made.code, Some(0), "{}", made.err);
    let tags: Vec<_> = clip::tags(&clip);
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    let encoder = task::spawn("encoder", async move { encoder.real_time(&tags, |t| t).await });
    fetched::session(&server.url("/"), "main").await;
    // From the page's first frame to well behind the flash, whenever it began.
    let mut page = player(server.url("/watch/main").as_str(), FLASH as f64 / 1000.0 + 4.0);
    page.says("playing").await;
    let at = flash(&server).await.to_string();
    let api = format!("http://{}", server.internal);
    let words = ["--id", "flash", "--class", "com.example.light", "--at", &at];
    let told = cue(&api, &[&words[..], &["--data", "{\"light\": \"on\"}"]].concat()).await;
    assert_eq!((told.code, &*told.err), (Some(0), ""));
    let seen = seen(page).await;
    encoder.abort();
    assert_eq!(seen.pointer("/cues/0/id").and_then(Value::as_str), Some("flash"), "{seen}");
    assert_eq!(seen.pointer("/cues/0/data").and_then(Value::as_str), Some("{\"light\": \"on\"}"));
    let (shown, start) = (number(&seen, "/cues/0/shown"), number(&seen, "/cues/0/start"));
    assert!((0.0 - 0.011..=FRAME).contains(&(shown - start)), "{shown} for {start}: {seen}");
    let bright = number(&seen, "/brightAt");
    assert!((shown - bright).abs() <= FRAME + 0.001, "{shown}, white at {bright}: {seen}");
    server.stop().await;
}
