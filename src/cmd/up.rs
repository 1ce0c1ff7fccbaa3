//! castctl up: all roles in one process, with embedded defaults. Rooms run over the same log
//! subscriptions and the same registry calls as they would in processes of their own.

use crate::cmd::cluster::Member;
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::push::Asked;
use crate::cmd::reads::From;
use crate::cmd::roles::{self, Bound, Roles};
use crate::cmd::transcoder::Transcoding;
use crate::cmd::{announce, data, flags, push, secret};
use crate::manifest::types::Manifest;

/// Run every role in one process: receive, record, serve
///
/// Without a manifest there is one channel, `main`, with a stream key made at the first start.
/// Prints where to publish and where to watch, then runs until SIGTERM or SIGINT; a second signal
/// forces the end.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    node: flags::Node,
    #[command(flatten)]
    recording: flags::Recording,
    #[command(flatten)]
    viewers: flags::Viewers,
    #[command(flatten)]
    certificate: flags::Certificate,
    #[command(flatten)]
    machine: flags::Machine,
    #[command(flatten)]
    push: push::HlsTo,
}

/// Everything that runs in one process.
pub fn roles(from: From) -> Roles {
    let (member, push) = (Member::alone(), Asked::by_manifest());
    Roles { from, archive: None, origin: true, edge: true, member, push }
}

/// Runs until told to stop.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let mut manifest = args.node.begin()?;
    args.recording.apply(&mut manifest.server, &args.certificate)?;
    args.viewers.apply(&mut manifest.server.viewers, &args.certificate);
    let machine = args.machine.table()?;
    let _data = data::own(&manifest.server.data)?;
    if args.node.manifest.is_none() {
        secret::give_keys(&mut manifest)?;
    }
    let from = From::Recording(args.recording.how().transcoding(Transcoding::here(machine)));
    let (archive, push) = (args.viewers.archive, args.push.asked(true));
    let roles = Roles { archive, push, ..roles(from) };
    common::block_on(roles::run(roles, manifest, announce))?
}

/// Where to publish and where to watch: `key: value` lines on stdout, channel by channel.
fn announce(manifest: &Manifest, bound: &Bound) {
    let base = announce::viewers_url(manifest, bound);
    announce::recorder(bound);
    announce::keys(manifest, |name| {
        common::out(format!("watch: {base}/watch/{name}"));
        common::out(format!("playlist: {base}/live/{name}/index.m3u8"));
    });
}
