//! A log for tests: an FLV file's packets, cut and written as a publish would write them.

use crate::base::ids::{Generation, Msn, Session, TrackId};
use crate::base::time::{MICROS, Mono, Now, Timescale, Wall};
use crate::log::id::LogId;
use crate::log::logs::Logs;
use crate::log::options::Options;
use crate::media::codec::{VideoRange, details};
use crate::media::flv::body::{AudioBody, VideoBody, audio, video};
use crate::media::flv::file::{FlvReader, TagKind};
use crate::media::packet::Packet;
use crate::media::timeline::cue::Cue;
use crate::media::timeline::cut::{Base, Config, Cutter, Output, Pace};
use crate::media::timeline::lane::Plan;
use crate::media::timeline::mark::{GenerationStart, Mark, RENDER, Rendition, SessionRecord};
use crate::media::timeline::part_target::part_target;
use crate::media::track::{FrameRate, Kind, Track};
use std::path::{Path, PathBuf};

/// The clip that tests use: 10 s, H.264 640x360 at 25 fps, AAC 44.1 kHz stereo.
pub(crate) const BBB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/media/bbb.flv");

/// When the fixture's encoder was on air.
pub(crate) const ON_AIR: Wall = Wall(1_700_000_000_000_000);

/// The packets and the first configurations of an FLV file.
pub(crate) fn packets(flv: &Path) -> (Vec<Track>, Vec<Packet>) {
    let mut reader = FlvReader::from_bytes(std::fs::read(flv).expect("the clip").into());
    let (mut tracks, mut packets) = (Vec::new(), Vec::new());
    let timescale = Timescale::MILLIS;
    while let Some(tag) = reader.next_tag().expect("FLV") {
        let dts = i64::from(tag.timestamp);
        match tag.kind {
            TagKind::Video => match video(&tag.body, 4).expect("H.264") {
                VideoBody::Config { codec, config } => {
                    let id = TrackId::VIDEO;
                    tracks.push(Track { id, codec, timescale, rate: None, config });
                }
                VideoBody::Coded { key, cts, payload, .. } => {
                    packets.push(Packet { track: TrackId::VIDEO, dts, cts, key, payload });
                }
                _ => {}
            },
            TagKind::Audio => match audio(&tag.body).expect("AAC") {
                AudioBody::Config { codec, config } => {
                    let id = TrackId::AUDIO;
                    tracks.push(Track { id, codec, timescale, rate: None, config });
                }
                AudioBody::Coded { payload, .. } => {
                    packets.push(Packet { track: TrackId::AUDIO, dts, cts: 0, key: true, payload });
                }
                _ => {}
            },
            TagKind::Script => {}
        }
    }
    tracks.sort_by_key(|t| t.id);
    (tracks, packets)
}

fn rendition(t: &Track) -> Rendition {
    let d = details(t).expect("a good configuration");
    Rendition {
        name: if d.video.is_some() { "video" } else { "audio" }.into(),
        track: t.id,
        kind: t.codec.kind(),
        codecs: d.codecs,
        bandwidth: 1_000_000,
        resolution: d.video.map(|v| (v.width, v.height)),
        frame_rate_millis: None,
        offered: true,
        range: VideoRange::Sdr,
        channels: d.audio.map(|a| a.channels),
    }
}

fn cue(n: i64) -> Cue {
    let start = ON_AIR.plus((n + 1) * 1_500_000);
    let (duration, data) = ((1 - n) * 6 * MICROS, format!("{{\"n\": {n}}}"));
    let (id, class) = (format!("cue-{n}"), "com.example.cue".to_owned());
    Cue { id, class, start, duration, added: start, data, repeated: false }
}

/// Writes the clip as generation 3 of session 2 of channel `main`; returns the log's directory.
/// `seal`: with its end record and footer, as a publish that ended well.
pub(crate) async fn write_log(data: &Path, extent_micros: i64, seal: bool) -> PathBuf {
    write_log_with(data, extent_micros, seal, Vec::new()).await
}

/// The same, with two cues: one that lasts beyond the first extents of 4 s, and a moment.
pub(crate) async fn write_log_with_cues(data: &Path, extent_micros: i64) -> PathBuf {
    write_log_with(data, extent_micros, true, vec![cue(1), cue(0)]).await
}

async fn write_log_with(
    data: &Path,
    extent_micros: i64,
    seal: bool,
    mut cues: Vec<Cue>,
) -> PathBuf {
    let (tracks, packets) = packets(Path::new(BBB));
    let rate = FrameRate::new(25, 1).expect("a rate");
    let session = SessionRecord {
        target_duration: 4,
        segment: 2 * MICROS,
        part_target: part_target(500_000, 40_000),
        latency_budget: 500_000,
        render: RENDER,
        renditions: tracks.iter().map(rendition).collect(),
    };
    let plan = |t: &Track| {
        let d = details(t).expect("a good configuration");
        let kind = t.codec.kind();
        Plan {
            track: t.id,
            kind,
            timescale: t.timescale,
            mux: d.mux_timescale,
            frame: if kind == Kind::Video { 40_000 } else { d.frame_micros(rate) },
            frames: d.frame_length(),
        }
    };
    let plans: Vec<Plan> = tracks.iter().map(plan).collect();
    let (target_duration, pace) = (4 * MICROS, Pace::Media);
    let (segment, part_target) = (session.segment, session.part_target);
    let config = Config { segment, target_duration, part_target, pace };
    let at = |dts: i64| Now { mono: Mono(dts as u64 * 1000), wall: ON_AIR.plus(dts * 1000) };
    let base = Base { msn: Msn(7), dseq: 1, previous: None };
    let mut cutter = Cutter::new(config, &plans, base, at(0));
    let options = Options { extent_micros, low_space: 0, ..Options::default() };
    let logs = Logs::open(data, options).expect("opens");
    let channel = "main".parse().expect("a name");
    let id = LogId { channel, session: Session(2), generation: Generation(3), rung: None };
    let start = GenerationStart {
        session: id.session,
        generation: id.generation,
        job: None,
        base: base.msn,
        dseq: base.dseq,
        previous: None,
    };
    let mut writer = logs.create(&id, start).await.expect("created");
    writer.append_mark(&Mark::Session(session)).expect("a session");
    for t in &tracks {
        writer.append_mark(&Mark::Track(t.clone())).expect("a track");
    }
    let drain = |cutter: &mut Cutter, writer: &mut crate::log::writer::Writer| {
        while let Some(out) = cutter.poll_output() {
            match out {
                Output::Packet(p, seq) => drop(writer.append_packet(&p, seq).expect("a packet")),
                Output::Mark(m) => {
                    if let Mark::SegmentStart(s) = &m
                        && s.track == TrackId::VIDEO
                    {
                        writer.roll_if_due(s.wall.0);
                    }
                    writer.append_mark(&m).expect("a mark");
                }
            }
        }
    };
    let last = packets.last().map_or(0, |p| p.dts);
    for p in packets {
        if p.dts >= 1_500 * (3 - cues.len() as i64)
            && let Some(cue) = cues.pop()
        {
            writer.append_mark(&Mark::Cue(cue)).expect("a cue");
        }
        cutter.packet(at(p.dts), p);
        drain(&mut cutter, &mut writer);
    }
    if seal {
        cutter.end(at(last), true);
        drain(&mut cutter, &mut writer);
        writer.seal().await.expect("sealed");
    } else {
        writer.flush();
        let all = writer.position();
        let mut records =
            logs.subscribe(&id, crate::log::subscription::From::Start).expect("subscribed");
        while records.position() < all {
            records.next().await.expect("readable");
        }
    }
    id.dir(data)
}
