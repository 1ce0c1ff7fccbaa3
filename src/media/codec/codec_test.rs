//! Configuration records of real encoders, and what must come out of them.

use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::media::codec::aac::RATE_MAX;
use crate::media::codec::bit_writer::Writer;
use crate::media::codec::sps::{DIMENSION_MAX, READ_MAX};
use crate::media::codec::{
    AudioDetails, CONFIG_MAX, CodecError, FrameLength, aac, details, h264, sps,
};
use crate::media::fuzz::seeded;
use crate::media::track::{Codec, FrameRate, Track};
use h264_reader::nal::{Nal, RefNal};

fn track(codec: Codec, hex: &str) -> Track {
    Track {
        id: TrackId(1),
        codec,
        timescale: Timescale::MILLIS,
        rate: None,
        config: seeded::hex(hex).into(),
    }
}

/// Name, avcC, codec string, size, sample aspect ratio, rate, constant rate.
type AvcRow =
    (&'static str, &'static str, &'static str, (u32, u32), (u16, u16), Option<(u32, u32)>, bool);

#[rustfmt::skip]
const AVC: [AvcRow; 11] = [
    ("bbb.flv", seeded::BBB_AVCC, "avc1.42c01e", (640, 360), (1, 1), Some((25, 1)), false),
    ("bigbuckbunny.mp4", "014d401fffe10017674d401fda014016ec0440000003004000000c83c60ca8010004\
         68ef3c80",
        "avc1.4d401f", (1280, 720), (1, 1), Some((25, 1)), false),
    ("cropped 1080p60", "0142c02affe100186742c02ada01e0089f970110000003001000000780f1832a0100\
         0468ce0fc8",
        "avc1.42c02a", (1920, 1080), (1, 1), Some((60, 1)), false),
    ("29.97, High", "0164001fffe100186764001facd9405005bb011000003e90000ea600f183196001000468\
         ef8fcbfdf8f800",
        "avc1.64001f", (1280, 720), (1, 1), Some((30_000, 1001)), false),
    ("interlaced, 16:11", "014d401effe10018674d401ef405a126c104000003000400000300c87c50aa8001\
         000468de0fc8",
        "avc1.4d401e", (720, 576), (16, 11), Some((25, 1)), false),
    ("extended ratio 7:5", "0164000cffe1001d6764000cacd94191fbff000700051000000300100000030140\
         f142996001000668ebe3cb22c0fdf8f800",
        "avc1.64000c", (400, 240), (7, 5), Some((10, 1)), false),
    ("4:4:4", "01f4000dffe1001a67f4000d919b282a10f1f1f808800000030080000018078a14cb01000668eb\
         e3c44844fff8f800",
        "avc1.f4000d", (322, 242), (1, 1), Some((24, 1)), false),
    ("4:2:2 10 bit, HRD", "017a000dffe10024677a000db6cd9415087888fc04400000fa40002ee03810003d\
         090007a13930c01e28532c01000568ebecb22cfefafa00",
        "avc1.7a000d", (322, 242), (1, 1), Some((24_000, 1001)), true),
    ("scaling matrices", "01640015ffe1001867640015acd94141fb0110000003001000000640f162d9600100\
         0768ebe3cb3002c0fdf8f800",
        "avc1.640015", (320, 240), (1, 1), Some((50, 1)), false),
    ("monochrome", "0164000cffe1001a6764000cf36505421e3637016c80000003008000000f078a14cb010006\
         68ebe3cb22c0fcf8f800",
        "avc1.64000c", (324, 244), (1, 1), Some((15, 1)), false),
    ("a clock of 1000 is no rate", "0142c02affe100166742c02ada0507ec044000000300400001f403c60c\
         a801000468ce0fc8",
        "avc1.42c02a", (320, 240), (1, 1), None, false),
];

#[test]
fn avc_records_of_real_encoders() {
    for (name, hex, codecs, (width, height), sar, rate, fixed) in AVC {
        let d = details(&track(Codec::H264, hex)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let v = d.video.expect(name);
        assert_eq!(d.codecs, codecs, "{name}");
        assert_eq!((v.width, v.height, v.sar), (width, height, sar), "{name}");
        assert_eq!(v.rate.map(FrameRate::parts), rate, "{name}");
        assert_eq!((v.fixed_rate, v.nal_len_size), (fixed, 4), "{name}");
        assert_eq!(d.mux_timescale.get(), 90_000, "{name}");
    }
}

#[test]
fn nominal_duration_is_that_of_the_set_then_the_track_then_the_default() {
    let default = FrameRate::new(30, 1).expect("in range");
    let set = details(&track(Codec::H264, AVC[0].1)).expect("real");
    assert_eq!(set.frame_micros(default), 40_000);
    let mut t = track(Codec::H264, AVC[10].1);
    assert_eq!(details(&t).expect("real").frame_micros(default), 33_333);
    t.rate = FrameRate::new(50, 1);
    assert_eq!(details(&t).expect("real").frame_micros(default), 20_000);
    t.timescale = Timescale::new(12_800).expect("not zero");
    assert_eq!(details(&t).expect("real").mux_timescale.get(), 12_800);
    let audio = details(&track(Codec::Aac, "1210")).expect("real");
    let frame = Some(FrameLength::Fixed(1024));
    assert_eq!((audio.frame_micros(default), audio.frame_length()), (23_220, frame));
}

/// Name, configuration, core rate, output rate, channels, frame, object type.
#[rustfmt::skip]
const AAC: [(&str, &str, u32, u32, u8, u32, u8); 18] = [
    ("stereo 44.1 kHz", "1210", 44_100, 44_100, 2, 1024, 2),
    ("stereo 48 kHz, sync extension without SBR", "119056e500", 48_000, 48_000, 2, 1024, 2),
    ("5.1 of bigbuckbunny.mp4", "11b0", 48_000, 48_000, 6, 1024, 2),
    ("5.1", "11b056e500", 48_000, 48_000, 6, 1024, 2),
    ("7.1", "11b856e500", 48_000, 48_000, 8, 1024, 2),
    ("6.1", "11d8", 48_000, 48_000, 7, 1024, 2),
    ("mono 8 kHz", "158856e500", 8_000, 8_000, 1, 1024, 2),
    ("stereo 96 kHz", "101056e500", 96_000, 96_000, 2, 1024, 2),
    ("3.1 by program config", "118004c8010020000d4c61766335392e33372e31303056e500\
         118004c8010020000d4c61766335392e33372e31303056e500", 48_000, 48_000, 4, 1024, 2),
    ("6.0 by program config", "118004c844002008840d4c61766335392e33372e31303056e500\
         118004c844002008840d4c61766335392e33372e31303056e500", 48_000, 48_000, 6, 1024, 2),
    ("960 samples", "1194", 48_000, 48_000, 2, 960, 2),
    ("explicit rate", "17805622 10", 44_100, 44_100, 2, 1024, 2),
    ("HE-AAC, hierarchical", "2b920800", 22_050, 44_100, 2, 1024, 5),
    ("HE-AAC, backward compatible", "139056e5a0", 22_050, 44_100, 2, 1024, 5),
    ("HE-AAC v2, hierarchical", "eb8a0800", 22_050, 44_100, 2, 1024, 29),
    ("HE-AAC v2, backward compatible", "138856e5a54880", 22_050, 44_100, 2, 1024, 29),
    ("Main", "0990", 48_000, 48_000, 2, 1024, 1),
    ("a cut sync extension", "119056e5", 48_000, 48_000, 2, 1024, 2),
];

#[test]
fn audio_configurations() {
    for (name, hex, sample_rate, output_rate, channels, samples, object_type) in AAC {
        let frame = FrameLength::Fixed(samples);
        let d = details(&track(Codec::Aac, hex)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let want = AudioDetails { sample_rate, output_rate, channels, frame, object_type };
        assert_eq!(d.audio, Some(want), "{name}");
        assert_eq!(d.codecs, format!("mp4a.40.{object_type}"), "{name}");
        assert_eq!(d.mux_timescale.get(), sample_rate, "{name}");
    }
}

#[test]
fn refused_configurations_say_where() {
    let unsupported = |what: &str| CodecError::Unsupported { what: what.into() };
    let invalid = |what, at| CodecError::Invalid { what, at };
    let cut = |what, at| CodecError::Truncated { what, at };
    for (name, hex, want) in [
        ("nothing", "", cut("audioObjectType", 0)),
        ("one byte", "12", cut("samplingFrequency", 0)),
        ("reserved rate", "1690", invalid("samplingFrequency", 0)),
        ("rate of zero", "1780000010", invalid("samplingFrequency", 0)),
        ("reserved channels", "11c0", invalid("channelConfiguration", 1)),
        ("xHE-AAC", "f9460000", unsupported("AAC object type 42")),
        ("ELD", "f8e60000", unsupported("AAC object type 39")),
        ("program config without channels", "118004c0000000000000", {
            invalid("program_config_element", 2)
        }),
        ("cut program config", "118004c8", cut("program_config_element", 3)),
    ] {
        assert_eq!(aac::parse(&seeded::hex(hex)), Err(want), "{name}");
    }
    for (name, hex, want) in [
        ("nothing", "", cut("avcC header", 0)),
        ("Annex B", "0000000167", cut("avcC header", 5)),
        ("Annex B, longer", "00000001674d40", invalid("avcC configurationVersion", 0)),
        ("length size 3", "014d401ffee1", invalid("avcC lengthSizeMinusOne", 4)),
        ("no SPS", "014d401fffe0", invalid("avcC sequence parameter set", 5)),
        ("cut SPS", "014d401fffe10017674d", cut("avcC sequence parameter set", 6)),
        ("short SPS", "014d401fffe100026742", cut("avcC sequence parameter set", 8)),
        ("a PPS as SPS", "014d401fffe1000468ce0fc8", invalid("avcC sequence parameter set", 8)),
        ("no PPS count", "014d401fffe10004674d401f", cut("avcC numOfPictureParameterSets", 12)),
        ("no PPS", "014d401fffe10004674d401f00", invalid("avcC picture parameter set", 12)),
        ("empty SPS body", "014d401fffe10004674d401f01000168", cut("seq_parameter_set_id", 4)),
    ] {
        assert_eq!(details(&track(Codec::H264, hex)), Err(want), "{name}");
    }
    let mut long = track(Codec::Aac, "1210");
    long.config = [&[0x12, 0x10][..], &[0; CONFIG_MAX - 2]].concat().into();
    assert!(details(&long).is_ok(), "as long as may be");
    long.config = vec![0x12; CONFIG_MAX + 1].into();
    let said = "configuration length at byte 16384: the value is not allowed";
    assert_eq!(details(&long).expect_err("too long").to_string(), said);
}

#[test]
fn the_highest_sample_rate_is_kept_to_the_hertz() {
    let config = |hz: u32| Writer::default().u(5, 2).u(4, 15).u(24, hz).u(4, 2).u(3, 0).bytes();
    assert_eq!(aac::parse(&config(RATE_MAX)).map(|a| a.sample_rate), Ok(RATE_MAX));
    let refused = aac::parse(&config(RATE_MAX + 1)).expect_err("too high").to_string();
    assert_eq!(refused, "samplingFrequency at byte 0: the value is not allowed");
}

/// A baseline set up to its macroblock counts.
fn baseline() -> Writer {
    let head = Writer::default().u(8, 0x67).u(8, 66).u(16, 40);
    head.ue(0).ue(0).ue(0).ue(0).ue(1).u(1, 0)
}

#[test]
fn the_largest_picture_is_kept_to_the_sample() {
    // 1056 macroblocks are 16,896 samples; the cropping takes two a unit.
    let set = |crop: u32, wide: bool| {
        let (w, h) = if wide { (1056, 10) } else { (10, 1056) };
        let set = baseline().ue(w - 1).ue(h - 1).u(1, 1).u(1, 1).u(1, 1);
        let edges = if wide { [crop, 0, 0, 0] } else { [0, 0, crop, 0] };
        edges.into_iter().fold(set, Writer::ue).u(1, 0).u(1, 1).bytes()
    };
    let crop = (1056 * 16 - DIMENSION_MAX) / 2;
    let size = |s: sps::Sps| (s.width, s.height);
    assert_eq!(sps::parse(&set(crop, true)).map(size), Ok((DIMENSION_MAX, 160)));
    assert_eq!(sps::parse(&set(crop, false)).map(size), Ok((160, DIMENSION_MAX)));
    for wide in [true, false] {
        let refused = sps::parse(&set(crop - 1, wide)).expect_err("two samples more");
        assert_eq!(refused.to_string(), "picture size at byte 5: the value is not allowed");
    }
}

#[test]
fn a_set_is_read_so_far_and_no_further() {
    // Scaling lists and an order count cycle of numbers as long as they may be: 255 is the most
    // that a cycle has, and twelve lists are what 4:4:4 has.
    let long = (1 << 31) - 1;
    let mut set = Writer::default().u(8, 0x67).u(8, 244).u(16, 40);
    set = set.ue(0).ue(3).u(1, 0).ue(0).ue(0).u(1, 0).u(1, 1);
    for list in 0..12 {
        set = set.u(1, 1);
        set = (0..if list < 6 { 16 } else { 64 }).fold(set, |s, _| s.ue(long));
    }
    set = set.ue(0).ue(1).u(1, 0).ue(0).ue(0).ue(255);
    set = (0..255).fold(set, |s, _| s.ue(long)).ue(1).u(1, 0);
    let bytes = set.ue(9).ue(9).u(1, 1).u(1, 1).u(1, 0).u(1, 0).u(1, 1).bytes();
    assert!(bytes.len() > READ_MAX, "{}", bytes.len());
    let refused = sps::parse(&bytes).expect_err("the picture size lies too far back");
    let CodecError::Truncated { what, at } = refused else { panic!("{refused}") };
    assert_eq!(what, "offset_for_ref_frame");
    assert!((READ_MAX - 8..READ_MAX).contains(&at), "{at}");
    let said = format!("offset_for_ref_frame at byte {at}: the record ends too early");
    assert_eq!(refused.to_string(), said);
}

#[test]
fn a_vui_that_breaks_off_keeps_the_pictures() {
    let config = seeded::hex(seeded::BBB_AVCC);
    let set = h264::AvcConfig::parse(&config).expect("real").sps;
    let whole = sps::parse(set).expect("real");
    let cut = sps::parse(&set[..14]).expect("cut in the VUI");
    assert_eq!((cut.width, cut.height, cut.rate), (whole.width, whole.height, None));
    assert_eq!(sps::parse(&[set, &[0, 0, 0][..]].concat()), Ok(whole), "padded");
}

#[test]
fn units_are_found_and_the_first_slice_decides() {
    for (name, hex, len, idr) in [
        ("IDR", "0000000265880000000141", 4, true),
        ("AUD, SPS, PPS, SEI, IDR", "00020910 000167 000168 000206ff 000165", 2, true),
        ("recovery point and I slice", "00000002060600000002 4188", 4, false),
        ("P slice before a stray IDR", "014101 65", 1, false),
        ("empty units first", "0000000000000001 65", 4, true),
        ("longer than the payload", "00000009 6588", 4, false),
        ("broken after the slice", "0000000165 ffffffff", 4, true),
        ("nothing", "", 4, false),
        ("half a length", "0000", 4, false),
    ] {
        assert_eq!(h264::is_idr(&seeded::hex(hex), len), idr, "{name}");
    }
    let payload = seeded::hex("0000000265880000000041");
    let got: Vec<_> = h264::nals(&payload, 4).collect();
    let cut = CodecError::Truncated { what: "NAL unit", at: 10 };
    assert_eq!(got, [Ok(&[0x65, 0x88][..]), Err(cut)]);
}

/// Where the reference parser accepts a mutated set, ours must read the same size, ratio and rate.
#[test]
fn mutated_sets_agree_with_a_reference_parser() {
    let (mut random, mut agreed) = (seeded::Random(7), 0);
    for turn in 0..20_000 {
        let config = seeded::hex(AVC[turn % AVC.len()].1);
        let mut set = h264::AvcConfig::parse(&config).expect("real").sps.to_vec();
        if turn >= AVC.len() {
            random.mutate(&mut set);
        }
        if set.is_empty() {
            continue; // the reference panics at it
        }
        let ours = sps::parse(&set);
        let nal = RefNal::new(&set, &[], true);
        let Ok(theirs) = h264_reader::nal::sps::SeqParameterSet::from_bits(nal.rbsp_bits()) else {
            continue;
        };
        let (Ok(ours), Ok((width, height))) = (ours, theirs.pixel_dimensions()) else { continue };
        agreed += 1;
        let vui = theirs.vui_parameters.as_ref();
        let sar = vui.and_then(|v| v.aspect_ratio_info.as_ref()?.get()).unwrap_or((1, 1));
        assert_eq!((ours.width, ours.height, ours.sar), (width, height, sar), "{set:02x?}");
        let timing = vui.and_then(|v| v.timing_info.as_ref());
        if let (Some(rate), Some(t)) = (ours.rate, timing) {
            let want = f64::from(t.time_scale) / f64::from(t.num_units_in_tick) / 2.0;
            assert!((rate.as_f64() - want).abs() < 1e-6, "{set:02x?}");
        }
    }
    assert!(agreed > 2_000, "only {agreed} sets were compared");
}
