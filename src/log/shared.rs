//! What the writer, the io thread, the sync thread and the readers of one live log have in common.
//!
//! Invariant: `visible` moves only after the bytes before it were written to the file, and the tail
//! holds them by then.

use crate::log::error::LogError;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::fs::{FileSystem, Lock, LogFile};
use crate::log::id::LogId;
use crate::log::io::Op;
use crate::log::options::Options;
use crate::log::tail::Tail;
use bytes::BytesMut;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::{Notify, watch};

/// Locks a mutex. Poison is ignored: every critical section of this room leaves its data whole at
/// each step.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Is somebody still writing?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    Sealed,
    /// The writer was dropped without sealing.
    Gone,
}

/// What readers wait on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) visible: Position,
    pub(super) phase: Phase,
}

/// Operations on their way to the io thread.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) ops: VecDeque<Op>,
    /// The log is in the io thread's run queue already.
    pub(super) scheduled: bool,
}

/// The file being written; the io thread's.
pub(super) struct Current {
    pub(super) file: Arc<dyn LogFile>,
    pub(super) path: PathBuf,
    pub(super) offset: u64,
    /// Room is reserved up to this offset.
    pub(super) allocated: u64,
}

/// What a machine crash could still lose; the sync thread's.
pub(super) struct Dirty {
    pub(super) durable: Position,
    /// Files that are not known to be durable, oldest first; the last is the one being written.
    pub(super) files: Vec<(u32, PathBuf, Arc<dyn LogFile>)>,
    /// A name was added to the log's directory, or the directory itself is new.
    pub(super) names: bool,
}

/// One live log.
pub(super) struct Shared {
    pub(super) id: LogId,
    pub(super) dir: PathBuf,
    pub(super) data: PathBuf,
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) options: Arc<Options>,
    pub(super) queue: Mutex<Queue>,
    pub(super) backlog: AtomicUsize,
    pub(super) room: Notify,
    pub(super) state: watch::Sender<State>,
    pub(super) tail: Mutex<Tail>,
    /// A buffer for the writer to use again: its pages are there already.
    pub(super) spare: Mutex<Option<BytesMut>>,
    pub(super) current: Mutex<Current>,
    pub(super) dirty: Mutex<Dirty>,
    pub(super) error: OnceLock<LogError>,
    pub(super) lock: Mutex<Option<Lock>>,
    pub(super) written: AtomicU64,
}

impl Shared {
    /// The initial state of a new log.
    pub(super) fn start() -> State {
        State { visible: HEADER_POSITION, phase: Phase::Open }
    }

    /// Notes the first failure, wakes whoever waits for room, and says it once in the process's
    /// log.
    pub(super) fn fail(&self, error: LogError) {
        if self.error.set(error).is_ok()
            && let Some(error) = self.error.get()
        {
            tracing::error!(log = %self.id, "the log has stopped: {error}");
        }
        self.room.notify_waiters();
    }

    /// Bytes left the queue, written or dropped.
    pub(super) fn release(&self, bytes: usize) {
        self.backlog.fetch_sub(bytes, Ordering::AcqRel);
        self.room.notify_waiters();
    }

    pub(super) fn has_failed(&self) -> bool {
        self.error.get().is_some()
    }
}
