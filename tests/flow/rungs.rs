//! Ladders by the real worker process: every rung can be decoded, looks like its source, and has
//! its key frames where the source's segments start and nowhere else; a worker that crashes or
//! cannot keep up harms nobody.

use crate::process;
use castctl::api::ladder::level::Profile;
use castctl::api::ladder::planned::PlannedEncode;
use castctl::api::ladder::{AudioCodec, VideoCodec};
use castctl::av::demux::{Demuxer, Item};
use castctl::base::ids::{Msn, Seq, TrackId};
use castctl::base::time::Wall;
use castctl::log::format::record::Record;
use castctl::media::codec::h264::nals;
use castctl::media::codec::{details, key_prefix};
use castctl::media::packet::Packet;
use castctl::media::timeline::mark::{Mark, SegmentStart};
use castctl::media::track::{Codec, Track};
use castctl::rt::clock::Clock;
use castctl::rt::task;
use castctl::transcode::report::Report;
use castctl::transcode::settings::{AudioSettings, RungSettings, Settings};
use castctl::transcode::wire::Output;
use castctl::transcode::worker::{End, Outputs, Worker, WorkerError};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Least likeness of a rung to its source that is no fault (SSIM of all planes): rates are what
/// ladders give such sizes, and a wrong colour, size or order of pictures is far below.
const LIKE: f64 = 0.93;

/// Most that a worker of three small rungs may hold: three encoders and what waits for them.
const RESIDENT: u64 = 512 << 20;

/// A figure for whoever reads the test's output.
macro_rules! say {
    ($($words:tt)*) => {
        // Nobody who reads it is no fault.
        drop(writeln!(std::io::stderr(), $($words)*))
    };
}

fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_castctl").into()
}

/// The clip in the tree at twice its rate and half its size, with re-ordered pictures, a key frame
/// every second, and its sound of 5.1.
async fn clip(dir: &Path, more: &str) -> PathBuf {
    let path = dir.join("clip.mp4");
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/media/bigbuckbunny.mp4");
    let words = format!(
        "-y -i {} -t 5 -vf framerate=50,scale=640:360 -c:v libx264 -preset veryfast -crf 18 -bf 3 \
         -g 50 -sc_threshold 0 -pix_fmt yuv420p -c:a copy {more}",
        fixture.display()
    );
    let made = process::run(process::ffmpeg(&words).arg(&path)).await;
    assert_eq!(made.code, Some(0), "{}", made.err);
    path
}

fn rung(track: u16, codec: VideoCodec, (width, height): (u32, u32), capped: bool) -> RungSettings {
    let (preset, level, bitrate) = match codec {
        VideoCodec::H264 => ("veryfast", 31, 900_000),
        VideoCodec::Hevc => ("ultrafast", 30, 400_000),
        VideoCodec::Av1 => ("12", 30, 300_000),
    };
    RungSettings {
        track: TrackId(track),
        name: format!("{height}p").parse().expect("a name"),
        width,
        height,
        frame_rate: (50, if capped { 2 } else { 1 }),
        capped,
        encode: PlannedEncode {
            codec,
            preset: preset.into(),
            profile: if codec == VideoCodec::H264 { Profile::High } else { Profile::Main },
            level,
            codecs: String::new(),
            bitrate,
            maxrate: bitrate * 6 / 5,
            bufsize: bitrate * 6 / 5,
        },
    }
}

/// A file's records, with a segment at each key frame of its pictures, as a log has them.
struct Clip {
    video: Track,
    records: Vec<Record>,
    /// PTS of the pictures in the order of showing, and of those that start a segment.
    times: Vec<i64>,
    starts: Vec<i64>,
}

