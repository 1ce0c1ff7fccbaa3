//! The registry's loop where it serves its own process: takes calls in order, answers each,
//! publishes the table when it changed, and looks for jobs that nobody does.

use crate::api::client::{Call, Calls};
use crate::control::ROUND;
use crate::control::registry::Registry;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use std::sync::Arc;

/// Answers calls until the end starts and every call made before it is answered. From the drain on
/// no job is given: this process does those that there are, and is about to stop.
pub async fn serve(
    registry: Registry,
    mut calls: Calls,
    (clock, drain, end): (Clock, Drain, Drain),
) {
    publish_table(&registry, &calls, &clock).await;
    let mut next = clock.now().mono;
    loop {
        let call = tokio::select! {
            biased;
            call = calls.calls.recv() => call,
            () = end.wait() => break,
            () = clock.sleep_until(next) => {
                if !drain.started() {
                    round(&registry, &calls, &clock).await;
                }
                next = clock.now().mono.plus(ROUND);
                continue;
            }
        };
        let Some(call) = call else { break };
        if matches!(call, Call::JobEnd(..) | Call::JobFailed(..)) {
            // Somebody else may go on at once.
            next = clock.now().mono;
        }
        answer(&registry, call, &clock, &calls).await;
    }
    registry.close().await;
}

async fn publish_table(registry: &Registry, calls: &Calls, clock: &Clock) {
    match registry.table(clock.now().wall).await {
        Ok(table) => drop(calls.table.send_replace(Arc::new(table))),
        Err(e) => tracing::error!("the table of live channels can't be read: {e}"),
    }
}

async fn round(registry: &Registry, calls: &Calls, clock: &Clock) {
    match registry.reconcile(clock.now().wall, true).await {
        Ok(0) => {}
        Ok(_) => publish_table(registry, calls, clock).await,
        Err(e) => tracing::warn!("jobs that nobody does can't be given to anybody: {e}"),
    }
}

/// Answers one call. The table is out before the answer: whoever was told of a grant finds it
/// there. A caller that no longer waits is not an error.
async fn answer(registry: &Registry, call: Call, clock: &Clock, calls: &Calls) {
    let wall = clock.now().wall;
    match call {
        Call::Admit(request, reply) => {
            let _ = reply.send(registry.admit(&request, wall).await);
        }
        Call::Grant(channel, want, reply) => {
            let granted = registry.grant(&channel, &want, wall).await;
            publish_table(registry, calls, clock).await;
            let _ = reply.send(granted);
        }
        Call::Open(channel, generation, record, reply) => {
            let opened = registry.open_session(&channel, generation, &record, wall).await;
            publish_table(registry, calls, clock).await;
            let _ = reply.send(opened);
        }
        Call::Report(channel, generation, report, reply) => {
            let _ = reply.send(registry.report(&channel, generation, report, wall).await);
        }
        Call::End(channel, generation, end, reply) => {
            let ended = registry.end(&channel, generation, &end).await;
            publish_table(registry, calls, clock).await;
            let _ = reply.send(ended);
        }
        Call::Job(channel, (generation, job), reply) => {
            let _ = reply.send(registry.job(&channel, generation, job, wall).await);
        }
        Call::JobReport(channel, of, report, reply) => {
            let _ = reply.send(registry.job_report(&channel, of, &report, wall).await);
        }
        Call::JobEnd(channel, of, end, reply) => {
            let _ = reply.send(registry.job_end(&channel, of, &end).await);
        }
        Call::JobFailed(channel, of, failure, reply) => {
            let _ = reply.send(registry.job_failed(&channel, of, &failure, wall).await);
        }
        Call::Unfinished(node, reply) => {
            let _ = reply.send(registry.unfinished(&node, wall).await);
        }
        Call::Find(channel, session, reply) => {
            let _ = reply.send(registry.find(&channel, session).await);
        }
        Call::Sessions(channel, reply) => {
            let _ = reply.send(registry.sessions(&channel).await);
        }
        Call::Mirror(channel, live, reply) => {
            let mirrored = registry.mirror(&channel, &live, wall).await;
            publish_table(registry, calls, clock).await;
            let _ = reply.send(mirrored);
        }
    }
}
