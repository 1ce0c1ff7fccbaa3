//! The cost model and its fit: known costs, made-up machines, and the measurements behind the table
//! that is built in.

use crate::api::ladder::planned::SourceMedia;
use crate::api::ladder::{Audio, AudioCodec, Ladder, VideoCodec};
use crate::control::plan::cost::fit::{Sample, fit};
use crate::control::plan::cost::table::{Table, Term, USUAL};
use crate::control::plan::cost::{Pictures, SLOWER, Work, estimate};

const SAMPLES: &str = include_str!("../machines/epyc-9004.samples.jsonl");

fn samples() -> Vec<Sample> {
    SAMPLES.lines().map(|l| serde_json::from_str(l).expect("a sample")).collect()
}

fn pictures(width: u32, height: u32, bitrate: u64) -> Pictures {
    Pictures { width, height, fps: 30.0, bitrate }
}

fn source() -> SourceMedia {
    SourceMedia {
        codec: VideoCodec::H264,
        width: 1920,
        height: 1080,
        frame_rate: (30, 1),
        bitrate: 6_000_000,
        audio_bitrate: 128_000,
    }
}

fn table(rates: &str) -> Table {
    let text = format!("name: m\nmeasured: by hand\nrates:\n{rates}");
    Table::parse("m.yaml", &text).expect("a table")
}

fn encode(preset: &str, to: Pictures) -> Work {
    Work::Encode { codec: VideoCodec::H264, preset: preset.into(), to }
}

#[test]
fn a_ladder_costs_the_sum_of_its_terms() {
    let m = table(
        "  decode h264 pixels: 1\n  decode h264 bits: 10\n  scale from: 0.5\n  scale to: 0.25\n  \
         encode h264 veryfast pixels: 10\n  encode h264 veryfast bits: 20\n  \
         encode h264 veryfast frames: 0.1\n  sound aac: 15\n",
    );
    let mut ladder = Ladder::standard();
    let all = estimate(&ladder, &source(), &m).expect("all of it is known");
    // 1920 x 1080 x 30 are 62.208 million pixels a second.
    assert!((all.decode - (62.208 + 60.0)).abs() < 1e-9);
    let hd = &all.rungs[1];
    assert!((hd.scale - (0.5 * 62.208 + 0.25 * 27.648)).abs() < 1e-9);
    assert!((hd.encode_cost - (276.48 + 56.0 + 3.0)).abs() < 1e-9);
    assert_eq!((all.rungs[0].scale, all.rungs[0].encode_cost, all.sound), (0.0, 0.0, 0.0));
    let sum: f64 = all.rungs.iter().map(|r| r.scale + r.encode_cost).sum();
    assert_eq!(all.total, (all.decode + sum).ceil() as u32);
    ladder.audio = Audio::Encode { codec: AudioCodec::Aac, bitrate: 64_000, channels: 2 };
    let more = estimate(&ladder, &source(), &m).expect("all of it is known");
    assert_eq!((more.sound, more.total), (15.0, all.total + 15));
    // What is not encoded is not decoded.
    ladder.rungs.truncate(1);
    ladder.audio = Audio::Passthrough;
    assert_eq!(estimate(&ladder, &source(), &m).expect("nothing to know").total, 0);
    let hevc = SourceMedia { codec: VideoCodec::Hevc, ..source() };
    let error = estimate(&Ladder::standard(), &hevc, &m).expect_err("no HEVC").to_string();
    assert_eq!(error, "the table of machine \"m\" has nothing on decoding hevc");
}

#[test]
fn a_preset_that_was_not_measured_costs_what_its_neighbours_suggest() {
    let m = table("  encode h264 superfast pixels: 4\n  encode h264 faster pixels: 16\n");
    let to = pictures(1_000, 1_000, 0);
    let cost = |preset: &str| m.cost(&encode(preset, to)).expect("between or beside");
    assert!((cost("superfast") - 120.0).abs() < 1e-9);
    assert!((cost("veryfast") - 240.0).abs() < 1e-9, "the geometric mean");
    assert!((cost("ultrafast") - 120.0).abs() < 1e-9, "no less than the fastest known");
    assert!((cost("medium") - 480.0 * SLOWER * SLOWER).abs() < 1e-9);
    let none = m.cost(&encode("13", to)).expect_err("SVT-AV1's").to_string();
    assert_eq!(none, "the table of machine \"m\" has nothing on preset 13 of h264");
}

/// xorshift64*, from 0 to 1.
fn random(state: &mut u64) -> f64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
}

/// What a made-up machine takes for one of a term.
fn made_up(term: Term, seed: u64) -> f64 {
    let name = term.to_string();
    let mut state = name.bytes().fold(seed | 1, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_01b3));
    random(&mut state);
    0.2 + 20.0 * random(&mut state)
}

