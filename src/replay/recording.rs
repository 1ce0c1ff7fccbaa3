//! A recording in a log: its packets as the encoder sent them, listed or not, with the
//! configurations where they changed.

use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::log::dir::LogDir;
use crate::log::error::LogError;
use crate::log::format::record::Record;
use crate::log::subscription::Subscription;
use crate::media::codec::details;
use crate::media::flv::body::{audio_body, audio_config_body, video_body, video_config_body};
use crate::media::packet::Packet;
use crate::media::timeline::mark::{Mark, SessionRecord};
use crate::media::track::{Kind, Track};
use crate::replay::error::SourceError;
use crate::replay::flv::{Raw, metadata_body};
use crate::replay::message::MessageKind;
use crate::rtmp::amf0::Amf0;
use bytes::Bytes;
use std::collections::VecDeque;
use std::path::Path;

/// Bytes of the log's beginning that are looked through for what the metadata has to announce. The
/// session record is there after a second or two; this is 60 s of 2 Mbit/s.
const SURVEY_BYTES: usize = 16 << 20;

/// CodecID of H.264 and SoundFormat of AAC in metadata (FLV E.4.3.1, E.4.2.1).
const AVC: f64 = 7.0;
const AAC: f64 = 10.0;

/// A log being read.
pub(super) struct Recording {
    dir: LogDir,
    records: Subscription,
    /// The video and the audio track that are sent: RTMP carries one of each.
    video: Option<Track>,
    audio: Option<Track>,
    out: VecDeque<Raw>,
    /// Configurations that wait for the time of the next packet.
    waiting: Vec<(MessageKind, Bytes)>,
}

impl Recording {
    /// Opens a log's directory or one extent of it.
    pub(super) async fn open(path: &Path) -> Result<Recording, SourceError> {
        let dir = LogDir::open(path)?;
        let metadata = survey(&dir).await?.metadata();
        let records = dir.read_from(dir.extents()[0]);
        let waiting = vec![(MessageKind::Metadata, metadata)];
        let (video, audio, out) = (None, None, VecDeque::new());
        Ok(Recording { dir, records, video, audio, out, waiting })
    }

    /// The next message; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Raw>, SourceError> {
        loop {
            if let Some(raw) = self.out.pop_front() {
                return Ok(Some(raw));
            }
            let Some(batch) = next_of(&self.dir, &mut self.records).await? else { return Ok(None) };
            for entry in batch.records() {
                match entry.record {
                    Record::Packet { packet, .. } => self.packet(packet),
                    Record::Mark(Mark::Track(track)) => self.track(track),
                    Record::Mark(_) | Record::Unknown { .. } => {}
                }
            }
        }
    }

    fn track(&mut self, track: Track) {
        let (slot, kind, body) = match track.codec.kind() {
            Kind::Video => (&mut self.video, MessageKind::VideoConfig, video_config_body as Body),
            Kind::Audio => (&mut self.audio, MessageKind::AudioConfig, audio_config_body as Body),
        };
        if slot.as_ref().is_some_and(|t| t.id != track.id) {
            return;
        }
        let body = body(&track.config);
        *slot = Some(track);
        self.waiting.push((kind, body));
    }

    fn packet(&mut self, packet: Packet) {
        let holds = |t: &Option<Track>| t.as_ref().is_some_and(|t| t.id == packet.track);
        let (kind, track) = if holds(&self.video) || packet.track == TrackId::VIDEO {
            (MessageKind::Video, &self.video)
        } else if holds(&self.audio) || packet.track == TrackId::AUDIO {
            (MessageKind::Audio, &self.audio)
        } else {
            return;
        };
        if track.as_ref().is_some_and(|t| t.id != packet.track) {
            return;
        }
        let scale = track.as_ref().map_or(Timescale::MILLIS, |t| t.timescale);
        let millis = |ticks| scale.convert(ticks, Timescale::MILLIS);
        let dts = millis(packet.dts);
        let body = match kind {
            MessageKind::Video => {
                let cts = i32::try_from(millis(packet.cts.into())).unwrap_or_default();
                video_body(packet.key, cts, &packet.payload)
            }
            _ => audio_body(&packet.payload),
        };
        // Video's configuration goes first, as encoders send it.
        self.waiting.sort_by_key(|(kind, _)| *kind == MessageKind::AudioConfig);
        let waiting = self.waiting.drain(..).map(|(kind, body)| Raw { kind, dts, body });
        self.out.extend(waiting);
        self.out.push_back(Raw { kind, dts, body });
    }

    /// Milliseconds of media from the first packet to the newest of the last extent.
    pub(super) async fn duration(&self) -> Option<i64> {
        let (first, last) = (*self.dir.extents().first()?, *self.dir.extents().last()?);
        let (start, _) = self.times(first, true).await?;
        let (_, end) = self.times(last, false).await?;
        Some(end.saturating_sub(start))
    }

    /// Lowest and highest DTS of an extent (of its first batch with packets alone), milliseconds.
    async fn times(&self, extent: u32, head: bool) -> Option<(i64, i64)> {
        let mut records = self.dir.read_from(extent);
        let (mut range, mut scales) = (None::<(i64, i64)>, Vec::new());
        while let Ok(Some(batch)) = next_of(&self.dir, &mut records).await {
            for entry in batch.records() {
                match entry.record {
                    Record::Mark(Mark::Track(t)) => scales.push((t.id, t.timescale)),
                    Record::Packet { packet: p, .. } => {
                        let scale = scales.iter().rev().find(|(id, _)| *id == p.track);
                        let scale = scale.map_or(Timescale::MILLIS, |(_, s)| *s);
                        let t = scale.convert(p.dts, Timescale::MILLIS);
                        range = Some(range.map_or((t, t), |(a, b)| (a.min(t), b.max(t))));
                    }
                    _ => {}
                }
            }
            if head && range.is_some() {
                break;
            }
        }
        range
    }
}

