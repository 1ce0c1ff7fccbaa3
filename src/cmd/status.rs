//! castctl status: what a cluster's nodes and channels are doing.

use crate::api::attested::{AttestAsk, Attested};
use crate::api::cluster::{Node, Role, Status};
use crate::api::jobs::JobState;
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
    /// Ask this node what is on its disk and in no bucket: it looks now. The exit code is 1 when
    /// something is, or may be written yet
    #[arg(long, value_name = "NODE", conflicts_with = "watch")]
    disk: Option<String>,
    /// Only what is in this bucket counts, like s3://bucket/archive [default: what is in any]
    #[arg(long, value_name = "URL", requires = "disk")]
    to: Option<String>,
}

/// Asks and prints.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let peers = args.cluster.peers(API)?;
    if let Some(node) = args.disk {
        let (path, ask) = (format!("/v1/nodes/{node}/attest"), AttestAsk { to: args.to });
        let asked = peers.post::<Attested>(&path, &ask);
        let found = match common::block_on(asked)? {
            Ok(found) => found,
            Err(e) => return answer(Err(e)),
        };
        print(args.json, &found, || on_disk(&node, &found));
        return Ok(if found.is_clear() { Exit::Done } else { Exit::No });
    }
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

/// What is on a node's disk alone.
fn on_disk(node: &str, found: &Attested) -> String {
    let Attested { logs, open, uncollected, bytes, .. } = found;
    let bytes = HumanBytes(*bytes);
    let place = found.to.as_ref().map_or("in no bucket".to_owned(), |to| format!("not in {to}"));
    let mut text = format!(
        "{node}: {logs} logs, {open} of them open; {uncollected} extents ({bytes}) are {place}"
    );
    if found.is_clear() {
        return text;
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(["log", "extents", "bytes", "now"]);
    for left in &found.left {
        let now = if left.open { "open" } else { "sealed" };
        let bytes = HumanBytes(left.bytes).to_string();
        table.add_row([&*left.log, &left.extents.to_string(), &bytes, now]);
    }
    text.push_str(&format!("\n{table}"));
    text
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
            true if n.said.role == Role::Transcoder => [used(n, &s.jobs), reads_from(n, &s.nodes)],
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
    if s.jobs.is_empty() {
        return format!("{nodes}\n{channels}");
    }
    let mut jobs = table(&["rungs of", "rungs", "node", "millicores", "now"]);
    for j in &s.jobs {
        let node = j.node.as_deref().unwrap_or("-");
        let [name, rungs] = [j.channel.to_string(), j.rungs.join(", ")];
        jobs.add_row([&*name, &rungs, node, &j.millicores.to_string(), &making(j, s.now)]);
    }
    format!("{nodes}\n{channels}\n{jobs}")
}

/// What a transcoder has and what its jobs take of it.
fn used(n: &Node, jobs: &[JobState]) -> String {
    let its = || jobs.iter().filter(|j| j.node.as_ref() == Some(&n.name));
    let sum: u64 = its().map(|j| u64::from(j.millicores)).sum();
    let (count, capacity) = (its().count(), n.said.capacity);
    let jobs = if count == 1 { "job" } else { "jobs" };
    format!("{count} {jobs}, {sum} of {capacity} millicores")
}

/// How a session's rungs are doing.
fn making(j: &JobState, now: Wall) -> String {
    let mut words = Vec::new();
    match (&j.without, &j.node, &j.reported) {
        (Some(why), ..) => return format!("{why}; it plays its source"),
        _ if j.waits => return "waits for its encoder".into(),
        (_, None, _) => words.push("nobody makes them".to_owned()),
        (_, Some(_), None) => words.push("begins".to_owned()),
        (_, Some(_), Some((msn, at))) => words.push(format!("{msn}, {}", ago(now, *at))),
    }
    words.extend(j.failed.as_ref().map(|why| format!("the last could not: {why}")));
    if j.node.is_none() {
        return words.join("; ");
    }
    // The newest segment is written while the source's is.
    words.extend(j.lag.filter(|n| *n > 1).map(|n| format!("{n} segments behind")));
    if let Some(late) = j.load.map(|l| l.late).filter(|n| *n > 0) {
        words.push(format!("cannot keep up: {late} pictures left out"));
    }
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::jobs::{Load, Without};
    use crate::base::ids::{Generation, Job, Session};

    #[test]
    fn what_becomes_of_a_ladder_is_said_in_words() {
        let job = || JobState {
            channel: "main".parse().expect("a name"),
            session: Session(1),
            rungs: vec!["720p".into()],
            without: None,
            millicores: 700,
            waits: false,
            job: Some((Generation(1), Job(2))),
            node: Some("t".into()),
            reported: Some((1_004, Wall(1_000_000))),
            lag: Some(1),
            load: Some(Load { millicores: Some(650), behind_micros: 40_000, late: 0 }),
            failed: None,
        };
        let says = |j: JobState| making(&j, Wall(1_500_000));
        assert_eq!(says(job()), "1004, 0.5 s ago");
        assert_eq!(says(JobState { lag: Some(3), ..job() }), "1004, 0.5 s ago; 3 segments behind");
        let load = Some(Load { late: 12, ..Load::default() });
        let want = "1004, 0.5 s ago; cannot keep up: 12 pictures left out";
        assert_eq!(says(JobState { load, ..job() }), want);
        assert_eq!(says(JobState { reported: None, lag: None, ..job() }), "begins");
        assert_eq!(says(JobState { waits: true, ..job() }), "waits for its encoder");
        let failed = Some("the disk is full".to_owned());
        let want = "nobody makes them; the last could not: the disk is full";
        assert_eq!(says(JobState { node: None, failed, ..job() }), want);
        let without = Some(Without::NoRoom(700));
        let want = "no room: its rungs take 700 millicores; it plays its source";
        assert_eq!(says(JobState { without, node: None, job: None, ..job() }), want);
    }
}
