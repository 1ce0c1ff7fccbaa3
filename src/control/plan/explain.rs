//! Why a node was chosen for a job, or not: every node is looked at, the telling ones are named.

use crate::api::types::NodeName;
use crate::control::plan::place::{Job, Room};
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
        let why = match verdict {
            Verdict::Chosen => "chosen: the least is left there",
            Verdict::Roomier => "has room, but more would be left",
            Verdict::Runs => "runs a writer of this job",
            Verdict::Full => "too little room",
            Verdict::Draining => "takes nothing new: it is draining",
            Verdict::Lost => "is lost",
        };
        write!(f, "{node} ({free} free): {why}")
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
