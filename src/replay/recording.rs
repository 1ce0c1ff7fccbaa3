//! A recording in a log: its packets as the encoder sent them, listed or not, with the
//! configurations where they changed. The generations of a session are one recording, one after
//! another: each connection's times are its own, so they may step where another begins.

use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::log::batch::Batch;
use crate::log::dir::{LogDir, extent_files, place};
use crate::log::error::LogError;
use crate::log::format::record::Record;
use crate::log::fs::FileSystem;
use crate::log::id::LOGS;
use crate::log::subscription::Subscription;
use crate::media::flv::write::{audio_body, audio_config_body, video_body, video_config_body};
use crate::media::packet::Packet;
use crate::media::timeline::mark::{Mark, SessionRecord};
use crate::media::track::{Codec, Kind, Track};
use crate::replay::describe::describe;
use crate::replay::error::SourceError;
use crate::replay::flv::Raw;
use crate::replay::message::MessageKind;
use bytes::Bytes;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Bytes of the log's beginning that are looked through for what the metadata has to announce. The
/// session record is there after a second or two; this is 60 s of 2 Mbit/s.
const SURVEY_BYTES: usize = 16 << 20;

/// A log being read.
pub(super) struct Recording {
    dir: LogDir,
    /// The generations after this one.
    later: VecDeque<LogDir>,
    records: Subscription,
    /// The video and the audio track that are sent: RTMP carries one of each.
    video: Option<Track>,
    audio: Option<Track>,
    /// What packets are that come before their track's configuration.
    announced: [Option<Codec>; 2],
    out: VecDeque<Raw>,
    /// Configurations that wait for the time of the next packet.
    waiting: Vec<(MessageKind, Bytes)>,
}

impl Recording {
    /// Opens a log's directory, one extent of it, or a directory with one session in it.
    pub(super) async fn open(path: &Path) -> Result<Recording, SourceError> {
        let mut later = VecDeque::new();
        let (fs, path) = &place(path)?;
        for path in generations(fs.as_ref(), path)? {
            later.push_back(LogDir::on(fs, &path)?);
        }
        let Some(dir) = later.pop_front() else {
            return Err(LogError::NotFound { path: path.clone() }.into());
        };
        let found = survey(&dir).await?;
        let announced = [Kind::Video, Kind::Audio].map(|kind| found.codec(kind));
        let metadata = found.metadata();
        let records = dir.read_from(dir.extents()[0]);
        let waiting = vec![(MessageKind::Metadata, metadata)];
        let (video, audio, out) = (None, None, VecDeque::new());
        Ok(Recording { dir, later, records, video, audio, announced, out, waiting })
    }

    /// The codecs that it needs of a server.
    pub(super) fn codecs(&self) -> Vec<Codec> {
        self.announced.into_iter().flatten().collect()
    }

    /// The next records of any generation.
    async fn batch(&mut self) -> Result<Option<Batch>, SourceError> {
        loop {
            if let Some(batch) = next_of(&self.dir, &mut self.records).await? {
                return Ok(Some(batch));
            }
            let Some(next) = self.later.pop_front() else { return Ok(None) };
            self.records = next.read_from(next.extents()[0]);
            self.dir = next;
        }
    }

    /// The next message; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Raw>, SourceError> {
        loop {
            if let Some(raw) = self.out.pop_front() {
                return Ok(Some(raw));
            }
            let Some(batch) = self.batch().await? else { return Ok(None) };
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
        let body = body(track.codec, &track.config);
        *slot = Some(track);
        self.waiting.push((kind, body));
    }

    fn packet(&mut self, packet: Packet) {
        let holds = |t: &Option<Track>| t.as_ref().is_some_and(|t| t.id == packet.track);
        let [picture, sound] = self.announced;
        let (kind, track, codec) = if holds(&self.video) || packet.track == TrackId::VIDEO {
            (MessageKind::Video, &self.video, picture.unwrap_or(Codec::H264))
        } else if holds(&self.audio) || packet.track == TrackId::AUDIO {
            (MessageKind::Audio, &self.audio, sound.unwrap_or(Codec::Aac))
        } else {
            return;
        };
        if track.as_ref().is_some_and(|t| t.id != packet.track) {
            return;
        }
        let scale = track.as_ref().map_or(Timescale::MILLIS, |t| t.timescale);
        let millis = |ticks| scale.convert(ticks, Timescale::MILLIS);
        let dts = millis(packet.dts);
        let codec = track.as_ref().map_or(codec, |t| t.codec);
        let body = match kind {
            MessageKind::Video => {
                let cts = i32::try_from(millis(packet.cts.into())).unwrap_or_default();
                video_body(codec, packet.key, cts, &packet.payload)
            }
            _ => audio_body(codec, &packet.payload),
        };
        // Video's configuration goes first, as encoders send it.
        self.waiting.sort_by_key(|(kind, _)| *kind == MessageKind::AudioConfig);
        let waiting = self.waiting.drain(..).map(|(kind, body)| Raw { kind, dts, body });
        self.out.extend(waiting);
        self.out.push_back(Raw { kind, dts, body });
    }

