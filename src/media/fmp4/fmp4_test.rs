//! Init sections and fragments, read back with the MP4 box crate's decoder.

use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::media::codec::{FrameLength, details};
use crate::media::flv::body::{self, AudioBody, VideoBody};
use crate::media::flv::file::{FlvReader, TagKind};
use crate::media::fmp4::fragment::{FLAGS_NON_SYNC, FLAGS_SYNC, Fragment, Sample, fragment};
use crate::media::fmp4::init::{Fmp4Error, init, init_hash};
use crate::media::fuzz::seeded::{BBB, BBB_AVCC, hex};
use crate::media::track::{Codec, FrameRate, Track};
use bytes::Bytes;
use mp4_atom::{Any, Atom, Decode, DecodeMaybe};

const MP4: &[u8] = include_bytes!("../../../tests/fixtures/media/bigbuckbunny.mp4");

fn track(codec: Codec, config: impl Into<Bytes>) -> Track {
    let (timescale, config) = (Timescale::MILLIS, config.into());
    Track { id: TrackId(1), codec, timescale, rate: None, config }
}

fn boxes(mut data: &[u8]) -> Vec<Any> {
    std::iter::from_fn(|| Any::decode_maybe(&mut data).expect("valid boxes")).collect()
}

fn moov(init: &[u8]) -> mp4_atom::Moov {
    match boxes(init).pop() {
        Some(Any::Moov(moov)) => *Box::new(moov),
        other => panic!("no moov but {other:?}"),
    }
}

/// The clip's two tracks with their samples, as an ingest would see them.
fn clip() -> [(Track, Vec<Sample>); 2] {
    let mut tracks = [track(Codec::H264, Bytes::new()), track(Codec::Aac, Bytes::new())];
    let mut samples = [Vec::new(), Vec::new()];
    let mut reader = FlvReader::from_bytes(Bytes::from_static(BBB));
    while let Some(tag) = reader.next_tag().expect("a good file") {
        let dts = i64::from(tag.timestamp);
        match tag.kind {
            TagKind::Video => match body::video(&tag.body, 4).expect("H.264") {
                VideoBody::Config { config, .. } => tracks[0].config = config,
                VideoBody::Coded { key, cts, payload, .. } => {
                    samples[0].push(Sample { dts, cts, key, payload });
                }
                _ => {}
            },
            TagKind::Audio => match body::audio(&tag.body).expect("AAC") {
                AudioBody::Config { config, .. } => tracks[1].config = config,
                AudioBody::Coded { payload, .. } => {
                    samples[1].push(Sample { dts, cts: 0, key: true, payload });
                }
                _ => {}
            },
            TagKind::Script => {}
        }
    }
    let [v, a] = tracks;
    let [vs, samples] = samples;
    [(v, vs), (a, samples)]
}

/// Muxes a track in parts of `per` samples.
fn mux(track: &Track, samples: &[Sample], per: usize) -> Vec<Bytes> {
    let d = details(track).expect("real");
    let frame = d.frame_micros(FrameRate::new(25, 1).expect("in range"));
    let parts: Vec<&[Sample]> = samples.chunks(per).collect();
    let mut decode_time = 0;
    let mut out = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let end = parts.get(i + 1).map_or(part[part.len() - 1].dts + frame / 1000, |n| n[0].dts);
        let f = Fragment {
            description: 1,
            track_number: 1,
            sequence: i as u32 + 1,
            decode_time,
            duration: track.timescale.to_micros(end - part[0].dts),
            timescale: track.timescale,
            mux: d.mux_timescale,
            frames: d.frame_length(),
            samples: part,
        };
        out.push(fragment(&f));
        decode_time += match d.frame_length().map(FrameLength::usual) {
            Some(ticks) => u64::from(ticks) * part.len() as u64,
            None => d.mux_timescale.from_micros(f.duration) as u64,
        };
    }
    out
}

/// One sample as a player sees it: decode time, duration, sync, composition offset, bytes.
type Seen = (u64, u32, bool, i64, Vec<u8>);

