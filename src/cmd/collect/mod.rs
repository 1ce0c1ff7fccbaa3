//! castctl collect: what a node does with what it has recorded. Beside an origin that is gone it
//! serves and tells; into a bucket it brings every sealed extent; out of a bucket it reads what is
//! there.

mod archive;
mod catalog;
mod print;
mod watch;
#[cfg(test)]
mod watch_test;

use crate::api::convert::end_to_api;
use crate::api::directory::{Directory, Follower};
use crate::base::units;
use crate::cmd::announce::local;
use crate::cmd::cluster::{self, Member};
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::flags;
use crate::cmd::push::Asked;
use crate::cmd::reads::From;
use crate::cmd::roles::{self, Bound, Roles};
use crate::cmd::settings;
use crate::collect::adopt::Adopter;
use crate::collect::metrics::Collect;
use crate::collect::retention::Policy;
use crate::collect::round::Options;
use crate::log::logs::Logs;
use crate::log::recover::Recovered;
use crate::manifest::types::Manifest;
use crate::rt::clock::Clock;
use crate::telemetry::metrics::Metrics;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const DETAILS: &str = "\
With --to, sealed extents go into a bucket, each under a name of its own (castctl-archive(7)), and \
are marked here as collected once the bucket has been seen to have them. What is being written is \
left for the next time. Run again, also after a kill, it goes on where the marks end. Nothing is \
removed here unless --keep or --free says so, and then only what bears the mark of this very \
bucket, the oldest first. With --api, the cluster's API servers are told what is in the bucket; \
--rebuild-catalog tells them all that it finds, also what they have to know of sessions and \
generations after their database was lost. The exit code is 1 when a sealed extent could not \
be collected, or somebody not told.

The environment says how the bucket is reached, as for the clouds' own tools: AWS_ACCESS_KEY_ID, \
AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT; GOOGLE_APPLICATION_CREDENTIALS; \
AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY; and more of theirs.

With --serve-only it runs beside an origin, on its data directory: a log whose writer is dead is \
sealed, the registry is told where it ends, and edges read it here, also while the origin is away.

SIGTERM or SIGINT ends it: what is sealed by then is collected as far as --finish-within allows, \
and what is left is said. A second signal forces the end.

Examples:
  castctl collect --data data --to s3://bucket/archive
  castctl collect --data data --to gs://bucket/archive --watch --bandwidth 50Mbps
  castctl collect --rebuild-catalog s3://bucket/archive --json
  castctl export s3://bucket/archive/main/s1 --to show.mp4";

/// Bring recordings into a bucket, or look after the logs of writers that are gone
#[derive(Debug, clap::Args)]
#[command(after_long_help = DETAILS)]
#[command(group = clap::ArgGroup::new("work").required(true))]
pub struct Args {
    #[command(flatten)]
    node: flags::Node,
    /// Bring sealed extents to this bucket: s3://BUCKET/PREFIX, gs://…, az://… or file:///DIR
    #[arg(long, value_name = "URL", group = "work")]
    to: Option<String>,
    /// Say what a bucket holds, from the bucket alone
    #[arg(long, value_name = "URL", group = "work")]
    rebuild_catalog: Option<String>,
    /// Serve the logs of writers that are gone, and upload nothing
    #[arg(long, group = "work")]
    serve_only: bool,
    /// The origin's data directory [default: the manifest's, else ./castctl-data]
    #[arg(long, value_name = "DIR", env = "CASTCTL_DATA")]
    data: Option<PathBuf>,
    #[command(flatten)]
    bring: Bring,
    /// Where other nodes read logs; never public
    #[arg(long, value_name = "ADDR", env = "CASTCTL_COLLECT_INTERNAL")]
    #[arg(default_value = "127.0.0.1:8091")]
    internal: SocketAddr,
    #[command(flatten)]
    cluster: cluster::Flags,
    #[command(flatten)]
    who: cluster::NodeFlags,
}

/// What has nothing to bring.
const OTHERS: [&str; 2] = ["serve_only", "rebuild_catalog"];

