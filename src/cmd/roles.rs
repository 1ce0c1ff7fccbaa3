//! What a server process is made of: which roles it has, bound in the order of what can fail,
//! served until the drain, ended in the reverse order of starting. `up`, `ingest` and `serve-edge`
//! are choices of these.

use crate::api::cluster::Role;
use crate::api::directory::{Directory, Follower};
use crate::api::kept::Kept;
use crate::api::lease;
use crate::api::peers::Peers;
use crate::cmd::cluster::{Lease, Member};
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::recorder::{self, Recorder, Recording};
use crate::cmd::{disk, settings};
use crate::control::embedded as registry;
use crate::edge;
use crate::ingest;
use crate::log::id::LogId;
use crate::log::remote::{self, Remote};
use crate::log::source::Source;
use crate::manifest::types::Manifest;
use crate::origin;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::signal::Stop;
use crate::rt::task;
use crate::telemetry::admin::Admin;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::ready::{Latch, Ready};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Where a process has its logs and its table of channels from.
#[derive(Debug, Clone)]
pub enum From {
    /// It records them itself; who may is asked of the cluster's API servers, or of a registry of
    /// its own.
    Recording(Recording),
    /// Another node, whose internal listener this is.
    Upstream(String),
    /// Every node of the cluster, as its API servers say; what they said last is kept here.
    Cluster(Option<PathBuf>),
}

/// Which roles a process has. Addresses and limits are the manifest's.
#[derive(Debug, Clone)]
pub struct Roles {
    /// What the others read; recording is the role `ingest`.
    pub from: From,
    /// Serve logs to other nodes.
    pub origin: bool,
    /// Serve viewers.
    pub edge: bool,
    /// Its place in a cluster.
    pub member: Member,
}

/// Everything bound and opened, before anything is served.
pub struct Bound {
    ready: Ready,
    metrics: Metrics,
    clock: Clock,
    admin: Admin,
    directory: Directory,
    recorder: Option<Recorder>,
    follower: Option<Follower>,
    lease: Option<Lease>,
    origin: Option<origin::server::Server>,
    edge: Option<edge::server::Server>,
}

/// Binds every listener and opens the stores; the data directory must be the caller's alone.
pub async fn bind(roles: &Roles, manifest: &Manifest) -> Result<Bound, Failure> {
    let server = &manifest.server;
    let tls = settings::tls(server).map_err(Failure::usage)?;
    let (ready, metrics, clock) = (Ready::new(), Metrics::new(), Clock::system());
    let admin = Admin::bind(server.admin.listen, metrics.clone(), ready.clone()).await;
    let admin = admin.map_err(Failure::failed)?;
    let member = &roles.member;
    let (logs, directory, recorder, follower) = match &roles.from {
        From::Recording(recording) => {
            let (recorder, directory, follower) =
                recorder::record(manifest, recording, member, &metrics, &clock).await?;
            (Source::Local(recorder.logs.clone()), directory, Some(recorder), follower)
        }
        From::Upstream(url) => {
            let options = remote::Options::default();
            let remote = Remote::signed(url, options, clock.clone(), member.bearer());
            let remote = remote.map_err(|e| Failure::of(e.kind(), e))?;
            let peers = Peers::new(url, member.signer.clone()).map_err(Failure::usage)?;
            let (directory, follower) = Directory::of(peers, clock.clone());
            (Source::Remote(remote), directory, None, Some(follower))
        }
        From::Cluster(state) => {
            let none = || Failure::usage("say where the API servers are (--api)");
            let peers = member.peers.clone().ok_or_else(none)?;
            let (directory, mut follower) = Directory::of(peers, clock.clone());
            if let Some(dir) = state {
                let cannot = |e| Failure::failed(format!("{}: {e}", dir.display()));
                follower = follower.kept(Kept::in_dir(dir).map_err(cannot)?);
            }
            let of = directory.clone();
            let holder = move |id: &LogId| of.holder(&id.channel, id.session, id.generation);
            let logs = member.logs(Arc::new(holder), clock.clone());
            (logs, directory, None, Some(follower))
        }
    };
    let origin = match roles.origin {
        true => {
            let served = origin::server::Served {
                logs: logs.clone(),
                directory: directory.clone(),
                orders: recorder.as_ref().map(|r| r.orders.clone()),
                secret: member.secret.clone(),
                clock: clock.clone(),
                metrics: origin::metrics::Origin::register(&metrics),
            };
            let bound = origin::server::Server::bind(settings::internal(server), served).await;
            Some(bound.map_err(Failure::failed)?)
        }
        false => None,
    };
    let edge = match roles.edge {
        true => {
            let (directory, clock) = (directory.clone(), clock.clone());
            let away = edge::away::Away::default();
            let sources = edge::feed::Sources { logs, directory, clock, away };
            let counters = edge::metrics::Edge::register(&metrics);
            let bound =
                edge::server::Server::bind(settings::viewers(server, tls), sources, counters);
            Some(bound.await.map_err(Failure::failed)?)
        }
        false => None,
    };
    let role = match roles.from {
        From::Recording(_) => Role::Origin,
        From::Upstream(_) | From::Cluster(_) => Role::Edge,
    };
    let internal = origin.as_ref().map(|o| o.addr());
    let lease = member.lease(role, internal, recorder.as_ref().map(|r| r.rtmp.addr()))?;
    Ok(Bound { ready, metrics, clock, admin, directory, recorder, follower, lease, origin, edge })
}

