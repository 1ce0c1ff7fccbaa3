//! castctl resolve: where a position of a channel is read.

use crate::api::cluster::{Resolved, Source};
use crate::api::types::Refusal;
use crate::base::ids::Channel;
use crate::base::time::Wall;
use crate::cmd::channel::{API, answer, print};
use crate::cmd::cluster;
use crate::cmd::common::{self, Exit, Failure};
use comfy_table::{Table, presets};

/// Say which node has a position of a channel, and why
///
/// Prints the internal address of the best source, or the URL of the log in a bucket where no node
/// that lives has it. Exit code 1: nobody has it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The channel, and a moment, like main@2026-11-20T17:23:06.125Z [default: what is on air]
    #[arg(value_name = "CHANNEL[@TIME]", value_parser = wanted)]
    wanted: Wanted,
    /// A media sequence number instead of a moment
    #[arg(long, value_name = "N")]
    msn: Option<u64>,
    #[command(flatten)]
    cluster: cluster::Flags,
    /// Print every log that was looked at, and why it is or is not one to read
    #[arg(long)]
    explain: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone)]
struct Wanted {
    channel: Channel,
    at: Option<Wall>,
}

fn wanted(text: &str) -> Result<Wanted, String> {
    let (channel, at) = match text.split_once('@') {
        Some((channel, at)) => (channel, Some(at.parse().map_err(|e| format!("{e}"))?)),
        None => (text, None),
    };
    Ok(Wanted { channel: channel.parse().map_err(|e| format!("{e}"))?, at })
}

/// Asks and prints.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let peers = args.cluster.peers(API)?;
    let Wanted { channel, at } = args.wanted;
    let position = match (args.msn, at) {
        (Some(_), Some(_)) => return Err(Failure::usage("a moment or --msn, not both")),
        (Some(msn), None) => format!("&msn={msn}"),
        (None, Some(at)) => format!("&time={}", at.0),
        (None, None) => String::new(),
    };
    let path = format!("/v1/resolve?channel={channel}{position}");
    let found: Result<Resolved, Refusal> = common::block_on(peers.get(&path))?;
    let found = match found {
        Ok(found) => found,
        Err(e) => return answer(Err(e)),
    };
    let best = found.sources.first().filter(|s| s.has);
    print(args.json, &found, || match (args.explain, best) {
        (true, _) => text(&found.sources),
        (false, Some(best)) => best.url.clone().unwrap_or_else(|| best.node.to_string()),
        (false, None) => String::new(),
    });
    match best {
        Some(_) => Ok(Exit::Done),
        None => {
            common::say(format!("nobody has that of channel {channel}"));
            Ok(Exit::No)
        }
    }
}

fn text(sources: &[Source]) -> String {
    let mut out = Table::new();
    out.load_style(presets::UTF8_BORDERS_ONLY);
    out.set_header(["generation", "node", "read at", "has it", "why"]);
    for s in sources {
        let (has, alive) = (if s.has { "yes" } else { "no" }, if s.alive { "" } else { " (gone)" });
        out.add_row([
            s.generation.to_string(),
            format!("{}{alive}", s.node),
            s.url.clone().unwrap_or_else(|| "-".into()),
            has.into(),
            s.why.clone(),
        ]);
    }
    out.to_string()
}
