//! Players of four makes at the same time, through a balancer without stickiness and through a
//! cache, in front of two edges; the encoder is cut off in the middle and comes back.
//! `PLAYERS_SECONDS` says for how long (`scripts/players`).

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::nodes::{Nodes, addr, base};
use crate::oracle::playlist::Playlist;
use crate::process::{Ended, Process, ffmpeg};
use crate::proxies::{Cache, Hits, balancer, cache, nginx_cache};
use crate::rules::live::{Air, answered};
use crate::server::{KEY, PATIENCE, local};
use castctl::hls::window::LIVE_WINDOW;
use castctl::media::flv::file::Tag;
use castctl::rt::task;
use reqwest::{StatusCode, Url};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Seconds that each player plays in CI.
const SECONDS: u64 = 45;

/// Seconds that a cut may cost a player: eight and more until the first gap is listed, two until a
/// segment is, and what the player needs to find it.
const CUT: f64 = 18.0;

/// Seconds that a player may begin later than the others.
const LATE: f64 = 5.0;

/// What one player did.
#[derive(Debug)]
struct Played {
    name: String,
    advanced: f64,
    stalls: String,
    latency: String,
    events: String,
    fatal: Vec<String>,
}

fn number(seen: &Value, field: &str) -> f64 {
    seen[field].as_f64().unwrap_or(f64::NAN)
}

/// hls.js and shaka-player in one Chromium, each in front of each proxy.
fn browsers(seconds: u64, through: &[(&str, &Url)]) -> Process {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/players.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(seconds.to_string());
    for (name, url) in through {
        for player in ["hls.js", "shaka"] {
            node.arg(format!("{player} {name}={player},{url}"));
        }
    }
    Process::start(&mut node)
}

fn of_browsers(ended: &Ended) -> Vec<(Value, Played)> {
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
    let lines = ended.out.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
    let played = |seen: Value| {
        let events = seen["events"].as_object().into_iter().flatten();
        let events: Vec<String> = events.map(|(what, n)| format!("{what} {n}")).collect();
        let fatal = seen["fatal"].as_array().into_iter().flatten().map(Value::to_string);
        let played = Played {
            name: seen["name"].as_str().unwrap_or_default().to_owned(),
            advanced: number(&seen, "advanced"),
            stalls: format!("{} ({:.1} s)", seen["stalls"], number(&seen, "stood")),
            latency: format!("{:.2} s", number(&seen, "latency")),
            events: if events.is_empty() { "-".into() } else { events.join(", ") },
            fatal: fatal.collect(),
        };
        (seen, played)
    };
    lines.filter(|l| l["name"].is_string()).map(played).collect()
}

/// ffmpeg decodes picture and sound for so many seconds of media.
fn plays_ffmpeg(seconds: u64, url: &Url) -> Process {
    let words = format!(
        "-loglevel warning -i {url} -t {seconds} -progress pipe:1 -fps_mode passthrough \
         -enc_time_base -1 -f null -"
    );
    Process::start(&mut ffmpeg(&words))
}

fn of_ffmpeg(name: &str, ended: &Ended) -> Played {
    let micros = ended.out.lines().filter_map(|l| l.strip_prefix("out_time_us="));
    let advanced = micros.filter_map(|n| n.parse::<f64>().ok()).fold(0.0, f64::max) / 1e6;
    let said = ended.err.lines().count();
    let fatal = match ended.code {
        Some(0) => Vec::new(),
        code => vec![format!("ended with {code:?}: {}", ended.err)],
    };
    let (stalls, latency) = ("-".into(), "-".into());
    let events = format!("{said} lines of warnings");
    Played { name: format!("ffmpeg {name}"), advanced, stalls, latency, events, fatal }
}

/// GStreamer decodes picture and sound by its clock, until it is told to end.
fn plays_gstreamer(url: &Url) -> Process {
    let mut gst = Command::new("gst-launch-1.0");
    gst.args(["-v", "playbin3", &format!("uri={url}")]);
    gst.arg("video-sink=fakesink name=eye silent=false sync=true");
    Process::start(gst.arg("audio-sink=fakesink name=ear sync=true"))
}

fn of_gstreamer(name: &str, ended: &Ended) -> Played {
    let times: Vec<f64> = ended.out.lines().filter_map(shown_at).collect();
    let of = |line: &&str| line.contains("WARNING") && !line.contains("erroneous");
    let said = ended.out.lines().chain(ended.err.lines()).filter(of).count();
    let errors = ended.err.lines().filter(|l| l.contains("ERROR") && !is_own_assertion(l));
    // A discontinuity may begin a new count: what was advanced is the sum of the steps.
    let steps = times.windows(2).map(|w| w[1] - w[0]).filter(|d| (0.0..1.0).contains(d));
    Played {
        name: format!("GStreamer {name}"),
        advanced: steps.sum(),
        stalls: "-".into(),
        latency: "-".into(),
        events: format!("{said} warnings"),
        fatal: errors.map(str::to_owned).collect(),
    }
}

