//! Plain data of the control plane. Times are microseconds since the epoch, durations microseconds,
//! unless named otherwise.

use crate::api::ladder::Ladder;
use crate::base::ids::{Channel, Generation, Job, Msn, Session, Writer};
use crate::base::time::Wall;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A running server's name; `local` where one process is everything.
pub type NodeName = Arc<str>;

/// Whether a channel runs by the wall clock or as fast as its media comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Pace {
    /// Live.
    Wall,
    /// A recording published at any speed.
    Media,
}

/// When a log becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Durability {
    /// Every so often.
    Interval(
        #[serde(with = "micros")]
        #[schemars(with = "u64")]
        Duration,
    ),
    /// After each segment.
    EachSegment,
    /// When the kernel likes.
    Never,
}

/// A channel's settings as they apply to the next session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChannelSettings {
    /// The channel.
    pub name: Channel,
    /// Aimed-at segment length.
    #[serde(with = "micros")]
    #[schemars(with = "u64")]
    pub segment: Duration,
    /// Longest segment; whole seconds.
    #[serde(with = "micros")]
    #[schemars(with = "u64")]
    pub target_duration: Duration,
    /// Aimed-at part length.
    #[serde(with = "micros")]
    #[schemars(with = "u64")]
    pub part: Duration,
    /// How long a session waits for its publisher.
    #[serde(with = "micros")]
    #[schemars(with = "u64")]
    pub reconnect_window: Duration,
    /// Who sets the pace.
    pub pace: Pace,
    /// Nominal frame rate where the encoder declares none: numerator and denominator.
    pub frame_rate: (u32, u32),
    /// What transcoded renditions may lag behind; in PART-HOLD-BACK.
    #[serde(with = "micros")]
    #[schemars(with = "u64")]
    pub latency_budget: Duration,
    /// When the channel's log becomes durable.
    pub durability: Durability,
    /// What it is transcoded to; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ladder: Option<Arc<Ladder>>,
}

/// Durations as microseconds.
pub mod micros {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    /// As a number.
    pub fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(value.as_micros()).unwrap_or(u64::MAX))
    }

    /// From a number.
    pub fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_micros)
    }
}

/// A publisher asks to write.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishRequest {
    /// The stream key as the encoder sent it.
    pub key: String,
    /// The origin that would write.
    pub node: NodeName,
}

/// What a publisher with a valid key may do.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Admission {
    /// The channel that the key belongs to.
    pub settings: Arc<ChannelSettings>,
    /// Which of the channel's keys it is: the id of a stored key, the key itself of one that the
    /// manifest has.
    pub key: String,
}

/// Somebody wants a generation to write.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Want {
    /// The origin that would write.
    pub node: NodeName,
    /// The key that was admitted; `None`: nobody publishes, an open session is taken up.
    pub key: Option<String>,
}

/// A generation to write: the numbers it starts from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
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
    /// The newest render version that every live edge makes, for a new session's constants; `None`:
    /// no edge is known.
    #[serde(default)]
    pub render: Option<u32>,
}

/// A session's constants (`media::timeline::mark::SessionRecord` for the wire and the database).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// The multivariant playlist names it.
    #[serde(default = "offered")]
    pub offered: bool,
}

fn offered() -> bool {
    true
}

/// How a generation ended (`media::timeline::mark::End`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The segment that started.
    pub msn: Msn,
    /// Its discontinuity sequence number.
    pub dseq: u64,
    /// Wall clock of its start.
    pub wall: Wall,
    /// The newest MSN whose answer the writer has: what its allowance is counted from. Before the
    /// first answer, what its grant confirmed: the number before its base.
    #[serde(default)]
    pub acked: Msn,
}

/// A session that a node has to take up: its own after a restart, or that of a node that is gone.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
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

/// A session on its channel's time line, for who looks for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionSpan {
    /// Its number.
    pub session: Session,
    /// Its constants are set: there is media, or soon will be.
    pub open: bool,
    /// Its first MSN.
    pub first: Msn,
    /// When its first writer was granted, a little before its first media.
    pub start: Wall,
    /// Where it ended; `None` while it is not over.
    pub end: Option<SessionEnd>,
}

/// Where a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionEnd {
    /// Its last MSN.
    pub last: Msn,
    /// The end of what is listed.
    pub date: Wall,
}

/// Why the registry said no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "refused", content = "about")]
pub enum Refusal {
    /// No channel has this key.
    #[error(
        "unknown stream key: no channel has it (check the key, and the channels in the manifest)"
    )]
    UnknownKey,
    /// The key may not be used yet.
    #[error("this stream key may not be used before {0}")]
    KeyNotYet(String),
    /// The key may be used no more.
    #[error("this stream key expired at {0}: ask for a new one")]
    KeyExpired(String),
    /// The key was revoked.
    #[error("this stream key was revoked: ask for a new one")]
    KeyRevoked,
    /// A newer generation writes the channel.
    #[error("generation {0} is fenced: a newer one writes the channel")]
    Fenced(Generation),
    /// The channel is configured no more.
    #[error("no such channel")]
    NoChannel,
    /// There is nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// Something else is in the way.
    #[error("{0}")]
    Conflict(String),
    /// It can never be done.
    #[error("{0}")]
    Invalid(String),
    /// The caller is not of this cluster.
    #[error("not allowed: {0}")]
    Denied(String),
    /// The registry can't be reached or can't use its database; trying again later may help.
    #[error("the registry is unavailable: {0}")]
    Unavailable(String),
}

/// What edges watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The newest session of every channel that ever had one.
    pub sessions: BTreeMap<Channel, LiveSession>,
    /// Where the logs of each node are read: the URL of its internal listener, or of whoever has
    /// adopted them. Without an entry, where the table was read.
    pub nodes: BTreeMap<NodeName, String>,
}

impl Table {
    /// This, told by a server that may know less of a channel than the one that told `known`: what
    /// is known of it then stays.
    #[must_use]
    pub fn no_older(mut self, known: &Table) -> Table {
        for (channel, live) in &mut self.sessions {
            if let Some(known) = known.sessions.get(channel)
                && known.decided() > live.decided()
            {
                *live = known.clone();
            }
        }
        self
    }
}

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
    /// Who makes the rungs of a generation, and the node that holds their logs; oldest first.
    pub jobs: Vec<(Generation, Job, NodeName)>,
    /// Its constants, where its source's log says less: rungs are made of it that its origin knows
    /// nothing of.
    pub record: Option<Arc<SessionRecord>>,
}

impl LiveSession {
    /// Grows with whatever the registry decides of a channel: numbers are never given twice.
    fn decided(&self) -> impl Ord + use<> {
        let generation = self.generations.last().map(|(g, _)| *g);
        let job = self.jobs.last().map(|(g, job, _)| (*g, *job));
        (self.session, self.over, generation, job, self.open)
    }

    /// The node that holds what a writer has written.
    pub fn holder(&self, writer: Writer) -> Option<&NodeName> {
        let Writer { generation, job } = writer;
        match job {
            None => self.generations.iter().find(|(g, _)| *g == generation).map(|(_, node)| node),
            Some(job) => {
                let mut jobs = self.jobs.iter();
                jobs.find(|(g, j, _)| (*g, *j) == (generation, job)).map(|(_, _, node)| node)
            }
        }
    }
}
