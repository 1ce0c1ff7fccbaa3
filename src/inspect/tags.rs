//! FLV tag bodies, from files and RTMP alike, fed to the analysis; and what a configuration says.

use crate::base::ids::TrackId;
use crate::base::time::{Mono, Timescale};
use crate::inspect::analysis::{Analysis, Sample, TrackFacts};
use crate::inspect::report::{MetadataFacts, Report, Severity};
use crate::media::codec::{CodecError, FrameLength, details};
use crate::media::flv::FlvError;
use crate::media::flv::stream::{Brought, Coded, LeftOut, Stream};
use crate::media::track::{Codec, FrameRate, Kind, Track};
use crate::rtmp::metadata::Metadata;
use bytes::Bytes;

/// What a track's configuration says.
pub(super) fn facts(track: &Track) -> Result<TrackFacts, CodecError> {
    let d = details(track)?;
    let sar = d.video.map(|v| v.sar).filter(|(w, h)| w != h);
    let kind = track.codec.kind();
    let unknown = TrackFacts::unknown(track.id.0.into(), kind, track.timescale, d.codecs.clone());
    // A rate of video is not needed for a frame of audio.
    let any = FrameRate::new(30, 1);
    let fixed = matches!(d.frame_length(), Some(FrameLength::Fixed(_)));
    Ok(TrackFacts {
        dimensions: d.video.map(|v| (v.width, v.height)),
        sar,
        rate: d.rate,
        sample_rate: d.audio.map(|a| a.output_rate),
        channels: d.audio.map(|a| a.channels),
        frame: any.filter(|_| fixed).map(|r| d.frame_micros(r)),
        ..unknown
    })
}

/// Takes tags apart.
#[derive(Debug)]
pub(super) struct Tags {
    pub(super) analysis: Analysis,
    metadata: Option<Metadata>,
    stream: Stream,
    other_tracks: u64,
    newest: Option<i64>,
    unreadable: u64,
    first_unreadable: Option<String>,
    pub(super) media: u64,
}

impl Tags {
    pub(super) fn new() -> Tags {
        Tags {
            analysis: Analysis::interleaved(),
            metadata: None,
            stream: Stream::default(),
            other_tracks: 0,
            newest: None,
            unreadable: 0,
            first_unreadable: None,
            media: 0,
        }
    }

    pub(super) fn metadata(&mut self, metadata: Metadata) {
        self.metadata = Some(metadata);
    }

    pub(super) fn video(&mut self, timestamp: u32, body: &Bytes, arrival: Option<Mono>) {
        let read = self.stream.video(body);
        self.take(Kind::Video, timestamp, body, read, arrival);
    }

    pub(super) fn audio(&mut self, timestamp: u32, body: &Bytes, arrival: Option<Mono>) {
        let read = self.stream.audio(body);
        self.take(Kind::Audio, timestamp, body, read, arrival);
    }

    fn take(
        &mut self,
        kind: Kind,
        timestamp: u32,
        body: &Bytes,
        read: Result<Brought, FlvError>,
        arrival: Option<Mono>,
    ) {
        let dts = self.unwrap(timestamp);
        match read {
            Ok(brought) => {
                if let Some((codec, config)) = brought.config {
                    self.configure(kind, codec, config);
                }
                match brought.left_out {
                    Some(LeftOut::Track(..)) => self.other_tracks += 1,
                    Some(LeftOut::Misfit(codec)) => {
                        let why = format!("{} without its configuration", codec.name());
                        self.unreadable(timestamp, &why);
                    }
                    None => {}
                }
                if let Some(Coded { key, cts, payload }) = brought.packet {
                    self.feed(kind, dts, cts, key, payload.len(), arrival);
                }
            }
            Err(FlvError::Unsupported { what }) => {
                self.name(kind, what);
                let key = kind == Kind::Audio || body.first().is_some_and(|b| b >> 4 & 7 == 1);
                self.feed(kind, dts, 0, key, body.len(), arrival);
            }
            Err(e) => self.unreadable(timestamp, &e.to_string()),
        }
    }

    /// Milliseconds that never wrap: the time nearest to the newest.
    fn unwrap(&mut self, timestamp: u32) -> i64 {
        let last = self.newest.unwrap_or_else(|| timestamp.into());
        // The low 32 bits of both differ by less than 2^31 in one direction: that is the step.
        let time = last + i64::from(timestamp.wrapping_sub(last as u32) as i32);
        self.newest = Some(time);
        time
    }

    fn configure(&mut self, kind: Kind, codec: Codec, config: Bytes) {
        let id = match kind {
            Kind::Video => TrackId::VIDEO,
            Kind::Audio => TrackId::AUDIO,
        };
        let rate = self.metadata.as_ref().and_then(|m| m.framerate).and_then(FrameRate::from_f64);
        let track = Track { id, codec, timescale: Timescale::MILLIS, rate, config };
        match facts(&track) {
            Ok(facts) => self.analysis.configure(facts),
            Err(e) => {
                let what = format!("a configuration that cannot be read: {e}");
                self.unreadable(self.newest.unwrap_or_default() as u32, &what);
            }
        }
    }

    fn name(&mut self, kind: Kind, codec: String) {
        if !self.analysis.knows(id(kind)) {
            let scale = Timescale::MILLIS;
            self.analysis.configure(TrackFacts::unknown(id(kind), kind, scale, codec));
        }
    }

    fn feed(
        &mut self,
        kind: Kind,
        dts: i64,
        cts: i32,
        key: bool,
        size: usize,
        arrival: Option<Mono>,
    ) {
        self.media += 1;
        self.name(kind, "no configuration".into());
        let sample = Sample { dts, cts, key, size: size as u64, arrival };
        self.analysis.feed(id(kind), sample);
    }

    fn unreadable(&mut self, timestamp: u32, why: &str) {
        self.unreadable += 1;
        self.first_unreadable.get_or_insert_with(|| format!("at {timestamp} ms: {why}"));
    }

    /// Puts what was fed into a report.
    pub(super) fn report(&self, report: &mut Report) {
        report.tracks = self.analysis.tracks();
        report.skew = self.analysis.skew();
        report.arrival = self.analysis.arrival();
        report.metadata = self.metadata.as_ref().map(|m| MetadataFacts {
            encoder: m.encoder.clone(),
            width: m.width,
            height: m.height,
            frame_rate: m.framerate,
            video_data_rate: m.videodatarate,
            audio_data_rate: m.audiodatarate,
        });
        if self.other_tracks > 0 {
            let n = self.other_tracks;
            let text =
                format!("{n} packet(s) of further tracks: castctl carries the first of each");
            report.found(Severity::Note, text);
        }
        if let Some(first) = &self.first_unreadable {
            let n = self.unreadable;
            report.found(Severity::Damage, format!("{n} packet(s) cannot be read, first {first}"));
        }
    }
}

fn id(kind: Kind) -> u32 {
    match kind {
        Kind::Video => TrackId::VIDEO.0.into(),
        Kind::Audio => TrackId::AUDIO.0.into(),
    }
}
