//! The logs of many nodes: which node has a log is somebody else's to know, and may change. They
//! may be read through one other reader, which has them from there (`through`).

use crate::log::error::LogError;
use crate::log::id::LogId;
use crate::log::remote::{Bearer, Options, Remote};
use crate::log::shared::lock;
use crate::log::through::{Through, Way};
use crate::rt::clock::Clock;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Most nodes that are kept ready; a cluster has fewer, and one that is let go is made again.
const NODES_MAX: usize = 1_000;

/// Says where a log is read now: the URL of a node's internal listener. `None`: nobody is known to
/// have it.
pub type Holder = Arc<dyn Fn(&LogId) -> Option<String> + Send + Sync>;

/// The logs of many nodes. Cheap to clone.
#[derive(Clone)]
pub struct Nodes {
    holder: Holder,
    through: Through,
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
    pub fn new(
        holder: Holder,
        through: Through,
        options: Options,
        clock: Clock,
        bearer: Bearer,
    ) -> Nodes {
        Nodes { holder, through, options, clock, bearer, known: Arc::default() }
    }

    /// Where a log is read now; `None` while nobody is known to have it.
    pub(super) fn place(&self, id: &LogId) -> Option<String> {
        let holder = (self.holder)(id)?;
        Some(self.through.url().unwrap_or(holder))
    }

    /// Tells when logs are read somewhere else, though their nodes have not changed.
    pub(super) fn moved(&self) -> watch::Receiver<Way> {
        self.through.way()
    }

    /// How many logs are followed, by node.
    pub(super) fn followed(&self) -> BTreeMap<String, i64> {
        let known = lock(&self.known);
        let each = known.iter().map(|(url, r)| (url.clone(), r.following() as i64));
        each.filter(|(_, n)| *n > 0).collect()
    }

    /// Asks the node that has a log. One that was to be asked through another, which did not
    /// answer, is asked itself.
    ///
    /// # Errors
    /// None is known to have it, or what `ask` says.
    pub(super) async fn ask<T, F: Future<Output = Result<T, LogError>>>(
        &self,
        id: &LogId,
        ask: impl Fn(Remote) -> F,
    ) -> Result<T, LogError> {
        let place = self.place(id);
        match ask(self.of(id)?).await {
            Err(_) if self.place(id) != place => ask(self.of(id)?).await,
            answer => answer,
        }
    }

    /// The node that has a log.
    ///
    /// # Errors
    /// None is known to have it.
    pub(super) fn of(&self, id: &LogId) -> Result<Remote, LogError> {
        let none = || LogError::NotFound { path: format!("{id} on no known node").into() };
        let url = self.place(id).ok_or_else(none)?;
        let mut known = lock(&self.known);
        if let Some(remote) = known.get(&url) {
            return Ok(remote.clone());
        }
        if known.len() >= NODES_MAX {
            known.clear();
        }
        let (clock, bearer) = (self.clock.clone(), Arc::clone(&self.bearer));
        let remote = match self.through.url().as_ref() == Some(&url) {
            true => self.through.remote(&url, self.options, clock, bearer)?,
            false => Remote::signed(&url, self.options, clock, bearer)?,
        };
        known.insert(url, remote.clone());
        Ok(remote)
    }
}
