//! castctl transcode: a node that makes the rungs of channels' ladders, and serves their logs.

use crate::cmd::announce::local;
use crate::cmd::cluster;
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::reads::From;
use crate::cmd::roles::{self, Bound, Roles};
use crate::cmd::transcoder::Transcoding;
use crate::cmd::{data, flags};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Run a transcoder: make the rungs of channels' ladders, serve their logs to other nodes
///
/// The API servers give it jobs as its capacity has room; each runs in a process of its own. Runs
/// until SIGTERM or SIGINT, which hand its jobs to other nodes; a second signal forces the end.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    node: flags::Node,
    /// Directory for the rungs' logs [default: the manifest's, else ./castctl-data]
    #[arg(long, value_name = "DIR", env = "CASTCTL_DATA")]
    data: Option<PathBuf>,
    /// Where other nodes read logs; never public [default: the manifest's, else 127.0.0.1:8090]
    #[arg(long, value_name = "ADDR", env = "CASTCTL_INTERNAL")]
    internal: Option<SocketAddr>,
    /// Thousandths of a core that jobs may use [default: all cores]
    #[arg(long, value_name = "MILLICORES", value_parser = clap::value_parser!(u32).range(1..))]
    capacity: Option<u32>,
    #[command(flatten)]
    cluster: cluster::Flags,
    #[command(flatten)]
    who: cluster::NodeFlags,
}

/// Runs until told to stop.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let mut manifest = args.node.begin()?;
    let server = &mut manifest.server;
    if let Some(data) = args.data {
        server.data = data;
    }
    server.internal.listen = args.internal.unwrap_or(server.internal.listen);
    let _data = data::own(&server.data)?;
    let member = args.cluster.member(Some(&args.who))?;
    member.cluster()?;
    let none = || Failure::usage("this castctl was built without libav and transcodes nothing");
    let mut how = Transcoding::usual().ok_or_else(none)?;
    how.millicores = args.capacity.unwrap_or(how.millicores);
    let (from, origin, edge) = (From::Transcoding(how), true, false);
    let roles = Roles { from, origin, edge, member };
    common::block_on(roles::run(roles, manifest, |_, bound: &Bound| {
        common::out(format!("internal: http://{}", local(bound.internal())));
        common::out(format!("admin: http://{}", bound.admin()));
    }))?
}
