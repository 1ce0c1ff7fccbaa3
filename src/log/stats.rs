//! Figures of logs, as values.

use crate::log::format::Position;
use crate::log::id::LogId;
use crate::log::io::durable;
use crate::log::shared::{Shared, lock};
use std::sync::atomic::Ordering;

/// Figures of one log that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStats {
    /// The log.
    pub id: LogId,
    /// Readers see it up to here.
    pub visible: Position,
    /// A machine crash loses nothing before this.
    pub durable: Position,
    /// Bytes of records written.
    pub written: u64,
    /// Bytes handed over and not written yet.
    pub backlog: u64,
    /// Bytes held in memory for readers.
    pub tail_bytes: u64,
    /// It has stopped after an error.
    pub failed: bool,
}

/// Figures of all logs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// The logs being written.
    pub logs: Vec<LogStats>,
    /// Write calls so far.
    pub writes: u64,
    /// Microseconds spent in them.
    pub write_micros: u64,
    /// Syncs of a log so far.
    pub syncs: u64,
    /// Microseconds spent in them.
    pub sync_micros: u64,
    /// Microseconds of the last one.
    pub last_sync_micros: u64,
}

/// One log's figures now.
pub(super) fn stats(log: &Shared) -> LogStats {
    LogStats {
        id: log.id.clone(),
        visible: log.state.borrow().visible,
        durable: durable(log),
        written: log.written.load(Ordering::Relaxed),
        backlog: log.backlog.load(Ordering::Relaxed) as u64,
        tail_bytes: lock(&log.tail).bytes() as u64,
        failed: log.has_failed(),
    }
}
