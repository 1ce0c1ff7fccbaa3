//! castctl status: what a cluster's nodes and channels are doing.

use crate::api::cluster::{Node, Role, Status};
use crate::api::types::Refusal;
use crate::base::time::{MICROS, Wall};
use crate::base::units::HumanBytes;
use crate::cmd::channel::{API, answer, print, word};
use crate::cmd::cluster;
use crate::cmd::common::{self, Exit, Failure};
use comfy_table::{Table, presets};
use std::io::IsTerminal;
use std::time::Duration;

/// How often `--watch` looks.
const LOOK: Duration = Duration::from_secs(1);

/// Show what a cluster's nodes and channels are doing
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cluster: cluster::Flags,
    /// Show it again every second, until a signal
    #[arg(long)]
    watch: bool,
    /// Print JSON; with --watch a line each time
    #[arg(long)]
    json: bool,
}

/// Asks and prints.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let peers = args.cluster.peers(API)?;
    let run = async {
        loop {
            let status: Result<Status, Refusal> = peers.get("/v1/status").await;
            match status {
                Ok(status) => {
                    if args.watch && !args.json && std::io::stdout().is_terminal() {
                        // Clears the screen (ECMA-48).
                        common::out("\x1b[2J\x1b[H");
                    }
                    print(args.json, &status, || text(&status));
                }
                Err(e) if args.watch => common::say(e),
                Err(e) => return Err(e),
            }
            if !args.watch {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    answer(common::block_on(run)?)
}

fn ago(now: Wall, then: Wall) -> String {
    format!("{:.1} s ago", now.since(then).max(0) as f64 / MICROS as f64)
}

fn state(n: &Node) -> &'static str {
    match (n.alive, n.said.draining) {
        (false, _) => "gone",
        (true, true) => "draining",
        (true, false) => "up",
    }
}

/// A node's figures in words, as `cmd::figures` has them; one that is not known here as it is.
fn figures(n: &Node) -> String {
    let word = |(name, value): (&String, &i64)| match (&**name, *value) {
        ("logs", n) => format!("writes {n}"),
        ("notDurableMs", ms) => format!("{ms} ms not durable"),
        ("uncollectedBytes", n) => format!("{} not collected", HumanBytes(n.unsigned_abs())),
        ("heldLogs", n) => format!("holds {n}"),
        ("sessions", n) => format!("{n} watched"),
        ("behindMs", ms) => format!("{:.1} s behind", ms as f64 / 1e3),
        (name, n) => format!("{name} {n}"),
    };
    n.said.figures.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// The nodes that a node reads from, by name where it is known, and how many logs.
fn reads_from(n: &Node, all: &[Node]) -> String {
    let word = |(url, logs): (&String, &i64)| {
        let node = all.iter().find(|n| n.said.url.as_ref() == Some(url));
        format!("{} ({logs})", node.map_or(&**url, |n| &n.name))
    };
    n.said.upstreams.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn text(s: &Status) -> String {
    let table = |header: &[&str]| {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        table.set_header(header.iter().copied());
        table
    };
    let mut nodes = table(&["node", "role", "state", "seen", "figures", "reads from"]);
    for n in &s.nodes {
        let role = match n.said.role {
            Role::Origin => "origin",
            Role::Edge => "edge",
            Role::Collector => "collector",
            Role::Transcoder => "transcoder",
        };
        // What it said last is no news of one that is gone.
        let of = match n.alive {
            true => [figures(n), reads_from(n, &s.nodes)],
            false => Default::default(),
        };
        nodes.add_row([&*n.name, role, state(n), &ago(s.now, n.seen), &of[0], &of[1]]);
    }
    let mut channels = table(&["channel", "now", "generation", "newest segment"]);
    for (name, session) in &s.channels {
        let generation = session.as_ref().map_or("-".into(), |x| x.generation.to_string());
        let reported = session.as_ref().and_then(|x| x.reported);
        let newest = reported.map_or("-".into(), |(msn, at)| format!("{msn}, {}", ago(s.now, at)));
        channels.add_row([name.to_string(), word(session.as_ref()), generation, newest]);
    }
    format!("{nodes}\n{channels}")
}
