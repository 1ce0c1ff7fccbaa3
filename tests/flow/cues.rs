//! Cues from their announcement to the playlists and the media of every edge, and to an export.

use crate::clip;
use crate::fetched::{self, get, ok, text};
use crate::oracle::{Oracle, Seen, ledger::resolve, playlist};
use crate::server::{KEY, PATIENCE, fast, silent};
use crate::stage::{Stage, tell};
use castctl::base::time::Wall;
use castctl::ingest::cues::Ask;
use reqwest::{StatusCode, Url};
use std::collections::BTreeMap;

fn ask(id: &str, start: Option<Wall>, millis: i64) -> Ask {
    let data = format!("{{\"id\": \"{id}\", \"say\": \"100 % \\\"ä\\\"\"}}");
    Ask { id: id.into(), class: "com.example.note".into(), start, duration: millis * 1000, data }
}

/// What every cue of these tests says.
pub(crate) const SAY: &str = "100 % \"ä\"";

/// EXT-X-DATERANGE lines of a playlist by id.
pub(crate) fn ranges(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|l| l.starts_with("#EXT-X-DATERANGE:"));
    let attributes = |l: &str| playlist::attributes(&l["#EXT-X-DATERANGE:".len()..]);
    lines.map(|l| (attributes(l).expect("attributes")["ID"].clone(), l.to_owned())).collect()
}

/// Events of a part or segment: id in the tag, time in seconds.
pub(crate) fn events(bytes: &[u8]) -> Vec<(String, f64)> {
    let mut out = Vec::new();
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four"));
    let mut at = 0;
    while at < bytes.len() {
        let size = word(at) as usize;
        if bytes[at + 4..at + 8] == *b"emsg" {
            assert_eq!(bytes[at + 8], 1, "version 1");
            let time = u64::from(word(at + 16)) << 32 | u64::from(word(at + 20));
            let body = String::from_utf8_lossy(&bytes[at + 32..at + size]).into_owned();
            assert!(body.starts_with("https://aomedia.org/emsg/ID3\0\0ID3\u{4}"), "{body}");
            let json = &body[body.find("castctl.cue\0").expect("the frame") + 12..];
            let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
            assert_eq!(value["data"]["say"], SAY);
            let id = value["id"].as_str().expect("an id").to_owned();
            out.push((id, time as f64 / f64::from(word(at + 12))));
        }
        at += size;
    }
    out
}

