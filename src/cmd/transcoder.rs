//! What a process is made of that transcodes, alone or beside other roles. A castctl that was built
//! without libav has no such part.

use crate::api::client::Client;
use crate::api::directory::Directory;
use crate::api::types::NodeName;
use crate::log::logs::Logs;
use crate::log::source::Source;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::ready::Latch;
use std::path::PathBuf;

/// How a process transcodes.
#[derive(Debug, Clone)]
pub struct Transcoding {
    /// Millicores that it may use.
    pub millicores: u32,
    /// A castctl, which is started for each job.
    pub program: PathBuf,
}

impl Transcoding {
    /// With all of the machine; `None` where this castctl cannot.
    pub fn usual() -> Option<Transcoding> {
        let program = std::env::current_exe().ok()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let millicores = u32::try_from(cores).unwrap_or(1).saturating_mul(1_000);
        cfg!(feature = "transcode").then_some(Transcoding { millicores, program })
    }
}

/// Where jobs come from, what they read and where they write.
pub struct Given {
    /// This node's name.
    pub node: NodeName,
    /// The logs that are written.
    pub logs: Logs,
    /// Nobody else writes in their directory.
    pub alone: bool,
    /// Where sources are read.
    pub sources: Source,
    /// The registry.
    pub client: Client,
    /// What the registry shows.
    pub directory: Directory,
    /// The clock.
    pub clock: Clock,
}

/// A transcoder.
#[cfg(feature = "transcode")]
pub struct Transcoder {
    node: NodeName,
    context: crate::transcode::run::Context,
}

/// There is none.
#[cfg(not(feature = "transcode"))]
pub enum Transcoder {}

#[cfg(feature = "transcode")]
impl Transcoder {
    /// Made of what there is; `None` where this castctl cannot.
    pub fn new(how: &Transcoding, given: Given, metrics: &Metrics) -> Option<Transcoder> {
        let Given { node, logs, alone, sources, client, directory, clock } = given;
        let metrics = crate::transcode::metrics::Transcode::register(metrics);
        let program = how.program.clone();
        let context = crate::transcode::run::Context {
            logs,
            alone,
            sources,
            client,
            directory,
            clock,
            program,
            metrics,
        };
        Some(Transcoder { node, context })
    }

    /// Does jobs until the drain.
    pub async fn serve(self, ready: Latch, drain: Drain) {
        crate::transcode::node::serve(self.context, self.node, ready, drain).await;
    }
}

#[cfg(not(feature = "transcode"))]
impl Transcoder {
    /// Made of what there is; `None` where this castctl cannot.
    pub fn new(_: &Transcoding, _: Given, _: &Metrics) -> Option<Transcoder> {
        None
    }

    /// Does jobs until the drain.
    pub async fn serve(self, _: Latch, _: Drain) {
        match self {}
    }
}
