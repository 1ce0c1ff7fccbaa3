//! M01 to M06: media under its names, as it is asked for before and after it is there.

use crate::fetched::{get, ok};
use crate::oracle::media;
use crate::oracle::playlist::{Part, Playlist};
use crate::rules::broadcast::{Broadcast, aired};
use crate::rules::live::{Air, answered, read};
use bytes::Bytes;
use castctl::rt::task;
use reqwest::{Response, StatusCode};
use std::collections::{BTreeMap, BTreeSet};

/// What a playlist of the picture hints, as a path from the session's folder.
fn hint(p: &Playlist, kind: &str) -> Option<String> {
    p.hints.iter().find(|(of, _)| of == kind).map(|(_, uri)| format!("video/{uri}"))
}

/// The part that the newest version hints, none of whose pictures has been sent.
async fn fresh(air: &mut Air) -> String {
    let before = hint(&air.settled().await, "PART");
    loop {
        air.more(40).await;
        let now = hint(&air.settled().await, "PART");
        if now != before {
            return now.expect("a session that goes on hints");
        }
    }
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |v| v.to_str().expect("text"))
}

/// The body, which is as long as its head said: the answer began when all of it was there.
async fn whole(answer: Response) -> Bytes {
    let said: usize = header(&answer, "content-length").parse().expect("a length");
    let bytes = answer.bytes().await.expect("a body");
    assert_eq!(said, bytes.len());
    bytes
}

/// The encoder stands still: what was paced by it would not be whole before it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn m01_what_is_listed_is_sent_at_once() {
    let mut air = Air::on(12_500).await;
    let lists = [air.settled().await, air.list("video/dvr.m3u8").await];
    let mut listed = BTreeSet::new();
    for s in lists.iter().flat_map(|p| &p.segments) {
        listed.extend(s.parts.iter().map(|p| p.uri.clone()));
        listed.extend([&s.uri, &s.map].into_iter().flatten().cloned());
    }
    assert!(listed.len() > 40, "{}", listed.len());
    let cold = air.stage.edge().await;
    let mut seen = BTreeMap::new();
    for edge in [air.edge.clone(), cold] {
        let ask = |uri: &String| {
            let url = edge.join(air.url(&format!("video/{uri}")).path()).expect("a URL");
            task::spawn("viewer", get(url))
        };
        for (uri, asked) in listed.iter().zip(listed.iter().map(ask).collect::<Vec<_>>()) {
            let answer = answered(asked).await;
            assert_eq!(answer.status(), StatusCode::OK, "{uri}");
            let bytes = whole(answer).await;
            let known = seen.entry(uri).or_insert_with(|| bytes.clone());
            assert!(*known == bytes, "{uri}: {} bytes, then {}", known.len(), bytes.len());
        }
    }
    air.end().await.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn m02_a_hinted_part_is_held_until_it_is_whole_or_given_up() {
    let mut air = Air::on(4_500).await;
    let hinted = fresh(&mut air).await;
    let asked = air.ask(&hinted);
    let mut waited = 0;
    let list = loop {
        air.more(40).await;
        let list = air.settled().await;
        if hint(&list, "PART").as_ref() != Some(&hinted) {
            break list;
        }
        assert!(!asked.is_finished(), "nothing of it before it is whole");
        waited += 1;
    };
    assert!(waited > 2, "a part of 200 ms has more than {waited} pictures");
    let listed = |list: &Playlist, path: &str| {
        list.segments.iter().flat_map(|s| &s.parts).any(|p| path == format!("video/{}", p.uri))
    };
    assert!(listed(&list, &hinted), "the hint is the part's name: {hinted}");
    let answer = answered(asked).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let cold = air.stage.edge().await.join(air.url(&hinted).path()).expect("a URL");
    assert_eq!(whole(answer).await, ok(cold).await, "what every edge has");

    // The generation ends. Pictures that wait for the end of their part become a short one; what
    // would have come behind it is given up, and so is every later name.
    let hinted = hint(&air.settled().await, "PART").expect("it goes on");
    let (folder, number) = hinted.rsplit_once("-p").expect("a part's name");
    let number: u64 = number.trim_end_matches(".m4s").parse().expect("a number");
    let names: Vec<String> = (number..number + 8).map(|n| format!("{folder}-p{n}.m4s")).collect();
    let asked: Vec<_> = names.iter().map(|name| air.ask(name)).collect();
    let mut air = air.next_generation().await;
    air.more(3_000).await;
    let list = air.settled().await;
    let mut there = 0;
    for (name, asked) in names.iter().zip(asked) {
        let status = answered(asked).await.status();
        let want = if listed(&list, name) { StatusCode::OK } else { StatusCode::NOT_FOUND };
        assert_eq!(status, want, "{name}");
        there += usize::from(want == StatusCode::OK);
    }
    assert!(there <= 1, "{there}");
    assert!(hint(&list, "PART").is_some_and(|h| h.contains("/g2-p")), "{list:?}");
    // What never was a part, and what no edge can know yet.
    for name in [format!("{folder}-p1.m4s"), folder.replace("/g1", "/g9-p0.m4s")] {
        assert_eq!(get(air.url(&name)).await.status(), StatusCode::NOT_FOUND, "{name}");
    }
    air.end().await.close();
}

