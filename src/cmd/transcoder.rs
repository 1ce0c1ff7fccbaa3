//! What a process is made of that transcodes, alone or beside other roles. A castctl that was built
//! without libav has no such part.

use crate::api::client::Client;
use crate::api::directory::{Directory, Follower};
use crate::api::types::NodeName;
use crate::cmd::cluster::Member;
use crate::cmd::common::Failure;
use crate::cmd::recorder::Recorder;
use crate::cmd::settings;
use crate::log::id::LogId;
use crate::log::logs::Logs;
use crate::log::source::Source;
use crate::log::through::Through;
use crate::manifest::types::Manifest;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::ready::Latch;
use std::path::PathBuf;
use std::sync::Arc;

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
#[cfg_attr(not(feature = "transcode"), allow(dead_code, reason = "nothing is made of it"))]
struct Given {
    /// This node's name.
    node: NodeName,
    /// The logs that are written.
    logs: Logs,
    /// Nobody else writes in their directory.
    alone: bool,
    /// Where sources are read.
    sources: Source,
    /// The registry.
    client: Client,
    /// What the registry shows.
    directory: Directory,
    /// The clock.
    clock: Clock,
}

/// Beside what records, of its logs.
pub fn beside(
    how: &Transcoding,
    recorder: &Recorder,
    directory: &Directory,
    member: &Member,
    (metrics, clock): (&Metrics, &Clock),
) -> Option<Transcoder> {
    let given = Given {
        node: member.node.clone(),
        logs: recorder.logs.clone(),
        alone: false,
        sources: Source::Local(recorder.logs.clone()),
        client: recorder.client.clone(),
        directory: directory.clone(),
        clock: clock.clone(),
    };
    Transcoder::new(how, given, metrics)
}

/// In a process of its own, of the logs of every node of a cluster; with its own logs, and the
/// cluster's table and what keeps it.
pub fn alone(
    how: &Transcoding,
    manifest: &Manifest,
    member: &Member,
    metrics: &Metrics,
    clock: &Clock,
) -> Result<(Logs, Directory, Follower, Option<Transcoder>), Failure> {
    let logs = Logs::open(&manifest.server.data, settings::logs(&manifest.server));
    let logs = logs.map_err(Failure::failed)?;
    let peers = member.cluster()?;
    let (directory, follower) = Directory::of(peers.clone(), clock.clone());
    let table = directory.clone();
    let holder = move |id: &LogId| table.holder(&id.channel, id.session, id.writer());
    let given = Given {
        node: member.node.clone(),
        logs: logs.clone(),
        alone: true,
        sources: member.logs(Arc::new(holder), Through::default(), clock.clone()),
        client: Client::remote(peers),
        directory: directory.clone(),
        clock: clock.clone(),
    };
    let transcoder = Transcoder::new(how, given, metrics);
    Ok((logs, directory, follower, transcoder))
}

/// A transcoder.
#[cfg(feature = "transcode")]
pub struct Transcoder {
    node: NodeName,
    context: crate::transcode::begin::Context,
}

/// There is none.
#[cfg(not(feature = "transcode"))]
pub enum Transcoder {}

#[cfg(feature = "transcode")]
impl Transcoder {
    /// Made of what there is; `None` where this castctl cannot.
    fn new(how: &Transcoding, given: Given, metrics: &Metrics) -> Option<Transcoder> {
        let Given { node, logs, alone, sources, client, directory, clock } = given;
        let metrics = crate::transcode::metrics::Transcode::register(metrics);
        let program = how.program.clone();
        let context = crate::transcode::begin::Context {
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
    fn new(_: &Transcoding, _: Given, _: &Metrics) -> Option<Transcoder> {
        None
    }

    /// Does jobs until the drain.
    pub async fn serve(self, _: Latch, _: Drain) {
        match self {}
    }
}