type Body = fn(&[u8]) -> Bytes;

/// The next records of a log, but none beyond the last extent that is meant.
async fn next_of(
    dir: &LogDir,
    records: &mut Subscription,
) -> Result<Option<crate::log::batch::Batch>, LogError> {
    let last = dir.extents().last().copied().unwrap_or(u32::MAX);
    if records.position().extent > last {
        return Ok(None);
    }
    let batch = records.next().await?;
    Ok(batch.filter(|b| b.first().extent <= last))
}

/// What the beginning of a log says about its tracks.
#[derive(Default)]
struct Survey {
    session: Option<SessionRecord>,
    tracks: Vec<Track>,
}

/// Reads on until every announced track has a configuration, the first extent ends or the limit is
/// reached.
async fn survey(dir: &LogDir) -> Result<Survey, SourceError> {
    let (mut found, mut bytes) = (Survey::default(), 0);
    let mut records = dir.read_from(dir.extents()[0]);
    while bytes < SURVEY_BYTES && !found.complete() {
        let Some(batch) = next_of(dir, &mut records).await? else { break };
        bytes += batch.bytes().len();
        for entry in batch.records() {
            match entry.record {
                Record::Mark(Mark::Session(s)) => found.session = Some(s),
                Record::Mark(Mark::Track(t)) if found.tracks.iter().all(|x| x.id != t.id) => {
                    found.tracks.push(t);
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

impl Survey {
    fn complete(&self) -> bool {
        let has = |id| self.tracks.iter().any(|t| t.id == id);
        self.session.as_ref().is_some_and(|s| s.renditions.iter().all(|r| has(r.track)))
    }

    fn track(&self, kind: Kind) -> Option<&Track> {
        self.tracks.iter().find(|t| t.codec.kind() == kind)
    }

    fn announced(&self, kind: Kind) -> bool {
        let listed = |s: &SessionRecord| s.renditions.iter().any(|r| r.kind == kind);
        self.session.as_ref().is_some_and(listed) || self.track(kind).is_some()
    }

    /// `onMetaData` as an encoder would send it; nothing in it is measured.
    fn metadata(&self) -> Bytes {
        let mut object: Vec<(String, Amf0)> = Vec::new();
        let mut put = |name: &str, value: f64| object.push((name.into(), Amf0::Number(value)));
        if self.announced(Kind::Video) {
            let track = self.track(Kind::Video);
            if let Some(v) = track.and_then(|t| details(t).ok()?.video) {
                put("width", v.width.into());
                put("height", v.height.into());
            }
            if let Some(rate) = track.and_then(|t| t.rate) {
                put("framerate", rate.as_f64());
            }
            put("videocodecid", AVC);
        }
        if self.announced(Kind::Audio) {
            if let Some(a) = self.track(Kind::Audio).and_then(|t| details(t).ok()?.audio) {
                put("audiosamplerate", a.output_rate.into());
                put("audiochannels", a.channels.into());
            }
            put("audiocodecid", AAC);
        }
        object.push(("encoder".into(), Amf0::string("castctl replay")));
        metadata_body(Amf0::EcmaArray(object))
    }
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recording({:?})", self.dir)
    }
}
