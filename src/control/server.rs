//! The registry's loop: takes calls in order, answers each, publishes the table when it changed.

use crate::api::client::{Call, Calls};
use crate::control::registry::Registry;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use std::sync::Arc;

/// Answers calls until the drain starts and every call made before it is answered.
pub async fn serve(mut registry: Registry, mut calls: Calls, clock: Clock, drain: Drain) {
    publish_table(&mut registry, &calls).await;
    loop {
        let call = tokio::select! {
            biased;
            call = calls.calls.recv() => call,
            () = drain.wait() => break,
        };
        let Some(call) = call else { break };
        if answer(&mut registry, call, &clock).await {
            publish_table(&mut registry, &calls).await;
        }
    }
    registry.close().await;
}

async fn publish_table(registry: &mut Registry, calls: &Calls) {
    match registry.table().await {
        Ok(table) => drop(calls.table.send_replace(Arc::new(table))),
        Err(e) => tracing::error!("the table of live channels can't be read: {e}"),
    }
}

/// Answers one call; `true` when the table may have changed. A caller that no longer waits is not
/// an error.
async fn answer(registry: &mut Registry, call: Call, clock: &Clock) -> bool {
    let wall = clock.now().wall;
    match call {
        Call::Admit(request, reply) => {
            let _ = reply.send(registry.admit(&request));
            false
        }
        Call::Grant(channel, node, reply) => {
            let _ = reply.send(registry.grant(&channel, &node, wall).await);
            true
        }
        Call::Open(channel, generation, record, reply) => {
            let _ = reply.send(registry.open_session(&channel, generation, &record).await);
            true
        }
        Call::Report(channel, generation, report, reply) => {
            let _ = reply.send(registry.report(&channel, generation, report, wall).await);
            false
        }
        Call::End(channel, generation, end, reply) => {
            let _ = reply.send(registry.end(&channel, generation, &end).await);
            true
        }
        Call::Unfinished(node, reply) => {
            let _ = reply.send(registry.unfinished(&node).await);
            false
        }
        Call::Find(channel, session, reply) => {
            let _ = reply.send(registry.find(&channel, session).await);
            false
        }
    }
}
