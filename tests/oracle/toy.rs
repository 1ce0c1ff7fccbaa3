//! A toy origin that serves the samples' stream a hundred milliseconds a part, to watch the
//! watcher: silent on a right server, loud on one that serves a URL in two ways.

use crate::oracle::{Exception, Oracle};
use crate::samples::{MULTIVARIANT, fragment, good, init};
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// The stream begins with segments 100 to 106 complete and ends with part 0 of segment 112 unmade.
const FIRST: u64 = 107 * 4;
const LAST: u64 = 112 * 4;

struct Toy {
    /// Number of parts there are, counted from MSN 0.
    parts: watch::Receiver<u64>,
    way: Way,
    answers: AtomicU32,
}

/// What is wrong with it.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Nothing.
    Right,
    /// It breaks the one-URL rule: every answer has another tail.
    TwoWays,
    /// It lists a segment that it never has.
    Refuses,
    /// It lists a segment that it has not at first.
    RefusesAtFirst,
    /// It begins anew in the middle: for a while it lists nothing and has nothing.
    Away,
}

/// The part from which on it is away, and the one with which it is back.
const AWAY: std::ops::Range<u64> = FIRST + 6..FIRST + 12;

impl Toy {
    fn is_away(&self) -> bool {
        self.way == Way::Away && AWAY.contains(&self.parts.borrow())
    }

    async fn until(&self, parts: u64) {
        let mut have = self.parts.clone();
        let _ = have.wait_for(|n| *n >= parts.min(LAST)).await;
    }
}

async fn playlist(
    State(toy): State<Arc<Toy>>,
    Path(r): Path<String>,
    RawQuery(q): RawQuery,
) -> Response {
    let q = q.unwrap_or_default();
    let of = |name: &str| q.split('&').find_map(|kv| kv.strip_prefix(name)?.parse::<u64>().ok());
    if let Some((msn, part)) = of("_HLS_msn=").zip(of("_HLS_part=")) {
        toy.until(msn * 4 + part + 1).await;
    }
    if toy.is_away() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let parts = *toy.parts.borrow();
    let mut text = good(100, parts / 4, parts % 4);
    if r == "audio" {
        text = text.replace("../audio/", "../video/");
    }
    if parts == LAST {
        text =
            text.split("#EXT-X-PRELOAD").next().unwrap_or_default().to_owned() + "#EXT-X-ENDLIST\n";
    }
    text.into_response()
}

async fn media(State(toy): State<Arc<Toy>>, Path((_, file)): Path<(String, String)>) -> Response {
    let part = |n: u64| {
        let samples = [[42; 11].as_slice(), &[38]].concat();
        fragment(((n - 400) * 500) as u32, &samples, n.is_multiple_of(4))
    };
    let refuses = match toy.way {
        Way::Refuses => true,
        Way::RefusesAtFirst => toy.answers.load(Ordering::Relaxed) < 4,
        _ => false,
    };
    if toy.is_away() || (refuses && file == "g1-108.m4s") {
        toy.answers.fetch_add(1, Ordering::Relaxed);
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let number = |head: &str| file.strip_prefix(head)?.strip_suffix(".m4s")?.parse::<u64>().ok();
    let mut bytes = match (number("g1-p"), number("g1-")) {
        (Some(seq), _) => {
            let n = (100 + seq / 50) * 4 + seq % 50 / 12;
            if n >= LAST {
                return StatusCode::NOT_FOUND.into_response();
            }
            toy.until(n + 1).await;
            part(n)
        }
        (_, Some(msn)) => (msn * 4..msn * 4 + 4).flat_map(part).collect(),
        _ => init(),
    };
    if toy.way == Way::TwoWays {
        let n = toy.answers.fetch_add(1, Ordering::Relaxed);
        bytes.extend([&[0, 0, 0, 12][..], b"free", &n.to_be_bytes()].concat());
    }
    bytes.into_response()
}

/// Serves the toy stream to its end under the oracle; the rules found.
async fn watched(way: Way) -> Vec<String> {
    watched_but(way, &[]).await
}

/// The same, with what is allowed.
async fn watched_but(way: Way, allowed: &[Exception]) -> Vec<String> {
    let (tell, parts) = watch::channel(FIRST);
    let toy = Arc::new(Toy { parts, way, answers: AtomicU32::new(0) });
    let app = Router::new()
        .route("/live/main/index.m3u8", get(|| async { Redirect::to("/live/main/s1/index.m3u8") }))
        .route("/live/main/s1/index.m3u8", get(|| async { MULTIVARIANT }))
        .route("/live/main/s1/{rendition}/index.m3u8", get(playlist))
        .route("/live/main/s1/{rendition}/v1/{file}", get(media))
        .with_state(toy);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let server = castctl::rt::task::spawn("toy", async move { axum::serve(listener, app).await });
    let oracle = Oracle::watch(vec![url.parse().expect("a URL")], "main");
    allowed.iter().cloned().for_each(|e| oracle.except(e));
    oracle.until(Duration::from_secs(20), |seen| seen.newest.len() == 2).await;
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for n in FIRST + 1..=LAST {
        pace.tick().await;
        let _ = tell.send(n);
    }
    let all = |seen: &crate::oracle::Seen| seen.newest.values().all(|msn| *msn == 111);
    let seen = oracle.until(Duration::from_secs(20), all).await;
    // While it is away it has none.
    let versions = if way == Way::Away { 20 } else { 40 };
    assert!(seen.versions > versions && seen.downloads > 40, "{seen:?}");
    let found = oracle.report().await.iter().map(ToString::to_string).collect();
    server.abort();
    found
}

#[tokio::test]
async fn a_right_server_is_met_with_silence() {
    assert_eq!(watched(Way::Right).await, [""; 0]);
}

#[tokio::test]
async fn a_url_served_in_two_ways_is_told() {
    let found = watched(Way::TwoWays).await;
    assert!(found.iter().any(|f| f.starts_with("one-url: /live/main/s1/")), "{found:?}");
}

#[tokio::test]
async fn a_listed_segment_that_is_refused_is_told() {
    let found = watched(Way::Refuses).await;
    let said = "/v1/g1-108.m4s: listed, but answered 503";
    assert!(found.iter().any(|f| f.contains(said)), "{found:?}");
}

#[tokio::test]
async fn a_node_that_is_away_is_asked_again_only_where_that_is_allowed() {
    let away = [Exception::NodesAway];
    assert!(!watched(Way::RefusesAtFirst).await.is_empty(), "it was refused once");
    assert_eq!(watched_but(Way::RefusesAtFirst, &away).await, [""; 0]);
    assert!(!watched_but(Way::Refuses, &away).await.is_empty(), "it is never back");
}

#[tokio::test]
async fn a_server_that_begins_anew_is_asked_again_when_it_lists() {
    assert_eq!(watched(Way::Away).await, [""; 0]);
}
