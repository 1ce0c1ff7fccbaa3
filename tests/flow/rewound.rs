//! Viewers who rewind while a channel is live: whichever edge they ask, a moment leads to the same
//! segment, and what begins there is the live stream under the same URLs, across reconnects,
//! origins and sessions.

use crate::clip;
use crate::encoder::Encoder;
use crate::fetched::{self, get};
use crate::oracle::ledger::resolve;
use crate::oracle::playlist::{self, Playlist, Segment};
use crate::oracle::{Exception, Oracle};
use crate::process::run;
use crate::server::{Edge, KEY, Server, brisk, silent, within};
use castctl::base::time::Wall;
use castctl::edge::ranges::RANGE_MAX;
use castctl::manifest::types::ChannelSpec;
use castctl::media::flv::file::{Tag, TagKind};
use reqwest::{StatusCode, Url};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A clip with a key frame every second, where segments begin.
pub(crate) async fn regular(dir: &Path, seconds: u32) -> Vec<Tag> {
    let path = clip::make(dir, "regular", seconds, "-g 25").await;
    clip::tags(&path).into_iter().filter(|t| t.kind != TagKind::Script).collect()
}

/// Plays a clip in real time.
async fn play(server: &Server, tags: &[Tag]) -> Encoder {
    let mut encoder = Encoder::connect(server.rtmp, KEY).await.expect("accepted");
    encoder.real_time(tags, |t| t).await.expect("the server takes it all");
    encoder
}

/// A segment's date.
fn date(s: &Segment) -> Wall {
    Wall(s.pdt.expect("every segment is dated"))
}

/// Seconds since 1970, as they stand in a URL.
pub(crate) fn seconds(wall: Wall) -> String {
    let millis = wall.0.div_euclid(1_000);
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

/// Where a moment of a channel leads to.
pub(crate) async fn leads(base: &Url, moment: &str) -> String {
    let url = base.join(&format!("/live/main/from/{moment}/index.m3u8")).expect("a URL");
    let answer = get(url.clone()).await;
    let status = answer.status();
    let to = answer.headers().get("location").map(|to| to.to_str().expect("text").to_owned());
    let said = answer.text().await.expect("text");
    assert_eq!(status, StatusCode::FOUND, "{url}: {said}");
    to.expect("a place")
}

async fn refused(url: Url, status: StatusCode, why: &str) {
    let answer = get(url.clone()).await;
    assert_eq!(answer.status(), status, "{url}");
    assert_eq!(answer.headers()["cache-control"], "no-store", "{url}");
    let text = answer.text().await.expect("text");
    assert!(text.contains(why), "{url}: {text}");
}

/// A media playlist.
pub(crate) async fn list(base: &Url, path: &str) -> Playlist {
    let text = fetched::text(base.join(path).expect("a URL")).await;
    playlist::parse(&text).unwrap_or_else(|e| panic!("{path}: {e}\n{text}"))
}

/// The complete segments as absolute URLs, with what is said of each.
pub(crate) fn said(path: &str, p: &Playlist) -> Vec<(String, Option<i64>, bool, Option<i64>)> {
    let complete = p.segments.iter().filter(|s| s.uri.is_some());
    let one =
        |s: &Segment| (resolve(path, s.uri.as_ref().expect("complete")), s.pdt, s.gap, s.duration);
    complete.map(one).collect()
}

/// The media playlist of a rendition that begins with the same segment.
fn of(multivariant: &str, rendition: &str) -> String {
    multivariant.replace("/from-", &format!("/{rendition}/from-"))
}

/// Viewers rewind while the encoder plays, is away and is back; then it goes for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_moment_leads_every_viewer_to_the_same_segments_across_a_reconnect() {
    let reconnect_window = Duration::from_secs(12);
    let server =
        Server::start(vec![ChannelSpec { reconnect_window, ..brisk("main", &[KEY]) }]).await;
    let edge = Edge::start(server.internal).await;
    let bases = [server.url("/"), edge.url("/")];
    let oracle = Oracle::watch(bases.to_vec(), "main");
    // The cable is pulled.
    let tags = regular(server.data(), 8).await;
    drop(play(&server, &tags).await);
    let session = fetched::session(&bases[0], "main").await;
    let dvr = "/live/main/s1/video/dvr.m3u8";
    let before = list(&bases[0], dvr).await;
    let third = before.segments[2].clone();
    let moment = seconds(Wall(date(&third).0 + 300_000));
    let begins = format!("/live/main/s1/from-{}.m3u8", third.msn);
    for base in &bases {
        assert_eq!(leads(base, &moment).await, begins, "{base}");
    }
    let watched: Vec<String> = ["video", "audio"].map(|r| of(&begins, r)).into();
    oracle.also(&watched);
    let gone = |p: &Playlist| p.segments.iter().filter(|s| s.gap).count() >= 4;
    fetched::media_until(&session, "video", gone).await;
    // Nobody has come back: there is nothing from then on.
    let gap = list(&bases[0], dvr).await.segments.into_iter().find(|s| s.gap).expect("a gap");
    let in_gap = seconds(date(&gap));
    let path = format!("/live/main/from/{in_gap}/index.m3u8");
    refused(server.url(&path), StatusCode::NOT_FOUND, "no media from that moment on yet").await;
    let encoder = play(&server, &tags).await;
    let all = list(&bases[0], dvr).await;
    let back = all.segments.iter().find(|s| s.discontinuity > 0).expect("it is back").clone();
    for base in &bases {
        let want = format!("/live/main/s1/from-{}.m3u8", back.msn);
        assert_eq!(leads(base, &in_gap).await, want, "{base}");
        let first = format!("/live/main/s1/from-{}.m3u8", all.media_sequence);
        assert_eq!(leads(base, "2001-01-01T00:00:00Z").await, first, "{base}");
    }
    errors(&server, &moment).await;
    encoder.finish().await;
    for rendition in ["video", "audio"] {
        fetched::media_until(&session, rendition, |p| p.ended).await;
    }
    for path in &watched {
        let dvr_path = path.replace(&format!("from-{}", third.msn), "dvr");
        let (mine, whole) = (list(&bases[1], path).await, list(&bases[1], &dvr_path).await);
        assert!(mine.ended && mine.media_sequence == third.msn, "{mine:?}");
        let from = (third.msn - whole.media_sequence) as usize;
        assert_eq!(said(path, &mine), said(&dvr_path, &whole)[from..], "the same URLs as live");
        assert!(
            mine.segments.iter().any(|s| s.gap)
                && mine.dseq < mine.segments.last().expect("one").dseq
        );
        assert!(mine.segments[0].map.is_some(), "{:?}", mine.segments[0]);
    }
    closed(&bases, &third, &back, &oracle).await;
    silent(&oracle.report().await);
    edge.stop().await;
    server.stop().await;
}

