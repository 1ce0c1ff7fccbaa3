//! A job's settings as libav's encoders take them.

use crate::api::ladder::{AudioCodec, VideoCodec};
use crate::av::encode::VideoSettings;
use crate::av::sound::SoundSettings;
use crate::base::time::Timescale;
use crate::media::track::{Codec, FrameRate};
use crate::transcode::settings::{AudioSettings, RungSettings};

impl RungSettings {
    /// What its encoder is opened with; `None`: a frame rate that a job's settings may not have.
    pub fn video(&self, timescale: Timescale) -> Option<VideoSettings> {
        let e = &self.encode;
        Some(VideoSettings {
            track: self.track,
            codec: match e.codec {
                VideoCodec::H264 => Codec::H264,
                VideoCodec::Hevc => Codec::Hevc,
                VideoCodec::Av1 => Codec::Av1,
            },
            width: self.width,
            height: self.height,
            rate: FrameRate::new(self.frame_rate.0, self.frame_rate.1)?,
            timescale,
            preset: e.preset.clone(),
            profile: e.profile.word().into(),
            level: e.level,
            bitrate: e.bitrate,
            maxrate: e.maxrate,
            bufsize: e.bufsize,
        })
    }
}

impl AudioSettings {
    /// What its encoder is opened with.
    pub(super) fn sound(&self, timescale: Timescale) -> SoundSettings {
        SoundSettings {
            track: self.track,
            codec: match self.codec {
                AudioCodec::Aac => Codec::Aac,
                AudioCodec::Opus => Codec::Opus,
            },
            bitrate: self.bitrate,
            channels: self.channels,
            timescale,
        }
    }
}
