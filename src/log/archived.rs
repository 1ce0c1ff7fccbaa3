//! Logs with a bucket behind them: what can't be read where it was written is read there, where it
//! was collected. A log that is all in the bucket is the same log there, byte for byte, so that who
//! reads notices nothing of it.
//!
//! Invariant: a log that may still be written is not read in the bucket by who waits for its end:
//! what is there of it would pass for all of it.

use crate::base::time::Mono;
use crate::log::batch::Batch;
use crate::log::bucket::Bucket;
use crate::log::error::LogError;
use crate::log::format::Position;
use crate::log::format::version::Wrote;
use crate::log::id::LogId;
use crate::log::index::Index;
use crate::log::remote::wire::Since;
use crate::log::shared::lock;
use crate::log::source::Source;
use crate::log::subscription::{From, Piece, Subscription};
use crate::rt::clock::Clock;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a node may take to begin to answer before the bucket is asked beside it: longer than a
/// cold disk takes, shorter than a viewer waits.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// How long a log that could not be read at its node is read in the bucket first: about a restart.
const AVOID: Duration = Duration::from_secs(15);

/// Logs of which that is remembered; then they are forgotten, and asked of their nodes again.
const AWAY: usize = 10_000;

/// See the module. Cheap to clone; clones share what they know.
#[derive(Debug, Clone)]
pub struct Archived {
    near: Arc<Source>,
    bucket: Bucket,
    clock: Clock,
    /// Since when a log is read in the bucket.
    away: Arc<Mutex<HashMap<LogId, Mono>>>,
}

impl Archived {
    /// `bucket` behind `near`.
    pub fn new(near: Source, bucket: Bucket, clock: Clock) -> Archived {
        Archived { near: Arc::new(near), bucket, clock, away: Arc::default() }
    }

    /// Where logs are read first.
    pub(super) fn near(&self) -> &Source {
        &self.near
    }

    /// What is behind it.
    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub(super) async fn index_since(&self, id: &LogId, since: Since) -> Result<Index, LogError> {
        let near = match Box::pin(self.near.index_since(id, since)).await {
            Err(e) => e,
            index => return index,
        };
        let mut index = self.whole(id).await.ok_or(near)?;
        index.forget(since);
        Ok(index)
    }

    /// All marks of a log, where all of it is in the bucket.
    pub(super) async fn whole(&self, id: &LogId) -> Option<Index> {
        match self.bucket.whole(id).await {
            Ok(index) => index.inspect(|_| self.note(id)),
            Err(e) => {
                tracing::warn!(log = %id, "the archive can't be read: {e}");
                None
            }
        }
    }

    pub(super) async fn subscribe(&self, id: &LogId, from: From) -> Result<Subscription, LogError> {
        let near = match Box::pin(self.near.subscribe(id, from)).await {
            Err(e) => e,
            log => return log,
        };
        match (self.whole(id).await, from) {
            (None, _) => Err(near),
            (Some(_), From::Start) => Ok(self.bucket.subscribe(id, Position::default())),
            (Some(_), From::Position(at)) => Ok(self.bucket.subscribe(id, at)),
        }
    }

    pub(super) async fn read(
        &self,
        id: &LogId,
        range: Range<Position>,
    ) -> Result<Vec<Batch>, LogError> {
        let near = Box::pin(self.near.read(id, range.clone()));
        self.either(id, near, || self.bucket.read(id, range.clone())).await
    }

    pub(super) async fn piece(&self, id: &LogId, from: Position) -> Result<Piece, LogError> {
        // What is read on at the end of a log that is not all there is not over.
        let far = || async move {
            match self.bucket.piece(id, from).await? {
                Piece::Sealed if self.whole(id).await.is_none() => {
                    Err(LogError::NotFound { path: format!("{id} behind {from}").into() })
                }
                piece => Ok(piece),
            }
        };
        self.either(id, Box::pin(self.near.piece(id, from)), far).await
    }

    pub(super) async fn wrote(&self, id: &LogId) -> Result<Wrote, LogError> {
        let near = Box::pin(self.near.wrote(id));
        self.either(id, near, || self.bucket.wrote(id)).await
    }

    /// What `near` answers, or `far` where that fails or takes too long; `far` first where `near`
    /// did so a moment ago. Where both fail, `near`'s error.
    async fn either<T, F: Future<Output = Result<T, LogError>>>(
        &self,
        id: &LogId,
        mut near: impl Future<Output = Result<T, LogError>> + Unpin,
        far: impl Fn() -> F,
    ) -> Result<T, LogError> {
        if !self.is_away(id) {
            let late = self.clock.now().mono.plus(PATIENCE);
            let answer = tokio::select! {
                answer = &mut near => Some(answer),
                () = self.clock.sleep_until(late) => None,
            };
            match answer {
                Some(Ok(found)) => return Ok(found),
                Some(Err(e)) => return far().await.inspect(|_| self.note(id)).map_err(|_| e),
                None => {}
            }
        }
        match far().await {
            Ok(found) => {
                self.note(id);
                Ok(found)
            }
            Err(e) => {
                tracing::debug!(log = %id, "not in the archive: {e}");
                lock(&self.away).remove(id);
                near.await
            }
        }
    }

    fn is_away(&self, id: &LogId) -> bool {
        let now = self.clock.now().mono;
        lock(&self.away).get(id).is_some_and(|since| now.since(*since) < AVOID)
    }

    /// It is read in the bucket now.
    fn note(&self, id: &LogId) {
        if self.is_away(id) {
            return;
        }
        tracing::info!(log = %id, "it is read in the archive");
        let mut away = lock(&self.away);
        if away.len() >= AWAY {
            away.clear();
        }
        away.insert(id.clone(), self.clock.now().mono);
    }
}
