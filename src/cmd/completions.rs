//! castctl completions: prints a shell's completion script.

use crate::cmd::common::{Exit, Failure};
use clap_complete::Shell;
use std::io::Write;

/// Print a shell's completion script
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args, mut command: clap::Command) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "castctl", &mut script);
    // A closed pipe is success.
    let _ = std::io::stdout().lock().write_all(&script);
    Ok(Exit::Done)
}
