//! One channel's publisher, whoever holds it: messages in, a generation's log out. Outlives
//! connections within the reconnect window.

use crate::api::convert;
use crate::api::types::{ChannelSettings, Grant};
use crate::base::ids::{Generation, Session, TrackId};
use crate::base::time::{Mono, Now};
use crate::ingest::constants::session_record;
use crate::ingest::context::{Context, PublishError};
use crate::ingest::cues::{Ask, CueRefused};
use crate::ingest::live::Live;
use crate::ingest::probe::{Announced, Held, Known, Probe};
use crate::ingest::unwrap::Unwrap;
use crate::log::error::LogError;
use crate::media::flv::FlvError;
use crate::media::flv::stream::{Brought, Coded, LeftOut, Stream};
use crate::media::packet::Packet;
use crate::media::timeline::cue::Cue;
use crate::media::track::{Codec, FrameRate, Kind};
use crate::rtmp::metadata::Metadata;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Media may run this far ahead of the wall clock before its connection is no longer read (TIMELINE
/// section 5).
pub const AHEAD_MAX: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) enum Stage {
    Probing(Probe),
    Live(Box<Live>),
}

/// One channel's publisher. See the module doc.
#[derive(Debug)]
pub struct Publisher {
    pub(super) ctx: Arc<Context>,
    pub(super) settings: Arc<ChannelSettings>,
    pub(super) grant: Grant,
    pub(super) stage: Stage,
    announced: Announced,
    clock: Unwrap,
    tags: Stream,
    /// A person has been told that other tracks are left out.
    told_of_tracks: bool,
    /// Why its log takes nothing more: the generation can only be ended.
    pub(super) broken: Option<LogError>,
}

impl Publisher {
    /// A publisher of a generation that has just been granted.
    pub fn new(ctx: Arc<Context>, settings: Arc<ChannelSettings>, grant: Grant) -> Publisher {
        Publisher {
            ctx,
            settings,
            grant,
            stage: Stage::Probing(Probe::default()),
            announced: Announced::default(),
            clock: Unwrap::default(),
            tags: Stream::default(),
            told_of_tracks: false,
            broken: None,
        }
    }

    /// Remembers a failure of the log.
    fn note<T>(&mut self, result: Result<T, PublishError>) -> Result<T, PublishError> {
        if let Err(PublishError::Log(e)) = &result {
            self.broken.get_or_insert_with(|| e.clone());
        }
        result
    }

    /// Does its log take nothing more?
    pub fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// A publisher that takes up an open session without an encoder: its log is opened at once, so
    /// that gaps are written until one comes. Does nothing in a session that never had media.
    pub async fn resume(&mut self) -> Result<(), PublishError> {
        let Some(record) = &self.grant.record else { return Ok(()) };
        let record = convert::record_from_api(record);
        let live = Live::open(&self.ctx, &self.settings, &self.grant, record, Vec::new()).await;
        self.stage = Stage::Live(Box::new(self.note(live)?));
        self.settle().await
    }

    /// Was its key revoked?
    pub fn is_revoked(&self) -> bool {
        matches!(&self.stage, Stage::Live(live) if live.is_revoked())
    }

    /// The channel's settings.
    pub fn settings(&self) -> &Arc<ChannelSettings> {
        &self.settings
    }

    /// The session that it belongs to.
    pub fn session(&self) -> Session {
        self.grant.session
    }

    /// The generation that is written.
    pub fn generation(&self) -> Generation {
        self.grant.generation
    }

    /// Is there something that viewers may wait for: media of its own, or of the session it joined?
    pub fn is_worth_waiting(&self) -> bool {
        matches!(self.stage, Stage::Live(_)) || self.grant.record.is_some()
    }

    /// A new connection publishes.
    pub fn connected(&mut self) -> Result<(), PublishError> {
        self.clock = Unwrap::default();
        self.announced = Announced::default();
        self.told_of_tracks = false;
        let now = self.ctx.clock.now();
        match &mut self.stage {
            Stage::Probing(p) => {
                (*p, self.tags) = (Probe::default(), Stream::default());
            }
            // What the connection before was made with is in force until this one says otherwise.
            Stage::Live(live) => {
                let connected = live.connected(now);
                self.note(connected)?;
            }
        }
        Ok(())
    }

