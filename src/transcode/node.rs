//! A transcoder: does the jobs that the registry's table gives to this node, and leaves those that
//! it gives to others.

use crate::api::convert::end_to_api;
use crate::api::types::{NodeName, Table};
use crate::log::id::LogId;
use crate::media::timeline::mark::End;
use crate::rt::drain::Drain;
use crate::rt::task;
use crate::telemetry::ready::Latch;
use crate::transcode::begin::{Context, Which};
use crate::transcode::{run, told};
use std::collections::{BTreeMap, BTreeSet};
use tokio::task::JoinSet;

/// The jobs of the newest generation of each channel that are this node's and not over.
fn mine(table: &Table, node: &NodeName) -> Vec<Which> {
    let of = |(channel, live): (&crate::base::ids::Channel, &crate::api::types::LiveSession)| {
        let (generation, job, at) = live.jobs.last()?;
        let newest = live.generations.last()?.0;
        let which = Which {
            channel: channel.clone(),
            session: live.session,
            generation: *generation,
            job: *job,
        };
        (!live.over && at == node && newest == *generation).then_some(which)
    };
    table.sessions.iter().filter_map(of).collect()
}

/// Does jobs until the drain, and ends them then: each says where it ended, and another node goes
/// on. `node` is this one's name.
pub async fn serve(ctx: Context, node: NodeName, ready: Latch, drain: Drain) {
    let mut table = ctx.directory.table();
    let mut begun: BTreeSet<Which> = BTreeSet::new();
    let mut jobs: JoinSet<Which> = JoinSet::new();
    if ctx.alone {
        left_behind(&ctx).await;
    }
    ready.open();
    loop {
        let wanted = mine(&table.borrow_and_update(), &node);
        for which in wanted {
            if begun.insert(which.clone()) {
                jobs.spawn(one(ctx.clone(), which, drain.clone()));
            }
        }
        ctx.metrics.jobs.set(i64::try_from(jobs.len()).unwrap_or(i64::MAX));
        tokio::select! {
            changed = table.changed() => if changed.is_err() { break },
            Some(done) = jobs.join_next() => {
                // A job that has ended is not done again, unless the registry gives it anew.
                if let Ok(which) = done {
                    begun.retain(|w| w.channel != which.channel || *w >= which);
                }
            }
            () = drain.wait() => break,
        }
    }
    while jobs.join_next().await.is_some() {}
}

/// Jobs whose rungs this node left open when it died have ended where their logs do; the registry
/// gives them anew.
async fn left_behind(ctx: &Context) {
    let recovered = match ctx.logs.recover().await {
        Ok(recovered) => recovered,
        Err(e) => return tracing::error!("what was left behind can't be looked at: {e}"),
    };
    let mut ends: BTreeMap<Which, Vec<End>> = BTreeMap::new();
    for log in recovered {
        log.say();
        if let (Some(rung), Some(end)) = (&log.id.rung, log.end) {
            let LogId { channel, session, generation, .. } = log.id.clone();
            let which = Which { channel, session, generation, job: rung.job };
            ends.entry(which).or_default().push(end);
        }
    }
    for (which, ends) in ends {
        let Some(end) = run::joined(ends) else { continue };
        let of = (which.generation, which.job);
        if let Err(e) = ctx.client.job_end(&which.channel, of, end_to_api(&end)).await {
            tracing::debug!(channel = %which.channel, "its end is not asked for any more: {e}");
        }
    }
}

async fn one(ctx: Context, which: Which, stop: Drain) -> Which {
    let name = format!("job {} {}.{}", which.channel, which.generation, which.job);
    let of = which.clone();
    let done = task::spawn(name, async move {
        if let Err(e) = run::run(&ctx, &of, &stop).await {
            told::failed(&ctx, &of, &e, None).await;
        }
    });
    // A panic was told by the task.
    let _ = done.await;
    which
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::LiveSession;
    use crate::base::ids::{Generation, Job, Session};

    #[test]
    fn the_newest_job_of_the_newest_generation_counts() {
        let node = |name: &str| -> NodeName { name.into() };
        let live = |over, generations: &[u64], jobs: &[(u64, u32, &str)]| LiveSession {
            session: Session(3),
            over,
            open: true,
            generations: generations.iter().map(|g| (Generation(*g), node("o"))).collect(),
            jobs: jobs.iter().map(|(g, j, n)| (Generation(*g), Job(*j), node(n))).collect(),
            record: None,
        };
        let jobs = |live: LiveSession| {
            let sessions = BTreeMap::from([("main".parse().expect("a name"), live)]);
            let table = Table { sessions, ..Table::default() };
            let found = mine(&table, &node("t"));
            found.into_iter().map(|w| (w.generation.0, w.job.0)).collect::<Vec<_>>()
        };
        assert_eq!(jobs(live(false, &[1], &[(1, 1, "t")])), [(1, 1)]);
        assert_eq!(jobs(live(true, &[1], &[(1, 1, "t")])), []);
        assert_eq!(jobs(live(false, &[1], &[(1, 1, "t"), (1, 2, "u")])), []);
        assert_eq!(jobs(live(false, &[1], &[(1, 1, "u"), (1, 2, "t")])), [(1, 2)]);
        assert_eq!(jobs(live(false, &[1, 2], &[(1, 1, "t")])), []);
        assert_eq!(jobs(live(false, &[1, 2], &[(1, 1, "t"), (2, 1, "t")])), [(2, 1)]);
    }
}
