//! castctl bench export: how fast a recording becomes a movie.

use crate::bench::export;
use crate::bench::progress::Progress;
use crate::bench::report;
use crate::cmd::bench::{print_json, program};
use crate::cmd::common::{self, Exit, Failure};
use crate::rt::clock::Clock;
use std::path::PathBuf;

/// Speed of `castctl export` beside `ffmpeg -c copy` of the same content
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The recording: a log's or a session's directory
    log: PathBuf,
    /// Rounds; figures are medians
    #[arg(long, value_name = "N", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The castctl program to measure [default: this one]
    #[arg(long, value_name = "FILE")]
    castctl: Option<PathBuf>,
    /// Directory for the files written [default: the system's temporary one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
pub(super) async fn run(args: Args) -> Result<Exit, Failure> {
    let plan = export::Plan {
        log: args.log,
        castctl: program(&args.castctl)?,
        dir: args.dir.unwrap_or_else(std::env::temp_dir),
        rounds: args.rounds,
    };
    let progress = Progress::new(args.rounds.into());
    let figures = plan.run(&Clock::system(), &progress).await?;
    drop(progress);
    if args.json {
        print_json(&figures)?;
    } else {
        common::out(report::export_table(&figures));
    }
    Ok(Exit::Done)
}
