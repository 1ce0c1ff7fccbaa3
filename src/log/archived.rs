//! Logs with a bucket behind them: what can't be read where it was written is read there, where it
//! was collected. A log that is all in the bucket is the same log there, byte for byte, so that who
//! reads notices nothing of it. A log of which a node has removed the oldest extents (`trim`) is
//! read on from the bucket into the node, as one log: marks, records and ranges.
//!
//! Invariant: a log that may still be written is not read in the bucket by who waits for its end:
//! what is there of it would pass for all of it.

use crate::base::error::Kind;
use crate::base::time::Mono;
use crate::log::batch::Batch;
use crate::log::bucket::Bucket;
use crate::log::error::LogError;
use crate::log::format::version::Wrote;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::id::LogId;
use crate::log::index::Index;
use crate::log::remote::wire::Since;
use crate::log::seam::Seam;
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
        // By a number or a moment, what is removed could not be told from what was not asked for.
        let (asked, from) = match since {
            Since::Extent(n) => (since, n),
            Since::Start | Since::Msn(_) | Since::Time(_) => (Since::Start, 0),
        };
        let index = self.nearest(id, asked).await?;
        let mut index = self.with_head(id, index, from).await;
        index.forget(since);
        Ok(index)
    }

    /// The marks that a log's node has, or where that gives none, all of a log that is whole in the
    /// bucket.
    pub(super) async fn nearest(&self, id: &LogId, since: Since) -> Result<Index, LogError> {
        let near = match Box::pin(self.near.index_since(id, since)).await {
            Err(e) => e,
            index => return index,
        };
        let mut index = self.whole(id).await.ok_or(near)?;
        index.forget(since);
        Ok(index)
    }

    /// The same with the bucket's before them, from extent `from` on, where they begin later. A
    /// bucket that can't be read, or does not reach so far, keeps nobody from what is on air: then
    /// they stay as they are, and it is said.
    pub(super) async fn with_head(&self, id: &LogId, mut index: Index, from: u32) -> Index {
        let first = index.footers.first().map_or(index.tail.extent, |f| f.extent);
        if first <= from {
            return index;
        }
        match self.bucket.part(id, from..first).await {
            Ok(Some(mut footers)) => {
                footers.extend(index.footers.iter().map(|f| Arc::new(f.own())));
                index.footers = footers;
            }
            Ok(None) => tracing::warn!(log = %id, first,
                "it begins with this extent at its node, and the archive lacks some before it"),
            Err(e) => tracing::warn!(log = %id, first,
                "it begins with this extent at its node, and the archive can't be read: {e}"),
        }
        index
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
            Ok(log) => {
                let (begins, seam) = (log.position(), Seam::new(&self.near, self.bucket.files(id)));
                let mut log = log.over(seam);
                let headless = from == From::Start && begins.extent > 0;
                if headless && self.bucket.reaches(id, begins.extent).await.unwrap_or(false) {
                    log.rewind();
                }
                return Ok(log);
            }
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
        match self.either(id, near, || self.bucket.read(id, range.clone())).await {
            Err(LogError::Removed { first, .. }) => self.across(id, range, first).await,
            read => read,
        }
    }

    /// A range of which the node has removed what is before `first`.
    async fn across(
        &self,
        id: &LogId,
        Range { start, end }: Range<Position>,
        mut first: u32,
    ) -> Result<Vec<Batch>, LogError> {
        let (mut at, mut batches) = (start, Vec::new());
        while at < end {
            let seam = Position { extent: first, ..HEADER_POSITION };
            if at < seam {
                let far = self.bucket.read(id, at..end.min(seam)).await;
                batches.extend(far.map_err(|e| nowhere(e, &self.bucket, id, first))?);
                at = end.min(seam);
                continue;
            }
            match Box::pin(self.near.read(id, at..end)).await {
                // More of it was removed meanwhile.
                Err(LogError::Removed { first: now, .. }) if now > first => first = now,
                Err(e) => return Err(e),
                Ok(rest) => {
                    batches.extend(rest);
                    at = end;
                }
            }
        }
        Ok(batches)
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
        match self.either(id, Box::pin(self.near.piece(id, from)), far).await {
            Err(LogError::Removed { first, path }) => match self.bucket.piece(id, from).await {
                // Not over: the bucket lacks it.
                Ok(Piece::Sealed) => Err(LogError::Removed { first, path }),
                piece => piece.map_err(|e| nowhere(e, &self.bucket, id, first)),
            },
            piece => piece,
        }
    }

    pub(super) async fn wrote(&self, id: &LogId) -> Result<Wrote, LogError> {
        let near = Box::pin(self.near.wrote(id));
        self.either(id, near, || self.bucket.wrote(id)).await
    }

    /// What `near` answers, or `far` where that fails or takes too long; `far` first where `near`
    /// did so a moment ago. Where both fail, and where `near` has removed it, `near`'s error.
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
                Some(Err(e @ LogError::Removed { .. })) => return Err(e),
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

/// What the node has removed and the bucket does not have is nowhere.
fn nowhere(e: LogError, bucket: &Bucket, id: &LogId, first: u32) -> LogError {
    match e.kind() {
        Kind::Invalid | Kind::NotFound => {
            tracing::warn!(log = %id, ?bucket, "what its node has removed is not there: {e}");
            LogError::Removed { path: id.to_string().into(), first }
        }
        _ => e,
    }
}
