//! What operators and nodes tell the registry: nodes and their leases, channels, stream keys.

use crate::api::jobs::JobState;
use crate::api::types::{ChannelSettings, End, NodeName, SessionRecord};
use crate::base::ids::{Channel, Generation, Msn, Session};
use crate::base::time::Wall;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a node that says nothing is taken to live. Three heartbeats: one may be lost, and one
/// may be late.
pub const LEASE: Duration = Duration::from_secs(6);

/// How often a node says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// What a node is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Records, and serves its logs.
    Origin,
    /// Serves viewers.
    Edge,
    /// Serves the logs of origins that are gone.
    Collector,
    /// Makes rungs, and serves their logs.
    Transcoder,
}

/// A node says that it lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Heartbeat {
    /// What it is for.
    pub role: Role,
    /// Where other nodes reach its internal listener; `None`: they need not.
    pub url: Option<String>,
    /// Where encoders publish, of an origin; without a load balancer in front.
    #[serde(default)]
    pub rtmp: Option<String>,
    /// And where over TLS.
    #[serde(default)]
    pub rtmps: Option<String>,
    /// Takes nothing new.
    pub draining: bool,
    /// Newest render version that it makes.
    pub render: u32,
    /// Millicores that a transcoder has.
    #[serde(default, skip_serializing_if = "is_none")]
    pub capacity: u32,
    /// What it says of itself, for people: figures by name.
    #[serde(default)]
    pub figures: BTreeMap<String, i64>,
    /// Nodes that it reads from, by the URL of their internal listeners: how many logs it follows.
    #[serde(default)]
    pub upstreams: BTreeMap<String, i64>,
    /// The edge through which an edge reads all logs, by the URL of its internal listener; `None`:
    /// each from the node that has it.
    #[serde(default)]
    pub through: Option<String>,
    /// An edge that it was told to read through and could not; it wants another.
    #[serde(default)]
    pub avoids: Option<String>,
}

impl Heartbeat {
    /// Of a node that says no more of itself.
    pub fn of(role: Role) -> Heartbeat {
        Heartbeat {
            role,
            url: None,
            rtmp: None,
            rtmps: None,
            draining: false,
            render: 1,
            capacity: 0,
            figures: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            through: None,
            avoids: None,
        }
    }
}

/// Registries of the version before know no transcoders, and take no field that they do not know.
fn is_none(n: &u32) -> bool {
    *n == 0
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// There are sessions to take up: ask which.
    pub unfinished: bool,
    /// For an edge: the edge to read through, by the URL of its internal listener; `None`: each log
    /// from the node that has it.
    #[serde(default)]
    pub through: Option<String>,
}

/// A node as the registry knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its last heartbeat.
    #[serde(flatten)]
    pub said: Heartbeat,
    /// When that came, microseconds since the epoch by the registry's clock.
    pub seen: Wall,
    /// Its lease has not run out.
    pub alive: bool,
}

/// Most logs that a node names at once: a request of about 100 KiB.
pub const HELD_MAX: usize = 1_000;

/// A log, as the control plane names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogName {
    /// Of this channel.
    pub channel: Channel,
    /// Of this session.
    pub session: Session,
    /// This generation's.
    pub generation: Generation,
}

/// Sealed logs that a node has adopted, and serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Held {
    /// At most [`HELD_MAX`].
    pub logs: Vec<LogName>,
}

/// A stream key that is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewKey {
    /// May not be used before, microseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Wall>,
    /// May not be used from then on; a publish that runs goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Wall>,
    /// For people.
    #[serde(default)]
    pub note: String,
}

/// A stream key as it is stored. The key itself is told once, when it is made: its hash is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// Its name: not secret.
    pub id: String,
    /// See [`NewKey`].
    #[serde(flatten)]
    pub terms: NewKey,
    /// When it was made.
    pub created: Wall,
    /// It was revoked.
    pub revoked: bool,
}

/// A key that was just made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MadeKey {
    /// Its name.
    pub id: String,
    /// What encoders present. Not told again.
    pub key: String,
}