/// What was asked for wrongly, or too early.
async fn errors(server: &Server, moment: &str) {
    let at = |path: &str| server.url(&format!("/live/main/{path}/index.m3u8"));
    refused(at("from/soon"), StatusCode::BAD_REQUEST, "not a moment").await;
    refused(at("from/2026-11-20T17:23:06"), StatusCode::BAD_REQUEST, "not a moment").await;
    refused(at("from/99999999999"), StatusCode::NOT_FOUND, "no media from that moment on").await;
    refused(at("from/20/to/20"), StatusCode::BAD_REQUEST, "ends after it begins").await;
    let long = 20 + RANGE_MAX.as_secs() + 1;
    refused(at(&format!("from/20/to/{long}")), StatusCode::BAD_REQUEST, "12 hours at most").await;
    let ever = format!("from/{moment}/to/{}", moment.parse::<f64>().expect("seconds") as u64 + 600);
    refused(at(&ever), StatusCode::NOT_FOUND, "the range is not over yet").await;
    refused(at("from-1000/to-99999"), StatusCode::NOT_FOUND, "not over yet").await;
    refused(at("from-1/to-2"), StatusCode::NOT_FOUND, "no session has these segments").await;
    for (path, why) in [
        ("s1/from-999.m3u8", "begins with segment 1000"),
        ("s1/video/from-999.m3u8", "begins with segment 1000"),
        ("s1/video/from-1900.m3u8", "no such segment"),
        ("s1/from-1900.m3u8", "no such segment"),
        ("s9/from-1000.m3u8", "no such session"),
        ("s1/sound/from-1000.m3u8", "no such rendition"),
    ] {
        refused(server.url(&format!("/live/main/{path}")), StatusCode::NOT_FOUND, why).await;
    }
    let other = server.url("/live/other/from/20/index.m3u8");
    refused(other, StatusCode::NOT_FOUND, "no recordings").await;
    // The redirect is kept as shortly as the entry's, and keeps the query.
    let mut url = at(&format!("from/{moment}"));
    url.set_query(Some("token=7"));
    let answer = get(url).await;
    assert_eq!(answer.headers()["cache-control"], "public, max-age=1");
    let to = answer.headers()["location"].to_str().expect("text").to_owned();
    assert!(to.ends_with(".m3u8?token=7"), "{to}");
    let multivariant = get(server.url(&to)).await;
    assert_eq!(multivariant.headers()["cache-control"], "public, max-age=300");
}

