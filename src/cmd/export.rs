//! castctl export: a range of a recording as an MP4 file or an HLS folder.

use crate::base::error::Kind;
use crate::base::ids::Channel;
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::{channel_logs, cluster};
use crate::export::error::ExportError;
use crate::export::job::{Format, From, Job, Progress, Target, export};
use crate::export::moment::{Ask, Moment, Segments};
use crate::export::plan::Gaps;
use crate::export::summary::Summary;
use crate::log::error::LogError;
use crate::rt::signal::Stop;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::str::FromStr;

const DETAILS: &str = "\
--to is given once for the target and, where the range has an end, once more for that: what reads \
as a moment is the end, anything else the target (./-30s is a file). Moments are \
2026-11-20T17:23:06.125Z (any offset for Z), +90s from the start of the recording, or -30s from \
its end. Segments are 1000..1010, both included.

With --api, what is exported is a channel of that cluster: its logs are read at the nodes that \
have them, and what no node has in the bucket that castctl collect --api has told of; the \
environment has the bucket's credentials. Of a session that is on air, what is recorded by now.

The recording is copied, never coded anew. An MP4 file begins with the first picture dated at or \
after --from and ends before the first one dated at or after --to; what has to be decoded before \
it is in the file, and the file's edit list skips it. Players that ignore edit lists show those \
pictures too: --at-key-frame leaves nothing to skip. Fragmented MP4 always begins at the key frame \
at or before --from, because players ignore edit lists there. A folder has whole segments, the \
same bytes that viewers got.

Generations (reconnects, restarts) are stitched in order. Time without media is closed up: picture \
and sound move together. With --gaps keep it passes: the last picture stands, and there is no \
sound; a folder lists segments without media as gaps. Packets that no segment lists, which came \
between an absence and the next key frame, are not exported.

A damaged recording is exported as far as it is intact, behind the damage too; the summary says \
what is missing, and the exit code is 1. The target has its name only when it is whole: until then \
it is NAME.part. An export that is stopped by a signal takes that away, says so and exits with 3.

Examples:
  castctl export data/logs/main/s1 --to show.mp4
  castctl export data/logs/main/s1 --from +90s --to +120s --to clip.mp4
  castctl export data/logs/main/s1 --from 2026-11-20T17:23:06Z --to last.mp4
  castctl export data/logs/main/s1 --msn 1000..1010 --to folder/
  castctl export data/logs/main/s1 --to - | ffprobe -
  castctl export --api http://10.0.0.2:8070 main --from -90s --to clip.mp4";

/// Write a range of a recording as MP4 or as an HLS folder
#[derive(Debug, clap::Args)]
#[command(after_long_help = DETAILS)]
pub struct Args {
    /// A log's directory (…/g1), a session's (…/s1), a channel's, or one extent; or the URL of one
    /// of these in a bucket, as castctl-archive(7) has it; with --api, a channel's name
    log: PathBuf,
    /// Begin at this moment: 2026-11-20T17:23:06Z, +90s from the start, -30s from the end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<Moment>,
    /// End before this moment; and where to: FILE.mp4, FOLDER/, or - for standard output
    #[arg(long, value_name = "TIME|TARGET", allow_hyphen_values = true, required = true)]
    to: Vec<To>,
    /// The segments A to B instead of a time, both included; either may be left out
    #[arg(long, value_name = "A..B", conflicts_with = "from")]
    msn: Option<Segments>,
    /// What to write [default: hls to FOLDER/, fmp4 to -, else mp4]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<FormatWord>,
    /// Of a channel: the session of this number
    #[arg(long, value_name = "N")]
    session: Option<u64>,
    /// Begin with the key frame at or before the start, so that players have nothing to skip
    #[arg(long)]
    at_key_frame: bool,
    /// What becomes of time without media: it is closed up, or it passes
    #[arg(long, value_name = "HOW", value_enum, default_value = "close")]
    gaps: GapsWord,
    /// Replace a file, or a folder that an export wrote
    #[arg(long)]
    force: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: cluster::Flags,
}

/// One value of `--to`.
#[derive(Debug, Clone)]
enum To {
    Moment(Moment),
    Target(String),
}

impl FromStr for To {
    type Err = std::convert::Infallible;

