//! Which node runs which job: pure, from what is known to what has to be done.
//!
//! Best fit: a job goes to the node that it leaves the least room on. Rooms that are large stay
//! large, for ladders that are; and nodes at the end of the list stay empty, so that a pool can be
//! taken away. (Spreading jobs evenly would lose fewer with one node, but a lost node's jobs move
//! within a lease, and the headroom is what evens out peaks.) Rooms are kept in order, so a job is
//! placed in the logarithm of the nodes.
//!
//! Invariant: what this plan adds never takes a node above its limit, counting all that runs there,
//! also what is about to be stopped.
//! Invariant: a job is refused only if no node that may take it has room for it, at the plan's end
//! too: a plan only ever fills rooms.
//! Invariant: a plan that was carried out is followed by one that starts nothing, unless stops made
//! room.

use crate::api::types::NodeName;
use crate::base::time::Wall;
use crate::control::plan::cost::correction::Correction;
use crate::control::plan::explain::{self, Candidate};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A job's name: its channel and what identifies its generation there.
pub type JobName = Arc<str>;

/// A transcoder node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanNode {
    /// Its name.
    pub name: NodeName,
    /// Millicores that it has.
    pub capacity: u32,
    /// Takes nothing new, and gives away what it has.
    pub draining: bool,
    /// It is lost from then on.
    pub lease: Wall,
    /// What jobs take here by what the machine's table says.
    pub correction: Correction,
}

/// One writer of a job on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Where.
    pub node: NodeName,
    /// Which writer: grows per job.
    pub generation: u64,
    /// Its rungs are there: the one before it may stop.
    pub ready: bool,
}

/// A job: one ladder of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Its name.
    pub name: JobName,
    /// What it takes by the table, corrected by what it was measured to take.
    pub millicores: u32,
    /// The newest generation that was ever given; 0: none was.
    pub generation: u64,
    /// Its writers, also those on nodes that are lost.
    pub runs: Vec<Run>,
    /// Nodes that could not do it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Pause>,
}

/// A node that could not do a job: it gets it again where no other has room, after a pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// Which.
    pub node: NodeName,
    /// Not before.
    pub until: Wall,
}

/// All that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// All nodes; names unique.
    pub nodes: Vec<PlanNode>,
    /// All jobs; names unique.
    pub jobs: Vec<Job>,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Share of each node's capacity that stays free, per mille.
    pub headroom: u32,
    /// Most candidates that a decision names; 0: none.
    pub candidates: usize,
}

/// Share of a node that stays free by default, per mille: pictures of a scene cut take half as much
/// again for some frames, and not all jobs cut at once.
pub const HEADROOM: u32 = 150;

impl Default for Policy {
    fn default() -> Policy {
        Policy { headroom: HEADROOM, candidates: 0 }
    }
}

/// Why a job is started or moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// Its node is lost.
    Lost,
    /// Its writer ended before its source did.
    Ended,
    /// It runs nowhere yet.
    New,
    /// Its node is draining.
    Drain,
    /// Its node has more than its limit.
    Overload,
}

/// What is done about a job. Every one is idempotent by its generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Start this writer; where another serves meanwhile, that goes on until this one is ready.
    Start {
        /// Where.
        node: NodeName,
        /// As which writer.
        generation: u64,
        /// Who serves meanwhile.
        from: Option<NodeName>,
    },
    /// Stop this writer: a newer one is ready.
    Stop {
        /// Where.
        node: NodeName,
        /// Which writer.
        generation: u64,
    },
    /// No node has room: the channel plays its source.
    Refuse,
    /// No other node has room: it stays where it is.
    Stay {
        /// Where.
        node: NodeName,
    },
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// About this job.
    pub job: JobName,
    /// That takes so much.
    pub millicores: u32,
    /// For this reason; `None`: a newer writer is ready.
    pub cause: Option<Cause>,
    /// What to do.
    pub action: Action,
    /// Nodes that were looked at, as many as the policy asks for: the chosen first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub candidates: Vec<Candidate>,
}

