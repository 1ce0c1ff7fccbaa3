//! Keeps a node's lease: says every [`HEARTBEAT`] that it lives, and learns what there is for it to
//! do.

use crate::api::cluster::{HEARTBEAT, Heartbeat, Lease};
use crate::api::peers::Peers;
use crate::api::types::{NodeName, Refusal};
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;

/// The path of a node.
pub fn path(node: &str) -> String {
    format!("/v1/nodes/{node}")
}

/// Says that `node` lives until `end`, that it drains from `drain` on, and at the end that it has
/// left. `say` adds what there is to say at the time. `heard` takes the answers.
pub async fn keep(
    peers: Peers,
    node: NodeName,
    (first, say): (Heartbeat, impl Fn(&mut Heartbeat)),
    (clock, drain, end): (Clock, Drain, Drain),
    heard: impl Fn(Lease),
) {
    let mut told = false;
    loop {
        let mut beat = Heartbeat { draining: drain.started(), ..first.clone() };
        say(&mut beat);
        let lease: Result<Lease, Refusal> = peers.put(&path(&node), &beat).await;
        match lease {
            Ok(lease) => {
                if std::mem::take(&mut told) {
                    tracing::info!("the registry answers again");
                }
                if !beat.draining {
                    heard(lease);
                }
            }
            Err(e) if !std::mem::replace(&mut told, true) => {
                tracing::warn!("what runs goes on without the registry: {e}");
            }
            Err(e) => tracing::debug!("{e}"),
        }
        let next = clock.now().mono.plus(HEARTBEAT);
        tokio::select! {
            () = end.wait() => break,
            // A drain that begins is told at once.
            () = drain.wait(), if !beat.draining => {}
            () = clock.sleep_until(next) => {}
        }
    }
    let left: Result<(), Refusal> = peers.delete(&path(&node)).await;
    if let Err(e) = left {
        tracing::debug!("the registry was not told that the node leaves: {e}");
    }
}
