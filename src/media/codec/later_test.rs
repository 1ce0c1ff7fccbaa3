//! HEVC, AV1 and Opus: configurations of real encoders, and what must come out of them.

use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::media::codec::bit_writer::Writer;
use crate::media::codec::hevc::HevcConfig;
use crate::media::codec::hevc_sps::{LONG_TERM_MAX, SET_PICTURES_MAX, SHORT_TERM_SETS_MAX};
use crate::media::codec::sps::READ_MAX;
use crate::media::codec::{
    CONFIG_MAX, CodecError, FrameLength, VideoRange, av1, av1_sequence, details, hevc, hevc_sps,
    in_band, is_key, key_prefix, opus,
};
use crate::media::fuzz::seeded::{Random, hex};
use crate::media::track::{Codec, FrameRate, Track};
use bytes::Bytes;

fn track(codec: Codec, config: impl Into<Bytes>) -> Track {
    let (timescale, config) = (Timescale::MILLIS, config.into());
    Track { id: TrackId(1), codec, timescale, rate: None, config }
}

/// Name, record, codec string, size, sample aspect ratio, rate, range.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    (u32, u32),
    (u16, u16),
    Option<(u32, u32)>,
    VideoRange,
);

/// As FFmpeg 9.0.2 publishes them; of x265's records the SEI message is left out.
#[rustfmt::skip]
const HEVC: [Row; 6] = [
    ("x265, 1080p60",
        "0101600000009000000000007bf000fcfdf8f800000f03200001001840010c01ffff0160000003009000\
        0003000003007b959409210001002b42010101600000030090000003000003007ba003c0801107cb9656\
        54a4c2f0168080000003008000001e0422000100064401c073c189",
        "hvc1.1.6.L123.90", (1920, 1080), (1, 1), Some((60, 1)), VideoRange::Sdr),
    ("x265, 10 bit, 29.97, HLG",
        "0102200000009000000000003ff000fcfdfafa00000f03200001001840010c01ffff0220000003009000\
        0003000003003f959809210001002c42010102200000030090000003000003003fa005020169365959a4\
        932bc05a84890482000007d20000ea601022000100074401c172b46240",
        "hvc1.2.4.L63.90", (640, 360), (1, 1), Some((30_000, 1001)), VideoRange::Hlg),
    ("x265, 4:4:4, cropped, 7:5",
        "0104080000009e08000000003cf000fcfff8f800000f03200001001740010c01ffff0408000003009e08\
        00000300003c95940921000100304201010408000003009e0800000300003c9001510080e3e3f2caca94\
        985ffe000e000ad010000003001000000301808022000100084401c07318301890",
        "hvc1.4.10.L60.9e.8", (322, 242), (7, 5), Some((24, 1)), VideoRange::Sdr),
    ("x265, 4:2:2, high tier, two layers",
        "0124080000009d080000000099f000fcfefafa00001303200001001b40010c02ffff2408000003009d08\
        00000300009900009594aca048210001002e4201022408000003009d080000030000990000b005a20090\
        4d965652b2a5270bc05a02000003000200000300641022000100064401c073c189",
        "hvc1.4.10.H153.9d.8", (720, 576), (1, 1), Some((50, 1)), VideoRange::Sdr),
    ("kvazaar",
        "010160000000800000000000baf000fcfdf8f800001303200001001b40010c02ffff0160000003008000\
        000300000300ba000004021024210001002c4201020160000003008000000300000300ba0000a00c880f\
        16c100864932ac0404000003000400000300642022000100084401c062460a6480",
        "hvc1.1.6.L186.80", (400, 240), (1, 1), Some((25, 1)), VideoRange::Sdr),
    ("x265, monochrome, scaling lists, HRD",
        "0104080000009fc8000000003cf000fcfcf8f800000f03200001001840010c01ffff0408000003009fc8\
        00000300003c998a024021000100354201010408000003009fc800000300003cc028203c596662a49084\
        b5e02d81000003000100000300196014946e000f424001e8488022000100074401c176b66240",
        "hvc1.4.10.L60.9f.c8", (320, 240), (1, 1), Some((25, 1)), VideoRange::Sdr),
];

