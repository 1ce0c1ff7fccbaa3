//! castctl schedule calibrate: measures what transcoding takes on this machine.

use crate::api::ladder::VideoCodec;
use crate::api::ladder::planned::SourceMedia;
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::trials::{Clips, bar, settings, word};
use crate::control::plan::cost::fit::{Sample, fit};
use crate::control::plan::cost::trial::{Trial, calibration};
use crate::rt::clock::Clock;
use crate::transcode::trial;
use std::path::{Path, PathBuf};

/// Seconds of pictures of each job: enough for some segments, few enough for some minutes in all.
const SECONDS: u32 = 4;

/// Measure what transcoding takes on this machine, and write its table
///
/// Runs the jobs of every codec and preset one after another, some minutes long, on pictures that
/// are made up. Nothing else should run meanwhile. The table is YAML, for --machine of the other
/// commands.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What the machine is called in the table
    #[arg(long, default_value = "this-machine")]
    name: String,
    /// Where the table is written [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write what was measured too, as JSON lines
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
    /// Codecs that are measured
    #[arg(long, value_name = "CODEC,..", value_delimiter = ',', value_parser = super::codec,
        default_value = "h264,hevc,av1")]
    codecs: Vec<VideoCodec>,
}

/// Measures and writes.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let begun = common::block_on(async { Clock::system().now() })?;
    let samples = common::block_on(measure(&args.codecs))??;
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (seconds, count) = (begun.wall.0 / 1_000_000, samples.len());
    let measured = format!(
        "by castctl {} schedule calibrate, {cores} cores, {os} {arch}, {count} jobs, at {seconds} \
         s of Unix time",
        env!("CARGO_PKG_VERSION")
    );
    let table = fit(&args.name, &measured, &samples);
    if let Some(path) = &args.samples {
        let lines = samples.iter().map(|s| serde_json::to_string(s).expect("plain data") + "\n");
        write(path, &lines.collect::<String>())?;
    }
    let text = table.yaml();
    match &args.out {
        Some(path) => write(path, &text)?,
        None => common::out(text.trim_end()),
    }
    Ok(Exit::Done)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let cannot = |e| Failure::failed(format!("cannot write {}: {e}", path.display()));
    std::fs::write(path, text).map_err(cannot)
}

/// Has the library this codec?
async fn is_there(codec: VideoCodec, program: &Path, clock: &Clock) -> bool {
    let (width, height, frame_rate) = (320, 180, (30, 1));
    let (bitrate, audio_bitrate) = (200_000, 0);
    let media = SourceMedia { codec, width, height, frame_rate, bitrate, audio_bitrate };
    let made = Clips::new(1).get(&media, program, clock).await;
    if made.is_err() {
        common::say(format!("{codec} is left out: the library can't encode it"));
    }
    made.is_ok()
}

async fn measure(codecs: &[VideoCodec]) -> Result<Vec<Sample>, Failure> {
    let clock = Clock::system();
    let program = std::env::current_exe().map_err(Failure::failed)?;
    let mut known = Vec::new();
    for codec in codecs {
        if is_there(*codec, &program, &clock).await {
            known.push(*codec);
        }
    }
    let jobs = calibration(&known);
    let bar = bar(jobs.len());
    let mut clips = Clips::new(SECONDS);
    let mut samples = Vec::with_capacity(jobs.len());
    for job in &jobs {
        let clip = clips.get(&job.source, &program, &clock).await?;
        // What was made is a little more or less than what was asked for.
        let job = Trial { source: clip.media, ..job.clone() };
        bar.set_message(word(&job));
        let taken = trial::millicores(&program, &settings(&job), &clip, &clock).await;
        samples.push(job.sample("made up", taken.map_err(Failure::failed)?));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(samples)
}