/// Reads a fragment as a player does, from the trun's data offset on.
fn demux(part: &[u8]) -> (u32, Vec<Seen>) {
    let mut rest = part;
    let moof = mp4_atom::Moof::decode(&mut rest).expect("a moof first");
    let header = mp4_atom::Header::decode(&mut rest).expect("then an mdat");
    assert_eq!((header.kind, header.size), (mp4_atom::Mdat::KIND, Some(rest.len())));
    let [traf] = &moof.traf[..] else { panic!("one traf") };
    let [trun] = &traf.trun[..] else { panic!("one trun") };
    let (tfhd, tfdt) = (&traf.tfhd, traf.tfdt.as_ref().expect("a tfdt"));
    assert_eq!((tfhd.track_id, tfhd.default_base_is_moof), (1, true));
    let mut at = trun.data_offset.expect("relative to the moof") as usize;
    assert_eq!(at, part.len() - rest.len(), "media starts in the mdat");
    let mut time = tfdt.base_media_decode_time;
    let mut seen = Vec::new();
    for s in trun.samples.iter() {
        let duration = s.duration.or(tfhd.default_sample_duration).expect("a duration");
        let flags = s.flags.or(tfhd.default_sample_flags).expect("flags");
        assert!([FLAGS_SYNC, FLAGS_NON_SYNC].contains(&flags));
        let end = at + s.size.expect("a size") as usize;
        let data = part[at..end].to_vec();
        seen.push((time, duration, flags == FLAGS_SYNC, s.cts.unwrap_or(0), data));
        (time, at) = (time + u64::from(duration), end);
    }
    assert_eq!(at, part.len(), "nothing is left over");
    (moof.mfhd.sequence_number, seen)
}

#[test]
fn the_clip_comes_out_as_it_went_in() {
    for (track, samples) in clip() {
        let d = details(&track).expect("real");
        let parts = mux(&track, &samples, 15);
        let mut seen = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let (sequence, got) = demux(part);
            assert_eq!(sequence, i as u32 + 1);
            seen.extend(got);
        }
        assert_eq!(seen.len(), samples.len());
        let start = samples[0].dts;
        for (i, (got, want)) in seen.iter().zip(&samples).enumerate() {
            let (time, duration) = match d.frame_length().map(FrameLength::usual) {
                Some(ticks) => (i as u64 * u64::from(ticks), ticks),
                None => ((want.dts - start) as u64 * 90, 3600),
            };
            let want = (time, duration, want.key, i64::from(want.cts) * 90, want.payload.to_vec());
            assert_eq!(got, &want, "sample {i}");
        }
        assert_eq!(mux(&track, &samples, 15), parts, "the same bytes again");
    }
}

#[test]
fn init_of_video() {
    let t = track(Codec::H264, hex(BBB_AVCC));
    let d = details(&t).expect("real");
    let bytes = init(&t, &d, 1).expect("real");
    let m = moov(&bytes);
    let Any::Ftyp(ftyp) = &boxes(&bytes)[0] else { panic!("an ftyp first") };
    assert_eq!(ftyp.compatible_brands, [b"iso6".into(), b"cmfc".into()]);
    let [trak] = &m.trak[..] else { panic!("one track") };
    assert_eq!((trak.mdia.mdhd.timescale, &trak.mdia.mdhd.language[..]), (90_000, "und"));
    assert_eq!((trak.tkhd.width.integer(), trak.tkhd.height.integer()), (640, 360));
    assert_eq!(trak.tkhd.volume.integer(), 0);
    let [mp4_atom::Codec::Avc1(avc1)] = &trak.mdia.minf.stbl.stsd.codecs[..] else {
        panic!("one avc1")
    };
    assert_eq!((avc1.visual.width, avc1.visual.height), (640, 360));
    assert_eq!(avc1.pasp, None);
    assert_eq!(m.mvex.expect("fragmented").trex[0].track_id, 1);
    assert_eq!(init(&t, &d, 1).expect("real"), bytes, "the same bytes again");
    assert_eq!(init_hash(&bytes).len(), 16);
    assert_ne!(init_hash(&bytes), init_hash(&init(&t, &d, 2).expect("real")));
}

/// The hash is FNV-1a 64, whose published test values these are.
#[test]
fn init_names_are_stable() {
    for (text, hash) in [("", "cbf29ce484222325"), ("foobar", "85944171f73967e8")] {
        assert_eq!(init_hash(&Bytes::from_static(text.as_bytes())), hash);
    }
}

