//! castctl collect: the agent on a node that looks after the logs of writers that are gone.

use crate::api::convert::end_to_api;
use crate::api::directory::{Directory, Follower};
use crate::cmd::announce::local;
use crate::cmd::cluster::{self, Member};
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::flags;
use crate::cmd::reads::From;
use crate::cmd::roles::{self, Bound, Roles};
use crate::cmd::settings;
use crate::collect::adopt::Adopter;
use crate::collect::metrics::Collect;
use crate::log::logs::Logs;
use crate::log::recover::Recovered;
use crate::manifest::types::Manifest;
use crate::rt::clock::Clock;
use crate::telemetry::metrics::Metrics;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Look after the logs of writers that are gone
///
/// Runs beside an origin, on its data directory: a log whose writer is dead is sealed, the registry
/// is told where it ends, and edges read it here, also while the origin is away. Runs until SIGTERM
/// or SIGINT; a second signal forces the end.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    node: flags::Node,
    /// Serve the logs, and upload nothing
    #[arg(long, required = true)]
    serve_only: bool,
    /// The origin's data directory [default: the manifest's, else ./castctl-data]
    #[arg(long, value_name = "DIR", env = "CASTCTL_DATA")]
    data: Option<PathBuf>,
    /// Where other nodes read logs; never public
    #[arg(long, value_name = "ADDR", env = "CASTCTL_COLLECT_INTERNAL")]
    #[arg(default_value = "127.0.0.1:8091")]
    internal: SocketAddr,
    #[command(flatten)]
    cluster: cluster::Flags,
    #[command(flatten)]
    who: cluster::NodeFlags,
}

/// Runs until told to stop.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let mut manifest = args.node.begin()?;
    let server = &mut manifest.server;
    server.data = args.data.unwrap_or_else(|| server.data.clone());
    server.internal.listen = args.internal;
    // An origin of the host's name is beside it.
    let who = args.who.or_host("-collect")?;
    let member = args.cluster.member(Some(&who))?;
    let roles = Roles { from: From::Adopting, origin: true, edge: false, member };
    common::block_on(roles::run(roles, manifest, announce))?
}

/// The logs of a data directory, and what adopts those of dead writers.
pub fn adopt(
    manifest: &Manifest,
    member: &Member,
    metrics: &Metrics,
    clock: &Clock,
) -> Result<(Adopter, Directory, Follower), Failure> {
    let peers = member.cluster()?;
    let logs = Logs::open(&manifest.server.data, settings::logs(&manifest.server));
    let logs = logs.map_err(Failure::failed)?;
    let (directory, follower) = Directory::of(peers.clone(), clock.clone());
    let end = |log: &Recovered| log.end.as_ref().map(end_to_api);
    let (node, clock, metrics) = (member.node.clone(), clock.clone(), Collect::register(metrics));
    Ok((Adopter { logs, peers, node, clock, end, metrics }, directory, follower))
}

fn announce(_: &Manifest, bound: &Bound) {
    common::out(format!("internal: http://{}", local(bound.internal())));
    common::out(format!("admin: http://{}", bound.admin()));
}
