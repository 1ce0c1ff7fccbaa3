//! A container file (MP4 and its kin, MPEG-TS, Matroska) as tracks and packets, in the file's
//! order. The codecs that castctl carries; streams of others are named and left out. Blocking.
//!
//! Times are those of the file: edit lists are applied (so the first packets may have times below
//! zero), 33-bit clocks go on past their wrap, packets that an edit list hides are there, because
//! decoders need them.

use crate::av::adts;
use crate::av::annexb::{HevcSets, Sets};
use crate::av::error::AvError;
use crate::av::record::record;
use crate::av::stamps::{Clock, Stamps, TS_BITS};
use crate::base::ids::TrackId;
use crate::base::time::Timescale;
use crate::media::codec::av1::{Av1Config, without_delimiters};
use crate::media::codec::h264::AvcConfig;
use crate::media::codec::hevc::HevcConfig;
use crate::media::codec::{in_band, is_key, opus};
use crate::media::packet::Packet;
use crate::media::track::{Codec, FrameRate, Kind, Track};
use bytes::Bytes;
use ffmpeg_next::codec::packet::side_data;
use ffmpeg_next::format::context::{Input, StreamIo};
use ffmpeg_next::format::stream::Stream;
use ffmpeg_next::{Dictionary, Error, Rational, codec, format, log};
use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The demuxers that may be used. Others open further files or addresses that a file names.
const FORMATS: &str = "mov,mp4,m4a,3gp,3g2,mj2,mpegts,matroska,webm";

/// Most packets at a stream's beginning that may have no decoding time: as many as H.264 can
/// re-order. Matroska stores none, and libav learns the order from the first pictures.
const EARLY_MAX: usize = 16;

/// What a file gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A track's configuration from here on; before its first packet where the file has one.
    Track(Track),
    /// A packet.
    Packet(Packet),
}

/// How a stream's bytes are stored.
#[derive(Debug)]
enum Form {
    /// As `media` carries them.
    Plain,
    /// H.264 with start codes; the record is made of the parameter sets in it.
    AnnexB(Sets),
    /// HEVC likewise.
    HevcAnnexB(HevcSets),
    /// AAC with ADTS headers.
    Adts,
}

/// One stream that is read.
struct Lane {
    track: Track,
    /// Does `track` have a configuration?
    configured: bool,
    nal_len: u8,
    form: Form,
    stamps: Stamps,
    /// The first packets, while none has had a decoding time.
    early: Vec<codec::packet::Packet>,
    /// Ticks of the track in one of the container's.
    factor: i64,
}

/// A container file being read.
pub struct Demuxer {
    path: PathBuf,
    input: Input,
    /// By stream index; `None` is left out.
    lanes: Vec<Option<Lane>>,
    left_out: Vec<String>,
    clock: Clock,
    items: VecDeque<Item>,
    /// Microseconds of the newest packet.
    newest: Option<i64>,
    skipped: u64,
    transport: bool,
}

impl Demuxer {
    /// Opens a file and finds its tracks. Reads up to some seconds of media for that.
    ///
    /// # Errors
    /// The file cannot be read, is none of the containers, or has no track that castctl carries.
    pub fn open(path: &Path) -> Result<Demuxer, AvError> {
        let cannot = |source| AvError::Io { path: path.to_owned(), source };
        log::set_level(log::Level::Quiet);
        let file = File::open(path).map_err(cannot)?;
        let unknown = |e: Error| AvError::Unknown { path: path.to_owned(), why: e.to_string() };
        let io = StreamIo::from_read_seek(file).map_err(unknown)?;
        let mut options = Dictionary::new();
        options.set("format_whitelist", FORMATS);
        // By content and not by name.
        let input = format::input_from_stream(io, None, Some(options)).map_err(unknown)?;
        let transport = input.format().name() == "mpegts";
        let (mut lanes, mut left_out) = (Vec::<Option<Lane>>::new(), Vec::new());
        for stream in input.streams() {
            let taken = |id| lanes.iter().flatten().any(|l| l.track.id == id);
            let next = 3 + lanes.iter().flatten().filter(|l| l.track.id.0 > 2).count();
            let lane = lane(&stream, transport, |kind| match kind {
                Kind::Video if !taken(TrackId::VIDEO) => TrackId::VIDEO,
                Kind::Audio if !taken(TrackId::AUDIO) => TrackId::AUDIO,
                _ => TrackId(u16::try_from(next).unwrap_or(u16::MAX)),
            });
            lanes.push(lane.map_err(|what| left_out.push(what)).ok());
        }
        if lanes.iter().flatten().next().is_none() {
            return Err(AvError::NoTracks { path: path.to_owned(), found: left_out });
        }
        let configured = lanes.iter().flatten().filter(|l| l.configured);
        let items = configured.map(|l| Item::Track(l.track.clone())).collect();
        let clock = Clock::new(transport.then_some(TS_BITS));
        let (path, newest) = (path.to_owned(), None);
        let skipped = 0;
        Ok(Demuxer { path, input, lanes, left_out, clock, items, newest, skipped, transport })
    }