type Task<T> = JoinHandle<Option<T>>;

/// A server that ended, and how: `None` after a panic.
type Ended = Option<Result<(), String>>;

impl Bound {
    /// Where encoders publish; panics where nothing is recorded.
    pub fn rtmp(&self) -> SocketAddr {
        self.recorder.as_ref().expect("this process has the role").rtmp.addr()
    }

    /// Where other nodes read; panics where no logs are served.
    pub fn internal(&self) -> SocketAddr {
        self.origin.as_ref().expect("this process has the role").addr()
    }

    /// Where viewers watch; panics where none are served.
    pub fn viewers(&self) -> SocketAddr {
        self.edge.as_ref().expect("this process has the role").addr()
    }

    /// Where metrics and health are.
    pub fn admin(&self) -> SocketAddr {
        self.admin.addr()
    }

    /// Serves until the drain starts, then ends everything in the reverse order of starting: what
    /// writes, then what reads, then what both ask.
    pub async fn serve(self, drain: Drain) -> Result<(), Failure> {
        self.said();
        let Bound { ready, metrics, clock, admin, directory, recorder, .. } = self;
        let (written, after) = (Drain::new(), Drain::new());
        let (mut background, mut asked) = (Vec::new(), Vec::new());
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        // Every latch before the first is opened.
        let (unfinished_tx, unfinished) = watch::channel(0);
        let latch = |is: bool, name| is.then(|| ready.latch(name));
        let rtmp_latch = latch(recorder.is_some(), "rtmp");
        let disk_latch = latch(recorder.is_some(), "disk");
        let upstream_latch = latch(self.follower.is_some(), "upstream");
        let origin_latch = latch(self.origin.is_some(), "internal");
        let edge_latch = latch(self.edge.is_some(), "viewers");
        asked.push(task::spawn("admin", async_ok(admin.serve(after.clone()))));
        if let (Some(recorder), Some(rtmp_latch), Some(disk_latch)) =
            (recorder, rtmp_latch, disk_latch)
        {
            let Recorder { logs, registry, taken: orders, rtmp, .. } = recorder;
            if let Some((registry, calls)) = registry {
                let serve = registry::serve(registry, calls, clock.clone(), after.clone());
                asked.push(task::spawn("registry", async_ok(serve)));
            }
            let figures = disk::figures(logs.clone(), metrics, clock.clone());
            background.push(task::spawn("log figures", figures));
            background.push(task::spawn("disk", disk::watch(logs, disk_latch, clock.clone())));
            let given = ingest::server::Given { orders, unfinished };
            let serve = rtmp.serve(rtmp_latch, given, drain.clone());
            let serve = async { serve.await.map_err(|e| e.to_string()) };
            writers.push(("the RTMP server", task::spawn("rtmp", serve)));
        }
        if let (Some(follower), Some(latch)) = (self.follower, upstream_latch) {
            background.push(task::spawn("table", follower.run()));
            background.push(task::spawn("upstream", known(directory, latch)));
        }
        if let (Some(origin), Some(latch)) = (self.origin, origin_latch) {
            let serve = async_ok(origin.serve(latch, written.clone()));
            readers.push(("the internal server", task::spawn("internal", serve)));
        }
        if let (Some(edge), Some(latch)) = (self.edge, edge_latch) {
            let serve = async_ok(edge.serve(latch, drain.clone()));
            readers.push(("the viewers' server", task::spawn("viewers", serve)));
        }
        if let Some(Lease { peers, node, beat }) = self.lease {
            let times = (clock.clone(), drain.clone(), after.clone());
            let keep = lease::keep(peers, node, beat, times, unfinished_tx);
            asked.push(task::spawn("lease", async_ok(keep)));
        }
        let early = first_end(&mut writers, &mut readers, &drain).await;
        ready.drain();
        drain.start();
        let mut ended: Vec<(&str, Ended)> = early.into_iter().collect();
        ended.extend(all(writers).await);
        written.start();
        ended.extend(all(readers).await);
        after.start();
        for task in asked {
            let _ = task.await;
        }
        background.iter().for_each(JoinHandle::abort);
        for (what, end) in ended {
            match end {
                Some(Ok(())) => {}
                Some(Err(why)) => return Err(Failure::failed(why)),
                None => return Err(Failure::failed(format!("{what} stopped; see the log"))),
            }
        }
        Ok(())
    }

