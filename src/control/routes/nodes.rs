//! What the API server answers to requests about one node.

use super::{Routes, Said, body, json};
use crate::api::attested::{AttestAsk, Attested, PATH};
use crate::api::cluster::{HELD_MAX, Heartbeat, Held, Role};
use crate::api::peers::Peers;
use crate::api::types::{NodeName, Refusal};
use axum::http::Method;
use hyper::body::Incoming;

impl Routes {
    pub(super) async fn nodes(
        &self,
        method: &Method,
        rest: &[&str],
        sent: Incoming,
    ) -> Result<Said, Refusal> {
        let (registry, now) = (&self.0.registry, self.0.clock.now().wall);
        match (method, rest) {
            (&Method::GET, []) => json(registry.status(now).await?.nodes),
            (&Method::PUT, [node]) => {
                let beat: Heartbeat = body(sent).await?;
                let lease = registry.heartbeat(&(*node).into(), &beat, now).await?;
                if beat.draining && beat.role == Role::Transcoder {
                    self.0.unplaced.notify_one();
                }
                json(lease)
            }
            (&Method::DELETE, [node]) => json(registry.leave(&(*node).into()).await?),
            (&Method::POST, [node, "logs"]) => {
                let held: Held = body(sent).await?;
                if held.logs.len() > HELD_MAX {
                    return Err(Refusal::Invalid(format!("more than {HELD_MAX} logs at once")));
                }
                let held = registry.hold(&(*node).into(), &held.logs).await;
                self.0.changed.notify_one();
                json(held?)
            }
            (&Method::POST, [node, "attest"]) => {
                json(self.attest(&(*node).into(), &body(sent).await?).await?)
            }
            (&Method::GET, [node, "unfinished"]) => {
                json(registry.unfinished(&(*node).into(), now).await?)
            }
            _ => Err(Refusal::NotFound("no such request of a node".into())),
        }
    }

    /// Asks a node to look at its disk.
    async fn attest(&self, name: &NodeName, ask: &AttestAsk) -> Result<Attested, Refusal> {
        let status = self.0.registry.status(self.0.clock.now().wall).await?;
        let node = status.nodes.into_iter().find(|n| n.name == *name);
        let node = node.ok_or_else(|| Refusal::NotFound(format!("there is no node {name}")))?;
        let silent = || Refusal::Unavailable(format!("{name} never said where it is asked"));
        let url = node.said.url.ok_or_else(silent)?;
        Peers::new(&url, self.0.signer.clone())?.post(PATH, ask).await
    }
}
