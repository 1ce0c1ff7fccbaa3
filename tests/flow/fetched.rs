//! What a viewer gets: playlists and media by plain HTTP, and the samples in them, read without the
//! muxer's code.

use crate::oracle::ledger::resolve;
use crate::oracle::playlist::{self, Playlist};
use crate::server::{PATIENCE, within};
use bytes::Bytes;
use reqwest::{Client, Response, StatusCode, Url};
use std::time::Duration;

/// A viewer's HTTP client: follows no redirects, so that a test sees them.
pub(crate) fn client() -> Client {
    let none = reqwest::redirect::Policy::none();
    Client::builder().timeout(PATIENCE).redirect(none).build().expect("a client")
}

/// One GET.
pub(crate) async fn get(url: Url) -> Response {
    client().get(url.clone()).send().await.unwrap_or_else(|e| panic!("{url}: {e}"))
}

/// A GET that must answer 200.
pub(crate) async fn ok(url: Url) -> Bytes {
    let answer = get(url.clone()).await;
    assert_eq!(answer.status(), StatusCode::OK, "{url}");
    answer.bytes().await.expect("a body")
}

/// A GET of text that must answer 200.
pub(crate) async fn text(url: Url) -> String {
    String::from_utf8(ok(url).await.to_vec()).expect("text")
}

/// The current session's multivariant playlist of a channel, once there is one.
pub(crate) async fn session(base: &Url, channel: &str) -> Url {
    let entry = base.join(&format!("/live/{channel}/index.m3u8")).expect("a URL");
    within("a session with media", async {
        let mut pause = tokio::time::interval(Duration::from_millis(50));
        loop {
            pause.tick().await;
            let answer = get(entry.clone()).await;
            if answer.status() == StatusCode::FOUND {
                let to = answer.headers()["location"].to_str().expect("a path");
                return entry.join(to).expect("a URL");
            }
        }
    })
    .await
}

/// A media playlist of a session (`video`, `audio`).
pub(crate) async fn media(session: &Url, rendition: &str) -> Playlist {
    let url = session.join(&format!("{rendition}/index.m3u8")).expect("a URL");
    playlist::parse(&text(url).await).expect("a playlist")
}

/// The media playlist once it is as wished; each version is asked for once.
pub(crate) async fn media_until(
    session: &Url,
    rendition: &str,
    wish: impl Fn(&Playlist) -> bool,
) -> Playlist {
    let plain = session.join(&format!("{rendition}/index.m3u8")).expect("a URL");
    let wait = async {
        let mut url = plain.clone();
        loop {
            let answer = get(url.clone()).await;
            if answer.status() != StatusCode::OK {
                url = plain.clone();
                tokio::task::yield_now().await;
                continue;
            }
            let text = answer.text().await.expect("text");
            let read = playlist::parse(&text).unwrap_or_else(|e| panic!("{e}:\n{text}"));
            if wish(&read) {
                return read;
            }
            assert!(!read.ended, "the playlist ended otherwise:\n{text}");
            url = plain.clone();
            if let Some((msn, part)) = read.next() {
                url.set_query(Some(&format!("_HLS_msn={msn}&_HLS_part={part}")));
            }
        }
    };
    within("a playlist as wished", wait).await
}

/// A sample of a fragment: times in ticks of the init section's timescale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) dts: i64,
    pub(crate) pts: i64,
    pub(crate) payload: Bytes,
}

/// A rendition as downloaded: its samples with the timescale of each.
pub(crate) async fn samples(session: &Url, rendition: &str) -> Vec<(Sample, u32)> {
    let url = session.join(&format!("{rendition}/index.m3u8")).expect("a URL");
    let list = media(session, rendition).await;
    assert!(list.ended, "{url}: only what has ended is whole");
    let (mut out, mut init) = (Vec::new(), (String::new(), 0));
    for segment in list.segments.iter().filter(|s| !s.gap) {
        let path = |uri: &str| session.join(&resolve(url.path(), uri)).expect("a URL");
        let map = segment.map.clone().expect("an init section");
        if init.0 != map {
            init = (map.clone(), timescale(&ok(path(&map)).await));
        }
        let media = ok(path(segment.uri.as_ref().expect("complete"))).await;
        out.extend(fragments(&media).into_iter().map(|s| (s, init.1)));
    }
    out
}

