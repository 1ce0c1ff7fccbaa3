//! What every publisher on an origin shares, and why a publish ends that its encoder did not end.

use crate::api::client::Client;
use crate::api::types::{End as Told, NodeName, Refusal, Want};
use crate::base::ids::{Channel, Generation, Session};
use crate::ingest::decided::Decided;
use crate::ingest::metrics::Ingest;
use crate::log::error::LogError;
use crate::log::logs::Logs;
use crate::media::codec::CodecError;
use crate::media::flv::FlvError;
use crate::media::timeline::mark::End;
use crate::media::track::Codec;
use crate::rt::clock::Clock;
use std::collections::HashMap;

/// What every publisher on this origin shares.
#[derive(Debug)]
pub struct Context {
    /// This origin's name.
    pub node: NodeName,
    /// Where logs are kept.
    pub logs: Logs,
    /// The registry.
    pub client: Client,
    /// The clock.
    pub clock: Clock,
    /// Counters.
    pub metrics: Ingest,
    /// Where generations ended here.
    pub decided: Decided,
}

/// Ends of logs by what they belong to.
pub type Ends = HashMap<(Channel, Session, Generation), End>;

impl Context {
    /// Asks for a generation for the publisher with this key; `None`: to take up a session.
    pub fn want(&self, key: Option<&str>) -> Want {
        Want { node: self.node.clone(), key: key.map(str::to_owned) }
    }

    /// Seals the logs that lost their writer; how they ended.
    pub async fn recover(&self) -> Result<Ends, LogError> {
        let mut ends = Ends::new();
        for r in self.logs.recover().await? {
            r.say();
            if let Some(end) = r.end {
                ends.insert((r.id.channel, r.id.session, r.id.generation), end);
            }
        }
        Ok(ends)
    }
}

/// Why a publish ends that its encoder did not end.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A codec or container feature that is not carried.
    #[error("this stream can't be carried: {0}")]
    Media(#[from] FlvError),
    /// A codec configuration that can't be read.
    #[error("the codec configuration can't be used: {0}")]
    Codec(#[from] CodecError),
    /// No configuration came.
    #[error(
        "no audio or video configuration arrived: a publish begins with the sequence header of \
         H.264, HEVC, AV1, AAC or Opus"
    )]
    NoTracks,
    /// The session's viewers were told of another codec, and a session's codecs never change.
    #[error(
        "the stream changed from {} to {}: this session ends with it; connect again to begin one \
         with {}",
        .had.name(), .got.name(), .got.name()
    )]
    OtherCodec {
        /// What the session began with.
        had: Codec,
        /// What came.
        got: Codec,
    },
    /// The log can't be written.
    #[error("the recording can't be written: {0}")]
    Log(#[from] LogError),
    /// A newer generation writes the channel.
    #[error("generation {0} was replaced by a newer one on another origin")]
    Fenced(Generation),
    /// The registry says no, or can't be asked.
    #[error("{0}")]
    Refused(#[from] Refusal),
}

impl PublishError {
    /// A word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            PublishError::Media(_) | PublishError::Codec(_) | PublishError::OtherCodec { .. } => {
                "codec"
            }
            PublishError::NoTracks => "no_tracks",
            PublishError::Log(_) => "disk",
            PublishError::Fenced(_) => "fenced",
            PublishError::Refused(Refusal::UnknownKey) => "key",
            PublishError::Refused(_) => "registry",
        }
    }
}

/// What became of a publisher that was ended.
#[derive(Debug)]
pub struct Ended {
    /// Its last records are written and its log is sealed, or why not.
    pub result: Result<(), PublishError>,
    /// The end that the registry could not be told.
    pub untold: Option<Told>,
}

/// Why a claim failed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another key publishes to the channel right now.
    #[error("channel {0} is being published to with another key; stop that encoder first")]
    InUse(Channel),
    /// The origin is shutting down.
    #[error("this origin is shutting down; connect again")]
    Draining,
    /// The publisher that holds the channel does not let go.
    #[error("the connection that holds channel {0} does not let go of it; try again")]
    Stuck(Channel),
    /// The registry grants nothing.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl ClaimError {
    /// A word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            ClaimError::InUse(_) => "in_use",
            ClaimError::Draining => "draining",
            ClaimError::Stuck(_) => "stuck",
            ClaimError::Publish(e) => e.reason(),
        }
    }
}
