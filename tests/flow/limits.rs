//! Limits that a stranger can meet, and where each is tested for the error a person would see.
//!
//! `tests/tidy/limits.rs` finds a limit that no test names. Those of the pure rooms are hit beside
//! them (`src/**/*_test.rs`), with the message word by word; here and in the files below is what a
//! person sees of a running server.
//!
//! | limit | flow |
//! |---|---|
//! | RTMP: HANDSHAKE_TIMEOUT, a stranger's protocol | `refusals.rs` |
//! | RTMP: WRITE_TIMEOUT; manifest: maxConnections | here |
//! | manifest: idleTimeout | `refusals.rs` |
//! | ingest: PROBE and PROBE_BYTES_MAX without a configuration | `refusals.rs` |
//! | ingest: AHEAD_MAX | here |
//! | viewers: HEAD_MAX, PATH_MAX | `viewers.rs` |
//! | viewers: HEAD_TIMEOUT, HEAD_GRACE | here |
//! | viewers: RANGE_MAX | `rewound.rs` |
//! | HLS: held for three target durations, `_HLS_msn`, `_HLS_part` | `viewers.rs` |

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched;
use crate::oracle::Exception;
use crate::process::Up;
use crate::server::{KEY, PATIENCE, Server, brisk, local, silent, within};
use castctl::edge::server::{HEAD_GRACE, HEAD_TIMEOUT};
use castctl::ingest::doors::WRITE_TIMEOUT;
use castctl::ingest::publisher::AHEAD_MAX;
use castctl::rt::clock::Clock;
use castctl::rtmp::limits::HANDSHAKE_BYTES;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

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
    // What is allowed, and what one read of 64 KiB may bring at this clip's bit rate.
    let ahead = u128::try_from((list.length() - took) / 1000).unwrap_or_default();
    assert!(ahead <= AHEAD_MAX.as_millis() + 2_500, "{ahead} ms ahead of the clock");
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

/// Half a request, and what has come when the server hangs up.
async fn half(server: &Server) -> TcpStream {
    let mut socket = TcpStream::connect(server.viewers).await.expect("connected");
    socket.write_all(b"GET / HTTP/1.1\r\nHost: ").await.expect("written");
    socket
}

async fn last_word(mut socket: TcpStream) -> String {
    let mut answer = String::new();
    let end = within("the server to hang up", socket.read_to_string(&mut answer)).await;
    end.expect("an orderly end");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_head_that_never_ends_is_given_up() {
    let server = Server::start(vec![brisk("main", &[KEY])]).await;
    let silent = TcpStream::connect(server.viewers).await.expect("connected");
    let answer = last_word(half(&server).await).await;
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    let why = format!("\r\n\r\nno whole request head within {} s\n", HEAD_TIMEOUT.as_secs());
    assert!(answer.ends_with(&why), "{answer}");
    assert_eq!(last_word(silent).await, "", "who asks nothing is told nothing");
    server.stop().await;
}

/// The drain may take an hour; what holds it up is only what is worth waiting for.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_for_half_a_request_head() {
    let hour = Duration::from_secs(3600);
    let channels = vec![brisk("main", &[KEY])];
    let server = Server::with(channels, |m| m.server.drain_timeout = hour).await;
    let (never, mut late) = (half(&server).await, half(&server).await);
    // Both are accepted: a connection after them is answered.
    let answer = fetched::get(server.url("/live/other/index.m3u8")).await;
    assert_eq!(answer.status(), reqwest::StatusCode::NOT_FOUND);
    server.drain();
    late.write_all(b"x\r\n\r\n").await.expect("written");
    let answer = last_word(late).await;
    assert!(answer.starts_with("HTTP/1.1 "), "answered, for it came within {HEAD_GRACE:?}");
    assert!(!answer.contains("the server is shutting down"), "{answer}");
    let answer = last_word(never).await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nthe server is shutting down\n"), "{answer}");
    within("the end of the drain", server.stop()).await;
}

/// A server that says nothing but goes on taking: what it was sent lies in the sockets.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_takes_no_answers_is_cut_off() {
    let dir = tempfile::tempdir().expect("a directory");
    let manifest = dir.path().join("castctl.yaml");
    let text =
        "channels: [{name: main, keys: [main-key-1]}]\nserver: {rtmp: {maxConnections: 1}}\n";
    std::fs::write(&manifest, text).expect("a file");
    let mut up = Up::start(&dir.path().join("data"), Some(&manifest), [local(); 3]).await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut deaf = socket.connect(up.ports()[0]).await.expect("connected");
    let mut opening = vec![0; HANDSHAKE_BYTES];
    opening[0] = 3;
    deaf.write_all(&opening).await.expect("written");
    // Ping requests, each of which is answered.
    let ping = [2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0].repeat(1000);
    let asking =
        castctl::rt::task::spawn(
            "deaf",
            async move { while deaf.write_all(&ping).await.is_ok() {} },
        );
    up.process.says("all 1 RTMP connections are taken: the next ones wait").await;
    let seconds = WRITE_TIMEOUT.as_secs();
    let said = format!("the peer has taken nothing of what it was sent for {seconds} s");
    up.process.says(&said).await;
    within("the end of the connection", asking).await.expect("not aborted");
    Encoder::connect(up.ports()[0], "main-key-1").await.expect("the seat is free");
    up.process.signal(rustix::process::Signal::TERM);
    assert_eq!(within("the end", up.process.ended()).await.code, Some(0));
}
