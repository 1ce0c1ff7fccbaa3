//! castctl man: writes the manual pages of every command.

use crate::cmd::common::{Exit, Failure};
use std::path::PathBuf;

/// Write the manual page of every command into a directory
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory to write to; made when it is missing
    dir: PathBuf,
}

/// Writes the pages.
pub fn run(args: &Args, command: clap::Command) -> Result<Exit, Failure> {
    let cannot = |e| Failure::failed(format!("cannot write to {}: {e}", args.dir.display()));
    std::fs::create_dir_all(&args.dir).map_err(cannot)?;
    clap_mangen::generate_to(command, &args.dir).map_err(cannot)?;
    Ok(Exit::Done)
}
