//! Adopting the logs of dead writers: seal, tell, serve.
//!
//! An origin that is killed leaves a log without an end. Whoever writes the channel next has to
//! pass over the numbers that it may have used, unless somebody says where it ended: the agent on
//! its node can, a moment later, and edges read the whole of the log from the agent meanwhile. An
//! origin that comes back finds its logs sealed; both serve them.

use crate::api::client::Client;
use crate::api::cluster::{HELD_MAX, Held, LogName};
use crate::api::lease::path;
use crate::api::peers::Peers;
use crate::api::types::{End, NodeName, Refusal};
use crate::collect::metrics::Collect;
use crate::log::error::LogError;
use crate::log::id::LogId;
use crate::log::logs::Logs;
use crate::log::recover::{Adopted, Known, Recovered};
use crate::rt::clock::Clock;
use crate::telemetry::ready::Latch;
use std::time::Duration;

/// How often the disk is looked at: viewers of a dead origin's channel wait for it, and a look
/// costs a listing of each session's directory, and one for each log that is not known to be whole.
const LOOK: Duration = Duration::from_millis(500);

/// What adopts.
pub struct Adopter {
    /// The logs of this node.
    pub logs: Logs,
    /// The API servers.
    pub peers: Peers,
    /// This node's name.
    pub node: NodeName,
    /// When to look again.
    pub clock: Clock,
    /// An end that a log amounts to, in the registry's words.
    pub end: fn(&Recovered) -> Option<End>,
    /// What is counted.
    pub metrics: Collect,
}

/// Why logs can't be adopted now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Disk(#[from] LogError),
    #[error(transparent)]
    Registry(#[from] Refusal),
}

/// What was done so far.
#[derive(Default)]
struct Done {
    /// Logs that are whole.
    known: Known,
    /// Those of them that the registry does not know of.
    untold: Vec<LogId>,
    /// Ends that it has not been told.
    ends: Vec<(LogId, End)>,
    /// The disk was looked at.
    looked: bool,
    /// It was said that something does not work.
    complained: bool,
}

impl Adopter {
    /// Adopts for ever. Ready when the disk was looked at once; what could not be told is told
    /// until it can.
    pub async fn run(self, ready: Latch) {
        let mut done = Done::default();
        ready.close("the disk has not been looked at yet");
        loop {
            match self.round(&mut done).await {
                Ok(()) if std::mem::take(&mut done.complained) => {
                    tracing::info!("adopting works again");
                }
                Ok(()) => {}
                Err(e) if !std::mem::replace(&mut done.complained, true) => {
                    tracing::warn!("logs can't be adopted, trying until they can: {e}");
                }
                Err(e) => tracing::debug!("{e}"),
            }
            if done.looked {
                ready.open();
            }
            let next = self.clock.now().mono.plus(LOOK);
            self.clock.sleep_until(next).await;
        }
    }

    async fn round(&self, done: &mut Done) -> Result<(), Trouble> {
        let Adopted { whole, sealed } = self.logs.adopt(&done.known).await?;
        done.looked = true;
        self.metrics.held.inc_by(count(whole.len()));
        // The registry has where a generation's source is; rungs are their transcoder's to tell.
        let is_source = |id: &LogId| id.rung.is_none();
        done.untold.extend(whole.into_iter().filter(is_source));
        for log in sealed {
            log.say();
            self.metrics.sealed.inc();
            let end = (self.end)(&log).filter(|_| log.id.rung.is_none());
            done.ends.extend(end.map(|end| (log.id, end)));
        }
        let told = self.tell(done).await;
        self.metrics.untold.set(count(done.untold.len()));
        Ok(told?)
    }

    /// Ends before anything else: the next writer's numbers follow from them.
    async fn tell(&self, done: &mut Done) -> Result<(), Refusal> {
        let client = Client::remote(self.peers.clone());
        while let Some((id, end)) = done.ends.last() {
            match client.end(&id.channel, id.generation, end.clone()).await {
                Err(e @ (Refusal::Unavailable(_) | Refusal::Denied(_))) => return Err(e),
                // Another end was decided meanwhile, or the channel is gone: that one holds.
                Err(e) => tracing::debug!(log = %id, "its end is not asked for any more: {e}"),
                Ok(()) => tracing::info!(log = %id, "its exact end is told"),
            }
            done.ends.pop();
        }
        while !done.untold.is_empty() {
            let some = done.untold.len().min(HELD_MAX);
            let held = Held { logs: done.untold[..some].iter().map(name).collect() };
            self.peers.post::<()>(&format!("{}/logs", path(&self.node)), &held).await?;
            done.untold.drain(..some);
        }
        Ok(())
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn name(id: &LogId) -> LogName {
    let LogId { channel, session, generation, .. } = id.clone();
    LogName { channel, session, generation }
}
