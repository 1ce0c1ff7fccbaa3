//! Commands. One file each: the words typed (`Args`), turned into a checked configuration, turned
//! into rooms that run. Rooms are composed here and nowhere else.
//!
//! Invariant: stdout is data, stderr is for people; only this room knows clap.

pub mod announce;
pub mod bench;
pub mod bench_playlist;
pub mod channel;
mod channel_logs;
pub mod cluster;
pub mod collect;
pub mod common;
pub mod completions;
pub mod cue;
pub mod data;
pub mod disk;
pub mod export;
pub mod figures;
pub mod flags;
pub mod ingest;
pub mod inspect;
pub mod man;
pub mod manifest;
pub mod push;
pub mod reads;
pub mod recorder;
pub mod repair;
pub mod replay;
pub mod resolve;
pub mod roles;
pub mod schedule;
pub mod secret;
pub mod serve_api;
pub mod serve_edge;
pub mod settings;
pub mod status;
pub mod transcode;
#[cfg(feature = "transcode")]
pub mod transcode_worker;
pub mod transcoder;
#[cfg(feature = "transcode")]
pub mod trials;
pub mod up;

use clap::{CommandFactory, Parser, Subcommand};
use common::{Exit, Failure};
use std::ffi::OsString;

const EXIT_CODES: &str = "Exit codes: 0 done; 1 done, but the answer is no (damage found); 2 usage \
    or configuration; 3 failed; 4 forced by a second signal.";

/// A live-streaming platform in one binary: RTMP in, an append-only log, low-latency HLS out.
#[derive(Debug, Parser)]
#[command(
    name = "castctl",
    version,
    arg_required_else_help = true,
    propagate_version = true,
    after_help = EXIT_CODES
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Args),
    Ingest(ingest::Args),
    ServeEdge(serve_edge::Args),
    Transcode(transcode::Args),
    Collect(collect::Args),
    Manifest(manifest::Args),
    Inspect(inspect::Args),
    Repair(repair::Args),
    Replay(replay::Args),
    Export(export::Args),
    Cue(cue::Args),
    ServeApi(serve_api::Args),
    Channel(channel::Args),
    Status(status::Args),
    Resolve(resolve::Args),
    Schedule(schedule::Args),
    Bench(bench::Args),
    Man(man::Args),
    Completions(completions::Args),
    #[cfg(feature = "transcode")]
    TranscodeWorker(transcode_worker::Args),
}

/// Parses the words typed, runs the command, prints what failed, answers the exit code.
pub fn main(words: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(e) => return common::usage(&e),
    };
    common::finish(run(cli.command))
}

fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Up(args) => up::run(args),
        Command::Ingest(args) => ingest::run(args),
        Command::ServeEdge(args) => serve_edge::run(args),
        Command::Transcode(args) => transcode::run(args),
        Command::Collect(args) => collect::run(args),
        Command::Manifest(args) => manifest::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Repair(args) => repair::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Export(args) => export::run(args),
        Command::Cue(args) => cue::run(args),
        Command::ServeApi(args) => serve_api::run(args),
        Command::Channel(args) => channel::run(args),
        Command::Status(args) => status::run(args),
        Command::Resolve(args) => resolve::run(args),
        Command::Schedule(args) => schedule::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Man(args) => man::run(&args, Cli::command()),
        Command::Completions(args) => completions::run(&args, Cli::command()),
        #[cfg(feature = "transcode")]
        Command::TranscodeWorker(args) => transcode_worker::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[cfg(feature = "transcode")]
    #[test]
    fn the_worker_is_started_by_its_name() {
        let command = Cli::command();
        let worker = command.find_subcommand(crate::transcode::worker::COMMAND);
        assert!(worker.expect("there is one").is_hide_set());
    }
}
