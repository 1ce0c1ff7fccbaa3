//! castctl transcode-worker: does one transcoding job, as the process that a transcoder starts for
//! it. Hidden: its input and output are for that process alone.

use crate::cmd::common::{Exit, Failure};
use crate::transcode::job;

/// Do one transcoding job: settings and a source's records on stdin, the rungs' records on stdout
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct Args {}

/// Does the job to its end.
pub fn run(_: &Args) -> Result<Exit, Failure> {
    job::run(std::io::stdin(), std::io::stdout()).map_err(Failure::failed)?;
    Ok(Exit::Done)
}
