//! castctl transcode: a node that makes the rungs of channels' ladders, and serves their logs.

use crate::api::types::ChannelSettings;
use crate::base::ids::Channel;
use crate::cmd::announce::local;
use crate::cmd::cluster;
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::push::Asked;
use crate::cmd::reads::From;
use crate::cmd::roles::{self, Bound, Roles};
use crate::cmd::transcoder::{Aside, Transcoding};
use crate::cmd::{channel, data, flags, settings};
use crate::manifest::types::ChannelSpec;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Run a transcoder: make the rungs of channels' ladders, serve their logs to other nodes
///
/// In a cluster the API servers give it jobs as its capacity has room. Alone it makes one ladder of
/// every channel of an upstream, and passes on what it makes it of: edges that have it as their
/// upstream serve both. Each job runs in a process of its own. Runs until SIGTERM or SIGINT, which
/// hand its jobs to other nodes; a second signal forces the end.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    node: flags::Node,
    /// Internal address of an origin, of `castctl up` or of an edge, whose channels are transcoded,
    /// like http://10.0.0.2:8090; in a cluster, `--api` instead. A data directory is of one
    /// upstream
    #[arg(long, value_name = "URL", env = "CASTCTL_UPSTREAM", required_unless_present = "api")]
    #[arg(conflicts_with = "api", requires = "ladder")]
    upstream: Option<String>,
    /// What all channels of the upstream are transcoded to: default, or a manifest that has one
    /// ladder; in a cluster, each channel's own
    #[arg(long, value_name = "NAME|FILE", env = "CASTCTL_LADDER", requires = "upstream")]
    ladder: Option<String>,
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
    machine: flags::Machine,
    /// Let the first worker of each of this channel's jobs abort after so many pictures, as a crash
    /// of a codec library does. For tests of what it leaves alone
    #[arg(long, value_name = "CHANNEL=PICTURES", value_parser = crash, hide = true)]
    crash_after: Option<(Channel, u64)>,
    #[command(flatten)]
    cluster: cluster::Flags,
    #[command(flatten)]
    who: cluster::NodeFlags,
}

fn crash(text: &str) -> Result<(Channel, u64), String> {
    let (channel, pictures) = text.split_once('=').ok_or("wanted CHANNEL=PICTURES")?;
    let channel = channel.parse().map_err(|e| format!("{e}"))?;
    Ok((channel, pictures.parse().map_err(|e| format!("{e}"))?))
}

/// The settings of whichever channel is transcoded to this ladder.
pub fn laddered(name: &str) -> Result<ChannelSettings, Failure> {
    let any: Channel = "any".parse().map_err(Failure::usage)?;
    let mut spec = ChannelSpec::new(any);
    channel::transcoded(&mut spec, name)?;
    if spec.ladder.is_none() {
        return Err(Failure::usage(format!("--ladder {name}: it has no rungs to make")));
    }
    Ok(ChannelSettings::clone(&settings::channel(&spec).settings))
}

/// Runs until told to stop.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let mut manifest = args.node.begin()?;
    let server = &mut manifest.server;
    if let Some(data) = args.data {
        server.data = data;
    }
    server.internal.listen = args.internal.unwrap_or(server.internal.listen);
    let aside = match (args.upstream, &args.ladder) {
        (Some(upstream), Some(ladder)) => Some(Aside { upstream, settings: laddered(ladder)? }),
        _ => None,
    };
    let _data = data::own(&server.data)?;
    let member = args.cluster.member(Some(&args.who))?;
    let none = || Failure::usage("this castctl was built without libav and transcodes nothing");
    let mut how = Transcoding::here(args.machine.table()?).ok_or_else(none)?;
    how.millicores = args.capacity.unwrap_or(how.millicores);
    how.crash = args.crash_after;
    let from = match aside {
        Some(aside) => From::Aside(how, aside),
        None => {
            member.cluster()?;
            From::Transcoding(how)
        }
    };
    let (archive, origin, edge, push) = (None, true, false, Asked::default());
    let roles = Roles { from, archive, origin, edge, member, push };
    common::block_on(roles::run(roles, manifest, |_, bound: &Bound| {
        common::out(format!("internal: http://{}", local(bound.internal())));
        common::out(format!("admin: http://{}", bound.admin()));
    }))?
}
