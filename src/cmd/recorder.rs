//! What a process is made of that records: logs, a registry or the way to the cluster's, the RTMP
//! listener.

use crate::api::client;
use crate::api::directory::{Directory, Follower};
use crate::api::orders::{self, Orders, Taken};
use crate::cmd::cluster::Member;
use crate::cmd::common::Failure;
use crate::cmd::settings;
use crate::cmd::transcoder::Transcoding;
use crate::control::registry::{ChannelEntry, Database, Registry};
use crate::ingest;
use crate::ingest::context::Context;
use crate::log::format::version::Wrote;
use crate::log::fs::{Disk, FileSystem, Open};
use crate::log::logs::Logs;
use crate::log::options::Options;
use crate::manifest::types::{Manifest, Server};
use crate::rt::clock::Clock;
use crate::rt::tls::Tls;
use crate::telemetry::metrics::Metrics;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How a process records.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The version of the format that it writes.
    pub format: Wrote,
    /// The disk that its logs lie on.
    pub disk: Arc<dyn FileSystem>,
    /// How it makes rungs too, where its registry is its own.
    pub transcoding: Option<Transcoding>,
    /// How much media an extent covers, where it is not what `log::options` says.
    pub extent: Option<Duration>,
}

impl Recording {
    /// On the machine's own disk.
    pub fn new(format: Wrote) -> Recording {
        Recording { format, disk: Arc::new(Disk), transcoding: None, extent: None }
    }

    /// Makes rungs too.
    pub fn transcoding(self, transcoding: Option<Transcoding>) -> Recording {
        Recording { transcoding, ..self }
    }

    fn options(&self, server: &Server) -> Options {
        let usual = Options { format: self.format, ..settings::logs(server) };
        let micros = self.extent.and_then(|e| i64::try_from(e.as_micros()).ok());
        Options { extent_micros: micros.unwrap_or(usual.extent_micros), ..usual }
    }
}

/// What records: the logs, the way to who decides their numbers, and the RTMP listener.
pub struct Recorder {
    /// The logs.
    pub logs: Logs,
    /// Asks the registry.
    pub client: client::Client,
    /// Brings orders to the writers.
    pub orders: Orders,
    /// Where they take them.
    pub taken: Taken,
    /// The RTMP listener.
    pub rtmp: ingest::server::Server,
}

/// What records, the registry where it is of this process, and what that shows.
pub async fn record(
    manifest: &Manifest,
    recording: &Recording,
    rtmps: Option<Tls>,
    member: &Member,
    metrics: &Metrics,
    clock: &Clock,
) -> Result<(Recorder, Option<(Registry, client::Calls)>, (Directory, Option<Follower>)), Failure> {
    let server = &manifest.server;
    let logs = Logs::with(Arc::clone(&recording.disk), &server.data, recording.options(server));
    let logs = logs.map_err(Failure::failed)?;
    let (client, registry, directory, follower) = match &member.peers {
        Some(peers) => {
            let (directory, follower) = Directory::of(peers.clone(), clock.clone());
            (client::Client::remote(peers.clone()), None, directory, Some(follower))
        }
        None => {
            let channels: Vec<ChannelEntry> =
                manifest.channels.iter().map(settings::channel).collect();
            let file = server.data.join("registry.db");
            let registry = Registry::open(&Database::File(file), &channels).await;
            let mut registry = registry.map_err(Failure::failed)?;
            if let Some(how) = &recording.transcoding {
                registry = registry.transcoding(member.node.clone(), how.millicores);
                registry = registry.costing(how.machine.clone());
            }
            reserve(&server.data.join("registry.db-wal"));
            let (client, calls, table) = client::embedded();
            let directory = Directory::embedded(client.clone(), table);
            (client, Some((registry, calls)), directory, None)
        }
    };
    let context = Context {
        node: member.node.clone(),
        logs: logs.clone(),
        client: client.clone(),
        clock: clock.clone(),
        metrics: ingest::metrics::Ingest::register(metrics),
        decided: ingest::decided::Decided::default(),
    };
    let rtmp = ingest::server::Server::bind(settings::rtmp(server, rtmps), context).await;
    let rtmp = rtmp.map_err(Failure::failed)?;
    let (orders, taken) = orders::channel();
    let recorder = Recorder { logs, client, orders, taken, rtmp };
    Ok((recorder, registry, (directory, follower)))
}

/// Room that the registry's journal gets in advance. It is emptied at 4 MiB and used again, so
/// that ends are still told when the disk is full.
const JOURNAL_ROOM: u64 = 8 << 20;

fn reserve(journal: &Path) {
    let reserved = Disk.open(journal, Open::Write).and_then(|f| f.allocate(0, JOURNAL_ROOM));
    if let Err(e) = reserved {
        tracing::warn!("no room is kept for {}: {e}", journal.display());
    }
}