/// What has to be done, in the order in which it was decided.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// All decisions.
    pub decisions: Vec<Decision>,
}

impl Plan {
    /// Those that change something.
    pub fn actions(&self) -> impl Iterator<Item = &Decision> {
        let acts = |d: &&Decision| matches!(d.action, Action::Start { .. } | Action::Stop { .. });
        self.decisions.iter().filter(acts)
    }

    /// Jobs that there is no room for.
    pub fn refused(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|d| d.action == Action::Refuse)
    }
}

impl PlanNode {
    /// Millicores by the table that may run here.
    pub fn limit(&self, policy: &Policy) -> i64 {
        let open = u64::from(self.capacity) * u64::from(1_000 - policy.headroom.min(1_000));
        // Per mille of per mille: both cancel to millicores, rounded down.
        i64::try_from(open / u64::from(self.correction.per_mille())).unwrap_or(i64::MAX)
    }
}

/// A node while the plan is made.
pub(super) struct Room<'a> {
    pub(super) node: &'a PlanNode,
    pub(super) alive: bool,
    pub(super) limit: i64,
    /// What runs there and what was added.
    pub(super) used: i64,
    /// What of that is to be stopped once its successor is ready.
    leaving: i64,
}

impl Room<'_> {
    pub(super) fn free(&self) -> i64 {
        self.limit - self.used
    }

    pub(super) fn is_open(&self) -> bool {
        self.alive && !self.node.draining
    }
}

/// A plan being made.
struct Planner<'a> {
    policy: &'a Policy,
    now: Wall,
    rooms: Vec<Room<'a>>,
    by_name: HashMap<&'a str, usize>,
    /// Nodes that take jobs, by their free room.
    open: BTreeSet<(i64, usize)>,
    plan: Plan,
}

/// What has to be done about `inventory` at `now`.
pub fn plan(inventory: &Inventory, policy: &Policy, now: Wall) -> Plan {
    let mut planner = Planner::new(inventory, policy, now);
    let wants = planner.look(&inventory.jobs);
    for (cause, Reverse(_), job) in wants {
        planner.settle(cause, job);
    }
    planner.plan
}

type Want<'a> = (Cause, Reverse<u32>, &'a Job);

