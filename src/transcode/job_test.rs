//! Whole jobs in one process, on clips that `tests/flow` has no need to see: odd sources.

use super::*;
use crate::api::ladder::level::Profile;
use crate::api::ladder::planned::PlannedEncode;
use crate::api::ladder::{AudioCodec, VideoCodec};
use crate::av::clips_test::{MP4, ffmpeg, lane, pictures};
use crate::base::ids::{Msn, Seq, TrackId};
use crate::base::time::Wall;
use crate::log::format::record::Record;
use crate::media::codec::details;
use crate::media::packet::Packet;
use crate::media::timeline::mark::{Mark, SegmentStart};
use crate::media::track::{Kind, Track};
use crate::transcode::settings::{AudioSettings, RungSettings};
use crate::transcode::wire::put_record;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A place to write to that can be read afterwards.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What came of one track.
#[derive(Default)]
struct Made {
    tracks: Vec<Track>,
    packets: Vec<Packet>,
}

fn rung(track: u16, codec: VideoCodec, (width, height): (u32, u32)) -> RungSettings {
    let (preset, profile) = match codec {
        VideoCodec::H264 => ("ultrafast", Profile::High),
        VideoCodec::Hevc => ("ultrafast", Profile::Main),
        VideoCodec::Av1 => ("12", Profile::Main),
    };
    RungSettings {
        track: TrackId(track),
        name: format!("{height}p-{track}").parse().expect("a name"),
        width,
        height,
        frame_rate: (25, 1),
        capped: false,
        encode: PlannedEncode {
            codec,
            preset: preset.into(),
            profile,
            level: 30,
            codecs: String::new(),
            bitrate: 300_000,
            maxrate: 360_000,
            bufsize: 360_000,
        },
    }
}

fn settings(rungs: Vec<RungSettings>) -> Settings {
    Settings { rungs, audio: None, lateness_micros: 3_600_000_000, crash_after: None }
}

fn mark(track: TrackId, first_seq: Seq) -> Record {
    let (msn, wall) = (Msn(0), Wall(0));
    let (dseq, discontinuity, independent) = (0, false, true);
    let start = SegmentStart { track, msn, dseq, discontinuity, independent, wall, first_seq };
    Record::Mark(Mark::SegmentStart(start))
}

/// A track and its packets, a segment at each of these packets.
fn records((track, packets): (&Track, &[Packet]), first: u64, starts: &[usize]) -> Vec<Record> {
    let mut out = vec![Record::Mark(Mark::Track(track.clone()))];
    for (n, packet) in packets.iter().enumerate() {
        let seq = Seq(first + n as u64);
        if starts.contains(&n) {
            out.push(mark(track.id, seq));
        }
        out.push(Record::Packet { packet: packet.clone(), seq: Some(seq) });
    }
    out
}

fn job(settings: &Settings, records: &[Record]) -> Result<(BTreeMap<u16, Made>, Report), JobError> {
    let mut bytes = BytesMut::from(&settings.line()[..]);
    records.iter().for_each(|r| put_record(&mut bytes, r).expect("small"));
    let sink = Sink::default();
    run(std::io::Cursor::new(bytes.to_vec()), sink.clone())?;
    let mut splitter = Splitter::default();
    splitter.room().extend_from_slice(&sink.0.lock().unwrap_or_else(PoisonError::into_inner));
    let (mut made, mut report) = (BTreeMap::<u16, Made>::new(), Report::default());
    while let Some(output) = splitter.output().expect("records") {
        match output {
            Output::Track(t) => made.entry(t.id.0).or_default().tracks.push(t),
            Output::Packet(p) => made.entry(p.track.0).or_default().packets.push(p),
            Output::Report(r) => report = r,
        }
    }
    Ok((made, report))
}

fn keys(made: &Made) -> Vec<i64> {
    made.packets.iter().filter(|p| p.key).map(Packet::pts).collect()
}

