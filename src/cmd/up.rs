//! castctl up: all roles in one process, with embedded defaults. Rooms run over the same log
//! subscriptions and the same registry calls as they would in processes of their own.

use crate::api::client;
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::{disk, secret, settings};
use crate::control::registry::{ChannelEntry, Registry};
use crate::control::server as registry;
use crate::edge;
use crate::ingest;
use crate::ingest::context::Context;
use crate::log::format::version::Wrote;
use crate::log::fs::{Disk, FileSystem, Open};
use crate::log::logs::Logs;
use crate::log::options::Options;
use crate::manifest::types::{ChannelSpec, Manifest};
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::signal::Stop;
use crate::rt::task;
use crate::telemetry::admin::Admin;
use crate::telemetry::logging::{self, LogFormat};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::ready::Ready;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Run every role in one process: receive, record, serve
///
/// Without a manifest there is one channel, `main`, with a stream key made at the first start.
/// Prints where to publish and where to watch, then runs until SIGTERM or SIGINT; a second signal
/// forces the end.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Manifest with channels and server settings
    #[arg(long, value_name = "FILE", env = "CASTCTL_MANIFEST")]
    manifest: Option<PathBuf>,
    /// Directory for logs, registry and keys [default: the manifest's, else ./castctl-data]
    #[arg(long, value_name = "DIR", env = "CASTCTL_DATA")]
    data: Option<PathBuf>,
    /// Where encoders publish [default: the manifest's, else 0.0.0.0:1935]
    #[arg(long, value_name = "ADDR", env = "CASTCTL_RTMP")]
    rtmp: Option<SocketAddr>,
    /// Where viewers watch [default: the manifest's, else 0.0.0.0:8080]
    #[arg(long, value_name = "ADDR", env = "CASTCTL_VIEWERS")]
    viewers: Option<SocketAddr>,
    /// Where metrics and health are served [default: the manifest's, else 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR", env = "CASTCTL_ADMIN")]
    admin: Option<SocketAddr>,
    /// Form of the log on stderr: auto, text or json
    #[arg(long, value_name = "FORM", env = "CASTCTL_LOG_FORMAT", default_value = "auto")]
    log_format: LogFormat,
    /// Write logs as a later version of the format would: `2-1` is version 2 for readers of 1 and
    /// later. For tests of what older builds make of them
    #[arg(long, value_name = "VERSION-OLDEST", env = "CASTCTL_PRETEND_FORMAT", hide = true)]
    #[arg(value_parser = pretended, default_value = "")]
    pretend_format: Wrote,
}

/// Who logs say has written them.
fn pretended(text: &str) -> Result<Wrote, String> {
    match text {
        "" => Ok(Wrote::TODAY),
        text => Wrote::parse(text).ok_or_else(|| "wanted VERSION-OLDEST, as 2-1".to_owned()),
    }
}

/// Flags over environment (clap's doing) over manifest over defaults.
fn merge(args: &Args, mut manifest: Manifest) -> Manifest {
    let server = &mut manifest.server;
    if let Some(data) = &args.data {
        server.data.clone_from(data);
    }
    server.rtmp.listen = args.rtmp.unwrap_or(server.rtmp.listen);
    server.viewers.listen = args.viewers.unwrap_or(server.viewers.listen);
    server.admin.listen = args.admin.unwrap_or(server.admin.listen);
    manifest
}

/// Runs until told to stop.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let mut manifest = merge(&args, common::manifest(args.manifest.as_deref())?);
    logging::init(args.log_format, None).map_err(Failure::usage)?;
    let _data = own_data_dir(&manifest.server.data)?;
    if args.manifest.is_none() {
        let data = manifest.server.data.clone();
        for channel in &mut manifest.channels {
            channel.keys.push(secret::stream_key(&data, &channel.name)?);
        }
    }
    common::block_on(serve(manifest, args.pretend_format))?
}

/// One process at a time has a data directory; the lock goes with the process.
fn own_data_dir(dir: &Path) -> Result<File, Failure> {
    let cannot = |e: std::io::Error| {
        Failure::failed(format!("cannot use the data directory {}: {e}", dir.display()))
    };
    std::fs::create_dir_all(dir).map_err(cannot)?;
    let file = File::create(dir.join("lock")).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let message = format!("another castctl runs on the data directory {}", dir.display());
            Err(Failure::failed(message).hint("stop it, or name another directory with --data"))
        }
        Err(std::fs::TryLockError::Error(e)) => Err(cannot(e)),
    }
}

/// Everything bound and opened, before anything is served.
pub struct Bound {
    ready: Ready,
    metrics: Metrics,
    logs: Logs,
    registry: Registry,
    calls: client::Calls,
    clock: Clock,
    rtmp: ingest::server::Server,
    viewers: edge::server::Server,
    admin: Admin,
}

/// Binds every listener and opens the stores; the data directory must be the caller's alone.
pub async fn bind(manifest: &Manifest) -> Result<Bound, Failure> {
    bind_as(manifest, Wrote::TODAY).await
}