/// A range over the reconnect, on every edge.
async fn closed(bases: &[Url], from: &Segment, to: &Segment, oracle: &Oracle) {
    let end = seconds(Wall(date(to).0 + 100_000));
    let moments = format!("{}/to/{end}", seconds(date(from)));
    let want = format!("/live/main/from-{}/to-{}/index.m3u8", from.msn, to.msn);
    let media = oracle.media();
    let mut texts = Vec::new();
    for base in bases {
        assert_eq!(leads(base, &moments).await, want, "{base}");
        let answer = get(base.join(&want).expect("a URL")).await;
        assert_eq!(answer.headers()["cache-control"], "public, max-age=300");
        let multivariant = answer.text().await.expect("text");
        assert!(multivariant.contains("\nvideo.m3u8"), "{multivariant}");
        let path = want.replace("index", "video");
        let mine = list(base, &path).await;
        assert_eq!(mine.kind.as_deref(), Some("VOD"));
        assert!(mine.ended && mine.media_sequence == from.msn && mine.dseq == from.dseq);
        let dvr = list(base, "/live/main/s1/video/dvr.m3u8").await;
        let range =
            (from.msn - dvr.media_sequence) as usize..=(to.msn - dvr.media_sequence) as usize;
        let whole = said("/live/main/s1/video/dvr.m3u8", &dvr);
        assert_eq!(said(&path, &mine), whole[range], "the same URLs as live");
        for segment in mine.segments.iter().filter(|s| !s.gap) {
            let path = resolve(&path, segment.uri.as_ref().expect("complete"));
            let bytes = fetched::ok(base.join(&path).expect("a URL")).await;
            assert_eq!(media.get(&path), Some(&bytes), "{path}: not what was live");
        }
        texts.push(fetched::text(base.join(&path).expect("a URL")).await);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{}", texts.join("\n\n"));
}

/// Two publishes that no reconnect window joins, and a range over both.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_may_cross_sessions_and_plays_as_one() {
    let reconnect_window = Duration::from_secs(1);
    let server =
        Server::start(vec![ChannelSpec { reconnect_window, ..brisk("main", &[KEY]) }]).await;
    let edge = Edge::start(server.internal).await;
    let oracle = Oracle::watch(vec![server.url("/"), edge.url("/")], "main");
    let tags = regular(server.data(), 5).await;
    let mut lists = Vec::new();
    for number in 1..=2 {
        let publisher = play(&server, &tags).await;
        let session = server.url(&format!("/live/main/s{number}/index.m3u8"));
        publisher.finish().await;
        fetched::media_until(&session, "video", |p| p.ended).await;
        lists.push(list(&server.url("/"), &format!("/live/main/s{number}/video/dvr.m3u8")).await);
    }
    let (first, last) = (&lists[0].segments[1], lists[1].segments.last().expect("some"));
    // An edge that has read nothing of either session.
    let cold = Edge::start(edge.internal).await;
    let base = cold.url("/");
    // Between the two: the second one's beginning.
    let between = Wall(date(lists[0].segments.last().expect("some")).0 + 60_000_000)
        .min(Wall(date(&lists[1].segments[0]).0 - 100_000));
    let second = format!("/live/main/s2/from-{}.m3u8", lists[1].media_sequence);
    assert_eq!(leads(&base, &seconds(between)).await, second);
    assert_eq!(leads(&base, &seconds(date(&lists[1].segments[0]))).await, second);
    let old = format!("/live/main/s1/from-{}.m3u8", first.msn);
    assert_eq!(leads(&base, &seconds(date(first))).await, old);
    let end = Wall(date(last).0 + last.length());
    let after = format!("/live/main/from/{}/index.m3u8", seconds(end));
    refused(cold.url(&after), StatusCode::NOT_FOUND, "nothing has been recorded from that").await;
    let range = leads(&base, &format!("{}/to/{}", seconds(date(first)), seconds(end))).await;
    assert_eq!(range, format!("/live/main/from-{}/to-{}/index.m3u8", first.msn, last.msn));
    let mut length = 0;
    for rendition in ["audio", "video"] {
        let path = range.replace("index", rendition);
        let mine = list(&base, &path).await;
        let mut want = Vec::new();
        for number in 1..=2 {
            let dvr = format!("/live/main/s{number}/{rendition}/dvr.m3u8");
            want.extend(said(&dvr, &list(&base, &dvr).await));
        }
        let from = (first.msn - lists[0].media_sequence) as usize;
        assert_eq!(said(&path, &mine), want[from..], "{rendition}");
        let begins =
            mine.segments.iter().find(|s| s.msn == lists[1].media_sequence).expect("listed");
        assert!(begins.discontinuity > 0 && begins.map.is_some(), "{begins:?}");
        let before = mine.segments.iter().rfind(|s| s.msn < begins.msn).expect("listed").dseq;
        assert_eq!(begins.dseq, lists[1].segments[0].dseq.max(before + 1), "as absolute as can be");
        length = mine.length();
    }
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args("-v error -select_streams v -count_packets -of csv=p=0".split(' '));
    ffprobe.args(["-show_entries", "stream=nb_read_packets"]).arg(cold.url(&range).as_str());
    let played = run(&mut ffprobe).await;
    let frames = played.out.lines().next().and_then(|n| n.parse::<i64>().ok());
    let want = Some((length + 20_000) / 40_000);
    assert_eq!((frames, &*played.err), (want, ""), "{length} us at 25 fps: {played:?}");
    let media = oracle.media();
    within("the media of both", async {
        for (path, bytes) in media.iter().filter(|(path, _)| path.contains("/s1/video/")) {
            assert_eq!(fetched::ok(cold.url(path)).await, bytes, "{path}");
        }
    })
    .await;
    oracle.except(Exception::Holes);
    silent(&oracle.report().await);
    for edge in [cold, edge] {
        edge.stop().await;
    }
    server.stop().await;
}
