//! castctl schedule simulate: a day of a fleet, placed by the planner that the API uses.

use crate::base::time::Wall;
use crate::cmd::channel::print;
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::schedule;
use crate::control::plan::place::{self, Decision, Plan, Policy};
use crate::control::plan::simulate::{Report, Simulation};
use crate::control::plan::trace::{self, Entry, FILE_MAX};
use crate::rt::clock::Clock;
use comfy_table::{Table, presets};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Live through a day of transcoder nodes and jobs, and judge where the jobs were placed
///
/// A recorded day is JSON lines, like {"atMs":0,"event":{"join":{"node":"n1","capacity":8000}}};
/// the events are join, lost, drain (node), start, load (job, millicores) and stop (job). Exit code
/// 1: the planner broke a rule.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The recorded day
    #[arg(required_unless_present = "generate", conflicts_with = "generate")]
    trace: Option<PathBuf>,
    /// Make a day up from this number
    #[arg(long, value_name = "SEED")]
    generate: Option<u64>,
    /// Nodes of a day that is made up
    #[arg(long, value_name = "N", default_value_t = 100, requires = "generate")]
    nodes: u32,
    /// Its jobs
    #[arg(long, value_name = "N", default_value_t = 1_000, requires = "generate")]
    jobs: u32,
    /// Print every decision, the nodes that were looked at, and why each was chosen or not
    #[arg(long)]
    explain: bool,
    /// Print JSON, with --explain a line each decision before it
    #[arg(long)]
    json: bool,
}

/// What is printed of a day.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    #[serde(flatten)]
    report: Report,
    /// Writers placed by second of planning.
    placements_per_second: f64,
    /// The longest plan, in milliseconds.
    slowest_plan_ms: f64,
}

/// A decision and its time, for JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    at_ms: i64,
    #[serde(flatten)]
    decision: &'a Decision,
}

/// Lives through it and prints.
pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let day: Vec<Entry> = match (&args.trace, args.generate) {
        (Some(path), _) => {
            let text = schedule::text(path, FILE_MAX)?;
            trace::parse(&path.display().to_string(), &text).map_err(Failure::usage)?
        }
        (None, seed) => trace::generate(seed.unwrap_or_default(), args.nodes, args.jobs),
    };
    // A clock belongs to a runtime.
    let outcome = common::block_on(async { live(&day, &args) })?;
    print(args.json, &outcome, || table(&outcome));
    outcome.report.told.iter().for_each(|v| common::say(format!("violation: {v}")));
    Ok(if outcome.report.violations == 0 { Exit::Done } else { Exit::No })
}

fn live(day: &[Entry], args: &Args) -> Outcome {
    let candidates = if args.explain { schedule::CANDIDATES } else { 0 };
    let policy = Policy { candidates, ..Policy::default() };
    let clock = Clock::system();
    let mut simulation = Simulation::new(day, policy);
    let (mut spent, mut slowest) = (Duration::ZERO, Duration::ZERO);
    while let Some(now) = simulation.advance() {
        let begun = clock.now().mono;
        let plan = place::plan(simulation.inventory(), &policy, now);
        let took = clock.now().mono.since(begun);
        (spent, slowest) = (spent + took, slowest.max(took));
        if args.explain {
            tell(&plan, now, args.json);
        }
        simulation.carry_out(&plan);
    }
    let report = simulation.report();
    let placements_per_second = report.placements as f64 / spent.as_secs_f64().max(1e-9);
    let slowest_plan_ms = slowest.as_secs_f64() * 1e3;
    Outcome { report, placements_per_second, slowest_plan_ms }
}

fn tell(plan: &Plan, now: Wall, json: bool) {
    for decision in &plan.decisions {
        let told = Told { at_ms: now.0 / 1_000, decision };
        print(json, &told, || format!("{:>6} s  {}", told.at_ms / 1_000, schedule::told(decision)));
    }
}

fn table(o: &Outcome) -> String {
    let mut out = Table::new();
    out.load_style(presets::UTF8_BORDERS_ONLY);
    let r = &o.report;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    for (name, value) in [
        ("jobs, at most at one time", format!("{}, {}", r.jobs, r.jobs_peak)),
        ("jobs refused", r.refused.to_string()),
        ("placements", r.placements.to_string()),
        ("of them moves off lost nodes", r.moved_lost.to_string()),
        ("... off draining nodes", r.moved_drain.to_string()),
        ("... off overloaded nodes", r.moved_overload.to_string()),
        ("utilisation, mean", percent(r.utilisation_mean)),
        ("utilisation, peak", percent(r.utilisation_peak)),
        ("violations", r.violations.to_string()),
        ("plans", r.rounds.to_string()),
        ("slowest plan", format!("{:.2} ms", o.slowest_plan_ms)),
        ("placements a second", format!("{:.0}", o.placements_per_second)),
    ] {
        out.add_row([name.to_owned(), value]);
    }
    out.to_string()
}
