//! Reading a log from any position on: from memory while the reader keeps up, from the disk (or the
//! node that has it) when it does not, and on across extents until the log is sealed. A reader has
//! its own cursor and costs the writer nothing.

use crate::log::batch::Batch;
use crate::log::error::LogError;
use crate::log::format::extent::HEADER_LEN;
use crate::log::format::record::FrameError;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::reader::ExtentReader;
use crate::log::seam::Seam;
use crate::log::shared::{Phase, lock};
use crate::log::site::{Files, Site};
use crate::log::trim::absent;

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At the oldest record there is.
    Start,
    /// At a record's start (or an extent's end).
    Position(Position),
}

/// What there is at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Records, of one extent.
    Records(Batch),
    /// The extent ends there: on from here.
    Moved(Position),
    /// Nothing yet.
    Nothing,
    /// Nothing, ever.
    Sealed,
}

/// A reader's cursor in one log.
pub struct Subscription {
    site: Site,
    cursor: Position,
    reader: Option<ExtentReader>,
    seam: Option<Seam>,
}

/// What a look behind the memory gave.
pub(super) enum Found {
    Records(Batch),
    /// The extent is read to its end; on from here.
    Moved(Position),
    /// There is no more.
    End,
}

impl Subscription {
    pub(super) fn new(site: Site, cursor: Position) -> Subscription {
        let offset = cursor.offset.max(HEADER_LEN as u64);
        Subscription { site, cursor: Position { offset, ..cursor }, reader: None, seam: None }
    }

    /// Reads in a bucket what is removed where it reads else.
    pub(super) fn over(self, seam: Seam) -> Subscription {
        Subscription { seam: Some(seam), ..self }
    }

    /// Begins at the log's first record, though it is only in the bucket.
    pub(super) fn rewind(&mut self) {
        if let Some(seam) = &mut self.seam {
            seam.begins(self.cursor.extent);
            self.cursor = HEADER_POSITION;
        }
    }

    pub(super) fn into_site(self) -> Site {
        self.site
    }

    /// Where the next batch will start.
    pub fn position(&self) -> Position {
        self.cursor
    }

    /// Has everything been read that is known to be visible now? Always true of a log on this node
    /// whose writer is another process; never of another node's before that has been heard.
    pub fn caught_up(&self) -> bool {
        self.site.state().is_none_or(|s| s.heard && self.cursor >= s.visible.max(s.reach))
    }

    /// Has the node been heard that the log is read from?
    pub fn is_heard(&self) -> bool {
        self.site.state().is_none_or(|s| s.heard)
    }

    /// How far the log is known to go: what is visible here, or the sender has said of its own.
    pub fn reach(&self) -> Option<Position> {
        self.site.state().map(|s| s.visible.max(s.reach))
    }