    fn from_str(s: &str) -> Result<To, Self::Err> {
        Ok(s.parse().map_or_else(|_| To::Target(s.into()), To::Moment))
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FormatWord {
    /// A movie whose index comes first
    Mp4,
    /// A movie in fragments
    Fmp4,
    /// An HLS VOD folder
    Hls,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum GapsWord {
    /// Close them up
    Close,
    /// Let them pass
    Keep,
}

/// Exports.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let job = args.job()?;
    let job = common::block_on(args.found(job))??;
    let summary = match common::block_on(until_stopped(&job))? {
        Ok(summary) => summary,
        // A reader that has seen enough closes the pipe.
        Err(Stopped::Failed(ExportError::Closed)) => return Ok(Exit::Done),
        Err(Stopped::Failed(e)) => return Err(failure(e)),
        Err(Stopped::Signal) => {
            return Err(Failure::failed("stopped by a signal: nothing was written"));
        }
    };
    // Standard output that has the movie has no room for its summary.
    match args.json && !matches!(job.target, Target::Stdout) {
        true => common::out(serde_json::to_string_pretty(&summary).map_err(Failure::failed)?),
        false => common::say(&summary),
    }
    Ok(if summary.damaged() { Exit::No } else { Exit::Done })
}

impl Args {
    /// The words, checked.
    fn job(&self) -> Result<Job, Failure> {
        let (mut end, mut target) = (None, None);
        for to in &self.to {
            let twice = match to {
                To::Moment(moment) => end.replace(*moment).is_some(),
                To::Target(name) => target.replace(name.clone()).is_some(),
            };
            if twice {
                let text = "--to is one end and one target, and one of them is given twice";
                return Err(Failure::usage(text).hint("a moment ends in s, m or h, or in Z"));
            }
        }
        let name = target.ok_or_else(|| {
            Failure::usage("no target").hint("add --to FILE.mp4, --to FOLDER/ or --to -")
        })?;
        if self.msn.is_some() && end.is_some() {
            return Err(Failure::usage("--msn says where the range ends: leave --to TIME out"));
        }
        let path = PathBuf::from(&name);
        let format = match self.format {
            Some(FormatWord::Mp4) => Format::Mp4,
            Some(FormatWord::Fmp4) => Format::Fragmented,
            Some(FormatWord::Hls) => Format::Hls,
            None if name == "-" => Format::Fragmented,
            None if name.ends_with('/') || path.is_dir() => Format::Hls,
            None => Format::Mp4,
        };
        let target = match (name.as_str(), format) {
            ("-", Format::Fragmented) => Target::Stdout,
            ("-", _) => {
                let text = "standard output takes fragmented MP4 alone (--format fmp4)";
                return Err(Failure::usage(text));
            }
            _ => Target::Path(path),
        };
        Ok(Job {
            source: From::Path(self.log.clone()),
            session: self.session,
            ask: Ask { from: self.from, to: end, segments: self.msn },
            at_key_frame: self.at_key_frame,
            gaps: match self.gaps {
                GapsWord::Close => Gaps::Close,
                GapsWord::Keep => Gaps::Keep,
            },
            format,
            target,
            force: self.force,
        })
    }
}

impl Args {
    /// A channel of a cluster instead of a path, where that is what the words say.
    async fn found(&self, job: Job) -> Result<Job, Failure> {
        let member = self.cluster.member(None)?;
        let name = self.log.to_str().and_then(|name| name.parse::<Channel>().ok());
        let (Some(channel), true) = (name, member.peers.is_some()) else { return Ok(job) };
        let found = channel_logs::find(&member, channel.clone(), self.session, &job.ask).await?;
        Ok(Job { source: From::Cluster(channel, found), ..job })
    }
}

/// Why there is no summary.
enum Stopped {
    Failed(ExportError),
    Signal,
}

/// What is half written goes with the future that writes it. On standard output nothing is left
/// behind: there a signal ends the process as it does any, also while nobody reads the pipe.
async fn until_stopped(job: &Job) -> Result<Summary, Stopped> {
    let bar = bar();
    let mut tell = |p: Progress| {
        bar.set_length(p.total);
        bar.set_position(p.done);
    };
    let mut stop = match job.target {
        Target::Path(_) => Stop::install().ok(),
        Target::Stdout => None,
    };
    let stopped = async {
        match &mut stop {
            Some(stop) => stop.next().await,
            None => std::future::pending().await,
        }
    };
    let done = tokio::select! {
        done = export(job, &mut tell) => done.map_err(Stopped::Failed),
        () = stopped => Err(Stopped::Signal),
    };
    bar.finish_and_clear();
    done
}

/// Bytes of the log read, rate and time left; hidden when stderr is no terminal.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{wide_bar} {percent}% {binary_bytes_per_sec} {eta} left";
    let style = ProgressStyle::with_template(template);
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn failure(e: ExportError) -> Failure {
    let hint = match &e {
        ExportError::Log(LogError::NotFound { .. }) => {
            Some("give the directory of a log (…/g1), a session (…/s1) or a channel, or an extent")
        }
        _ => None,
    };
    let failure = match e.kind() {
        Kind::Invalid => Failure::usage(e),
        _ => Failure::failed(e),
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
