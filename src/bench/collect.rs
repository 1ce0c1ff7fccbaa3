//! What bringing recordings to a bucket takes, beside `rclone copy` of the same files to the same
//! store, and what it costs those who watch meanwhile. All programs are child processes and take
//! turns; each round goes to a prefix of its own, which is read back, compared and taken away.

use crate::bench::clip::Clip;
use crate::bench::error::BenchError;
use crate::bench::latency;
use crate::bench::proc::ended_cpu_ms;
use crate::bench::progress::Progress;
use crate::bench::recordings::{Made, take_away};
use crate::bench::server::{Server, Setup, Which};
use crate::bench::stats::median;
use crate::rt::clock::Clock;
use crate::store::port::Store;
use serde::Serialize;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::process::Command;

/// What is measured.
#[derive(Debug)]
pub struct Plan {
    /// The castctl program.
    pub castctl: PathBuf,
    /// The bucket and a prefix in it: s3 or a directory's.
    pub to: String,
    /// Requests that carry bytes at a time; files at a time of rclone.
    pub concurrency: usize,
    /// How often; figures are medians.
    pub rounds: u32,
    /// Length of a part, where latency is measured.
    pub part: Duration,
}

/// What one program took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Took {
    /// Seconds until all is in the bucket.
    pub seconds: f64,
    /// CPU seconds of the program, without the store's.
    pub cpu_seconds: f64,
    /// MiB a second.
    pub mib_per_second: f64,
}

/// What rclone took, in one of its ways.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Peer {
    /// Its way.
    pub way: &'static str,
    /// What it took.
    #[serde(flatten)]
    pub took: Took,
    /// castctl's time over its: less than 1 is faster.
    pub castctl_seconds_over: f64,
    /// ... and its CPU time.
    pub castctl_cpu_over: f64,
}

/// rclone's ways, and the words for them: what it does by itself (one request for a file of up to
/// 200 MiB), and what castctl does, so that the store does the same for both.
const WAYS: [(&str, &[&str]); 2] = [
    ("whole files", &[]),
    (
        "parts of 8 MiB",
        &["--s3-upload-cutoff=8Mi", "--s3-chunk-size=8Mi", "--s3-upload-concurrency=1"],
    ),
];

/// What was measured of speed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Bytes of all extents.
    pub bytes: u64,
    /// How many there are.
    pub extents: usize,
    /// Rounds.
    pub rounds: u32,
    /// At a time.
    pub concurrency: usize,
    /// `castctl collect --once`.
    pub castctl: Took,
    /// `rclone copy`, in each of its ways.
    pub rclone: Vec<Peer>,
    /// Objects that were read back, and were what lies on the disk.
    pub verified: usize,
}

/// What viewers notice.
#[derive(Debug, Clone, Serialize)]
pub struct Ingest {
    /// Nobody collects.
    pub without: latency::Report,
    /// A collector is at work all the time.
    pub with: latency::Report,
    /// MiB that it brought.
    pub collected_mib: f64,
    /// 99 in 100 parts are no later than this: with a collector over without.
    pub p99_over_without: Option<f64>,
}

