//! Playlists in, facts out; broken ones too.

use super::*;

const LIVE: &str = "#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:4
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,HOLD-BACK=12.0
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-MEDIA-SEQUENCE:100
#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"10@5\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-20T17:23:06.125+01:00
#EXTINF:2.00000,
a.m4s
#EXT-X-GAP
#EXT-X-DISCONTINUITY
#EXTINF:1.5,
b.m4s
#EXT-X-PART:DURATION=0.5,URI=\"c,1.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.25,URI=\"c2.m4s\",GAP=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"c3.m4s\"
";

fn media(text: &str) -> Media {
    match parse(text) {
        Ok(Playlist::Media(m)) => *m,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_live_playlist() {
    let m = media(LIVE);
    assert_eq!(
        (m.target_duration, m.part_target, m.part_hold_back),
        (Some(4.0), Some(0.5), Some(1.5))
    );
    assert!(m.can_block && !m.ended);
    assert_eq!(m.segments.iter().map(|s| s.msn).collect::<Vec<_>>(), [100, 101, 102]);
    let map = File { uri: "init.mp4".into(), range: Some((5, 10)) };
    assert!(m.segments.iter().all(|s| s.map.as_ref() == Some(&map)));
    assert_eq!(m.segments[0].file, Some(File { uri: "a.m4s".into(), range: None }));
    assert!(m.segments[1].gap && m.segments[1].discontinuity && !m.segments[0].gap);
    let open = &m.segments[2];
    assert_eq!((open.file.as_ref(), open.duration), (None, 0.75));
    assert_eq!((&*open.parts[0].file.uri, open.parts[0].gap), ("c,1.m4s", false));
    assert!(open.parts[1].gap);
    assert_eq!(m.next(), (102, 2));
    assert_eq!(m.window(), 4.25);
    assert_eq!(m.end().expect("a date").to_string(), "2026-11-20T16:23:10.375Z");
}

#[test]
fn byte_ranges_go_on_where_the_last_one_ended() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-BYTERANGE:100@10\n#EXTINF:2,\nx\n\
                #EXT-X-BYTERANGE:50\n#EXTINF:2,\nx\n\
                #EXT-X-BYTERANGE:5\n#EXTINF:2,\ny\n#EXT-X-ENDLIST\n";
    let m = media(text);
    let ranges: Vec<_> = m.segments.iter().map(|s| s.file.as_ref().and_then(|f| f.range)).collect();
    assert_eq!(ranges, [Some((10, 100)), Some((110, 50)), Some((0, 5))]);
    assert!(m.ended);
    assert_eq!(m.next(), (3, 0));
}

#[test]
fn a_multivariant_playlist() {
    let text = "#EXTM3U\n\
                #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en, x\",DEFAULT=YES,\
                URI=\"a/i.m3u8\"\n\
                #EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS=\"avc1.64001f,mp4a.40.2\",\
                RESOLUTION=640x360,FRAME-RATE=25.000,AUDIO=\"a\"\nv/i.m3u8\n";
    let Ok(Playlist::Multivariant(m)) = parse(text) else { panic!("a multivariant playlist") };
    assert_eq!(m.variants.len(), 1);
    let v = &m.variants[0];
    assert_eq!((&*v.uri, v.bandwidth, v.frame_rate), ("v/i.m3u8", Some(2_000_000), Some(25.0)));
    assert_eq!(v.codecs.as_deref(), Some("avc1.64001f,mp4a.40.2"));
    assert_eq!(v.audio.as_deref(), Some("a"));
    let r = &m.renditions[0];
    assert_eq!((&*r.name, r.uri.as_deref(), r.default), ("en, x", Some("a/i.m3u8"), true));
}

#[test]
fn dates() {
    for (text, want) in [
        ("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00.000Z")),
        ("2000-02-29T23:59:60.5Z", Some("2000-03-01T00:00:00.500Z")),
        ("2026-11-20T17:23:06.125-0530", Some("2026-11-20T22:53:06.125Z")),
        ("2026-13-20T17:23:06Z", None),
        ("yesterday", None),
        ("", None),
    ] {
        assert_eq!(date(text).map(|d| d.to_string()).as_deref(), want, "{text}");
    }
}

#[test]
fn what_is_no_playlist_is_refused() {
    for (text, why) in [
        ("", "it does not begin with #EXTM3U"),
        ("<html>", "it does not begin with #EXTM3U"),
        ("#EXTM3U\n", "it has neither EXT-X-TARGETDURATION nor EXT-X-STREAM-INF"),
        (
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx\n",
            "it mixes tags of multivariant and media playlists",
        ),
    ] {
        assert_eq!(parse(text), Err(why), "{text:?}");
    }
}

#[test]
fn mutations_do_no_harm() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n.max(1) as u64) as usize
    };
    for _ in 0..20_000 {
        let mut bytes = LIVE.as_bytes().to_vec();
        for _ in 0..=random(6) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes.truncate(at.max(10)),
                1 => bytes[at] = b"\"=,:@-9\n#"[random(9)],
                _ => bytes.insert(at, b"\"=,:@-9\n#"[random(9)]),
            }
        }
        if let Ok(Playlist::Media(m)) = parse(&String::from_utf8_lossy(&bytes)) {
            let _ = (m.window(), m.end(), m.next());
            assert!(m.segments.len() <= LIVE.len());
        }
    }
}
