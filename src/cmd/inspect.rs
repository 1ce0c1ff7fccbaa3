//! castctl inspect: says what is in a stream and what is wrong with it.

use crate::base::time::Wall;
use crate::base::units;
use crate::cmd::common::{self, Exit, Failure};
use crate::inspect::error::InspectError;
use crate::inspect::report::Report;
use crate::inspect::rows::Row;
use crate::inspect::timeline::Choice;
use crate::inspect::{flv, hls, lines, log, rtmp, table, tail};
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::signal::Stop;
use crate::rtmp::url::RtmpUrl;
use crate::store::open::is_url;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Say what is in a stream and what is wrong with it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A log's directory or extent, or its URL in a bucket (s3://, gs://, az://, file://), an FLV
    /// file, an rtmp:// URL, or an http(s):// URL of a playlist
    target: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// How long to look at a live stream; of a recording on a server, how much of it
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    duration: Duration,
    /// Of logs: one line for each segment, gap, jump and hole, in the order of the log
    #[arg(long)]
    timeline: bool,
    /// Of a log that is being written: its timeline as it grows, until it is sealed or ctrl-C
    #[arg(long)]
    follow: bool,
    /// With a timeline: one line for each packet too
    #[arg(long)]
    packets: bool,
    /// With a timeline: from this wall-clock time on (2026-11-20T17:23:06Z)
    #[arg(long, value_name = "TIME")]
    from: Option<Wall>,
    /// With a timeline: up to this wall-clock time
    #[arg(long, value_name = "TIME")]
    to: Option<Wall>,
    /// With a timeline: these segments
    #[arg(long, value_name = "A..B", value_parser = numbers, conflicts_with_all = ["from", "to"])]
    msn: Option<(u64, u64)>,
}

fn numbers(text: &str) -> Result<(u64, u64), String> {
    let (a, b) = text.split_once("..").unwrap_or((text, text));
    match (a.parse(), b.parse()) {
        (Ok(a), Ok(b)) if a <= b => Ok((a, b)),
        _ => Err("segments are like 120..150 or 120".into()),
    }
}

/// Looks, and prints.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let rows = args.timeline || args.follow;
    let narrowed = args.packets || args.from.is_some() || args.to.is_some() || args.msn.is_some();
    if narrowed && !rows {
        return Err(Failure::usage("--packets, --from, --to and --msn belong to a timeline")
            .hint("add --timeline (or --follow)"));
    }
    let is_stream = args.target.contains("://") && !is_url(&args.target);
    if rows && is_stream {
        return Err(Failure::usage("a timeline is made of a log, not of a URL")
            .hint("give a log's directory (…/g1); of a URL, --duration says how long to look"));
    }
    if args.follow {
        return common::block_on(followed(&args))?;
    }
    if args.timeline {
        return timeline(&args);
    }
    let report = if is_stream {
        match common::block_on(from_url(&args))?? {
            Some(report) => report,
            None => return Ok(Exit::Forced),
        }
    } else {
        from_path(Path::new(&args.target))?
    };
    if args.json {
        common::out(serde_json::to_string_pretty(&report).map_err(Failure::failed)?);
    } else {
        common::out(table::render(&report));
    }
    if report.later_logs > 0 {
        let n = report.later_logs;
        let message = format!("{n} log(s) of a later version of the format were not looked at");
        return Err(Failure::failed(message).hint(NEWER));
    }
    Ok(if report.damaged { Exit::No } else { Exit::Done })
}

/// What to do about a log of a later version.
const NEWER: &str = "look with the castctl that wrote it, or a newer one";

impl Args {
    fn choice(&self) -> Choice {
        Choice { from: self.from, to: self.to, msn: self.msn, packets: self.packets }
    }

    /// A row as text, or as one line of JSON.
    fn show(&self, row: &Row) {
        if !self.json {
            return common::out(lines::line(row));
        }
        if let Ok(line) = serde_json::to_string(row) {
            common::out(line);
        }
    }
}

fn timeline(args: &Args) -> Result<Exit, Failure> {
    let mut of: Option<PathBuf> = None;
    let target = Path::new(&args.target);
    let damaged = tail::stored(target, args.choice(), &mut |dir, row| {
        if of.as_deref() != Some(dir) {
            if !args.json {
                common::out(format!("{}\n{}", dir.display(), lines::HEAD));
            } else {
                common::out(serde_json::json!({"event": "log", "directory": dir}));
            }
            of = Some(dir.to_owned());
        }
        args.show(row);
    });
    let damaged = damaged.map_err(failure)?;
    if damaged {
        common::say(format!(
            "damaged: castctl inspect {0} says where, castctl repair {0} mends it",
            args.target
        ));
    }
    Ok(if damaged { Exit::No } else { Exit::Done })
}

/// The first signal ends the look, the second at once.
async fn followed(args: &Args) -> Result<Exit, Failure> {
    let mut stop = Stop::install().map_err(Failure::failed)?;
    let (clock, drain) = (Clock::system(), Drain::new());
    if !args.json {
        common::out(lines::HEAD);
    }
    let target = Path::new(&args.target);
    let mut each = |row: &Row| args.show(row);
    let look = tail::follow(target, args.choice(), &clock, &drain, &mut each);
    tokio::pin!(look);
    tokio::select! {
        done = &mut look => return done.map(|()| Exit::Done).map_err(failure),
        () = stop.next() => drain.start(),
    }
    tokio::select! {
        done = look => done.map(|()| Exit::Done).map_err(failure),
        () = stop.next() => Ok(Exit::Forced),
    }
}

fn from_path(path: &Path) -> Result<Report, Failure> {
    let cannot = |e| Failure::failed(format!("cannot read {}: {e}", path.display()));
    if path.is_dir() || path.to_str().is_some_and(is_url) {
        return log::inspect(path).map_err(failure);
    }
    let mut head = [0; 3];
    let n = std::fs::File::open(path).and_then(|mut f| f.read(&mut head)).map_err(cannot)?;
    let extent = path.extension().is_some_and(|e| e == "extent");
    match &head[..n] {
        b"FLV" if !extent => flv::inspect(path).map_err(failure),
        _ if extent => log::inspect(path).map_err(failure),
        _ => Err(failure(InspectError::Unknown { path: path.to_owned() })),
    }
}

/// The first signal ends the look and prints what was seen so far; the second ends at once.
async fn from_url(args: &Args) -> Result<Option<Report>, Failure> {
    let mut stop = Stop::install().map_err(Failure::failed)?;
    let (clock, drain) = (Clock::system(), Drain::new());
    let look = async {
        let target = args.target.as_str();
        if target.starts_with("http://") || target.starts_with("https://") {
            return hls::inspect(target, args.duration, &clock, &drain).await.map_err(failure);
        }
        let url: RtmpUrl = target.parse().map_err(Failure::usage)?;
        rtmp::inspect(&url, args.duration, &clock, &drain).await.map_err(failure)
    };
    tokio::pin!(look);
    tokio::select! {
        done = &mut look => return done.map(Some),
        () = stop.next() => drain.start(),
    }
    tokio::select! {
        done = look => done.map(Some),
        () = stop.next() => Ok(None),
    }
}

fn failure(e: InspectError) -> Failure {
    match e {
        InspectError::Unknown { .. } | InspectError::Several { .. } => Failure::usage(e),
        InspectError::Version { .. } => Failure::failed(e).hint(NEWER),
        e => Failure::failed(e),
    }
}
