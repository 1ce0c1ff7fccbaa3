//! `man/castctl-push.7` says what the code does: its names, lifetimes and numbers.

use crate::base::ids::{Generation, Msn, Session};
use crate::hls::name::{File, Path, Place};
use crate::hls::window::{LIVE_WINDOW, PART_TARGET_DURATIONS};
use crate::media::track::Kind;
use crate::push::bucket::RETRY;
use crate::push::health::AWAY;
use crate::push::rendition::{BATCH, UNREADABLE};
use crate::push::{headers, metrics};
use crate::telemetry::metrics::Metrics;

const MANUAL: &str = include_str!("../../man/castctl-push.7");

/// The rows of a table: columns are two spaces or more apart.
fn table(name: &str) -> Vec<Vec<&'static str>> {
    let head = format!(".\\\" table {name}");
    let lines = MANUAL.lines().skip_while(|l| *l != head).skip(1).take_while(|l| *l != ".\\\" end");
    let columns = |line: &'static str| {
        line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect()
    };
    let rows: Vec<Vec<&str>> = lines.map(columns).collect();
    assert!(!rows.is_empty(), "no table `{name}` in the page");
    rows
}

#[test]
fn the_names_are_the_codes() {
    let (channel, session) = ("CHANNEL".to_lowercase().parse().expect("a name"), Session(7));
    let place = Place { channel, session, rendition: "rendition".into() };
    let (channel, file) = (place.channel.clone(), |file| (place.clone(), 3, file));
    let of = |(place, render, file)| Path::File { place, render, file };
    let segment = File::Segment { writer: Generation(5).into(), msn: Msn(9) };
    let want: Vec<String> = [
        of(file(File::Init { hash: "hash".into() })),
        of(file(segment)),
        Path::Media(place.clone()),
        Path::Multivariant { channel: channel.clone(), session },
        Path::Entry { channel },
    ]
    .iter()
    .map(Path::to_string)
    .collect();
    let said: Vec<String> = table("names")
        .iter()
        .map(|row| {
            let name = row[0].replace("SESSION", "7").replace("vRENDER", "v3");
            let name = name.replace("GENERATION", "5").replace("MSN", "9");
            format!("/{}", name.to_lowercase())
        })
        .collect();
    assert_eq!(said, want);
}

#[test]
fn the_lifetimes_are_the_codes() {
    let of = |headers: crate::store::files::Headers| {
        // T is 100 s.
        let cache = headers.cache.replace("max-age=50", "max-age=T/2");
        [headers.content_type.to_owned(), cache]
    };
    let want = [
        of(headers::media(Kind::Video)),
        of(headers::media(Kind::Audio)),
        of(headers::live(100)),
        of(headers::kept(headers::ENDED)),
        of(headers::kept(headers::WHOLE)),
        of(headers::live(100)),
    ];
    let said: Vec<_> = table("headers").into_iter().map(|row| [row[1], row[2]]).collect();
    assert_eq!(said, want);
    assert_eq!(headers::live(1).cache, "public, max-age=1", "at least one");
    assert_eq!(headers::live(5).cache, "public, max-age=2");
}

#[test]
fn the_numbers_are_the_codes() {
    for said in [
        format!("the last {} s, or of three target durations", LIVE_WINDOW / 1_000_000),
        format!("pauses of up to {} s", RETRY.1.as_secs()),
        format!("most {BATCH} segments of a rendition"),
        format!("After {} s\n.B /readyz", AWAY.as_secs()),
        format!("a gap after {} s", UNREADABLE.as_secs()),
    ] {
        assert!(MANUAL.contains(&said), "{said}");
    }
    assert_eq!(PART_TARGET_DURATIONS, 3);
    let metrics = Metrics::new();
    let push = metrics::Push::register(&metrics);
    let channel = "main".parse().expect("a name");
    push.behind.get_or_create(&crate::telemetry::metrics::ByChannel::new(&channel)).set(1.0);
    let text = metrics.text().expect("encodes");
    for name in ["given_up_sessions_total", "behind_seconds", "failures_total"] {
        let name = format!("castctl_push_{name}");
        assert!(MANUAL.contains(&name) && text.contains(&name), "{name}");
    }
}
