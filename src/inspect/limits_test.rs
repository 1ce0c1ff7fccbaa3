//! What a look is bounded by, and what a person is told when a bound is met.

use crate::inspect::error::InspectError;
use crate::inspect::fetch::{MEDIA_MAX, PLAYLIST_MAX, TIMEOUT};
use crate::inspect::files::EXTENT_MAX;
use crate::inspect::follow::FAILURES_MAX;
use crate::inspect::hls_test::{HEAD, Site, live_site, look, serve};
use crate::inspect::report::{Report, Severity};
use crate::inspect::rows::Row;
use crate::inspect::rtmp::{CONNECT_TIMEOUT, MEDIA_TIMEOUT};
use crate::inspect::timeline::{Choice, OPEN_MAX, Timeline};
use crate::inspect::{log, rtmp};
use crate::log::format::extent::Header;
use crate::log::repair::salvage::{SEARCH_FACTOR, SEARCH_START};
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::listen::unanswered;
use crate::rt::task::spawn;
use crate::rtmp::amf0::{Amf0, write_all};
use crate::rtmp::chunk_writer::ChunkWriter;
use crate::rtmp::limits::HANDSHAKE_BYTES;
use crate::rtmp::message::COMMAND_AMF0;
use bytes::Bytes;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

fn texts(r: &Report, s: Severity) -> Vec<&str> {
    r.findings.iter().filter(|f| f.severity == s).map(|f| &*f.text).collect()
}

#[tokio::test]
async fn playlists_and_media_are_read_so_far() {
    let mut site = live_site();
    let spaces = |n: usize| Bytes::from(vec![b' '; n]);
    site.insert("/largest.m3u8".into(), spaces(PLAYLIST_MAX));
    site.insert("/larger.m3u8".into(), spaces(PLAYLIST_MAX + 1));
    site.insert("/v/11.2.m4s".into(), spaces(MEDIA_MAX + 1));
    let base = serve(site).await;
    let largest = look(&format!("{base}/largest.m3u8")).await;
    assert!(matches!(largest, Err(InspectError::Playlist { .. })), "it is read");
    let url = format!("{base}/larger.m3u8");
    let said = look(&url).await.expect_err("it is not").to_string();
    assert_eq!(said, format!("cannot fetch {url}: it is longer than 16777216 bytes"));
    let report = look(&format!("{base}/v/i.m3u8")).await.expect("a stream");
    let said = "media: 1 listed file(s) are missing or damaged, first cannot fetch";
    let file = format!("{said} {base}/v/11.2.m4s: it is longer than 67108864 bytes");
    assert_eq!(texts(&report, Severity::Damage), [file]);
}

/// A paused clock moves on to the next time-out as soon as no socket has anything to say.
#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/i.m3u8", listener.local_addr().expect("bound"));
    tokio::time::pause();
    let clock = Clock::system();
    let begun = clock.now().mono;
    let said = look(&url).await.expect_err("silence").to_string();
    assert_eq!(said, format!("cannot fetch {url}: no whole answer within 30 s"));
    assert!(clock.now().mono.since(begun) >= TIMEOUT);
}

#[tokio::test]
async fn reloads_that_fail_are_tried_so_often() {
    let mut site = Site::new();
    let text = format!("{}#EXTINF:1.6,\n10.m4s\n", HEAD.replace("DURATION:2", "DURATION:1"));
    site.insert("/v/i.m3u8".into(), text.into());
    let base = serve(site).await;
    let url = format!("{base}/v/i.m3u8");
    let report = look(&url).await.expect("a stream");
    let facts = &report.hls.as_ref().expect("HLS").playlists[0];
    assert_eq!(facts.failed_reloads, u64::from(FAILURES_MAX));
    let said = format!(
        "media: {FAILURES_MAX} reload(s) failed, first: cannot fetch \
         {url}?_HLS_msn=11&_HLS_part=0: 404 Not Found"
    );
    assert!(texts(&report, Severity::Problem).contains(&&*said), "{:?}", report.findings);
}

#[test]
fn a_file_larger_than_any_extent_is_not_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("00000000.extent");
    let file = std::fs::File::create(&path).expect("made");
    file.set_len(EXTENT_MAX + 1).expect("a hole takes no room");
    let report = log::inspect(&path).expect("a report");
    let said = "cannot be read: it is larger than any extent of a log";
    assert_eq!(texts(&report, Severity::Damage), [format!("{}: {said}", path.display())]);
    file.set_len(EXTENT_MAX).expect("set");
    let report = log::inspect(&path).expect("a report");
    assert!(!texts(&report, Severity::Damage)[0].contains(said), "{:?}", report.findings);
}

