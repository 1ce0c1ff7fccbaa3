//! The manifest as it is written: its fields, all optional, all scalars still text. Strict about
//! shape and names; what the values mean is `check`'s. Scalars stay text so that a message can
//! repeat what the file says.

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::fmt;

/// A scalar's text; `None` (absent, `~` or empty) means the default.
pub(super) type Text = Option<String>;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[serde(expecting = "the fields `channels`, `ladders` and `server`")]
pub(super) struct RawManifest {
    pub(super) channels: Option<Vec<RawChannel>>,
    pub(super) ladders: Option<Vec<RawLadder>>,
    pub(super) server: Option<RawServer>,
}

/// An item of `channels`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[serde(expecting = "a channel's fields (for example `name: main`)")]
pub(super) struct RawChannel {
    pub(super) name: String,
    pub(super) keys: Option<Vec<String>>,
    pub(super) segment: Text,
    pub(super) target_duration: Text,
    pub(super) part: Text,
    pub(super) reconnect_window: Text,
    pub(super) pace: Text,
    pub(super) frame_rate: Text,
    pub(super) sync: Option<RawSync>,
    pub(super) latency_budget: Text,
    pub(super) ladder: Text,
    pub(super) hls_to: Text,
}

/// An item of `ladders`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[serde(expecting = "a ladder's fields (for example `name: sports`)")]
pub(super) struct RawLadder {
    pub(super) name: String,
    pub(super) rungs: Option<Vec<RawRung>>,
    pub(super) audio: Option<RawAudio>,
    pub(super) latency_budget: Text,
}

/// An item of a ladder's `rungs`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[serde(expecting = "a rung's fields (for example `name: 720p`)")]
pub(super) struct RawRung {
    pub(super) name: String,
    pub(super) passthrough: Text,
    pub(super) codec: Text,
    pub(super) width: Text,
    pub(super) height: Text,
    pub(super) max_frame_rate: Text,
    pub(super) bitrate: Text,
    pub(super) maxrate: Text,
    pub(super) bufsize: Text,
    pub(super) preset: Text,
    pub(super) profile: Text,
    pub(super) level: Text,
}

impl RawRung {
    /// What is written of how to encode.
    pub(super) fn encoding(&self) -> [(&'static str, &Text); 10] {
        [
            ("codec", &self.codec),
            ("width", &self.width),
            ("height", &self.height),
            ("maxFrameRate", &self.max_frame_rate),
            ("bitrate", &self.bitrate),
            ("maxrate", &self.maxrate),
            ("bufsize", &self.bufsize),
            ("preset", &self.preset),
            ("profile", &self.profile),
            ("level", &self.level),
        ]
    }
}

/// A ladder's `audio`: a word or a mapping.
#[derive(Debug)]
pub(super) enum RawAudio {
    /// `passthrough`
    Passthrough,
    /// `{codec: aac, bitrate: 128kbps, channels: stereo}`
    Encode(RawSound),
}

/// The mapping form of `audio`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[serde(expecting = "the fields `codec`, `bitrate` and `channels`")]
pub(super) struct RawSound {
    pub(super) codec: Text,
    pub(super) bitrate: Text,
    pub(super) channels: Text,
}

/// `server`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[serde(expecting = "the server's fields")]
pub(super) struct RawServer {
    pub(super) data: Text,
    pub(super) sync: Option<RawSync>,
    pub(super) low_space: Text,
    pub(super) rtmp: Option<RawRtmp>,
    pub(super) rtmps: Option<RawRtmps>,
    pub(super) viewers: Option<RawViewers>,
    pub(super) internal: Option<RawListen>,
    pub(super) admin: Option<RawListen>,
    pub(super) drain_timeout: Text,
}

/// `server.rtmp`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[serde(expecting = "the fields of `rtmp`")]
pub(super) struct RawRtmp {
    pub(super) listen: Text,
    pub(super) max_connections: Text,
    pub(super) idle_timeout: Text,
}

/// `server.rtmps`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[serde(expecting = "the fields `listen` and `tls`")]
pub(super) struct RawRtmps {
    #[serde(default)]
    pub(super) listen: Text,
    pub(super) tls: RawTls,
}

/// `server.viewers`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[serde(expecting = "the fields of `viewers`")]
pub(super) struct RawViewers {
    pub(super) listen: Text,
    pub(super) tls: Option<RawTls>,
    pub(super) cors_origins: Option<Vec<String>>,
    pub(super) public_url: Text,
}

/// `server.viewers.tls` and `server.rtmps.tls`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[serde(expecting = "the fields `certificate` and `key`")]
pub(super) struct RawTls {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// `server.internal` and `server.admin`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[serde(expecting = "the field `listen`")]
pub(super) struct RawListen {
    pub(super) listen: Text,
}

/// `sync`: a word or `{interval: D}`.
#[derive(Debug)]
pub(super) enum RawSync {
    /// `each-segment`
    EachSegment,
    /// `never`
    Never,
    /// `{interval: D}`
    Interval(String),
}

/// The mapping form of `sync`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[serde(expecting = "the field `interval`")]
pub(super) struct RawInterval {
    interval: String,
}

impl<'de> Deserialize<'de> for RawAudio {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<RawAudio, D::Error> {
        from.deserialize_any(AudioVisitor)
    }
}

struct AudioVisitor;

impl<'de> Visitor<'de> for AudioVisitor {
    type Value = RawAudio;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`passthrough` or what to encode to (for example `codec: aac`)")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawAudio, E> {
        match word {
            "passthrough" => Ok(RawAudio::Passthrough),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawAudio, A::Error> {
        let from = serde::de::value::MapAccessDeserializer::new(map);
        RawSound::deserialize(from).map(RawAudio::Encode)
    }
}

impl<'de> Deserialize<'de> for RawSync {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<RawSync, D::Error> {
        from.deserialize_any(SyncVisitor)
    }
}

struct SyncVisitor;

impl<'de> Visitor<'de> for SyncVisitor {
    type Value = RawSync;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`each-segment`, `never` or `interval: D` (for example interval: 500ms)")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawSync, E> {
        match word {
            "each-segment" => Ok(RawSync::EachSegment),
            "never" => Ok(RawSync::Never),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawSync, A::Error> {
        let from = serde::de::value::MapAccessDeserializer::new(map);
        RawInterval::deserialize(from).map(|raw| RawSync::Interval(raw.interval))
    }
}