impl<'a> Planner<'a> {
    fn new(inventory: &'a Inventory, policy: &'a Policy, now: Wall) -> Planner<'a> {
        let room = |node: &'a PlanNode| Room {
            node,
            alive: now < node.lease,
            limit: node.limit(policy),
            used: 0,
            leaving: 0,
        };
        let mut rooms: Vec<Room<'a>> = inventory.nodes.iter().map(room).collect();
        // By name, so that the order in which nodes are known decides nothing.
        rooms.sort_by(|a, b| a.node.name.cmp(&b.node.name));
        let names = rooms.iter().enumerate();
        let by_name: HashMap<&str, usize> = names.map(|(i, r)| (&*r.node.name, i)).collect();
        for job in &inventory.jobs {
            for run in &job.runs {
                if let Some(i) = by_name.get(&*run.node) {
                    rooms[*i].used += i64::from(job.millicores);
                }
            }
        }
        let open = rooms.iter().enumerate().filter(|(_, r)| r.is_open());
        let open = open.map(|(i, r)| (r.free(), i)).collect();
        Planner { policy, now, rooms, by_name, open, plan: Plan::default() }
    }

    fn room(&self, node: &str) -> Option<&Room<'a>> {
        self.by_name.get(node).map(|i| &self.rooms[*i])
    }

    /// Stops what has a successor, and says which jobs want a node, most urgent first and large
    /// before small: who is large fits in few places.
    fn look(&mut self, jobs: &'a [Job]) -> Vec<Want<'a>> {
        let mut wants: BTreeMap<(Cause, Reverse<u32>, &'a str), &'a Job> = BTreeMap::new();
        let mut want = |cause: Cause, job: &'a Job| {
            wants.insert((cause, Reverse(job.millicores), &*job.name), job);
        };
        // Jobs whose newest writer is ready, by its node.
        let mut settled: BTreeMap<usize, Vec<&'a Job>> = BTreeMap::new();
        for job in jobs {
            let alive = |r: &&Run| self.room(&r.node).is_some_and(|room| room.alive);
            let runs: Vec<&Run> = job.runs.iter().filter(alive).collect();
            let Some(newest) = runs.iter().max_by_key(|r| r.generation) else {
                let cause = match (job.runs.is_empty(), job.generation) {
                    (false, _) => Cause::Lost,
                    (true, 0) => Cause::New,
                    (true, _) => Cause::Ended,
                };
                want(cause, job);
                continue;
            };
            let serving = runs.iter().filter(|r| r.ready).map(|r| r.generation).max();
            for run in runs.iter().filter(|r| r.generation != newest.generation) {
                let i = self.by_name[&*run.node];
                self.rooms[i].leaving += i64::from(job.millicores);
                if serving > Some(run.generation) {
                    self.stop(job, run);
                }
            }
            // One that is not ready is waited for, wherever it is.
            if !newest.ready {
                continue;
            }
            let i = self.by_name[&*newest.node];
            match self.rooms[i].node.draining {
                true => want(Cause::Drain, job),
                false => settled.entry(i).or_default().push(job),
            }
        }
        for (i, mut jobs) in settled {
            let room = &self.rooms[i];
            let mut over = room.used - room.leaving - room.limit;
            jobs.sort_by_key(|j| (j.millicores, j.name.clone()));
            // The smallest that is enough, else the largest and then the next.
            while over > 0 && !jobs.is_empty() {
                let enough = jobs.partition_point(|j| i64::from(j.millicores) < over);
                let job = jobs.remove(enough.min(jobs.len() - 1));
                over -= i64::from(job.millicores);
                want(Cause::Overload, job);
            }
        }
        wants.into_iter().map(|((cause, size, _), job)| (cause, size, job)).collect()
    }

    fn stop(&mut self, job: &Job, run: &Run) {
        let (node, generation) = (run.node.clone(), run.generation);
        self.plan.decisions.push(Decision {
            job: job.name.clone(),
            millicores: job.millicores,
            cause: None,
            action: Action::Stop { node, generation },
            candidates: Vec::new(),
        });
    }

    /// Finds a node for a job, or says that there is none.
    fn settle(&mut self, cause: Cause, job: &Job) {
        let need = i64::from(job.millicores);
        let alive = |r: &&Run| self.room(&r.node).is_some_and(|room| room.alive);
        let newest = job.runs.iter().filter(alive).max_by_key(|r| r.generation);
        let from = newest.map(|r| r.node.clone());
        // A node that runs one writer of a job takes no other: its log has one.
        let taken = |i: usize| job.runs.iter().any(|r| *r.node == *self.rooms[i].node.name);
        let pause = |i: usize| job.failed.iter().find(|p| p.node == self.rooms[i].node.name);
        let free = || self.open.range((need, 0)..).map(|(_, i)| *i).filter(|i| !taken(*i));
        let over = |i: &usize| pause(*i).is_none_or(|p| p.until <= self.now);
        // Who could not do it does it once more rather than nobody.
        let chosen = free().find(|i| pause(*i).is_none()).or_else(|| free().find(over));
        let candidates = match self.policy.candidates {
            0 => Vec::new(),
            most => explain::candidates(&self.rooms, job, chosen, most),
        };
        let action = match (chosen, &from) {
            (Some(i), _) => {
                let node = self.rooms[i].node.name.clone();
                Action::Start { node, generation: job.generation + 1, from }
            }
            (None, Some(node)) => Action::Stay { node: node.clone() },
            (None, None) => Action::Refuse,
        };
        if let Some(i) = chosen {
            let room = &mut self.rooms[i];
            self.open.remove(&(room.free(), i));
            room.used += need;
            self.open.insert((room.free(), i));
        }
        let (job, millicores, cause) = (job.name.clone(), job.millicores, Some(cause));
        self.plan.decisions.push(Decision { job, millicores, cause, action, candidates });
    }
}

#[cfg(test)]
#[path = "place_test.rs"]
mod tests;
