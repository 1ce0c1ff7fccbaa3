//! What the muxer writes is read back; what a stranger writes does no harm.

use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::media::codec::details;
use crate::media::fmp4::fragment::{Fragment, Sample, fragment};
use crate::media::fmp4::init;
use crate::media::fmp4::read::{self, ReadError, SAMPLES_MAX, SampleFacts, TRACKS_MAX};
use crate::media::fuzz::seeded::{BBB_AVCC, Random, hex};
use crate::media::track::{Codec, Kind, Track};
use bytes::Bytes;

fn video_init() -> Bytes {
    made(Codec::H264, &hex(BBB_AVCC), 1)
}

fn made(codec: Codec, config: &[u8], number: u32) -> Bytes {
    let (id, timescale) = (TrackId(1), Timescale::MILLIS);
    let track = Track { id, codec, timescale, rate: None, config: Bytes::copy_from_slice(config) };
    init::init(&track, &details(&track).expect("a configuration"), number).expect("an init section")
}

fn video_part() -> Bytes {
    let sample = |dts, cts, key, n| Sample { dts, cts, key, payload: vec![7; n].into() };
    let samples =
        [sample(80, 40, true, 1000), sample(120, 80, false, 10), sample(160, 0, false, 20)];
    fragment(&Fragment {
        description: 1,
        track_number: 1,
        sequence: 5,
        decode_time: 7200,
        duration: 120_000,
        timescale: Timescale::MILLIS,
        mux: Timescale::new(90_000).expect("not zero"),
        frames: None,
        samples: &samples,
    })
}

#[test]
fn an_init_section_is_read_back() {
    let tracks = read::init(&video_init()).expect("ours");
    assert_eq!(tracks.len(), 1);
    let t = &tracks[0];
    assert_eq!((t.number, t.timescale.get(), t.kind), (1, 90_000, Some(Kind::Video)));
    assert_eq!((&*t.entry, t.dimensions), ("avc1", (640, 360)));
    assert_eq!(t.codec, Some((Codec::H264, hex(BBB_AVCC).into())));

    let tracks = read::init(&made(Codec::Aac, &hex("1210"), 2)).expect("ours");
    let t = &tracks[0];
    assert_eq!((t.number, t.timescale.get(), t.kind), (2, 44_100, Some(Kind::Audio)));
    assert_eq!(t.codec, Some((Codec::Aac, hex("1210").into())));
}

#[test]
fn a_part_is_read_back() {
    let tracks = read::init(&video_init()).expect("ours");
    let found = read::fragments(&video_part(), &tracks).expect("ours");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].number, found[0].decode_time), (1, 7200));
    let s = |duration, size, cts, sync| SampleFacts { duration, size, cts, sync };
    let want = [s(3600, 1000, 3600, true), s(3600, 10, 7200, false), s(3600, 20, 0, false)];
    assert_eq!(found[0].samples, want);
    let two = [video_part(), video_part()].concat().into();
    assert_eq!(read::fragments(&two, &tracks).expect("two parts").len(), 2);
}

#[test]
fn what_is_missing_is_named() {
    let cut = |b: Bytes, n: usize| b.slice(..n);
    let part = video_part();
    assert_eq!(read::init(&part), Err(ReadError::Missing("moov")));
    assert_eq!(read::fragments(&video_init(), &[]), Err(ReadError::Missing("moof")));
    assert_eq!(read::fragments(&Bytes::new(), &[]), Err(ReadError::Missing("moof")));
    let e = read::fragments(&cut(part.clone(), part.len() - 1), &[]).expect_err("cut");
    assert!(matches!(e, ReadError::Truncated { what: "a box", .. }), "{e}");
    let e = read::init(&Bytes::from_static(b"#EXTM3U\nnot at all")).expect_err("text");
    assert!(matches!(e, ReadError::Truncated { .. }), "{e}");
}

#[test]
fn tracks_and_samples_are_counted() {
    let init = video_init();
    let at = init.windows(4).position(|w| w == b"moov").expect("a moov") - 4;
    let trak = init.windows(4).position(|w| w == b"trak").expect("a trak") - 4;
    let len = |at: usize| {
        let size: [u8; 4] = init[at..at + 4].try_into().expect("a box's size");
        u32::from_be_bytes(size) as usize
    };
    let with = |tracks: usize| {
        let mut out = init[..trak].to_vec();
        out.extend(init[trak..trak + len(trak)].repeat(tracks));
        out.extend_from_slice(&init[trak + len(trak)..]);
        let size = u32::try_from(len(at) + (tracks - 1) * len(trak)).expect("small");
        out[at..at + 4].copy_from_slice(&size.to_be_bytes());
        read::init(&Bytes::from(out))
    };
    assert_eq!(with(TRACKS_MAX).map(|t| t.len()), Ok(TRACKS_MAX));
    let refused = with(TRACKS_MAX + 1).expect_err("one more").to_string();
    assert!(refused.ends_with(": number of tracks has no such value"), "{refused}");
    // A run of samples without fields says how many in four bytes.
    let tracks = read::init(&init).expect("ours");
    let mut part = video_part().to_vec();
    let count = part.windows(4).position(|w| w == b"trun").expect("a trun") + 8;
    let claimed = u32::try_from(SAMPLES_MAX + 1).expect("small");
    part[count..count + 4].copy_from_slice(&claimed.to_be_bytes());
    let refused = read::fragments(&part.into(), &tracks).expect_err("too many").to_string();
    assert!(refused.ends_with(": number of samples has no such value"), "{refused}");
}

#[test]
fn mutations_do_no_harm() {
    let (init, part) = (video_init(), video_part());
    let tracks = read::init(&init).expect("ours");
    let mut random = Random(0x1234_5678_9abc_def1);
    for _ in 0..20_000 {
        for original in [&init, &part] {
            let mut data = original.to_vec();
            random.mutate(&mut data);
            let data = Bytes::from(data);
            let _ = read::init(&data);
            if let Ok(found) = read::fragments(&data, &tracks) {
                let samples: usize = found.iter().map(|f| f.samples.len()).sum();
                assert!(samples <= SAMPLES_MAX * found.len());
            }
        }
    }
}
