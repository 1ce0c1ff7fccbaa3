//! What a session becomes under its channel's ladder: the renditions that viewers are told of, and
//! the work that makes them. Pure.

use crate::api::jobs::{RungWork, SoundWork, Work};
use crate::api::ladder::planned::{PlannedRung, SourceMedia};
use crate::api::ladder::{Audio, AudioCodec, Ladder, VideoCodec};
use crate::api::types::{ChannelSettings, Rendition, SessionRecord};
use crate::base::ids::TrackId;
use crate::control::plan::cost::table::Table;
use crate::control::plan::cost::{UnknownCost, estimate};

/// The source as its session says it; `None` without pictures that can be decoded.
fn source(settings: &ChannelSettings, record: &SessionRecord) -> Option<SourceMedia> {
    let video = record.renditions.iter().find(|r| r.video)?;
    let codec = match video.codecs.split('.').next()? {
        "avc1" | "avc3" => VideoCodec::H264,
        "hvc1" | "hev1" => VideoCodec::Hevc,
        "av01" => VideoCodec::Av1,
        _ => return None,
    };
    let (width, height) = video.resolution?;
    let declared = video.frame_rate_millis.map(|millis| (millis, 1_000));
    let audio_bitrate = record.renditions.iter().find(|r| !r.video).map_or(0, |r| r.bandwidth);
    Some(SourceMedia {
        codec,
        width,
        height,
        frame_rate: declared.unwrap_or(settings.frame_rate),
        bitrate: video.bandwidth,
        audio_bitrate,
    })
}

/// The session with the rungs of its channel's ladder, and the work that they are; `None` where
/// there is nothing to make.
///
/// # Errors
/// The machine's table has nothing on what there is to do.
pub fn with_rungs(
    settings: &ChannelSettings,
    record: &SessionRecord,
    table: &Table,
) -> Result<Option<(SessionRecord, Work)>, UnknownCost> {
    let (Some(ladder), Some(source)) = (&settings.ladder, source(settings, record)) else {
        return Ok(None);
    };
    let planned = ladder.for_source(&source);
    if planned.iter().all(|rung| rung.encode.is_none()) {
        return Ok(None);
    }
    let millicores = estimate(ladder, &source, table)?.total;
    let mut record = record.clone();
    let is_offered = planned.iter().any(|rung| rung.encode.is_none());
    for r in record.renditions.iter_mut().filter(|r| r.video) {
        r.offered = is_offered;
    }
    let encoded = planned.into_iter().filter(|rung| rung.encode.is_some());
    let tracks = TrackId::RUNGS.0..;
    let rungs: Vec<RungWork> =
        tracks.zip(encoded).map(|(track, rung)| RungWork { track, rung }).collect();
    record.renditions.extend(rungs.iter().filter_map(rendition));
    let next = TrackId::RUNGS.0 + u16::try_from(rungs.len()).unwrap_or(u16::MAX);
    let sound = sound(ladder, &record, next);
    if let Some(sound) = &sound {
        record.renditions.iter_mut().filter(|r| !r.video).for_each(|r| r.offered = false);
        record.renditions.push(heard(sound));
    }
    Ok(Some((record, Work { rungs, sound, millicores })))
}

fn rendition(RungWork { track, rung }: &RungWork) -> Option<Rendition> {
    let PlannedRung { name, width, height, frame_rate: (num, den), encode, .. } = rung;
    let encode = encode.as_ref()?;
    let millis = u64::from(*num) * 1_000 / u64::from((*den).max(1));
    Some(Rendition {
        name: name.as_str().to_owned(),
        track: *track,
        video: true,
        codecs: encode.codecs.clone(),
        bandwidth: encode.maxrate,
        resolution: Some((*width, *height)),
        frame_rate_millis: u32::try_from(millis).ok(),
        range: 0,
        channels: None,
        offered: true,
    })
}

fn sound(ladder: &Ladder, record: &SessionRecord, track: u16) -> Option<SoundWork> {
    let Audio::Encode { codec, bitrate, channels } = ladder.audio else { return None };
    let has = record.renditions.iter().any(|r| !r.video);
    let name = format!("audio-{}", codec.word());
    has.then_some(SoundWork { track, name, codec, bitrate, channels })
}

fn heard(sound: &SoundWork) -> Rendition {
    Rendition {
        name: sound.name.clone(),
        track: sound.track,
        video: false,
        codecs: match sound.codec {
            AudioCodec::Aac => "mp4a.40.2".into(),
            AudioCodec::Opus => "opus".into(),
        },
        bandwidth: sound.bitrate,
        resolution: None,
        frame_rate_millis: None,
        range: 0,
        channels: Some(sound.channels),
        offered: true,
    }
}