#[rustfmt::skip]
const AV1: [Row; 5] = [
    ("SVT-AV1, 1080p60", "81090c000a0c0200004a955dfe1b805f0008",
        "av01.0.09M.08", (1920, 1080), (1, 1), None, VideoRange::Sdr),
    ("SVT-AV1, 10 bit, PQ", "81014c000a0f0200000d2627fb3805f0a122012080",
        "av01.0.01M.10.0.110.09.16.09.0", (640, 360), (1, 1), None, VideoRange::Pq),
    ("libaom, 4:4:4", "812000000a0a200000043d07c4daf902",
        "av01.1.00M.08.0.000.02.02.02.0", (322, 242), (1, 1), None, VideoRange::Sdr),
    ("libaom, monochrome, full range", "81001c000a0a00000004457e3e6d7c95",
        "av01.0.00M.08.1.110.02.02.02.1", (352, 288), (1, 1), None, VideoRange::Sdr),
    ("rav1e, 10 bit 4:2:2", "815f48000a0e400000fa627fef8842a902020250",
        "av01.2.31M.10.0.100.02.02.02.0", (640, 480), (1, 1), None, VideoRange::Sdr),
];

#[test]
fn records_of_real_encoders() {
    let rows = HEVC.map(|r| (Codec::Hevc, r)).into_iter().chain(AV1.map(|r| (Codec::Av1, r)));
    for (codec, (name, record, codecs, (width, height), sar, rate, range)) in rows {
        let d = details(&track(codec, hex(record))).unwrap_or_else(|e| panic!("{name}: {e}"));
        let v = d.video.expect(name);
        assert_eq!(d.codecs, codecs, "{name}");
        assert_eq!((v.width, v.height, v.sar, v.range), (width, height, sar, range), "{name}");
        assert_eq!(v.rate.map(FrameRate::parts), rate, "{name}");
        assert_eq!((v.nal_len_size, d.mux_timescale.get()), (4, 90_000), "{name}");
        assert_eq!(Codec::from_codecs(codecs), Some(codec), "{name}");
    }
}

#[test]
fn refused_records_say_where() {
    let invalid = |what, at| CodecError::Invalid { what, at };
    let cut = |what, at| CodecError::Truncated { what, at };
    let (whole, head) = (hex(HEVC[0].1), hex(HEVC[0].1)[..23].to_vec());
    let with = |at: usize, byte: u8| {
        let mut record = whole.clone();
        record[at] = byte;
        record
    };
    for (name, record, want) in [
        ("nothing", vec![], cut("hvcC header", 0)),
        ("an avcC", hex("0142c01effe100"), cut("hvcC header", 7)),
        ("version", with(0, 2), invalid("hvcC configurationVersion", 0)),
        ("length size 3", with(21, 0x0e), invalid("hvcC lengthSizeMinusOne", 21)),
        ("no sets", [&head[..22], &[0]].concat(), invalid("hvcC video parameter set", 23)),
        ("cut sets", head.clone(), cut("hvcC array", 23)),
        ("an SPS among the VPS", with(28, 0x42), invalid("hvcC NAL unit", 28)),
        ("longer than the record", with(26, 0xff), cut("hvcC NAL unit", 26)),
        ("layers", with(59, 0x0f), invalid("sps_max_sub_layers_minus1", 2)),
    ] {
        assert_eq!(details(&track(Codec::Hevc, record)), Err(want), "{name}");
    }
    for (name, record, want) in [
        ("nothing", "", cut("av1C header", 0)),
        ("an avcC", "0142c01effe100", invalid("av1C marker and version", 0)),
        ("no sequence header", "81000c00", invalid("av1C sequence header", 4)),
        ("cut OBU", "81000c000a0b02", cut("av1C OBU", 4)),
        ("cut sequence header", "81000c000a020200", cut("operating point", 1)),
        ("profile", "81000c000a02ff00", invalid("seq_profile", 0)),
    ] {
        assert_eq!(details(&track(Codec::Av1, hex(record))), Err(want), "{name}");
    }
    let head = "4f70757348656164";
    for (name, rest, want) in [
        ("nothing", "", cut("OpusHead", 8)),
        ("version", "1001380180bb0000000000", invalid("OpusHead version", 8)),
        ("no channels", "0100380180bb0000000000", invalid("OpusHead channels", 9)),
        ("three without mapping", "0103380180bb0000000000", invalid("OpusHead channels", 9)),
        ("cut mapping", "0103380180bb0000000001020100", cut("OpusHead channel mapping", 19)),
        ("no streams", "0101380180bb0000000001000000", invalid("OpusHead channel mapping", 19)),
        ("no such stream", "0101380180bb0000000001010001", {
            invalid("OpusHead channel mapping", 19)
        }),
    ] {
        let record = hex(&format!("{head}{rest}"));
        assert_eq!(details(&track(Codec::Opus, record)), Err(want), "{name}");
    }
    let other = hex("4f70757354616773000000000000000000000000");
    assert_eq!(details(&track(Codec::Opus, other)), Err(invalid("OpusHead magic", 0)));
    for codec in [Codec::Hevc, Codec::Av1, Codec::Opus] {
        let long = details(&track(codec, vec![0; CONFIG_MAX + 1])).expect_err("too long");
        assert_eq!(long, invalid("configuration length", CONFIG_MAX));
    }
    let long = vec![0; CONFIG_MAX + 1];
    assert_eq!(HevcConfig::parse(&long), Err(invalid("hvcC length", CONFIG_MAX)));
    assert_eq!(av1::Av1Config::parse(&long), Err(invalid("av1C length", CONFIG_MAX)));
}

