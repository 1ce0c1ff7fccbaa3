//! The registry's loop: takes calls in order, answers each, publishes the table when it changed.

use crate::api::client::{Call, Calls};
use crate::control::registry::Registry;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use std::sync::Arc;
use tokio::sync::oneshot;

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
        let (changed, tell) = answer(&mut registry, call, &clock).await;
        if changed {
            // Before the caller goes on: whoever hears of its publish finds it in the table.
            publish_table(&mut registry, &calls).await;
        }
        tell();
    }
    registry.close().await;
}

async fn publish_table(registry: &mut Registry, calls: &Calls) {
    match registry.table().await {
        Ok(table) => drop(calls.table.send_replace(Arc::new(table))),
        Err(e) => tracing::error!("the table of live channels can't be read: {e}"),
    }
}

/// Sends an answer that is ready.
type Tell = Box<dyn FnOnce() + Send>;

/// A caller that no longer waits is not an error.
fn later<T: Send + 'static>(reply: oneshot::Sender<T>, answer: T) -> Tell {
    Box::new(move || drop(reply.send(answer)))
}

/// Works out the answer to one call; `true` when the table may have changed.
async fn answer(registry: &mut Registry, call: Call, clock: &Clock) -> (bool, Tell) {
    let wall = clock.now().wall;
    match call {
        Call::Admit(request, reply) => {
            let answer = registry.admit(&request);
            (false, later(reply, answer))
        }
        Call::Grant(channel, node, reply) => {
            let answer = registry.grant(&channel, &node, wall).await;
            (true, later(reply, answer))
        }
        Call::Open(channel, generation, record, reply) => {
            let answer = registry.open_session(&channel, generation, &record).await;
            (true, later(reply, answer))
        }
        Call::Report(channel, generation, report, reply) => {
            let answer = registry.report(&channel, generation, report, wall).await;
            (false, later(reply, answer))
        }
        Call::End(channel, generation, end, reply) => {
            let answer = registry.end(&channel, generation, &end).await;
            (true, later(reply, answer))
        }
        Call::Unfinished(node, reply) => {
            let answer = registry.unfinished(&node).await;
            (false, later(reply, answer))
        }
        Call::Find(channel, session, reply) => {
            let answer = registry.find(&channel, session).await;
            (false, later(reply, answer))
        }
    }
}
