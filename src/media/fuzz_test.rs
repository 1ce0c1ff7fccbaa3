//! Seeded runs of the fuzz bodies over mutations of real media.

use crate::media::flv::file;
use crate::media::fuzz::seeded::{BBB, BBB_AVCC, Random, hex};
use crate::media::fuzz::{fuzz_codec, fuzz_flv, fuzz_in_band};
use crate::media::track::Codec;

#[test]
fn readers_of_flv_survive_mutations() {
    let mut random = Random(1);
    let start = &BBB[..20_000];
    let mut reader = file::FlvReader::new();
    reader.push(start);
    let mut seeds = vec![start.to_vec()];
    while let Ok(Some(tag)) = reader.next_tag() {
        seeds.push(tag.body.to_vec());
    }
    for head in ["80", "90", "93617663 31", "9161766331000010", "97", "9700fff061766331", "9500"] {
        seeds.push(hex(head));
    }
    for body in [
        "91 68766331 000050 00000003 2a01ac",
        "91 61763031 1200 0a0b0200000521e7f66257c802 320110",
        "a6 13 61763031 01 000001 ff 00 000003 320130",
        "a6 23 76703039 07 000001 ff 61763031 00 000003 320130",
        "94 4f707573 01 06 0000003f",
        "95 11 4f707573 01 000001 00 00 000002 f8ff",
        "97 02 000001 01 4f707573 f8ff",
    ] {
        seeds.push(hex(body));
    }
    for turn in 0..20_000 {
        let mut data = seeds[turn % seeds.len()].clone();
        random.mutate(&mut data);
        fuzz_flv(&data);
    }
    fuzz_flv(&[]);
}

#[test]
fn readers_of_configurations_survive_mutations() {
    let mut random = Random(2);
    let seeds = [
        BBB_AVCC,
        "6764001facd9405005bb011000003e90000ea600f1831960",
        "118004c8010020000d4c61766335392e33372e31303056e500",
        "138856e5a54880",
        "00000002658800000002410000000003068000",
        HVCC,
        AV1C,
        "4f707573486561640106380180bb00000000010402000401020305",
        "fb06afe91a1c",
        "12000a0b0200000521e7f66257c802320110",
    ];
    for turn in 0..20_000 {
        let mut data = hex(seeds[turn % seeds.len()]);
        random.mutate(&mut data);
        fuzz_codec(&data);
    }
    fuzz_codec(&[]);
    for n in 0..=0xffff_u16 {
        fuzz_codec(&n.to_be_bytes());
    }
}

/// An hvcC of x265 without its SEI message, and an av1C of SVT-AV1, both by way of FFmpeg 9.0.2.
const HVCC: &str = "0101600000009000000000003cf000fcfdf8f800000f03 200001 0018 \
    40010c01ffff01600000030090000003000003003c959409 210001 002b \
    42010101600000030090000003000003003ca00a080c1f3e595952930bc05a020000030002000003003210 \
    220001 0006 4401c073c189";
const AV1C: &str = "81000c00 0a0b0200000521e7f66017c002";

#[test]
fn payloads_that_bring_their_configuration_survive_mutations() {
    let mut random = Random(3);
    // The sets of the record with another size, then a picture.
    let hevc = "00000018 40010c01ffff01600000030090000003000003003c959409 0000002b \
        42010101600000030090000003000003003ca00a080c1f3e595952930bc05a020000030002000003003211 \
        00000006 4401c073c189 00000003 2601ac";
    let av1 = "12000a0b0200000521e7f66257c802320110";
    for turn in 0..20_000 {
        for (codec, config, payload) in [(Codec::Hevc, HVCC, hevc), (Codec::Av1, AV1C, av1)] {
            let (mut config, mut payload) = (hex(config), hex(payload));
            random.mutate(if turn % 2 == 0 { &mut payload } else { &mut config });
            fuzz_in_band(codec, &config, &payload);
        }
    }
}
