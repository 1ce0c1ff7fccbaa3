//! castctl schedule, without a verb: gives jobs that nobody does to transcoders, round after round.

use crate::api::client;
use crate::api::jobs::{Schedule, Unmade};
use crate::api::peers::Peers;
use crate::api::types::Refusal;
use crate::base::time::Wall;
use crate::cmd::channel::{API, print};
use crate::cmd::common::{self, Exit, Failure};
use crate::cmd::roles::until_told;
use crate::cmd::schedule::{CANDIDATES, told};
use crate::cmd::{cluster, flags};
use crate::control::plan::place::{self, Plan, Policy};
use crate::control::plan::schedule::{Placement, inventory, placements};
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::signal::Stop;
use crate::rt::task;
use crate::telemetry::admin::Admin;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::ready::{Latch, Ready};
use serde::Serialize;
use std::time::Duration;

/// How often it looks: a node's lease has to run out before there is something to see.
const ROUND: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Reconcile {
    #[command(flatten)]
    node: flags::Node,
    #[command(flatten)]
    cluster: cluster::Flags,
    /// One round, then exit
    #[arg(long)]
    once: bool,
    /// Change nothing; with --once, exit code 1 says that a round would
    #[arg(long)]
    dry_run: bool,
    /// Print the nodes that were looked at for each decision, and why each was chosen or not
    #[arg(long)]
    explain: bool,
    /// Print JSON, a line each round
    #[arg(long)]
    json: bool,
}

/// What a round came to.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Round {
    /// By the registry's clock.
    now: Wall,
    /// Nothing was given: it was only asked what would be.
    dry_run: bool,
    #[serde(flatten)]
    plan: Plan,
    /// What was not taken: somebody else was first, or the world has changed meanwhile.
    refused: Vec<Refused>,
    /// Sessions that play their source alone: their constants were set without rungs.
    without: Vec<Unmade>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    job: String,
    why: String,
}

/// What rounds are made with.
struct Rounds {
    peers: Peers,
    policy: Policy,
    dry_run: bool,
    json: bool,
}

/// One round, or rounds until told to stop.
pub(super) fn run(args: Reconcile) -> Result<Exit, Failure> {
    let peers = args.cluster.peers(API)?;
    let candidates = if args.explain { CANDIDATES } else { 0 };
    let policy = Policy { candidates, ..Policy::default() };
    let (dry_run, json) = (args.dry_run, args.json);
    let rounds = Rounds { peers, policy, dry_run, json };
    if args.once {
        return common::block_on(rounds.once())?;
    }
    let manifest = args.node.begin()?;
    common::block_on(async {
        let stop = Stop::install().map_err(|e| Failure::failed(format!("signals: {e}")))?;
        let (ready, metrics, clock) = (Ready::new(), Metrics::new(), Clock::system());
        let admin = Admin::bind(manifest.server.admin.listen, metrics, ready.clone()).await;
        let admin = admin.map_err(Failure::failed)?;
        common::out(format!("admin: http://{}", admin.addr()));
        let drain = Drain::new();
        let serve = async {
            let after = Drain::new();
            let admin = task::spawn("admin", admin.serve(after.clone()));
            let latch = ready.latch("schedule");
            latch.close("the registry has not been asked yet");
            tokio::join!(rounds.many(&latch, &clock, &drain), async {
                drain.wait().await;
                ready.drain();
            });
            after.start();
            let _ = admin.await;
            Ok(())
        };
        until_told(stop, drain.clone(), serve).await
    })?
}

impl Rounds {
    /// Reads, plans, and gives what the plan says.
    async fn round(&self) -> Result<Round, Refusal> {
        let schedule: Schedule = client::schedule(&self.peers).await?;
        let now = schedule.now;
        let plan = place::plan(&inventory(&schedule), &self.policy, now);
        let mut refused = Vec::new();
        let wanted = if self.dry_run { Vec::new() } else { placements(&schedule, &plan) };
        for Placement { channel, generation, job, node } in wanted {
            let given = client::give(&self.peers, &channel, (generation, job), node).await;
            match given {
                Ok(()) => {}
                Err(e @ (Refusal::Unavailable(_) | Refusal::Denied(_))) => return Err(e),
                Err(e) => {
                    refused.push(Refused { job: channel.to_string(), why: e.to_string() });
                }
            }
        }
        Ok(Round { now, dry_run: self.dry_run, plan, refused, without: schedule.without })
    }

    async fn once(&self) -> Result<Exit, Failure> {
        let round = self.round().await.map_err(Failure::failed)?;
        print(self.json, &round, || text(&round));
        let would = self.dry_run && round.plan.actions().next().is_some();
        Ok(if would || !round.refused.is_empty() { Exit::No } else { Exit::Done })
    }

    /// Round after round until the drain; one that is like the one before is not told again.
    async fn many(&self, latch: &Latch, clock: &Clock, drain: &Drain) {
        let mut before: Option<Round> = None;
        while !drain.started() {
            match self.round().await {
                Ok(round) => {
                    latch.open();
                    let told = before.replace(round);
                    let round = before.as_ref().expect("just put there");
                    if round.has_news(told.as_ref()) {
                        print(self.json, round, || text(round));
                    }
                }
                Err(e) => {
                    latch.close(&e.to_string());
                    tracing::warn!("this round is left out: {e}");
                }
            }
            let next = clock.now().mono.plus(ROUND);
            tokio::select! {
                () = clock.sleep_until(next) => {}
                () = drain.wait() => {}
            }
        }
    }
}

impl Round {
    /// Does it say anything that the one before did not?
    fn has_news(&self, before: Option<&Round>) -> bool {
        let nothing = self.plan.decisions.is_empty() && self.without.is_empty();
        match before {
            None => !nothing,
            Some(b) => {
                (&b.plan, &b.refused, &b.without) != (&self.plan, &self.refused, &self.without)
            }
        }
    }
}

fn text(round: &Round) -> String {
    let mut lines: Vec<String> = round.plan.decisions.iter().map(told).collect();
    lines.extend(round.refused.iter().map(|r| format!("not taken: {}", r.why)));
    lines.extend(
        round
            .without
            .iter()
            .map(|w| format!("{} plays its source until its next session: {}", w.channel, w.why)),
    );
    if lines.is_empty() {
        return "nothing to do".into();
    }
    lines.join("\n")
}
