//! A look at an HLS stream that a few lines of HTTP serve: a low-latency playlist that grows with
//! each blocking reload, fMP4 made of the clip.

use crate::inspect::error::InspectError;
use crate::inspect::hls;
use crate::inspect::report::{Report, Severity};
use crate::log::fixture::{BBB, packets};
use crate::media::codec::details;
use crate::media::fmp4::fragment::{Fragment, Sample, fragment};
use crate::media::fmp4::init::init;
use crate::media::packet::Packet;
use crate::media::track::Track;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::task::spawn;
use bytes::Bytes;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Path and query to body.
pub(super) type Site = HashMap<String, Bytes>;

/// Serves the site, one request a connection; 404 for the rest.
pub(super) async fn serve(site: Site) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let site = Arc::new(site);
    spawn("site", async move {
        while let Ok((socket, _)) = listener.accept().await {
            spawn("request", answer(socket, Arc::clone(&site)));
        }
    });
    base
}

async fn answer(socket: TcpStream, site: Arc<Site>) -> Option<()> {
    let mut socket = BufReader::new(socket);
    let mut request = String::new();
    socket.read_line(&mut request).await.ok()?;
    let mut line = String::new();
    while socket.read_line(&mut line).await.ok()? > 2 {
        line.clear();
    }
    let (status, body) = match site.get(request.split(' ').nth(1)?) {
        Some(body) => ("200 OK", body.clone()),
        None => ("404 Not Found", Bytes::new()),
    };
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    socket.write_all(head.as_bytes()).await.ok()?;
    socket.write_all(&body).await.ok()
}

/// The clip's video as parts of half a second, the numbers of their samples from `first` on.
fn part(track: &Track, samples: &[Packet], mux_start: u64) -> Bytes {
    let d = details(track).expect("a configuration");
    let samples: Vec<Sample> = samples
        .iter()
        .map(|p| Sample { dts: p.dts, cts: p.cts, key: p.key, payload: p.payload.clone() })
        .collect();
    fragment(&Fragment {
        description: 1,
        track_number: 1,
        sequence: 1,
        decode_time: mux_start,
        duration: samples.len() as i64 * 40_000,
        timescale: track.timescale,
        mux: d.mux_timescale,
        frames: d.frame_length(),
        samples: &samples,
    })
}

pub(super) const HEAD: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.52\n\
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.56\n#EXT-X-MEDIA-SEQUENCE:10\n\
    #EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-11-20T12:00:00.000Z\n";

/// One segment of 40 pictures, then six parts of 10, one for each blocking reload, and the end.
pub(super) fn live_site() -> Site {
    let (tracks, all) = packets(Path::new(BBB));
    let track = &tracks[0];
    let video: Vec<Packet> = all.into_iter().filter(|p| p.track == track.id).collect();
    let of = |from: usize, to: usize| {
        let start = (video[from].dts - video[0].dts) as u64 * 90;
        part(track, &video[from..to], start)
    };
    let mut site = Site::new();
    let d = details(track).expect("a configuration");
    site.insert("/v/init.mp4".into(), init(track, &d, 1).expect("an init section"));
    site.insert("/v/10.m4s".into(), of(0, 40));
    for p in 0..6 {
        site.insert(format!("/v/11.{p}.m4s"), of(40 + 10 * p, 50 + 10 * p));
    }
    let version = |parts: usize| {
        let mut text = format!("{HEAD}#EXTINF:1.6,\n10.m4s\n");
        for p in 0..parts {
            text += &format!("#EXT-X-PART:DURATION=0.4,URI=\"11.{p}.m4s\"\n");
        }
        if parts == 6 {
            text += "#EXTINF:2.4,\n11.m4s\n#EXT-X-ENDLIST\n";
        }
        Bytes::from(text)
    };
    site.insert("/v/i.m3u8".into(), version(0));
    for p in 0..6 {
        // The first wait is for what follows a whole segment.
        site.insert(format!("/v/i.m3u8?_HLS_msn=11&_HLS_part={p}"), version(p + 1));
    }
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=500000,CODECS=\"avc1.42c01e\",\
                  RESOLUTION=640x360,FRAME-RATE=25.000\nv/i.m3u8\n";
    site.insert("/index.m3u8".into(), master.into());
    site
}

pub(super) async fn look(url: &str) -> Result<Report, InspectError> {
    hls::inspect(url, Duration::from_secs(20), &Clock::system(), &Drain::new()).await
}

#[tokio::test]
async fn a_growing_playlist_is_followed_part_by_part() {
    let base = serve(live_site()).await;
    let r = look(&format!("{base}/index.m3u8")).await.expect("a stream");
    assert!(!r.damaged, "{:?}", r.findings);
    let h = r.hls.as_ref().expect("HLS");
    assert_eq!(h.variants.as_ref().map(Vec::len), Some(1));
    let p = &h.playlists[0];
    assert_eq!((p.versions, p.fetched, p.failed, p.failed_reloads), (7, 7, 0, 0));
    assert_eq!((p.first_msn, p.last_msn, p.segments, p.ended), (Some(10), Some(11), 2, true));
    assert_eq!((p.target_duration, p.part_target), (Some(2.0), Some(0.52)));
    assert!(p.blocking_reload && p.duration_error_seconds.is_some_and(|e| e < 0.001));
    assert!(p.latency_seconds.is_some_and(|l| l.max >= l.min));
    let t = &r.tracks[0];
    assert_eq!((t.packets, t.width, &*t.codec), (100, Some(640), "avc1.42c01e"));
    assert_eq!((t.frame_rate, t.timestamps.holes, t.timestamps.jumps), (Some(25.0), 0, 0));
    let text = "media: segment 11 of 2.4 s is longer than the target duration";
    assert!(r.findings.iter().all(|f| f.text != text), "2.4 rounds to 2");
}

#[tokio::test]
async fn missing_and_damaged_files_are_damage() {
    let mut site = live_site();
    site.remove("/v/11.2.m4s");
    site.insert("/v/11.3.m4s".into(), Bytes::from_static(b"this is no fragment"));
    let base = serve(site).await;
    let r = look(&format!("{base}/v/i.m3u8")).await.expect("a stream");
    assert!(r.damaged);
    assert_eq!(r.hls.as_ref().map(|h| h.playlists[0].failed), Some(2));
    let damage: Vec<&str> =
        r.findings.iter().filter(|f| f.severity == Severity::Damage).map(|f| &*f.text).collect();
    assert!(damage.len() == 1 && damage[0].contains("2 listed file(s)"), "{damage:?}");
    assert!(damage[0].contains("404"), "{damage:?}");
    assert_eq!(r.tracks[0].packets, 80);
}

#[tokio::test]
async fn what_is_no_playlist_is_an_error() {
    let base = serve(live_site()).await;
    let missing = look(&format!("{base}/nothing.m3u8")).await;
    assert!(matches!(missing, Err(InspectError::Fetch { .. })), "{missing:?}");
    let media = look(&format!("{base}/v/init.mp4")).await;
    assert!(matches!(media, Err(InspectError::Playlist { .. })), "{media:?}");
}
