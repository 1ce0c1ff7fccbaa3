//! Limits that a stranger can meet, and where each is tested for the error a person would see.
//!
//! | limit | tested in |
//! |---|---|
//! | RTMP: CHUNK_SIZE_MAX, CHUNK_STREAMS_MAX, message sizes | `src/rtmp/chunk_test.rs` |
//! | RTMP: AMF_DEPTH_MAX, AMF_VALUES_MAX, AMF_STRING_MAX | `src/rtmp/amf0_test.rs` |
//! | RTMP: APP_MAX, MESSAGE_STREAMS_MAX, PUBLISHES_MAX | `src/rtmp/server_test.rs` |
//! | RTMP: UNANSWERED_BYTES_MAX, PUBLISH_TIMEOUT | `src/rtmp/server_test.rs` |
//! | RTMP: HANDSHAKE_TIMEOUT, a stranger's protocol | `refusals.rs` |
//! | manifest: idleTimeout | `refusals.rs` |
//! | manifest: maxConnections | here |
//! | ingest: PROBE without a configuration | `refusals.rs` |
//! | ingest: AHEAD_MAX | here |
//! | viewers: HEAD_MAX | `viewers.rs` |
//! | viewers: HEAD_TIMEOUT | here |
//! | HLS: held for three target durations, `_HLS_msn`, `_HLS_part` | `viewers.rs` |
//! | HLS: PATH_MAX | `viewers.rs` |

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::oracle::Exception;
use crate::server::{KEY, PATIENCE, Server, brisk, silent, within};
use castctl::rt::clock::Clock;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn more_encoders_than_seats_wait() {
    let channels = vec![brisk("main", &[KEY]), brisk("second", &["second-key"])];
    let server = Server::with(channels, |m| m.server.rtmp.max_connections = 1).await;
    let first = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    let addr = server.rtmp;
    let mut second = castctl::rt::task::spawn("second", async move {
        Encoder::connect(addr, "second-key").await.map(drop)
    });
    let waits = tokio::time::timeout(Duration::from_secs(1), &mut second).await;
    assert!(waits.is_err(), "there is one seat only");
    drop(first);
    let second = within("a free seat", second).await.expect("not aborted").expect("no panic");
    second.expect("accepted when the seat is free");
    server.stop().await;
}

/// An encoder that sends much faster than real time is slowed down, and loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_ahead_of_the_clock_is_read_no_further() {
    let server = Server::start(vec![brisk("main", &[KEY])]).await;
    let oracle = server.oracle("main");
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    // Thirty seconds at once: more than the ten that are taken and what sockets hold.
    let tags = clip::looped(&clip::bbb(), 30);
    let clock = Clock::system();
    let begun = clock.now().mono;
    let sending = castctl::rt::task::spawn("encoder", async move { encoder.at_once(&tags).await });
    let session = fetched::session(&server.url("/"), "main").await;
    let long = |p: &crate::oracle::playlist::Playlist| p.length() >= 9_000_000;
    let list = fetched::media_until(&session, "video", long).await;
    let took = i64::try_from(clock.now().mono.since(begun).as_micros()).expect("short");
    // Ten seconds, and what one read of 64 KiB may bring at this clip's bit rate.
    let ahead = (list.length() - took) / 1000;
    assert!(ahead <= 12_500, "{ahead} ms ahead of the clock");
    // The clip has a hole in its sound where it begins again.
    oracle.except(Exception::Holes);
    let longer = |p: &crate::oracle::playlist::Playlist| p.length() >= 15_000_000;
    let list = fetched::media_until(&session, "video", longer).await;
    let took = i64::try_from(clock.now().mono.since(begun).as_micros()).expect("short");
    assert!(took >= 2_500_000, "fifteen seconds of media in {took} us");
    let whole = list.segments.iter().all(|s| !s.gap && s.discontinuity == 0);
    assert!(whole, "{:#?}", list.segments);
    oracle.until(PATIENCE, |seen| seen.newest.len() == 2).await;
    sending.abort();
    silent(&oracle.report().await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_head_that_never_ends_is_given_up() {
    let server = Server::start(vec![brisk("main", &[KEY])]).await;
    let mut socket = TcpStream::connect(server.viewers).await.expect("connected");
    socket.write_all(b"GET / HTTP/1.1\r\nHost: ").await.expect("written");
    let mut answer = Vec::new();
    let end = within("the server to hang up", socket.read_to_end(&mut answer)).await;
    end.expect("an orderly end");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    server.stop().await;
}
