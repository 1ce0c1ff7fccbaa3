//! What transcoders are given to do: a job makes the rungs of one generation of a channel.
//!
//! ```text
//! GET /v1/channels/{channel}/generations/{g}/jobs/{j}         Order
//! PUT /v1/channels/{channel}/generations/{g}/jobs/{j}/report  JobReport
//! PUT /v1/channels/{channel}/generations/{g}/jobs/{j}/end     End
//! PUT /v1/channels/{channel}/generations/{g}/jobs/{j}/failed  Failure
//! GET /v1/schedule                                            Schedule
//! PUT /v1/channels/{channel}/generations/{g}/jobs/{j}         Given
//! ```
//! Which there are stands in the table of channels (`types::LiveSession`): a node that finds itself
//! there asks for the order. Who plans reads the schedule, and gives jobs that nobody does: each by
//! the number after the newest, so that a plan that was made of what is no longer so changes
//! nothing.

use crate::api::ladder::AudioCodec;
use crate::api::ladder::planned::PlannedRung;
use crate::api::types::{End, NodeName, Report, SessionRecord};
use crate::base::ids::{Channel, Generation, Job, Session};
use crate::base::time::Wall;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is made of a session's source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// Pictures, best first.
    pub rungs: Vec<RungWork>,
    /// Sound; `None`: the source's is used as it came.
    pub sound: Option<SoundWork>,
    /// What it takes, by the machine's table.
    pub millicores: u32,
}

/// A rung that is encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RungWork {
    /// The rendition's track.
    pub track: u16,
    /// How.
    pub rung: PlannedRung,
}

/// The sound of all rungs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SoundWork {
    /// The rendition's track.
    pub track: u16,
    /// The rendition's name.
    pub name: String,
    /// With which codec.
    pub codec: AudioCodec,
    /// Bits per second.
    pub bitrate: u64,
    /// Channels that it is mixed down to.
    pub channels: u8,
}

/// A job, for who does it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Of this channel.
    pub channel: Channel,
    /// Of this session.
    pub session: Session,
    /// Of this generation.
    pub generation: Generation,
    /// Its number.
    pub job: Job,
    /// Who does it.
    pub node: NodeName,
    /// The session's constants.
    pub record: SessionRecord,
    /// What is made.
    pub work: Work,
    /// Who made the rungs before, and where that ended.
    pub previous: Option<Before>,
    /// Who made the rungs before has not told yet where that ended: nothing is written before.
    #[serde(default)]
    pub awaits: bool,
    /// Nobody has room: nothing is made, the rungs' gaps are written where their source is.
    #[serde(default)]
    pub gaps: bool,
    /// It has ended.
    pub ended: bool,
}

/// The job before in the same session, and its decided end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Before {
    /// Of this generation.
    pub generation: Generation,
    /// Its number.
    pub job: Job,
    /// Its end.
    pub end: End,
    /// It told that itself; otherwise nobody could ask it.
    pub exact: bool,
}

/// A job ended before its source did: it can't be done there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Why, for people.
    pub why: String,
    /// Where it ended; `None`: that is not known, or nothing was made.
    pub end: Option<End>,
}

/// What placing jobs needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// The registry's clock, microseconds since the epoch.
    pub now: Wall,
    /// Transcoders, by name, also those that are lost.
    pub nodes: Vec<Transcoder>,
    /// What there is to do for sessions that are not over, by channel.
    pub jobs: Vec<Wanted>,
    /// Sessions that are not over and have no rungs though their channel has a ladder, by channel.
    pub without: Vec<Unmade>,
}

/// A session that was opened without the rungs of its channel's ladder: it plays its source until
/// it is over, for its constants are set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unmade {
    /// Of this channel.
    pub channel: Channel,
    /// Its number.
    pub session: Session,
    /// Why.
    pub why: Without,
}

/// Why a session was opened without rungs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Without {
    /// No transcoder had room for so many millicores.
    NoRoom(u32),
    /// What they take is not known, in words.
    NoCost(String),
}

impl std::fmt::Display for Without {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Without::NoRoom(need) => write!(f, "no room: its rungs take {need} millicores"),
            Without::NoCost(why) => write!(f, "its rungs' cost is not known: {why}"),
        }
    }
}

/// A job's position and what it takes, reported at every segment start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobReport {
    /// Its position.
    #[serde(flatten)]
    pub report: Report,
    /// `None`: it does not say.
    #[serde(default)]
    pub load: Option<Load>,
}

/// What a job takes, and whether it keeps up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// Millicores that its worker used since the report before; `None`: not measured.
    pub millicores: Option<u32>,
    /// Microseconds from the newest picture that was decoded to the newest that was read.
    pub behind_micros: i64,
    /// Pictures that its rungs left out since the report before, because they were late.
    pub late: u64,
}

/// The rungs of a session that is not over, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobState {
    /// Of this channel.
    pub channel: Channel,
    /// Of this session.
    pub session: Session,
    /// Their names, best first; none where there are none.
    pub rungs: Vec<String>,
    /// Why there are none.
    pub without: Option<Without>,
    /// What they take, by the table and by what was measured.
    pub millicores: u32,
    /// The session waits for its encoder.
    pub waits: bool,
    /// The newest job: its generation and its number.
    pub job: Option<(Generation, Job)>,
    /// Who does that; `None`: nobody does.
    pub node: Option<NodeName>,
    /// The newest segment that it reported, and when.
    pub reported: Option<(u64, Wall)>,
    /// Segments that its source is ahead of that.
    pub lag: Option<u64>,
    /// What it said of itself then.
    pub load: Option<Load>,
    /// Why the newest job could not be done; of those in which something was made.
    pub failed: Option<String>,
}

/// A transcoder, for who plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transcoder {
    /// Its name.
    pub name: NodeName,
    /// Millicores that it has.
    pub capacity: u32,
    /// Takes nothing new, and gives away what it has.
    pub draining: bool,
    /// It is lost from then on.
    pub lease: Wall,
}

/// The rungs of a session, for who plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// Of this channel.
    pub channel: Channel,
    /// Of its newest generation.
    pub generation: Generation,
    /// What they take.
    pub millicores: u32,
    /// The newest job of that generation; 0: there was none.
    pub job: Job,
    /// Who does that; `None`: it has ended.
    pub node: Option<NodeName>,
    /// The session waits for its encoder: nothing is made, and the room is kept.
    pub waits: bool,
    /// Nodes that could not do it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Failed>,
}

/// A node that could not do a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// Which.
    pub node: NodeName,
    /// It may try again then, where no other node has room.
    pub until: Wall,
    /// Why, for people: what it said last.
    pub why: String,
}

/// A job is given to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Given {
    /// Which.
    pub node: NodeName,
}
