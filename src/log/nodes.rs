//! The logs of many nodes: which node has a log is somebody else's to know, and may change.

use crate::log::error::LogError;
use crate::log::id::LogId;
use crate::log::remote::{Bearer, Options, Remote};
use crate::log::shared::lock;
use crate::rt::clock::Clock;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// Most nodes that are kept ready; a cluster has fewer, and one that is let go is made again.
const NODES_MAX: usize = 1_000;

/// Says where a log is read now: the URL of a node's internal listener. `None`: nobody is known to
/// have it.
pub type Holder = Arc<dyn Fn(&LogId) -> Option<String> + Send + Sync>;

/// The logs of many nodes. Cheap to clone.
#[derive(Clone)]
pub struct Nodes {
    holder: Holder,
    options: Options,
    clock: Clock,
    bearer: Bearer,
    known: Arc<Mutex<HashMap<String, Remote>>>,
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Nodes({})", lock(&self.known).len())
    }
}

impl Nodes {
    /// Logs that `holder` finds.
    pub fn new(holder: Holder, options: Options, clock: Clock, bearer: Bearer) -> Nodes {
        Nodes { holder, options, clock, bearer, known: Arc::default() }
    }

    /// Where a log is read now.
    pub fn holder(&self, id: &LogId) -> Option<String> {
        (self.holder)(id)
    }

    /// How many logs are followed, by node.
    pub(super) fn followed(&self) -> BTreeMap<String, i64> {
        let known = lock(&self.known);
        let each = known.iter().map(|(url, r)| (url.clone(), r.following() as i64));
        each.filter(|(_, n)| *n > 0).collect()
    }

    /// The node that has a log.
    ///
    /// # Errors
    /// None is known to have it.
    pub(super) fn of(&self, id: &LogId) -> Result<Remote, LogError> {
        let none = || LogError::NotFound { path: format!("{id} on no known node").into() };
        let url = self.holder(id).ok_or_else(none)?;
        let mut known = lock(&self.known);
        if let Some(remote) = known.get(&url) {
            return Ok(remote.clone());
        }
        if known.len() >= NODES_MAX {
            known.clear();
        }
        let (clock, bearer) = (self.clock.clone(), Arc::clone(&self.bearer));
        let remote = Remote::signed(&url, self.options, clock, bearer)?;
        known.insert(url, remote.clone());
        Ok(remote)
    }
}
