//! A source to measure jobs with: a piece of a file, or a scene that is made up, as the records
//! that a worker reads.

use crate::api::ladder::level::Profile;
use crate::api::ladder::planned::SourceMedia;
use crate::api::ladder::{Encode, Ladder, Rung, VideoCodec};
use crate::av::decode::{Picture, Sound};
use crate::av::demux::{Demuxer, Item};
use crate::av::encode::VideoEncoder;
use crate::av::error::{AvError, CoderError};
use crate::av::sound::{SoundEncoder, SoundSettings};
use crate::base::ids::{Msn, Seq, TrackId};
use crate::base::time::{Timescale, Wall};
use crate::log::format::record::Record;
use crate::media::codec;
use crate::media::packet::Packet;
use crate::media::timeline::mark::{Mark, SegmentStart};
use crate::media::track::{Codec, FrameRate, Kind, Track};
use crate::transcode::scene::Scene;
use crate::transcode::settings::RungSettings;
use std::path::Path;

/// Ticks of a second of pictures that are made up: every usual frame rate is whole in it.
const TICKS: u32 = 90_000;

/// Samples of a second of sound that is made up.
const RATE: u32 = 48_000;

/// Samples that are made up at once.
const PIECE: u32 = 1_024;

/// Seconds of a segment of pictures that are made up.
const SEGMENT: u32 = 2;

/// Why there is no clip.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] AvError),
    /// It has no pictures.
    #[error("{0} has no pictures to transcode")]
    NoPictures(String),
    /// Its pictures say not how large they are, or come in no order.
    #[error("{0}: its pictures are not understood")]
    Unknown(String),
    /// What is made up can't be encoded.
    #[error("encoding what is made up: {0}")]
    Encode(#[from] CoderError),
}

/// A source: a track of pictures, and one of sound or none.
#[derive(Debug, Clone)]
pub struct Clip {
    tracks: Vec<(Track, Vec<Packet>)>,
    /// What a session of it says.
    pub media: SourceMedia,
}

impl Clip {
    /// The first `seconds` of a file.
    ///
    /// # Errors
    /// No such file, one that is none of the containers, one without pictures.
    pub fn read(path: &Path, seconds: f64) -> Result<Clip, ClipError> {
        let mut demuxer = Demuxer::open(path)?;
        let mut tracks: Vec<(Track, Vec<Packet>)> = Vec::new();
        while let Some(item) = demuxer.read()? {
            match item {
                Item::Track(track) => match tracks.iter_mut().find(|(t, _)| t.id == track.id) {
                    Some((t, packets)) if packets.is_empty() => *t = track,
                    Some(_) => {}
                    None => tracks.push((track, Vec::new())),
                },
                Item::Packet(p) => {
                    let lane = tracks.iter_mut().find(|(t, _)| t.id == p.track);
                    let Some((track, packets)) = lane else { continue };
                    let first = packets.first().map_or(p.dts, |f| f.dts);
                    let since = track.timescale.to_micros(p.dts - first) as f64 / 1e6;
                    if since < seconds {
                        packets.push(p);
                    } else if track.codec.kind() == Kind::Video {
                        break;
                    }
                }
            }
        }
        Clip::of(tracks, &path.display().to_string())
    }

    /// `seconds` of a scene, encoded as `media` says.
    ///
    /// # Errors
    /// The library can't encode it.
    pub fn made(scene: &Scene, media: &SourceMedia, seconds: u32) -> Result<Clip, ClipError> {
        let mut tracks = vec![pictures(scene, media, seconds)?];
        if media.audio_bitrate > 0 {
            tracks.push(sound(media.audio_bitrate, seconds)?);
        }
        Clip::of(tracks, "the scene")
    }

    fn of(mut tracks: Vec<(Track, Vec<Packet>)>, name: &str) -> Result<Clip, ClipError> {
        tracks.retain(|(_, packets)| !packets.is_empty());
        tracks.sort_by_key(|(t, _)| t.codec.kind() != Kind::Video);
        let audio = tracks.iter().find(|(t, _)| t.codec.kind() == Kind::Audio).map(rate_of);
        let none = || ClipError::NoPictures(name.to_owned());
        let video = tracks.first().filter(|(t, _)| t.codec.kind() == Kind::Video);
        let video = video.ok_or_else(none)?;
        let unknown = || ClipError::Unknown(name.to_owned());
        let details = codec::details(&video.0).map_err(|_| unknown())?;
        let (width, height) = details.video.map(|v| (v.width, v.height)).ok_or_else(unknown)?;
        let fps = video.1.len() as f64 / lasts(video).max(1e-3);
        let frame_rate = FrameRate::from_f64(fps).ok_or_else(unknown)?.parts();
        let codec = match video.0.codec {
            Codec::Hevc => VideoCodec::Hevc,
            Codec::Av1 => VideoCodec::Av1,
            _ => VideoCodec::H264,
        };
        let (bitrate, audio_bitrate) = (rate_of(video), audio.unwrap_or(0));
        let media = SourceMedia { codec, width, height, frame_rate, bitrate, audio_bitrate };
        Ok(Clip { tracks, media })
    }

