//! Where logs are read from: this node's disk and memory, another node's, a bucket. Everything that
//! reads a log reads through this, so that a role does not know whether it shares a process with
//! the writer.

use crate::log::archived::Archived;
use crate::log::batch::Batch;
use crate::log::bucket::Bucket;
use crate::log::error::LogError;
use crate::log::format::Position;
use crate::log::format::version::Wrote;
use crate::log::id::LogId;
use crate::log::index::Index;
use crate::log::logs::Logs;
use crate::log::nodes::Nodes;
use crate::log::remote::Remote;
use crate::log::remote::wire::Since;
use crate::log::subscription::{From, Piece, Subscription};
use crate::log::through::Way;
use crate::rt::clock::Clock;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// How soon it is worth asking another node again for a log that it did not have yet: a writer
/// makes its log within milliseconds of its grant.
const AGAIN: Duration = Duration::from_millis(200);

/// A place that has logs. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Source {
    /// This node.
    Local(Logs),
    /// Another one.
    Remote(Remote),
    /// Many, each with logs of its own.
    Nodes(Nodes),
    /// Any of these, and a bucket behind it.
    Archived(Archived),
    /// Rungs' here, their sources' elsewhere.
    Apart(Logs, Remote),
}

/// Where one log is.
enum At<'a> {
    Local(&'a Logs),
    Remote(&'a Remote),
    Nodes(&'a Nodes),
    Archived(&'a Archived),
}

impl Source {
    fn at(&self, id: &LogId) -> At<'_> {
        match self {
            Source::Local(logs) => At::Local(logs),
            Source::Remote(remote) => At::Remote(remote),
            Source::Nodes(nodes) => At::Nodes(nodes),
            Source::Archived(both) => At::Archived(both),
            Source::Apart(rungs, sources) => match id.rung {
                Some(_) => At::Local(rungs),
                None => At::Remote(sources),
            },
        }
    }

    /// The same, with a bucket for what can't be read there.
    #[must_use]
    pub fn behind(self, bucket: Bucket, clock: Clock) -> Source {
        Source::Archived(Archived::new(self, bucket, clock))
    }

    /// The marks of all of a log, where all of it is in the bucket behind. Its node is not asked.
    pub async fn whole_in_bucket(&self, id: &LogId) -> Option<Index> {
        match self {
            Source::Archived(both) => both.whole(id).await,
            _ => None,
        }
    }

    /// The marks of what the bucket behind has of a log, for who goes on without the rest.
    ///
    /// # Errors
    /// The bucket can't be read, or what is there is damaged.
    pub async fn left_in_bucket(&self, id: &LogId) -> Result<Option<Index>, LogError> {
        match self {
            Source::Archived(both) => both.bucket().index(id).await,
            _ => Ok(None),
        }
    }

    /// As [`Source::index`], without what only a bucket behind has.
    pub async fn nearest_index(&self, id: &LogId) -> Result<Index, LogError> {
        match self {
            Source::Archived(both) => both.nearest(id, Since::Start).await,
            _ => self.index(id).await,
        }
    }

    /// The same with what the bucket behind has of the log's beginning, where its node has removed
    /// that.
    pub async fn with_head(&self, id: &LogId, index: Index) -> Index {
        match self {
            Source::Archived(both) => both.with_head(id, index, 0).await,
            _ => index,
        }
    }

    /// The marks of a log's sealed extents, and where to read on for the rest.
    pub async fn index(&self, id: &LogId) -> Result<Index, LogError> {
        self.index_since(id, Since::Start).await
    }

    /// As [`Source::index`], without the extents before.
    pub async fn index_since(&self, id: &LogId, since: Since) -> Result<Index, LogError> {
        match self.at(id) {
            At::Local(logs) => {
                let mut index = logs.index(id).await?;
                index.forget(since);
                Ok(index)
            }
            At::Remote(remote) => remote.index_since(id, since).await,
            At::Nodes(nodes) => nodes.of(id)?.index_since(id, since).await,
            At::Archived(both) => both.index_since(id, since).await,
        }
    }

    /// What was taken for damage of this log was a place in it as it was before a repair.
    pub fn forget_damage(&self, id: &LogId) {
        match self.at(id) {
            At::Local(logs) => logs.forget_damage(id),
            At::Archived(both) => both.near().forget_damage(id),
            At::Remote(_) | At::Nodes(_) => {}
        }
    }

    /// Reads a log from a position on, waiting for more while it is being written.
    ///
    /// # Errors
    /// There is no such log, it has not come to that position, or its node can't be asked.
    pub async fn subscribe(&self, id: &LogId, from: From) -> Result<Subscription, LogError> {
        match self.at(id) {
            At::Local(logs) => logs.subscribe(id, from),
            At::Remote(remote) => remote.subscribe(id, from).await,
            At::Nodes(nodes) => nodes.of(id)?.subscribe(id, from).await,
            At::Archived(both) => both.subscribe(id, from).await,
        }
    }

    /// The records from one position up to another, which must be records' ends; may cross extents.
    ///
    /// # Errors
    /// As [`Logs::read`], or the log's node can't be asked.
    pub async fn read(&self, id: &LogId, range: Range<Position>) -> Result<Vec<Batch>, LogError> {
        match self.at(id) {
            At::Local(logs) => logs.read(id, range).await,
            At::Remote(remote) => remote.read(id, range).await,
            At::Nodes(nodes) => {
                nodes
                    .ask(id, |at| {
                        let range = range.clone();
                        async move { at.read(id, range).await }
                    })
                    .await
            }
            At::Archived(both) => both.read(id, range).await,
        }
    }

    /// What there is at a position: about 1 MiB of records at most.
    ///
    /// # Errors
    /// As [`Logs::piece`], or the log's node can't be asked.
    pub async fn piece(&self, id: &LogId, from: Position) -> Result<Piece, LogError> {
        match self.at(id) {
            At::Local(logs) => logs.piece(id, from).await,
            At::Remote(remote) => remote.piece(id, from).await,
            At::Nodes(nodes) => nodes.ask(id, |at| async move { at.piece(id, from).await }).await,
            At::Archived(both) => both.piece(id, from).await,
        }
    }

    /// Which version wrote a log, and who may read it.
    pub async fn wrote(&self, id: &LogId) -> Result<Wrote, LogError> {
        match self.at(id) {
            At::Local(logs) => logs.wrote(id).await,
            At::Remote(remote) => remote.wrote(id).await,
            At::Nodes(nodes) => nodes.ask(id, |at| async move { at.wrote(id).await }).await,
            At::Archived(both) => both.wrote(id).await,
        }
    }

    /// The URL where a log is read now, where that is one of many nodes; `None` while none is known
    /// to have it.
    pub fn place(&self, id: &LogId) -> Option<String> {
        match self.at(id) {
            At::Local(_) | At::Remote(_) => None,
            At::Nodes(nodes) => nodes.place(id),
            At::Archived(both) => both.near().place(id),
        }
    }

    /// Has this node to be told where logs are, and not of this one?
    pub fn is_lost(&self, id: &LogId) -> bool {
        match self.at(id) {
            At::Nodes(nodes) => nodes.place(id).is_none(),
            At::Archived(both) => both.near().is_lost(id),
            At::Local(_) | At::Remote(_) => false,
        }
    }

    /// Tells when [`Source::place`] may be another, though the nodes that have logs are the same.
    pub fn moved(&self) -> Moved {
        Moved(match self {
            Source::Local(_) | Source::Remote(_) | Source::Apart(..) => None,
            Source::Nodes(nodes) => Some(nodes.moved()),
            Source::Archived(both) => return both.near().moved(),
        })
    }

    /// How many logs are followed, by the node that they are read from; none where they are here.
    pub fn followed(&self) -> BTreeMap<String, i64> {
        match self {
            Source::Local(_) | Source::Remote(_) | Source::Apart(..) => BTreeMap::new(),
            Source::Nodes(nodes) => nodes.followed(),
            Source::Archived(both) => both.near().followed(),
        }
    }

    /// Tells when it is worth looking again for a log that was not there.
    pub fn watch(&self) -> Watch {
        Watch(match self {
            Source::Local(logs) => Some(logs.created()),
            Source::Remote(_) | Source::Nodes(_) | Source::Apart(..) => None,
            Source::Archived(both) => return both.near().watch(),
        })
    }
}

/// See [`Source::moved`].
pub struct Moved(Option<tokio::sync::watch::Receiver<Way>>);

impl Moved {
    /// Resolves when places may be others. Cancel-safe.
    pub async fn changed(&mut self) {
        if let Some(way) = &mut self.0
            && way.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

/// See [`Source::watch`].
pub struct Watch(Option<tokio::sync::watch::Receiver<u64>>);

impl Watch {
    /// What has happened so far is no news.
    pub fn mark_unchanged(&mut self) {
        if let Some(created) = &mut self.0 {
            created.mark_unchanged();
        }
    }

    /// Resolves when it is worth looking again. Cancel-safe.
    pub async fn changed(&mut self) {
        match &mut self.0 {
            Some(created) => {
                if created.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            None => tokio::time::sleep(AGAIN).await,
        }
    }
}