    /// Milliseconds of media from each generation's first packet to the newest of its last extent.
    pub(super) async fn duration(&self) -> Option<i64> {
        let mut sum = 0i64;
        for dir in std::iter::once(&self.dir).chain(&self.later) {
            let (first, last) = (*dir.extents().first()?, *dir.extents().last()?);
            let ends = (times(dir, first, true).await, times(dir, last, false).await);
            // A generation may be all gaps.
            let (Some((start, _)), Some((_, end))) = ends else { continue };
            sum = sum.saturating_add(end.saturating_sub(start));
        }
        Some(sum)
    }
}

/// Lowest and highest DTS of an extent (of its first batch with packets alone), milliseconds.
async fn times(dir: &LogDir, extent: u32, head: bool) -> Option<(i64, i64)> {
    let mut records = dir.read_from(extent);
    let (mut range, mut scales) = (None::<(i64, i64)>, Vec::new());
    while let Ok(Some(batch)) = next_of(dir, &mut records).await {
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

type Body = fn(Codec, &[u8]) -> Bytes;

/// The next records of a log, but none beyond the last extent that is meant.
///
/// # Errors
/// The log cannot be read, or breaks off in an extent that others follow.
async fn next_of(dir: &LogDir, records: &mut Subscription) -> Result<Option<Batch>, SourceError> {
    let last = dir.extents().last().copied().unwrap_or(u32::MAX);
    if records.position().extent > last {
        return Ok(None);
    }
    let batch = records.next().await?;
    let here = records.position().extent;
    if batch.is_none() && here < last {
        return Err(SourceError::Broken { path: dir.extent_path(here) });
    }
    Ok(batch.filter(|b| b.first().extent <= last))
}

/// The directories of a session's generations, oldest first, or the path itself when it is a log's
/// or an extent. Blocks for a few listings.
fn generations(fs: &dyn FileSystem, path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let cannot = |source| SourceError::Io { path: path.to_owned(), source };
    if !fs.is_dir(path) || !extent_files(fs, path).map_err(cannot)?.is_empty() {
        return Ok(vec![path.to_owned()]);
    }
    let found = numbered(fs, path, 'g').map_err(cannot)?;
    if !found.is_empty() {
        let with_extents = |p: &PathBuf| extent_files(fs, p).is_ok_and(|files| !files.is_empty());
        return Ok(found.into_iter().filter(with_extents).collect());
    }
    // A channel has sessions, a data directory channels.
    let mut found = numbered(fs, path, 's').map_err(cannot)?;
    if found.is_empty() {
        let below = path.join(LOGS);
        let below = if fs.is_dir(&below) { below } else { path.to_owned() };
        for name in fs.list(&below).map_err(cannot)? {
            found.extend(numbered(fs, &below.join(name), 's').unwrap_or_default());
        }
        found.sort();
    }
    match &found[..] {
        [one] => generations(fs, one),
        [] => Err(LogError::NotFound { path: path.to_owned() }.into()),
        _ => Err(SourceError::Ambiguous { path: path.to_owned(), found }),
    }
}

/// The directories in a directory that are named by a letter and a number, by their numbers.
fn numbered(fs: &dyn FileSystem, dir: &Path, letter: char) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for name in fs.list(dir)? {
        let number = name.strip_prefix(letter).and_then(|n| n.parse::<u64>().ok());
        let path = dir.join(&name);
        found.extend(number.filter(|_| fs.is_dir(&path)).map(|n| (n, path)));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
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

    /// What a kind of packet is, by its first configuration, or else by what viewers are told.
    fn codec(&self, kind: Kind) -> Option<Codec> {
        let mut listed = self.session.iter().flat_map(|s| &s.renditions);
        let listed = listed.find(|r| r.kind == kind);
        let told = listed.and_then(|r| Codec::from_codecs(&r.codecs));
        self.track(kind).map(|t| t.codec).or(told)
    }

    fn announced(&self, kind: Kind) -> bool {
        let listed = |s: &SessionRecord| s.renditions.iter().any(|r| r.kind == kind);
        self.session.as_ref().is_some_and(listed) || self.track(kind).is_some()
    }

    /// `onMetaData` as an encoder would send it.
    fn metadata(&self) -> Bytes {
        let of = |kind| self.announced(kind).then(|| self.track(kind));
        describe(of(Kind::Video), of(Kind::Audio))
    }
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recording({:?})", self.dir)
    }
}
