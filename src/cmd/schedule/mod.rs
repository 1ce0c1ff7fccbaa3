//! castctl schedule: what transcoding costs, and which node does it.

mod estimate;
mod simulate;

use crate::cmd::common::{Exit, Failure};
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
    Estimate(estimate::Args),
    Simulate(simulate::Args),
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit, Failure> {
    match args.verb {
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
