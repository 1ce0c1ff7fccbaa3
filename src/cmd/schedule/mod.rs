//! castctl schedule: what transcoding costs, and which node does it.

#[cfg(feature = "transcode")]
mod calibrate;
mod estimate;
mod simulate;

use crate::api::ladder::VideoCodec;
use crate::cmd::common::{Exit, Failure};
use crate::control::plan::cost::table::{FILE_MAX, Table};
use std::io::Read;
use std::path::Path;

/// Reckon what transcoding costs, and try the placement of jobs on nodes
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    #[cfg(feature = "transcode")]
    Calibrate(calibrate::Args),
    Estimate(estimate::Args),
    Simulate(simulate::Args),
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit, Failure> {
    match args.verb {
        #[cfg(feature = "transcode")]
        Verb::Calibrate(args) => calibrate::run(&args),
        Verb::Estimate(args) => estimate::run(args),
        Verb::Simulate(args) => simulate::run(args),
    }
}

/// The text of a file, at most one byte more than `most`: for who parses it to refuse.
fn text(path: &Path, most: usize) -> Result<String, Failure> {
    let cannot = |e: std::io::Error| Failure::usage(format!("cannot read {}: {e}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(most as u64 + 1).read_to_string(&mut text).map_err(cannot)?;
    Ok(text)
}

fn codec(text: &str) -> Result<VideoCodec, String> {
    VideoCodec::of(text).ok_or_else(|| format!("{text:?} is no codec: h264, hevc, av1"))
}

/// A table that is built in, else a file's.
pub fn machine(name: &str) -> Result<Table, Failure> {
    if let Some(table) = Table::built_in(name) {
        return Ok(table);
    }
    let known = Table::names().collect::<Vec<_>>().join(", ");
    let text = text(Path::new(name), FILE_MAX);
    let text = text.map_err(|f| f.hint(format!("tables that are built in: {known}")))?;
    Table::parse(name, &text).map_err(Failure::usage)
}
