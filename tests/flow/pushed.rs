//! Channels pushed into a bucket while they are live: what a CDN in front of it sees, at every
//! moment, is whole, and what the edge serves.

use crate::bucket::{BUCKET, Moto, Proxy};
use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::oracle::playlist::{self, Playlist};
use crate::process::{Up, castctl_up, ffmpeg, run};
use crate::server::{KEY, PATIENCE, local, within};
use castctl::rt::task;
use reqwest::{StatusCode, Url};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

const MANIFEST: &str = "channels:
  - name: main
    keys: [main-key-1]
    segment: 1s
    targetDuration: 2s
    part: 200ms
    reconnectWindow: 6s
    hlsTo: s3://castctl-test/public
";

/// `castctl up` on `data`, which reaches its bucket through the proxy.
async fn up(data: &Path, proxy: &Proxy, ports: [std::net::SocketAddr; 3]) -> Up {
    let manifest = data.join("castctl.yaml");
    std::fs::write(&manifest, MANIFEST).expect("written");
    let mut command = castctl_up(data);
    for (flag, port) in ["--rtmp", "--viewers", "--admin"].iter().zip(ports) {
        command.arg(flag).arg(port.to_string());
    }
    command.arg("--manifest").arg(&manifest).envs(proxy.settings());
    Up::run(command).await
}

/// What a CDN is told of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    content_type: String,
    cache: String,
    bytes: bytes::Bytes,
}

