//! What a server process is made of: which roles it has, bound in the order of what can fail,
//! served until the drain, ended in the reverse order of starting. `up`, `ingest` and `serve-edge`
//! are choices of these.

use crate::api::cluster::{self, Heartbeat};
use crate::api::directory::Directory;
use crate::api::lease;
use crate::cmd::cluster::{Lease, Member};
use crate::cmd::common::{Exit, Failure};
use crate::cmd::disk;
use crate::cmd::figures::Figures;
use crate::cmd::push::{self, Asked, Edge};
use crate::cmd::reads::{From, Reads};
use crate::cmd::recorder::Recorder;
use crate::cmd::settings::{self, Certificates};
use crate::cmd::transcoder::Transcoder;
use crate::control::embedded as registry;
use crate::edge;
use crate::ingest;
use crate::log::through::Through;
use crate::manifest::types::Manifest;
use crate::origin;
use crate::push::pusher::Pusher;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::signal::Stop;
use crate::rt::task;
use crate::telemetry::admin::Admin;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::ready::{Latch, Ready};
use std::net::SocketAddr;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Which roles a process has. Addresses and limits are the manifest's.
#[derive(Debug, Clone)]
pub struct Roles {
    /// What the others read; recording is the role `ingest`.
    pub from: From,
    /// Serve logs to other nodes.
    pub origin: bool,
    /// Serve viewers.
    pub edge: bool,
    /// The URL of the bucket that has what disks do not have any more.
    pub archive: Option<String>,
    /// Its place in a cluster.
    pub member: Member,
    /// What is pushed into buckets, of what the role `edge` has.
    pub push: Asked,
}

/// Everything bound and opened, before anything is served.
pub struct Bound {
    ready: Ready,
    metrics: Metrics,
    clock: Clock,
    admin: Admin,
    reads: Reads,
    lease: Option<Lease>,
    origin: Option<origin::server::Server>,
    edge: Option<edge::server::Server>,
    push: Option<Pusher<Edge>>,
    figures: Figures,
}

