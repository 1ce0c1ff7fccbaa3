//! castctl bench viewers: what viewers at the live edge cost.

use crate::bench::progress::Progress;
use crate::bench::report;
use crate::bench::viewers;
use crate::cmd::bench::{Common, print_json};
use crate::cmd::common::{self, Exit, Failure};
use crate::rt::clock::Clock;

const LONG: &str = "\
What viewers at the live edge cost, and how late the last of them gets a part

Each viewer follows every rendition of one channel as a low-latency player does: blocking reloads, \
delta updates, every part, on one HTTP/1.1 connection a rendition. The server is pinned to one \
core and the load to another; when the load needs more than 80 % of its own, the measurement stops \
there and says so. Then one segment and one low-latency playlist are asked for as fast as they are \
answered, by castctl and by nginx with the same bytes as files.";

/// What viewers at the live edge cost, and how late the last of them gets a part
#[derive(Debug, clap::Args)]
#[command(long_about = LONG)]
pub(super) struct Viewers {
    /// Numbers of viewers, measured one after another
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "50,200",
        value_parser = clap::value_parser!(u16).range(1..=5000))]
    viewers: Vec<u16>,
    /// Seconds of each measurement
    #[arg(long, value_name = "S", default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Rounds of answers beside nginx, which needs wrk and nginx; 0 leaves them out
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: u16,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn viewers(args: Viewers) -> Result<Exit, Failure> {
    let (dir, clip) = args.common.prepare()?;
    let plan = viewers::Plan {
        viewers: args.viewers.into_iter().map(usize::from).collect(),
        seconds: args.seconds,
        part: args.common.parts,
        rounds: usize::from(args.rounds),
        castctl: args.common.castctl()?,
        dir,
    };
    let progress = Progress::new(plan.seconds());
    let figures = plan.run(&clip, &Clock::system(), &progress).await?;
    drop(progress);
    if args.common.json {
        print_json(&figures)?;
    } else {
        common::out(report::viewers_table(&figures));
    }
    Ok(Exit::Done)
}