#[test]
fn heads_of_opus() {
    for (name, head, channels, pre_skip, mapping) in [
        ("mono", "4f707573486561640101380180bb0000000000", 1, 312, None),
        ("5.1", "4f707573486561640106380180bb00000000010402000401020305", 6, 312, Some((4, 2))),
    ] {
        let bytes = hex(head);
        let h = opus::Head::parse(&bytes).expect(name);
        assert_eq!((h.channels, h.pre_skip, h.input_rate), (channels, pre_skip, 48_000), "{name}");
        assert_eq!(h.mapping.map(|m| (m.streams, m.coupled)), mapping, "{name}");
        assert_eq!(h.to_bytes(), bytes, "{name}");
        let d = details(&track(Codec::Opus, bytes)).expect(name);
        assert_eq!((&*d.codecs, d.mux_timescale.get()), ("opus", 48_000), "{name}");
        assert_eq!(d.frame_length(), Some(FrameLength::InPacket { usual: 960 }), "{name}");
        assert_eq!(d.frame_micros(FrameRate::new(30, 1).expect("a rate")), 20_000, "{name}");
    }
    let surround = opus::default_head(6).expect("six");
    let of_ffmpeg = hex("4f707573486561640106380180bb00000000010402000401020305");
    assert_eq!(surround[18..], of_ffmpeg[18..], "the mapping that libopus makes");
    for channels in 0..=255 {
        let head = opus::default_head(channels);
        assert_eq!(head.is_some(), (1..=8).contains(&channels));
        assert!(head.is_none_or(|h| opus::Head::parse(&h).is_ok()), "{channels}");
    }
}

#[test]
fn packets_of_opus_say_how_long_they_are() {
    for (name, packet, millis) in [
        ("CELT 20 ms", "f8ff", 20.0),
        ("CELT 2.5 ms", "e0", 2.5),
        ("CELT 5 ms, two frames", "e9", 10.0),
        ("SILK 60 ms", "18", 60.0),
        ("hybrid 10 ms", "60", 10.0),
        ("six of 20 ms", "fb06", 120.0),
        ("self-delimited, six streams", "fc02fffe", 20.0),
        ("a count of none", "fb00", 20.0),
        ("longer than may be", "1b03", 20.0),
        ("no count", "fb", 20.0),
        ("nothing", "", 20.0),
    ] {
        assert_eq!(f64::from(opus::ticks(&hex(packet))) / 48.0, millis, "{name}");
    }
    assert_eq!(opus::ticks(&hex("fb06")), opus::PACKET_MAX);
    assert_eq!(FrameLength::InPacket { usual: 960 }.ticks(&hex("e0")), 120);
}

