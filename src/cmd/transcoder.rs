//! What a process is made of that transcodes, alone or beside other roles.

use crate::api::client::{self, Client};
use crate::api::directory::{Directory, Follower};
use crate::api::types::{ChannelSettings, NodeName};
use crate::base::ids::Channel;
use crate::cmd::cluster::Member;
use crate::cmd::common::Failure;
use crate::cmd::reads::{Reads, upstream};
use crate::cmd::recorder::Recorder;
use crate::cmd::settings;
use crate::control::plan::cost::table::Table;
use crate::control::registry::{Database, Registry};
use crate::log::id::LogId;
use crate::log::logs::Logs;
use crate::log::source::Source;
use crate::log::through::Through;
use crate::manifest::types::Manifest;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::ready::Latch;
use crate::transcode::begin::Context;
use crate::transcode::metrics::Transcode;
use crate::transcode::mirror::Mirror;
use crate::transcode::node;
use std::path::PathBuf;
use std::sync::Arc;

/// How a process transcodes.
#[derive(Debug, Clone)]
pub struct Transcoding {
    /// Millicores that it may use.
    pub millicores: u32,
    /// A castctl, which is started for each job.
    pub program: PathBuf,
    /// What transcoding takes.
    pub machine: Table,
    /// The first worker of each job of this channel aborts after so many pictures.
    pub crash: Option<(Channel, u64)>,
}

impl Transcoding {
    /// With all of the machine, on which it takes so much; `None` where this castctl cannot.
    pub fn here(machine: Table) -> Option<Transcoding> {
        let program = std::env::current_exe().ok()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let millicores = u32::try_from(cores).unwrap_or(1).saturating_mul(1_000);
        cfg!(feature = "transcode").then_some(Transcoding {
            millicores,
            program,
            machine,
            crash: None,
        })
    }
}

/// What a process makes rungs of that is of no cluster.
#[derive(Debug, Clone)]
pub struct Aside {
    /// The node whose channels these are: its internal listener.
    pub upstream: String,
    /// The settings of all of them.
    pub settings: ChannelSettings,
}

/// Where jobs come from, what they read and where they write.
struct Given {
    /// This node's name.
    node: NodeName,
    /// The logs that are written.
    logs: Logs,
    /// Nobody else writes in their directory.
    alone: bool,
    /// There are other nodes to hand jobs over to.
    hands_over: bool,
    /// Where sources are read.
    sources: Source,
    /// The registry.
    client: Client,
    /// What the registry shows.
    directory: Directory,
    /// The clock.
    clock: Clock,
}

/// Beside what records, of its logs; where it does not transcode, for the gaps of rungs that nobody
/// makes.
pub fn beside(
    how: Option<&Transcoding>,
    recorder: &Recorder,
    directory: &Directory,
    member: &Member,
    (metrics, clock): (&Metrics, &Clock),
) -> Transcoder {
    let given = Given {
        node: member.node.clone(),
        logs: recorder.logs.clone(),
        alone: false,
        hands_over: false,
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
) -> Result<(Logs, Directory, Follower, Transcoder), Failure> {
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
        hands_over: true,
        sources: member.logs(Arc::new(holder), Through::default(), clock.clone()),
        client: Client::remote(peers),
        directory: directory.clone(),
        clock: clock.clone(),
    };
    let transcoder = Transcoder::new(Some(how), given, metrics);
    Ok((logs, directory, follower, transcoder))
}

/// In a process of its own, of the logs of one upstream, with a registry of its own.
pub async fn aside(
    how: &Transcoding,
    aside: &Aside,
    manifest: &Manifest,
    member: &Member,
    metrics: &Metrics,
    clock: &Clock,
) -> Result<Reads, Failure> {
    let server = &manifest.server;
    let logs = Logs::open(&server.data, settings::logs(server)).map_err(Failure::failed)?;
    let (remote, shown, follower) = upstream(&aside.upstream, member, clock)?;
    let registry = Registry::open(&Database::File(server.data.join("registry.db")), &[]).await;
    let registry = registry.map_err(Failure::failed)?.mirroring(aside.settings.clone());
    let registry = registry.transcoding(member.node.clone(), how.millicores);
    let registry = registry.costing(how.machine.clone());
    let (client, calls, table) = client::embedded();
    let directory = Directory::mirroring(client.clone(), table, shown.clone());
    let sources = Source::Remote(remote.clone());
    let given = Given {
        node: member.node.clone(),
        logs: logs.clone(),
        alone: true,
        hands_over: false,
        sources: sources.clone(),
        client: client.clone(),
        directory: directory.clone(),
        clock: clock.clone(),
    };
    let transcoder = Some(Transcoder::new(Some(how), given, metrics));
    let mirror = Mirror {
        upstream: shown,
        sources,
        client,
        clock: clock.clone(),
        budget: aside.settings.latency_budget,
    };
    let reads = Reads::of(Source::Apart(logs, remote), directory, Some(follower));
    let registry = Some((registry, calls));
    Ok(Reads { registry, mirror: Some(mirror), transcoder, ..reads })
}

/// Does jobs, or writes the gaps of those that nobody does.
pub struct Transcoder {
    node: NodeName,
    context: Context,
}

impl Transcoder {
    /// Made of what there is; without a `how`, of gaps alone.
    fn new(how: Option<&Transcoding>, given: Given, metrics: &Metrics) -> Transcoder {
        let Given { node, logs, alone, hands_over, sources, client, directory, clock } = given;
        let metrics = Transcode::register(metrics);
        let program = how.map(|how| how.program.clone());
        let crash = how.and_then(|how| how.crash.clone());
        let context = Context {
            logs,
            alone,
            sources,
            client,
            directory,
            clock,
            program,
            crash,
            hands_over,
            metrics,
        };
        Transcoder { node, context }
    }

    /// Does jobs until the drain.
    pub async fn serve(self, ready: Latch, drain: Drain) {
        node::serve(self.context, self.node, ready, drain).await;
    }
}