    /// The tracks that are read. One whose configuration is in its packets has an empty one here.
    pub fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.lanes.iter().flatten().map(|l| &l.track)
    }

    /// The streams that are not read: `stream 2 (audio, opus)`.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Packets that were left out so far because they have no time or nothing in them (MPEG-TS
    /// begins and ends anywhere).
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Microseconds of media, when the file says so.
    pub fn duration(&self) -> Option<i64> {
        Some(self.input.duration()).filter(|d| *d > 0)
    }

    /// The next track or packet; `None` at the end.
    ///
    /// # Errors
    /// The file is damaged or cut off from here on.
    pub fn read(&mut self) -> Result<Option<Item>, AvError> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Ok(Some(item));
            }
            let mut packet = codec::packet::Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) => self.packet(packet)?,
                Err(Error::Eof) => {
                    let lanes = self.lanes.iter_mut().flatten();
                    let early: Vec<_> = lanes.flat_map(|l| std::mem::take(&mut l.early)).collect();
                    early.iter().try_for_each(|p| self.take(p, None))?;
                    if self.items.is_empty() {
                        return Ok(None);
                    }
                }
                Err(e) => return Err(self.damaged(e.to_string())),
            }
        }
    }

    fn damaged(&self, why: String) -> AvError {
        AvError::Damaged { path: self.path.clone(), after: self.newest, why }
    }

    /// One packet of the container, or its stream's first ones: those before the first decoding
    /// time are decoded one duration after another.
    fn packet(&mut self, p: codec::packet::Packet) -> Result<(), AvError> {
        let Some(Some(lane)) = self.lanes.get_mut(p.stream()) else { return Ok(()) };
        let new = lane.stamps.is_new() && p.dts().is_none() && p.pts().is_some();
        if new && lane.early.len() < EARLY_MAX {
            lane.early.push(p);
            return Ok(());
        }
        let early = std::mem::take(&mut lane.early);
        let before = |n: usize| p.duration().saturating_mul(i64::try_from(n).unwrap_or(0));
        for (n, e) in early.iter().enumerate() {
            self.take(e, p.dts().map(|dts| dts.saturating_sub(before(early.len() - n))))?;
        }
        self.take(&p, p.dts())
    }

    fn take(&mut self, p: &codec::packet::Packet, dts: Option<i64>) -> Result<(), AvError> {
        let Some(Some(lane)) = self.lanes.get_mut(p.stream()) else { return Ok(()) };
        if p.is_corrupt() && !self.transport {
            return Err(self.damaged("a packet is not whole".into()));
        }
        let Some(data) = p.data().filter(|d| !d.is_empty()) else { return Ok(()) };
        let scaled = |t: Option<i64>| t.and_then(|t| t.checked_mul(lane.factor));
        let duration = p.duration().saturating_mul(lane.factor);
        let times = (scaled(dts), scaled(p.pts()));
        let place = lane.stamps.place(&mut self.clock, times, duration);
        // A packet of MPEG-TS that may be damaged is kept: where two streams are joined the mark is
        // on whole ones, and decoders conceal the rest.
        let Some((dts, cts)) = place else {
            self.skipped += 1;
            return Ok(());
        };
        self.newest = Some(lane.track.timescale.to_micros(dts));
        let news = p.side_data().find(|s| s.kind() == side_data::Type::NewExtraData);
        if let Some(record) = news.map(|s| Bytes::copy_from_slice(s.data())) {
            self.items.extend(lane.configure(record));
        }
        if lane.take((dts, cts), data, &mut self.items) {
            return Ok(());
        }
        self.skipped += 1;
        Ok(())
    }
}

impl Lane {
    /// A configuration; `None` when it is in force already, or none that can be read.
    fn configure(&mut self, record: Bytes) -> Option<Item> {
        if self.configured && self.track.config == record {
            return None;
        }
        match self.track.codec {
            Codec::H264 => self.nal_len = AvcConfig::parse(&record).ok()?.nal_len_size,
            Codec::Hevc => self.nal_len = HevcConfig::parse(&record).ok()?.nal_len_size,
            Codec::Av1 => drop(Av1Config::parse(&record).ok()?),
            Codec::Opus => drop(opus::Head::parse(&record).ok()?),
            Codec::Aac => {}
        }
        self.track.config = record;
        self.configured = true;
        Some(Item::Track(self.track.clone()))
    }