#[test]
fn a_source_that_changes_its_size_keeps_the_rungs_as_they_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let clip = |name, size: &str, form: &str| {
        let words = format!(
            "-f lavfi -i testsrc2=size={size}:rate=25 -t 2 -c:v libx264 -bf 2 -g 25 -pix_fmt {form}"
        );
        lane(&ffmpeg(dir.path(), name, &words), Kind::Video)
    };
    let (first, packets) = clip("a.mp4", "321x179", "yuv444p");
    let (second, later) = clip("b.mp4", "640x480", "yuv420p");
    let second = Track { id: first.id, ..second };
    assert_eq!(first.timescale, second.timescale);
    let shift = 2 * i64::from(first.timescale.get());
    let later: Vec<Packet> =
        later.into_iter().map(|p| Packet { dts: p.dts + shift, ..p }).collect();
    let mut all = records((&first, &packets), 0, &[0, 25]);
    // Configurations are repeated where an extent begins; that is no change.
    all.insert(20, Record::Mark(Mark::Track(first.clone())));
    all.extend(records((&second, &later), 50, &[0, 25]));
    let rungs = [(11, VideoCodec::H264), (12, VideoCodec::Hevc), (13, VideoCodec::Av1)];
    let rungs = rungs.map(|(track, codec)| rung(track, codec, (160, 90))).to_vec();
    let (made, report) = job(&settings(rungs), &all).expect("a job");
    assert_eq!((report.decoded, report.broken), (100, 0));
    let starts = [&packets[0], &packets[25], &later[0], &later[25]].map(|p| p.pts());
    let mut times: Vec<i64> = packets.iter().chain(&later).map(Packet::pts).collect();
    times.sort_unstable();
    for (track, made) in &made {
        assert_eq!(made.tracks.len(), 1, "track {track}: one configuration");
        assert_eq!(keys(made), starts, "track {track}");
        assert_eq!(made.packets.iter().map(Packet::pts).collect::<Vec<_>>(), times);
        let size = details(&made.tracks[0]).expect("a record").video.expect("video");
        assert_eq!((size.width, size.height), (160, 90));
        assert_eq!(pictures(&made.tracks[0], &made.packets).len(), 100, "track {track}");
    }
    assert!(report.rungs.iter().all(|r| (r.encoded, r.late, r.capped) == (100, 0, 0)));
}

#[test]
fn pictures_at_no_steady_rate_keep_their_times() {
    let dir = tempfile::tempdir().expect("a directory");
    let words = "-f lavfi -i testsrc2=size=320x180:rate=50 -t 3 -vf select=gt(mod(n\\,7)\\,2) \
                 -fps_mode vfr -c:v libx264 -bf 2 -g 30 -pix_fmt yuv420p";
    let (track, packets) = lane(&ffmpeg(dir.path(), "vfr.mp4", words), Kind::Video);
    let all = records((&track, &packets), 0, &[0, 30, 60]);
    let rungs = [VideoCodec::H264, VideoCodec::Hevc, VideoCodec::Av1];
    let rungs = rungs.iter().zip(11..).map(|(codec, track)| rung(track, *codec, (160, 90)));
    let (made, report) = job(&settings(rungs.collect()), &all).expect("a job");
    assert_eq!((report.decoded, report.broken), (packets.len() as u64, 0));
    let mut times: Vec<i64> = packets.iter().map(Packet::pts).collect();
    times.sort_unstable();
    let steps: BTreeSet<i64> = times.windows(2).map(|w| w[1] - w[0]).collect();
    assert_eq!(steps.len(), 2, "it has two: {steps:?}");
    let starts = [0, 30, 60].map(|n: usize| packets[n].pts());
    for (track, made) in &made {
        let got: Vec<i64> = made.packets.iter().map(Packet::pts).collect();
        assert_eq!((got, keys(made)), (times.clone(), starts.to_vec()), "track {track}");
    }
}

#[test]
fn another_time_base_and_damage_do_not_end_a_job() {
    let (track, packets) = lane(Path::new(MP4), Kind::Video);
    let high = 30 * 3_600 * 12_800;
    let mut all: Vec<Packet> =
        packets[..40].iter().map(|p| Packet { dts: p.dts + high, ..p.clone() }).collect();
    all[30].payload = vec![1, 2, 3].into();
    all.extend_from_slice(&packets[..40]);
    let records = records((&track, &all), 0, &[0, 40]);
    let (made, report) =
        job(&settings(vec![rung(11, VideoCodec::H264, (320, 180))]), &records).expect("a job");
    assert_eq!(report.broken, 1);
    let made = &made[&11];
    assert_eq!(keys(made), [all[0].pts(), all[40].pts()]);
    assert!((78..=80).contains(&made.packets.len()), "{}", made.packets.len());
}

