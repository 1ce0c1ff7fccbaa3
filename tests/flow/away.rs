//! Encoders that go away: what viewers see meanwhile, on return, and when nobody returns. And two
//! encoders that want the same channel.

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::oracle::playlist::Playlist;
use crate::server::{KEY, OTHER_KEY, PATIENCE, Server, brisk, silent, within};
use castctl::manifest::types::ChannelSpec;
use reqwest::{StatusCode, Url};
use std::time::Duration;

async fn playing(server: &Server, seconds: u32) -> Encoder {
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    let tags = clip::looped(&clip::bbb(), seconds);
    encoder.real_time(&tags, |t| t).await.expect("the server takes it all");
    encoder
}

fn gaps(p: &Playlist) -> usize {
    p.segments.iter().filter(|s| s.gap).count()
}

/// The discontinuities behind the first segment.
fn breaks(p: &Playlist) -> u64 {
    p.segments.iter().skip(1).map(|s| s.discontinuity).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_returns_finds_its_session() {
    let server = Server::start(vec![brisk("main", &[KEY])]).await;
    let oracle = server.oracle("main");
    // The cable is pulled.
    drop(playing(&server, 5).await);
    let session = fetched::session(&server.url("/"), "main").await;
    for rendition in ["video", "audio"] {
        let away = fetched::media_until(&session, rendition, |p| gaps(p) >= 5).await;
        let absent = away.segments.iter().filter(|s| s.gap);
        let parts = |s: &&crate::oracle::playlist::Segment| s.parts.iter().all(|p| p.gap);
        assert!(absent.clone().all(|s| parts(&s)), "GAP=YES on every part of a gap");
        assert!(absent.map(|s| s.parts.len()).sum::<usize>() >= 5, "gaps have parts");
        assert_eq!(breaks(&away), 0, "a gap alone is no discontinuity");
    }
    // About ten seconds after it went.
    fetched::media_until(&session, "video", |p| gaps(p) >= 8).await;
    let encoder = playing(&server, 5).await;
    assert_eq!(fetched::session(&server.url("/"), "main").await, session, "the same session");
    for rendition in ["video", "audio"] {
        let back = |p: &Playlist| {
            let complete = p.segments.iter().rev().skip_while(|s| s.uri.is_none());
            complete.take_while(|s| !s.gap).count() >= 2
        };
        let list = fetched::media_until(&session, rendition, back).await;
        assert_eq!(breaks(&list), 1, "one discontinuity on return");
    }
    encoder.finish().await;
    silent(&oracle.report().await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_returns_and_the_next_session_counts_on() {
    let reconnect_window = Duration::from_secs(5);
    let spec = ChannelSpec { reconnect_window, ..brisk("main", &[KEY]) };
    let server = Server::start(vec![spec]).await;
    let oracle = server.oracle("main");
    let entry = server.url("/live/main/index.m3u8");
    playing(&server, 4).await.finish().await;
    let first = fetched::session(&server.url("/"), "main").await;
    let ended = fetched::media_until(&first, "video", |p| p.ended).await;
    assert!(gaps(&ended) >= 1, "the window was filled with gaps");
    let entry = fetched::get(entry).await;
    assert_eq!(entry.status(), StatusCode::NOT_FOUND, "nothing is on air");
    assert_eq!(entry.headers()["cache-control"], "no-store");
    playing(&server, 3).await.finish().await;
    let second = fetched::session(&server.url("/"), "main").await;
    assert_ne!(first, second);
    let next = fetched::media(&second, "video").await;
    let last = |p: &Playlist| p.segments.last().map(|s| s.msn);
    assert!(Some(next.media_sequence) > last(&ended), "numbers only grow");
    let again = fetched::media(&first, "video").await;
    assert_eq!(last(&again), last(&ended), "what has ended stays as it is");
    oracle.until(PATIENCE, |seen| seen.newest.len() == 4).await;
    silent(&oracle.report().await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_replaces_and_another_is_refused() {
    let server = Server::start(vec![brisk("main", &[KEY, OTHER_KEY])]).await;
    let oracle = server.oracle("main");
    let mut old = playing(&server, 3).await;
    let other = Encoder::connect(server.rtmp, OTHER_KEY).await;
    let refusal = other.err().expect("the channel is busy").to_string();
    assert!(refusal.contains("being published to with another key"), "{refusal}");
    let new = playing(&server, 3).await;
    let told = within("the old connection's end", old.over()).await;
    let told = told.expect("a reason").to_string();
    assert!(told.contains("a newer connection with the same key replaced this one"), "{told}");
    let session: Url = fetched::session(&server.url("/"), "main").await;
    let list = fetched::media_until(&session, "video", |p| breaks(p) == 1).await;
    assert_eq!(gaps(&list), 0, "a swift change leaves no gap");
    drop(new);
    // Once it is away, the other key may come.
    let other = within("the other key", async {
        loop {
            if let Ok(encoder) = Encoder::connect(server.rtmp, OTHER_KEY).await {
                return encoder;
            }
        }
    });
    other.await.finish().await;
    silent(&oracle.report().await);
    server.stop().await;
}
