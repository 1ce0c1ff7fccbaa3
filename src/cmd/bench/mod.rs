//! castctl bench: measures what ingest and viewers cost and how late media is, beside a peer.

mod collect;
#[cfg(feature = "transcode")]
mod estimate;
mod export;
#[cfg(feature = "transcode")]
mod transcode;
mod viewers;

use crate::base::units;
use crate::bench::clip::{self, Clip};
use crate::bench::error::BenchError;
use crate::bench::ingest;
use crate::bench::latency;
use crate::bench::log;
use crate::bench::progress::Progress;
use crate::bench::report;
use crate::bench::server::{Server, Setup, Target, TempDir, Which};
use crate::bench::sync::{self, Method};
use crate::cmd::bench_playlist;
use crate::cmd::common::{self, Exit, Failure};
use crate::rt::clock::Clock;
use crate::rt::signal::Stop;
use crate::rtmp::url::RtmpUrl;
use serde::Serialize;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Measure what ingest, viewers and playlists cost, how late media is, and how fast exports are
///
/// The server is a child process with its data in a temporary directory; the load is made by this
/// one. Ratios to a peer measured in the same run travel between machines, milliseconds don't.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Ingest(Ingest),
    Latency(Latency),
    Viewers(viewers::Viewers),
    Log(Log),
    Sync(Sync),
    Export(export::Args),
    Collect(collect::Args),
    Playlist(bench_playlist::Args),
    #[cfg(feature = "transcode")]
    Transcode(transcode::Args),
    #[cfg(feature = "transcode")]
    Estimate(estimate::Args),
}

/// What both have in common.
#[derive(Debug, clap::Args)]
struct Common {
    /// FLV file to publish in a loop [default: made with ffmpeg, 720p30, 20 s]
    #[arg(long, value_name = "FILE.flv")]
    clip: Option<PathBuf>,
    /// Bit rate of the made clip
    #[arg(long, value_name = "RATE", default_value = "2500kbps", value_parser = units::bitrate)]
    bitrate: u64,
    /// Length of a part
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = units::duration)]
    parts: Duration,
    /// The castctl program to measure [default: this one]
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Directory for the servers' data and the made clip [default: the system's temporary one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// CPU and memory of a server that receives, records and cuts streams
#[derive(Debug, clap::Args)]
struct Ingest {
    /// Numbers of publishers, measured one after another
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "20,50,100",
        value_parser = clap::value_parser!(u16).range(1..=5000))]
    publishers: Vec<u16>,
    /// Seconds of each measurement
    #[arg(long, value_name = "S", default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Viewers of each stream: 0, 1, or both one after another
    #[arg(long, value_name = "0|1,..", value_delimiter = ',', default_value = "1",
        value_parser = clap::value_parser!(u8).range(0..=1))]
    viewers_per_stream: Vec<u8>,
    /// Another server, measured after castctl in every round
    #[arg(long, value_name = "SERVER")]
    peer: Option<Peer>,
    /// Rounds; figures are medians
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Peer {
    /// Debian's nginx with libnginx-mod-rtmp: HLS and recording on
    NginxRtmp,
}

