//! The `ffmpeg` command line at the same ladder as a transcoding job, with the same settings of the
//! encoders: what it takes, and how like the rungs are to their source.

use crate::av::encode::VideoSettings;
use crate::bench::error::BenchError;
use crate::media::fmp4::fragment::{Fragment, Sample, fragment};
use crate::media::fmp4::init::{Init, InitError};
use crate::media::packet::Packet;
use crate::media::track::Track;
use crate::rt::usage;
use bytes::Bytes;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

/// A track as one file, for ffmpeg to read.
///
/// # Errors
/// A track without a configuration.
pub fn movie(track: &Track, packets: &[Packet]) -> Result<Bytes, InitError> {
    let init = Init::new(track.clone())?;
    let samples: Vec<Sample> = packets.iter().map(Sample::from).collect();
    let times = || packets.iter().map(|p| p.dts);
    let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let micros = track.timescale.to_micros(last - first);
    let each = micros / (packets.len().max(2) - 1) as i64;
    let mux = init.details.mux_timescale;
    let media = fragment(&Fragment {
        track_number: 1,
        description: 1,
        sequence: 1,
        decode_time: track.timescale.convert(first.max(0), mux).unsigned_abs(),
        duration: micros + each,
        timescale: track.timescale,
        mux,
        frames: init.details.audio.as_ref().map(|a| a.frame),
        samples: &samples,
    });
    Ok([&init.bytes[..], &media[..]].concat().into())
}

/// The words that make the rungs of `input` and throw them away. A key frame where the source has
/// one; the frame rate is the source's but for those in `capped`.
fn words(input: &Path, rungs: &[(VideoSettings, bool)]) -> Vec<String> {
    let mut out: Vec<String> =
        ["-v", "error", "-nostdin", "-copyts", "-i"].iter().map(|w| (*w).to_owned()).collect();
    out.push(input.display().to_string());
    let heads: String = (0..rungs.len()).map(|n| format!("[a{n}]")).collect();
    let mut graph = format!("[0:v]split={}{heads}", rungs.len());
    for (n, (rung, capped)) in rungs.iter().enumerate() {
        let (num, den) = rung.rate.parts();
        let cap = if *capped { format!("fps={num}/{den},") } else { String::new() };
        let (width, height) = (rung.width, rung.height);
        graph += &format!(";[a{n}]{cap}scale={width}:{height}:flags=bicubic[o{n}]");
    }
    out.extend(["-filter_complex".to_owned(), graph]);
    for (n, (rung, _)) in rungs.iter().enumerate() {
        out.extend(["-map".to_owned(), format!("[o{n}]")]);
        out.extend(rung.words().into_iter().flat_map(|(name, value)| [format!("-{name}"), value]));
        out.extend(["-force_key_frames", "source", "-f", "null", "-"].map(str::to_owned));
    }
    out
}

fn failed(why: impl Into<String>, said: &[u8]) -> BenchError {
    let said = String::from_utf8_lossy(said).trim().to_owned();
    BenchError::Server { name: "ffmpeg".into(), why: why.into(), said }
}

/// CPU time of user and system that ffmpeg takes for the rungs of a file. Rungs whose second half
/// is true have a lower frame rate than the source.
///
/// # Errors
/// It is not installed, or fails.
pub async fn ffmpeg(input: &Path, rungs: &[(VideoSettings, bool)]) -> Result<Duration, BenchError> {
    let mut command = tokio::process::Command::new("ffmpeg");
    command.args(words(input, rungs)).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(BenchError::io("start", "ffmpeg"))?;
    let pid = child.id().ok_or_else(|| failed("ended at once", b""))?;
    let (Some(mut out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(failed("has no output", b""));
    };
    let (mut printed, mut said) = (Vec::new(), Vec::new());
    let read = tokio::try_join!(out.read_to_end(&mut printed), err.read_to_end(&mut said));
    read.map_err(BenchError::io("read", "ffmpeg's output"))?;
    // It has ended and was not waited for: what it used is all there.
    let used = usage::of(pid).ok_or_else(|| failed("used what /proc does not tell", b""))?;
    let status = child.wait().await.map_err(BenchError::io("wait for", "ffmpeg"))?;
    match status.success() {
        true => Ok(used.cpu),
        false => Err(failed(format!("ended with {status}"), &said)),
    }
}

/// How like a rung is to its source: the structural similarity of brightness and colour, 1 is the
/// same.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Likeness {
    /// Mean of all pictures.
    pub mean: f64,
    /// The worst of those that segments begin with.
    pub worst_at_segment_start: f64,
}

/// How like the file `rung` is to every nth picture of the file `source`, scaled to its size.
/// `starts` are the rung's pictures that segments begin with.
///
/// # Errors
/// ffmpeg is not installed, or fails.
pub fn likeness(
    (rung, source): (&Path, &Path),
    (width, height): (u32, u32),
    every: u32,
    starts: &[usize],
) -> Result<Likeness, BenchError> {
    let graph = format!(
        "[0:v]settb=1/1000,setpts=N[a];[1:v]select=not(mod(n\\,{every})),\
         scale={width}:{height}:flags=bicubic,settb=1/1000,setpts=N[b];[a][b]ssim=stats_file=-"
    );
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(rung).arg("-i").arg(source);
    command.args(["-filter_complex", &graph, "-f", "null", "-"]).stdin(Stdio::null());
    let ended = command.output().map_err(BenchError::io("start", "ffmpeg"))?;
    if !ended.status.success() {
        return Err(failed(format!("ended with {}", ended.status), &ended.stderr));
    }
    let text = String::from_utf8_lossy(&ended.stdout);
    let all: Vec<f64> = text.lines().filter_map(similarity).collect();
    if all.is_empty() {
        return Err(failed("compared no pictures", &ended.stderr));
    }
    let worst = starts.iter().filter_map(|n| all.get(*n)).copied().fold(1.0, f64::min);
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    Ok(Likeness { mean, worst_at_segment_start: worst })
}

/// `n:1 Y:0.98 U:0.99 V:0.99 All:0.985 (18.3)`.
fn similarity(line: &str) -> Option<f64> {
    line.split_whitespace().find_map(|w| w.strip_prefix("All:"))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_similarity_is_read() {
        assert_eq!(similarity("n:1 Y:0.98 U:0.99 V:0.99 All:0.985 (18.3)"), Some(0.985));
        assert_eq!(similarity("n:1"), None);
    }
}
