//! Where a process has its logs and its table of channels from: the choice, and what it takes.

use crate::api::attested::Disk;
use crate::api::client::Calls;
use crate::api::cluster::Role;
use crate::api::directory::{Directory, Follower};
use crate::api::kept::Kept;
use crate::api::peers::Peers;
use crate::cmd::cluster::Member;
use crate::cmd::collect;
use crate::cmd::common::Failure;
use crate::cmd::recorder::{self, Recorder, Recording};
use crate::cmd::transcoder::{self, Aside, Transcoder, Transcoding};
use crate::collect::adopt::Adopter;
use crate::collect::attest;
use crate::control::registry::Registry;
use crate::log::bucket::Bucket;
use crate::log::error::LogError;
use crate::log::id::LogId;
use crate::log::remote::{self, Remote};
use crate::log::source::Source;
use crate::log::through::Through;
use crate::manifest::types::Manifest;
use crate::rt::clock::Clock;
use crate::rt::tls::Tls;
use crate::telemetry::metrics::Metrics;
use crate::transcode::mirror::Mirror;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a process has its logs and its table of channels from.
#[derive(Debug, Clone)]
pub enum From {
    /// It records them itself; who may is asked of the cluster's API servers, or of a registry of
    /// its own.
    Recording(Recording),
    /// Another node, whose internal listener this is.
    Upstream(String),
    /// Every node of the cluster, as its API servers say; what they said last is kept in this
    /// directory.
    Cluster(Option<PathBuf>),
    /// A writer that may be gone has recorded them on this disk.
    Adopting,
    /// It makes them, of those of every node of the cluster.
    Transcoding(Transcoding),
    /// It makes them, of those of one other node, which it passes on.
    Aside(Transcoding, Aside),
}

/// What is read, and what it takes.
pub struct Reads {
    /// The logs.
    pub logs: Source,
    /// The node through which they are read, as the cluster's API servers say.
    pub through: Option<Through>,
    /// Which there are.
    pub directory: Directory,
    /// Keeps the directory's table, where that is another process's.
    pub follower: Option<Follower>,
    /// The registry and the calls that it answers; `None` where it is the cluster's, or another
    /// node's.
    pub registry: Option<(Registry, Calls)>,
    /// Tells that registry what another one knows.
    pub mirror: Option<Mirror>,
    /// What writes.
    pub recorder: Option<Recorder>,
    /// What looks after the logs of dead writers.
    pub adopter: Option<Adopter>,
    /// What makes rungs.
    pub transcoder: Option<Transcoder>,
}

impl Reads {
    /// Nothing but what is read.
    pub fn of(logs: Source, directory: Directory, follower: Option<Follower>) -> Reads {
        let (through, registry, mirror) = (None, None, None);
        let (recorder, adopter, transcoder) = (None, None, None);
        Reads {
            logs,
            through,
            directory,
            follower,
            registry,
            mirror,
            recorder,
            adopter,
            transcoder,
        }
    }

    /// With the bucket at a URL for what has left the disks.
    pub fn behind(mut self, url: &str, clock: &Clock) -> Result<Reads, Failure> {
        let bucket = Bucket::open(url, clock.clone());
        let bad = |e: LogError| Failure::of(e.kind(), format!("--archive: {e}"));
        self.logs = self.logs.behind(bucket.map_err(bad)?, clock.clone());
        Ok(self)
    }
}

/// Another node's logs, and what it knows.
pub fn upstream(
    url: &str,
    member: &Member,
    clock: &Clock,
) -> Result<(Remote, Directory, Follower), Failure> {
    let options = remote::Options::default();
    let remote = Remote::signed(url, options, clock.clone(), member.bearer());
    let remote = remote.map_err(|e| Failure::of(e.kind(), e))?;
    let peers = Peers::new(url, member.signer.clone()).map_err(Failure::usage)?;
    let (directory, follower) = Directory::of(peers, clock.clone());
    Ok((remote, directory, follower.of_one()))
}

impl From {
    /// What a node is that has this.
    pub fn role(&self) -> Role {
        match self {
            From::Recording(_) => Role::Origin,
            From::Adopting => Role::Collector,
            From::Transcoding(_) | From::Aside(..) => Role::Transcoder,
            From::Upstream(_) | From::Cluster(_) => Role::Edge,
        }
    }

    /// The disk that it keeps logs on, to be looked at.
    pub fn disk(&self, manifest: &Manifest) -> Option<Disk> {
        let (data, look) = (manifest.server.data.clone(), attest::look_or_say as _);
        match self {
            From::Upstream(_) | From::Cluster(_) => None,
            From::Recording(_) | From::Adopting | From::Transcoding(_) | From::Aside(..) => {
                Some(Disk { data, look })
            }
        }
    }

    /// Opens the stores, and binds what encoders come in by.
    pub async fn open(
        &self,
        manifest: &Manifest,
        member: &Member,
        rtmps: Option<Tls>,
        metrics: &Metrics,
        clock: &Clock,
    ) -> Result<Reads, Failure> {
        Ok(match self {
            From::Recording(recording) => {
                let (recorder, registry, (directory, follower)) =
                    recorder::record(manifest, recording, rtmps, member, metrics, clock).await?;
                let how = recording.transcoding.as_ref();
                let transcoder =
                    Some(transcoder::beside(how, &recorder, &directory, member, (metrics, clock)));
                let reads = Reads::of(Source::Local(recorder.logs.clone()), directory, follower);
                Reads { registry, recorder: Some(recorder), transcoder, ..reads }
            }
            From::Upstream(url) => {
                let (remote, directory, follower) = upstream(url, member, clock)?;
                Reads::of(Source::Remote(remote), directory, Some(follower))
            }
            From::Cluster(state) => {
                let (directory, mut follower) = Directory::of(member.cluster()?, clock.clone());
                if let Some(dir) = state {
                    let cannot = |e| Failure::failed(format!("{}: {e}", dir.display()));
                    follower = follower.kept(Kept::in_dir(dir).map_err(cannot)?);
                }
                let table = directory.clone();
                let holder = move |id: &LogId| table.holder(&id.channel, id.session, id.writer());
                let through = Through::default();
                let logs = member.logs(Arc::new(holder), through.clone(), clock.clone());
                Reads { through: Some(through), ..Reads::of(logs, directory, Some(follower)) }
            }
            From::Transcoding(how) => {
                let (logs, directory, follower, transcoder) =
                    transcoder::alone(how, manifest, member, metrics, clock)?;
                let reads = Reads::of(Source::Local(logs), directory, Some(follower));
                Reads { transcoder: Some(transcoder), ..reads }
            }
            From::Aside(how, aside) => {
                transcoder::aside(how, aside, manifest, member, metrics, clock).await?
            }
            From::Adopting => {
                let (adopter, directory, follower) =
                    collect::adopt(manifest, member, metrics, clock)?;
                let reads =
                    Reads::of(Source::Local(adopter.logs.clone()), directory, Some(follower));
                Reads { adopter: Some(adopter), ..reads }
            }
        })
    }
}
