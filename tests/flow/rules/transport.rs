//! T02 to T08: what answers say of themselves, to players and to caches. T01 is in
//! `tests/flow/transport.rs`, with what else a listener speaks; the TCP half of T03 (SACK) is the
//! kernel's.

use crate::fetched::{client, get};
use crate::oracle::playlist::{self, Playlist};
use crate::rules::live::{Air, TARGET, answered};
use crate::server::PATIENCE;
use castctl::base::time::{MICROS, Wall};
use castctl::edge::answer::{BLOCKED_TARGET_DURATIONS, CONSTANT, MEDIA, NO_STORE, NOW, PAGE};
use castctl::edge::cors::Cors;
use castctl::rt::clock::Clock;
use flate2::read::GzDecoder;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode, Url};
use std::collections::BTreeMap;
use std::io::Read;

const LISTS: [&str; 5] =
    ["index.m3u8", "video/index.m3u8", "video/dvr.m3u8", "audio/index.m3u8", "audio/dvr.m3u8"];

/// A GET with these headers and no coding but what they name; nothing is unpacked.
async fn with(url: Url, headers: &[(&str, &str)]) -> Response {
    let client = Client::builder().no_gzip().timeout(PATIENCE).redirect(Policy::none());
    let mut ask = client.build().expect("a client").get(url);
    for (name, value) in headers {
        ask = ask.header(*name, *value);
    }
    ask.send().await.expect("an answer")
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |v| v.to_str().expect("text"))
}

/// A complete segment, its first part and its init section, from the session's folder.
fn media(list: &Playlist) -> [String; 3] {
    let s = list.segments.iter().rfind(|s| s.uri.is_some() && !s.parts.is_empty());
    let s = s.expect("a complete segment with parts");
    [s.uri.clone(), Some(s.parts[0].uri.clone()), s.map.clone()]
        .map(|uri| format!("video/{}", uri.expect("it has one")))
}

#[tokio::test(flavor = "multi_thread")]
async fn t02_playlists_are_compressed_for_who_takes_it() {
    let mut air = Air::on(12_500).await;
    let list = air.settled().await;
    for rest in LISTS {
        let plain = with(air.url(rest), &[("accept-encoding", "identity")]).await;
        let packed = with(air.url(rest), &[("accept-encoding", "gzip, br")]).await;
        assert_eq!((header(&plain, "content-encoding"), plain.status()), ("", StatusCode::OK));
        assert_eq!(header(&packed, "content-encoding"), "gzip", "{rest}");
        for answer in [&plain, &packed] {
            assert_eq!(header(answer, "vary"), "Accept-Encoding", "{rest}");
        }
        // Two codings are two representations (RFC 9110, 8.8.3.3), each with its own name.
        let etags = [&plain, &packed].map(|a| header(a, "etag").to_owned());
        assert_ne!(etags[0], etags[1], "{rest}");
        let known = [("accept-encoding", "gzip"), ("if-none-match", &etags[1])];
        let known = with(air.url(rest), &known).await;
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED, "{rest}");
        assert_eq!(header(&known, "vary"), "Accept-Encoding", "{rest}");
        assert_eq!(header(&known, "etag"), etags[1], "{rest}");
        let (plain, packed) = (plain.text().await, packed.bytes().await.expect("a body"));
        let (plain, mut text) = (plain.expect("text"), String::new());
        GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("gzip");
        assert_eq!(text, plain, "{rest}");
        assert!(packed.len() < plain.len() / 2 || plain.len() < 1_000, "{rest}: {}", packed.len());
    }
    // Media is compressed already.
    for path in media(&list) {
        let answer = with(air.url(&path), &[("accept-encoding", "gzip")]).await;
        assert_eq!((answer.status(), header(&answer, "content-encoding")), (StatusCode::OK, ""));
    }
    air.end().await.close();
}