    /// The next records, waiting for them while the log is being written; `None` when the log is
    /// sealed and read to its end. A log whose writer is another process is read as far as it is
    /// written now.
    ///
    /// Cancel-safe: a call that is dropped has not moved the cursor.
    pub async fn next(&mut self) -> Result<Option<Batch>, LogError> {
        loop {
            match (self.step().await, &mut self.seam) {
                (Err(LogError::Removed { first, .. }), Some(seam))
                    if self.cursor.extent < first =>
                {
                    (self.site, self.reader) = (seam.moves(first).await?, None);
                }
                (step, _) => return step,
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Batch>, LogError> {
        loop {
            match self.ready()? {
                Ready::Records(visible) => match self.take(visible).await? {
                    Found::Records(batch) => return Ok(Some(batch)),
                    Found::Moved(_) => {}
                    Found::End => return Ok(None),
                },
                Ready::Sealed => return Ok(None),
                Ready::Wait => {
                    if let Some(changes) = self.site.changes() {
                        // The sender lives in what this subscription holds.
                        let _ = changes.changed().await;
                    }
                }
            }
        }
    }

    /// What is there now: one batch at most, of the extent that the cursor is in.
    pub(super) async fn now(&mut self) -> Result<Piece, LogError> {
        let from = self.cursor;
        match self.ready()? {
            Ready::Records(visible) => Ok(match self.take(visible).await? {
                Found::Records(batch) if batch.first() != from => Piece::Moved(batch.first()),
                Found::Records(batch) => Piece::Records(batch),
                Found::Moved(to) => Piece::Moved(to),
                Found::End => Piece::Sealed,
            }),
            Ready::Sealed => Ok(Piece::Sealed),
            Ready::Wait => Ok(Piece::Nothing),
        }
    }

    /// The bucket, where what is at the cursor is read there.
    fn far(&self) -> Option<Files> {
        self.seam.as_ref().and_then(|seam| seam.far(self.cursor))
    }

    fn ready(&mut self) -> Result<Ready, LogError> {
        if self.far().is_some() {
            return Ok(Ready::Records(None));
        }
        let Some(changes) = self.site.changes() else { return Ok(Ready::Records(None)) };
        let state = *changes.borrow_and_update();
        if self.cursor < state.visible {
            return Ok(Ready::Records(Some(state.visible)));
        }
        match state.phase {
            Phase::Open => Ok(Ready::Wait),
            Phase::Sealed => Ok(Ready::Sealed),
            Phase::Gone => Err(self.site.gone()),
        }
    }

    /// The records up to `limit`, which must be a record's end or an extent's start; at most `max`
    /// bytes of them.
    pub(super) async fn up_to(
        &mut self,
        limit: Position,
        max: u64,
    ) -> Result<Vec<Batch>, LogError> {
        let (from, mut batches, mut bytes) = (self.cursor, Vec::new(), 0);
        while self.cursor < limit {
            match self.take(Some(limit)).await? {
                Found::Records(batch) => {
                    let batch = self.clip(batch, limit)?;
                    bytes += batch.bytes().len() as u64;
                    batches.push(batch);
                }
                Found::Moved(_) => {}
                Found::End => return Err(self.no_such(limit)),
            }
            if bytes > max {
                return Err(LogError::RangeTooLong { from, to: limit, max });
            }
        }
        let met = batches.last().is_none_or(|b| b.end() == limit);
        if met || limit.offset == HEADER_LEN as u64 {
            Ok(batches)
        } else {
            Err(self.no_such(limit))
        }
    }

    /// Drops what lies behind `limit`, which must be a record's end.
    fn clip(&self, batch: Batch, limit: Position) -> Result<Batch, LogError> {
        if batch.end() <= limit {
            return Ok(batch);
        }
        if !batch.records().any(|r| r.end == limit) {
            return Err(self.no_such(limit));
        }
        let len = (limit.offset - batch.first().offset) as usize;
        Ok(Batch::trusted(batch.first(), batch.bytes().slice(..len)))
    }

    /// The next records from memory or behind it, without waiting for a writer; moves the cursor.
    async fn take(&mut self, visible: Option<Position>) -> Result<Found, LogError> {
        let far = self.far();
        if let Some(tail) = self.site.tail().filter(|_| far.is_none()) {
            let found = lock(tail).get(self.cursor);
            if let Some(batch) = found.map_err(|_| self.no_such(self.cursor))? {
                self.cursor = batch.end();
                return Ok(Found::Records(batch));
            }
        }
        let found = match (&self.site, far) {
            (_, Some(bucket)) => self.disk(bucket, None).await?,
            (Site::Disk(files), None) => {
                let files = files.clone();
                self.disk(files, visible).await?
            }
            (Site::Node(log, _), None) => log.look(self.cursor).await?,
        };
        if let (Found::End, Some(seam), true) = (&found, &self.seam, self.far().is_some()) {
            return Err(seam.nowhere(self.cursor));
        }
        match &found {
            Found::Records(batch) => self.cursor = batch.end(),
            Found::Moved(to) => self.cursor = *to,
            Found::End => {}
        }
        Ok(found)
    }

    async fn disk(&mut self, files: Files, visible: Option<Position>) -> Result<Found, LogError> {
        let (cursor, dir) = (self.cursor, files.dir.clone());
        let reader = self.reader.take().filter(|r| r.extent == cursor.extent && r.sealed.is_some());
        let task = tokio::task::spawn_blocking(move || {
            let found = read(&files, cursor, visible, reader);
            files.noted(found)
        });
        let joined = task
            .await
            .map_err(|e| LogError::io("read", &dir, std::io::Error::other(e.to_string())))?;
        let (found, reader) = joined?;
        self.reader = reader;
        Ok(found)
    }

    fn no_such(&self, position: Position) -> LogError {
        LogError::NoSuchPosition { path: self.site.path(), position }
    }
}

/// What a reader may do at its cursor.
enum Ready {
    /// Take records, up to here where that is known.
    Records(Option<Position>),
    /// Nothing, ever.
    Sealed,
    /// Nothing yet.
    Wait,
}

/// One blocking look at the extent that the cursor is in.
fn read(
    source: &Files,
    cursor: Position,
    visible: Option<Position>,
    reader: Option<ExtentReader>,
) -> Result<(Found, Option<ExtentReader>), LogError> {
    let reader = match reader {
        Some(reader) => reader,
        None => match ExtentReader::open(source.place(), cursor.extent)? {
            Some(reader) => reader,
            None => {
                absent(source.fs.as_ref(), &source.dir, cursor)?;
                return Ok((Found::End, None));
            }
        },
    };
    let no_such = || LogError::NoSuchPosition { path: source.dir.clone(), position: cursor };
    // A live extent ends where it is visible, a sealed one where its footer begins, any other where
    // its file ends.
    let here = visible.filter(|v| v.extent == cursor.extent).map(|v| v.offset);
    // While the writer is here, what it has shown counts and not what the file looks like.
    let sealed = reader.sealed.filter(|_| source.live.is_none() || here.is_none());
    let limit = match (here, sealed) {
        (Some(here), Some(end)) => here.min(end),
        (Some(limit), None) | (None, Some(limit)) => limit,
        (None, None) => reader.len()?,
    };
    if cursor.offset > limit {
        return Err(no_such());
    }
    let piece = reader.records(cursor.offset, limit)?;
    if !piece.bytes.is_empty() {
        return Ok((Found::Records(Batch::trusted(cursor, piece.bytes)), Some(reader)));
    }
    let promised = sealed.is_some() || visible.is_some();
    match piece.torn {
        Some(FrameError::Incomplete { .. }) if here.is_some() => {
            // Somebody asked for a range that ends inside a record.
            let position = Position { offset: limit, ..cursor };
            Err(LogError::NoSuchPosition { path: source.dir.clone(), position })
        }
        Some(why) if promised => Err(reader.damaged(cursor.offset, why.to_string())),
        Some(_) => Ok((Found::End, None)),
        None if sealed.is_some() => Ok((Found::Moved(cursor.next_extent()), None)),
        None => Ok((Found::End, None)),
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscription({} at {})", self.site.id(), self.cursor)
    }
}