impl Plan {
    /// Brings it again and again, beside rclone where that is wanted.
    ///
    /// # Errors
    /// A program fails, or what is in the bucket is not what lies on the disk.
    pub async fn run(
        &self,
        made: &Made,
        open: &impl Fn(&str) -> Result<Store, BenchError>,
        beside_rclone: bool,
        (clock, progress): (&Clock, &Progress),
    ) -> Result<Figures, BenchError> {
        let (mut ours, mut theirs, mut verified) = (Vec::new(), [Vec::new(), Vec::new()], 0);
        for round in 0..self.rounds {
            progress.say(format!("round {}: castctl collect", round + 1));
            let to = format!("{}/castctl-{round}", self.to);
            ours.push(timed("castctl collect", self.collect(made, &to), clock).await?);
            verified += made.is_there(&open(&to)?).await?;
            progress.second();
            for (way, (name, words)) in WAYS.iter().enumerate().filter(|_| beside_rclone) {
                progress.say(format!("round {}: rclone copy, {name}", round + 1));
                let to = format!("{}/rclone-{way}-{round}", self.to);
                let command = self.rclone(made, words, &to)?;
                theirs[way].push(timed("rclone copy", command, clock).await?);
                verified += made.is_there(&open(&to)?).await?;
                progress.second();
            }
        }
        let castctl = took(made, &ours);
        let peer = |(&(way, _), all): (&(&'static str, _), &Vec<(f64, f64)>)| {
            let took = took(made, all);
            let over = |of: fn(&Took) -> f64| of(&castctl) / of(&took).max(1e-6);
            let (seconds, cpu) = (over(|t| t.seconds), over(|t| t.cpu_seconds));
            Peer { way, took, castctl_seconds_over: seconds, castctl_cpu_over: cpu }
        };
        let rclone = WAYS.iter().zip(&theirs).filter(|(_, all)| !all.is_empty()).map(peer);
        Ok(Figures {
            bytes: made.bytes(),
            extents: made.extents.len(),
            rounds: self.rounds,
            concurrency: self.concurrency,
            rclone: rclone.collect(),
            castctl,
            verified,
        })
    }

    fn collect(&self, made: &Made, to: &str) -> Command {
        let mut command = Command::new(&self.castctl);
        command.args(["collect", "--once", "--json", "--to", to, "--data"]).arg(&made.data);
        command.args(["--concurrency", &self.concurrency.to_string()]);
        command
    }

    /// As many files at a time as castctl has requests; checksums as rclone makes them. Its own
    /// configuration is not read.
    fn rclone(&self, made: &Made, way: &[&str], to: &str) -> Result<Command, BenchError> {
        let target = match to.split_once("://") {
            Some(("s3", place)) => format!("bench:{place}"),
            Some(("file", place)) => place.to_owned(),
            _ => return Err(failed("rclone", format!("is set up for s3:// alone, not {to}"), "")),
        };
        let mut command = Command::new("rclone");
        command.arg("copy").arg(made.data.join("logs")).arg(target);
        let n = self.concurrency.to_string();
        command.args(["--include", "*.extent", "--transfers", &n, "--checkers", &n]);
        command
            .args(way)
            .args(["--s3-no-check-bucket", "--config"])
            .arg(made.temp.sub("rclone.conf"));
        if let Some(bundle) = std::env::var_os("AWS_CA_BUNDLE") {
            // It does not take the name that other tools have for it.
            command.env_remove("AWS_CA_BUNDLE").arg("--ca-cert").arg(bundle);
        }
        let endpoint = std::env::var("AWS_ENDPOINT").unwrap_or_default();
        for (name, value) in
            [("TYPE", "s3"), ("PROVIDER", "Other"), ("ENV_AUTH", "true"), ("ENDPOINT", &endpoint)]
        {
            command.env(format!("RCLONE_CONFIG_BENCH_{name}"), value);
        }
        Ok(command)
    }

    /// How late media is to who watches, without a collector and with one that brings everything
    /// again and again.
    ///
    /// # Errors
    /// A program fails, or the viewer sees nothing.
    pub async fn ingest(
        &self,
        made: &Made,
        open: &impl Fn(&str) -> Result<Store, BenchError>,
        (clip, seconds): (Arc<Clip>, u64),
        (clock, progress): (&Clock, &Progress),
    ) -> Result<Ingest, BenchError> {
        let over = AtomicBool::new(false);
        let without = self.latency(made, "without", (clip.clone(), seconds), clock, progress);
        let without = without.await?;
        let measured = async {
            let with = self.latency(made, "with", (clip, seconds), clock, progress).await;
            over.store(true, Ordering::Relaxed);
            with
        };
        let collecting = async {
            let mut bytes = 0;
            for n in 0.. {
                let to = format!("{}/ingest-{n}", self.to);
                timed("castctl collect", self.collect(made, &to), clock).await?;
                bytes += made.bytes();
                take_away(&open(&to)?).await?;
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
            Ok::<u64, BenchError>(bytes)
        };
        let (with, collected) = tokio::join!(measured, collecting);
        let (with, collected) = (with?, collected?);
        let p99 = |r: &latency::Report| r.newest_frame.map(|s| s.p99);
        let p99_over_without = p99(&with).zip(p99(&without)).map(|(a, b)| a / b.max(1e-6));
        let collected_mib = collected as f64 / 1_048_576.0;
        Ok(Ingest { without, with, collected_mib, p99_over_without })
    }

    async fn latency(
        &self,
        made: &Made,
        name: &str,
        (clip, seconds): (Arc<Clip>, u64),
        clock: &Clock,
        progress: &Progress,
    ) -> Result<latency::Report, BenchError> {
        let (castctl, dir) = (self.castctl.clone(), made.temp.sub(name));
        let setup = Setup { castctl, dir, streams: 1, part: self.part, core: None };
        let server = Server::start(Which::Castctl, &setup, clock).await?;
        let (target, addr) = (server.targets[0].clone(), server.addr);
        // A new data directory: the first publish begins session 1.
        let early = Some(target.playlist.replace("/index.m3u8", "/s1/index.m3u8"));
        let plan = latency::Plan { target, early, addr, seconds };
        let report = plan.run(clip, clock, progress).await?;
        server.stop(clock).await;
        Ok(report)
    }
}

/// The middle of what it took, wall and CPU, in each round.
fn took(made: &Made, all: &[(f64, f64)]) -> Took {
    let of = |f: fn(&(f64, f64)) -> f64| median(&all.iter().map(f).collect::<Vec<_>>());
    let (seconds, cpu) = (of(|t| t.0).unwrap_or(0.0), of(|t| t.1).unwrap_or(0.0));
    let mib_per_second = made.bytes() as f64 / 1_048_576.0 / seconds.max(1e-6);
    Took { seconds, cpu_seconds: cpu, mib_per_second }
}

fn failed(name: &str, why: String, said: &str) -> BenchError {
    BenchError::Server { name: name.to_owned(), why, said: said.trim().to_owned() }
}

/// Wall and CPU seconds of a program until its end.
async fn timed(name: &str, mut command: Command, clock: &Clock) -> Result<(f64, f64), BenchError> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let (cpu, begun) = (ended_cpu_ms().map_err(BenchError::io("read", "/proc"))?, clock.now().mono);
    let ended = command.output().await.map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => BenchError::Missing {
            what: "rclone",
            path: "rclone".into(),
            mend: "apt-get install rclone, or measure --alone",
        },
        _ => failed(name, format!("cannot be started: {e}"), ""),
    })?;
    let seconds = clock.now().mono.since(begun).as_secs_f64();
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        return Err(failed(name, format!("ended with {}", ended.status), &said));
    }
    let cpu = ended_cpu_ms().map_err(BenchError::io("read", "/proc"))? - cpu;
    Ok((seconds, cpu as f64 / 1000.0))
}