/// As [`bind`], writing logs as another version of the format.
async fn bind_as(manifest: &Manifest, format: Wrote) -> Result<Bound, Failure> {
    let server = &manifest.server;
    let (ready, metrics, clock) = (Ready::new(), Metrics::new(), Clock::system());
    let admin = Admin::bind(server.admin.listen, metrics.clone(), ready.clone()).await;
    let admin = admin.map_err(Failure::failed)?;
    let options = Options { format, ..settings::logs(server) };
    let logs = Logs::open(&server.data, options).map_err(Failure::failed)?;
    let channels: Vec<ChannelEntry> = manifest.channels.iter().map(settings::channel).collect();
    let registry = Registry::open(&server.data.join("registry.db"), &channels).await;
    let registry = registry.map_err(Failure::failed)?;
    reserve(&server.data.join("registry.db-wal"));
    let (client, calls) = client::embedded();
    let sources =
        edge::feed::Sources { logs: logs.clone(), client: client.clone(), clock: clock.clone() };
    let context = Context {
        node: "local".into(),
        logs: logs.clone(),
        client,
        clock: clock.clone(),
        metrics: ingest::metrics::Ingest::register(&metrics),
    };
    let rtmp = ingest::server::Server::bind(settings::rtmp(server), context).await;
    let rtmp = rtmp.map_err(Failure::failed)?;
    let counters = edge::metrics::Edge::register(&metrics);
    let viewers = edge::server::Server::bind(settings::viewers(server), sources, counters).await;
    let viewers = viewers.map_err(Failure::failed)?;
    Ok(Bound { ready, metrics, logs, registry, calls, clock, rtmp, viewers, admin })
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

impl Bound {
    /// Where encoders publish.
    pub fn rtmp(&self) -> SocketAddr {
        self.rtmp.addr()
    }

    /// Where viewers watch.
    pub fn viewers(&self) -> SocketAddr {
        self.viewers.addr()
    }

    /// Where metrics and health are.
    pub fn admin(&self) -> SocketAddr {
        self.admin.addr()
    }

    /// Serves until the drain starts, then ends everything in the reverse order of starting.
    pub async fn serve(self, drain: Drain) -> Result<(), Failure> {
        let Bound { ready, metrics, logs, registry, calls, clock, rtmp, viewers, admin } = self;
        let after = Drain::new();
        tracing::info!(rtmp = %rtmp.addr(), viewers = %viewers.addr(), admin = %admin.addr(),
            data = %logs.data().display(), "serving");
        let (rtmp_latch, viewers_latch) = (ready.latch("rtmp"), ready.latch("viewers"));
        let disk_latch = ready.latch("disk");
        let registry = registry::serve(registry, calls, clock.clone(), after.clone());
        let registry = task::spawn("registry", registry);
        let admin = task::spawn("admin", admin.serve(after.clone()));
        let figures =
            task::spawn("log figures", disk::figures(logs.clone(), metrics, clock.clone()));
        let watch = task::spawn("disk", disk::watch(logs, disk_latch, clock));
        let mut rtmp = task::spawn("rtmp", rtmp.serve(rtmp_latch, drain.clone()));
        let mut viewers = task::spawn("viewers", viewers.serve(viewers_latch, drain.clone()));
        let (mut early, mut watched) = (None, None);
        tokio::select! {
            () = drain.wait() => {}
            ended = &mut rtmp => early = Some(ended),
            ended = &mut viewers => watched = Some(ended),
        }
        ready.drain();
        drain.start();
        // What writes first, then what reads, then what both ask.
        let ended = match early {
            Some(ended) => ended,
            None => rtmp.await,
        };
        let watched = match watched {
            Some(ended) => ended,
            None => viewers.await,
        };
        after.start();
        let _ = registry.await;
        let _ = admin.await;
        figures.abort();
        watch.abort();
        match ended {
            Ok(Some(result)) if matches!(watched, Ok(Some(()))) => result.map_err(Failure::failed),
            Ok(Some(Ok(()))) => Err(Failure::failed("the viewers' server stopped; see the log")),
            Ok(Some(Err(e))) => Err(Failure::failed(e)),
            Ok(None) | Err(_) => Err(Failure::failed("the RTMP server stopped; see the log")),
        }
    }
}

async fn serve(manifest: Manifest, format: Wrote) -> Result<Exit, Failure> {
    let mut stop = Stop::install().map_err(|e| Failure::failed(format!("signals: {e}")))?;
    if format != Wrote::TODAY {
        tracing::warn!(
            "logs are written as format version {}, for readers of {} and later: a \
            pretence for tests",
            format.version,
            format.oldest_reader
        );
    }
    let bound = bind_as(&manifest, format).await?;
    announce(&manifest, &bound);
    let drain = Drain::new();
    let signals = async {
        stop.next().await;
        tracing::info!("draining; a second signal forces the end");
        drain.start();
        stop.next().await;
    };
    tokio::select! {
        ended = bound.serve(drain.clone()) => ended.map(|()| Exit::Done),
        () = signals => Ok(Exit::Forced),
    }
}

/// An address as somebody on this machine would type it.
fn local(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// Where to publish and where to watch: `key: value` lines on stdout, channel by channel.
fn announce(manifest: &Manifest, bound: &Bound) {
    let viewers = local(bound.viewers());
    let base = manifest.server.viewers.public_url.clone();
    let base = base.unwrap_or_else(|| format!("http://{viewers}"));
    common::out(format!("rtmp: rtmp://{}/live", local(bound.rtmp())));
    common::out(format!("admin: http://{}", bound.admin()));
    for ChannelSpec { name, keys, .. } in &manifest.channels {
        if manifest.channels.len() > 1 {
            common::out(format!("channel: {name}"));
        }
        match keys.first() {
            Some(key) => common::out(format!("key: {}", key.expose())),
            None => common::say(format!("channel {name} has no stream key: nobody can publish")),
        }
        common::out(format!("watch: {base}/watch/{name}"));
        common::out(format!("playlist: {base}/live/{name}/index.m3u8"));
    }
}
