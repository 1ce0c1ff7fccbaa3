//! castctl bench transcode: what a ladder's job takes beside ffmpeg, how late and how like it is.

use crate::api::ladder::VideoCodec;
use crate::api::ladder::planned::SourceMedia;
use crate::bench::error::BenchError;
use crate::bench::ladder::{self, Likeness};
use crate::bench::server::TempDir;
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::trials;
use crate::control::plan::cost::trial::Trial;
use crate::media::packet::Packet;
use crate::media::track::Track;
use crate::rt::clock::Clock;
use crate::transcode::clip::Clip;
use crate::transcode::scene::Scene;
use crate::transcode::settings::{RungSettings, Settings};
use crate::transcode::trial::{self, Pace, Ran, TrialError};
use comfy_table::{Table, presets};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The latency budget of a channel that says none: its part, of the usual length.
const PART: Duration = Duration::from_millis(500);

/// What a ladder's job takes beside the ffmpeg command line, how late and how good its rungs are
///
/// The same clip through a worker and through ffmpeg with the same settings of the encoders, in
/// turns; then once more in real time.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The ladder: one of the manifest's, or default
    #[arg(default_value = "default")]
    ladder: String,
    /// The manifest that has the ladder
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// MP4, MPEG-TS or Matroska file to transcode [default: a scene that is made up, 1080p30]
    #[arg(long, value_name = "FILE")]
    clip: Option<PathBuf>,
    /// Seconds of it
    #[arg(long, value_name = "S", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(2..=600))]
    seconds: u32,
    /// Rounds; figures are medians
    #[arg(long, value_name = "N", default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Directory for the files written [default: the system's temporary one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was measured of a rung.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rung {
    name: String,
    width: u32,
    height: u32,
    pictures: usize,
    bitrate_aim: u64,
    bitrate: u64,
    #[serde(flatten)]
    likeness: Likeness,
}

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    source: String,
    seconds: f64,
    rounds: u32,
    rungs: Vec<Rung>,
    /// CPU seconds of the job's process, and of ffmpeg's.
    cpu_seconds: f64,
    ffmpeg_cpu_seconds: f64,
    cpu_over_ffmpeg: f64,
    /// From a source's picture to a rung's, in real time.
    delay_median_ms: f64,
    delay_p99_ms: f64,
    latency_budget_ms: f64,
    /// Pictures that were left out, in real time.
    late: u64,
    memory_mib: f64,
}

impl From<TrialError> for Failure {
    fn from(e: TrialError) -> Failure {
        Failure::failed(e)
    }
}

/// Measures and prints.
pub(super) async fn run(args: Args) -> Result<Exit, Failure> {
    let manifest = common::manifest(args.manifest.as_deref())?;
    let ladder = manifest.ladder(&args.ladder);
    let ladder = ladder.ok_or_else(|| Failure::usage(format!("{:?} is no ladder", args.ladder)))?;
    let clip = match &args.clip {
        Some(path) => Clip::read(path, f64::from(args.seconds)).map_err(Failure::usage)?,
        None => Clip::made(&Scene::default(), &usual(), args.seconds).map_err(Failure::failed)?,
    };
    let budget = ladder.latency_budget.unwrap_or(PART);
    let trial = Trial { ladder: (*ladder).clone(), source: clip.media };
    let settings = trials::settings(&trial);
    if settings.rungs.is_empty() {
        return Err(Failure::usage("the ladder encodes nothing of this source"));
    }
    let dir = TempDir::new(&args.dir.clone().unwrap_or_else(std::env::temp_dir))?;
    let figures = measure(&trial, &clip, &settings, (args.rounds, budget), dir.path()).await?;
    match args.json {
        true => common::out(serde_json::to_string(&figures).map_err(Failure::failed)?),
        false => common::out(table(&figures)),
    }
    Ok(Exit::Done)
}

/// What is made up: 1080p30 as most broadcasters send it.
fn usual() -> SourceMedia {
    SourceMedia {
        codec: VideoCodec::H264,
        width: 1_920,
        height: 1_080,
        frame_rate: (30, 1),
        bitrate: 6_000_000,
        audio_bitrate: 128_000,
    }
}