    /// The connection is gone; what it sent is closed and written.
    ///
    /// # Errors
    /// The log takes nothing more, or no more: the publisher can only be ended.
    pub async fn disconnected(&mut self) -> Result<(), PublishError> {
        if let Some(e) = &self.broken {
            return Err(e.clone().into());
        }
        let now = self.ctx.clock.now();
        if let Stage::Live(live) = &mut self.stage {
            let disconnected = live.disconnected(now);
            self.note(disconnected)?;
        }
        self.settle().await
    }

    /// What the encoder says of its stream.
    pub fn metadata(&mut self, m: &Metadata) {
        let bits = |kbps: Option<f64>| kbps.filter(|k| *k > 0.0).map(|k| (k * 1000.0) as u64);
        self.announced = Announced {
            video: m.has_video,
            audio: m.has_audio,
            rate: m.framerate.and_then(FrameRate::from_f64),
            video_bitrate: bits(m.videodatarate),
            audio_bitrate: bits(m.audiodatarate),
        };
    }

    /// A video message.
    ///
    /// # Errors
    /// Its codec is not carried, or is another than the session's; or the log takes nothing more.
    pub fn video(&mut self, timestamp: u32, message: &Bytes) -> Result<(), PublishError> {
        let dts = self.clock.timestamp(timestamp);
        let read = self.tags.video(message);
        self.take(TrackId::VIDEO, dts, read)
    }

    /// An audio message.
    ///
    /// # Errors
    /// As for [`Publisher::video`].
    pub fn audio(&mut self, timestamp: u32, message: &Bytes) -> Result<(), PublishError> {
        let (dts, read) = (self.clock.timestamp(timestamp), self.tags.audio(message));
        self.take(TrackId::AUDIO, dts, read)
    }

    /// Unsupported media ends a publish; a message that is merely broken is counted and left out.
    fn take(
        &mut self,
        track: TrackId,
        dts: i64,
        read: Result<Brought, FlvError>,
    ) -> Result<(), PublishError> {
        let brought = match read {
            Ok(brought) => brought,
            Err(e @ FlvError::Unsupported { .. }) => return Err(e.into()),
            Err(e) => {
                self.ctx.metrics.malformed.inc();
                tracing::debug!("message left out: {e}");
                return Ok(());
            }
        };
        if let Some((codec, config)) = brought.config {
            self.configure(codec, config)?;
        }
        match brought.left_out {
            Some(LeftOut::Misfit(codec)) => {
                self.ctx.metrics.malformed.inc();
                tracing::debug!("packet left out: {} without its configuration", codec.name());
            }
            Some(LeftOut::Track(kind, track)) => self.other_track(kind, track),
            None => {}
        }
        let Some(Coded { key, cts, payload }) = brought.packet else { return Ok(()) };
        self.packet(Packet { track, dts, cts, key, payload })
    }

    /// A multitrack publish: the first track is recorded.
    fn other_track(&mut self, kind: Kind, track: u8) {
        if !std::mem::replace(&mut self.told_of_tracks, true) {
            let kind = if kind == Kind::Video { "video" } else { "audio" };
            tracing::warn!(channel = %self.settings.name, "the encoder sends several tracks: \
                {kind} track {track} and others are left out, track 0 is recorded");
        }
    }

    fn configure(&mut self, codec: Codec, config: Bytes) -> Result<(), PublishError> {
        let known = Known::new(codec, config, self.announced.rate)?;
        let now = self.ctx.clock.now();
        match &mut self.stage {
            Stage::Probing(p) => p.configure(known),
            Stage::Live(live) => {
                let configured = live.configure(now, known);
                self.note(configured)?;
            }
        }
        Ok(())
    }