fn records(path: &Path) -> Clip {
    let mut demuxer = Demuxer::open(path).expect("a clip");
    let mut seqs = BTreeMap::<u16, u64>::new();
    let (mut video, mut records, mut times, mut starts) = (None, vec![], vec![], vec![]);
    while let Some(item) = demuxer.read().expect("whole") {
        let packet = match item {
            Item::Track(track) => {
                if track.id == TrackId::VIDEO {
                    video = Some(track.clone());
                }
                records.push(Record::Mark(Mark::Track(track)));
                continue;
            }
            Item::Packet(packet) => packet,
        };
        let seq = seqs.entry(packet.track.0).or_default();
        let (track, first_seq) = (packet.track, Seq(*seq));
        *seq += 1;
        if track == TrackId::VIDEO {
            times.push(packet.pts());
            if packet.key {
                starts.push(packet.pts());
                let (msn, wall, dseq) = (Msn(starts.len() as u64), Wall(0), 0);
                let (discontinuity, independent) = (false, true);
                records.push(Record::Mark(Mark::SegmentStart(SegmentStart {
                    track,
                    msn,
                    dseq,
                    discontinuity,
                    independent,
                    wall,
                    first_seq,
                })));
            }
        }
        records.push(Record::Packet { packet, seq: Some(first_seq) });
    }
    times.sort_unstable();
    Clip { video: video.expect("pictures"), records, times, starts }
}

/// What a worker made.
#[derive(Default)]
struct Made {
    tracks: BTreeMap<u16, Vec<Track>>,
    packets: BTreeMap<u16, Vec<Packet>>,
    report: Report,
}

impl Made {
    fn take(&mut self, output: Output) {
        match output {
            Output::Track(t) => self.tracks.entry(t.id.0).or_default().push(t),
            Output::Packet(p) => self.packets.entry(p.track.0).or_default().push(p),
            Output::Report(r) => self.report = r,
        }
    }
}

async fn all(mut outputs: Outputs) -> (Made, Option<WorkerError>) {
    let mut made = Made::default();
    loop {
        match outputs.next().await {
            Ok(Some(output)) => made.take(output),
            Ok(None) => return (made, None),
            Err(e) => return (made, Some(e)),
        }
    }
}

