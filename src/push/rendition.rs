//! One rendition: what comes next is put, in order, then the playlist that lists it.

use crate::base::ids::Msn;
use crate::base::time::Wall;
use crate::hls::name::{File, Path, Place};
use crate::hls::plain::{self, Piece, Plain};
use crate::media::timeline::mark::SessionRecord;
use crate::media::track::Kind;
use crate::push::bucket::Bucket;
use crate::push::error::PushError;
use crate::push::headers;
use crate::push::live::{Changes, Lost, Session};
use crate::store::files::Version;
use bytes::Bytes;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Segments that are put before the playlist is, where more than one is due: after an absence a
/// playlist moves on by so many, and a store has few playlists to take meanwhile.
pub const BATCH: u64 = 8;

/// How long a log may be unreadable before a segment of it is listed as a gap: a node that is
/// started again, or whose log another adopts, is back by then, and players that stand still for
/// longer are gone.
pub(super) const UNREADABLE: Duration = Duration::from_secs(30);

/// Pause before a log is read again.
const RETRY: Duration = Duration::from_secs(1);

/// The renditions whose playlists are in the bucket, and where those end.
pub(super) type Listed = BTreeMap<String, Wall>;

/// See the module.
pub(super) struct Pushed<S> {
    pub(super) session: S,
    pub(super) record: Arc<SessionRecord>,
    pub(super) bucket: Bucket,
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) listed: Arc<watch::Sender<Listed>>,
    /// Init sections that are in the bucket.
    pub(super) inits: HashSet<String>,
}

/// What is to be put next.
struct Due {
    pieces: Vec<Piece>,
    /// Nothing comes after it.
    last: bool,
}

impl<S: Session> Pushed<S> {
    /// Pushes until the session is over. With `known_only`, nothing where the bucket has nothing.
    pub(super) async fn run(mut self, known_only: bool) -> Result<(), PushError> {
        let key = Path::Media(self.place.clone()).to_string();
        let Some(mut changes) = self.session.changes(&self.place.rendition) else { return Ok(()) };
        let (mut list, mut version) = match self.bucket.current(&key).await? {
            Some((text, version)) => (self.read(&key, &text)?, Some(version)),
            None if known_only => return Ok(()),
            None => (Plain::new(&self.record), None),
        };
        if !(known_only && list.is_ended()) {
            self.fits(&key, &list, &mut changes).await?;
        }
        self.tell(&list);
        while !list.is_ended() {
            let due = self.due(list.next(), &mut changes).await?;
            for piece in due.pieces {
                list.push(self.put(piece).await?);
            }
            if list.next().is_none() {
                return Ok(());
            }
            if due.last {
                list.end();
            }
            (list, version) = self.list(&key, list, version).await?;
            self.tell(&list);
        }
        Ok(())
    }

    fn read(&self, key: &str, text: &str) -> Result<Plain, PushError> {
        Plain::read(&self.record, text).ok_or_else(|| self.bucket.foreign(key))
    }

    /// Makes sure that what is there is of this session.
    async fn fits(
        &self,
        key: &str,
        list: &Plain,
        changes: &mut S::Changes,
    ) -> Result<(), PushError> {
        while list.last().is_some() {
            match self.session.look(&self.place.rendition, |window| list.fits(window)) {
                Some(true) => break,
                Some(false) => return Err(self.bucket.foreign(key)),
                None => tokio::select! {
                    () = changes.next() => {}
                    () = self.bucket.drain.wait() => return Err(PushError::Stopped),
                },
            }
        }
        Ok(())
    }

    fn tell(&self, list: &Plain) {
        if let Some(last) = list.last() {
            let (name, end) = (self.place.rendition.clone(), last.end());
            self.listed.send_modify(|listed| {
                listed.insert(name, end);
            });
        }
    }

    /// Waits for what is to be put behind what is listed. At first that is what an edge lists now.
    async fn due(&self, next: Option<Msn>, changes: &mut S::Changes) -> Result<Due, PushError> {
        loop {
            let due = self.session.look(&self.place.rendition, |window| {
                let from = next.or_else(|| plain::head(window));
                let pieces = from.map(|from| plain::pieces(window, from, BATCH));
                let pieces = pieces.unwrap_or_default();
                let last = window.is_ended() && (pieces.len() as u64) < BATCH;
                Due { pieces, last }
            });
            if let Some(due) = due.filter(|due| due.last || !due.pieces.is_empty()) {
                return Ok(due);
            }
            tokio::select! {
                () = changes.next() => {}
                () = self.bucket.drain.wait() => return Err(PushError::Stopped),
            }
        }
    }

    /// Puts what a segment needs.
    async fn put(&mut self, mut piece: Piece) -> Result<Piece, PushError> {
        if let Some(hash) = piece.init.clone().filter(|hash| !self.inits.contains(hash)) {
            match self.media(&File::Init { hash: hash.clone() }).await? {
                true => {
                    self.inits.insert(hash);
                }
                false => {
                    piece = piece.lost();
                    piece.init = None;
                }
            }
        }
        if piece.has_media() {
            match self.media(&piece.file).await? {
                true => {
                    self.bucket.metrics.segments.inc();
                }
                false => piece = piece.lost(),
            }
        }
        Ok(piece)
    }

    /// Puts a file of media; `false`: it is not to be had.
    async fn media(&self, file: &File) -> Result<bool, PushError> {
        let Some(chunks) = self.bytes(file).await? else {
            self.bucket.metrics.lost.inc();
            return Ok(false);
        };
        let (place, render, file) = (self.place.clone(), self.record.render, file.clone());
        let key = Path::File { place, render, file }.to_string();
        self.bucket.publish(&key, &chunks, &headers::media(self.kind)).await?;
        Ok(true)
    }

    async fn bytes(&self, file: &File) -> Result<Option<Vec<Bytes>>, PushError> {
        let clock = &self.bucket.clock;
        let deadline = clock.now().mono.plus(UNREADABLE);
        loop {
            match self.session.bytes(&self.place.rendition, file).await {
                Ok(chunks) => return Ok(Some(chunks)),
                Err(Lost::NotNow) if clock.now().mono < deadline => {}
                Err(lost) => {
                    let place = &self.place;
                    tracing::error!(%place, %file, ?lost, "it is pushed as a gap: no media");
                    return Ok(None);
                }
            }
            tokio::select! {
                () = clock.sleep_until(clock.now().mono.plus(RETRY)) => {}
                () = self.bucket.drain.wait() => return Err(PushError::Stopped),
            }
        }
    }

    /// Puts a playlist. Where another writer has put one, what only this one has is added to that.
    async fn list(
        &self,
        key: &str,
        mut list: Plain,
        mut version: Option<Version>,
    ) -> Result<(Plain, Option<Version>), PushError> {
        loop {
            let ranges = self.session.look(&self.place.rendition, plain::date_ranges);
            let text = list.text(&ranges.unwrap_or_default());
            let headers = match list.is_ended() {
                true => headers::kept(headers::ENDED),
                false => headers::live(self.record.target_duration),
            };
            match self.bucket.replace(key, &text, version.as_ref(), &headers).await {
                Ok(put) => return Ok((list, Some(put))),
                Err(PushError::Taken(_)) => {}
                Err(e) => return Err(e),
            }
            // No version: it was taken away.
            version = None;
            if let Some((text, theirs)) = self.bucket.current(key).await? {
                let there = self.read(key, &text)?;
                version = Some(theirs);
                if !list.is_ahead_of(&there) {
                    return Ok((there, version));
                }
                list = list.onto(there);
            }
        }
    }
}