/// `max-age=N`.
fn age(cache: &str) -> u64 {
    let age = cache.split(", ").find_map(|word| word.strip_prefix("max-age="));
    age.and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn t02b_media_says_how_long_it_may_be_kept() {
    let mut air = Air::on(12_500).await;
    let list = air.settled().await;
    for path in media(&list) {
        let answer = get(air.url(&path)).await;
        let cache = header(&answer, "cache-control");
        assert!(cache.contains("public") && cache.contains("immutable"), "{path}: {cache}");
        // 6.2.2: a segment stays for its own length and that of the longest playlist that had it.
        // Live playlists have at most two minutes; what DVR has stays in the log, and a cache that
        // forgot it asks again.
        assert!(age(cache) >= 6 * TARGET + 120, "{path}: {cache}");
        let range = answered(air.ask_range(&path, "bytes=0-9")).await;
        assert_eq!(range.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(header(&range, "cache-control"), cache, "{path}");
    }
    air.end().await.close();
}

/// The server's half: whichever edge is asked, the full set of variants is there and is the same,
/// so that a balancer needs no stickiness and a cache may fill from any. One read for many viewers
/// is `log::remote`'s test, equal answers to many are D16's.
#[tokio::test(flavor = "multi_thread")]
async fn t03_every_edge_offers_the_same() {
    let mut air = Air::on(30_000).await;
    let list = air.settled().await;
    let edges = [air.edge.clone(), air.stage.edge().await, air.stage.edge().await];
    let mut paths: Vec<String> = LISTS.iter().map(|rest| (*rest).to_owned()).collect();
    paths.extend(["video/index.m3u8?_HLS_skip=YES".into(), "video/dvr.m3u8?_HLS_skip=v2".into()]);
    paths.extend(media(&list));
    for path in paths {
        let mut seen = Vec::new();
        for edge in &edges {
            let mut url = air.url(&path);
            url.set_port(edge.port()).expect("a URL with a port");
            let answer = get(url).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            let names = ["etag", "cache-control", "content-type"];
            let head = names.map(|name| header(&answer, name).to_owned());
            seen.push((head, answer.bytes().await.expect("a body")));
        }
        assert!(seen.windows(2).all(|w| w[0] == w[1]), "{path}: {:?}", seen.iter().map(|s| &s.0));
        if path == LISTS[0] {
            let text = String::from_utf8_lossy(&seen[0].1);
            let (uris, _) = playlist::multivariant(&text).expect("a playlist");
            assert_eq!(uris, ["audio/index.m3u8", "video/index.m3u8"], "the full set");
        }
    }
    air.end().await.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn t04_types_and_who_may_read_them() {
    let mut air = Air::on(12_500).await;
    let list = air.settled().await;
    const ORIGIN: &str = "https://page.example";
    let only = air.stage.edge_for(Cors::Only(vec![ORIGIN.into()])).await;
    let missing = "video/v1/g1-1.m4s".to_owned();
    let lists = LISTS.map(|l| (l.to_owned(), "application/vnd.apple.mpegurl"));
    let media = media(&list).map(|path| (path, "video/mp4"));
    let all = lists.into_iter().chain(media).chain([(missing, "text/plain; charset=utf-8")]);
    for (path, kind) in all {
        let url = air.url(&path);
        let any = with(url.clone(), &[("origin", ORIGIN)]).await;
        assert_eq!(header(&any, "content-type"), kind, "{path}");
        assert_eq!(header(&any, "access-control-allow-origin"), "*", "{path}");
        assert_eq!(header(&any, "access-control-allow-credentials"), "", "{path}");
        assert_eq!(header(&any, "timing-allow-origin"), "*", "{path}");
        for name in ["Age", "Date", "Content-Length", "Content-Range"] {
            assert!(header(&any, "access-control-expose-headers").contains(name), "{name}");
        }
        let url = only.join(url.path()).expect("a URL");
        for (asked, allowed) in
            [(Some(ORIGIN), true), (Some("https://other.example"), false), (None, false)]
        {
            let headers: Vec<_> = asked.into_iter().map(|o| ("origin", o)).collect();
            let answer = with(url.clone(), &headers).await;
            let want = if allowed { [ORIGIN, "true"] } else { ["", ""] };
            let said = ["access-control-allow-origin", "access-control-allow-credentials"]
                .map(|name| header(&answer, name));
            assert_eq!(said, want, "{path} for {asked:?}");
            let vary: Vec<_> = answer.headers().get_all("vary").iter().collect();
            assert!(vary.iter().any(|v| *v == "Origin"), "{path}: a cache must tell them apart");
        }
    }
    // A browser asks before it sends a range that needs leave.
    let preflight = client()
        .request(Method::OPTIONS, only.join(air.url("index.m3u8").path()).expect("a URL"))
        .header("origin", ORIGIN)
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "range");
    let answer = preflight.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert!(header(&answer, "access-control-allow-methods").contains("GET"));
    assert!(header(&answer, "access-control-allow-headers").contains("Range"));
    air.end().await.close();
}

/// The second of `Date: Thu, 26 Nov 2026 02:26:57 GMT`.
fn date(answer: &Response) -> i64 {
    let words: Vec<&str> = header(answer, "date").split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { panic!("{words:?}") };
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = months.find(month).expect("a month") / 3 + 1;
    let wall: Wall = format!("{year}-{month:02}-{day}T{time}Z").parse().expect("a moment");
    wall.0 / MICROS
}

/// Players that tune in (Appendix C) take Date for the moment at which the answer was made, and Age
/// for what a cache added: an edge is the origin of what it answers, so it says no Age. Date has
/// whole seconds.
#[tokio::test(flavor = "multi_thread")]
async fn t05_date_is_when_the_answer_was_made() {
    let mut air = Air::on(4_500).await;
    let (msn, part) = air.settled().await.next().expect("parts");
    let second = || Clock::system().now().wall.0 / MICROS;
    let held = air.ask(&format!("video/index.m3u8?_HLS_msn={msn}&_HLS_part={part}"));
    let asked = second();
    for rest in LISTS {
        let before = second();
        let answer = get(air.url(rest)).await;
        assert!((before..=second()).contains(&date(&answer)), "{rest}: {}", date(&answer));
        assert_eq!(header(&answer, "age"), "", "{rest}");
    }
    // A held answer is as old as what it tells, not as its question.
    while second() < asked + 2 {
        air.settled().await;
    }
    let told = second();
    air.more(400).await;
    let answer = answered(held).await;
    assert_eq!((answer.status(), header(&answer, "age")), (StatusCode::OK, ""));
    assert!((told..=second()).contains(&date(&answer)), "{} is not {told}", date(&answer));
    air.end().await.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn t06_each_kind_of_answer_has_its_lifetime_and_its_key() {
    let mut air = Air::on(12_500).await;
    let list = air.settled().await;
    let blocked = format!("public, max-age={}", u64::from(BLOCKED_TARGET_DURATIONS) * TARGET);
    let (msn, part) = (list.segments[3].msn, 0);
    let [now, constant, kept] = [NOW, CONSTANT, MEDIA].map(|v| v.to_str().unwrap().to_owned());
    let page = PAGE.to_str().unwrap().to_owned();
    let base = air.edge.clone();
    let absolute = |path: &str| base.join(path).expect("a URL");
    let mut rows = vec![
        (absolute("/live/main/index.m3u8"), now.clone()),
        (air.url("index.m3u8"), constant.clone()),
        (air.url("video/index.m3u8"), now.clone()),
        (air.url("video/dvr.m3u8"), now.clone()),
        (air.url("video/index.m3u8?_HLS_skip=YES"), now),
        (air.url(&format!("video/index.m3u8?_HLS_msn={msn}")), blocked.clone()),
        (air.url(&format!("video/dvr.m3u8?_HLS_msn={msn}&_HLS_part={part}")), blocked),
        (absolute("/watch/main"), page.clone()),
        (absolute("/assets/watch.js"), page),
    ];
    rows.extend(media(&list).map(|path| (air.url(&path), kept.clone())));
    for (url, want) in rows {
        let answer = get(url.clone()).await;
        assert!(matches!(answer.status(), StatusCode::OK | StatusCode::FOUND), "{url}");
        assert_eq!(header(&answer, "cache-control"), want, "{url}");
        // The key is path and directives: nothing else that a viewer sends chooses the answer, but
        // the coding, which Vary names.
        let answer = with(url.clone(), &[]).await;
        let others = [
            ("user-agent", "another"),
            ("cookie", "a=b"),
            ("referer", "https://page.example/"),
            ("authorization", "Bearer x"),
            ("accept", "text/html"),
            ("accept-language", "de"),
        ];
        let other = with(url.clone(), &others).await;
        assert_eq!(header(&other, "etag"), header(&answer, "etag"), "{url}");
        let bodies = (answer.bytes().await.expect("a body"), other.bytes().await.expect("a body"));
        assert_eq!(bodies.0, bodies.1, "{url}");
    }
    let (plain, home) = (air.url("video/index.m3u8"), air.url("index.m3u8"));
    let stage = air.end().await;
    crate::fetched::media_until(&home, "video", |p| p.ended).await;
    let ended = get(plain).await;
    assert_eq!(header(&ended, "cache-control"), constant, "it will not change");
    stage.close();
}

/// Clients send the directives in the order of their names, so that caches that take the query as
/// it is hit; any order means the same here. That the page's player keeps the order is seen in
/// `tests/flow/browser.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn t07_the_order_of_directives_does_not_matter() {
    let mut air = Air::on(40_000).await;
    let list = air.settled().await;
    let (msn, part) = list.next().expect("parts");
    let words =
        [format!("_HLS_msn={}", msn - 1), format!("_HLS_part={part}"), "_HLS_skip=YES".into()];
    let mut seen = BTreeMap::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for other in ["", "&token=x"] {
            let query = order.map(|i| words[i].clone()).join("&");
            let answer = get(air.url(&format!("video/index.m3u8?{query}{other}"))).await;
            assert_eq!(answer.status(), StatusCode::OK, "{query}{other}");
            let etag = header(&answer, "etag").to_owned();
            seen.insert(etag, answer.text().await.expect("text"));
        }
    }
    let seen: Vec<String> = seen.into_values().collect();
    assert!(seen.len() == 1 && seen[0].contains("#EXT-X-SKIP:"), "{seen:?}");
    air.end().await.close();
}

/// As short as can be: what is missing may be there the next moment, and a viewer that is told so
/// by a cache seconds later has lost them.
#[tokio::test(flavor = "multi_thread")]
async fn t08_no_cache_keeps_an_error() {
    let mut air = Air::on(4_500).await;
    let list = air.settled().await;
    let (msn, part) = list.next().expect("parts");
    let [segment, ..] = media(&list);
    let held = air.ask(&format!("video/index.m3u8?_HLS_msn={msn}&_HLS_part={part}"));
    let never = air.ask(&list.hints.last().map(|(_, uri)| format!("video/{uri}")).expect("a hint"));
    let elsewhere = |path: &str| get(air.edge.join(path).expect("a URL"));
    let post = client().request(Method::POST, air.url("index.m3u8")).send();
    let mut answers = vec![
        (StatusCode::BAD_REQUEST, get(air.url("video/index.m3u8?_HLS_part=1")).await),
        (StatusCode::BAD_REQUEST, get(air.url("video/index.m3u8?_HLS_msn=99999")).await),
        (StatusCode::NOT_FOUND, get(air.url(&format!("{segment}x"))).await),
        (StatusCode::NOT_FOUND, get(air.url(&segment.replace(".m4s", "-gap0.m4s"))).await),
        (StatusCode::NOT_FOUND, get(air.url("other/index.m3u8")).await),
        (StatusCode::NOT_FOUND, elsewhere("/live/nobody/index.m3u8").await),
        (StatusCode::NOT_FOUND, elsewhere("/live/main/s9/index.m3u8").await),
        (StatusCode::NOT_FOUND, elsewhere("/elsewhere").await),
        (StatusCode::METHOD_NOT_ALLOWED, post.await.expect("an answer")),
        (
            StatusCode::RANGE_NOT_SATISFIABLE,
            answered(air.ask_range(&segment, "bytes=99999999-")).await,
        ),
    ];
    for held in [held, never] {
        let answer = answered(held).await;
        assert_eq!(header(&answer, "retry-after"), "1", "{}", answer.url());
        answers.push((StatusCode::SERVICE_UNAVAILABLE, answer));
    }
    for (status, answer) in answers {
        let url = answer.url().clone();
        assert_eq!(answer.status(), status, "{url}");
        assert_eq!(header(&answer, "cache-control"), NO_STORE, "{url}");
        assert_eq!(header(&answer, "etag"), "", "{url}");
        assert!(answer.text().await.is_ok_and(|why| why.len() > 5), "{url}: why?");
    }
    air.end().await.close();
}
