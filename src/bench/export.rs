//! How fast `castctl export` is beside `ffmpeg -c copy` of the same content on the same disk, both
//! until the file is durable. Both programs are child processes and take turns.

use crate::bench::error::BenchError;
use crate::bench::progress::Progress;
use crate::bench::server::TempDir;
use crate::bench::stats::median;
use crate::rt::clock::Clock;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is measured.
#[derive(Debug)]
pub struct Plan {
    /// The recording.
    pub log: PathBuf,
    /// The castctl program.
    pub castctl: PathBuf,
    /// Where the files go.
    pub dir: PathBuf,
    /// How often; figures are medians.
    pub rounds: u32,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Bytes of the exported movie.
    pub bytes: u64,
    /// Rounds.
    pub rounds: u32,
    /// MiB of movie in a second: `castctl export`, the index first.
    pub castctl_mib_per_second: f64,
    /// The same: `ffmpeg -c copy`, the index last.
    pub ffmpeg_mib_per_second: f64,
    /// The same: `ffmpeg -c copy -movflags +faststart`, the index first.
    pub ffmpeg_faststart_mib_per_second: f64,
    /// castctl's speed over that of ffmpeg with the index first.
    pub castctl_over_faststart: f64,
}

impl Plan {
    /// Runs all rounds.
    ///
    /// # Errors
    /// A program is missing or fails, or a file cannot be synced.
    pub async fn run(&self, clock: &Clock, progress: &Progress) -> Result<Figures, BenchError> {
        let temp = TempDir::new(&self.dir)?;
        let at = |name: &str| temp.sub("export").join(name);
        let dir = temp.sub("export");
        std::fs::create_dir_all(&dir).map_err(BenchError::io("create", &dir))?;
        let (input, ours, theirs) = (at("input.mp4"), at("castctl.mp4"), at("ffmpeg.mp4"));
        self.export(&["--format", "fmp4"], &input, clock).await?;
        let mut times: [Vec<f64>; 3] = Default::default();
        for round in 0..self.rounds {
            progress.say(format!("round {}", round + 1));
            times[0].push(self.export(&[], &ours, clock).await?);
            times[1].push(ffmpeg(&input, &[], &theirs, clock).await?);
            times[2].push(ffmpeg(&input, &["-movflags", "+faststart"], &theirs, clock).await?);
            progress.second();
        }
        let bytes = std::fs::metadata(&ours).map_err(BenchError::io("read", &ours))?.len();
        let rate = |t: &[f64]| bytes as f64 / 1_048_576.0 / median(t).unwrap_or(f64::NAN).max(1e-6);
        let [castctl, plain, faststart] = times.map(|t| rate(&t));
        Ok(Figures {
            bytes,
            rounds: self.rounds,
            castctl_mib_per_second: castctl,
            ffmpeg_mib_per_second: plain,
            ffmpeg_faststart_mib_per_second: faststart,
            castctl_over_faststart: castctl / faststart,
        })
    }

    async fn export(&self, words: &[&str], to: &Path, clock: &Clock) -> Result<f64, BenchError> {
        let mut command = Command::new(&self.castctl);
        command.arg("export").arg(&self.log).args(words).arg("--force").arg("--to").arg(to);
        timed("castctl export", command, to, clock).await
    }
}

async fn ffmpeg(input: &Path, words: &[&str], to: &Path, clock: &Clock) -> Result<f64, BenchError> {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-v", "error", "-nostdin", "-y", "-i"]).arg(input);
    command.args(["-map", "0", "-c", "copy"]).args(words).arg(to);
    timed("ffmpeg", command, to, clock).await
}

/// Seconds until the program has ended and its file is durable. A recording that is damaged is as
/// good as any to measure with.
async fn timed(
    name: &str,
    mut command: Command,
    to: &Path,
    clock: &Clock,
) -> Result<f64, BenchError> {
    let failed = |why: String, said: String| BenchError::Server { name: name.into(), why, said };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begun = clock.now().mono;
    let ended = tokio::task::spawn_blocking(move || command.output());
    let ended = ended.await.map_err(|e| failed(e.to_string(), String::new()))?;
    let ended = ended.map_err(|e| failed(format!("cannot be started: {e}"), String::new()))?;
    if !matches!(ended.status.code(), Some(0 | 1)) || !to.is_file() {
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        return Err(failed(format!("ended with {}", ended.status), said));
    }
    let synced = std::fs::File::open(to).and_then(|f| f.sync_all());
    synced.map_err(BenchError::io("sync", to))?;
    Ok(clock.now().mono.since(begun).as_secs_f64())
}