#[test]
fn bytes_that_look_like_records_do_not_take_for_ever() {
    // Every twelve bytes a record of 8 MiB seems to begin: more of them than are tried.
    let length = 8 << 20;
    let mut head = [0x11; 12];
    head[..4].copy_from_slice(&u32::to_le_bytes(length));
    head[8..].copy_from_slice(&[1, 0, 0, 0]);
    let searched = 1_000 * head.len();
    let tried = (SEARCH_START + SEARCH_FACTOR * searched) / length as usize;
    let heads = length as usize / head.len() + 1_000;
    let generation = crate::base::ids::Generation(1);
    let header = Header {
        extent: 0,
        generation,
        forced_roll: false,
        wrote: crate::log::format::version::Wrote::TODAY,
    };
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("00000000.extent");
    let bytes = [&header.encode()[..], &head.repeat(heads)].concat();
    std::fs::write(&path, bytes).expect("written");
    let report = log::inspect(&path).expect("a report");
    let name = path.display();
    let text = texts(&report, Severity::Damage)[0];
    let untried: usize = text
        .strip_prefix(&format!("{name}: "))
        .and_then(|t| t.split_once(" places that look like records were not tried"))
        .and_then(|(n, _)| n.parse().ok())
        .unwrap_or_else(|| panic!("{text}"));
    assert!(tried < 100 && untried >= 1_000 - tried, "{tried} tried: {text}");
}

#[tokio::test]
async fn an_rtmp_host_that_does_not_answer_is_named() {
    let (addr, _full) = unanswered();
    let url = format!("rtmp://{addr}/live/key").parse().expect("legal");
    tokio::time::pause();
    let clock = Clock::system();
    let begun = clock.now().mono;
    let lost = rtmp::inspect(&url, Duration::from_secs(1), &clock, &Drain::new()).await;
    let said = format!("cannot connect to 127.0.0.1 port {}: no answer within 10 s", addr.port());
    assert_eq!(lost.expect_err("nobody answers").to_string(), said);
    assert_eq!(clock.now().mono.since(begun).as_secs(), CONNECT_TIMEOUT.as_secs());
}

#[tokio::test]
async fn an_rtmp_stream_without_media_is_waited_for_so_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("bound");
    let _server = spawn("server", async move {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let mut shake = vec![0; HANDSHAKE_BYTES];
        shake[0] = 3;
        socket.write_all(&shake).await.expect("written");
        let info = [
            ("level".into(), Amf0::string("status")),
            ("code".into(), Amf0::string("NetStream.Play.Start")),
        ];
        let start =
            [Amf0::string("onStatus"), Amf0::Number(0.0), Amf0::Null, Amf0::Object(info.into())];
        let start = ChunkWriter::default().write(COMMAND_AMF0, 1, 0, &write_all(&start));
        socket.write_all(&start.expect("fits")).await.expect("written");
        // What the player says is not read, and nothing more is said.
        std::future::pending::<()>().await;
    });
    let url = format!("rtmp://{addr}/live/key").parse().expect("legal");
    let clock = Clock::system();
    tokio::time::pause();
    let begun = clock.now().mono;
    let duration = MEDIA_TIMEOUT / 10;
    let report = rtmp::inspect(&url, duration, &clock, &Drain::new()).await.expect("a report");
    let said = "no audio or video came: is anybody publishing?";
    assert!(texts(&report, Severity::Problem).contains(&said), "{:?}", report.findings);
    assert_eq!(clock.now().mono.since(begun).as_secs(), MEDIA_TIMEOUT.as_secs());
}

#[test]
fn packets_without_a_part_are_kept_so_far() {
    use crate::base::ids::{Msn, Seq, TrackId};
    use crate::base::time::Wall;
    use crate::log::format::HEADER_POSITION;
    use crate::log::format::record::Record;
    use crate::media::packet::Packet;
    use crate::media::timeline::mark::{Mark, PartEnd, SegmentStart};
    let mut timeline = Timeline::new(Choice::default());
    let (track, msn, first_seq) = (TrackId::VIDEO, Msn(5), Seq(0));
    let start = SegmentStart {
        track,
        msn,
        dseq: 0,
        discontinuity: false,
        independent: true,
        wall: Wall(0),
        first_seq,
    };
    timeline.record(HEADER_POSITION, &Record::Mark(Mark::SegmentStart(start)));
    let count = OPEN_MAX as u64 + 10;
    for n in 0..count {
        let payload = Bytes::from_static(b"x");
        let packet = Packet { track, dts: n as i64, cts: 0, key: false, payload };
        timeline.record(HEADER_POSITION, &Record::Packet { packet, seq: Some(Seq(n)) });
    }
    let end = PartEnd {
        track,
        msn,
        part: 0,
        first_seq,
        last_seq: Seq(count - 1),
        decode_time: 0,
        duration: 1_000,
        independent: true,
    };
    timeline.record(HEADER_POSITION, &Record::Mark(Mark::PartEnd(end)));
    timeline.finish();
    let Some(Row::Segment(s)) = timeline.poll() else { panic!("a segment") };
    assert_eq!(s.packets, OPEN_MAX as u64, "the oldest are forgotten");
}
