//! The schedule as the registry tells it, as what a plan is made of; and a plan as what the
//! registry is asked for. Pure.

use crate::api::jobs::{Schedule, Transcoder, Wanted};
use crate::api::types::NodeName;
use crate::base::ids::{Channel, Generation, Job};
use crate::control::plan::cost::correction::Correction;
use crate::control::plan::place::{self, Action, Inventory, Pause, Plan, PlanNode, Run};

/// One job that is to be given to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Of this channel.
    pub channel: Channel,
    /// Of this generation.
    pub generation: Generation,
    /// The number after the newest that the plan knew of.
    pub job: Job,
    /// To which.
    pub node: NodeName,
}

/// What a plan is made of. A job has its channel's name, and its number counts as generation.
pub fn inventory(schedule: &Schedule) -> Inventory {
    Inventory {
        nodes: schedule.nodes.iter().map(node).collect(),
        jobs: schedule.jobs.iter().map(job).collect(),
    }
}

fn node(n: &Transcoder) -> PlanNode {
    let Transcoder { name, capacity, draining, lease } = n.clone();
    PlanNode { name, capacity, draining, lease, correction: Correction::default() }
}

fn job(w: &Wanted) -> place::Job {
    let generation = u64::from(w.job.0);
    // One that waits has its room, and is not moved: nothing would be won.
    let ready = !w.waits;
    let run = w.node.clone().map(|node| Run { node, generation, ready });
    let pause = |f: &crate::api::jobs::Failed| Pause { node: f.node.clone(), until: f.until };
    place::Job {
        name: w.channel.as_str().into(),
        millicores: w.millicores,
        generation,
        runs: run.into_iter().collect(),
        failed: w.failed.iter().map(pause).collect(),
    }
}

/// What a plan wants given. (A writer that another one follows stops by itself: it reads of that in
/// the table.)
pub fn placements(schedule: &Schedule, plan: &Plan) -> Vec<Placement> {
    let placement = |d: &place::Decision| {
        let Action::Start { node, generation, .. } = &d.action else { return None };
        let of = schedule.jobs.iter().find(|w| w.channel.as_str() == &*d.job)?;
        let (channel, job) = (of.channel.clone(), Job(u32::try_from(*generation).ok()?));
        Some(Placement { channel, generation: of.generation, job, node: node.clone() })
    };
    plan.decisions.iter().filter_map(placement).collect()
}