/// GStreamer (1.22 to 1.26) looks for `EXT-X-GAP:`, with a colon that the tag does not have. It
/// asks for an absent segment every 10 ms until that has left the live window, then takes the next
/// one with a retry still scheduled, and aborts in `on_manifest_update`.
fn is_own_assertion(line: &str) -> bool {
    line.contains("gstadaptivedemux") && line.contains("assertion failed")
}

/// Seconds of a picture's time in a sink's line.
fn shown_at(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once("chain").filter(|_| line.contains("eye"))?;
    let (_, pts) = rest.split_once("pts: ")?;
    let mut fields = pts.split(',').next()?.split(':').map(str::parse::<f64>);
    let mut next = || fields.next()?.ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}

/// ffmpeg 5.1 knows no EXT-X-GAP either: it may ask for the gap until that has left the playlist.
const GAP_LISTED: Duration = Duration::from_micros(LIVE_WINDOW.unsigned_abs());

fn publishes(rtmp: SocketAddr, tags: &[Tag]) -> JoinHandle<Option<()>> {
    let tags = tags.to_vec();
    task::spawn("encoder", async move {
        let mut encoder = Encoder::connect(rtmp, KEY).await.expect("accepted");
        // Ends with the test, or is cut off.
        let _ = encoder.real_time(&tags, |t| t).await;
    })
}

/// Waits while so many more segments are listed.
async fn listed(session: &Url, more: u64) {
    let end = |p: &Playlist| p.media_sequence + p.segments.len() as u64;
    let from = end(&fetched::media(session, "video").await);
    for step in 1..=more {
        fetched::media_until(session, "video", |p| end(p) >= from + step).await;
    }
}

fn hit_ratio(hits: Hits) -> String {
    let percent = 100.0 * hits.hits as f64 / hits.all.max(1) as f64;
    format!("{} of {} ({percent:.0} %)", hits.hits, hits.all)
}

