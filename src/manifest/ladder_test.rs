//! Ladders as they are written: exact messages, defaults, limits.

use crate::api::ladder::level::Profile;
use crate::api::ladder::{Audio, AudioCodec, Ladder, VideoCodec};
use crate::manifest::ladder::AUDIO_BITRATE;
use crate::manifest::parse::parse;
use crate::manifest::types::{LADDERS_MAX, Manifest};
use std::time::Duration;

fn message(text: &str) -> String {
    match parse("x", text) {
        Ok(_) => "accepted".into(),
        Err(e) => e.to_string(),
    }
}

/// What is wrong, the text, and all that is said about it.
const REFUSED: &[(&str, &str, &str)] = &[
    ("no rung", "ladders: [{name: a}]", "x:1:11: ladders[0].rungs: a ladder has at least one rung"),
    (
        "bad name",
        "ladders: [{name: Sports}]",
        "x:1:18: ladders[0].name: the name \"Sports\" must be 1 to 32 of a-z, 0-9 and '-', and \
         start with a letter or digit",
    ),
    (
        "built-in name",
        "ladders: [{name: default, rungs: [{name: s, passthrough: true}]}]",
        "x:1:18: ladders[0].name: the ladder \"default\" is built in: take another name",
    ),
    (
        "name twice",
        "ladders: [&a {name: a, rungs: [{name: s, passthrough: true}]}, *a]",
        "x:1:64: ladders[1].name: the name \"a\" is taken by a ladder before it",
    ),
    (
        "no height",
        "ladders:\n- name: a\n  rungs:\n  - name: low\n    bitrate: 1Mbps\n",
        "x:4:5: ladders[0].rungs[0]: a rung has a height, or passthrough: true for the source as \
         it came",
    ),
    (
        "no bitrate",
        "ladders: [{name: a, rungs: [{name: low, height: 240}]}]",
        "x:1:29: ladders[0].rungs[0]: a rung has a bitrate, or passthrough: true for the source \
         as it came",
    ),
    (
        "bitrate without a unit",
        "ladders: [{name: a, rungs: [{name: low, height: 240, bitrate: 400}]}]",
        "x:1:63: ladders[0].rungs[0].bitrate: \"400\" is not a bit rate: write a number and a \
         unit, bps, kbps or Mbps (for example 2500kbps)",
    ),
    (
        "buffer as a rate",
        "ladders: [{name: a, rungs: [{name: low, height: 240, bitrate: 4Mbps, bufsize: 4Mbps}]}]",
        "x:1:79: ladders[0].rungs[0].bufsize: \"4Mbps\" is not a number of bits: write a number \
         and a unit, kb or Mb (for example 3Mb)",
    ),
    (
        "bitrate out of range",
        "ladders: [{name: a, rungs: [{name: low, height: 240, bitrate: 4kbps}]}]",
        "x:1:63: ladders[0].rungs[0].bitrate: 4kbps is below the minimum, 50kbps",
    ),
    (
        "half a pixel",
        "ladders: [{name: a, rungs: [{name: low, height: 240.5, bitrate: 1Mbps}]}]",
        "x:1:49: ladders[0].rungs[0].height: \"240.5\" is not a number of pixels (for example 720)",
    ),
    (
        "unknown codec",
        "ladders: [{name: a, rungs: [{name: low, height: 240, bitrate: 1Mbps, codec: vp9}]}]",
        "x:1:77: ladders[0].rungs[0].codec: \"vp9\" is no codec: h264, hevc, av1",
    ),
    (
        "x264's preset for AV1",
        "ladders: [{name: a, rungs: [{name: l, height: 240, bitrate: 1Mbps, codec: av1,\n  \
         preset: fast}]}]",
        "x:2:11: ladders[0].rungs[0].preset: \"fast\" is no preset of av1: 13, 12, 11, 10, 9, 8, \
         7, 6, 5, 4, 3, 2, 1, 0",
    ),
    (
        "profile of another codec",
        "ladders: [{name: a, rungs: [{name: l, height: 240, bitrate: 1Mbps, codec: hevc,\n  \
         profile: high}]}]",
        "x:2:12: ladders[0].rungs[0].profile: high is no profile of hevc: main",
    ),
    (
        "level too low",
        "ladders:\n- name: a\n  rungs:\n  - {name: l, height: 1080, bitrate: 5Mbps, level: 3.1}\n",
        "x:4:52: ladders[0].rungs[0].level: level 3.1 does not carry 1920x1080 at 30 frames a \
         second and 6Mbps: that takes 4.0",
    ),
    (
        "no level",
        "ladders: [{name: a, rungs: [{name: l, height: 240, bitrate: 1Mbps, level: 3.11}]}]",
        "x:1:75: ladders[0].rungs[0].level: \"3.11\" is not a level (for example 3.1)",
    ),
    (
        "cap too low",
        "ladders: [{name: a, rungs: [{name: l, height: 240, bitrate: 1Mbps, maxFrameRate: 0.5}]}]",
        "x:1:82: ladders[0].rungs[0].maxFrameRate: \"0.5\" is below the minimum, 1",
    ),
    (
        "an encoded source",
        "ladders: [{name: a, rungs: [{name: s, passthrough: true, bitrate: 1Mbps}]}]",
        "x:1:67: ladders[0].rungs[0].bitrate: \"1Mbps\" is nothing for the source as it came: \
         leave it out",
    ),
    (
        "neither true nor false",
        "ladders: [{name: a, rungs: [{name: s, passthrough: source}]}]",
        "x:1:52: ladders[0].rungs[0].passthrough: \"source\" is neither true nor false",
    ),
    (
        "the source's name",
        "ladders: [{name: a, rungs: [{name: video, passthrough: true}]}]",
        "x:1:36: ladders[0].rungs[0].name: \"video\" is the name of the source's own",
    ),
    (
        "unknown field of a rung",
        "ladders: [{name: a, rungs: [{name: l, fps: 30}]}]",
        "x:1:39: ladders[0].rungs[0].fps: unknown field `fps`, expected one of `name`, \
         `passthrough`, `codec`, `width`, `height`, `maxFrameRate`, `bitrate`, `maxrate`, \
         `bufsize`, `preset`, `profile`, `level`",
    ),
    (
        "audio of some kind",
        "ladders: [{name: a, audio: aac}]",
        "x:1:28: ladders[0].audio: invalid value: string \"aac\", expected `passthrough` or what \
         to encode to (for example `codec: aac`)",
    ),
    (
        "surround",
        "ladders: [{name: a, audio: {codec: aac, channels: '5.1'}}]",
        "x:1:51: ladders[0].audio.channels: \"5.1\" is no layout: mono, stereo",
    ),
    (
        "a ladder that is not there",
        "channels: [{name: main, ladder: sport}]\n\
         ladders: [{name: sports, rungs: [{name: s, passthrough: true}]}]",
        "x:1:33: channels[0].ladder: \"sport\" is no ladder of this file: sports, default, none",
    ),
    (
        "an encoder that holds more than the channel allows",
        "channels: [{name: main, part: 100ms, ladder: a}]\n\
         ladders: [{name: a, rungs: [{name: l, height: 240, bitrate: 1Mbps, codec: av1}]}]",
        "x:1:46: channels[0].ladder: more than 100ms, the channel's latencyBudget: rung \"l\" lags \
         134 ms behind its source (4 picture(s) in the encoder of av1 with preset 12, at 30 \
         frames a second): allow more, or take another preset or codec",
    ),
    (
        "a budget that no encoder holds",
        "channels: [{name: main, latencyBudget: 0s, ladder: default}]",
        "x:1:40: channels[0].latencyBudget: more than 0s, the channel's latencyBudget: rung \
         \"720p\" lags 34 ms behind its source (1 picture(s) in the encoder of h264 with preset \
         veryfast, at 30 frames a second): allow more, or take another preset or codec",
    ),
    (
        "a ladder's budget that its own encoders do not hold",
        "ladders: [{name: a, latencyBudget: 9ms, rungs: [{name: l, height: 240, bitrate: 1Mbps}]}]",
        "x:1:36: ladders[0].latencyBudget: rung \"l\" lags 34 ms behind its source (1 picture(s) \
         in the encoder of h264 with preset veryfast, at 30 frames a second): allow more, or take \
         another preset or codec",
    ),
    (
        "a ladder's budget above the channel's limit",
        "channels: [{name: main, ladder: a}]\n\
         ladders: [{name: a, latencyBudget: 5s, rungs: [{name: s, passthrough: true}]}]",
        "x:1:33: channels[0].ladder: the ladder's latencyBudget, 5s, is above the channel's \
         targetDuration, 4s",
    ),
];

