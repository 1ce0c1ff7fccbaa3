//! castctl ingest: an origin: receives encoders, records them, serves the logs to other nodes.

use crate::base::ids::Channel;
use crate::cmd::cluster;
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::push::Asked;
use crate::cmd::roles::{self, Bound, Roles};
use crate::cmd::{announce, data, flags, secret};
use crate::manifest::types::{ChannelSpec, Manifest, StreamKey};

/// Run an origin: receive encoders, record them, serve the logs to other nodes
///
/// Alone, viewers are served by `castctl serve-edge --upstream` with the address printed as
/// `internal`; without a manifest there is one channel, `main`, with the key given or one made at
/// the first start. With `--api` it is one origin of a cluster: channels, keys and numbers are the
/// API server's, and edges find it there. Runs until SIGTERM or SIGINT; a second signal forces the
/// end.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    node: flags::Node,
    #[command(flatten)]
    recording: flags::Recording,
    #[command(flatten)]
    certificate: flags::Certificate,
    /// Name of the one channel, where there is no manifest
    #[arg(long, value_name = "NAME", default_value = "main", conflicts_with = "manifest")]
    channel: Channel,
    /// Stream key of the one channel, where there is no manifest [default: one is made]
    #[arg(long, value_name = "KEY", env = "CASTCTL_KEY", hide_env_values = true)]
    #[arg(conflicts_with = "manifest")]
    key: Option<String>,
    #[command(flatten)]
    cluster: cluster::Flags,
    #[command(flatten)]
    who: cluster::NodeFlags,
}

/// Runs until told to stop.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let mut manifest = args.node.begin()?;
    args.recording.apply(&mut manifest.server, &args.certificate)?;
    let _data = data::own(&manifest.server.data)?;
    let member = args.cluster.member(Some(&args.who))?;
    if member.peers.is_some() {
        // Channels and keys are the registry's.
        manifest.channels.clear();
    } else if args.node.manifest.is_none() {
        let mut channel = ChannelSpec::new(args.channel);
        if let Some(key) = &args.key {
            channel.keys.push(StreamKey::new(key).map_err(Failure::usage)?);
        }
        manifest.channels = vec![channel];
        secret::give_keys(&mut manifest)?;
    }
    let (from, push) = (args.recording.from(), Asked::default());
    let roles = Roles { from, archive: None, origin: true, edge: false, member, push };
    common::block_on(roles::run(roles, manifest, announce))?
}

fn announce(manifest: &Manifest, bound: &Bound) {
    announce::recorder(bound);
    announce::keys(manifest, |_| ());
}