/// Whole jobs and single works of many sizes, each measured up to `noise` wrong.
fn measured(seed: u64, noise: f64) -> Vec<Sample> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut all = Vec::new();
    for i in 0..400 {
        let mut side = |most: f64| (64.0 + most * random(&mut state)) as u32;
        let (from, to) = ((side(1_900.0), side(1_000.0)), (side(1_200.0), side(700.0)));
        let rate = side(6_000_000.0);
        let from = pictures(from.0, from.1, u64::from(rate));
        let to = Pictures { fps: f64::from(side(60.0)), ..pictures(to.0, to.1, 900_000) };
        let decode = Work::Decode { codec: VideoCodec::ALL[i % 3], from };
        let scale = Work::Scale { from, to };
        let encode = encode(["ultrafast", "veryfast", "medium"][i % 3], to);
        let work = match i % 4 {
            0 => vec![decode],
            1 => vec![encode],
            2 => vec![scale],
            _ => vec![decode, scale, encode],
        };
        let terms = work.iter().flat_map(Work::terms);
        let exact: f64 = terms.map(|(t, n)| made_up(t, seed) * n).sum();
        let wrong = 1.0 + noise * (2.0 * random(&mut state) - 1.0);
        all.push(Sample { work, content: String::new(), millicores: exact * wrong });
    }
    all
}

#[test]
fn a_machine_is_found_from_what_it_takes() {
    for seed in 1..20 {
        let exact = fit("m", "made up", &measured(seed, 0.0));
        for (term, rate) in &exact.rates {
            let (got, want) = (*rate, made_up(*term, seed));
            assert!((got / want - 1.0).abs() < 0.01, "{seed} {term}: {got} of {want}");
        }
        // Noise of a tenth moves whole jobs by little.
        let noisy = fit("m", "made up", &measured(seed, 0.1));
        for sample in measured(seed, 0.0).iter().filter(|s| s.work.len() == 3) {
            let got: f64 = sample.work.iter().map(|w| noisy.cost(w).expect("known")).sum();
            assert!((got / sample.millicores - 1.0).abs() < 0.08, "{seed} {sample:?}: {got}");
        }
    }
}

#[test]
fn no_rate_is_below_zero_and_nothing_teaches_nothing() {
    // More pixels for less: the best without the bound would be negative.
    let sample = |height: u32, bitrate: u64, millicores: f64| {
        let from = pictures(1_000, height, bitrate);
        let work = vec![Work::Decode { codec: VideoCodec::H264, from }];
        Sample { work, content: String::new(), millicores }
    };
    let odd = [sample(100, 5_000_000, 50.0), sample(1_000, 5_000_000, 40.0)];
    let rates = fit("m", "by hand", &odd).rates;
    assert_eq!(rates.len(), 2);
    assert!(rates.values().all(|r| *r >= 0.0));
    assert!(rates.values().any(|r| *r == 0.0));
    assert!(fit("m", "by hand", &[sample(100, 1, 0.0)]).rates.is_empty());
}

/// How far the table is from what was measured, each sample, sorted.
fn errors(table: &Table, of: &[Sample]) -> Vec<f64> {
    let error = |s: &Sample| {
        let cost: f64 = s.work.iter().map(|w| table.cost(w).expect("it was measured")).sum();
        (cost / s.millicores - 1.0).abs()
    };
    let mut errors: Vec<f64> = of.iter().map(error).collect();
    errors.sort_by(f64::total_cmp);
    errors
}

#[test]
fn the_table_that_is_built_in_is_the_fit_of_its_measurements() {
    let built_in = Table::built_in(USUAL).expect("it is built in");
    let fitted = fit(USUAL, &built_in.measured, &samples());
    let differs = built_in.rates.iter().find(|(t, r)| fitted.rates.get(t) != Some(r));
    let yaml = serde_yaml::to_string(&fitted).expect("YAML");
    assert!(differs.is_none() && built_in.rates.len() == fitted.rates.len(), "{differs:?}\n{yaml}");
    let errors = errors(&built_in, &samples());
    let (median, worst) = (errors[errors.len() / 2], errors[errors.len() - 1]);
    assert!(median < 0.15 && worst < 0.55, "median {median:.3}, worst {worst:.3}");
}

#[test]
fn a_preset_left_out_of_the_measurements_is_met_by_its_neighbours() {
    let all = samples();
    let is = |s: &Sample| {
        let of = |w: &Work| {
            matches!(w, Work::Encode { codec, preset, .. }
            if *codec == VideoCodec::H264 && preset == "veryfast")
        };
        s.work.iter().any(of)
    };
    let (held, rest): (Vec<Sample>, Vec<Sample>) = all.into_iter().partition(is);
    assert_eq!(held.len(), 16);
    let errors = errors(&fit("m", "without veryfast", &rest), &held);
    let (median, worst) = (errors[errors.len() / 2], errors[errors.len() - 1]);
    assert!(median < 0.25 && worst < 0.4, "median {median:.3}, worst {worst:.3}");
}
