//! D01 to D16: what `_HLS_msn`, `_HLS_part` and `_HLS_skip` ask for, and the pace of what comes.

use crate::fetched::{get, text};
use crate::oracle::playlist::{self, Playlist, Segment};
use crate::rules::broadcast::{Version, aired};
use crate::rules::live::{Air, TARGET, answered, read};
use reqwest::StatusCode;
use std::collections::{BTreeMap, BTreeSet};

const LIVE: &str = "video/index.m3u8";

/// `video/index.m3u8` with a blocking reload's directives.
fn blocking(msn: u64, part: Option<u64>) -> String {
    let part = part.map_or(String::new(), |p| format!("&_HLS_part={p}"));
    format!("{LIVE}?_HLS_msn={msn}{part}")
}

async fn body(answer: reqwest::Response) -> Playlist {
    assert_eq!(answer.status(), StatusCode::OK);
    read(&answer.text().await.expect("text"))
}

fn has_segment(p: &Playlist, msn: u64) -> bool {
    p.segments.iter().any(|s| s.msn >= msn && s.uri.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn d01_a_reload_for_a_segment_waits_for_that_segment() {
    let mut air = Air::on(4_500).await;
    let list = air.settled().await;
    let (open, _) = list.next().expect("parts");
    assert!(!has_segment(&list, open), "it is not complete yet");
    let asked = [air.ask(&blocking(open, None)), air.ask(&blocking(open + 1, None))];
    let there = body(get(air.url(&blocking(open - 1, None))).await).await;
    assert!(has_segment(&there, open - 1));
    air.more(4_000).await;
    for (n, asked) in asked.into_iter().enumerate() {
        let answer = body(answered(asked).await).await;
        assert!(has_segment(&answer, open + n as u64), "{answer:?}");
    }
    air.end().await.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn d02_a_reload_for_a_part_waits_for_that_part() {
    let mut air = Air::on(4_500).await;
    let (msn, part) = air.settled().await.next().expect("parts");
    let asked = [0, 1, 2].map(|n| air.ask(&blocking(msn, Some(part + n))));
    air.more(2_000).await;
    for (n, asked) in asked.into_iter().enumerate() {
        let answer = body(answered(asked).await).await;
        assert!(answer.next() > Some((msn, part + n as u64)), "{answer:?}");
    }
    air.end().await.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn d03_a_part_past_the_last_one_is_the_first_of_the_next_segment() {
    let mut air = Air::on(4_500).await;
    let list = air.settled().await;
    let (open, _) = list.next().expect("parts");
    let last = list.segments.iter().rfind(|s| s.uri.is_some()).expect("a complete segment");
    let past = last.parts.len() as u64;
    assert_eq!(last.msn + 1, open);
    // Part 0 of the open segment is there: no wait, though nothing more comes.
    for part in [past, past + 3] {
        let answer = body(get(air.url(&blocking(last.msn, Some(part)))).await).await;
        assert_eq!(answer, list);
    }
    // Past the parts of a segment that is still open: whichever comes first is the answer.
    let asked = air.ask(&blocking(open, Some(9)));
    air.more(3_000).await;
    let answer = body(answered(asked).await).await;
    assert!(answer.next() > Some((open + 1, 0)), "{answer:?}");
    air.end().await.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn d04_a_segment_that_is_gone_gives_the_playlist_at_once() {
    let mut air = Air::on(90_000).await;
    let list = air.settled().await;
    let first = list.media_sequence;
    assert!(first > 1000, "segments have left");
    for query in [blocking(first - 1, None), blocking(0, Some(0)), blocking(1000, Some(3))] {
        let answer = get(air.url(&query)).await;
        assert_eq!(body(answer).await, list, "{query}");
    }
    air.end().await.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn d05_a_part_without_a_segment_is_a_bad_request() {
    let air = Air::on(4_500).await;
    let answer = get(air.url(&format!("{LIVE}?_HLS_part=0"))).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(answer.text().await.expect("text"), "_HLS_part needs _HLS_msn\n");
    air.end().await.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn d06_too_far_ahead_is_a_bad_request() {
    let mut air = Air::on(4_500).await;
    let list = air.settled().await;
    let (open, parts) = list.next().expect("parts");
    // Three parts a second ahead, for parts of 202 ms: fifteen past the last one.
    let limit = (3_000_000 / list.part_target.expect("parts") as u64) + 1;
    let last = open - 1;
    for (query, bad) in [
        (blocking(last + 3, None), true),
        (blocking(last + 3, Some(0)), true),
        (blocking(open, Some(parts - 1 + limit + 1)), true),
        (blocking(u64::MAX, None), true),
    ] {
        let status = get(air.url(&query)).await.status();
        assert_eq!(status == StatusCode::BAD_REQUEST, bad, "{query}: {status}");
    }
    // At the limits they wait.
    let waiting = [blocking(last + 2, None), blocking(open, Some(parts - 1 + limit))];
    let asked = waiting.map(|query| air.ask(&query));
    air.more(5_000).await;
    for asked in asked {
        assert_eq!(answered(asked).await.status(), StatusCode::OK);
    }
    air.end().await.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn d07_what_does_not_come_in_three_target_durations_is_unavailable() {
    let mut air = Air::on(4_500).await;
    let (msn, part) = air.settled().await.next().expect("parts");
    let answer = answered(air.ask(&blocking(msn, Some(part)))).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(answer.text().await.expect("text"), "held for three target durations\n");
    assert_eq!(castctl::hls::reload::hold_limit(TARGET as u32), 6_000_000);
    air.end().await.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn d08_directives_mean_nothing_after_the_end() {
    let air = Air::on(4_500).await;
    let (plain, far) = (air.url(LIVE), air.url(&blocking(99_999, Some(7))));
    let (bad, unread) =
        (air.url(&format!("{LIVE}?_HLS_part=1")), air.url(&format!("{LIVE}?_HLS_msn=x")));
    let waiting = air.ask(&blocking(1_004, Some(9)));
    let home = air.url("index.m3u8");
    let stage = air.end().await;
    crate::fetched::media_until(&home, "video", |p| p.ended).await;
    let ended = text(plain).await;
    assert!(ended.ends_with("#EXT-X-ENDLIST\n"));
    for url in [far, bad, unread] {
        assert_eq!(text(url.clone()).await, ended, "{url}");
    }
    let held = body(answered(waiting).await).await;
    assert!(held.ended || held.next() > Some((1_004, 9)), "the end wakes who waits");
    stage.close();
}

/// Also what wakes a reload for something else (a cue) is no answer to it.
#[tokio::test(flavor = "multi_thread")]
async fn d09_no_answer_comes_before_what_was_asked_for() {
    let mut air = Air::on(3_000).await;
    for _ in 0..20 {
        let (msn, part) = air.settled().await.next().expect("parts");
        let asked = air.ask(&blocking(msn, Some(part)));
        air.settled().await;
        air.more(240).await;
        let answer = body(answered(asked).await).await;
        assert!(answer.next() > Some((msn, part)), "{answer:?}");
    }
    air.end().await.close();
}

/// What a client makes of an update and the version that it has: `Err` when the update needs what
/// it does not have.
fn merged(old: &Playlist, update: &Playlist) -> Result<Playlist, String> {
    let Some(skipped) = update.skipped else { return Ok(update.clone()) };
    let mut out = update.clone();
    let taken = (0..skipped).map(|n| {
        let msn = update.media_sequence + n;
        let known = old.segments.iter().find(|s| s.msn == msn && s.uri.is_some());
        known.map(|s| Segment { parts: Vec::new(), ..s.clone() }).ok_or(format!("{msn} is unknown"))
    });
    out.segments = taken.collect::<Result<Vec<_>, _>>()?;
    let mut map = out.segments.last().and_then(|s| s.map.clone());
    let mut dseq = out.segments.last().map_or(0, |s| s.dseq);
    for s in &update.segments {
        map = s.map.clone().or(map);
        dseq += s.discontinuity;
        out.segments.push(Segment { map: map.clone(), dseq, ..s.clone() });
    }
    if let Some(removed) = &update.removed {
        let of = |p: &Playlist| -> Vec<_> {
            p.ranges.iter().map(|a| (a["ID"].clone(), a.clone())).collect()
        };
        let mut ranges: BTreeMap<_, _> = of(old).into_iter().collect();
        removed.iter().for_each(|id| drop(ranges.remove(id)));
        ranges.extend(of(update));
        out.ranges = ranges.into_values().collect();
    }
    Ok(out)
}

/// As far as a merge can be compared: without what an update has of its own.
fn comparable(mut p: Playlist) -> Playlist {
    (p.version, p.skipped, p.removed) = (0, None, None);
    p.ranges.sort_by(|a, b| a["ID"].cmp(&b["ID"]));
    p.late_tags.clear();
    p
}

#[test]
fn d10_an_update_skips_what_is_beyond_the_boundary_and_nothing_else() {
    let mut seen = BTreeSet::new();
    for v in &aired().versions {
        let (full, update) = (read(&v.full), read(&v.delta));
        let complete: Vec<&Segment> = full.segments.iter().filter(|s| s.uri.is_some()).collect();
        // From a segment's end to the end of the last complete one.
        let after = |i: usize| complete[i + 1..].iter().map(|s| s.length()).sum::<i64>();
        let beyond = (0..complete.len()).filter(|i| after(*i) > 24_000_000).count() as u64;
        let beyond = if full.ended { 0 } else { beyond };
        assert_eq!(update.skipped.unwrap_or(0), beyond, "{}", v.delta);
        assert_ne!(update.skipped, Some(0), "what skips nothing is the playlist");
        assert_eq!(v.delta.matches("#EXT-X-SKIP").count(), usize::from(beyond > 0));
        assert_eq!(update.ranges, full.ranges, "date ranges remain");
        assert_eq!((update.media_sequence, update.dseq), (full.media_sequence, full.dseq));
        let first = full.segments.get(beyond as usize).filter(|_| beyond > 0);
        assert!(first.is_none_or(|s| s.map == update.segments[0].map), "{}", v.delta);
        seen.insert(beyond);
    }
    assert!(seen.len() > 30, "{seen:?}");
}

#[test]
fn d11_an_update_without_old_date_ranges_tells_which_are_gone() {
    let b = aired();
    let announced = [("moment", 5_000_000), ("long", 6_000_000), ("later", 80_000_000)];
    let until = 24_000_000;
    let (mut skipped, mut told) = (0, BTreeSet::new());
    let mut gone: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut before: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for v in &b.versions {
        let (full, update) = (read(&v.full), read(&v.delta_v2));
        let ids = |p: &Playlist| -> BTreeSet<String> {
            p.ranges.iter().map(|a| a["ID"].clone()).collect()
        };
        let now = ids(&full);
        for id in before.insert(v.path.clone(), now.clone()).unwrap_or_default() {
            if !now.contains(&id) {
                gone.insert((v.path.clone(), id), v.at);
            }
        }
        let Some(removed) = &update.removed else { continue };
        for (id, at) in announced.iter().filter(|(id, _)| now.contains(*id)) {
            let has = ids(&update).contains(*id);
            assert!(!has || v.at - at <= until, "{id} at {}: {}", v.at, v.delta_v2);
            // A client has a version of the last twelve seconds: it can't lack what is left out.
            assert!(has || v.at - at > until / 2, "{id} at {}", v.at);
            skipped += usize::from(!has);
        }
        for ((path, id), at) in &gone {
            if *path == v.path && v.at - at <= until {
                assert!(removed.contains(id), "{id} was removed: {}", v.delta_v2);
                told.insert(id.clone());
            }
        }
    }
    assert!(skipped > 100 && told.len() == 3, "{skipped} {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn d12_skip_is_ignored_after_the_end() {
    let mut air = Air::on(40_000).await;
    air.settled().await;
    let urls = ["YES", "v2"].map(|skip| air.url(&format!("{LIVE}?_HLS_skip={skip}")));
    for url in &urls {
        assert!(text(url.clone()).await.contains("#EXT-X-SKIP:"), "{url}");
    }
    let (plain, home) = (air.url(LIVE), air.url("index.m3u8"));
    let stage = air.end().await;
    crate::fetched::media_until(&home, "video", |p| p.ended).await;
    let ended = text(plain).await;
    for url in urls {
        assert_eq!(text(url.clone()).await, ended, "{url}");
    }
    stage.close();
}

#[test]
fn d13_an_update_put_behind_the_version_before_is_the_playlist() {
    let b = aired();
    let (mut compared, mut lacking) = (0, 0);
    for rest in [LIVE, "video/dvr.m3u8", "audio/index.m3u8"] {
        let all: Vec<&Version> = b.of(rest).collect();
        for (i, v) in all.iter().enumerate().filter(|(i, _)| i % 7 == 0) {
            let full = comparable(read(&v.full));
            // Any version of the last twelve seconds will do (6.3.7).
            for old in [1, 20, 55].iter().filter_map(|back| all.get(i.checked_sub(*back)?)) {
                if v.at - old.at > 12_000_000 {
                    continue;
                }
                for update in [&v.delta, &v.delta_v2] {
                    let made = merged(&read(&old.full), &read(update)).expect("it has all of it");
                    assert_eq!(comparable(made), full, "{rest} at {}", v.at);
                    compared += 1;
                }
            }
            // One that is too old lacks what was skipped, and notices.
            let long_ago = all[..i].iter().rfind(|o| v.at - o.at > 40_000_000);
            lacking += usize::from(
                long_ago.is_some_and(|o| merged(&read(&o.full), &read(&v.delta)).is_err()),
            );
        }
    }
    assert!(compared > 500 && lacking > 50, "{compared} {lacking}");
}

#[tokio::test(flavor = "multi_thread")]
async fn d14_other_parameters_change_nothing() {
    let mut air = Air::on(4_500).await;
    let list = air.settled().await;
    for query in [
        "token=a%3Db%26c&sig=/+x=",
        "_HLS_push=1",
        "_HLS_report=x&_HLS_",
        "a=1&_HLS_msn=1001&b=_HLS_part",
        "&&&=&%%%",
    ] {
        let answer = get(air.url(&format!("{LIVE}?{query}"))).await;
        assert_eq!(body(answer).await, list, "{query}");
    }
    air.end().await.close();
}

/// As the log has it: at the client its own path's jitter comes on top, which is for the bench to
/// measure. A part's last sample comes a frame before its end.
#[test]
fn d15_parts_come_at_the_pace_of_the_part_target() {
    let b = aired();
    for rest in [LIVE, "audio/index.m3u8"] {
        let mut steps = Vec::new();
        let mut last = None;
        for v in b.of(rest) {
            let next = read(&v.full).next();
            if let Some((before, at)) = last
                && next > before
            {
                steps.push(v.at - at);
            }
            if last.is_none_or(|(before, _)| next > before) {
                last = Some((next, v.at));
            }
        }
        steps.sort_unstable();
        let p99 = steps[steps.len() * 99 / 100];
        assert!(p99 <= 202_000 + 40_000 && steps.len() > 600, "{rest}: {p99} of {}", steps.len());
    }
}

/// There are no I-frame playlists; were one listed, it would have to block as the others do.
#[test]
fn d15b_there_is_no_playlist_of_key_frames() {
    let b = aired();
    assert!(!b.multivariant.contains("I-FRAME"), "{}", b.multivariant);
    assert!(b.versions.iter().all(|v| !v.full.contains("I-FRAMES-ONLY")));
    let (uris, _) = playlist::multivariant(&b.multivariant).expect("a playlist");
    assert_eq!(uris, ["audio/index.m3u8", "video/index.m3u8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn d16_who_waits_for_the_same_gets_the_same() {
    let mut air = Air::on(4_500).await;
    let other = air.stage.edge().await;
    let (msn, part) = air.settled().await.next().expect("parts");
    let mut asked = Vec::new();
    for edge in [air.edge.clone(), other] {
        for _ in 0..20 {
            let path = format!("/live/main/s1/{}", blocking(msn, Some(part)));
            let url = edge.join(&path).expect("a URL");
            asked.push(castctl::rt::task::spawn("viewer", get(url)));
        }
    }
    air.more(240).await;
    let mut seen = BTreeSet::new();
    for asked in asked {
        let answer = answered(asked).await;
        let etag = answer.headers()["etag"].to_str().expect("text").to_owned();
        seen.insert((etag, answer.bytes().await.expect("a body")));
    }
    assert_eq!(seen.len(), 1, "{:?}", seen.iter().map(|s| &s.0).collect::<Vec<_>>());
    air.end().await.close();
}

/// P26: whoever reads while it changes gets one version or the next, whole.
#[tokio::test(flavor = "multi_thread")]
async fn p26_every_answer_is_one_whole_version() {
    let mut air = Air::on(3_000).await;
    let readers: Vec<_> = (0..8)
        .map(|n| {
            let url = air.url(["video/index.m3u8", "video/dvr.m3u8"][n % 2]);
            castctl::rt::task::spawn("reader", async move {
                let mut seen = BTreeMap::new();
                for _ in 0..120 {
                    let answer = get(url.clone()).await;
                    let etag = answer.headers()["etag"].to_str().expect("text").to_owned();
                    let text = answer.text().await.expect("text");
                    assert!(text.ends_with('\n') && read(&text).hints.len() == 1, "{text}");
                    seen.insert((url.path().to_owned(), etag), text);
                }
                seen
            })
        })
        .collect();
    for _ in 0..60 {
        air.more(200).await;
    }
    let mut all: BTreeMap<(String, String), String> = BTreeMap::new();
    for reader in readers {
        for (key, text) in reader.await.expect("not aborted").expect("no panic") {
            assert_eq!(all.entry(key).or_insert_with(|| text.clone()), &text, "an ETag, a text");
        }
    }
    assert!(all.len() > 4, "{}", all.len());
    air.end().await.close();
}