#[test]
fn a_rung_that_is_late_leaves_pictures_out_but_none_that_begins_a_segment() {
    let (track, packets) = lane(Path::new(MP4), Kind::Video);
    let starts = [0, 50, 100];
    let all = records((&track, &packets), 0, &starts);
    let mut late = settings(vec![rung(11, VideoCodec::H264, (320, 180))]);
    late.lateness_micros = -1_000_000_000;
    let (made, report) = job(&late, &all).expect("a job");
    let want: Vec<i64> = starts.iter().map(|n| packets[*n].pts()).collect();
    assert_eq!(made[&11].packets.iter().map(Packet::pts).collect::<Vec<_>>(), want);
    let rung = report.rungs[0];
    assert_eq!((rung.encoded, rung.late), (3, report.decoded - 3));
}

#[test]
fn sound_that_is_missing_or_late_is_made_all_the_same() {
    let (video, packets) = lane(Path::new(MP4), Kind::Video);
    let (audio, sound) = lane(Path::new(MP4), Kind::Audio);
    let mut all = records((&video, &packets), 0, &[0]);
    // All of it comes after the pictures, and before it some that nothing decodes.
    let junk = Packet { payload: vec![0xff; 9].into(), ..sound[0].clone() };
    all.push(Record::Packet { packet: junk, seq: None });
    all.extend(records((&audio, &sound), 0, &[]));
    let (track, codec) = (TrackId(20), AudioCodec::Opus);
    let mut with = settings(vec![rung(11, VideoCodec::H264, (320, 180))]);
    with.audio = Some(AudioSettings { track, codec, bitrate: 64_000, channels: 2 });
    let (made, report) = job(&with, &all).expect("a job");
    assert_eq!((made[&11].packets.len(), report.broken_sound), (packets.len(), 1));
    let length = sound.len() as i64 * 1_024 / 960;
    assert!((length..length + 3).contains(&(made[&20].packets.len() as i64)));
    // Without any.
    let (made, _) = job(&with, &records((&video, &packets), 0, &[0])).expect("a job");
    assert!(!made.contains_key(&20));
}

#[test]
fn what_cannot_be_done_is_an_error() {
    let one = settings(vec![rung(11, VideoCodec::H264, (320, 180))]);
    let (track, packets) = lane(Path::new(MP4), Kind::Video);
    let damaged = Track { config: track.config.slice(..4), ..track.clone() };
    let undecodable = job(&one, &records((&damaged, &packets), 0, &[]));
    assert!(matches!(undecodable.err(), Some(JobError::Decode(_))));
    let mut odd = one.clone();
    odd.rungs[0].encode.preset = "never-heard-of".into();
    // The sound's thread has to be let go, too.
    let (codec, bitrate, channels) = (AudioCodec::Aac, 64_000, 2);
    odd.audio = Some(AudioSettings { track: TrackId(20), codec, bitrate, channels });
    let failed = job(&odd, &records((&track, &packets), 0, &[])).err();
    assert!(matches!(failed, Some(JobError::Encode { .. })));
    for (words, why) in [
        (vec![b' '; LINE_MAX + 1], "no line of at most 65536 bytes"),
        (b"{}".to_vec(), "no line of at most 65536 bytes"),
        (b"{}\n".to_vec(), "missing field `rungs` at line 1 column 2"),
    ] {
        let e = run(std::io::Cursor::new(words), Sink::default()).expect_err("refused");
        assert_eq!(e.to_string(), format!("the job's settings: {why}"));
    }
    let mut bytes = one.line();
    bytes.extend_from_slice(&[0; 40]);
    let e = run(std::io::Cursor::new(bytes), Sink::default()).expect_err("no records");
    assert!(matches!(e, JobError::Source(_)), "{e}");
}
