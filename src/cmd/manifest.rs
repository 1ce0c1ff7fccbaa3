//! castctl manifest: checks the file that configures channels and servers.

use crate::cmd::common::{self, Exit, Failure};
use std::path::PathBuf;

/// Work with the manifest that configures channels and servers
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Check a manifest: every mistake with its file, line, column and field
    Check {
        /// The manifest
        #[arg(default_value = "castctl.yaml")]
        file: PathBuf,
    },
}

/// Runs the verb.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let Verb::Check { file } = args.verb;
    let manifest = common::manifest(Some(&file))?;
    common::say(format!("{}: {} channel(s), no mistake", file.display(), manifest.channels.len()));
    Ok(Exit::Done)
}
