//! Handcrafted playlists and media, right ones and ones with one thing wrong: each rule speaks
//! once, and by name.

use crate::oracle::Exception;
use crate::oracle::ledger::{Claim, Ledger, Want, WantKind};
use crate::oracle::{media, playlist};
use std::fmt::Write as _;

const MAIN: &str = "/live/main/s1/index.m3u8";
const VIDEO: &str = "/live/main/s1/video/index.m3u8";
const AUDIO: &str = "/live/main/s1/audio/index.m3u8";
const DVR: &str = "/live/main/s1/video/dvr.m3u8";

pub(crate) const MULTIVARIANT: &str = "#EXTM3U\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"audio/index.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.64001f,mp4a.40.2\",AUDIO=\"a\"\nvideo/index.m3u8\n";

const HEAD: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n\
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=24.0,\
    HOLD-BACK=12.0,PART-HOLD-BACK=2.006\n\
    #EXT-X-PART-INF:PART-TARGET=0.502\n";

/// Complete segments `first..next` of four half-second parts, then `open` parts of the next one.
pub(crate) fn good(first: u64, next: u64, open: u64) -> String {
    let mut out = HEAD.to_owned();
    let _ = writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:3");
    out.push_str("#EXT-X-MAP:URI=\"v1/init-aa.mp4\"\n");
    for msn in first..=next {
        let parts = if msn == next { open } else { 4 };
        if parts > 0 {
            let s = (msn - 100) * 2;
            let time = format!("{:02}:{:02}", s / 60, s % 60);
            let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:{time}.000Z");
        }
        for part in (0..parts).filter(|_| msn + 4 >= next) {
            let seq = (msn - 100) * 50 + part * 12;
            let key = if part == 0 { ",INDEPENDENT=YES" } else { "" };
            let _ = writeln!(out, "#EXT-X-PART:DURATION=0.50000,URI=\"v1/g1-p{seq}.m4s\"{key}");
        }
        if msn < next {
            let _ = writeln!(out, "#EXTINF:2.00000,\nv1/g1-{msn}.m4s");
        }
    }
    let hint = (next - 100) * 50 + open * 12;
    let _ = writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v1/g1-p{hint}.m4s\"");
    out.push_str("#EXT-X-RENDITION-REPORT:URI=\"../audio/index.m3u8\",LAST-MSN=107,LAST-PART=1\n");
    out
}

fn claim(who: &str, at: i64, path: &str) -> Claim {
    Claim { who: who.into(), at, path: path.into(), asked: None }
}

fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.multivariant("a", MAIN, MULTIVARIANT);
    ledger
}

/// The rules found, but for media that these tests do not deliver.
fn rules(ledger: &mut Ledger) -> Vec<&'static str> {
    let found = ledger.judge().into_iter().filter(|f| f.rule != "download").map(|f| f.rule);
    let mut rules: Vec<&str> = found.collect();
    rules.dedup();
    rules
}

/// What is found when the versions are served one after the other by server `a`, as the live video
/// playlist.
fn served(versions: &[&str]) -> Vec<&'static str> {
    let mut ledger = ledger();
    ledger.version(&claim("c", 0, AUDIO), &good(100, 107, 2).replace("../audio/", "../video/"));
    for (i, text) in versions.iter().enumerate() {
        ledger.version(&claim("a", 2_000_000 + i as i64 * 500_000, VIDEO), text);
    }
    rules(&mut ledger)
}

/// Two versions through a balancer.
fn balanced(first: &str, second: &str) -> Vec<&'static str> {
    let mut ledger = ledger();
    ledger.balancers.insert("a".into());
    ledger.version(&claim("c", 0, AUDIO), &good(100, 107, 2).replace("../audio/", "../video/"));
    for (text, at) in [(first, 2_000_000), (second, 2_500_000)] {
        ledger.version(&claim("a plain", at, VIDEO), text);
    }
    rules(&mut ledger)
}