    /// With these pictures instead, which a job has made of its own, and its sound.
    ///
    /// # Errors
    /// There are none.
    pub fn with(self, made: Vec<(Track, Vec<Packet>)>) -> Result<Clip, ClipError> {
        let sound = self.tracks.into_iter().filter(|(t, _)| t.codec.kind() == Kind::Audio);
        Clip::of(made.into_iter().chain(sound).collect(), "what was made")
    }

    /// Its first pictures, and the sound of their time.
    pub fn head(&self, pictures: usize) -> Clip {
        let mut head = self.clone();
        let share = pictures as f64 / self.pictures().max(1) as f64;
        for (track, packets) in &mut head.tracks {
            let most = (packets.len() as f64 * share) as usize;
            packets.truncate(if track.codec.kind() == Kind::Video { pictures } else { most });
        }
        head
    }

    /// Its pictures.
    pub fn video(&self) -> &(Track, Vec<Packet>) {
        // `of` takes none without.
        &self.tracks[0]
    }

    /// How many pictures it has.
    pub fn pictures(&self) -> usize {
        self.tracks.first().map_or(0, |(_, packets)| packets.len())
    }

    /// Seconds that its pictures last.
    pub fn seconds(&self) -> f64 {
        self.tracks.first().map_or(0.0, lasts)
    }

    /// As a log has it, by decoding time, with that time in microseconds: a segment of both tracks
    /// begins with each key frame.
    pub fn records(&self) -> Vec<(i64, Record)> {
        let mut out = Vec::new();
        for (track, packets) in &self.tracks {
            out.push((i64::MIN, Record::Mark(Mark::Track(track.clone()))));
            for (n, packet) in packets.iter().enumerate() {
                let at = track.timescale.to_micros(packet.dts);
                let seq = Seq(n as u64);
                if packet.key && (n == 0 || track.codec.kind() == Kind::Video) {
                    out.push((at, start(track.id, seq)));
                }
                out.push((at, Record::Packet { packet: packet.clone(), seq: Some(seq) }));
            }
        }
        out.sort_by_key(|(at, _)| *at);
        out
    }
}

fn start(track: TrackId, first_seq: Seq) -> Record {
    let (msn, wall, dseq) = (Msn(first_seq.0), Wall(0), 0);
    let (discontinuity, independent) = (false, true);
    let start = SegmentStart { track, msn, dseq, discontinuity, independent, wall, first_seq };
    Record::Mark(Mark::SegmentStart(start))
}

/// Seconds of a track, its last packet as long as the others.
fn lasts((track, packets): &(Track, Vec<Packet>)) -> f64 {
    let dts = || packets.iter().map(|p| p.dts);
    let span = dts().max().unwrap_or(0) - dts().min().unwrap_or(0);
    let whole = packets.len() as f64 / (packets.len().max(2) - 1) as f64;
    track.timescale.to_micros(span) as f64 / 1e6 * whole
}

fn rate_of(lane: &(Track, Vec<Packet>)) -> u64 {
    let bytes: usize = lane.1.iter().map(|p| p.payload.len()).sum();
    (bytes as f64 * 8.0 / lasts(lane).max(1e-3)) as u64
}

/// How such a source is encoded: as a broadcaster's machine does, fast.
pub fn settings(media: &SourceMedia) -> Option<RungSettings> {
    let (preset, profile) = match media.codec {
        VideoCodec::H264 => ("veryfast", Profile::High),
        VideoCodec::Hevc => ("ultrafast", Profile::Main),
        VideoCodec::Av1 => ("12", Profile::Main),
    };
    let encode = Encode {
        codec: media.codec,
        width: None,
        height: media.height,
        frame_rate_max_millis: None,
        bitrate: media.bitrate,
        maxrate: None,
        bufsize: None,
        preset: preset.into(),
        profile,
        level: None,
    };
    let rungs = vec![Rung { name: "source".parse().ok()?, encode: Some(encode) }];
    let ladder = Ladder { rungs, ..Ladder::none() };
    let planned = ladder.for_source(media);
    RungSettings::of(planned.first()?, media.frame_rate, TrackId::VIDEO)
}