async fn measure(
    trial: &Trial,
    clip: &Clip,
    settings: &Settings,
    (rounds, budget): (u32, Duration),
    dir: &Path,
) -> Result<Figures, Failure> {
    let clock = Clock::system();
    let program = std::env::current_exe().map_err(Failure::failed)?;
    let source = write(dir, "source", clip.video())?;
    let ticks = clip.video().0.timescale;
    let rungs: Vec<_> =
        settings.rungs.iter().filter_map(|r| Some((r.video(ticks)?, r.capped))).collect();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut last = Ran::default();
    for round in 0..rounds {
        common::say(format!("round {} of {rounds}", round + 1));
        last = trial::run(&program, settings, clip, Pace::Fast, &clock).await?;
        ours.push(last.cpu.as_secs_f64());
        theirs.push(ladder::ffmpeg(&source, &rungs).await?.as_secs_f64());
    }
    common::say("in real time");
    let live = trial::run(&program, settings, clip, Pace::RealTime, &clock).await?;
    common::say("comparing pictures");
    let judge = |r: &RungSettings| judge(r, &last, clip, &source, dir);
    let rungs = settings.rungs.iter().map(judge).collect::<Result<Vec<Rung>, Failure>>()?;
    let (cpu, peer) = (middle(&mut ours), middle(&mut theirs));
    let delay = |share: usize| {
        let at = (live.delays.len() * share / 100).min(live.delays.len().saturating_sub(1));
        live.delays.get(at).map_or(0.0, |d| d.as_secs_f64() * 1e3)
    };
    Ok(Figures {
        source: trials::word(trial),
        seconds: clip.seconds(),
        rounds,
        rungs,
        cpu_seconds: cpu,
        ffmpeg_cpu_seconds: peer,
        cpu_over_ffmpeg: cpu / peer.max(1e-6),
        delay_median_ms: delay(50),
        delay_p99_ms: delay(99),
        latency_budget_ms: budget.as_secs_f64() * 1e3,
        late: live.late,
        memory_mib: live.resident as f64 / 1_048_576.0,
    })
}

fn middle(of: &mut [f64]) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}

fn write(
    dir: &Path,
    name: &str,
    (track, packets): &(Track, Vec<Packet>),
) -> Result<PathBuf, Failure> {
    let path = dir.join(format!("{name}.mp4"));
    let movie = ladder::movie(track, packets).map_err(Failure::failed)?;
    std::fs::write(&path, movie).map_err(BenchError::io("write", &path))?;
    Ok(path)
}

fn judge(
    r: &RungSettings,
    ran: &Ran,
    clip: &Clip,
    source: &Path,
    dir: &Path,
) -> Result<Rung, Failure> {
    let none = || Failure::failed(format!("rung {} was not made", r.name));
    let made = ran.made.get(&r.track).ok_or_else(none)?;
    let path = write(dir, r.name.as_str(), made)?;
    let (pictures, of) = (made.1.len(), clip.pictures());
    let every = u32::try_from((of + pictures / 2) / pictures.max(1)).unwrap_or(1).max(1);
    let starts = made.1.iter().enumerate().filter(|(_, p)| p.key).map(|(n, _)| n);
    let starts: Vec<usize> = starts.collect();
    let likeness = ladder::likeness((&path, source), (r.width, r.height), every, &starts)?;
    let bytes: usize = made.1.iter().map(|p| p.payload.len()).sum();
    Ok(Rung {
        name: r.name.to_string(),
        width: r.width,
        height: r.height,
        pictures,
        bitrate_aim: r.encode.bitrate,
        bitrate: (bytes as f64 * 8.0 / clip.seconds().max(1e-3)) as u64,
        likeness,
    })
}

fn table(f: &Figures) -> String {
    let mut rungs = Table::new();
    rungs.load_style(presets::UTF8_BORDERS_ONLY);
    rungs.set_header(["rung", "size", "pictures", "kbit/s", "aim", "SSIM", "at segment starts"]);
    for r in &f.rungs {
        rungs.add_row([
            r.name.clone(),
            format!("{}x{}", r.width, r.height),
            r.pictures.to_string(),
            (r.bitrate / 1_000).to_string(),
            (r.bitrate_aim / 1_000).to_string(),
            format!("{:.4}", r.likeness.mean),
            format!("{:.4} at worst", r.likeness.worst_at_segment_start),
        ]);
    }
    format!(
        "{}, {:.1} s, {} rounds\n{rungs}\nCPU: {:.2} s, ffmpeg {:.2} s, ratio {:.2}\ndelay of a \
         picture: median {:.1} ms, p99 {:.1} ms (latency budget {:.0} ms), {} left out\nmemory: \
         {:.0} MiB",
        f.source,
        f.seconds,
        f.rounds,
        f.cpu_seconds,
        f.ffmpeg_cpu_seconds,
        f.cpu_over_ffmpeg,
        f.delay_median_ms,
        f.delay_p99_ms,
        f.latency_budget_ms,
        f.late,
        f.memory_mib
    )
}