#[test]
fn only_a_balancer_may_answer_with_a_version_before() {
    let (early, late) = (good(100, 107, 1), good(100, 107, 2));
    assert_eq!(served(&[&late, &early]), ["P24"]);
    assert_eq!(balanced(&late, &early), [""; 0]);
    // What is listed of the past may not depend on who answers.
    assert_eq!(balanced(&good(102, 107, 2), &good(100, 107, 2)), ["P15"]);
    assert_eq!(balanced(&late, &early.replace("p350", "p351")), ["P24"]);
}

#[test]
fn an_exception_that_is_named_late_counts() {
    let mut ledger = ledger();
    ledger.version(&claim("c", 0, AUDIO), &good(100, 107, 2).replace("../audio/", "../video/"));
    let (real, other) = (good(100, 107, 2), good(100, 107, 2).replace("g1-p350", "g1-p351"));
    ledger.version(&claim("a", 0, VIDEO), &real);
    ledger.version(&claim("b", 0, VIDEO), &other);
    ledger.exceptions.push(Exception::DecidedEnd { msns: 107..=107 });
    assert_eq!(rules(&mut ledger), [""; 0]);
}

#[test]
fn behind_a_decided_end_a_balancer_may_refuse_what_another_server_lists() {
    let path = "/live/main/s1/video/v1/g1-p350.m4s".to_owned();
    for (who, msns, want) in [
        ("a plain", Some(107..=107), 0),
        ("a plain", Some(106..=106), 1),
        ("a plain", None, 1),
        ("c", Some(107..=107), 1),
    ] {
        let mut ledger = ledger();
        ledger.balancers.insert("a".into());
        ledger.version(&claim("b", 0, VIDEO), &good(100, 107, 2));
        let kind = WantKind::Media;
        ledger.refused(who, &Want { path: path.clone(), kind }, 503);
        ledger.exceptions.extend(msns.clone().map(|msns| Exception::DecidedEnd { msns }));
        let found = ledger.judge();
        let refused = found.iter().filter(|f| f.detail.ends_with("listed, but answered 503"));
        assert_eq!(refused.count(), want, "{who} {msns:?}");
    }
}

#[test]
fn behind_a_decided_end_a_report_may_be_ahead_of_what_is_listed_in_the_end() {
    for (msns, want) in [(108..=109, 0), (107..=107, 1)] {
        let mut ledger = ledger();
        let ahead = good(100, 107, 2).replace("../audio/", "../video/");
        let ahead = ahead.replace("LAST-MSN=107", "LAST-MSN=109");
        ledger.version(&claim("a", 0, VIDEO), &good(100, 107, 2));
        ledger.version(&claim("a", 0, AUDIO), &ahead);
        ledger.exceptions.push(Exception::DecidedEnd { msns });
        let found = ledger.judge();
        let never = found.iter().filter(|f| f.detail.ends_with("which never was"));
        assert_eq!(never.count(), want);
    }
}

#[test]
fn silent_on_a_stream_that_is_right() {
    let versions: Vec<String> = (100..130)
        .flat_map(|next| (0..4).map(move |open| good(next.max(112) - 12, next.max(107), open)))
        .collect();
    let mut right = vec![good(100, 107, 2)];
    right.extend(versions.into_iter().skip(32));
    let right: Vec<&str> = right.iter().map(String::as_str).collect();
    assert_eq!(served(&right[..60]), [""; 0]);
}

#[test]
fn a_discontinuity_leaves_by_raising_the_sequence_number() {
    let tag = |text: String| {
        let pdt = "#EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:00:10.000Z";
        text.replace(pdt, &format!("#EXT-X-DISCONTINUITY\n{pdt}"))
    };
    let raised = good(106, 113, 0).replace("DISCONTINUITY-SEQUENCE:3", "DISCONTINUITY-SEQUENCE:4");
    let (before, first) = (tag(good(100, 112, 0)), tag(good(105, 112, 1)));
    assert_eq!(served(&[&before, &first, &raised]), ["P20"], "audio was not told");
    assert_eq!(served(&[&before, &first, &good(106, 113, 0)]), ["P20", "P24"]);
}