/// How late media is: a frame sent until its bytes are fetched
#[derive(Debug, clap::Args)]
struct Latency {
    /// Seconds of the measurement
    #[arg(long, value_name = "S", default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Publish to this URL of somebody else's server; needs --url
    #[arg(long, value_name = "rtmp://..", requires = "url")]
    rtmp: Option<RtmpUrl>,
    /// Watch this playlist; needs --rtmp
    #[arg(long, value_name = "http://..", requires = "rtmp")]
    url: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// How fast one log is written, read and recovered, beside what memory and disk allow
#[derive(Debug, clap::Args)]
struct Log {
    /// MiB of media to write
    #[arg(long, value_name = "N", default_value_t = 1024,
        value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    mib: u64,
    /// Directory on the disk to be measured [default: the system's temporary one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How late logs are durable when many are written: one after another, several at a time, or the
/// whole file system at once
#[derive(Debug, clap::Args)]
struct Sync {
    /// Numbers of logs, measured one after another
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "1,50,200",
        value_parser = clap::value_parser!(u16).range(1..=2000))]
    logs: Vec<u16>,
    /// Ways to sync: a number of threads that sync log by log, or syncfs
    #[arg(long, value_name = "WAY,..", value_delimiter = ',', default_value = "1,4,8,16,syncfs")]
    by: Vec<Method>,
    /// The interval that is aimed at
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = units::duration)]
    interval: Duration,
    /// Bit rate of each log
    #[arg(long, value_name = "RATE", default_value = "2500kbps", value_parser = units::bitrate)]
    bitrate: u64,
    /// Seconds of each measurement
    #[arg(long, value_name = "S", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Directory on the disk to be measured [default: the system's temporary one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl From<BenchError> for Failure {
    fn from(e: BenchError) -> Failure {
        Failure::of(e.kind(), e)
    }
}

/// Measures and prints.
pub fn run(args: Args) -> Result<Exit, Failure> {
    // One thread makes all of the load: what it takes is no server's.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format!("cannot start: {e}")))?;
    let done = match args.verb {
        Verb::Ingest(args) => runtime.block_on(stoppable(ingest(args))),
        Verb::Latency(args) => runtime.block_on(stoppable(latency(args))),
        Verb::Viewers(args) => runtime.block_on(stoppable(viewers::viewers(args))),
        Verb::Log(args) => runtime.block_on(stoppable(one_log(args))),
        Verb::Sync(args) => runtime.block_on(stoppable(syncs(args))),
        Verb::Export(args) => runtime.block_on(stoppable(export::run(args))),
        Verb::Collect(args) => runtime.block_on(stoppable(collect::run(args))),
        Verb::Playlist(args) => bench_playlist::run(&args),
        #[cfg(feature = "transcode")]
        Verb::Transcode(args) => runtime.block_on(stoppable(transcode::run(args))),
        #[cfg(feature = "transcode")]
        Verb::Estimate(args) => runtime.block_on(stoppable(estimate::run(args))),
    };
    runtime.shutdown_background();
    done
}

/// Runs until done or told to stop; servers end with the future that holds them.
async fn stoppable(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let mut stop = Stop::install().map_err(|e| Failure::failed(format!("signals: {e}")))?;
    tokio::select! {
        done = work => done,
        () = stop.next() => Err(Failure::failed("stopped before the end")),
    }
}

impl Common {
    /// The directory, made clips' place in it, and the clip.
    fn prepare(&self) -> Result<(PathBuf, Arc<Clip>), Failure> {
        let dir = self.directory();
        let file = match &self.clip {
            Some(file) => file.clone(),
            None => {
                common::say("making the clip, if it is not there yet");
                clip::made(&dir.join("castctl-bench"), self.bitrate)?
            }
        };
        Ok((dir, Arc::new(Clip::read(&file)?)))
    }

    fn directory(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    fn castctl(&self) -> Result<PathBuf, Failure> {
        program(&self.server)
    }
}

/// The program that is measured: the one named, else this one.
fn program(named: &Option<PathBuf>) -> Result<PathBuf, Failure> {
    match named {
        Some(file) => Ok(file.clone()),
        None => std::env::current_exe()
            .map_err(|e| Failure::failed(format!("where is this program? {e}"))),
    }
}

#[derive(Serialize)]
struct IngestJson<'a> {
    rows: &'a [report::Row],
    runs: &'a [ingest::Run],
}

pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value);
    common::out(text.map_err(|e| Failure::failed(format!("cannot write JSON: {e}")))?);
    Ok(())
}