/// Presentation time of the first sample of a rendition's first listed segment, seconds.
pub(crate) async fn first_pts(session: &Url, rendition: &str) -> f64 {
    let url = session.join(&format!("{rendition}/dvr.m3u8")).expect("a URL");
    let list = playlist::parse(&text(url.clone()).await).expect("a playlist");
    let first = list.segments.iter().find(|s| !s.gap).expect("a segment");
    let path = |uri: &Option<String>| {
        let uri = uri.as_ref().expect("a complete segment with an init section");
        session.join(&resolve(url.path(), uri)).expect("a URL")
    };
    let init = ok(path(&first.map)).await;
    let samples = fragments(&ok(path(&first.uri)).await);
    samples[0].pts as f64 / f64::from(timescale(&init))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The boxes in `bytes` with where each body begins.
fn boxes(bytes: &[u8]) -> Vec<([u8; 4], usize, usize)> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let size = word(bytes, at) as usize;
        assert!(size >= 8 && at + size <= bytes.len(), "a box of {size} bytes at {at}");
        out.push((word(bytes, at + 4).to_be_bytes(), at + 8, at + size));
        at += size;
    }
    out
}

fn find<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> &'a [u8] {
    path.iter().fold(bytes, |body, kind| {
        let found = boxes(body).into_iter().find(|b| b.0 == **kind).expect("a box");
        &body[found.1..found.2]
    })
}

/// The timescale of an init section's track.
pub(crate) fn timescale(init: &[u8]) -> u32 {
    let mdhd = find(init, &[b"moov", b"trak", b"mdia", b"mdhd"]);
    word(mdhd, if mdhd[0] == 1 { 20 } else { 12 })
}

/// Every sample of a segment. Relies on each trun naming every size, as its data follows the moof.
pub(crate) fn fragments(bytes: &Bytes) -> Vec<Sample> {
    let (mut out, mut moof) = (Vec::new(), None);
    for (kind, from, to) in boxes(bytes) {
        match &kind {
            b"moof" => moof = Some(&bytes[from..to]),
            b"mdat" => {
                let moof = moof.take().expect("a moof before its mdat");
                out.extend(run(find(moof, &[b"traf"]), bytes, from));
            }
            _ => {}
        }
    }
    out
}

fn run(traf: &[u8], bytes: &Bytes, mut data: usize) -> Vec<Sample> {
    let (tfhd, tfdt, trun) =
        (find(traf, &[b"tfhd"]), find(traf, &[b"tfdt"]), find(traf, &[b"trun"]));
    let default = if word(tfhd, 0) & 8 != 0 { word(tfhd, 8) } else { 0 };
    let high = if tfdt[0] == 1 { i64::from(word(tfdt, 4)) << 32 } else { 0 };
    let mut dts = high + i64::from(word(tfdt, if tfdt[0] == 1 { 8 } else { 4 }));
    let has = word(trun, 0);
    let mut at = 8 + [1, 4].iter().filter(|bit| has & **bit != 0).count() * 4;
    let mut out = Vec::new();
    for _ in 0..word(trun, 4) {
        let mut field = |bit: u32| {
            let value = (has & bit != 0).then(|| word(trun, at));
            at += if value.is_some() { 4 } else { 0 };
            value
        };
        let duration = field(0x100).unwrap_or(default);
        let size = field(0x200).expect("a size") as usize;
        let _flags = field(0x400);
        let cts = field(0x800).unwrap_or(0) as i32;
        let payload = bytes.slice(data..data + size);
        out.push(Sample { dts, pts: dts + i64::from(cts), payload });
        data += size;
        dts += i64::from(duration);
    }
    out
}
