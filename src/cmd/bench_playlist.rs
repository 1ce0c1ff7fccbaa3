//! castctl bench playlist: what a playlist version costs, by the hours that are listed.

use crate::bench::progress::Progress;
use crate::bench::versions::{self, Plan, Row};
use crate::cmd::bench::print_json;
use crate::cmd::common::{self, Exit, Failure};
use crate::rt::clock::Clock;

/// CPU of a new playlist version and memory of the past, live and by the hours that a DVR playlist
/// lists
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Hours of the DVR playlist, measured one after another
    #[arg(long, value_name = "H,..", value_delimiter = ',', default_value = "1,8,24",
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    hours: Vec<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let progress = Progress::new(args.hours.len() as u64);
    let mut hours = args.hours.clone();
    hours.sort_unstable();
    hours.dedup();
    let mut rows: Vec<Row> = Vec::new();
    // The longest first: what memory it takes is seen, later ones take what was given back.
    for (i, hours) in hours.into_iter().rev().enumerate() {
        let [live, mut dvr] = Plan { hours }.run(&Clock::system(), &progress)?;
        if i == 0 {
            rows.push(live);
        } else {
            dvr.bytes_per_hour = None;
        }
        rows.insert(1, dvr);
    }
    drop(progress);
    if args.json {
        print_json(&rows)?;
    } else {
        common::out(versions::table(&rows));
    }
    Ok(Exit::Done)
}