#[test]
fn the_first_picture_decides() {
    for (name, payload, key, skipped) in [
        ("IDR", "00000003 2601af", true, false),
        ("IDR without leading pictures", "00000003 2801af", true, false),
        ("CRA", "00000003 2a01ac", true, false),
        ("BLA", "00000003 2001ac", true, false),
        ("sets, SEI, CRA", "00000002 4001 00000003 4e0105 00000003 2a01ac", true, false),
        ("trailing", "00000003 0201d0 00000003 2601af", false, false),
        ("RASL", "00000003 1001d0", false, true),
        ("RADL", "00000003 0e01d0", false, false),
        ("sets alone", "00000002 4001", false, false),
        ("longer than the payload", "00000009 2601", false, false),
        ("nothing", "", false, false),
    ] {
        let payload = hex(payload);
        assert_eq!(is_key(Codec::Hevc, &payload, 4), key, "{name}");
        assert_eq!(hevc::is_skipped_leading(&payload, 4), skipped, "{name}");
    }
    for (name, payload, key) in [
        ("key frame", "12000a01ff320110", true),
        ("its header alone", "1a0110", true),
        ("key frame that is not shown", "320100", false),
        ("inter frame", "320130", false),
        ("intra only", "320150", false),
        ("one shown again", "1a01c8", false),
        ("with extension", "36000110", true),
        ("last without a size", "3010", true),
        ("cut", "320510", false),
        ("forbidden bit", "b20110", false),
        ("nothing", "", false),
    ] {
        assert_eq!(is_key(Codec::Av1, &hex(payload), 4), key, "{name}");
    }
}

#[test]
fn sets_in_a_key_frame_make_a_record() {
    let old = hex(HEVC[0].1);
    let other = hex(HEVC[1].1);
    let picture = hex("00000003 2601af");
    let key = |record: &[u8]| {
        [key_prefix(&track(Codec::Hevc, record.to_vec())).expect("sets"), picture.clone()].concat()
    };
    assert_eq!(in_band(Codec::Hevc, &old, &picture), None, "none");
    assert_eq!(in_band(Codec::Hevc, &old, &key(&old)), None, "the same");
    let made = in_band(Codec::Hevc, &old, &key(&other)).expect("others");
    // The header too is what the encoder's own record has; the arrays are not marked complete.
    assert_eq!(made, other);
    let entry = hevc::complete(&made);
    let marked: Vec<u8> = [23, 23 + 3 + 2 + 24].map(|at| entry[at]).to_vec();
    assert_eq!(marked, [0xa0, 0xa1], "VPS and SPS, as hvc1 wants it");
    // A picture parameter set alone replaces the one of its number.
    let pps = hex("00000007 4401c0f3c08900 00000003 2a01ac");
    let made = in_band(Codec::Hevc, &old, &pps).expect("another PPS");
    let config = HevcConfig::parse(&made).expect("a record");
    assert_eq!(config.nals.len(), 3);
    assert_eq!(config.of(hevc::NAL_PPS).next(), Some(&hex("4401c0f3c08900")[..]));
    assert_eq!(config.sps(), HevcConfig::parse(&old).expect("real").sps());
    // What cannot be read is no news.
    assert_eq!(in_band(Codec::Hevc, &old, &hex("00000003 420101 00000003 2601af")), None);
    let av1 = hex(AV1[0].1);
    let in_it = |body: &str| [hex("1200"), hex(body), hex("320110")].concat();
    assert_eq!(in_band(Codec::Av1, &av1, &[&av1[4..], &[0x32, 1, 0x10]].concat()), None);
    let made = in_band(Codec::Av1, &av1, &in_it("0a0c0200004a955dfe1b895f2008"));
    assert_eq!(made, Some(hex("81090c00 0a0c0200004a955dfe1b895f2008").into()));
    // The record that libaom's first key frame makes is the one that FFmpeg sends after it.
    let made = in_band(Codec::Av1, &[], &in_it("0a0a200000043d07c4daf902"));
    assert_eq!(made, Some(hex(AV1[2].1).into()));
    let made = in_band(Codec::Av1, &hex("815f4800"), &in_it("0a0e400000fa627fef8842a902020250"));
    assert_eq!(made, Some(hex(AV1[4].1).into()));
    assert_eq!(key_prefix(&track(Codec::Av1, av1.clone())), Ok(av1[4..].to_vec()));
}