#[test]
fn each_rule_of_one_version_speaks() {
    let text = good(100, 107, 2);
    for (rule, from, to) in [
        ("syntax", "#EXTM3U\n", ""),
        ("syntax", "#EXT-X-MAP", "#EXT-X-MAPP"),
        ("syntax", "#EXTINF:2.00000,\nv1/g1-101.m4s", "v1/g1-101.m4s"),
        ("syntax", "17:00:00.000Z", "17:00:00.000"),
        ("P01", "#EXTINF:2.00000,\nv1/g1-101.m4s", "#EXTINF:4.60000,\nv1/g1-101.m4s"),
        ("P02", "VERSION:6", "VERSION:9"),
        ("P03", "#EXT-X-PART-INF:PART-TARGET=0.502\n", ""),
        (
            "P04",
            "DURATION=0.50000,URI=\"v1/g1-p362.m4s\"",
            "DURATION=0.60000,URI=\"v1/g1-p362.m4s\"",
        ),
        (
            "P05",
            "DURATION=0.50000,URI=\"v1/g1-p312.m4s\"",
            "DURATION=0.40000,URI=\"v1/g1-p312.m4s\"",
        ),
        (
            "P07",
            "#EXT-X-PART:DURATION=0.50000,URI=\"v1/g1-p362.m4s\"",
            "#EXT-X-DISCONTINUITY\n#EXT-X-PART:DURATION=0.50000,URI=\"v1/g1-p362.m4s\"",
        ),
        ("P08", "#EXTINF:2.00000,\nv1/g1-106.m4s", "#EXTINF:2.10000,\nv1/g1-106.m4s"),
        ("P09", "CAN-BLOCK-RELOAD=YES,", ""),
        ("P10", "PART-HOLD-BACK=2.006", "PART-HOLD-BACK=1.5"),
        ("P11", ",HOLD-BACK=12.0", ",HOLD-BACK=11.0"),
        ("P12", "CAN-SKIP-UNTIL=24.0", "CAN-SKIP-UNTIL=20.0"),
        (
            "P13",
            "#EXTINF:2.00000,\nv1/g1-100.m4s",
            "#EXT-X-PART:DURATION=2.0,URI=\"v1/x.m4s\",INDEPENDENT=YES\n\
             #EXTINF:2.00000,\nv1/g1-100.m4s",
        ),
        ("P16", "#EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:00:00.000Z\n", ""),
        ("P16", "17:00:06.000Z", "17:00:03.000Z"),
        ("P17", "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v1/g1-p374.m4s\"\n", ""),
        (
            "P17",
            "#EXT-X-RENDITION",
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v1/y.m4s\"\n#EXT-X-RENDITION",
        ),
        ("P17", "#EXT-X-RENDITION", "#EXT-X-ENDLIST\n#EXT-X-RENDITION"),
        (
            "P18",
            "#EXT-X-RENDITION-REPORT:URI=\"../audio/index.m3u8\",LAST-MSN=107,LAST-PART=1\n",
            "",
        ),
        ("P18", ",LAST-PART=1", ""),
        ("P18", "LAST-MSN=107", "LAST-MSN=190"),
        ("P18", "LAST-MSN=107,LAST-PART=1", "LAST-MSN=106,LAST-PART=7"),
        ("P19", "#EXT-X-MAP", "#EXT-X-DATERANGE:ID=\"a\"\n#EXT-X-MAP"),
        (
            "P19",
            "#EXT-X-MAP",
            "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-11-20T17:00:00.000Z\",END-ON-NEXT=YES\n\
             #EXT-X-MAP",
        ),
        ("P25", "#EXT-X-TARGET", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-TARGET"),
    ] {
        assert!(text.contains(from), "{rule}: {from} is not in the sample");
        let found = served(&[&text.replacen(from, to, 1)]);
        assert!(found.contains(&rule), "{rule}: {from} -> {to}: {found:?}");
        // What the same changes break besides.
        let allowed = ["P13", "P08", "P04", "P09", "P16", "P18", "P20"];
        let extra: Vec<_> = found.iter().filter(|r| **r != rule && !allowed.contains(r)).collect();
        assert!(extra.is_empty(), "{rule}: {from} -> {to}: also {extra:?}");
    }
}

#[test]
fn only_permitted_changes_pass_between_two_versions() {
    let before = good(100, 107, 2);
    let after = good(100, 107, 3);
    for (name, rule, second) in [
        ("TARGETDURATION", "P01", after.replace("TARGETDURATION:4", "TARGETDURATION:3")),
        ("PART-TARGET", "P03", after.replace("PART-TARGET=0.502", "PART-TARGET=0.503")),
        ("SERVER-CONTROL", "P09", after.replace("PART-HOLD-BACK=2.006", "PART-HOLD-BACK=2.1")),
        ("MEDIA-SEQUENCE back", "P15", good(99 + 1, 107, 3).replace("SEQUENCE:100", "SEQUENCE:99")),
        ("dseq", "P24", after.replace("DISCONTINUITY-SEQUENCE:3", "DISCONTINUITY-SEQUENCE:4")),
        ("dseq back", "P15", after.replace("DISCONTINUITY-SEQUENCE:3", "DISCONTINUITY-SEQUENCE:2")),
        ("end back", "P24", good(100, 107, 1)),
        (
            "EXTINF",
            "P24",
            after.replace("#EXTINF:2.00000,\nv1/g1-101", "#EXTINF:2.00100,\nv1/g1-101"),
        ),
        ("URI", "P24", after.replace("v1/g1-104.m4s", "v1/g2-104.m4s")),
        ("part URI", "P24", after.replace("g1-p350.m4s", "g1-p351.m4s")),
        ("part flag", "P24", after.replace("g1-p350.m4s\",INDEPENDENT=YES", "g1-p350.m4s\"")),
        ("PDT", "P24", after.replace("17:00:04.000Z", "17:00:04.100Z")),
        ("MAP", "P24", after.replace("init-aa", "init-bb")),
        (
            "DISCONTINUITY",
            "P24",
            after.replacen("#EXT-X-PROG", "#EXT-X-DISCONTINUITY\n#EXT-X-PROG", 3),
        ),
        (
            "a part goes",
            "P24",
            good(100, 108, 0).replace("#EXT-X-PART:DURATION=0.50000,URI=\"v1/g1-p362.m4s\"\n", ""),
        ),
        ("a broken hint", "M02", after.replace("g1-p374", "g1-p375")),
        ("too short", "P14", good(103, 107, 3)),
    ] {
        assert_ne!(before, second, "{name}");
        let found = served(&[&before, &second]);
        assert!(found.contains(&rule), "{name}: {rule} is not in {found:?}");
    }
}

/// A date range at this second of the sample that lasts so long.
fn ranged(text: &str, second: u32, lasts: &str) -> String {
    let line = format!(
        "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-11-20T17:00:{second:02}.000Z\",\
         DURATION={lasts}\n#EXT-X-MAP"
    );
    text.replacen("#EXT-X-MAP", &line, 1)
}

#[test]
fn date_ranges_stay_as_long_as_a_date_of_them_is_listed() {
    let (early, late) = (good(100, 112, 2), good(106, 112, 3));
    // 106 begins with second 12.
    let gone = |second, lasts| served(&[&ranged(&early, second, lasts), &late]);
    assert_eq!(gone(2, "9.9"), [""; 0]);
    assert_eq!(gone(2, "10.0"), ["P19"], "its last moment is the first that is listed");
    let same = [ranged(&early, 2, "60.0"), ranged(&late, 2, "60.0")];
    assert_eq!(served(&[&same[0], &same[1]]), [""; 0]);
    assert_eq!(served(&[&same[0], &ranged(&late, 2, "61.0")]), ["P19"]);
}

#[test]
fn a_hinted_init_section_is_the_next() {
    let hint = |uri: &str| {
        let line = format!("#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"{uri}\"\n#EXT-X-PRELOAD");
        good(100, 107, 0).replacen("#EXT-X-PRELOAD", &line, 1)
    };
    let pdt = "#EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:00:14.000Z";
    let map = format!("#EXT-X-MAP:URI=\"v1/init-bb.mp4\"\n{pdt}");
    let next = good(100, 107, 1).replace(pdt, &map);
    assert_eq!(served(&[&hint("v1/init-bb.mp4"), &next]), [""; 0]);
    assert_eq!(served(&[&hint("v1/init-cc.mp4"), &next]), ["M02"]);
    assert_eq!(served(&[&hint("v1/init-cc.mp4"), &good(100, 107, 1)]), [""; 0], "not yet");
}

#[test]
fn a_hint_for_a_part_that_nobody_saw_is_not_judged() {
    let (open, much_later) = (good(100, 107, 2), good(100, 112, 1));
    assert_eq!(served(&[&open, &much_later]), [""; 0]);
    let soon = good(100, 108, 1).replace("g1-p374", "g1-p375");
    assert_eq!(served(&[&open, &soon]), ["M02"]);
}

#[test]
fn ends_are_final() {
    let cut = |text: String| text.split("#EXT-X-PRELOAD").next().unwrap_or_default().to_owned();
    let ended = cut(good(100, 107, 0)) + "#EXT-X-ENDLIST\n";
    assert_eq!(served(&[&good(100, 107, 0), &ended]), [""; 0]);
    assert_eq!(served(&[&ended, &good(100, 107, 0)]), ["P24"]);
    assert_eq!(served(&[&good(100, 108, 0), &ended]), ["P24"]);
}

#[test]
fn two_servers_must_agree_and_a_blocked_reload_must_wait() {
    let mut ledger = ledger();
    ledger.version(&claim("a", 0, VIDEO), &good(100, 107, 2));
    ledger.version(&claim("b", 0, VIDEO), &good(100, 106, 2));
    assert_eq!(rules(&mut ledger), ["P18"], "b may lag; the report's rendition was not watched");
    ledger.version(&claim("b", 1, VIDEO), &good(100, 107, 2).replace("g1-105", "g2-105"));
    assert!(rules(&mut ledger).contains(&"P24"));

    let mut early = self::ledger();
    let asked = Claim { asked: Some((107, 2)), ..claim("a", 0, VIDEO) };
    early.version(&asked, &good(100, 107, 2));
    assert!(rules(&mut early).contains(&"D09"));
}

#[test]
fn named_exceptions_are_silent_and_only_those() {
    let gap = good(100, 107, 2).replace(
        "#EXTINF:2.00000,\nv1/g1-101.m4s",
        "#EXT-X-GAP\n#EXTINF:2.00000,\nv1/g1-101-gap0.m4s",
    );
    for (msns, want) in [(101..=101, false), (102..=103, true)] {
        let mut ledger = ledger();
        ledger.exceptions.push(Exception::DecidedEnd { msns });
        ledger.version(&claim("a", 0, VIDEO), &good(100, 107, 2));
        ledger.version(&claim("b", 0, VIDEO), &gap);
        assert_eq!(rules(&mut ledger).contains(&"P24"), want);
    }
    for (exception, want) in [(None, true), (Some(Exception::StandsStill), false)] {
        let mut ledger = ledger();
        ledger.exceptions.extend(exception);
        ledger.version(&claim("a", 0, VIDEO), &good(100, 107, 2));
        ledger.version(&claim("a", 8_000_000, VIDEO), &good(100, 107, 3));
        assert_eq!(rules(&mut ledger).contains(&"P21"), want);
    }
}

#[test]
fn renditions_share_boundaries() {
    let mut ledger = ledger();
    let audio = good(100, 107, 2).replace("../audio/", "../video/");
    ledger.version(&claim("a", 0, VIDEO), &good(100, 107, 2));
    ledger.version(
        &claim("a", 0, AUDIO),
        &audio.replace("DISCONTINUITY-SEQUENCE:3", "DISCONTINUITY-SEQUENCE:4"),
    );
    assert_eq!(rules(&mut ledger), ["P20"]);
    let mut ledger = self::ledger();
    ledger.version(&claim("a", 0, VIDEO), &good(100, 107, 2));
    ledger.version(&claim("a", 0, AUDIO), &audio.replace("T17:", "T18:"));
    assert_eq!(rules(&mut ledger), ["P16"]);
    let mut ledger = self::ledger();
    ledger.multivariant("b", MAIN, &MULTIVARIANT.replace("video/", "rung/"));
    let event =
        |text: String| text.replacen("#EXT-X-PART", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-PART", 1);
    ledger.version(&claim("a", 0, DVR), &event(good(100, 112, 2)));
    ledger.version(&claim("a", 1, DVR), &event(good(101, 112, 3)));
    let found = rules(&mut ledger);
    assert!(found.contains(&"P20") && found.contains(&"P25"), "{found:?}");
}

#[test]
fn a_playlist_that_begins_in_the_past_says_so_and_stays_there() {
    let found = |path: &str, versions: &[String]| {
        let mut ledger = ledger();
        let audio = good(100, 107, 2).replace("../audio/", "../video/");
        ledger.version(&claim("c", 0, AUDIO), &audio);
        for (i, text) in versions.iter().enumerate() {
            ledger.version(&claim("a", i as i64 * 500_000, path), text);
        }
        rules(&mut ledger)
    };
    let path = "/live/main/s1/video/from-102.m3u8";
    let head = "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-START:TIME-OFFSET=0,PRECISE=YES\n#EXT-X-MEDIA";
    let begun = |text: String| text.replacen("#EXT-X-MEDIA", head, 1);
    let right = [begun(good(102, 107, 2)), begun(good(102, 107, 3))];
    assert_eq!(found(path, &right), [""; 0]);
    assert_eq!(found(path, &[good(102, 107, 2)]), ["P25"], "it does not say so");
    assert_eq!(found(path, &[begun(good(103, 107, 2))]), ["P25"], "it begins elsewhere");
    let late = right[0].replace("TIME-OFFSET=0", "TIME-OFFSET=-6");
    assert_eq!(found(path, &[late]), ["P25"], "players begin elsewhere");
    assert_eq!(found(DVR, &right[..1]), [""; 0]);
    assert_eq!(found(VIDEO, &right[..1]), ["P25"], "the live one loses segments");
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
}

fn words(list: &[u32]) -> Vec<u8> {
    list.iter().flat_map(|w| w.to_be_bytes()).collect()
}

/// An init section of 1000 ticks a second.
pub(crate) fn init() -> Vec<u8> {
    let mdhd = boxed(b"mdhd", &words(&[0, 0, 0, 1000, 0, 0]));
    let trak = boxed(b"trak", &boxed(b"mdia", &mdhd));
    let mvex = boxed(b"mvex", &boxed(b"trex", &words(&[0, 1, 1, 0, 0, 0])));
    boxed(b"moov", &[trak, mvex].concat())
}

/// A fragment: decode time, then sample durations; the first is a sync sample if `key`.
pub(crate) fn fragment(start: u32, durations: &[u32], key: bool) -> Vec<u8> {
    let mut trun = vec![0x700, durations.len() as u32];
    for (i, d) in durations.iter().enumerate() {
        trun.extend([*d, 1, if i == 0 && key { 0 } else { 0x1_0000 }]);
    }
    let traf = [
        boxed(b"tfhd", &words(&[0x2_0000, 1])),
        boxed(b"tfdt", &words(&[0, start])),
        boxed(b"trun", &words(&trun)),
    ];
    let moof = boxed(b"moof", &boxed(b"traf", &traf.concat()));
    [moof, boxed(b"mdat", &vec![7; durations.len()])].concat()
}

#[test]
fn media_is_read_and_damage_is_an_error() {
    let init = media::init(&init()).expect("a right init section");
    let read = media::fragments(&fragment(5, &[100, 200], true), init).expect("a right fragment");
    assert_eq!((read.start(), read.duration(), read.end()), (Some(5), 300, Some(305)));
    assert!(read.first_is_sync() && read.has_sync());
    let whole = fragment(5, &[100, 200], true);
    for n in 1..whole.len() {
        assert!(media::fragments(&whole[..n], init).is_err() || n == whole.len() - 10, "{n}");
    }
    assert_eq!(playlist::moment("1970-01-02T00:00:01.5Z"), Ok(86_401_500_000));
}

/// Findings for a segment of two parts whose media are `first` and `second`, `whole` as the
/// segment.
fn weighed(first: Vec<u8>, second: Vec<u8>, whole: Option<Vec<u8>>) -> Vec<&'static str> {
    let mut ledger = ledger();
    let text = format!(
        "{HEAD}#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-MAP:URI=\"i.mp4\"\n#EXT-X-DISCONTINUITY\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:00:00.000Z\n\
         #EXT-X-PART:DURATION=0.5,URI=\"g1-p0.m4s\",INDEPENDENT=YES\n\
         #EXT-X-PART:DURATION=0.5,URI=\"g1-p5.m4s\"\n#EXTINF:1.0,\ng1-1.m4s\n#EXT-X-ENDLIST\n"
    );
    ledger.version(&claim("a", 0, VIDEO), &text);
    let whole = whole.unwrap_or_else(|| [first.clone(), second.clone()].concat());
    for (name, bytes) in
        [("i.mp4", init()), ("g1-p0.m4s", first), ("g1-p5.m4s", second), ("g1-1.m4s", whole)]
    {
        ledger.bytes("a", &format!("/live/main/s1/video/{name}"), bytes.into());
    }
    let mut found: Vec<&str> = ledger.judge().iter().map(|f| f.rule).collect();
    found.dedup();
    found
}

#[test]
fn media_is_held_against_its_playlist() {
    let a = || fragment(0, &[250, 250], true);
    let b = || fragment(500, &[250, 250], false);
    for (name, first, second, whole, want) in [
        ("right", a(), b(), None, vec![]),
        (
            "part shorter than said",
            fragment(0, &[250, 200], true),
            b(),
            None,
            vec!["EXTINF", "M05", "P08"],
        ),
        ("overlap", a(), fragment(499, &[250, 250], false), None, vec!["M05"]),
        ("hole", a(), fragment(501, &[250, 250], false), None, vec!["M05"]),
        ("not a sync sample", fragment(0, &[250, 250], false), b(), None, vec!["M05", "P06"]),
        ("untold sync sample", a(), fragment(500, &[250, 250], true), None, vec!["P06"]),
        ("no fragment", a(), boxed(b"styp", b""), Some([a(), b()].concat()), vec!["M05", "P08"]),
        ("other bytes", a(), b(), Some([a(), boxed(b"free", b""), b()].concat()), vec!["P08"]),
        ("half a segment", a(), b(), Some(a()), vec!["EXTINF", "P08"]),
    ] {
        assert_eq!(weighed(first, second, whole), want, "{name}");
    }
}

#[test]
fn urls_are_one_byte_string_and_are_there() {
    let mut ledger = ledger();
    let want = |path: &str, kind| Want { path: path.into(), kind };
    ledger.bytes("a", "/x.m4s", "one".into());
    ledger.bytes("b", "/x.m4s", "two".into());
    ledger.refused("a", &want("/y.m4s", WantKind::Media), 404);
    ledger.refused("a", &want("/z-gap0.m4s", WantKind::Gap), 200);
    ledger.refused("a", &want("/live/main/s1/video/v1/g1-p374.m4s", WantKind::Hint), 404);
    ledger.version(&claim("a", 0, VIDEO), &good(100, 107, 2));
    ledger.version(&claim("a", 1, VIDEO), &good(100, 107, 3));
    let found: Vec<String> = ledger.judge().iter().map(ToString::to_string).collect();
    for want in [
        "one-url: /x.m4s",
        "download: /y.m4s: listed, but answered 404 [a]",
        "P22: /z-gap0.m4s",
        "M02: /live/main/s1/video/v1/g1-p374.m4s: answered 404 as a hint",
        "download: /live/main/s1/video/v1/g1-100.m4s: listed, never delivered",
    ] {
        assert!(found.iter().any(|f| f.starts_with(want)), "{want} is not in {found:#?}");
    }
    assert_eq!(Ledger::default().judge()[0].rule, "unseen");
}
