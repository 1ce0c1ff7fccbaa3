//! Viewers who ask too early, too late, or for too much: each gets a clear answer.

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched::{self, get};
use crate::server::{KEY, Server, brisk, fast, within};
use castctl::edge::server::HEAD_MAX;
use castctl::hls::name::PATH_MAX;
use castctl::manifest::types::ChannelSpec;
use castctl::media::timeline::mark::RENDER;
use reqwest::{Method, Response, StatusCode, Url};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer that no cache may keep, with a reason to read.
async fn refused(url: Url, status: StatusCode, why: &str) {
    said(get(url).await, status, why).await;
}

async fn said(answer: Response, status: StatusCode, why: &str) {
    let url = answer.url().clone();
    assert_eq!(answer.status(), status, "{url}");
    assert_eq!(answer.headers()["cache-control"], "no-store", "{url}");
    let text = answer.text().await.expect("text");
    assert!(text.contains(why), "{url}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_media_the_entry_waits_and_then_leads_on() {
    let reconnect_window = Duration::from_millis(200);
    let server =
        Server::start(vec![ChannelSpec { reconnect_window, ..fast("main", &[KEY]) }]).await;
    let entry = server.url("/live/main/index.m3u8");
    refused(entry.clone(), StatusCode::NOT_FOUND, "nobody publishes to this channel").await;
    refused(server.url("/live/other/index.m3u8"), StatusCode::NOT_FOUND, "nobody").await;
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    let asked = castctl::rt::task::spawn("entry", get(entry.clone()));
    // Held: it is still unanswered when the first media is sent.
    let tags = clip::looped(&clip::bbb(), 6);
    encoder.at_once(&tags[..1]).await.expect("taken");
    if asked.is_finished() {
        panic!("the entry does not wait: {:?}", asked.await);
    }
    encoder.at_once(&tags[1..]).await.expect("taken");
    let answer = within("the held entry", asked).await.expect("no panic").expect("an answer");
    assert_eq!(answer.status(), StatusCode::FOUND);
    assert_eq!(answer.headers()["location"], "/live/main/s1/index.m3u8");
    let age = answer.headers()["cache-control"].to_str().expect("text").to_owned();
    assert_eq!(age, "public, max-age=1");
    encoder.finish().await;
    let session = entry.join("/live/main/s1/index.m3u8").expect("a URL");
    fetched::media_until(&session, "video", |p| p.ended).await;
    refused(entry, StatusCode::NOT_FOUND, "nobody publishes to this channel").await;
    // The session's own URL still plays, whole.
    let samples = fetched::samples(&session, "video").await;
    assert_eq!(samples.len(), clip::units(&tags).iter().filter(|u| u.track.0 == 1).count());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_is_said_so() {
    let server = Server::start(vec![fast("main", &[KEY])]).await;
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    encoder.at_once(&clip::looped(&clip::bbb(), 6)).await.expect("taken");
    let session = fetched::session(&server.url("/"), "main").await;
    let media = |rest: &str| session.join(&format!("video/{rest}")).expect("a URL");
    // The encoder stands still, on a channel without gaps by the clock: once all that was sent is
    // listed, a reload is held for three target durations and then given up.
    let (msn, part, held) = loop {
        let list = fetched::media_until(&session, "video", |p| p.segments.len() >= 4).await;
        let (msn, part) = list.next().expect("a next part");
        let next = media(&format!("index.m3u8?_HLS_msn={msn}&_HLS_part={part}"));
        let answer = get(next).await;
        if answer.status() != StatusCode::OK {
            break (msn, part, answer);
        }
    };
    said(held, StatusCode::SERVICE_UNAVAILABLE, "held for three target durations").await;
    let bad = StatusCode::BAD_REQUEST;
    let far = format!("index.m3u8?_HLS_msn={}", msn + 3);
    refused(media(&far), bad, "_HLS_msn is more than two segments past the end").await;
    let far = format!("index.m3u8?_HLS_msn={msn}&_HLS_part={}", part + 99);
    refused(media(&far), bad, "_HLS_part is beyond the advance part limit").await;
    refused(media("index.m3u8?_HLS_part=1"), bad, "_HLS_part needs _HLS_msn").await;
    refused(media("index.m3u8?_HLS_msn=x"), bad, "_HLS_msn must be a decimal integer").await;
    let gone = StatusCode::NOT_FOUND;
    let v = format!("v{RENDER}");
    refused(media(&format!("{v}/g1-1.m4s")), gone, "no such media").await;
    refused(media(&format!("{v}/g9-p1.m4s")), gone, "no such media").await;
    refused(media("v7/g1-1000.m4s"), gone, "another render version").await;
    // Held as long as another edge may know it, then given up.
    refused(media(&format!("{v}/init-00.mp4")), gone, "no such init section").await;
    refused(session.join("dance/index.m3u8").expect("a URL"), gone, "no such rendition").await;
    refused(server.url("/live/main/s9/index.m3u8"), gone, "no such session").await;
    let long = format!("/live/{}", "x".repeat(PATH_MAX));
    refused(server.url(&long), gone, "not a path of the live tree").await;
    let post = fetched::client().request(Method::POST, session.clone()).send().await;
    assert_eq!(post.expect("an answer").status(), StatusCode::METHOD_NOT_ALLOWED);
    encoder.finish().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_head_has_a_limit() {
    let server = Server::start(vec![brisk("main", &[KEY])]).await;
    let mut socket = TcpStream::connect(server.viewers).await.expect("connected");
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", "x".repeat(2 * HEAD_MAX));
    // The server may hang up before it has read everything.
    let _ = socket.write_all(head.as_bytes()).await;
    let mut answer = [0; 64];
    let n = within("an answer", socket.read(&mut answer)).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..n]);
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    server.stop().await;
}