#[test]
fn configurations_go_in_byte_for_byte() {
    for (name, codec, config) in [
        ("Baseline", Codec::H264, BBB_AVCC),
        (
            "High without its extension",
            Codec::H264,
            "01640015ffe1001967640015acd940a023b011000003000100000300320f162d9601000668ebe3cb22c0",
        ),
        (
            "High with it",
            Codec::H264,
            "0164001fffe100186764001facd9405005bb011000003e90000ea600f183196001000468ef8fcbfd\
         f8f800",
        ),
        (
            "reserved bits clear",
            Codec::H264,
            "0142c01e0301001967 42c01ed890280bfe5c0440000003004000000c83c58b898001000568c888cb20",
        ),
        (
            "junk at the end",
            Codec::H264,
            "0142c01effe1001967 42c01ed890280bfe5c0440000003004000000c83c58b898001000568c888cb\
         20 aa",
        ),
        ("5.1", Codec::Aac, "11b056e500"),
        ("program config", Codec::Aac, "118004c8010020000d4c61766335392e33372e31303056e500"),
        ("HE-AAC v2", Codec::Aac, "eb8a0800"),
    ] {
        let t = track(codec, hex(config));
        let bytes = init(&t, &details(&t).expect(name), 1).expect(name);
        let kind = if codec == Codec::H264 { &b"avcC"[..] } else { &[0x05] };
        let whole = match codec {
            Codec::H264 => [kind, &t.config].concat(),
            _ => [kind, &[t.config.len() as u8], &t.config].concat(),
        };
        assert!(bytes.windows(whole.len()).any(|w| w == whole), "{name}");
        if !name.contains("junk") {
            assert_eq!(moov(&bytes).trak.len(), 1, "{name}: sizes fit");
        }
    }
}

/// The entries of later codecs, read by the MP4 box crate and by our own reader.
#[test]
fn entries_of_later_codecs() {
    use crate::media::fmp4::read;
    let hevc = "0101600000009000000000003cf000fcfdf8f800000f03 200001 0018 \
        40010c01ffff01600000030090000003000003003c959409 210001 002b 42010101600000030090000003\
        000003003ca00a080c1f3e595952930bc05a020000030002000003003210 220001 0006 4401c073c189";
    let av1 = "81000c00 0a0b0200000521e7f66257c802";
    let opus = "4f707573486561640106380180bb00000000010402000401020305";
    for (codec, config, entry) in
        [(Codec::Hevc, hevc, "hvc1"), (Codec::Av1, av1, "av01"), (Codec::Opus, opus, "Opus")]
    {
        let t = track(codec, hex(config));
        let d = details(&t).expect(entry);
        let bytes = init(&t, &d, 1).expect(entry);
        let [found] = &read::init(&bytes).expect("ours")[..] else { panic!("{entry}: one track") };
        assert_eq!(found.entry, entry);
        let (read_codec, config) = found.codec.clone().expect("carried");
        assert_eq!(read_codec, codec);
        match &moov(&bytes).trak[0].mdia.minf.stbl.stsd.codecs[..] {
            [mp4_atom::Codec::Hvc1(e)] => {
                assert_eq!((e.visual.width, e.visual.height), (320, 180));
                assert_eq!(e.hvcc.general_level_idc, 60);
                let arrays: Vec<(bool, u8)> =
                    e.hvcc.arrays.iter().map(|a| (a.completeness, a.nal_unit_type)).collect();
                assert_eq!(arrays, [(true, 32), (true, 33), (true, 34)]);
                // All but the marks is the encoder's.
                assert_eq!(details(&track(codec, config)).as_ref(), Ok(&d));
            }
            [mp4_atom::Codec::Av01(e)] => {
                assert_eq!((e.visual.width, e.visual.height), (320, 180));
                assert_eq!((e.av1c.seq_profile, e.av1c.seq_level_idx_0), (0, 0));
                assert_eq!(config, t.config);
            }
            [mp4_atom::Codec::Opus(e)] => {
                assert_eq!((e.audio.channel_count, e.dops.pre_skip), (6, 312));
                assert_eq!(e.dops.channel_mapping.as_ref().map(|m| m.coupled_count), Some(2));
                assert_eq!(config, t.config, "and back again");
            }
            other => panic!("{entry}: {other:?}"),
        }
    }
}

