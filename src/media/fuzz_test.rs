//! Seeded runs of the fuzz bodies over mutations of real media.

use crate::media::flv::file;
use crate::media::fuzz::seeded::{BBB, BBB_AVCC, Random, hex};
use crate::media::fuzz::{fuzz_codec, fuzz_flv};

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
