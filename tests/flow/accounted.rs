//! Every frame is accounted for: what an encoder sent is in the log and is what viewers download,
//! byte for byte and time for time.

use crate::clip::{self, Unit};
use crate::encoder::Encoder;
use crate::fetched;
use crate::process;
use crate::server::{self, PATIENCE, Server, silent, within};
use castctl::base::ids::TrackId;
use castctl::log::format::record::Record;
use castctl::log::logs::Logs;
use castctl::log::options::Options;
use castctl::log::subscription::From;
use castctl::manifest::types::ChannelSpec;
use castctl::media::flv::file::Tag;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How far audio on its sample grid may be from the encoder's rounded milliseconds, microseconds.
pub(crate) const GRID: i64 = 1_500;

/// The packets of a channel's only log, in log order by track; only those that are listed.
pub(crate) async fn logged(data: &Path, channel: &str) -> Vec<Unit> {
    let logs = Logs::open(data, Options::default()).expect("the data directory");
    let found = logs.list().await.expect("logs");
    let mut of_channel = found.into_iter().filter(|l| l.id.channel.as_str() == channel);
    let log = of_channel.next().expect("a log");
    assert!(of_channel.next().is_none(), "{channel}: more than one log");
    assert!(log.sealed, "{channel}: its log is not sealed");
    let mut reader = logs.subscribe(&log.id, From::Start).expect("the log");
    let mut out = Vec::new();
    while let Some(batch) = reader.next().await.expect("a sound log") {
        for entry in batch.records() {
            let Record::Packet { packet, seq } = entry.record else { continue };
            assert!(seq.is_some(), "{channel}: a packet at {} ms is not listed", packet.dts);
            let (track, dts, pts) = (packet.track, packet.dts, packet.pts());
            out.push(Unit { track, dts, pts, payload: packet.payload });
        }
    }
    out.sort_by_key(|u| u.track);
    out
}

pub(crate) fn same(what: &str, sent: &[Unit], got: &[Unit]) {
    for (i, (a, b)) in sent.iter().zip(got).enumerate() {
        let times = (a.track, a.dts, a.pts) == (b.track, b.dts, b.pts);
        let (alen, blen) = (a.payload.len(), b.payload.len());
        assert!(
            times && a.payload == b.payload,
            "{what}: unit {i}: sent {:?} dts {} pts {} {alen} bytes, got {:?} dts {} pts {} {blen}",
            a.track,
            a.dts,
            a.pts,
            b.track,
            b.dts,
            b.pts
        );
    }
    assert_eq!(sent.len(), got.len(), "{what}: number of units");
}

/// What viewers download against what was sent; sound may be `grid` microseconds beside.
pub(crate) async fn downloaded(session: &reqwest::Url, channel: &str, sent: &[Unit], grid: i64) {
    for (track, rendition) in [(TrackId::VIDEO, "video"), (TrackId::AUDIO, "audio")] {
        let sent: Vec<&Unit> = sent.iter().filter(|u| u.track == track).collect();
        if sent.is_empty() {
            continue;
        }
        let got = fetched::samples(session, rendition).await;
        assert_eq!(sent.len(), got.len(), "{channel}/{rendition}: number of samples");
        for (i, (a, (b, scale))) in sent.iter().zip(&got).enumerate() {
            let micros = |ticks: i64| ticks * 1_000_000 / i64::from(*scale);
            let slack = if track == TrackId::AUDIO { grid } else { 0 };
            let near = |ms: i64, ticks: i64| (ms * 1000 - micros(ticks)).abs() <= slack;
            assert!(a.payload == b.payload, "{channel}/{rendition}: sample {i}: other bytes");
            assert!(
                near(a.dts, b.dts) && near(a.pts, b.pts),
                "{channel}/{rendition}: sample {i}: sent dts {} pts {} ms, got {} {} us",
                a.dts,
                a.pts,
                micros(b.dts),
                micros(b.pts)
            );
        }
    }
}

/// A channel that ends soon after its encoder.
pub(crate) fn plain(name: &str) -> ChannelSpec {
    let key = format!("key-of-{name}");
    let reconnect_window = Duration::from_millis(500);
    ChannelSpec { reconnect_window, ..server::channel(name, &[&key]) }
}

/// Publishes a clip with a real encoder, then weighs log and downloads.
async fn with_ffmpeg(server: &Server, name: &str, clip: &Path) {
    let mut ffmpeg = process::ffmpeg("-re -i");
    ffmpeg.arg(clip).args(["-c", "copy"]);
    weighed(server, name, ffmpeg, &clip::units(&clip::tags(clip))).await;
}

/// Publishes with this encoder, which sends these units, and weighs what viewers download.
pub(crate) async fn weighed(server: &Server, name: &str, mut encoder: Command, sent: &[Unit]) {
    let url = server.publish_url(&format!("key-of-{name}"));
    encoder.args(["-f", "flv", &url]);
    let oracle = server.oracle(name);
    let done = process::run(&mut encoder);
    let base = server.url("/");
    let (done, session) = tokio::join!(done, fetched::session(&base, name));
    assert_eq!(done.code, Some(0), "{name}: {}", done.err);
    ended(&session, name).await;
    downloaded(&session, name, sent, GRID).await;
    let found = oracle.report().await;
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{name}: the oracle speaks:\n{}", lines.join("\n"));
}