fn pictures(
    scene: &Scene,
    media: &SourceMedia,
    seconds: u32,
) -> Result<(Track, Vec<Packet>), ClipError> {
    let impossible = || ClipError::Unknown("the scene".into());
    let ticks = Timescale::new(TICKS).ok_or_else(impossible)?;
    let settings = settings(media).and_then(|s| s.video(ticks)).ok_or_else(impossible)?;
    let size = (settings.width, settings.height);
    let mut encoder = VideoEncoder::new(settings)?;
    let (num, den) = media.frame_rate;
    let count = seconds * num / den.max(1);
    let every = (SEGMENT * num / den.max(1)).max(1);
    let mut out = Vec::new();
    for n in 0..count {
        let pts = i64::from(n) * i64::from(TICKS) * i64::from(den) / i64::from(num);
        let drawn = scene.draw(pts as f64 / f64::from(TICKS), size);
        let planes = drawn.planes.each_ref().map(Vec::as_slice);
        let picture = Picture::made(pts, size, planes).ok_or_else(impossible)?;
        encoder.send(picture, n % every == 0)?;
        out.extend(std::iter::from_fn(|| encoder.receive()));
    }
    encoder.finish()?;
    out.extend(std::iter::from_fn(|| encoder.receive()));
    coded(out).ok_or_else(impossible)
}

/// Voices: three tones that come and go.
fn sound(bitrate: u64, seconds: u32) -> Result<(Track, Vec<Packet>), ClipError> {
    let impossible = || ClipError::Unknown("the sound".into());
    let timescale = Timescale::new(RATE).ok_or_else(impossible)?;
    let (track, codec) = (TrackId::AUDIO, Codec::Aac);
    let mut encoder =
        SoundEncoder::new(SoundSettings { track, codec, bitrate, channels: 2, timescale })?;
    let mut out = Vec::new();
    for piece in 0..seconds * RATE / PIECE {
        let at = |n: u32| f64::from(piece * PIECE + n) / f64::from(RATE);
        let tone = |hz: f64, t: f64| (t * hz * std::f64::consts::TAU).sin() * (t * hz / 97.0).sin();
        let side = |base: f64| -> Vec<f32> {
            let sum = |t: f64| tone(base, t) + tone(base * 2.76, t) + tone(base * 5.4, t);
            (0..PIECE).map(|n| (sum(at(n)) / 4.0) as f32).collect()
        };
        let (left, right) = (side(220.0), side(330.0));
        let sound = Sound::made(i64::from(piece * PIECE), RATE, [&left, &right]);
        encoder.send(sound.ok_or_else(impossible)?)?;
        out.extend(std::iter::from_fn(|| encoder.receive()));
    }
    encoder.finish()?;
    out.extend(std::iter::from_fn(|| encoder.receive()));
    coded(out).ok_or_else(impossible)
}

/// A track and its packets.
fn coded(items: Vec<Item>) -> Option<(Track, Vec<Packet>)> {
    let (mut track, mut packets) = (None, Vec::new());
    for item in items {
        match item {
            Item::Track(t) => track = track.or(Some(t)),
            Item::Packet(p) => packets.push(p),
        }
    }
    Some((track?, packets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_is_a_source_like_a_file() {
        let media = SourceMedia {
            codec: VideoCodec::H264,
            width: 320,
            height: 180,
            frame_rate: (25, 1),
            bitrate: 400_000,
            audio_bitrate: 96_000,
        };
        let clip = Clip::made(&Scene::default(), &media, 4).expect("it is encoded");
        assert_eq!((clip.pictures(), clip.media.frame_rate), (100, (25, 1)));
        assert_eq!((clip.media.width, clip.media.height), (320, 180));
        assert!((3.9..4.1).contains(&clip.seconds()), "{}", clip.seconds());
        assert!((200_000..800_000).contains(&clip.media.bitrate), "{}", clip.media.bitrate);
        assert!((48_000..192_000).contains(&clip.media.audio_bitrate));
        let head = clip.head(50);
        assert_eq!(head.pictures(), 50);
        let count = |r: &[(i64, Record)]| {
            r.iter().filter(|(_, r)| matches!(r, Record::Mark(Mark::SegmentStart(_)))).count()
        };
        assert_eq!((count(&clip.records()), count(&head.records())), (3, 2));
        let file = Clip::read(Path::new(crate::av::clips_test::MP4), 2.0).expect("a clip");
        assert_eq!((file.media.width, file.media.frame_rate, file.pictures()), (1280, (25, 1), 50));
    }
}