/// A channel as the registry knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChannelState {
    /// Settings of its next session.
    pub settings: Arc<ChannelSettings>,
    /// Its stored keys, oldest first.
    pub keys: Vec<Key>,
    /// It is in the manifest, and cannot be deleted here.
    pub configured: bool,
    /// Its newest session.
    pub session: Option<SessionState>,
}

/// A session, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionState {
    /// Its number.
    pub session: Session,
    /// It has ended.
    pub over: bool,
    /// Its newest generation.
    pub generation: Generation,
    /// Who writes that, or wrote it.
    pub node: NodeName,
    /// The newest MSN that was reported, and when, by the registry's clock.
    pub reported: Option<(u64, Wall)>,
    /// Its end is decided.
    pub ended: bool,
}

/// What `castctl status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The registry's clock, microseconds since the epoch.
    pub now: Wall,
    /// By name.
    pub nodes: Vec<Node>,
    /// By name.
    pub channels: Vec<(Channel, Option<SessionState>)>,
    /// The rungs of sessions that are not over, by channel.
    #[serde(default)]
    pub jobs: Vec<JobState>,
}

/// A generation as it is stored, for who looks for media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Its number.
    pub generation: Generation,
    /// Its session.
    pub session: Session,
    /// Who has its log: who wrote it, or has adopted it.
    pub node: NodeName,
    /// Its first MSN.
    pub base: u64,
    /// When it was granted.
    pub granted: Wall,
    /// The newest segment start that was reported: its MSN and date.
    pub reported: Option<(u64, Wall)>,
    /// Its decided end: the last MSN, and the date where its media ends.
    pub end: Option<(u64, Wall)>,
}

/// What somebody wants to read of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// What is on air, or was last.
    Live,
    /// The segment of this number.
    Msn(u64),
    /// The media of this moment.
    At(Wall),
}

/// Where a position of a channel is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolved {
    /// The channel.
    pub channel: Channel,
    /// Those that have it, the best first; then those that were looked at and have not.
    pub sources: Vec<Source>,
}

/// A log, and whether it is one to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Of this session.
    pub session: Session,
    /// This generation's.
    pub generation: Generation,
    /// The node that has it; of a bucket, [`BUCKET`].
    pub node: NodeName,
    /// Where that is read; `None`: it never said. Of a bucket, the log's URL in it.
    pub url: Option<String>,
    /// The node lives.
    pub alive: bool,
    /// It has the position.
    pub has: bool,
    /// In words.
    pub why: String,
    /// It is a bucket's copy.
    #[serde(default)]
    pub archived: bool,
}

/// What stands for a node's name where a bucket has a log.
pub const BUCKET: &str = "(bucket)";

/// How much of one log is in a bucket. Only ever more: nothing that was put there changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArchivedLog {
    /// Which.
    pub log: LogName,
    /// Extents 0 to this, without it.
    pub extents: u32,
    /// That is all of it, and none will follow.
    pub whole: bool,
    /// The highest segment that those extents name, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Msn>,
    /// The last moment that they date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Wall>,
}

/// What a bucket has of several logs, as who has put it there has seen it. Told again it changes
/// nothing, and less than is known takes nothing back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Archived {
    /// The bucket, with its prefix: `s3://bucket/archive`.
    pub url: String,
    /// At most [`HELD_MAX`].
    pub logs: Vec<ArchivedLog>,
}

/// A generation that a registry has lost, as its log in a bucket tells of it. Who wrote it is not
/// known any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LostGeneration {
    /// Its log.
    pub log: LogName,
    /// The first MSN that it was given.
    pub base: Msn,
    /// The discontinuity sequence number at the base.
    pub dseq: u64,
    /// When its media begins.
    pub began: Wall,
    /// Its session's constants, where its log has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<SessionRecord>,
    /// How it ended: what the next writer was told, else what the log ends with, else what of it is
    /// in the bucket.
    pub end: End,
}

/// Most generations that are restored at once: one that is full of renditions has some 4 KiB, and a
/// request 256.
pub const RESTORED_MAX: usize = 50;

/// What is known again of several generations. Told again it changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restored {
    /// At most [`RESTORED_MAX`].
    pub generations: Vec<LostGeneration>,
}
