//! Figures of logs, as values.

use crate::base::time::Mono;
use crate::log::error::LogError;
use crate::log::format::Position;
use crate::log::format::version::Range as Versions;
use crate::log::fs::FileSystem;
use crate::log::health::DiskState;
use crate::log::id::LogId;
use crate::log::options::Sync;
use crate::log::reader::{ExtentReader, Place, extents, logs};
use crate::log::recover::is_open;
use crate::log::shared::{Shared, lock};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Figures of one log that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStats {
    /// The log.
    pub id: LogId,
    /// When it becomes durable.
    pub sync: Sync,
    /// Readers see it up to here.
    pub visible: Position,
    /// A machine crash loses nothing before this. After a failed sync it stands before what was
    /// asked for then, for good.
    pub durable: Position,
    /// How long the oldest record after `durable` has been visible; `None` when there is none.
    pub undurable: Option<Duration>,
    /// Bytes of records written: those before `visible`.
    pub written: u64,
    /// Bytes of records before `durable`; after a failed sync, those known to be when it failed.
    pub durable_bytes: u64,
    /// The first extent that could not be synced.
    pub lost: Option<u32>,
    /// Bytes handed over and not written yet.
    pub backlog: u64,
    /// Bytes held in memory for readers.
    pub tail_bytes: u64,
    /// It has stopped after an error.
    pub failed: bool,
}

/// One sync of one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncSample {
    /// What it took.
    pub took: Duration,
    /// How old the oldest record was that it made durable: what a crash of the machine just before
    /// would have cost.
    pub age: Duration,
}

/// Figures of all logs.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// The logs being written.
    pub logs: Vec<LogStats>,
    /// Write calls so far.
    pub writes: u64,
    /// Microseconds spent in them.
    pub write_micros: u64,
    /// Syncs of a log so far, without those that failed.
    pub syncs: u64,
    /// Syncs that failed.
    pub sync_errors: u64,
    /// Microseconds spent in syncs.
    pub sync_micros: u64,
    /// Microseconds of the last one.
    pub last_sync_micros: u64,
    /// Logs, written now or long ago, in which damage was found and whose files are still so.
    pub damaged: usize,
    /// What is known of the disk.
    pub disk: DiskState,
}

/// A log in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSummary {
    /// The log.
    pub id: LogId,
    /// Its last extent is sealed.
    pub sealed: bool,
    /// How many extents it has.
    pub extents: u32,
    /// Bytes of its files.
    pub bytes: u64,
}

/// One log's figures now.
pub(super) fn stats(log: &Shared, now: Mono) -> LogStats {
    let visible = log.state.borrow().visible;
    let (durable, durable_bytes, oldest, lost) = {
        let d = lock(&log.dirty);
        (d.durable, d.durable_bytes, d.oldest(), d.lost.map(|l| l.0))
    };
    LogStats {
        id: log.id.clone(),
        sync: log.options.sync,
        visible,
        durable,
        undurable: oldest.map(|at| now.since(at)),
        written: log.written.load(Ordering::Relaxed),
        durable_bytes,
        lost,
        backlog: log.backlog.load(Ordering::Relaxed) as u64,
        tail_bytes: lock(&log.tail).bytes() as u64,
        failed: log.has_failed(),
    }
}

/// Every log of a data directory.
pub(super) fn summaries(
    fs: &dyn FileSystem,
    data: &Path,
    reads: Versions,
) -> Result<Vec<LogSummary>, LogError> {
    let mut found = Vec::new();
    for id in logs(fs, data)? {
        let dir = id.dir(data);
        let all = extents(fs, &dir)?;
        let place = Place { fs, dir: &dir, id: &id, reads };
        let mut bytes = 0;
        for extent in &all {
            if let Ok(Some(reader)) = ExtentReader::open(place, *extent) {
                bytes += reader.len()?;
            }
        }
        let sealed = !all.is_empty() && !is_open(place)?;
        found.push(LogSummary { id, sealed, extents: all.len() as u32, bytes });
    }
    Ok(found)
}