/// Past the capture of the test runner: the figures belong into CI's output.
fn print(seconds: u64, played: &[Played], cache: &Cache) {
    let mut text = format!(
        "\n{:<26} {:>9} {:>12} {:>8}  not fatal\n",
        format!("{seconds} s through"),
        "advanced",
        "stalls",
        "latency"
    );
    for p in played {
        let advanced = format!("{:.1} s", p.advanced);
        text += &format!(
            "{:<26} {advanced:>9} {:>12} {:>8}  {}\n",
            p.name, p.stalls, p.latency, p.events
        );
    }
    let (media, reloads) = cache.hits();
    text += &format!("cache hits: media {}, ", hit_ratio(media));
    text += &format!("blocking reloads {}\n", hit_ratio(reloads));
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn four_players_play_through_a_balancer_and_a_cache() {
    let wanted = std::env::var("PLAYERS_SECONDS").ok();
    let seconds = wanted.map_or(SECONDS, |s| s.parse().expect("PLAYERS_SECONDS: a number"));
    let nodes = Nodes::with("");
    let origin = nodes.origin(local(), local()).await;
    let upstream = origin.line("internal");
    let edges = [nodes.edge(upstream, local()).await, nodes.edge(upstream, local()).await];
    let viewers = edges.each_ref().map(|e| addr(e, "viewers"));
    let balancer = balancer(nodes.dir(), &viewers).await;
    let cache = cache(nodes.dir(), &viewers).await;
    let length = u32::try_from(seconds).expect("short") + 60;
    let tags = clip::tags(&clip::make(nodes.dir(), "clip", length, "-g 50").await);
    let encoder = publishes(addr(&origin, "rtmp"), &tags);
    let session = fetched::session(&base(&edges[0]), "main").await;
    let entry = |base: Url| base.join("live/main/index.m3u8").expect("a URL");
    let (plain, cached) = (entry(balancer.base()), entry(cache.proxy.base()));
    let through = [("balancer", &plain), ("cache", &cached)];
    let mut chromium = browsers(seconds, &through);
    let ffmpegs = through.map(|(_, url)| plays_ffmpeg(seconds, url));
    let gstreamers = through.map(|(_, url)| plays_gstreamer(url));
    chromium.prints("\"playing\"", 4).await;
    // A third of the time, in segments of two seconds; then the cable is pulled.
    listed(&session, seconds / 6).await;
    encoder.abort();
    fetched::media_until(&session, "video", |p| p.segments.iter().any(|s| s.gap)).await;
    let encoder = publishes(addr(&origin, "rtmp"), &tags);
    let ended = chromium.ended_within(Duration::from_secs(seconds + 120)).await;
    let browsers = of_browsers(&ended);
    let mut ended = Vec::new();
    for ((name, _), process) in through.iter().zip(gstreamers) {
        process.signal(Signal::TERM);
        ended.push(of_gstreamer(name, &process.ended().await));
    }
    for ((name, _), process) in through.iter().zip(ffmpegs) {
        ended.push(of_ffmpeg(name, &process.ended_within(PATIENCE + GAP_LISTED).await));
    }
    encoder.abort();
    let (seen, mut played): (Vec<Value>, Vec<Played>) = browsers.into_iter().unzip();
    played.extend(ended);
    print(seconds, &played, &cache);
    judge(seconds, &seen, &played);
    let (media, reloads) = cache.hits();
    assert!(media.hits > 0 && reloads.hits > 0, "{media:?} {reloads:?}");
}

/// GStreamer 1.22 knows no EXT-X-GAP: it asks for the gap, whose answer is 404, again with every
/// reload until the gap has left the playlist, and only then goes on. It is judged until the cut.
fn judge(seconds: u64, seen: &[Value], played: &[Played]) {
    assert_eq!(played.len(), 8, "{played:?}");
    for p in played {
        let whole = if p.name.starts_with("GStreamer") { seconds / 3 } else { seconds };
        assert!(p.fatal.is_empty(), "{p:?}");
        assert!(p.advanced >= whole as f64 - if whole == seconds { CUT } else { LATE }, "{p:?}");
    }
    for s in seen {
        // Back at the live edge, well after the cut, on the same page.
        assert!(number(s, "advancedLast") >= 0.6 * number(s, "secondsLast"), "{s}");
        assert!(number(s, "audioBytes") > 0.0, "{s}");
    }
}

/// The configurations of the manual page, with many viewers that wait for the same: one answer of
/// an edge serves them, whatever else stands in their queries.
#[tokio::test(flavor = "multi_thread")]
async fn the_pages_caches_ask_once_for_many() {
    let mut air = Air::on(12_500).await;
    let edges = [air.edge.clone(), air.stage.edge().await];
    let edges = edges.map(|url| url.socket_addrs(|| None).expect("an address")[0]);
    let dir = tempfile::tempdir().expect("a directory");
    let caches = [nginx_cache(dir.path(), &edges).await, cache(dir.path(), &edges).await.proxy];
    for cache in &caches {
        let (msn, part) = air.settled().await.next().expect("parts");
        let query = format!("_HLS_msn={msn}&_HLS_part={part}");
        let queries = ["", "&token=a", "&_HLS_other=1"].map(|other| format!("{query}{other}"));
        let waiting: Vec<_> = (0..30)
            .map(|n| {
                let path = air.url(&format!("video/index.m3u8?{}", queries[n % 3]));
                let path = format!("{}?{}", path.path(), path.query().unwrap_or_default());
                task::spawn("viewer", fetched::get(cache.base().join(&path).expect("a URL")))
            })
            .collect();
        // All of them wait at the cache before there is an answer.
        air.settled().await;
        air.more(400).await;
        let mut etags = BTreeSet::new();
        for waiting in waiting {
            let answer = answered(waiting).await;
            assert_eq!(answer.status(), StatusCode::OK);
            etags.insert(answer.headers()["etag"].to_str().expect("text").to_owned());
        }
        assert_eq!(etags.len(), 1, "one answer");
        // Another directive has another answer, and media is kept.
        let list = air.settled().await;
        let uri = list.segments[0].uri.clone().expect("complete");
        let segment = air.url(&format!("video/{uri}"));
        let through = || cache.base().join(segment.path()).expect("a URL");
        let first = fetched::ok(through()).await;
        assert_eq!(first, fetched::ok(segment.clone()).await);
        let again = fetched::get(through()).await;
        let headers = again.headers();
        let hit = headers.get("x-cache-status").is_some_and(|s| s == "HIT")
            || headers
                .get("x-varnish")
                .is_some_and(|ids| ids.to_str().is_ok_and(|i| i.contains(' ')));
        assert!(hit, "{headers:?}");
        assert_eq!(again.bytes().await.expect("a body"), first);
        // The entry leads each viewer on with its own query.
        for query in ["", "?token=a", "?token=b", "?token=a"] {
            let entry = format!("live/main/index.m3u8{query}");
            let answer = fetched::get(cache.base().join(&entry).expect("a URL")).await;
            let want = format!("/live/main/s1/index.m3u8{query}");
            assert_eq!(answer.headers()["location"], want, "{entry}");
        }
        // Errors are not kept.
        let gone = air.url(&format!("video/{}x", uri));
        for _ in 0..2 {
            let answer = fetched::get(cache.base().join(gone.path()).expect("a URL")).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
            let status = answer.headers().get("x-cache-status").map(|s| s != "HIT");
            assert!(status.unwrap_or(true), "{:?}", answer.headers());
        }
    }
    air.end().await.close();
}
