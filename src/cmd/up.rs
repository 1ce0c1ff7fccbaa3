//! castctl up: all roles in one process, with embedded defaults.

use crate::cmd::common::{Exit, Failure};

/// Run every role in one process: receive, record, serve
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs.
pub fn run(_args: Args) -> Result<Exit, Failure> {
    Ok(Exit::Done)
}