/// How extents are brought.
#[derive(Debug, clap::Args)]
struct Bring {
    /// Collect what is there now and end; without --watch this is what happens
    #[arg(long, conflicts_with_all = OTHERS)]
    once: bool,
    /// Go on until told to stop, with metrics and readiness on the admin listener
    #[arg(long, conflicts_with_all = OTHERS, conflicts_with = "once")]
    watch: bool,
    /// Seal the logs whose writers are gone (their lock is free) first, so that their ends are
    /// collected too; an origin that comes back cannot tell those ends itself any more
    #[arg(long, conflicts_with_all = OTHERS)]
    seal: bool,
    /// Requests that carry bytes at a time, each with 8 MiB of memory
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = concurrency)]
    concurrency: usize,
    /// Send no more than this, like 50Mbps
    #[arg(long, value_name = "RATE", value_parser = units::bitrate)]
    bandwidth: Option<u64>,
    /// Read everything back that was put, and compare its checksum
    #[arg(long, conflicts_with_all = OTHERS)]
    read_back: bool,
    /// Remove from this disk what is in the bucket and was on air longer ago than this; without,
    /// nothing is removed. Where edges read no archive, keep the longest DVR window of the channels
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    #[arg(conflicts_with_all = OTHERS)]
    keep: Option<Duration>,
    /// While the file system has less free than this, remove the oldest of what is in the bucket,
    /// but nothing that was on air within the last 5 minutes
    #[arg(long, value_name = "SPACE", value_parser = units::bytes, conflicts_with_all = OTHERS)]
    free: Option<u64>,
    /// After a signal: how long what is sealed may still be collected
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = units::duration)]
    finish_within: Duration,
    /// Print one JSON object
    #[arg(long, conflicts_with_all = ["watch", "serve_only"])]
    json: bool,
}

/// Most requests at a time: each holds 8 MiB, and more no store takes faster from one node.
const CONCURRENCY_MAX: usize = 64;

fn concurrency(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=CONCURRENCY_MAX).contains(&n) => Ok(n),
        _ => Err(format!("a number from 1 to {CONCURRENCY_MAX}")),
    }
}

impl Bring {
    fn options(&self) -> Options {
        Options {
            concurrency: self.concurrency,
            bandwidth: self.bandwidth.map(|bits| (bits / 8).max(1)),
            read_back: self.read_back,
        }
    }
}

/// Does what was asked for.
pub fn run(args: Args) -> Result<Exit, Failure> {
    if let Some(url) = &args.rebuild_catalog {
        return catalog::run(url, args.cluster.member(None)?.peers, args.bring.json);
    }
    let Some(to) = &args.to else { return serve_only(args) };
    // Who watches tells of itself in its log.
    let manifest = match args.bring.watch {
        true => args.node.begin()?,
        false => common::manifest(args.node.manifest.as_deref())?,
    };
    let data = args.data.unwrap_or_else(|| manifest.server.data.clone());
    let work = archive::Work {
        data,
        to: to.clone(),
        options: args.bring.options(),
        policy: Policy { keep: args.bring.keep, free: args.bring.free },
        seal: args.bring.seal.then(|| settings::logs(&manifest.server)),
        finish: args.bring.finish_within,
        api: args.cluster.member(None)?.peers,
    };
    match args.bring.watch {
        true => common::block_on(watch::run(work, manifest.server.admin.listen))?,
        false => common::block_on(archive::once(work, args.bring.json))?,
    }
}

/// Runs until told to stop.
fn serve_only(args: Args) -> Result<Exit, Failure> {
    let mut manifest = args.node.begin()?;
    let server = &mut manifest.server;
    server.data = args.data.unwrap_or_else(|| server.data.clone());
    server.internal.listen = args.internal;
    // An origin of the host's name is beside it.
    let who = args.who.or_host("-collect")?;
    let member = args.cluster.member(Some(&who))?;
    let (from, push) = (From::Adopting, Asked::default());
    let roles = Roles { from, archive: None, origin: true, edge: false, member, push };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_requests_has_a_limit() {
        assert_eq!(concurrency("1"), Ok(1));
        assert_eq!(concurrency(&CONCURRENCY_MAX.to_string()), Ok(CONCURRENCY_MAX));
        for bad in ["0", "x", "", &(CONCURRENCY_MAX + 1).to_string()] {
            let e = concurrency(bad).expect_err(bad);
            assert_eq!(e, "a number from 1 to 64");
        }
    }
}
