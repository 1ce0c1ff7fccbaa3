//! `man/castctl-hls.7` says what the code does: its lifetimes, its numbers, its URLs. The
//! configurations of caches in it are those that `tests/flow/proxies.rs` starts.

use crate::edge::answer::{
    self, BLOCKED_TARGET_DURATIONS, CONSTANT, Kept, MEDIA, NO_STORE, NOW, PAGE,
};
use crate::edge::asked::ETAGS_MAX;
use crate::edge::choice::RANGE_SESSIONS_MAX;
use crate::edge::cors::{READS, REMEMBER};
use crate::edge::http::FIRST_MEDIA;
use crate::edge::pages;
use crate::edge::ranges::RANGE_MAX;
use crate::edge::server::{HEAD_MAX, HEAD_TIMEOUT};
use crate::hls::name::{File, PATH_MAX, Path};
use crate::hls::reload::{ADVANCE_SEGMENTS, HOLD_TARGET_DURATIONS, advance_part_limit};
use crate::hls::window::{LIVE_WINDOW, PART_TARGET_DURATIONS, SKIP_TARGET_DURATIONS};
use crate::media::fmp4::event;

const MANUAL: &str = include_str!("../../man/castctl-hls.7");

/// The rows of a table, as a reader sees them: columns are two spaces or more apart.
fn table(name: &str) -> Vec<Vec<String>> {
    let head = format!(".\\\" table {name}");
    let lines = MANUAL.lines().skip_while(|l| *l != head).skip(1).take_while(|l| *l != ".\\\" end");
    let columns = |line: &str| -> Vec<String> {
        let columns = line.split("  ").map(str::trim).filter(|c| !c.is_empty());
        columns.map(|c| c.replace("\\-", "-")).collect()
    };
    let rows: Vec<Vec<String>> = lines.map(columns).collect();
    assert!(!rows.is_empty(), "no table `{name}` in the page");
    rows
}

#[test]
fn the_lifetimes_are_the_codes() {
    let text = |v: axum::http::HeaderValue| v.to_str().expect("text").to_owned();
    let said: Vec<String> =
        table("lifetimes").into_iter().filter_map(|mut row| row.pop()).collect();
    let blocked = format!("public, max-age={BLOCKED_TARGET_DURATIONS}T");
    let [now, constant] = [text(NOW), text(CONSTANT)];
    let want = [
        now.clone(),
        constant.clone(),
        now,
        blocked,
        constant,
        text(MEDIA),
        text(PAGE),
        text(NO_STORE),
    ];
    assert_eq!(said, want);
    // What the constants are used for.
    let cache =
        |r: &axum::http::Response<axum::body::Body>| text(r.headers()["cache-control"].clone());
    assert_eq!(cache(&answer::redirect("/x")), said[0]);
    assert_eq!(cache(&answer::page(pages::WATCH.content_type, pages::WATCH.body)), said[6]);
    for no in [
        answer::not_found("x"),
        answer::bad_request("x"),
        answer::bad_method(),
        answer::unavailable("x"),
        answer::options(),
    ] {
        assert_eq!(cache(&no), said[7]);
    }
    let blocked = text(Kept::Blocked { target_duration: 4 }.header());
    assert_eq!(blocked, said[3].replace("6T", "24"));
}

#[test]
fn the_numbers_are_the_codes() {
    let said: Vec<u64> =
        table("numbers").iter().map(|row| row[0].parse().expect("a number")).collect();
    let remember = REMEMBER.to_str().ok().and_then(|n| n.parse().ok()).expect("a number");
    let want = [
        HOLD_TARGET_DURATIONS.unsigned_abs(),
        ADVANCE_SEGMENTS,
        PART_TARGET_DURATIONS.unsigned_abs(),
        SKIP_TARGET_DURATIONS.unsigned_abs(),
        LIVE_WINDOW.unsigned_abs() / 1_000_000,
        FIRST_MEDIA.as_secs(),
        BLOCKED_TARGET_DURATIONS.into(),
        PATH_MAX as u64,
        HEAD_MAX as u64,
        HEAD_TIMEOUT.as_secs(),
        ETAGS_MAX as u64,
        remember,
        RANGE_MAX.as_secs() / 3600,
        RANGE_SESSIONS_MAX as u64,
    ];
    assert_eq!(said, want);
    // "more than 3 s of parts (three parts, where they last a second or more)"
    assert_eq!([200_000, 500_000, 1_000_000, 4_000_000].map(advance_part_limit), [15, 6, 3, 3]);
    let page = MANUAL.replace("\\-", "-");
    for name in READS.to_str().expect("text").split(", ") {
        assert!(page.contains(name), "{name}");
    }
    for word in [event::SCHEME, event::DESCRIPTION] {
        assert!(page.contains(word), "{word}");
    }
}

#[test]
fn the_urls_are_names() {
    let rows = table("urls");
    let mut kinds = Vec::new();
    for row in &rows {
        let path = row[0].replace("CHANNEL", "main").replace("SESSION", "1").replace("vR/", "v3/");
        let path = path.replace("RENDITION", "video").replace("gG-", "g3-").replace("M-", "1000-");
        let path = path.replace("/TIME", "/1795195386").replace("-M/", "-1000/");
        let path = path
            .replace("to-N", "to-1001")
            .replace("-M.", "-1000.")
            .replace("pQ", "p77")
            .replace("gapN", "gap1");
        let kind = match path.replace("HASH", "ab01").parse::<Path>() {
            Ok(Path::Entry { .. }) => "entry",
            Ok(Path::Multivariant { .. }) => "multivariant",
            Ok(Path::Media(_)) => "media",
            Ok(Path::Dvr(_)) => "dvr",
            Ok(Path::Rewind { to: None, .. }) => "moment",
            Ok(Path::Rewind { .. }) => "moments",
            Ok(Path::MultivariantFrom { .. }) => "multivariant from",
            Ok(Path::From { .. }) => "media from",
            Ok(Path::Range(_)) => "range",
            Ok(Path::RangeMedia { .. }) => "media of range",
            Ok(Path::File { file: File::Segment { .. }, .. }) => "segment",
            Ok(Path::File { file: File::Part { .. }, .. }) => "part",
            Ok(Path::File { file: File::Gap { .. }, .. }) => "absent",
            Ok(Path::File { file: File::Init { .. }, .. }) => "init",
            Err(_) => "page",
        };
        kinds.push(kind);
    }
    let playlists = ["entry", "multivariant", "media", "dvr"];
    let past = ["moment", "multivariant from", "media from", "moments", "range", "media of range"];
    let files = ["segment", "part", "absent", "init"];
    assert_eq!(kinds, [&playlists[..], &past, &files, &["page", "page"]].concat());
}