async fn get(url: Url) -> Option<Told> {
    let answer = fetched::get(url.clone()).await;
    if answer.status() == StatusCode::NOT_FOUND {
        return None;
    }
    assert_eq!(answer.status(), StatusCode::OK, "{url}");
    let header = |name: &str| {
        let value = answer.headers().get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (content_type, cache) = (header("content-type"), header("cache-control"));
    Some(Told { content_type, cache, bytes: answer.bytes().await.expect("a body") })
}

/// What was seen in the bucket.
#[derive(Debug, Default)]
struct Seen {
    /// The newest version of each media playlist, by its path below the prefix.
    lists: BTreeMap<String, Playlist>,
    /// Media by its path: what it is.
    media: BTreeMap<String, Told>,
    /// Gaps that were listed.
    gaps: BTreeSet<String>,
    versions: usize,
}

/// Polls the bucket as a CDN would, from the channel's own playlist on, and downloads whatever is
/// listed the moment that it is.
struct Cdn {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<Option<()>>,
}

const PRELUDE: &str = "application/vnd.apple.mpegurl";

impl Cdn {
    fn watch(base: Url) -> Cdn {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let poll = poll(base, Arc::clone(&seen));
        Cdn { task: task::spawn("a CDN", poll), seen }
    }

    /// Waits until what was seen is as wished.
    async fn until(&self, what: &str, wish: impl Fn(&Seen) -> bool) {
        within(what, async {
            let mut pause = tokio::time::interval(Duration::from_millis(50));
            while !wish(&self.seen.lock().expect("no finding")) {
                assert!(!self.task.is_finished(), "a finding stopped it");
                pause.tick().await;
            }
        })
        .await;
    }

    fn newest(&self) -> u64 {
        let seen = self.seen.lock().expect("no finding");
        seen.lists.values().filter_map(|p| p.segments.last().map(|s| s.msn)).max().unwrap_or(0)
    }
}

async fn poll(base: Url, seen: Arc<Mutex<Seen>>) {
    let mut pause = tokio::time::interval(Duration::from_millis(100));
    loop {
        pause.tick().await;
        let entry = base.join("live/main/index.m3u8").expect("a URL");
        let Some(told) = get(entry.clone()).await else { continue };
        assert_eq!(
            (told.content_type.as_str(), told.cache.as_str()),
            (PRELUDE, "public, max-age=1")
        );
        let text = String::from_utf8(told.bytes.to_vec()).expect("text");
        for name in ["video", "audio"] {
            let uri = text
                .split(['\n', '"'])
                .find(|uri| uri.ends_with(&format!("/{name}/index.m3u8")))
                .unwrap_or_else(|| panic!("no {name}: {text}"));
            rendition(&base, &entry.join(uri).expect("a URL"), &seen).await;
        }
        let session = text.lines().find(|l| l.starts_with('s')).expect("a variant");
        let session = entry.join(session).expect("a URL").join("../index.m3u8").expect("a URL");
        let told = get(session.clone()).await.unwrap_or_else(|| panic!("{session}"));
        assert_eq!(told.cache, "public, max-age=300");
    }
}

/// One poll of a media playlist.
async fn rendition(base: &Url, url: &Url, seen: &Mutex<Seen>) {
    let below = |url: &Url| url.path().strip_prefix(base.path()).expect("below it").to_owned();
    let told = get(url.clone()).await.unwrap_or_else(|| panic!("{url} is named and not there"));
    let text = String::from_utf8(told.bytes.to_vec()).expect("text");
    let list = playlist::parse(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    for tag in ["PART", "PRELOAD-HINT", "RENDITION-REPORT", "SERVER-CONTROL", "SKIP"] {
        assert!(!text.contains(&format!("#EXT-X-{tag}")), "{text}");
    }
    let cache = if list.ended { "public, max-age=86400" } else { "public, max-age=1" };
    assert_eq!((told.content_type.as_str(), told.cache.as_str()), (PRELUDE, cache), "{url}");
    let known = seen.lock().expect("no panic").lists.insert(below(url), list.clone());
    if let Some(before) = known {
        moves_forward(&before, &list);
    }
    for segment in &list.segments {
        let uri = segment.uri.as_deref().expect("complete segments alone");
        let media = url.join(uri).expect("a URL");
        if segment.gap {
            assert_eq!(get(media.clone()).await, None, "{media} is a gap");
            seen.lock().expect("no panic").gaps.insert(below(&media));
            continue;
        }
        let map = url.join(segment.map.as_deref().expect("an init section")).expect("a URL");
        for media in [map, media] {
            if seen.lock().expect("no panic").media.contains_key(&below(&media)) {
                continue;
            }
            let told = get(media.clone()).await;
            let told = told.unwrap_or_else(|| panic!("{media} is listed and not there: {text}"));
            assert_eq!(told.cache, "public, max-age=31536000, immutable");
            let kind = if media.path().contains("/audio/") { "audio/mp4" } else { "video/mp4" };
            assert_eq!(told.content_type, kind);
            seen.lock().expect("no panic").media.insert(below(&media), told);
        }
    }
    seen.lock().expect("no panic").versions += 1;
}

/// Nothing that was listed is listed otherwise, and nothing comes back.
fn moves_forward(before: &Playlist, now: &Playlist) {
    let first = |p: &Playlist| p.segments.first().map_or(0, |s| s.msn);
    let last = |p: &Playlist| p.segments.last().map_or(0, |s| s.msn);
    assert!(first(now) >= first(before) && last(now) >= last(before), "{before:?}\n{now:?}");
    assert!(!before.ended || now.ended, "it goes on after its end");
    for old in &before.segments {
        if let Some(new) = now.segments.iter().find(|s| s.msn == old.msn) {
            let same = |s: &playlist::Segment| (s.uri.clone(), s.gap, s.pdt, s.map.clone());
            assert_eq!(same(new), same(old), "listed otherwise");
        }
    }
}

/// What the bucket has is what the edge has, by the same names.
async fn is_the_edges(cdn: &Cdn, edge: &Url) -> usize {
    let media: Vec<_> = {
        let seen = cdn.seen.lock().expect("no finding");
        seen.media.iter().map(|(path, told)| (path.clone(), told.bytes.clone())).collect()
    };
    for (path, bytes) in &media {
        let there = fetched::ok(edge.join(path).expect("a URL")).await;
        assert!(there == bytes, "{path} is another one at the edge");
    }
    let gaps = cdn.seen.lock().expect("no finding").gaps.clone();
    for path in gaps {
        let there = fetched::get(edge.join(&path).expect("a URL")).await;
        assert_eq!(there.status(), StatusCode::NOT_FOUND, "{path}");
    }
    media.len()
}

/// The segments of a playlist with everything that is said of each.
fn said(list: &Playlist) -> BTreeMap<u64, (u64, bool, Option<String>, Option<i64>)> {
    let each = list.segments.iter().skip(1);
    each.map(|s| (s.msn, (s.discontinuity, s.gap, s.uri.clone(), s.pdt))).collect()
}

async fn metric(up: &Up, name: &str) -> f64 {
    let url = format!("{}/metrics", up.line("admin")).parse().expect("a URL");
    let text = fetched::text(url).await;
    let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    line.rsplit_once(' ').and_then(|(_, n)| n.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_has_at_every_moment_what_the_edge_has() {
    let (moto, dir) =
        (Moto::start().await.public().await, tempfile::tempdir().expect("a directory"));
    let proxy = Proxy::before(moto.addr).await;
    let base: Url = format!("http://{}/{BUCKET}/public/", moto.addr).parse().expect("a URL");
    let first = up(dir.path(), &proxy, [local(); 3]).await;
    let (ports, edge) = (first.ports(), first.base().parse::<Url>().expect("a URL"));
    let cdn = Cdn::watch(base.clone());
    let tags = clip::looped(&clip::bbb(), 60);
    let mut encoder = Encoder::connect(ports[0], KEY).await.expect("accepted");
    let looped = tags.clone();
    let publish =
        task::spawn("encoder", async move { drop(encoder.real_time(&looped, |t| t).await) });
    cdn.until("three segments of both", |seen| {
        seen.lists.len() == 2 && seen.lists.values().all(|p| p.segments.len() >= 3)
    })
    .await;
    let entry = base.join("live/main/index.m3u8").expect("a URL");
    let words = format!("-xerror -i {entry} -t 3 -f null -");
    let played = run(&mut ffmpeg(&words)).await;
    assert_eq!((played.code, played.err.as_str()), (Some(0), ""));

    // The encoder is gone for longer than a segment, and comes back.
    publish.abort();
    cdn.until("a gap", |seen| !seen.gaps.is_empty()).await;
    let mut encoder = Encoder::connect(ports[0], KEY).await.expect("accepted");
    let looped = tags.clone();
    let publish =
        task::spawn("encoder", async move { drop(encoder.real_time(&looped, |t| t).await) });
    let breaks = |p: &Playlist| p.segments.iter().skip(1).map(|s| s.discontinuity).sum::<u64>();
    cdn.until("a discontinuity", |seen| seen.lists.values().all(|p| breaks(p) == 1)).await;

    // The writer is killed, and started again: the bucket goes on where it was.
    let before = cdn.newest();
    first.process.signal(Signal::KILL);
    assert_eq!(first.process.ended().await.code, None, "killed");
    publish.abort();
    assert!(is_listed_still(&base).await, "what is there does not go with its writer");
    let second = up(dir.path(), &proxy, ports).await;
    let mut encoder = Encoder::connect(ports[0], KEY).await.expect("accepted");
    let looped = tags.clone();
    let publish =
        task::spawn("encoder", async move { drop(encoder.real_time(&looped, |t| t).await) });
    let media_after = |p: &Playlist| p.segments.iter().any(|s| s.msn > before + 1 && !s.gap);
    cdn.until("media after the restart", |seen| seen.lists.values().all(media_after)).await;

    // It ends where the encoder does not come back.
    publish.abort();
    cdn.until("the end", |seen| seen.lists.values().all(|p| p.ended)).await;
    let compared = is_the_edges(&cdn, &edge).await;
    assert!(compared >= 12, "{compared} files");
    for name in ["video", "audio"] {
        let path = format!("live/main/s1/{name}/index.m3u8");
        let there = cdn.seen.lock().expect("no finding").lists[&path].clone();
        let here = fetched::text(edge.join(&path.replace("index", "dvr")).expect("a URL")).await;
        let here = said(&playlist::parse(&here).expect("a playlist"));
        for (msn, segment) in said(&there) {
            assert_eq!(here.get(&msn), Some(&segment), "{name} {msn}");
        }
    }
    assert_eq!(metric(&second, "castctl_push_given_up_sessions_total").await, 0.0);
    assert_eq!(metric(&second, "castctl_push_lost_segments_total").await, 0.0);
    // Nothing was put twice that had been acknowledged, but playlists.
    let twice: Vec<_> = proxy.acknowledged().into_iter().collect();
    let twice = twice.iter().filter(|(path, n)| *n > 1 && !path.ends_with(".m3u8"));
    assert_eq!(twice.collect::<Vec<_>>(), Vec::<&(String, usize)>::new());
    cdn.task.abort();
    second.process.signal(Signal::TERM);
    assert_eq!(within("the end", second.process.ended()).await.code, Some(0));
}

async fn is_listed_still(base: &Url) -> bool {
    let url = base.join("live/main/s1/video/index.m3u8").expect("a URL");
    get(url).await.is_some()
}

/// A store that refuses for longer than a live window, then one in which a request in four goes
/// wrong: everything comes, in order, and readiness and metrics tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_away_gets_everything_in_order() {
    let (moto, dir) =
        (Moto::start().await.public().await, tempfile::tempdir().expect("a directory"));
    let proxy = Proxy::before(moto.addr).await;
    let base: Url = format!("http://{}/{BUCKET}/public/", moto.addr).parse().expect("a URL");
    let up = up(dir.path(), &proxy, [local(); 3]).await;
    let edge = up.base().parse::<Url>().expect("a URL");
    let cdn = Cdn::watch(base.clone());
    let tags = clip::looped(&clip::bbb(), 120);
    let mut encoder = Encoder::connect(up.ports()[0], KEY).await.expect("accepted");
    let publish =
        task::spawn("encoder", async move { drop(encoder.real_time(&tags, |t| t).await) });
    cdn.until("a segment of both", |seen| seen.lists.len() == 2).await;
    let ready = || fetched::get(format!("{}/readyz", up.line("admin")).parse().expect("a URL"));
    assert_eq!(ready().await.status(), StatusCode::OK);

    proxy.deny();
    let before = cdn.newest();
    within("readiness to tell", async {
        let mut pause = tokio::time::interval(Duration::from_millis(200));
        while ready().await.status() == StatusCode::OK {
            pause.tick().await;
        }
    })
    .await;
    let why = ready().await.text().await.expect("text");
    assert!(why.contains("nothing can be pushed") && why.contains("refuses"), "{why}");
    assert!(metric(&up, "castctl_push_failures_total").await >= 2.0);
    assert!(metric(&up, "castctl_push_behind_seconds").await > 5.0);
    // What could not be put was not listed.
    assert!(cdn.newest() <= before + 2, "{} after {before}", cdn.newest());

    proxy.faulty(7);
    proxy.allow();
    let session = fetched::session(&edge, "main").await;
    let live = fetched::media(&session, "video").await.segments.last().expect("live").msn;
    cdn.until("what was missed", |seen| {
        seen.lists.values().all(|p| p.segments.last().is_some_and(|s| s.msn >= live))
    })
    .await;
    proxy.well();
    within("readiness to tell", async {
        let mut pause = tokio::time::interval(Duration::from_millis(200));
        while ready().await.status() != StatusCode::OK {
            pause.tick().await;
        }
    })
    .await;
    publish.abort();
    cdn.until("the end", |seen| seen.lists.values().all(|p| p.ended)).await;
    assert!(proxy.faulted() > 0);
    is_the_edges(&cdn, &edge).await;
    // Every number since the first one is there, whatever the CDN has seen of it.
    let list = cdn.seen.lock().expect("no finding").lists["live/main/s1/video/index.m3u8"].clone();
    let dvr = fetched::text(session.join("video/dvr.m3u8").expect("a URL")).await;
    let dvr = playlist::parse(&dvr).expect("a playlist");
    for segment in dvr.segments.iter().filter(|s| !s.gap) {
        let path = format!("live/main/s1/video/{}", segment.uri.as_ref().expect("complete"));
        assert!(get(base.join(&path).expect("a URL")).await.is_some(), "{path} was left out");
    }
    assert_eq!(list.segments.last().map(|s| s.msn), dvr.segments.last().map(|s| s.msn));
    assert_eq!(metric(&up, "castctl_push_lost_segments_total").await, 0.0);
    cdn.task.abort();
    up.process.signal(Signal::TERM);
    assert_eq!(up.process.ended_within(PATIENCE).await.code, Some(0));
}
