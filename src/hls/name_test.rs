//! Names: round trips, other spellings, lengths, a stranger's paths.

use super::*;
use crate::base::ids::CHANNEL_NAME_MAX;

#[test]
fn every_name_round_trips() {
    for s in [
        "/live/main/index.m3u8",
        "/live/main/s7/index.m3u8",
        "/live/main/s7/video/index.m3u8",
        "/live/main/s7/video-720/dvr.m3u8",
        "/live/main/s7/video/v1/g3-100.m4s",
        "/live/main/s7/video/v1/g3-p0.m4s",
        "/live/main/s7/video/v1/g3-p18446744073709551615.m4s",
        "/live/main/s7/video/v1/g3-100-gap0.m4s",
        "/live/main/s7/audio/v4294967295/g3-100-gap4.m4s",
        "/live/s7/s7/audio/v1/init-0af9.mp4",
        "/live/from/s7/from-100.m3u8",
        "/live/main/s7/from-/from-0.m3u8",
        "/live/main/from/1795195386/index.m3u8",
        "/live/main/from/1795195386.1/to/1795195386.120/index.m3u8",
        "/live/main/from/2026-11-20T17:23:06Z/to/2026-11-20T17:23:06.125Z/index.m3u8",
        "/live/main/from-100/to-100/index.m3u8",
        "/live/main/from-100/to-18446744073709551615/video.m3u8",
    ] {
        let path: Path = s.parse().expect(s);
        assert_eq!(path.to_string(), s);
    }
}

#[test]
fn the_parts_of_a_name_mean_what_they_say() {
    let path: Path = "/live/main/s7/video/v2/g3.2-100-gap4.m4s".parse().expect("a name");
    let want = Path::File {
        place: Place {
            channel: "main".parse().expect("a channel"),
            session: Session(7),
            rendition: "video".into(),
        },
        render: 2,
        file: File::Gap {
            writer: Writer { generation: Generation(3), job: Some(Job(2)) },
            msn: Msn(100),
            n: 4,
        },
    };
    assert_eq!(path, want);
}

#[test]
fn other_spellings_are_refused() {
    let long = format!("/live/main/s7/video/v1/init-{}.mp4", "a".repeat(65));
    for bad in [
        "",
        "/",
        "/live/",
        "live/main/index.m3u8",
        "/live/main",
        "/live/main/",
        "/live/main/index.m3u8/",
        "/live//index.m3u8",
        "/live/Main/index.m3u8",
        "/live/main/7/index.m3u8",
        "/live/main/s/index.m3u8",
        "/live/main/s07/index.m3u8",
        "/live/main/s+7/index.m3u8",
        "/live/main/s18446744073709551616/index.m3u8",
        "/live/main/s7/Video/index.m3u8",
        "/live/main/s7/../index.m3u8",
        "/live/main/s7/%2e/index.m3u8",
        "/live/main/s7/video/live.m3u8",
        "/live/main/s7/video/v1/",
        "/live/main/s7/video/v01/g3-100.m4s",
        "/live/main/s7/video/v4294967296/g3-100.m4s",
        "/live/main/s7/video/v1/g3-100.m4s/x",
        "/live/main/s7/video/v1/g3-0100.m4s",
        "/live/main/s7/video/v1/g03-100.m4s",
        "/live/main/s7/video/v1/g3.01-100.m4s",
        "/live/main/s7/video/v1/g3-p.m4s",
        "/live/main/s7/video/v1/g3-100-gap.m4s",
        "/live/main/s7/video/v1/g3-100-gap00.m4s",
        "/live/main/s7/video/v1/g3-100.mp4",
        "/live/main/s7/video/v1/init-.mp4",
        "/live/main/s7/video/v1/init-0AF9.mp4",
        "/live/main/s7/video/v1/init-..mp4",
        "/live/main/s7/from-.m3u8",
        "/live/main/s7/from-0100.m3u8",
        "/live/main/s7/video/from--1.m3u8",
        "/live/main/s7/video/from-100.m3u8/",
        "/live/main/from/1795195386",
        "/live/main/from/soon/index.m3u8",
        "/live/main/from/1795195386/to/index.m3u8",
        "/live/main/from/1795195386/until/1795195387/index.m3u8",
        "/live/main/from-101/to-100/index.m3u8",
        "/live/main/from-100/to-0101/index.m3u8",
        "/live/main/from-100/to-101/.m3u8",
        "/live/main/from-100/to-101/Video.m3u8",
        "/live/main/from-100/to-101/video.m4s",
        "/live/main/from-100/index.m3u8",
        &long,
    ] {
        assert_eq!(bad.parse::<Path>(), Err(NotAName), "{bad:?}");
    }
}

#[test]
fn lengths_are_kept_to_the_byte() {
    let rendition = |n: usize| format!("/live/main/s7/{}/index.m3u8", "r".repeat(n));
    let hash = |n: usize| format!("/live/main/s7/video/v1/init-{}.mp4", "a".repeat(n));
    for (legal, beyond) in [
        (rendition(RENDITION_NAME_MAX), rendition(RENDITION_NAME_MAX + 1)),
        (hash(INIT_HASH_MAX), hash(INIT_HASH_MAX + 1)),
    ] {
        assert_eq!(legal.parse::<Path>().map(|p| p.to_string()).as_ref(), Ok(&legal));
        let refused = beyond.parse::<Path>().expect_err("one byte more");
        assert_eq!(refused.to_string(), "not a path of the live tree");
    }
    let longest = Path::File {
        place: Place {
            channel: "c".repeat(CHANNEL_NAME_MAX).parse().expect("a channel"),
            session: Session(u64::MAX),
            rendition: "r".repeat(RENDITION_NAME_MAX),
        },
        render: u32::MAX,
        file: File::Init { hash: "a".repeat(INIT_HASH_MAX) },
    };
    let text = longest.to_string();
    assert!(text.len() <= PATH_MAX, "{} bytes", text.len());
    assert_eq!(text.parse(), Ok(longest));
}

/// A stranger's path: mutated names neither panic nor parse to something that prints
/// differently.
#[test]
fn mutated_names_are_refused_or_print_as_they_came() {
    let seeds: [&[u8]; 5] = [
        b"/live/main/s7/video/v1/g3-100-gap4.m4s",
        b"/live/main/s7/video/from-100.m3u8",
        b"/live/main/from/1795195386.125/to/1795195399/index.m3u8",
        b"/live/main/from/2026-11-20T17:23:06.125Z/index.m3u8",
        b"/live/main/from-100/to-102/video.m3u8",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..60_000 {
        let mut bytes = seeds[(random() % 5) as usize].to_vec();
        for _ in 0..1 + random() % 3 {
            let at = (random() % bytes.len() as u64) as usize;
            match random() % 3 {
                0 => bytes[at] = (random() % 256) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"/-.gpsv019"[(random() % 10) as usize]),
            }
        }
        let Ok(s) = std::str::from_utf8(&bytes) else { continue };
        if let Ok(path) = s.parse::<Path>() {
            assert_eq!(path.to_string(), s);
        }
    }
}

#[test]
fn a_path_with_moments_is_known_though_they_cannot_be_read() {
    for (path, is) in [
        ("/live/main/from/soon/index.m3u8", true),
        ("/live/main/from/soon/to/later/index.m3u8", true),
        ("/live/main/from/1795195386/index.m3u8", true),
        ("/live/Main/from/1795195386/index.m3u8", false),
        ("/live/main/from/1795195386/to/1/2/index.m3u8", false),
        ("/live/main/s7/from-100.m3u8", false),
    ] {
        assert_eq!(asks_for_moments(path), is, "{path}");
    }
}