#[test]
fn every_error_names_its_place_and_path() {
    for (name, text, expected) in REFUSED {
        assert_eq!(message(text), *expected, "{name}");
    }
}

#[test]
fn what_is_written_is_what_is_meant() {
    let text = "\
channels:
  - {name: a, ladder: sports}
  - {name: b, ladder: default, latencyBudget: 1s}
  - {name: c, ladder: none}
  - {name: d}
ladders:
  - name: sports
    latencyBudget: 700ms
    audio: {codec: opus, bitrate: 96kbps, channels: mono}
    rungs:
      - {name: source, passthrough: true}
      - {name: 1080p, codec: hevc, width: 1920, height: 1080, bitrate: 5Mbps, maxrate: 6Mbps,
         bufsize: 3Mb, preset: veryfast, level: 4.1, maxFrameRate: 59.94}
      - {name: 720, height: 720, bitrate: 2.5Mbps, passthrough: false}
  - {name: plain, audio: {}, rungs: [{name: av1, codec: av1, height: 360, bitrate: 500kbps}]}
";
    let m = parse("x", text).expect("a good manifest");
    let named: Vec<Option<&str>> =
        m.channels.iter().map(|c| c.ladder.as_ref().map(|l| l.name.as_str())).collect();
    assert_eq!(named, [Some("sports"), Some("default"), None, None]);
    let budgets: Vec<u128> = m.channels.iter().map(|c| c.latency_budget.as_millis()).collect();
    assert_eq!(budgets, [700, 1_000, 500, 500]);
    let sports = m.ladder("sports").expect("it is there");
    assert_eq!(sports.latency_budget, Some(Duration::from_millis(700)));
    let audio = Audio::Encode { codec: AudioCodec::Opus, bitrate: 96_000, channels: 1 };
    assert_eq!(sports.audio, audio);
    assert_eq!(sports.rungs[0].encode, None);
    let hd = sports.rungs[1].encode.as_ref().expect("it is encoded");
    assert_eq!((hd.codec, hd.profile, hd.level), (VideoCodec::Hevc, Profile::Main, Some(41)));
    assert_eq!((hd.width, hd.height, hd.frame_rate_max_millis), (Some(1920), 1080, Some(59_940)));
    assert_eq!((hd.bitrate, hd.maxrate(), hd.bufsize()), (5_000_000, 6_000_000, 3_000_000));
    let low = sports.rungs[2].encode.as_ref().expect("it is encoded");
    assert_eq!((low.codec, &*low.preset), (VideoCodec::H264, "veryfast"));
    assert_eq!((low.profile, low.maxrate()), (Profile::High, 3_000_000));
    let plain = m.ladder("plain").expect("it is there");
    let audio = Audio::Encode { codec: AudioCodec::Aac, bitrate: AUDIO_BITRATE, channels: 2 };
    assert_eq!(plain.audio, audio);
    assert_eq!(m.ladder("default").as_deref(), Some(&Ladder::standard()));
    assert_eq!(m.ladder("other"), None);
    assert_eq!(Manifest::default().channels[0].ladder, None);
}

#[test]
fn so_many_ladders_and_no_more() {
    let ladders = |n: usize| {
        let one = |i: usize| format!("- {{name: l{i}, rungs: [{{name: s, passthrough: true}}]}}\n");
        format!("ladders:\n{}", (0..n).map(one).collect::<String>())
    };
    assert_eq!(message(&ladders(LADDERS_MAX)), "accepted");
    let said = message(&ladders(LADDERS_MAX + 1));
    assert_eq!(said, "x:2:3: ladders: 101 are too many, at most 100");
}
