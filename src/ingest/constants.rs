//! What a session is told to be: its constants, made once of what is configured, announced and
//! known; and what of a track that comes later fits them.

use crate::api::types::ChannelSettings;
use crate::base::ids::{Channel, TrackId};
use crate::base::time::{Timescale, micros};
use crate::ingest::context::PublishError;
use crate::ingest::probe::{Announced, Known};
use crate::media::codec::{FrameLength, VideoRange, opus};
use crate::media::timeline::lane::Plan;
use crate::media::timeline::mark::{RENDER, Rendition, SessionRecord};
use crate::media::timeline::part_target::common_part_target;
use crate::media::track::{Codec, FrameRate, Kind};

/// Declared bandwidth over the encoder's declared bit rate: room for peaks and for the container.
const BANDWIDTH_MARGIN: f64 = 1.25;

/// Bits per pixel assumed where an encoder declares no bit rate: generous for H.264 (720p30 gives
/// 5.5 Mbit/s).
const BITS_PER_PIXEL: f64 = 0.2;

/// Bits per second assumed for a channel of audio without a declared rate.
const AUDIO_BITS: u64 = 96_000;

/// The first render version there was.
const RENDER_FIRST: u32 = 1;

/// The constants of a new session, from what is configured, announced and known; `render` is the
/// newest render version that every edge makes, if that is known.
pub fn session_record(
    settings: &ChannelSettings,
    known: &[Known],
    announced: &Announced,
    render: Option<u32>,
) -> SessionRecord {
    let rate = default_rate(settings);
    let mut frames: Vec<(Kind, i64)> =
        known.iter().map(|k| (k.track.codec.kind(), k.details.frame_micros(rate))).collect();
    // The leader's first.
    frames.sort_by_key(|(kind, _)| *kind == Kind::Audio);
    let frames: Vec<i64> = frames.into_iter().map(|(_, frame)| frame).collect();
    let mut renditions: Vec<Rendition> =
        known.iter().map(|k| rendition(k, announced, rate)).collect();
    renditions.sort_by_key(|r| r.track);
    SessionRecord {
        target_duration: u32::try_from(settings.target_duration.as_secs()).unwrap_or(u32::MAX),
        segment: micros(settings.segment),
        part_target: common_part_target(micros(settings.part), &frames),
        latency_budget: micros(settings.latency_budget),
        render: render.map_or(RENDER, |all| all.clamp(RENDER_FIRST, RENDER)),
        renditions,
    }
}

/// Pictures per second where nothing else says it.
pub(super) fn default_rate(settings: &ChannelSettings) -> FrameRate {
    let (num, den) = settings.frame_rate;
    FrameRate::new(num, den).or(FrameRate::new(30, 1)).expect("30/1 is a rate")
}

fn rendition(k: &Known, announced: &Announced, default_rate: FrameRate) -> Rendition {
    let video = k.details.video.as_ref();
    let channels = k.details.audio.as_ref().map(|a| a.channels);
    let fps = k.details.rate.unwrap_or(default_rate).as_f64();
    let declared = if video.is_some() { announced.video_bitrate } else { announced.audio_bitrate };
    let assumed = match video {
        Some(v) => (f64::from(v.width) * f64::from(v.height) * fps * BITS_PER_PIXEL) as u64,
        None => u64::from(channels.unwrap_or(2).max(1)) * AUDIO_BITS,
    };
    let bits = declared.filter(|b| *b > 0).unwrap_or(assumed).max(32_000);
    Rendition {
        name: if video.is_some() { "video" } else { "audio" }.into(),
        track: k.track.id,
        kind: k.track.codec.kind(),
        codecs: k.details.codecs.clone(),
        bandwidth: (bits as f64 * BANDWIDTH_MARGIN) as u64,
        resolution: video.map(|v| (v.width, v.height)),
        range: video.map_or(VideoRange::Sdr, |v| v.range),
        frame_rate_millis: video.and(k.details.rate).map(|r| (r.as_f64() * 1000.0).round() as u32),
        offered: true,
        channels,
    }
}

/// What the cut needs of a rendition; where its track has no configuration yet, what is nominal.
pub(super) fn plan(r: &Rendition, known: &[Known], rate: FrameRate) -> Plan {
    if let Some(k) = known.iter().find(|k| k.track.id == r.track) {
        return known_plan(k, rate);
    }
    let (mux, frame, frames) = match (r.kind, Codec::from_codecs(&r.codecs)) {
        (Kind::Video, _) => (90_000, rate.frame_micros(), None),
        (_, Some(Codec::Opus)) => {
            (48_000, 20_000, Some(FrameLength::InPacket { usual: opus::FRAME_NOMINAL }))
        }
        (Kind::Audio, _) => (48_000, 21_333, Some(FrameLength::Fixed(1024))),
    };
    let mux = Timescale::new(mux).unwrap_or(Timescale::MILLIS);
    let timescale = Timescale::MILLIS;
    Plan { track: r.track, kind: r.kind, timescale, mux, frame, frames }
}

/// What the cut needs of a track.
pub(super) fn known_plan(k: &Known, rate: FrameRate) -> Plan {
    Plan {
        track: k.track.id,
        kind: k.track.codec.kind(),
        timescale: k.track.timescale,
        mux: k.details.mux_timescale,
        frame: k.details.frame_micros(rate).max(1),
        frames: k.details.frame_length(),
    }
}

/// Is a track what the session's viewers were told that it is?
pub(super) fn check(told: &[(TrackId, Codec)], k: &Known) -> Result<(), PublishError> {
    let (id, got) = (k.track.id, k.track.codec);
    match told.iter().find(|(t, _)| *t == id) {
        Some((_, had)) if *had != got => Err(PublishError::OtherCodec { had: *had, got }),
        _ => Ok(()),
    }
}

/// Viewers were told of the session's tracks when it began.
pub(super) fn warn_unseen(channel: &Channel, told: &[(TrackId, Codec)], k: &Known) {
    if !told.is_empty() && told.iter().all(|(t, _)| *t != k.track.id) {
        tracing::warn!(%channel, "{} came after the session had begun without it: it is recorded, \
            and no viewer sees it in this session", k.track.codec.name());
    }
}
