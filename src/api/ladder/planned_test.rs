//! Planned rungs: known sources by table, and what holds for any.

use crate::api::ladder::level::{self, Load, Profile};
use crate::api::ladder::planned::{
    CAP_SLACK_PER_MILLE, EVEN_PER_MILLE, SIDE_LEAST, SourceMedia, capped,
};
use crate::api::ladder::rules::{SIDE_MAX, SIDE_MIN};
use crate::api::ladder::{Audio, AudioCodec, Encode, Ladder, Rung, VideoCodec};
use crate::base::random::Random;

fn source(width: u32, height: u32, frame_rate: (u32, u32)) -> SourceMedia {
    let (bitrate, audio_bitrate) = (6_000_000, 128_000);
    SourceMedia { codec: VideoCodec::H264, width, height, frame_rate, bitrate, audio_bitrate }
}

/// A ladder's rungs as `name widthxheight@num/den`.
fn rungs(ladder: &Ladder, source: &SourceMedia) -> Vec<String> {
    let planned = ladder.for_source(source);
    let word = |(num, den): (u32, u32)| format!("{num}/{den}");
    let one = planned.iter();
    one.map(|r| format!("{} {}x{}@{}", r.name, r.width, r.height, word(r.frame_rate))).collect()
}

#[test]
fn a_ladder_fits_its_source() {
    let standard = Ladder::standard();
    for (of, want) in [
        (
            source(1920, 1080, (30, 1)),
            &[
                "source 1920x1080@30/1",
                "720p 1280x720@30/1",
                "480p 854x480@30/1",
                "240p 426x240@30/1",
            ][..],
        ),
        (
            source(1280, 720, (60_000, 1001)),
            &[
                "source 1280x720@60000/1001",
                "720p 1280x720@60000/2002",
                "480p 854x480@60000/2002",
                "240p 426x240@60000/2002",
            ],
        ),
        (source(640, 272, (25, 1)), &["source 640x272@25/1", "240p 564x240@25/1"]),
        // Portrait: a rung's height is the picture's.
        (
            source(1080, 1920, (30, 1)),
            &[
                "source 1080x1920@30/1",
                "720p 406x720@30/1",
                "480p 270x480@30/1",
                "240p 136x240@30/1",
            ],
        ),
        (source(321, 241, (30, 1)), &["source 321x241@30/1", "240p 320x240@30/1"]),
        (source(160, 120, (15, 1)), &["source 160x120@15/1"]),
    ] {
        assert_eq!(rungs(&standard, &of), want);
    }
    assert_eq!(rungs(&Ladder::none(), &source(1920, 1080, (30, 1))), [""; 0]);
}

#[test]
fn bounds_on_both_sides_hold_whole_pictures() {
    let mut ladder = Ladder::standard();
    ladder.rungs.retain(|r| r.name.as_str() == "720p");
    ladder.rungs[0].encode.as_mut().expect("encoded").width = Some(1280);
    for (width, height, want) in [
        (1920, 1080, "720p 1280x720@30/1"),
        (1920, 800, "720p 1280x534@30/1"),
        (1280, 534, "720p 1280x534@30/1"),
        (1440, 1080, "720p 960x720@30/1"),
        // Too small for it, and the only one: at the source's size.
        (640, 361, "720p 640x360@30/1"),
    ] {
        assert_eq!(rungs(&ladder, &source(width, height, (30, 1))), [want]);
    }
}

#[test]
fn frames_are_dropped_evenly_where_that_keeps_enough() {
    for (rate, cap, want) in [
        ((60, 1), Some(30_000), (60, 2)),
        ((50, 1), Some(30_000), (50, 2)),
        ((60_000, 1_001), Some(30_000), (60_000, 2_002)),
        ((60, 1), Some(24_000), (60, 3)),
        ((120, 1), Some(30_000), (120, 4)),
        // One rate in two countings.
        ((30, 1), Some(29_970), (30, 1)),
        ((30_000, 1_001), Some(30_000), (30_000, 1_001)),
        // Half of it would be far below the cap.
        ((30, 1), Some(25_000), (25_000, 1_000)),
        ((25, 1), Some(24_000), (24_000, 1_000)),
        ((25, 1), None, (25, 1)),
        ((25, 1), Some(60_000), (25, 1)),
    ] {
        assert_eq!(capped(rate, cap), want, "{rate:?} {cap:?}");
    }
}