/// Waits until both renditions have ended.
pub(crate) async fn ended(session: &reqwest::Url, name: &str) {
    let multivariant = fetched::text(session.clone()).await;
    for rendition in ["video", "audio"] {
        if multivariant.contains(&format!("{rendition}/index.m3u8")) {
            within(name, fetched::media_until(session, rendition, |p| p.ended)).await;
        }
    }
}

/// The clips of the matrix: name, seconds, ffmpeg's options.
const MATRIX: [(&str, u32, &str); 8] = [
    ("baseline", 8, "-profile:v baseline -g 50"),
    ("b-frames", 8, "-profile:v main -bf 3 -b_strategy 0 -x264-params bframes=3 -g 50"),
    ("long-gop", 13, "-g 250 -keyint_min 250 -sc_threshold 0"),
    ("surround", 8, "-g 50 -ac 6"),
    ("video-only", 8, "-g 50 -an"),
    ("audio-only", 8, "-vn"),
    ("ntsc", 8, "-r 30000/1001 -g 60"),
    ("cd-audio", 8, "-g 50 -ar 44100"),
];

async fn matrix(rows: &[(&'static str, u32, &'static str)]) {
    let clips = tempfile::tempdir().expect("a directory");
    let mut made: Vec<(&str, PathBuf)> = Vec::new();
    for (name, seconds, options) in rows {
        made.push((name, clip::make(clips.path(), name, *seconds, options).await));
    }
    let server = Server::start(rows.iter().map(|(name, ..)| plain(name)).collect()).await;
    let mut running = tokio::task::JoinSet::new();
    let server = std::sync::Arc::new(server);
    for (name, clip) in made.clone() {
        let server = server.clone();
        running.spawn(async move { with_ffmpeg(&server, name, &clip).await });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
    }
    let server = std::sync::Arc::into_inner(server).expect("all are done");
    let dir = server.stop().await;
    for (name, clip) in &made {
        let sent = clip::units(&clip::tags(clip));
        same(name, &sent, &logged(dir.path(), name).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_every_kind_arrive_whole() {
    matrix(&MATRIX[..4]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_of_every_kind_arrives_whole() {
    matrix(&MATRIX[4..]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gop_above_the_limit_is_cut_truthfully() {
    let clips = tempfile::tempdir().expect("a directory");
    let options = "-g 300 -keyint_min 300 -sc_threshold 0 -profile:v main -bf 2 -b_strategy 0";
    let path = clip::make(clips.path(), "gop", 14, options).await;
    let server = Server::start(vec![ChannelSpec {
        reconnect_window: Duration::from_millis(500),
        ..server::fast("main", &[server::KEY])
    }])
    .await;
    let oracle = server.oracle("main");
    let mut encoder = Encoder::connect(server.rtmp, server::KEY).await.expect("accepted");
    encoder.at_once(&clip::tags(&path)).await.expect("taken");
    encoder.finish().await;
    let session = fetched::session(&server.url("/"), "main").await;
    let list = fetched::media_until(&session, "video", |p| p.ended).await;
    assert!(list.segments.len() >= 7, "segments of 2 s at most: {}", list.segments.len());
    let independent: Vec<bool> =
        list.segments.iter().map(|s| s.parts.first().is_some_and(|p| p.independent)).collect();
    let seen = list.segments.iter().zip(&independent).filter(|(s, _)| !s.parts.is_empty());
    assert!(seen.clone().count() >= 2, "parts are listed");
    assert!(seen.filter(|(_, i)| **i).count() <= 1, "only IDRs are independent");
    downloaded(&session, "main", &clip::units(&clip::tags(&path)), GRID).await;
    silent(&oracle.report().await);
    server.stop().await;
}

/// Two clips of different sizes in one stream, each with its sequence headers.
#[tokio::test(flavor = "multi_thread")]
async fn new_parameter_sets_mid_stream_are_a_discontinuity() {
    let clips = tempfile::tempdir().expect("a directory");
    let small = clip::make(clips.path(), "small", 5, "-g 25").await;
    let large = clip::make(clips.path(), "large", 5, "-g 25 -s 640x360").await;
    let mut tags = clip::tags(&small);
    let length = 5_000;
    let second =
        clip::tags(&large).into_iter().map(|t| Tag { timestamp: t.timestamp + length, ..t });
    tags.retain(|t| t.timestamp < length);
    tags.extend(second);
    let reconnect_window = Duration::from_millis(500);
    let spec = ChannelSpec { reconnect_window, ..server::brisk("main", &[server::KEY]) };
    let server = Server::start(vec![spec]).await;
    let oracle = server.oracle("main");
    let mut encoder = Encoder::connect(server.rtmp, server::KEY).await.expect("accepted");
    let sent = within("the publish", encoder.real_time(&tags, |t| t)).await;
    sent.expect("the server takes it all");
    encoder.finish().await;
    let session = fetched::session(&server.url("/"), "main").await;
    let list = fetched::media_until(&session, "video", |p| p.ended).await;
    let maps: std::collections::BTreeSet<_> = list.segments.iter().map(|s| &s.map).collect();
    assert_eq!(maps.len(), 2, "two init sections");
    let breaks = list.segments.iter().skip(1).filter(|s| s.discontinuity > 0).count();
    assert_eq!(breaks, 1, "one discontinuity");
    // The first clip's last frame of sound ends inside the second clip.
    downloaded(&session, "main", &clip::units(&tags), 22_000).await;
    oracle.until(PATIENCE, |seen| seen.newest.len() == 2).await;
    silent(&oracle.report().await);
    let dir = server.stop().await;
    same("both clips", &clip::units(&tags), &logged(dir.path(), "main").await);
}