/// Hints have no byte ranges here: a part is a resource of its own. A client that asks for a hint
/// as for one without an end (2^53 - 1 is what it says then) gets the whole part.
#[tokio::test(flavor = "multi_thread")]
async fn m03_a_hint_is_no_range_and_may_be_asked_for_as_one() {
    assert!(aired().versions.iter().all(|v| !v.full.contains("BYTERANGE")));
    let mut air = Air::on(4_500).await;
    let hinted = fresh(&mut air).await;
    let asked =
        ["bytes=0-9007199254740991", "bytes=10-"].map(|range| air.ask_range(&hinted, range));
    air.more(400).await;
    let bytes = ok(air.url(&hinted)).await;
    let len = bytes.len();
    for (from, asked) in [0, 10].into_iter().zip(asked) {
        let answer = answered(asked).await;
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
        let range = format!("bytes {from}-{}/{len}", len - 1);
        assert_eq!(header(&answer, "content-range"), range);
        assert_eq!(whole(answer).await, bytes[from..]);
    }
    air.end().await.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn m04_ranges_are_served_of_all_media() {
    let mut air = Air::on(4_500).await;
    let list = air.settled().await;
    let s = list.segments.iter().rfind(|s| s.uri.is_some()).expect("a complete segment");
    let part = s.parts.first().map(|p| p.uri.clone());
    for uri in [s.uri.clone(), s.map.clone(), part].into_iter().flatten() {
        let path = format!("video/{uri}");
        let answer = get(air.url(&path)).await;
        assert_eq!((answer.status(), header(&answer, "accept-ranges")), (StatusCode::OK, "bytes"));
        let all = whole(answer).await;
        let len = all.len();
        for (range, want) in [
            ("bytes=0-99".to_owned(), 0..100),
            ("bytes=100-".to_owned(), 100..len),
            ("bytes=-7".to_owned(), len - 7..len),
            (format!("bytes={}-{}", len - 1, len + 500), len - 1..len),
        ] {
            let answer = answered(air.ask_range(&path, &range)).await;
            assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{path} {range}");
            let said = format!("bytes {}-{}/{len}", want.start, want.end - 1);
            assert_eq!(header(&answer, "content-range"), said, "{path} {range}");
            assert_eq!(whole(answer).await, all[want], "{path} {range}");
        }
        let beyond = answered(air.ask_range(&path, &format!("bytes={len}-"))).await;
        assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(header(&beyond, "content-range"), format!("bytes */{len}"));
        // What is not understood asks for all of it.
        let odd = answered(air.ask_range(&path, "lines=1-2")).await;
        assert_eq!((odd.status(), whole(odd).await), (StatusCode::OK, all));
    }
    air.end().await.close();
}

/// A listed part and where it belongs.
#[derive(Debug, Clone)]
struct Listed {
    part: Part,
    dseq: u64,
    map: String,
    first: bool,
}

/// Every part that was listed, in order.
fn parts(b: &Broadcast, rest: &str) -> Vec<Listed> {
    let mut all = BTreeMap::new();
    for v in b.of(rest) {
        for s in read(&v.full).segments {
            for (i, part) in s.parts.into_iter().enumerate() {
                let map = s.map.clone().unwrap_or_default();
                all.insert((s.msn, i), Listed { part, dseq: s.dseq, map, first: i == 0 });
            }
        }
    }
    all.into_values().collect()
}

/// What M05 asks of parts in order; `Ok`: how many were joined to the one before.
fn joined(all: &[Listed], bytes: impl Fn(&str) -> Bytes) -> Result<usize, String> {
    let (mut end, mut count) = (None, 0);
    for l in all {
        if l.part.gap {
            end = None;
            continue;
        }
        let init = media::init(&bytes(&l.map))?;
        let read = media::fragments(&bytes(&l.part.uri), init)?;
        if let Some((_, before)) = end.filter(|(dseq, _)| *dseq == l.dseq) {
            if read.start() != Some(before) {
                return Err(format!("{l:?} begins at {:?}, not at {before}", read.start()));
            }
            count += 1;
        }
        if l.first && l.part.independent && !read.first_is_sync() {
            return Err(format!("{l:?} does not begin with a key frame"));
        }
        end = Some((l.dseq, read.end().ok_or("a part without a fragment")?));
    }
    Ok(count)
}

#[test]
fn m05_parts_are_fragments_that_join() {
    let b = aired();
    b.keeps("M05");
    for (rest, side) in [("video/index.m3u8", "video"), ("audio/index.m3u8", "audio")] {
        let bytes = |uri: &str| b.media[&format!("/live/main/s1/{side}/{uri}")].clone();
        let all = parts(b, rest);
        let count = joined(&all, bytes).unwrap_or_else(|e| panic!("{rest}: {e}"));
        assert!(count > 600, "{rest}: {count}");
        let mut swapped = all.clone();
        swapped.swap(7, 8);
        assert!(joined(&swapped, bytes).is_err(), "another order");
        let cut = |uri: &str| if uri == all[9].part.uri { Bytes::new() } else { bytes(uri) };
        assert!(joined(&all, cut).is_err(), "no fragment");
        let hole = [&all[..9], &all[10..]].concat();
        assert!(joined(&hole, bytes).is_err(), "a part is missing");
    }
    // A part within a segment is none that a player could begin with.
    let bytes = |uri: &str| b.media[&format!("/live/main/s1/video/{uri}")].clone();
    let mut all = parts(b, "video/index.m3u8");
    let within = all.iter_mut().find(|l| !l.first && !l.part.independent).expect("a part");
    (within.first, within.part.independent) = (true, true);
    assert!(joined(&all, bytes).is_err(), "no key frame");
}

#[tokio::test(flavor = "multi_thread")]
async fn m06_an_init_section_is_named_by_its_bytes_and_hinted_ahead() {
    let mut air = Air::on(4_500).await;
    let other = air.stage.edge().await;
    let home = other.join(air.url("").path()).expect("a URL");
    let there = |path: String| {
        let there = home.join(&path).expect("a URL");
        async move { ok(there).await }
    };
    let newest = |p: &Playlist| {
        let s = p.segments.iter().rfind(|s| s.uri.is_some()).expect("a complete segment");
        (format!("video/{}", s.map.as_ref().expect("an init section")), s.dseq)
    };
    let (old, dseq) = newest(&air.settled().await);
    let bytes = ok(air.url(&old)).await;
    assert_eq!(there(old.clone()).await, bytes);
    let level = air.level();

    air.reconfigure(level + 1).await;
    let list = air.settled().await;
    let new = hint(&list, "MAP").expect("it is hinted before any segment has it");
    let other_bytes = ok(air.url(&new)).await;
    assert!(new != old && other_bytes != bytes, "{new}");
    assert_eq!(there(new.clone()).await, other_bytes, "the other edge hints it too");
    air.more(4_000).await;
    let list = air.settled().await;
    assert_eq!(newest(&list), (new.clone(), dseq + 1), "with a discontinuity");
    assert_eq!(hint(&list, "MAP"), None, "it is in force");
    assert_eq!(ok(air.url(&new)).await, other_bytes);

    // One that is given up before any segment has it is gone; the same bytes have the same name.
    air.reconfigure(level + 2).await;
    let given_up = hint(&air.settled().await, "MAP").expect("hinted");
    assert!(ok(air.url(&given_up)).await != other_bytes);
    air.reconfigure(level).await;
    assert_eq!(hint(&air.settled().await, "MAP").as_ref(), Some(&old));
    assert_eq!(get(air.url(&given_up)).await.status(), StatusCode::NOT_FOUND);
    air.more(4_000).await;
    assert_eq!(newest(&air.settled().await), (old.clone(), dseq + 2));
    assert_eq!(ok(air.url(&old)).await, bytes);
    air.end().await.close();
}