#[test]
fn what_players_are_told_comes_from_what_is_forced() {
    let mut ladder = Ladder::standard();
    let planned = ladder.for_source(&source(1920, 1080, (30, 1)));
    let told: Vec<(&str, u64)> = planned
        .iter()
        .map(|r| (r.encode.as_ref().map_or("", |e| &*e.codecs), r.bandwidth))
        .collect();
    let want = [
        ("", 6_128_000),
        ("avc1.64001f", 3_360_000 + 128_000),
        ("avc1.64001f", 1_440_000 + 128_000),
        ("avc1.640015", 480_000 + 128_000),
    ];
    assert_eq!(told, want);
    ladder.audio = Audio::Encode { codec: AudioCodec::Aac, bitrate: 64_000, channels: 2 };
    ladder.rungs[1].encode.as_mut().expect("encoded").level = Some(40);
    let planned = ladder.for_source(&source(1920, 1080, (30, 1)));
    assert_eq!(planned[1].bandwidth, 3_360_000 + 64_000);
    assert_eq!(planned[1].encode.as_ref().map(|e| &*e.codecs), Some("avc1.640028"));
    // A level that was asked for is raised where the source takes more.
    ladder.rungs[1].encode.as_mut().expect("encoded").level = Some(21);
    let planned = ladder.for_source(&source(1920, 1080, (30, 1)));
    assert_eq!(planned[1].encode.as_ref().map(|e| e.level), Some(31));
    let silent = SourceMedia { audio_bitrate: 0, ..source(1920, 1080, (30, 1)) };
    assert_eq!(ladder.for_source(&silent)[1].bandwidth, 3_360_000);
}

impl Random {
    fn between(&mut self, from: u32, to: u32) -> u32 {
        from + self.below(u64::from(to - from) + 1) as u32
    }

    fn source(&mut self) -> SourceMedia {
        let rates = [(24_000, 1_001), (25, 1), (30_000, 1_001), (30, 1), (50, 1), (60, 1), (7, 2)];
        let rate = rates[self.below(7) as usize];
        let rate = if self.below(3) == 0 { (self.between(1, 240_000), 1_000) } else { rate };
        let most = [400, 2_000, SIDE_MAX][self.below(3) as usize];
        source(self.between(SIDE_MIN, most), self.between(SIDE_MIN, most), rate)
    }

    fn rung(&mut self, i: u64) -> Rung {
        let codec = VideoCodec::ALL[self.below(3) as usize];
        let presets = codec.presets();
        let encode = Encode {
            codec,
            width: (self.below(2) == 0).then(|| self.between(SIDE_MIN, 4_096) & !1),
            height: self.between(SIDE_MIN, 2_160) & !1,
            frame_rate_max_millis: (self.below(2) == 0).then(|| self.between(1_000, 120_000)),
            bitrate: u64::from(self.between(50_000, 8_000_000)),
            maxrate: None,
            bufsize: None,
            preset: presets[self.below(presets.len() as u64) as usize].into(),
            profile: *codec.profiles().last().expect("every codec has one"),
            level: None,
        };
        Rung { name: format!("r{i}").parse().expect("a good name"), encode: Some(encode) }
    }
}

/// How far a planned size is from the source's aspect: pixels that the longer side is off.
fn skew(width: u32, height: u32, of: &SourceMedia) -> f64 {
    let (w, h) = (f64::from(of.width & !1), f64::from(of.height & !1));
    let (width, height) = (f64::from(width), f64::from(height));
    (width - height * w / h).abs().min((height - width * h / w).abs())
}

