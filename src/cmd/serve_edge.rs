//! castctl serve-edge: playlists and media for viewers, from other nodes' logs. Has no state.

use crate::cmd::announce::{self, local};
use crate::cmd::cluster::{self, Member};
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::flags;
use crate::cmd::push::{self, Asked};
use crate::cmd::reads::From;
use crate::cmd::roles::{self, Bound, Roles};
use crate::manifest::types::Manifest;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Serve viewers from other nodes' logs
///
/// All edges are equal: any number of them may stand behind any load balancer or CDN, and one may
/// be the upstream of others (`--internal`). Nothing is kept on disk, unless `--state` is given.
/// Runs until SIGTERM or SIGINT; a second signal forces the end.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    node: flags::Node,
    /// Internal address of an origin, of `castctl up` or of another edge, like
    /// http://10.0.0.2:8090; in a cluster, `--api` instead
    #[arg(long, value_name = "URL", env = "CASTCTL_UPSTREAM", required_unless_present = "api")]
    #[arg(conflicts_with = "api")]
    upstream: Option<String>,
    /// Directory where the table of channels is kept, so that this edge can start and serve while
    /// no API server answers [default: nowhere]
    #[arg(long, value_name = "DIR", env = "CASTCTL_STATE", requires = "api")]
    state: Option<PathBuf>,
    #[command(flatten)]
    cluster: cluster::Flags,
    #[command(flatten)]
    who: cluster::NodeFlags,
    #[command(flatten)]
    viewers: flags::Viewers,
    #[command(flatten)]
    certificate: flags::Certificate,
    /// Where other edges read the logs that this one follows; never public. In a cluster its API
    /// servers say which do, where there are many edges [default: nowhere]
    #[arg(long, value_name = "ADDR", env = "CASTCTL_INTERNAL")]
    internal: Option<SocketAddr>,
    #[command(flatten)]
    push: push::HlsTo,
}

/// An edge's roles; `serves`: also to other edges.
pub fn roles(upstream: &str, serves: bool) -> Roles {
    let (from, member) = (From::Upstream(upstream.to_owned()), Member::alone());
    let push = Asked::default();
    Roles { from, archive: None, origin: serves, edge: true, member, push }
}

/// Runs until told to stop.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let mut manifest = args.node.begin()?;
    let server = &mut manifest.server;
    args.viewers.apply(&mut server.viewers, &args.certificate);
    server.internal.listen = args.internal.unwrap_or(server.internal.listen);
    let serves = args.internal.is_some();
    let member = args.cluster.member(Some(&args.who))?;
    let from = args.upstream.map_or(From::Cluster(args.state), From::Upstream);
    let (archive, push) = (args.viewers.archive, args.push.asked(false));
    let roles = Roles { from, archive, origin: serves, edge: true, member, push };
    common::block_on(roles::run(roles, manifest, move |m, b| announce(m, b, serves)))?
}

fn announce(manifest: &Manifest, bound: &Bound, serves: bool) {
    common::out(format!("viewers: {}", announce::viewers_url(manifest, bound)));
    if serves {
        common::out(format!("internal: http://{}", local(bound.internal())));
    }
    common::out(format!("admin: http://{}", bound.admin()));
}
