//! Reading a log from any position on: from memory while the reader keeps up, from the disk (or the
//! node that has it) when it does not, and on across extents until the log is sealed. A reader has
//! its own cursor and costs the writer nothing.

use crate::log::batch::Batch;
use crate::log::damage::Damages;
use crate::log::error::LogError;
use crate::log::format::Position;
use crate::log::format::extent::HEADER_LEN;
use crate::log::format::record::FrameError;
use crate::log::format::version::Range;
use crate::log::fs::FileSystem;
use crate::log::id::LogId;
use crate::log::reader::{ExtentReader, Place};
use crate::log::remote::follow::Followed;
use crate::log::shared::{Phase, Shared, State, lock};
use crate::log::tail::Tail;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At the oldest record there is.
    Start,
    /// At a record's start (or an extent's end).
    Position(Position),
}

/// A log of this node: its files, and the writer's memory when the writer is in this process.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) id: LogId,
    pub(super) dir: PathBuf,
    /// The versions of the format that may be read.
    pub(super) reads: Range,
    pub(super) live: Option<(Arc<Shared>, watch::Receiver<State>)>,
    /// Where damage that is met is noted, if anybody wants to know.
    pub(super) damages: Option<Arc<Damages>>,
}

impl Files {
    pub(super) fn place(&self) -> Place<'_> {
        Place { fs: self.fs.as_ref(), dir: &self.dir, id: &self.id, reads: self.reads }
    }

    /// Notes the log if it turned out to be damaged.
    pub(super) fn noted<T>(&self, result: Result<T, LogError>) -> Result<T, LogError> {
        if let (Err(e), Some(damages)) = (&result, &self.damages) {
            damages.note(self.fs.as_ref(), &self.id, e);
        }
        result
    }

    /// How far the log can be read, if its writer is in this process.
    pub(super) fn state(&self) -> Option<State> {
        self.live.as_ref().map(|(_, rx)| *rx.borrow())
    }
}

/// Where a subscription reads.
pub(super) enum Site {
    /// Here.
    Disk(Files),
    /// Another node's log, whose newest records one task brings here for all who read it.
    Node(Arc<Followed>, watch::Receiver<State>),
}

impl Site {
    fn id(&self) -> &LogId {
        match self {
            Site::Disk(files) => &files.id,
            Site::Node(log, _) => &log.id,
        }
    }

    /// How far the log goes, where somebody here knows.
    fn state(&self) -> Option<State> {
        match self {
            Site::Disk(files) => files.state(),
            Site::Node(_, rx) => Some(*rx.borrow()),
        }
    }

    fn changes(&mut self) -> Option<&mut watch::Receiver<State>> {
        match self {
            Site::Disk(files) => files.live.as_mut().map(|(_, rx)| rx),
            Site::Node(_, rx) => Some(rx),
        }
    }

    /// The newest records in memory.
    fn tail(&self) -> Option<&Mutex<Tail>> {
        match self {
            Site::Disk(files) => files.live.as_ref().map(|(shared, _)| &shared.tail),
            Site::Node(log, _) => Some(&log.tail),
        }
    }

    /// For messages.
    fn path(&self) -> PathBuf {
        match self {
            Site::Disk(files) => files.dir.clone(),
            Site::Node(log, _) => log.path(),
        }
    }

    /// Why nothing comes any more of a log that is not sealed.
    fn gone(&self) -> LogError {
        match self {
            Site::Disk(files) => LogError::WriterGone { path: files.dir.clone() },
            Site::Node(log, _) => log.gone(),
        }
    }
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
        Subscription { site, cursor: Position { offset, ..cursor }, reader: None }
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

    fn ready(&mut self) -> Result<Ready, LogError> {
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
        if let Some(tail) = self.site.tail() {
            let found = lock(tail).get(self.cursor);
            if let Some(batch) = found.map_err(|_| self.no_such(self.cursor))? {
                self.cursor = batch.end();
                return Ok(Found::Records(batch));
            }
        }
        let found = match &self.site {
            Site::Disk(files) => {
                let files = files.clone();
                self.disk(files, visible).await?
            }
            Site::Node(log, _) => log.look(self.cursor).await?,
        };
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
            None => return Ok((Found::End, None)),
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