#[test]
fn no_source_is_enlarged_bent_or_sped_up() {
    let mut random = Random::new(0x5eed);
    let (mut kept, mut left_out, mut alone) = (0, 0, 0);
    for seed in 0..20_000 {
        let of = random.source();
        let rungs: Vec<Rung> = (0..=random.below(4)).map(|i| random.rung(i)).collect();
        let ladder = Ladder { rungs, ..Ladder::standard() };
        let planned = ladder.for_source(&of);
        left_out += ladder.rungs.len() - planned.len();
        for r in &planned {
            let e = r.encode.as_ref().expect("all are encoded");
            let rung = ladder.rungs.iter().find(|x| x.name == r.name).expect("one of the ladder's");
            let asked = rung.encode.as_ref().expect("all are encoded");
            let here = format!("{seed}: {of:?} {asked:?} {r:?}");
            assert!(r.width % 2 == 0 && r.height % 2 == 0, "{here}");
            assert!(r.width >= SIDE_LEAST && r.height >= SIDE_LEAST, "{here}");
            assert!(r.width <= of.width && r.height <= of.height, "{here}");
            let wide = asked.width.unwrap_or(SIDE_MAX);
            assert!(r.height <= asked.height && r.width <= wide, "{here}");
            // At no bound: none of the ladder's fits, and this is its smallest.
            if r.height < asked.height && r.width < wide {
                let height = |r: &Rung| r.encode.as_ref().map_or(0, |e| e.height);
                let least = ladder.rungs.iter().map(height).min();
                assert!(planned.len() == 1 && least == Some(asked.height), "{here}");
                alone += 1;
            }
            // One line or column: half of the pair that an even number rounds to.
            assert!(skew(r.width, r.height, &of) <= 1.0 + 1e-9, "{here}");
            let rate = |(n, d): (u32, u32)| f64::from(n) / f64::from(d);
            let (was, is) = (rate(of.frame_rate), rate(r.frame_rate));
            assert!(is <= was + 1e-9, "{here}");
            let cap = asked.frame_rate_max_millis.map_or(f64::MAX, |m| f64::from(m) / 1000.0);
            let slack = 1.0 + CAP_SLACK_PER_MILLE as f64 / 1000.0;
            assert!(is <= cap * slack + 1e-9, "{here}");
            let floor = was.min(cap * EVEN_PER_MILLE as f64 / 1000.0);
            assert!(is >= floor - 1e-3, "{here}");
            assert!(e.bitrate <= e.maxrate && r.bandwidth == e.maxrate + of.audio_bitrate);
            let load = Load {
                width: r.width,
                height: r.height,
                frame_rate: r.frame_rate,
                maxrate: e.maxrate,
                bufsize: e.bufsize,
            };
            assert!(level::needed(e.codec, e.profile, &load) <= Some(e.level), "{here}");
            assert!(e.profile != Profile::Baseline && !e.codecs.is_empty());
            kept += 1;
        }
    }
    assert!(kept > 10_000 && left_out > 10_000 && alone > 1_000, "{kept} {left_out} {alone}");
}

#[test]
fn a_rung_of_the_source_s_size_is_kept_and_the_next_larger_is_not() {
    let mut random = Random::new(7);
    for _ in 0..2_000 {
        let (width, height) = (random.between(SIDE_MIN, 4_000), random.between(SIDE_MIN, 4_000));
        let of = source(width, height, (25, 1));
        let mut rung = random.rung(0);
        let encode = rung.encode.as_mut().expect("encoded");
        (encode.width, encode.height) = (None, (of.height & !1).max(SIDE_MIN));
        (encode.codec, encode.frame_rate_max_millis) = (VideoCodec::Av1, Some(1_000));
        (encode.profile, encode.preset) = (Profile::Main, "10".into());
        encode.bitrate = 1_000_000;
        let mut larger = rung.clone();
        larger.name = "larger".parse().expect("a good name");
        larger.encode.as_mut().expect("encoded").height += 2;
        let ladder = Ladder { rungs: vec![larger, rung], ..Ladder::standard() };
        let planned = ladder.for_source(&of);
        assert_eq!(planned.len(), 1, "{of:?}");
        assert_eq!(planned[0].name.as_str(), "r0");
        assert_eq!((planned[0].width, planned[0].height), (of.width & !1, of.height & !1));
    }
}
