//! What transcoders are given to do: a job makes the rungs of one generation of a channel.
//!
//! ```text
//! GET /v1/channels/{channel}/generations/{g}/jobs/{j}         Order
//! PUT /v1/channels/{channel}/generations/{g}/jobs/{j}/report  Report
//! PUT /v1/channels/{channel}/generations/{g}/jobs/{j}/end     End
//! ```
//! Which there are stands in the table of channels (`types::LiveSession`): a node that finds itself
//! there asks for the order.

use crate::api::ladder::AudioCodec;
use crate::api::ladder::planned::PlannedRung;
use crate::api::types::{End, NodeName, SessionRecord};
use crate::base::ids::{Channel, Generation, Job, Session};
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