/// CPU time and most resident bytes of a worker until all that it made was read.
async fn watched<T>(worker: &Worker, reader: &tokio::task::JoinHandle<T>) -> (Duration, u64) {
    let (mut cpu, mut most) = (Duration::ZERO, 0);
    while let (Some(now), false) = (worker.usage(), reader.is_finished()) {
        (cpu, most) = (now.cpu, most.max(now.resident));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (cpu, most)
}

/// The stream of a track as a file that ffmpeg reads.
fn raw(dir: &Path, track: &Track, packets: &[Packet]) -> PathBuf {
    let (name, av1) = match track.codec {
        Codec::H264 => ("rung.h264", false),
        Codec::Hevc => ("rung.hevc", false),
        _ => ("rung.obu", true),
    };
    let mut bytes = Vec::new();
    for p in packets {
        if av1 {
            // A temporal delimiter, which packets are without.
            bytes.extend_from_slice(&[0x12, 0]);
            bytes.extend_from_slice(&p.payload);
            continue;
        }
        let before = if p.key { key_prefix(track).expect("a record") } else { Vec::new() };
        for nal in nals(&before, 4).chain(nals(&p.payload, 4)) {
            bytes.extend_from_slice(&[0, 0, 0, 1]);
            bytes.extend_from_slice(nal.expect("whole"));
        }
    }
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("written");
    path
}

/// How like a rung is to every nth picture of its source, picture by picture, by ffmpeg.
async fn likeness(rung: &Path, source: &Path, (width, height): (u32, u32), every: usize) -> f64 {
    let words = format!(
        "-i {} -i {} -filter_complex [0:v]settb=1/25,setpts=N[a];[1:v]select=not(mod(n\\,{every})),\
         scale={width}:{height}:flags=bicubic,settb=1/25,setpts=N[b];[a][b]ssim -f null -",
        rung.display(),
        source.display()
    );
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin"]).args(words.split_whitespace());
    let ended = process::run(&mut command).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let all = ended.err.rsplit_once("All:").expect("ssim's sum").1;
    all.split_whitespace().next().expect("a number").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ladder_of_three_codecs_follows_its_source_picture_by_picture() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = clip(dir.path(), "").await;
    let clip = records(&path);
    assert_eq!((clip.times.len(), clip.starts.len()), (250, 5));
    let rungs = vec![
        rung(11, VideoCodec::H264, (640, 360), false),
        rung(12, VideoCodec::Hevc, (426, 240), true),
        rung(13, VideoCodec::Av1, (320, 180), true),
    ];
    let (track, codec) = (TrackId(20), AudioCodec::Aac);
    let audio = Some(AudioSettings { track, codec, bitrate: 128_000, channels: 2 });
    let settings = Settings { rungs, audio, lateness_micros: 60_000_000, crash_after: None };
    let (mut worker, mut source, outputs) = Worker::start(&program(), &settings).expect("started");
    let reader = task::spawn("reader", all(outputs));
    for record in &clip.records {
        source.send(record).await.expect("sent");
    }
    drop(source);
    let (cpu, resident) = watched(&worker, &reader).await;
    let (made, error) = reader.await.expect("read").expect("no panic");
    assert!(error.is_none(), "{error:?}");
    let ended = worker.ended().await.expect("waited for");
    assert_eq!(ended.end, End::Exit(0), "{}", ended.said);
    say!("the worker used {cpu:?} and at most {} MiB", resident >> 20);
    assert_eq!((made.report.decoded, made.report.broken), (250, 0));
    for (n, rung) in settings.rungs.iter().enumerate() {
        let (track, packets) = (&made.tracks[&rung.track.0], &made.packets[&rung.track.0]);
        let [track] = &track[..] else { panic!("{} configurations", track.len()) };
        let name = &rung.name;
        let every = if rung.capped { 2 } else { 1 };
        let want: Vec<i64> = clip.times.iter().copied().step_by(every).collect();
        assert_eq!(packets.iter().map(Packet::pts).collect::<Vec<_>>(), want, "{name}");
        let keys: Vec<i64> = packets.iter().filter(|p| p.key).map(Packet::pts).collect();
        assert_eq!(keys, clip.starts, "{name}");
        let video = details(track).expect("a record").video.expect("video");
        assert_eq!((video.width, video.height), (rung.width, rung.height), "{name}");
        assert_eq!(track.timescale, clip.video.timescale);
        let report = made.report.rungs[n];
        let capped = (clip.times.len() - want.len()) as u64;
        assert_eq!((report.encoded, report.capped, report.late), (want.len() as u64, capped, 0));
        let bits: usize = packets.iter().map(|p| 8 * p.payload.len()).sum();
        let file = raw(dir.path(), track, packets);
        let like = likeness(&file, &path, (rung.width, rung.height), every).await;
        say!("{name}: SSIM {like:.4} at {} kbit/s", bits / 5_000);
        assert!(like > LIKE, "{name}: {like}");
    }
    let sound = details(&made.tracks[&20][0]).expect("a record").audio.expect("audio");
    assert_eq!((sound.channels, sound.sample_rate), (2, 48_000));
    let times: Vec<i64> = made.packets[&20].iter().map(Packet::pts).collect();
    assert!(times.windows(2).all(|w| w[1] - w[0] == 1_024), "no hole, no overlap");
    let seconds = times.len() as f64 * 1_024.0 / 48_000.0;
    assert!((4.9..5.2).contains(&seconds), "{seconds} s of sound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_comes_out_before_the_next_goes_in() {
    let dir = tempfile::tempdir().expect("a directory");
    let clip = records(&clip(dir.path(), "-bf 0 -tune zerolatency -an").await);
    let rungs = vec![
        rung(11, VideoCodec::H264, (640, 360), false),
        rung(12, VideoCodec::Hevc, (426, 240), false),
    ];
    let settings = Settings { rungs, audio: None, lateness_micros: 1_000_000, crash_after: None };
    let (worker, mut source, mut outputs) = Worker::start(&program(), &settings).expect("started");
    let (clock, mut delays) = (Clock::system(), Vec::new());
    for record in &clip.records[..100] {
        let sent = clock.now().mono;
        source.send(record).await.expect("sent");
        let Record::Packet { packet, .. } = record else { continue };
        for _ in 0..settings.rungs.len() {
            loop {
                let next = tokio::time::timeout(Duration::from_secs(20), outputs.next()).await;
                let output = next.expect("each packet gives one of every rung").expect("a record");
                if let Output::Packet(p) = output.expect("not over") {
                    assert_eq!(p.pts(), packet.pts());
                    break;
                }
            }
        }
        delays.push(clock.now().mono.since(sent));
    }
    delays.sort_unstable();
    let (half, most) = (delays[delays.len() / 2], delays.last().expect("some"));
    say!("from a packet of the source to the last rung's: {half:?}, at most {most:?}");
    drop(worker);
    let over = source.send(&clip.records[100]).await;
    let (_, cut) = all(outputs).await;
    // Killed when it was dropped: sooner or later nothing is taken, and nothing comes.
    assert!(matches!(over, Ok(()) | Err(WorkerError::Gone(_))));
    assert!(cut.is_none_or(|e| matches!(e, WorkerError::Wire(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_worker_is_a_value_and_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let clip = records(&clip(dir.path(), "-an").await);
    let rungs = vec![rung(11, VideoCodec::H264, (426, 240), false)];
    let crash_after = Some(60);
    let settings = Settings { rungs, audio: None, lateness_micros: 60_000_000, crash_after };
    let (mut worker, mut source, outputs) = Worker::start(&program(), &settings).expect("started");
    let reader = task::spawn("reader", all(outputs));
    let mut gone = None;
    for _ in 0..200 {
        for record in &clip.records {
            gone = source.send(record).await.err();
        }
        if gone.is_some() {
            break;
        }
    }
    assert!(matches!(gone, Some(WorkerError::Gone(_))), "{gone:?}");
    let ended = worker.ended().await.expect("waited for");
    // SIGABRT.
    assert_eq!(ended.end, End::Signal(6), "{}", ended.said);
    let (made, _) = reader.await.expect("read").expect("no panic");
    let count = made.packets.get(&11).map_or(0, Vec::len);
    assert!((1..60).contains(&count), "what was made before stands: {count}");
    let odd = Settings { rungs: Vec::new(), ..settings };
    assert!(matches!(Worker::start(&program(), &odd), Err(WorkerError::Settings(_))));
    let nowhere = Worker::start(
        &dir.path().join("castctl"),
        &Settings { rungs: vec![rung(11, VideoCodec::H264, (426, 240), false)], ..odd },
    );
    assert!(matches!(nowhere, Err(WorkerError::Start { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_keep_up_leaves_whole_pictures_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let clip = records(&clip(dir.path(), "-an").await);
    let mut slow = rung(11, VideoCodec::H264, (640, 360), false);
    slow.encode.preset = "veryslow".into();
    let quick = rung(12, VideoCodec::H264, (160, 90), false);
    let rungs = vec![slow, quick];
    let settings = Settings { rungs, audio: None, lateness_micros: 1_000_000, crash_after: None };
    let (mut worker, mut source, outputs) = Worker::start(&program(), &settings).expect("started");
    let reader = task::spawn("reader", all(outputs));
    // A minute and a half as fast as it is taken: times and numbers go on from round to round.
    let rounds = 18;
    let length = 5 * i64::from(clip.video.timescale.get());
    let mut starts = Vec::new();
    for round in 0..rounds {
        starts.extend(clip.starts.iter().map(|s| s + round * length));
        for record in &clip.records {
            let on = |seq: Seq| Seq(seq.0 + round as u64 * 250);
            let record = match record.clone() {
                Record::Packet { packet, seq } => Record::Packet {
                    packet: Packet { dts: packet.dts + round * length, ..packet },
                    seq: seq.map(on),
                },
                Record::Mark(Mark::SegmentStart(s)) => {
                    let first_seq = on(s.first_seq);
                    Record::Mark(Mark::SegmentStart(SegmentStart { first_seq, ..s }))
                }
                other => other,
            };
            source.send(&record).await.expect("sent");
        }
    }
    drop(source);
    let (_, most) = watched(&worker, &reader).await;
    let (made, error) = reader.await.expect("read").expect("no panic");
    assert!(error.is_none(), "{error:?}");
    assert_eq!(worker.ended().await.expect("waited for").end, End::Exit(0));
    say!("resident at most {} MiB; {:?}", most >> 20, made.report);
    assert!(most < RESIDENT, "{most} bytes");
    for (rung, report) in settings.rungs.iter().zip(&made.report.rungs) {
        let packets = &made.packets[&rung.track.0];
        let keys: Vec<i64> = packets.iter().filter(|p| p.key).map(Packet::pts).collect();
        assert_eq!(keys, starts, "{}: every segment begins", rung.name);
        assert_eq!(report.encoded as usize, packets.len());
        assert_eq!(report.encoded + report.late, made.report.decoded, "{}", rung.name);
        assert!(packets.is_sorted_by(|a, b| a.pts() < b.pts()));
    }
    assert!(made.report.rungs[0].late > 1_000, "{:?}", made.report);
}
