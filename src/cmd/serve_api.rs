//! castctl serve-api: the cluster's registry over HTTP.

use crate::cmd::announce::local;
use crate::cmd::cluster;
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::roles::until_told;
use crate::cmd::{data, flags, settings};
use crate::control::metrics::Api;
use crate::control::plan::tiers::FANOUT;
use crate::control::registry::{ChannelEntry, Database, Registry};
use crate::control::server::{Config, Server};
use crate::manifest::types::Manifest;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::signal::Stop;
use crate::rt::task;
use crate::telemetry::admin::Admin;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::ready::Ready;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Run an API server: channels, keys, nodes, and who may write what
///
/// Origins, edges and operators reach it at the address printed as `api`. Its state is one file in
/// the data directory, or a PostgreSQL that any number of API servers may share. Channels of the
/// manifest are there from the start; others are made by `castctl channel create`. Runs until
/// SIGTERM or SIGINT; a second signal forces the end.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    node: flags::Node,
    /// Where nodes and operators connect; never public
    #[arg(long, value_name = "ADDR", env = "CASTCTL_API_LISTEN", default_value = "127.0.0.1:8070")]
    listen: SocketAddr,
    /// PostgreSQL to keep the state in, like postgres://user:password@host/castctl
    #[arg(long, value_name = "URL", env = "CASTCTL_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// Directory to keep the state in, where there is no PostgreSQL [default: the manifest's, else
    /// ./castctl-data]
    #[arg(long, value_name = "DIR", env = "CASTCTL_DATA", conflicts_with = "database")]
    data: Option<PathBuf>,
    /// File with the secret that all nodes of the cluster have
    #[arg(long, value_name = "FILE", env = "CASTCTL_SECRET_FILE")]
    secret_file: Option<PathBuf>,
    /// Most edges that read from origins, and from each other edge: further ones read through them.
    /// The same on every API server
    #[arg(long, value_name = "N", env = "CASTCTL_FANOUT", default_value_t = FANOUT)]
    #[arg(value_parser = fanout)]
    fanout: usize,
    #[command(flatten)]
    machine: flags::Machine,
    /// Leave jobs that nobody does to `castctl schedule`; without one that runs, what a lost
    /// transcoder made is not made again
    #[arg(long)]
    no_schedule: bool,
}

fn fanout(text: &str) -> Result<usize, String> {
    let n: usize = text.parse().map_err(|e| format!("{e}"))?;
    (n > 0).then_some(n).ok_or_else(|| "nobody could read from anybody: write 1 or more".into())
}

/// Everything bound and opened, before anything is served.
struct Bound {
    server: Server,
    admin: Admin,
    ready: Ready,
    /// Held for as long as the process has the data directory.
    _data: Option<File>,
}

/// Runs until told to stop.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let mut manifest = args.node.begin()?;
    if args.node.manifest.is_none() {
        // One process alone has a channel by default; a cluster's are made.
        manifest.channels.clear();
    }
    let secret = cluster::secret(args.secret_file.as_deref())?;
    if secret.is_none() && !args.listen.ip().is_loopback() {
        let why = format!("{} is not only this machine's: anybody could publish", args.listen);
        let how = "give the cluster a secret: head -c 32 /dev/urandom | base64 >FILE, and name it \
                   with --secret-file on every node";
        return Err(Failure::usage(why).hint(how));
    }
    let (listen, places) = (args.listen, !args.no_schedule);
    let config = Config { listen, drain_timeout: manifest.server.drain_timeout, secret, places };
    common::block_on(async {
        let stop = Stop::install().map_err(|e| Failure::failed(format!("signals: {e}")))?;
        let bound = bind(&args, &manifest, config).await?;
        common::out(format!("api: http://{}", local(bound.server.addr())));
        common::out(format!("admin: http://{}", bound.admin.addr()));
        let drain = Drain::new();
        until_told(stop, drain.clone(), serve(bound, drain)).await
    })?
}

async fn bind(args: &Args, manifest: &Manifest, config: Config) -> Result<Bound, Failure> {
    let (ready, metrics, clock) = (Ready::new(), Metrics::new(), Clock::system());
    let admin = Admin::bind(manifest.server.admin.listen, metrics.clone(), ready.clone()).await;
    let admin = admin.map_err(Failure::failed)?;
    let dir = args.data.clone().unwrap_or_else(|| manifest.server.data.clone());
    let (database, held) = match &args.database {
        Some(url) => (Database::Url(url.clone()), None),
        None => (Database::File(dir.join("registry.db")), Some(data::own(&dir)?)),
    };
    let channels: Vec<ChannelEntry> = manifest.channels.iter().map(settings::channel).collect();
    let registry = Registry::open(&database, &channels).await.map_err(Failure::failed)?;
    let registry = registry.fanout(args.fanout).costing(args.machine.table()?);
    let server = Server::bind(config, registry, Api::register(&metrics), clock).await;
    let server = server.map_err(Failure::failed)?;
    Ok(Bound { server, admin, ready, _data: held })
}

async fn serve(bound: Bound, drain: Drain) -> Result<(), Failure> {
    let after = Drain::new();
    let admin = task::spawn("admin", bound.admin.serve(after.clone()));
    let latch = bound.ready.latch("api");
    let draining = async {
        drain.wait().await;
        bound.ready.drain();
    };
    tokio::join!(bound.server.serve(latch, drain.clone()), draining);
    after.start();
    let _ = admin.await;
    Ok(())
}