    fn said(&self) {
        let or_none = |addr: Option<SocketAddr>| addr.map_or("none".into(), |a| a.to_string());
        let recorder = self.recorder.as_ref();
        let data = recorder.map_or("none".into(), |r| r.logs.data().display().to_string());
        tracing::info!(rtmp = or_none(recorder.map(|r| r.rtmp.addr())),
            internal = or_none(self.origin.as_ref().map(origin::server::Server::addr)),
            viewers = or_none(self.edge.as_ref().map(edge::server::Server::addr)),
            admin = %self.admin.addr(), data, "serving");
    }
}

/// The latch is open from the first table of the upstream on; what was known stays known.
async fn known(directory: Directory, latch: Latch) {
    latch.close("the upstream has not told its channels yet");
    directory.known().await;
    latch.open();
    // A latch that is dropped closes.
    std::future::pending::<()>().await;
}

async fn async_ok<T>(future: impl Future<Output = T>) -> Result<(), String> {
    future.await;
    Ok(())
}

type Server = (&'static str, Task<Result<(), String>>);

/// Waits for the drain, or for a server that ends before it; that one is taken off its list.
async fn first_end(
    writers: &mut Vec<Server>,
    readers: &mut Vec<Server>,
    drain: &Drain,
) -> Option<(&'static str, Ended)> {
    let mut found = None;
    {
        let any = std::future::poll_fn(|cx| {
            for (list, servers) in [&mut *writers, &mut *readers].into_iter().enumerate() {
                for (i, (_, task)) in servers.iter_mut().enumerate() {
                    if let std::task::Poll::Ready(end) = std::pin::Pin::new(task).poll(cx) {
                        return std::task::Poll::Ready((list, i, end.ok().flatten()));
                    }
                }
            }
            std::task::Poll::Pending
        });
        tokio::select! {
            () = drain.wait() => {}
            ended = any => found = Some(ended),
        }
    }
    let (list, i, end) = found?;
    let (what, _) = if list == 0 { writers.remove(i) } else { readers.remove(i) };
    Some((what, end))
}

async fn all(servers: Vec<Server>) -> Vec<(&'static str, Ended)> {
    let mut out = Vec::with_capacity(servers.len());
    for (what, task) in servers {
        out.push((what, task.await.ok().flatten()));
    }
    out
}

/// Binds, announces, and serves until told to stop.
pub async fn run(
    roles: Roles,
    manifest: Manifest,
    announce: impl FnOnce(&Manifest, &Bound),
) -> Result<Exit, Failure> {
    let stop = Stop::install().map_err(|e| Failure::failed(format!("signals: {e}")))?;
    let bound = bind(&roles, &manifest).await?;
    announce(&manifest, &bound);
    let drain = Drain::new();
    until_told(stop, drain.clone(), bound.serve(drain)).await
}

/// Serves until the first signal starts the drain and the drain is over; a second signal forces
/// the end.
pub async fn until_told(
    mut stop: Stop,
    drain: Drain,
    serve: impl Future<Output = Result<(), Failure>>,
) -> Result<Exit, Failure> {
    let signals = async {
        stop.next().await;
        tracing::info!("draining; a second signal forces the end");
        drain.start();
        stop.next().await;
    };
    tokio::select! {
        ended = serve => ended.map(|()| Exit::Done),
        () = signals => Ok(Exit::Forced),
    }
}

/// The base URL of the viewers' listener.
pub fn viewers_url(manifest: &Manifest, bound: &Bound) -> String {
    let viewers = &manifest.server.viewers;
    let scheme = if viewers.tls.is_some() { "https" } else { "http" };
    let own = || format!("{scheme}://{}", local(bound.viewers()));
    viewers.public_url.clone().unwrap_or_else(own)
}

/// An address as somebody on this machine would type it.
pub fn local(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// Where to publish, channel by channel, with the first key of each: `key: value` lines.
pub fn announce_keys(manifest: &Manifest, of_channel: impl Fn(&str)) {
    for channel in &manifest.channels {
        let name = &channel.name;
        if manifest.channels.len() > 1 {
            common::out(format!("channel: {name}"));
        }
        match channel.keys.first() {
            Some(key) => common::out(format!("key: {}", key.expose())),
            None => common::say(format!("channel {name} has no stream key: nobody can publish")),
        }
        of_channel(name.as_str());
    }
}