/// Packets of Opus of any length stand one after another.
#[test]
fn sound_lasts_as_long_as_its_packets_say() {
    let opus = track(Codec::Opus, hex("4f707573486561640101380180bb0000000000"));
    let sample = |dts, toc: &str| Sample { dts, cts: 0, key: true, payload: hex(toc).into() };
    let samples = [sample(0, "f8ff"), sample(20, "fb03"), sample(80, "e0ff"), sample(83, "f8ff")];
    let [part] = &mux(&opus, &samples, 4)[..] else { panic!("one part") };
    let (_, seen) = demux(part);
    let times: Vec<(u64, u32)> = seen.iter().map(|s| (s.0, s.1)).collect();
    assert_eq!(times, [(0, 960), (960, 2880), (3840, 120), (3960, 960)]);
}

/// Tracks of a file that another muxer wrote give the same configuration again.
#[test]
fn tracks_of_an_mp4_file() {
    let file = boxes(MP4).into_iter().find_map(|b| match b {
        Any::Moov(m) => Some(m),
        _ => None,
    });
    for trak in file.expect("a moov").trak {
        let stsd = &trak.mdia.minf.stbl.stsd;
        let t = match &stsd.codecs[0] {
            mp4_atom::Codec::Avc1(avc1) => {
                let mut body = Vec::new();
                avc1.avcc.encode_body(&mut body).expect("plain");
                track(Codec::H264, body)
            }
            mp4_atom::Codec::Mp4a(a) => {
                let specific = a.esds.es_desc.dec_config.dec_specific.as_ref();
                track(Codec::Aac, specific.expect("a configuration").raw.clone())
            }
            other => panic!("{other:?}"),
        };
        let d = details(&t).expect("real");
        let ours = moov(&init(&t, &d, 1).expect("real"));
        match (&stsd.codecs[0], &ours.trak[0].mdia.minf.stbl.stsd.codecs[0]) {
            (mp4_atom::Codec::Avc1(a), mp4_atom::Codec::Avc1(b)) => {
                assert_eq!(a.avcc, b.avcc);
                assert_eq!((a.visual.width, a.visual.height), (b.visual.width, b.visual.height));
            }
            (mp4_atom::Codec::Mp4a(a), mp4_atom::Codec::Mp4a(b)) => {
                assert_eq!(b.audio.channel_count, 6);
                assert_eq!(a.audio.sample_rate, b.audio.sample_rate);
                assert_eq!(ours.trak[0].tkhd.volume.integer(), 1);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn anamorphic_video_has_a_pixel_aspect() {
    let config = "014d401effe10018674d401ef405a126c104000003000400000300c87c50aa8001000468de0fc8";
    let t = track(Codec::H264, hex(config));
    let m = moov(&init(&t, &details(&t).expect("real"), 1).expect("real"));
    let mp4_atom::Codec::Avc1(avc1) = &m.trak[0].mdia.minf.stbl.stsd.codecs[0] else {
        panic!("an avc1")
    };
    let pasp = avc1.pasp.as_ref().expect("16:11");
    assert_eq!((pasp.h_spacing, pasp.v_spacing), (16, 11));
    assert_eq!(m.trak[0].tkhd.width.integer(), 1047);
}

#[test]
fn details_of_another_kind_are_refused() {
    let (v, a) = (track(Codec::H264, hex(BBB_AVCC)), track(Codec::Aac, hex("1210")));
    let mut both = details(&v).expect("real");
    both.audio = details(&a).expect("real").audio;
    assert_eq!(init(&v, &both, 1), Err(Fmp4Error::Details));
}

/// A video fragment of 30 per second; `duration` in microseconds.
fn times(samples: &[(i64, i32, bool)], duration: i64, mux: u32) -> Vec<(u64, u32, bool, i64)> {
    let payload = |i: usize| Bytes::from(vec![i as u8; i % 3 + 1]);
    let samples: Vec<Sample> = samples
        .iter()
        .enumerate()
        .map(|(i, &(dts, cts, key))| Sample { dts, cts, key, payload: payload(i) })
        .collect();
    let bytes = fragment(&Fragment {
        description: 1,
        track_number: 1,
        sequence: 1,
        decode_time: 1000,
        duration,
        timescale: Timescale::MILLIS,
        mux: Timescale::new(mux).expect("not zero"),
        frames: None,
        samples: &samples,
    });
    let seen = demux(&bytes).1;
    assert!(seen.iter().zip(&samples).all(|(a, b)| a.4 == b.payload));
    seen.into_iter().map(|(time, duration, key, cts, _)| (time, duration, key, cts)).collect()
}

#[test]
fn video_times() {
    let (k, d) = (true, false);
    for (name, samples, duration, mux, want) in [
        ("one picture", &[(500, 0, k)][..], 40_000, 90_000, &[(1000, 3600, k, 0)][..]),
        (
            "B pictures, mixed flags",
            &[(0, 66, k), (33, 0, d), (67, 33, d), (100, 0, k)],
            133_000,
            1000,
            &[(1000, 33, k, 66), (1033, 34, d, 0), (1067, 33, d, 33), (1100, 33, k, 0)],
        ),
        (
            "negative offsets",
            &[(0, 0, k), (33, 34, d), (67, -34, d)],
            100_000,
            1000,
            &[(1000, 33, k, 0), (1033, 34, d, 34), (1067, 33, d, -34)],
        ),
        (
            "rounding does not add up",
            &[(0, 0, k), (1, 0, d), (2, 0, d), (3, 0, d)],
            4000,
            1500,
            &[(1000, 2, k, 0), (1002, 1, d, 0), (1003, 2, d, 0), (1005, 1, d, 0)],
        ),
        (
            "a DTS that goes back keeps its PTS",
            &[(0, 0, k), (100, 0, d), (50, 0, d), (150, 0, d)],
            200_000,
            1000,
            &[(1000, 100, k, 0), (1100, 0, d, 0), (1100, 50, d, -50), (1150, 50, d, 0)],
        ),
        (
            "the same DTS twice",
            &[(0, 0, k), (0, 40, d)],
            40_000,
            1000,
            &[(1000, 0, k, 0), (1000, 40, d, 40)],
        ),
        (
            "a duration that is too short",
            &[(0, 0, k), (40, 0, d)],
            20_000,
            1000,
            &[(1000, 40, k, 0), (1040, 1, d, 0)],
        ),
        ("no IDR", &[(0, 0, d), (40, 0, d)], 80_000, 1000, &[(1000, 40, d, 0), (1040, 40, d, 0)]),
        (
            "far apart",
            &[(i64::MIN, 0, k), (i64::MAX, i32::MAX, d)],
            i64::MAX,
            90_000,
            &[
                (1000, u32::MAX, k, 0),
                (1000 + u64::from(u32::MAX), u32::MAX, d, i64::from(i32::MAX)),
            ],
        ),
    ] {
        assert_eq!(times(samples, duration, mux), want, "{name}");
    }
}

#[test]
fn what_all_samples_share_is_said_once() {
    let sample = |dts, key| Sample { dts, cts: 0, key, payload: Bytes::from_static(b"x") };
    let f = Fragment {
        description: 1,
        track_number: 1,
        sequence: 1,
        decode_time: 0,
        duration: 80_000,
        timescale: Timescale::MILLIS,
        mux: Timescale::new(90_000).expect("not zero"),
        frames: None,
        samples: &[],
    };
    assert!(fragment(&f).is_empty());
    let fixed = 8 + 16 + 8 + (12 + 4 + 4) + 20 + (12 + 4 + 4) + 8;
    for (name, samples, frame, extra) in [
        ("audio", [sample(0, true), sample(23, true)], Some(FrameLength::Fixed(1024)), 4 + 2 * 4),
        ("constant rate, no IDR", [sample(0, false), sample(40, false)], None, 4 + 2 * 4),
        ("constant rate, IDR first", [sample(0, true), sample(40, false)], None, 8 + 2 * 4),
        ("variable rate", [sample(0, true), sample(30, false)], None, 4 + 2 * 8),
    ] {
        let f = Fragment { samples: &samples, frames: frame, ..f };
        assert_eq!(fragment(&f).len(), fixed + extra + 2, "{name}");
    }
}