/// Binds every listener and opens the stores; the data directory must be the caller's alone.
pub async fn bind(roles: &Roles, manifest: &Manifest) -> Result<Bound, Failure> {
    let server = &manifest.server;
    let Certificates { viewers: tls, rtmps } =
        Certificates::load(server).map_err(Failure::usage)?;
    let targets = roles.push.targets(manifest)?;
    let (ready, metrics, clock) = (Ready::new(), Metrics::new(), Clock::system());
    let admin = Admin::bind(server.admin.listen, metrics.clone(), ready.clone()).await;
    let admin = admin.map_err(Failure::failed)?;
    let member = &roles.member;
    let mut reads = roles.from.open(manifest, member, rtmps, &metrics, &clock).await?;
    if let Some(url) = &roles.archive {
        reads = reads.behind(url, &clock)?;
    }
    let (logs, directory) = (&reads.logs, &reads.directory);
    let origin = match roles.origin {
        true => {
            let served = origin::server::Served {
                logs: logs.clone(),
                directory: directory.clone(),
                orders: reads.recorder.as_ref().map(|r| r.orders.clone()),
                disk: roles.from.disk(manifest),
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
            let (logs, directory, clock) = (logs.clone(), directory.clone(), clock.clone());
            let away = edge::away::Away::default();
            let sources = edge::sources::Sources { logs, directory, clock, away };
            let counters = edge::metrics::Edge::register(&metrics);
            let bound =
                edge::server::Server::bind(settings::viewers(server, tls), sources, counters);
            Some(bound.await.map_err(Failure::failed)?)
        }
        false => None,
    };
    let watched = edge.as_ref().map(edge::server::Server::channels);
    let times = (&metrics, &clock);
    let push = push::pusher(targets, watched.as_ref(), directory, manifest, times);
    let own = !matches!(roles.from, From::Adopting);
    let disk = roles.from.disk(manifest).filter(|_| own);
    let figures = Figures::new(&reads, watched, disk, clock.clone());
    let internal = origin.as_ref().map(|o| o.addr());
    let rtmp = reads.recorder.as_ref().map(|r| r.rtmp.addr());
    let rtmps = reads.recorder.as_ref().and_then(|r| r.rtmp.secure_addr());
    let mut lease = member.lease(roles.from.role(), internal, rtmp, rtmps)?;
    if let (From::Transcoding(how), Some(lease)) = (&roles.from, &mut lease) {
        lease.beat.capacity = how.millicores;
    }
    Ok(Bound { ready, metrics, clock, admin, reads, lease, origin, edge, push, figures })
}

type Task<T> = JoinHandle<Option<T>>;

/// A server that ended, and how: `None` after a panic.
type Ended = Option<Result<(), String>>;

impl Bound {
    /// Where encoders publish; panics where nothing is recorded.
    pub fn rtmp(&self) -> SocketAddr {
        self.reads.recorder.as_ref().expect("this process has the role").rtmp.addr()
    }

    /// Where encoders publish over TLS.
    pub fn rtmps(&self) -> Option<SocketAddr> {
        self.reads.recorder.as_ref()?.rtmp.secure_addr()
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
        let Bound { ready, metrics, clock, admin, reads, .. } = self;
        let Reads { directory, through, registry, recorder, adopter, .. } = reads;
        let (follower, mirror, transcoder) = (reads.follower, reads.mirror, reads.transcoder);
        let (made, written, after) = (Drain::new(), Drain::new(), Drain::new());
        let times = (clock.clone(), drain.clone(), after.clone());
        let (unfinished_tx, unfinished) = watch::channel(0);
        let (mut background, mut asked) = (Vec::new(), Vec::new());
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        // Every latch before the first is opened.
        let latch = |is: bool, name| is.then(|| ready.latch(name));
        let rtmp_latch = latch(recorder.is_some(), "rtmp");
        let disk_latch = latch(recorder.is_some(), "disk");
        let upstream_latch = latch(follower.is_some(), "upstream");
        let adopt_latch = latch(adopter.is_some(), "adopt");
        let jobs_latch = latch(transcoder.is_some(), "jobs");
        let origin_latch = latch(self.origin.is_some(), "internal");
        let edge_latch = latch(self.edge.is_some(), "viewers");
        let push_latch = latch(self.push.is_some(), "push");
        asked.push(task::spawn("admin", async_ok(admin.serve(after.clone()))));
        asked.extend(registry.map(|(registry, calls)| {
            let serve = registry::serve(registry, calls, times.clone());
            task::spawn("registry", async_ok(serve))
        }));
        if let (Some(recorder), Some(rtmp), Some(disk)) = (recorder, rtmp_latch, disk_latch) {
            let Recorder { logs, taken: orders, rtmp: server, .. } = recorder;
            let figures = disk::figures(logs.clone(), metrics, clock.clone());
            background.push(task::spawn("log figures", figures));
            background.push(task::spawn("disk", disk::watch(logs, disk, clock.clone())));
            let given = ingest::server::Given { orders, unfinished };
            let serve = server.serve(rtmp, given, drain.clone());
            let serve = async { serve.await.map_err(|e| e.to_string()) };
            writers.push(("the RTMP server", task::spawn("rtmp", serve)));
        }
        if let (Some(adopter), Some(latch)) = (adopter, adopt_latch) {
            background.push(task::spawn("adopt", adopter.run(latch)));
        }
        if let (Some(follower), Some(latch)) = (follower, upstream_latch) {
            background.push(task::spawn("table", follower.run()));
            background.push(task::spawn("upstream", known(directory, latch)));
        }
        background.extend(mirror.map(|mirror| task::spawn("mirror", mirror.run())));
        let jobs = jobs(transcoder.zip(jobs_latch), made.clone());
        if let (Some(origin), Some(latch)) = (self.origin, origin_latch) {
            let serve = async_ok(origin.serve(latch, written.clone()));
            readers.push(("the internal server", task::spawn("internal", serve)));
        }
        if let (Some(edge), Some(latch)) = (self.edge, edge_latch) {
            let serve = async_ok(edge.serve(latch, drain.clone()));
            readers.push(("the viewers' server", task::spawn("viewers", serve)));
        }
        readers.extend(pushed(self.push.zip(push_latch), written.clone()));
        if let Some(lease) = self.lease {
            background.push(task::spawn("count", self.figures.clone().count()));
            let keep = keep(lease, self.figures, times, (unfinished_tx, through));
            asked.push(task::spawn("lease", async_ok(keep)));
        }
        let early = first_end(&mut writers, &mut readers, &drain).await;
        ready.drain();
        drain.start();
        let mut ended = Vec::from_iter(early);
        for (servers, next) in [(writers, made), (jobs, written), (readers, after)] {
            ended.extend(all(servers).await);
            next.start();
        }
        over(asked).await;
        background.iter().for_each(JoinHandle::abort);
        well(ended)
    }

    fn said(&self) {
        let or_none = |addr: Option<SocketAddr>| addr.map_or("none".into(), |a| a.to_string());
        let recorder = self.reads.recorder.as_ref();
        let data = recorder.map_or("none".into(), |r| r.logs.data().display().to_string());
        tracing::info!(rtmp = or_none(recorder.map(|r| r.rtmp.addr())),
            internal = or_none(self.origin.as_ref().map(origin::server::Server::addr)),
            viewers = or_none(self.edge.as_ref().map(edge::server::Server::addr)),
            admin = %self.admin.addr(), data, "serving");
    }
}

/// Says that the node lives, and how it is.
async fn keep(
    Lease { peers, node, beat }: Lease,
    figures: Figures,
    times: (Clock, Drain, Drain),
    (unfinished, through): (watch::Sender<u64>, Option<Through>),
) {
    let say = move |beat: &mut Heartbeat| figures.say(beat);
    let clock = times.0.clone();
    let heard = move |lease: cluster::Lease| {
        if lease.unfinished {
            unfinished.send_modify(|n| *n += 1);
        }
        if let Some(told) = &through {
            told.tell(lease.through, clock.now().mono);
        }
    };
    lease::keep(peers, node, (beat, say), times, heard).await;
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

/// The transcoder, which ends behind what rungs are made of.
fn jobs(transcoder: Option<(Transcoder, Latch)>, made: Drain) -> Vec<Server> {
    let serve = transcoder.map(|(transcoder, latch)| transcoder.serve(latch, made));
    serve.map(|jobs| ("the transcoder", task::spawn("jobs", async_ok(jobs)))).into_iter().collect()
}

/// What pushes HLS. It ends behind what writes: what that ends with is pushed too.
fn pushed(push: Option<(Pusher<Edge>, Latch)>, written: Drain) -> Option<Server> {
    let run = push.map(|(push, latch)| push.run(latch, written))?;
    Some(("what pushes HLS", task::spawn("push", async_ok(run))))
}

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

/// Did every server end well?
fn well(ended: Vec<(&str, Ended)>) -> Result<(), Failure> {
    for (what, end) in ended {
        match end {
            Some(Ok(())) => {}
            Some(Err(why)) => return Err(Failure::failed(why)),
            None => return Err(Failure::failed(format!("{what} stopped; see the log"))),
        }
    }
    Ok(())
}

/// Waits for tasks that end by themselves.
async fn over<T>(tasks: Vec<Task<T>>) {
    for task in tasks {
        let _ = task.await;
    }
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