/// A set of 64 x 64 up to its reference picture sets; `rest` writes those, then comes a VUI with a
/// rate of 25.
fn set(rest: impl FnOnce(Writer) -> Writer) -> Vec<u8> {
    let head = Writer::default().u(16, 0x4201).u(4, 0).u(3, 0).u(1, 1);
    let profile = head.u(8, 1).u(32, 0x6000_0000).u(32, 0).u(16, 0).u(8, 93);
    let size = profile.ue(0).ue(1).ue(64).ue(64).u(1, 0).ue(0).ue(0);
    let coding = size.ue(4).u(1, 0).ue(4).ue(2).ue(0).many(6, |w| w.ue(1)).u(1, 0).u(2, 0).u(1, 0);
    let sets = rest(coding).u(2, 0).u(1, 1);
    sets.u(4, 0).u(3, 0).u(1, 0).u(1, 1).u(32, 1).u(32, 25).u(8, 0).nal()
}

#[test]
fn reference_picture_sets_are_counted() {
    let rate = |nal: &[u8]| {
        let sps = hevc_sps::parse(nal).expect("the size is there");
        assert_eq!((sps.width, sps.height), (64, 64));
        sps.rate.map(FrameRate::parts)
    };
    let one = |w: Writer, n: u32| w.ue(n).ue(0).many(n, |w| w.ue(0).u(1, 1));
    let sets = |count: u32, pictures: u32| {
        // Only the first set has no flag for prediction.
        let first = |w: Writer| one(w.ue(count), pictures);
        set(|w| first(w).many(count - 1, |w| one(w.u(1, 0), pictures)).u(1, 0))
    };
    assert_eq!(rate(&sets(1, 2)), Some((25, 1)));
    // As many as may be; one more is refused, and what is read before stays.
    assert_eq!(rate(&sets(SHORT_TERM_SETS_MAX, 1)), Some((25, 1)));
    assert_eq!(rate(&sets(SHORT_TERM_SETS_MAX + 1, 1)), None);
    assert_eq!(rate(&sets(1, SET_PICTURES_MAX)), Some((25, 1)));
    assert_eq!(rate(&sets(1, SET_PICTURES_MAX + 1)), None);
    // A set by prediction: of three candidates one is left out.
    let predicted = set(|w| {
        let first = one(w.ue(2), 2).u(1, 1).u(1, 0).ue(0);
        first.u(1, 1).u(2, 0b00).u(2, 0b01).u(1, 0)
    });
    assert_eq!(rate(&predicted), Some((25, 1)));
    let long = |n: u32| set(|w| one(w.ue(1), 1).u(1, 1).ue(n).many(n, |w| w.u(8, 0).u(1, 0)));
    assert_eq!(rate(&long(LONG_TERM_MAX)), Some((25, 1)));
    assert_eq!(rate(&long(LONG_TERM_MAX + 1)), None);
    // Nothing behind so many bytes is read.
    let far = set(|w| w.ue(0).u(1, 0)).into_iter().chain(vec![0; READ_MAX]).collect::<Vec<u8>>();
    assert_eq!(rate(&far), Some((25, 1)));
}