async fn ingest(args: Ingest) -> Result<Exit, Failure> {
    let (dir, clip) = args.common.prepare()?;
    let peer = args.peer.map(|Peer::NginxRtmp| Which::NginxRtmp);
    let plan = ingest::Plan {
        publishers: args.publishers.into_iter().map(usize::from).collect(),
        viewers: args.viewers_per_stream.into_iter().map(usize::from).collect(),
        seconds: args.seconds,
        part: args.common.parts,
        repeat: usize::from(args.repeat),
        servers: [Which::Castctl].into_iter().chain(peer).collect(),
        castctl: args.common.castctl()?,
        dir,
    };
    let clock = Clock::system();
    let progress = Progress::new(plan.seconds());
    let runs = plan.run(&clip, &clock, &progress).await?;
    drop(progress);
    let rows = report::rows(&runs, peer.map(Which::name));
    if args.common.json {
        print_json(&IngestJson { rows: &rows, runs: &runs })?;
    } else {
        common::out(report::ingest_table(&rows));
    }
    Ok(Exit::Done)
}

async fn latency(args: Latency) -> Result<Exit, Failure> {
    let (dir, clip) = args.common.prepare()?;
    let clock = Clock::system();
    let progress = Progress::new(args.seconds);
    let mut own = None;
    let (target, early, addr) = match (args.rtmp, args.url) {
        (Some(rtmp), Some(playlist)) => {
            let addr = resolve(&rtmp).await?;
            (Target { rtmp, playlist }, None, addr)
        }
        _ => {
            let temp = TempDir::new(&dir)?;
            let (castctl, part) = (args.common.castctl()?, args.common.parts);
            let dir = temp.sub("castctl");
            let setup = Setup { castctl, dir, streams: 1, part, core: None };
            let server = Server::start(Which::Castctl, &setup, &clock).await?;
            let target = server.targets[0].clone();
            let addr = server.addr;
            // A new data directory: the first publish begins session 1.
            let early = target.playlist.replace("/index.m3u8", "/s1/index.m3u8");
            own = Some((server, temp));
            (target, Some(early), addr)
        }
    };
    let plan = latency::Plan { target, early, addr, seconds: args.seconds };
    let measured = plan.run(clip, &clock, &progress).await?;
    drop(progress);
    if let Some((server, _temp)) = own {
        server.stop(&clock).await;
    }
    if args.common.json {
        print_json(&measured)?;
    } else {
        common::out(report::latency_table(&measured));
    }
    Ok(Exit::Done)
}

async fn one_log(args: Log) -> Result<Exit, Failure> {
    let dir = args.dir.unwrap_or_else(std::env::temp_dir);
    let progress = Progress::new(3);
    let plan = log::Plan { bytes: args.mib << 20 };
    let figures = plan.run(&dir, &Clock::system(), &progress).await?;
    drop(progress);
    if args.json {
        print_json(&figures)?;
    } else {
        common::out(log::table(&figures));
    }
    Ok(Exit::Done)
}

async fn syncs(args: Sync) -> Result<Exit, Failure> {
    let dir = args.dir.unwrap_or_else(std::env::temp_dir);
    let clock = Clock::system();
    let each = args.logs.len() * args.by.len();
    let progress = Progress::new(args.seconds * each as u64);
    let mut rows = Vec::new();
    for logs in &args.logs {
        for method in &args.by {
            let plan = sync::Plan {
                logs: *logs,
                method: *method,
                interval: args.interval,
                bytes_per_second: args.bitrate / 8,
                seconds: args.seconds,
            };
            rows.push(plan.run(&dir, &clock, &progress).await?);
        }
    }
    drop(progress);
    if args.json {
        print_json(&rows)?;
    } else {
        common::out(sync::table(&rows));
    }
    Ok(Exit::Done)
}

async fn resolve(url: &RtmpUrl) -> Result<SocketAddr, Failure> {
    let found = tokio::net::lookup_host((url.host.as_str(), url.port)).await;
    let cannot = |why: String| Failure::failed(format!("cannot resolve {}: {why}", url.host));
    found.map_err(|e| cannot(e.to_string()))?.next().ok_or_else(|| cannot("no address".into()))
}
