//! castctl bench collect: what bringing recordings to a bucket takes, and what it costs viewers.

use crate::bench::collect::{Figures, Ingest, Plan, Took};
use crate::bench::error::BenchError;
use crate::bench::progress::Progress;
use crate::bench::recordings::Made;
use crate::bench::stats::Summary;
use crate::cmd::bench::{Common, print_json};
use crate::cmd::common::{self, Exit, Failure};
use crate::rt::clock::Clock;
use crate::store::open::{Access, open};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

const LONG: &str = "\
How fast castctl collect is beside rclone copy, and what it costs those who watch meanwhile

Recordings are made up, then brought to the bucket by both programs in turns, as many requests \
(castctl) and files (rclone) at a time, each round to a prefix of its own below --to. What is \
there is read back, compared with what lies on the disk, and taken away. Time and CPU are those of \
the programs; the store's are its own, so let it be no slower than what is measured. castctl \
verifies every record and has a SHA-256 of each object; rclone sends files whole as it does by \
itself, and then in parts of 8 MiB as castctl does. The \
environment says how the bucket is reached, as for castctl collect.

Then a stream is published and watched twice: while nobody collects, and while the same recordings \
are brought to the bucket again and again.";

/// How fast castctl collect is beside rclone copy, and what it costs those who watch meanwhile
#[derive(Debug, clap::Args)]
#[command(long_about = LONG)]
pub(super) struct Args {
    /// A bucket and a prefix in it, with nothing there: s3://BUCKET/PREFIX or file:///DIR
    #[arg(long, value_name = "URL")]
    to: String,
    /// MiB to bring
    #[arg(long, value_name = "N", default_value_t = 512,
        value_parser = clap::value_parser!(u64).range(1..=1 << 16))]
    mib: u64,
    /// Requests, or files, at a time
    #[arg(long, value_name = "N", default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// Rounds; figures are medians
    #[arg(long, value_name = "N", default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Without rclone
    #[arg(long)]
    alone: bool,
    /// Seconds of each measurement of latency; 0: none
    #[arg(long, value_name = "S", default_value_t = 20)]
    seconds: u64,
    #[command(flatten)]
    common: Common,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output {
    speed: Figures,
    ingest: Option<Ingest>,
}

/// Measures and prints.
pub(super) async fn run(args: Args) -> Result<Exit, Failure> {
    let plan = Plan {
        castctl: args.common.castctl()?,
        to: args.to.trim_end_matches('/').to_owned(),
        concurrency: usize::from(args.concurrency),
        rounds: args.rounds,
        part: args.common.parts,
    };
    let access = Access::from_env();
    let store = |url: &str| {
        let why = |e: crate::store::error::StoreError| e.to_string();
        open(url, &access).map_err(|e| BenchError::Server {
            name: "the bucket".to_owned(),
            why: why(e),
            said: String::new(),
        })
    };
    let clip = match args.seconds {
        0 => None,
        _ => Some(args.common.prepare()?.1),
    };
    let clock = Clock::system();
    let progress = Progress::new(u64::from(args.rounds) * 3 + args.seconds * 2);
    progress.say("making recordings".to_owned());
    let made = Made::make(&args.common.directory(), args.mib << 20).await?;
    let speed = plan.run(&made, &store, !args.alone, (&clock, &progress)).await?;
    let ingest = match clip {
        Some(clip) => {
            let how = (clip, args.seconds);
            Some(plan.ingest(&made, &store, how, (&clock, &progress)).await?)
        }
        None => None,
    };
    drop(progress);
    let output = Output { speed, ingest };
    match args.common.json {
        true => print_json(&output)?,
        false => common::out(text(&output)),
    }
    Ok(Exit::Done)
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn text(output: &Output) -> String {
    let speed = &output.speed;
    let mut out = table(&["brings it all", "seconds", "MiB/s", "CPU s"]);
    let mut row = |name: &str, took: &Took| {
        out.add_row([
            name.to_owned(),
            format!("{:.2}", took.seconds),
            format!("{:.0}", took.mib_per_second),
            format!("{:.2}", took.cpu_seconds),
        ]);
    };
    row("castctl collect", &speed.castctl);
    for peer in &speed.rclone {
        row(&format!("rclone copy, {}", peer.way), &peer.took);
    }
    let mut text = format!(
        "{out}\n{} extents, {} MiB, {} at a time; medians of {} rounds; {} objects read back, all \
         as on the disk",
        speed.extents,
        speed.bytes >> 20,
        speed.concurrency,
        speed.rounds,
        speed.verified
    );
    for peer in &speed.rclone {
        let (time, cpu) = (peer.castctl_seconds_over, peer.castctl_cpu_over);
        text += &format!("\ncastctl over rclone, {}: time {time:.2}, CPU {cpu:.2}", peer.way);
    }
    let Some(ingest) = &output.ingest else { return text };
    let mut out = table(&["newest frame of a part, ms", "median", "p95", "p99", "max", "parts"]);
    for (name, report) in [("alone", &ingest.without), ("while collecting", &ingest.with)] {
        let Some(Summary { count, median, p95, p99, max }) = report.newest_frame else { continue };
        let figures = [median, p95, p99, max].map(|ms| format!("{ms:.1}"));
        out.add_row([name.to_owned()].into_iter().chain(figures).chain([count.to_string()]));
    }
    text += &format!("\n\n{out}\n{:.0} MiB were collected meanwhile", ingest.collected_mib);
    if let Some(ratio) = ingest.p99_over_without {
        text += &format!("; p99 over that without: {ratio:.2}");
    }
    text
}