    /// One packet of the container; false when nothing could be made of it.
    fn take(&mut self, (dts, cts): (i64, i32), data: &[u8], out: &mut VecDeque<Item>) -> bool {
        let (track, codec) = (self.track.id, self.track.codec);
        let unit = match &mut self.form {
            Form::Plain if codec == Codec::Av1 => {
                (without_delimiters(&Bytes::copy_from_slice(data)), None)
            }
            Form::Plain => (Bytes::copy_from_slice(data), None),
            Form::AnnexB(sets) => sets.unit(data),
            Form::HevcAnnexB(sets) => sets.unit(data),
            Form::Adts => {
                let mut at = dts;
                for frame in adts::frames(data) {
                    out.extend(self.configure(frame.config()));
                    let payload = Bytes::copy_from_slice(frame.payload);
                    out.push_back(Item::Packet(Packet { track, dts: at, cts, key: true, payload }));
                    at = at.saturating_add(self.frame());
                }
                return at > dts;
            }
        };
        let (payload, record) = unit;
        out.extend(record.and_then(|r| self.configure(r)));
        if payload.is_empty() {
            return false;
        }
        let key = is_key(codec, &payload, self.nal_len);
        // Files, too, may leave a change of parameter sets to the pictures.
        let news = in_band(codec, &self.track.config, &payload).filter(|_| key);
        out.extend(news.and_then(|r| self.configure(r)));
        out.push_back(Item::Packet(Packet { track, dts, cts, key, payload }));
        true
    }

    /// Ticks of a frame of AAC with the configuration in force.
    fn frame(&self) -> i64 {
        let details = crate::media::codec::aac::parse(&self.track.config).ok();
        let rate = details.and_then(|d| Some((d.frame.usual(), Timescale::new(d.sample_rate)?)));
        rate.map_or(0, |(n, rate)| rate.convert(n.into(), self.track.timescale)).max(1)
    }
}

/// A stream that castctl carries, or what it is instead.
fn lane(
    stream: &Stream<'_>,
    transport: bool,
    id: impl FnOnce(Kind) -> TrackId,
) -> Result<Lane, String> {
    let parameters = stream.parameters();
    let codec = match parameters.id() {
        codec::Id::H264 => Codec::H264,
        codec::Id::AAC => Codec::Aac,
        codec::Id::HEVC => Codec::Hevc,
        codec::Id::OPUS => Codec::Opus,
        // MPEG-TS has a form of AV1 of its own.
        codec::Id::AV1 if !transport => Codec::Av1,
        other => {
            let medium = format!("{:?}", parameters.medium()).to_lowercase();
            let (index, name) = (stream.index(), other.name());
            return Err(format!("stream {index} ({medium}, {name})"));
        }
    };
    let not = |what: &str| format!("stream {} ({what})", stream.index());
    let Rational(factor, scale) = stream.time_base();
    let timescale = u32::try_from(scale).ok().and_then(Timescale::new);
    let timescale = timescale.filter(|_| factor > 0).ok_or_else(|| not("it has no time base"))?;
    let form = match (transport, codec) {
        (true, Codec::H264) => Form::AnnexB(Sets::default()),
        (true, Codec::Hevc) => Form::HevcAnnexB(HevcSets::default()),
        (true, Codec::Aac) => Form::Adts,
        (true, Codec::Av1 | Codec::Opus) | (false, _) => Form::Plain,
    };
    let Rational(num, den) = stream.avg_frame_rate();
    let rate = u32::try_from(num).ok().zip(u32::try_from(den).ok());
    let rate = rate.filter(|_| codec.kind() == Kind::Video).and_then(|(n, d)| FrameRate::new(n, d));
    let track = Track { id: id(codec.kind()), codec, timescale, rate, config: Bytes::new() };
    let (configured, nal_len, stamps) = (false, 4, Stamps::default());
    let (early, factor) = (Vec::new(), factor.into());
    let mut lane = Lane { track, configured, nal_len, form, stamps, early, factor };
    if matches!(lane.form, Form::Plain) {
        let record = record(&parameters).filter(|(found, _)| *found == codec);
        let record = record.ok_or_else(|| not("its codec configuration cannot be read"))?;
        lane.configure(record.1).ok_or_else(|| not("its codec configuration is damaged"))?;
    }
    Ok(lane)
}

impl std::fmt::Debug for Demuxer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Demuxer({})", self.path.display())
    }
}