    fn packet(&mut self, p: Packet) -> Result<(), PublishError> {
        self.ctx.metrics.packets.inc();
        self.ctx.metrics.bytes.inc_by(p.payload.len() as u64);
        let now = self.ctx.clock.now();
        match &mut self.stage {
            Stage::Probing(probe) => probe.hold(now, p),
            Stage::Live(live) => {
                let taken = live.packet(now, p);
                self.note(taken)?;
            }
        }
        Ok(())
    }

    /// Announces a cue to the viewers of the session, and waits until it is handed to the disk.
    ///
    /// # Errors
    /// Why it is not announced.
    pub async fn cue(&mut self, ask: Ask) -> Result<Cue, CueRefused> {
        let Stage::Live(live) = &mut self.stage else { return Err(CueRefused::NotLive) };
        let cue = live.cue(&self.ctx.logs, self.ctx.clock.now(), ask).await;
        if let Err(CueRefused::Publish(PublishError::Log(e))) = &cue {
            self.broken.get_or_insert_with(|| e.clone());
        }
        let cue = cue?;
        self.settle().await?;
        Ok(cue)
    }

    /// When [`Publisher::settle`] is due though no message came.
    pub fn poll_timeout(&self) -> Option<Mono> {
        match &self.stage {
            Stage::Probing(p) => p.deadline(),
            Stage::Live(live) => live.poll_timeout(),
        }
    }

    /// How far media is ahead of the wall clock; past [`AHEAD_MAX`] the connection should not be
    /// read.
    pub fn ahead(&self) -> Duration {
        match &self.stage {
            Stage::Live(live) => live.ahead(self.ctx.clock.now()),
            Stage::Probing(_) => Duration::ZERO,
        }
    }

    /// Does the cut wait for a key frame that a publisher could be asked for?
    pub fn wants_key_frame(&self) -> bool {
        matches!(&self.stage, Stage::Live(live) if live.wants_key_frame())
    }

    /// Opens the log when the tracks are known, lets the clock have its say, writes what is due.
    pub async fn settle(&mut self) -> Result<(), PublishError> {
        let settled = self.settle_log().await;
        self.note(settled)
    }

    async fn settle_log(&mut self) -> Result<(), PublishError> {
        let now = self.ctx.clock.now();
        if let Stage::Probing(probe) = &mut self.stage {
            if probe.is_hopeless(now) {
                return Err(PublishError::NoTracks);
            }
            if !probe.is_done(now, &self.announced) {
                return Ok(());
            }
            let probe = std::mem::take(probe);
            probe.warn_unconfigured(&self.settings.name);
            self.go_live(probe).await?;
        }
        let Stage::Live(live) = &mut self.stage else { return Ok(()) };
        live.tick(now)?;
        live.settle(now).await
    }

    async fn go_live(&mut self, mut probe: Probe) -> Result<(), PublishError> {
        let record = match &self.grant.record {
            Some(record) => record.clone(),
            None => {
                let new = session_record(
                    &self.settings,
                    &probe.known,
                    &self.announced,
                    self.grant.render,
                );
                let (channel, generation) = (&self.settings.name, self.grant.generation);
                let new = convert::record_to_api(&new);
                self.ctx.client.open(channel, generation, new).await?
            }
        };
        let record = convert::record_from_api(&record);
        let held = probe.take();
        let live = Live::open(&self.ctx, &self.settings, &self.grant, record, probe.known).await?;
        let now = self.ctx.clock.now();
        tracing::info!(log = %live.id(), packets = held.len(), "recording");
        // Its own from here on: whatever fails, this log has an end that is told.
        self.stage = Stage::Live(Box::new(live));
        let Stage::Live(live) = &mut self.stage else { return Ok(()) };
        for next in held {
            match next {
                Held::Packet(p) => live.packet(now, p)?,
                Held::Changed(known) => live.configure(now, *known)?,
            }
            live.settle(now).await?;
        }
        Ok(())
    }

    /// The time now, as the publisher's clock has it.
    pub fn now(&self) -> Now {
        self.ctx.clock.now()
    }
}
