//! castctl schedule: what transcoding costs, and which node does it.

#[cfg(feature = "transcode")]
mod calibrate;
mod estimate;
mod reconcile;
mod simulate;

use crate::api::ladder::VideoCodec;
use crate::cmd::common::{Exit, Failure};
use crate::control::plan::cost::table::{FILE_MAX, Table};
use crate::control::plan::place::Decision;
use std::io::Read;
use std::path::Path;

/// Candidates that are told of each decision: who was chosen, and those next to it.
const CANDIDATES: usize = 8;

/// Give jobs that nobody does to transcoders; reckon what transcoding costs
///
/// Every second it reads from an API server which jobs there are and what transcoders have room
/// for, plans as API servers do when a session is opened, and has jobs given: those whose node is
/// lost, leaves, has too much, or could not do them. Each is given by its number, so that a plan of
/// what is no longer so changes nothing, and any number of these may run. API servers do the same
/// by themselves, unless told not to (--no-schedule). Runs until SIGTERM or SIGINT; a second signal
/// forces the end.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, mut_args(|arg| arg.global(false)))]
pub struct Args {
    #[command(flatten)]
    reconcile: reconcile::Reconcile,
    #[command(subcommand)]
    verb: Option<Verb>,
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
        None => reconcile::run(args.reconcile),
        #[cfg(feature = "transcode")]
        Some(Verb::Calibrate(args)) => calibrate::run(&args),
        Some(Verb::Estimate(args)) => estimate::run(args),
        Some(Verb::Simulate(args)) => simulate::run(args),
    }
}

/// A decision, and who was looked at for it.
fn told(decision: &Decision) -> String {
    let candidates = decision.candidates.iter().map(|c| format!("\n    {c}"));
    format!("{decision}{}", candidates.collect::<String>())
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
