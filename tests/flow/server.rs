//! A server in this process, as `castctl up` composes it: own directory, free ports, known keys.

use crate::oracle::{Finding, Oracle};
use castctl::cmd::reads::From;
use castctl::cmd::recorder::Recording;
use castctl::cmd::roles;
use castctl::cmd::{serve_edge, up};
use castctl::log::format::version::Wrote;
use castctl::manifest::types::{ChannelSpec, Manifest, Pace, StreamKey};
use castctl::rt::drain::Drain;
use castctl::rt::task;
use reqwest::Url;
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// The stream key of the channel `main`.
pub(crate) const KEY: &str = "main-key-1";

/// A second key of the channel `main`.
pub(crate) const OTHER_KEY: &str = "main-key-2";

/// No wait of a test is longer: far above what it waits for, so that only a hang meets it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A running server.
pub(crate) struct Server {
    pub(crate) rtmp: SocketAddr,
    pub(crate) viewers: SocketAddr,
    pub(crate) internal: SocketAddr,
    pub(crate) admin: SocketAddr,
    dir: TempDir,
    drain: Drain,
    task: Task,
}

type Task = JoinHandle<Option<Result<(), castctl::cmd::common::Failure>>>;

/// Nothing but free ports of this machine.
pub(crate) fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A channel with keys.
pub(crate) fn channel(name: &str, keys: &[&str]) -> ChannelSpec {
    let mut channel = ChannelSpec::new(name.parse().expect("a channel name"));
    channel.keys = keys.iter().map(|k| StreamKey::new(k).expect("a key")).collect();
    channel
}

/// Short segments, so that tests are short: 1 s of 2 s at most, parts of 200 ms.
pub(crate) fn brisk(name: &str, keys: &[&str]) -> ChannelSpec {
    let part = Duration::from_millis(200);
    ChannelSpec {
        segment: Duration::from_secs(1),
        target_duration: 2,
        part,
        latency_budget: part,
        ..channel(name, keys)
    }
}

/// The same, as fast as media comes.
pub(crate) fn fast(name: &str, keys: &[&str]) -> ChannelSpec {
    ChannelSpec { pace: Pace::Media, ..brisk(name, keys) }
}

impl Server {
    /// Starts with these channels.
    pub(crate) async fn start(channels: Vec<ChannelSpec>) -> Server {
        Server::with(channels, |_| ()).await
    }

    /// Starts with these channels and settings.
    pub(crate) async fn with(
        channels: Vec<ChannelSpec>,
        change: impl FnOnce(&mut Manifest),
    ) -> Server {
        Server::on(Recording::new(Wrote::TODAY), channels, change).await
    }

    /// Starts with these channels and settings, and with logs of this kind.
    pub(crate) async fn on(
        recording: Recording,
        channels: Vec<ChannelSpec>,
        change: impl FnOnce(&mut Manifest),
    ) -> Server {
        let dir = tempfile::tempdir().expect("a directory");
        let mut manifest = Manifest { channels, ..Manifest::default() };
        manifest.server.data = dir.path().to_owned();
        manifest.server.rtmp.listen = local();
        manifest.server.viewers.listen = local();
        manifest.server.internal.listen = local();
        manifest.server.admin.listen = local();
        change(&mut manifest);
        let roles = up::roles(From::Recording(recording));
        let bound = roles::bind(&roles, &manifest).await;
        let bound = bound.expect("free ports and a writable directory");
        let (rtmp, viewers, internal) = (bound.rtmp(), bound.viewers(), bound.internal());
        let admin = bound.admin();
        let drain = Drain::new();
        let task = task::spawn("server", bound.serve(drain.clone()));
        Server { rtmp, viewers, internal, admin, dir, drain, task }
    }

    /// A URL of the viewers' listener.
    pub(crate) fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.viewers).parse().expect("a URL")
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Where an encoder publishes with `key`.
    pub(crate) fn publish_url(&self, key: &str) -> String {
        format!("rtmp://{}/live/{key}", self.rtmp)
    }

    /// An oracle on a channel.
    pub(crate) fn oracle(&self, channel: &str) -> Oracle {
        Oracle::watch(vec![self.url("/")], channel)
    }

    /// Starts the drain, and does not wait for its end.
    pub(crate) fn drain(&self) {
        self.drain.start();
    }

    /// Drains and ends; the directory is left to look at.
    pub(crate) async fn stop(self) -> TempDir {
        self.drain.start();
        let ended = self.task.await.expect("not aborted").expect("no panic");
        ended.expect("a drain ends well");
        self.dir
    }
}

/// A running edge in this process, which may be the upstream of others.
pub(crate) struct Edge {
    pub(crate) viewers: SocketAddr,
    pub(crate) internal: SocketAddr,
    drain: Drain,
    task: Task,
}

impl Edge {
    /// Starts an edge that reads from the node whose internal listener is `upstream`.
    pub(crate) async fn start(upstream: SocketAddr) -> Edge {
        let mut manifest = Manifest::default();
        manifest.server.viewers.listen = local();
        manifest.server.internal.listen = local();
        manifest.server.admin.listen = local();
        let roles = serve_edge::roles(&format!("http://{upstream}"), true);
        let bound = roles::bind(&roles, &manifest).await.expect("free ports");
        let (viewers, internal) = (bound.viewers(), bound.internal());
        let drain = Drain::new();
        let task = task::spawn("edge", bound.serve(drain.clone()));
        Edge { viewers, internal, drain, task }
    }

    /// A URL of the viewers' listener.
    pub(crate) fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.viewers).parse().expect("a URL")
    }

    /// Drains and ends.
    pub(crate) async fn stop(self) {
        self.drain.start();
        let ended = self.task.await.expect("not aborted").expect("no panic");
        ended.expect("a drain ends well");
    }
}

/// Asserts silence.
pub(crate) fn silent(found: &[Finding]) {
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "the oracle speaks:\n{}", lines.join("\n"));
}

/// Waits for a future; a test that waits longer than [`PATIENCE`] has failed.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(out) => out,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}