/// Where the reference parser accepts a mutated set, ours must read the same.
#[test]
fn mutated_sets_agree_with_a_reference_parser() {
    let (mut random, mut agreed) = (Random(11), 0);
    for turn in 0..20_000 {
        let record = hex(HEVC[turn % HEVC.len()].1);
        let config = HevcConfig::parse(&record).expect("real");
        let mut nal = config.of(hevc::NAL_SPS).next().expect("one").to_vec();
        if turn >= HEVC.len() {
            random.mutate(&mut nal);
        }
        let ours = hevc_sps::parse(&nal);
        // The reference panics at sums that overflow.
        let theirs = std::panic::catch_unwind(|| {
            let set = scuffle_h265::SpsNALUnit::parse(&nal[..]).ok()?.rbsp;
            let size = (set.cropped_width(), set.cropped_height());
            Some((set, size))
        });
        let (Ok(Some((theirs, size))), Ok(ours)) = (theirs, ours) else {
            assert!(turn >= HEVC.len(), "a real set");
            continue;
        };
        agreed += 1;
        assert_eq!((u64::from(ours.width), u64::from(ours.height)), size, "{nal:02x?}");
        let profile = &theirs.profile_tier_level.general_profile;
        let level = (profile.profile_idc, profile.tier_flag, profile.level_idc);
        let p = ours.profile;
        assert_eq!((p.idc, p.high_tier, Some(p.level)), level, "{nal:02x?}");
        assert_eq!((ours.chroma, ours.luma_bits), (theirs.chroma_format_idc, theirs.bit_depth_y()));
        let vui = theirs.vui_parameters.as_ref();
        if let (Some(rate), Some(t)) = (ours.rate, vui.and_then(|v| v.vui_timing_info.as_ref())) {
            let want = f64::from(t.time_scale.get()) / f64::from(t.num_units_in_tick.get());
            assert!((rate.as_f64() - want).abs() < 1e-6, "{nal:02x?}");
        }
        let transfer = vui.map_or(2, |v| v.video_signal_type.transfer_characteristics);
        assert_eq!(ours.range, VideoRange::of_transfer(transfer.into()), "{nal:02x?}");
    }
    assert!(agreed > 2_000, "only {agreed} sets were compared");
}

#[test]
fn mutated_sequence_headers_agree_with_a_reference_parser() {
    use scuffle_av1::seq::SequenceHeaderObu;
    let (mut random, mut agreed) = (Random(13), 0);
    for turn in 0..20_000 {
        let mut body = hex(AV1[turn % AV1.len()].1)[6..].to_vec();
        if turn >= AV1.len() {
            random.mutate(&mut body);
        }
        let ours = av1_sequence::parse(&body);
        let header =
            scuffle_av1::ObuHeader::parse(&mut &[0x0a, body.len() as u8][..]).expect("a header");
        let theirs =
            std::panic::catch_unwind(|| SequenceHeaderObu::parse(header, &mut &body[..]).ok());
        let (Ok(Some(theirs)), Ok(ours)) = (theirs, ours) else {
            assert!(turn >= AV1.len(), "a real header");
            continue;
        };
        agreed += 1;
        let size = (theirs.max_frame_width, theirs.max_frame_height);
        assert_eq!((u64::from(ours.width), u64::from(ours.height)), size, "{body:02x?}");
        let point = &theirs.operating_points[0];
        let level = (theirs.seq_profile, point.seq_level_idx, point.seq_tier);
        assert_eq!((ours.profile, ours.level, ours.high_tier), level, "{body:02x?}");
        let c = &theirs.color_config;
        assert_eq!((i32::from(ours.bits), ours.monochrome), (c.bit_depth, c.mono_chrome));
        let colour = [c.color_primaries, c.transfer_characteristics, c.matrix_coefficients];
        assert_eq!((ours.colour, ours.full_range), (colour, c.full_color_range), "{body:02x?}");
        let sampling = [c.subsampling_x.into(), c.subsampling_y.into(), c.chroma_sample_position];
        assert_eq!(ours.subsampling, sampling, "{body:02x?}");
    }
    assert!(agreed > 2_000, "only {agreed} headers were compared");
}
