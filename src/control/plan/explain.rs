//! What was decided, in words, and why a node was chosen for a job, or not: every node is looked
//! at, the telling ones are named.

use crate::api::types::NodeName;
use crate::base::time::Wall;
use crate::control::plan::place::{Action, Cause, Decision, Inventory, Job, Policy, Room};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a node takes a job or does not. The order is that in which candidates are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It takes the job.
    Chosen,
    /// It has room, and more would be left of it than of the chosen one's.
    Roomier,
    /// It could not do this job before.
    Failed,
    /// It runs a writer of this job.
    Runs,
    /// It has too little room.
    Full,
    /// It takes nothing new.
    Draining,
    /// It is lost.
    Lost,
}

/// A node that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The node.
    pub node: NodeName,
    /// Its room before the decision, in millicores; below zero: it has more than its limit.
    pub free: i64,
    /// What became of it.
    pub verdict: Verdict,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Candidate { node, free, verdict } = self;
        write!(f, "{node} ({free} free): {verdict}")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Chosen => "chosen: the least is left there",
            Verdict::Roomier => "has room, but more would be left",
            Verdict::Failed => "could not do this job",
            Verdict::Runs => "runs a writer of this job",
            Verdict::Full => "too little room",
            Verdict::Draining => "takes nothing new: it is draining",
            Verdict::Lost => "is lost",
        })
    }
}

/// Why a node may not take a job besides all that runs there; `None`: it may. For who carries a
/// plan out: what it was made of may be so no longer.
pub fn refusal(
    inventory: &Inventory,
    policy: &Policy,
    job: &Job,
    node: &str,
    now: Wall,
) -> Option<Verdict> {
    let Some(of) = inventory.nodes.iter().find(|n| *n.name == *node && now < n.lease) else {
        return Some(Verdict::Lost);
    };
    let runs = |j: &&Job| j.runs.iter().any(|r| *r.node == *node);
    let used: i64 = inventory.jobs.iter().filter(runs).map(|j| i64::from(j.millicores)).sum();
    match () {
        () if of.draining => Some(Verdict::Draining),
        () if runs(&job) => Some(Verdict::Runs),
        () if used + i64::from(job.millicores) > of.limit(policy) => Some(Verdict::Full),
        () => None,
    }
}

/// At most `most` candidates: the chosen, then the tightest of each verdict.
pub(super) fn candidates(
    rooms: &[Room<'_>],
    job: &Job,
    chosen: Option<usize>,
    most: usize,
) -> Vec<Candidate> {
    let verdict = |i: usize, room: &Room<'_>| {
        if chosen == Some(i) {
            Verdict::Chosen
        } else if !room.alive {
            Verdict::Lost
        } else if room.node.draining {
            Verdict::Draining
        } else if job.runs.iter().any(|r| r.node == room.node.name) {
            Verdict::Runs
        } else if room.free() < i64::from(job.millicores) {
            Verdict::Full
        } else if job.failed.iter().any(|p| p.node == room.node.name) {
            Verdict::Failed
        } else {
            Verdict::Roomier
        }
    };
    let mut all: Vec<(Verdict, i64, usize)> =
        rooms.iter().enumerate().map(|(i, r)| (verdict(i, r), r.free(), i)).collect();
    // Of nodes with room the tightest first, of full ones the one that lacks least.
    let key = |(verdict, free, i): &(Verdict, i64, usize)| match verdict {
        Verdict::Full => (*verdict, -*free, *i),
        _ => (*verdict, *free, *i),
    };
    all.sort_by_key(key);
    all.truncate(most);
    let candidate = |(verdict, free, i): (Verdict, i64, usize)| Candidate {
        node: rooms[i].node.name.clone(),
        free,
        verdict,
    };
    all.into_iter().map(candidate).collect()
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.cause {
            Some(Cause::Lost) => ", whose node is lost",
            Some(Cause::Ended) => ", whose writer ended",
            Some(Cause::New) => ", which is new",
            Some(Cause::Drain) => ", whose node is draining",
            Some(Cause::Overload) => ", whose node has too much",
            None => ", whose newer writer is ready",
        };
        let (job, need) = (&self.job, self.millicores);
        match &self.action {
            Action::Start { node, generation, from: None } => {
                write!(f, "start {job} ({need}){why}, on {node} as {generation}")
            }
            Action::Start { node, generation, from: Some(from) } => {
                write!(f, "move {job} ({need}){why}, from {from} to {node} as {generation}")
            }
            Action::Stop { node, generation } => {
                write!(f, "stop {job} ({need}){why}, on {node} as {generation}")
            }
            Action::Refuse => write!(f, "refuse {job} ({need}){why}: no node has room"),
            Action::Stay { node } => {
                write!(f, "leave {job} ({need}){why}, on {node}: no other has room")
            }
        }
    }
}
