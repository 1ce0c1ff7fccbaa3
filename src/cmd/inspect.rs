//! castctl inspect: says what is in a stream and what is wrong with it.

use crate::base::units;
use crate::cmd::common::{self, Exit, Failure};
use crate::inspect::error::InspectError;
use crate::inspect::report::Report;
use crate::inspect::{flv, hls, log, rtmp, table};
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::signal::Stop;
use crate::rtmp::url::RtmpUrl;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// Say what is in a stream and what is wrong with it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A log's directory or extent, an FLV file, an rtmp:// URL, or an http(s):// URL of a playlist
    target: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// How long to look at a live stream; of a recording on a server, how much of it
    #[arg(long, default_value = "10s", value_parser = units::duration)]
    duration: Duration,
}

/// Looks, and prints.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let report = if args.target.contains("://") {
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
    Ok(if report.damaged { Exit::No } else { Exit::Done })
}

fn from_path(path: &Path) -> Result<Report, Failure> {
    let cannot = |e| Failure::failed(format!("cannot read {}: {e}", path.display()));
    if path.is_dir() {
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
        InspectError::Unknown { .. } => Failure::usage(e),
        e => Failure::failed(e),
    }
}
