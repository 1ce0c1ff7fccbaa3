//! Plain data of the control plane. Times are microseconds since the epoch, durations microseconds,
//! unless named otherwise.

use crate::base::ids::{Channel, Generation, Msn, Session};
use crate::base::time::Wall;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A running server's name; `local` where one process is everything.
pub type NodeName = Arc<str>;

/// Whether a channel runs by the wall clock or as fast as its media comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Live.
    Wall,
    /// A recording published at any speed.
    Media,
}

/// When a log becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Every so often.
    Interval(Duration),
    /// After each segment.
    EachSegment,
    /// When the kernel likes.
    Never,
}

/// A channel's settings as they apply to the next session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelSettings {
    /// The channel.
    pub name: Channel,
    /// Aimed-at segment length.
    pub segment: Duration,
    /// Longest segment; whole seconds.
    pub target_duration: Duration,
    /// Aimed-at part length.
    pub part: Duration,
    /// How long a session waits for its publisher.
    pub reconnect_window: Duration,
    /// Who sets the pace.
    pub pace: Pace,
    /// Nominal frame rate where the encoder declares none: numerator and denominator.
    pub frame_rate: (u32, u32),
    /// What transcoded renditions may lag behind; in PART-HOLD-BACK.
    pub latency_budget: Duration,
    /// When the channel's log becomes durable.
    pub durability: Durability,
}

/// A publisher asks to write.
#[derive(Debug, Clone)]
pub struct PublishRequest {
    /// The stream key as the encoder sent it.
    pub key: String,
    /// The origin that would write.
    pub node: NodeName,
}

/// What a publisher with a valid key may do.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The channel that the key belongs to.
    pub settings: Arc<ChannelSettings>,
}

/// A generation to write: the numbers it starts from.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// The session it continues or begins.
    pub session: Session,
    /// The writer incarnation.
    pub generation: Generation,
    /// First MSN.
    pub base: Msn,
    /// Absolute discontinuity sequence number at the base.
    pub dseq: u64,
    /// The decided end of the generation before in the same session.
    pub previous: Option<(Generation, End)>,
    /// The session's constants, once they are set.
    pub record: Option<SessionRecord>,
}

/// A session's constants (`media::timeline::mark::SessionRecord` for the wire and the database).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRecord {
    /// Whole seconds.
    pub target_duration: u32,
    /// Microseconds.
    pub segment: i64,
    /// Microseconds.
    pub part_target: i64,
    /// Microseconds.
    pub latency_budget: i64,
    /// Version of muxer and playlist renderer.
    pub render: u32,
    /// Video first.
    pub renditions: Vec<Rendition>,
}

/// A rendition of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rendition {
    /// Name in URLs.
    pub name: String,
    /// Track number.
    pub track: u16,
    /// `true` for video, `false` for audio.
    pub video: bool,
    /// RFC 6381.
    pub codecs: String,
    /// Bits per second.
    pub bandwidth: u64,
    /// Pixels.
    pub resolution: Option<(u32, u32)>,
    /// Thousandths of frames per second.
    pub frame_rate_millis: Option<u32>,
    /// The range of light: 0 standard, 1 HLG, 2 PQ.
    #[serde(default)]
    pub range: u8,
    /// Audio channels.
    pub channels: Option<u8>,
}

/// How a generation ended (`media::timeline::mark::End`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// Last MSN over all tracks; the base minus one when nothing was written.
    pub msn: u64,
    /// Absolute discontinuity sequence number.
    pub dseq: u64,
    /// Wall clock of the end of what is listed, microseconds.
    pub wall: i64,
    /// Per track.
    pub tracks: Vec<TrackEnd>,
    /// ENDLIST was written.
    pub session_over: bool,
}

/// Where one track ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackEnd {
    /// Track number.
    pub track: u16,
    /// Its last MSN.
    pub msn: u64,
    /// Listed parts of it.
    pub parts: u32,
    /// What becomes of it.
    pub last: LastSegment,
}

/// What becomes of a track's last segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LastSegment {
    /// Complete.
    Complete,
    /// Listed with its marked parts.
    Short,
    /// A gap.
    Lost,
}

/// A writer's position, reported at every segment start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The segment that started.
    pub msn: Msn,
    /// Its discontinuity sequence number.
    pub dseq: u64,
    /// Wall clock of its start.
    pub wall: Wall,
}

/// A session that a restarted node has to take up again.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// The channel's settings.
    pub settings: Arc<ChannelSettings>,
    /// The session.
    pub session: Session,
    /// Its last generation.
    pub generation: Generation,
    /// That generation's end, when it is known.
    pub end: Option<End>,
}

/// Why the registry said no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No channel has this key.
    #[error(
        "unknown stream key: no channel has it (check the key, and the channels in the manifest)"
    )]
    UnknownKey,
    /// A newer generation writes the channel.
    #[error("generation {0} is fenced: a newer one writes the channel")]
    Fenced(Generation),
    /// The channel is configured no more.
    #[error("no such channel")]
    NoChannel,
    /// The registry can't be reached or can't use its database; trying again later may help.
    #[error("the registry is unavailable: {0}")]
    Unavailable(String),
}

/// The newest session of every channel that ever had one: what edges watch.
pub type Table = BTreeMap<Channel, LiveSession>;

/// One session as edges see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSession {
    /// The session.
    pub session: Session,
    /// ENDLIST was written.
    pub over: bool,
    /// Its constants are set: there is media, or soon will be.
    pub open: bool,
    /// Its generations, oldest first, each with the node that holds its log.
    pub generations: Vec<(Generation, NodeName)>,
}