/// Every media URL that the DVR playlist of a rendition and its live playlists named.
async fn everything(edge: &Url, paths: &[String]) -> BTreeMap<String, bytes::Bytes> {
    let mut all = BTreeMap::new();
    for path in paths {
        all.insert(path.clone(), ok(edge.join(path).expect("a URL")).await);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cue_is_in_every_playlist_and_in_the_picture_at_its_moment_on_every_edge() {
    let mut stage = Stage::set(fast("main", &[KEY])).await;
    let warm = stage.edge().await;
    let oracle = Oracle::watch(vec![warm.clone()], "main");
    let mut publisher = stage.publisher().await;
    let refused = publisher.cue(ask("early", None, 0)).await.expect_err("nothing is on air");
    assert_eq!(refused.to_string(), "nothing is on air: the session has no media yet");
    let tags = clip::looped(&clip::bbb(), 30);
    let (mut sent, mut announced) = (0, Vec::new());
    // Announced at these milliseconds of the clip: at the newest picture, ahead of it, behind it.
    for (at, id, ahead, millis) in [
        (1_500, "now", None, 0),
        (1_500, "now-too", None, 2_000),
        (5_030, "ahead", Some(900), 500),
        (9_990, "behind", Some(-1_500), 25_000),
    ] {
        let until = tags.iter().position(|t| t.timestamp >= at).expect("the clip is longer");
        tell(&mut publisher, &tags[sent..until]).await;
        sent = until;
        let newest = publisher.cue(ask(&format!("at-{id}"), None, 0)).await.expect("taken").start;
        let start = ahead.map(|ms: i64| newest.plus(ms * 1000));
        let cue = publisher.cue(ask(id, start, millis)).await.expect("taken");
        assert_eq!(cue.start, start.unwrap_or(newest));
        announced.push(cue);
    }
    let again = publisher.cue(ask("now", None, 0)).await.expect_err("used").to_string();
    assert!(again.starts_with("this session has had a cue \"now\""), "{again}");
    let bad = Ask { data: "{".into(), ..ask("bad", None, 0) };
    let bad = publisher.cue(bad).await.expect_err("not JSON").to_string();
    assert!(bad.starts_with("a cue's data is not JSON"), "{bad}");
    tell(&mut publisher, &tags[sent..]).await;
    let all = |seen: &Seen| seen.newest.len() == 2 && seen.newest.values().all(|n| *n >= 1010);
    oracle.until(PATIENCE, all).await;

    // The same date ranges in both renditions, live and DVR.
    let session = fetched::session(&warm, "main").await;
    let at = |rest: &str| session.join(rest).expect("a URL");
    let mut lists = Vec::new();
    for rest in ["video/index.m3u8", "video/dvr.m3u8", "audio/index.m3u8", "audio/dvr.m3u8"] {
        lists.push((rest, text(at(rest)).await));
    }
    let all = ranges(&lists[0].1);
    assert_eq!(all.len(), 8, "{all:?}");
    for (rest, list) in &lists {
        assert_eq!(ranges(list), all, "{rest}");
    }
    for cue in &announced {
        let line = &all[&cue.id];
        assert!(line.contains(&format!("START-DATE=\"{}\"", cue.start)), "{line}");
    }

    // Its event is in one segment of the picture, at the time that the dates say.
    let mut media = oracle.media();
    for (rest, list) in lists.iter().filter(|(rest, _)| rest.ends_with("dvr.m3u8")) {
        for segment in playlist::parse(list).expect("a playlist").segments {
            let Some(path) = segment.uri.map(|u| resolve(at(rest).path(), &u)) else { continue };
            media.insert(path.clone(), ok(at(&path)).await);
        }
    }
    let mut found = BTreeMap::new();
    for (path, bytes) in media.iter().filter(|(p, _)| p.contains("/g1-1")) {
        for (id, time) in events(bytes) {
            assert!(path.contains("/video/"), "{path}");
            assert_eq!(found.insert(id, time), None, "once");
        }
    }
    let dvr = playlist::parse(&lists[1].1).expect("a playlist");
    let first = &dvr.segments[0];
    let samples = fetched::first_pts(&session, "video").await;
    for cue in &announced {
        let after = (cue.start.0 - first.pdt.expect("a date")) as f64 / 1e6;
        let off = (found[&cue.id] - samples - after).abs();
        // Dates are slewed by at most 5 ms in a second; this channel's are not.
        assert!(off < 0.002, "{}: {off} s off", cue.id);
    }

    // A cold edge has the same playlists and the same bytes, those of old parts too.
    let ended = publisher.end(true).await;
    ended.result.expect("written");
    let paths: Vec<String> = media.keys().cloned().collect();
    silent(&oracle.report().await);
    let cold = stage.edge().await;
    let video = "/live/main/s1/video/dvr.m3u8";
    let home = cold.join("/live/main/s1/").expect("a URL");
    fetched::media_until(&home, "video", |p| p.ended).await;
    let both = [&warm, &cold].map(|edge| text(edge.join(video).expect("a URL")));
    let [one, other] = both;
    assert_eq!(one.await, other.await);
    let again = everything(&cold, &paths).await;
    assert!(again == media, "the same bytes");
    // A part that is long out of every playlist, and a name that never was one.
    let segment = resolve(video, dvr.segments[0].uri.as_ref().expect("complete"));
    let folder = &segment[..segment.rfind('/').expect("a folder")];
    let old = |edge: &Url, seq: u64| edge.join(&format!("{folder}/g1-p{seq}.m4s")).expect("a URL");
    for edge in [&warm, &cold] {
        assert!(media[&segment].starts_with(&ok(old(edge, 0)).await));
        assert_eq!(get(old(edge, 1)).await.status(), StatusCode::NOT_FOUND);
    }
    exported(&stage, &media, video, &lists[1].1).await;
    stage.close();
}

/// An export's segments are those that were served.
async fn exported(stage: &Stage, media: &BTreeMap<String, bytes::Bytes>, dvr: &str, list: &str) {
    let out = stage.data().join("vod/");
    let mut castctl = std::process::Command::new(env!("CARGO_BIN_EXE_castctl"));
    castctl.arg("export").arg(stage.data().join("logs/main/s1")).arg("--to").arg(&out);
    let done = crate::process::run(&mut castctl).await;
    assert_eq!(done.code, Some(0), "{}", done.err);
    let mut compared = 0;
    for segment in playlist::parse(list).expect("a playlist").segments {
        let Some(uri) = segment.uri else { continue };
        let file = out.join("video").join(&uri);
        let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        assert!(bytes == media[&resolve(dvr, &uri)], "{uri}");
        compared += 1;
    }
    assert!(compared > 15, "{compared}");
    let vod = std::fs::read_to_string(out.join("video/index.m3u8")).expect("a playlist");
    assert_eq!(ranges(&vod).len(), 8, "{vod}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_generation_knows_the_sessions_cues() {
    let mut stage = Stage::set(fast("main", &[KEY])).await;
    let edge = stage.edge().await;
    let tags = clip::looped(&clip::bbb(), 12);
    let mut publisher = stage.publisher().await;
    tell(&mut publisher, &tags).await;
    publisher.cue(ask("goal", None, 0)).await.expect("taken");
    let ended = publisher.end(false).await;
    ended.result.expect("written");
    let mut publisher = stage.publisher().await;
    let again = publisher.cue(ask("goal", None, 0)).await.expect_err("used").to_string();
    assert!(again.starts_with("this session has had a cue \"goal\""), "{again}");
    publisher.cue(ask("goal-2", None, 0)).await.expect("taken, while the encoder is away");
    tell(&mut publisher, &tags).await;
    let session = fetched::session(&edge, "main").await;
    let two = |p: &playlist::Playlist| p.segments.iter().any(|s| s.discontinuity > 0);
    fetched::media_until(&session, "audio", two).await;
    let list = text(session.join("audio/index.m3u8").expect("a URL")).await;
    assert_eq!(ranges(&list).into_keys().collect::<Vec<_>>(), ["goal", "goal-2"], "{list}");
    publisher.end(true).await.result.expect("written");
    stage.close();
}
