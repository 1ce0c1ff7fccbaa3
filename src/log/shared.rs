//! What the writer, the io thread, the sync thread and the readers of one live log have in common.
//!
//! Invariant: `visible` moves only after the bytes before it were written to the file, and the tail
//! holds them by then.

use crate::base::time::Mono;
use crate::log::error::LogError;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::fs::{FileSystem, Lock, LogFile};
use crate::log::health::Health;
use crate::log::id::LogId;
use crate::log::io::Op;
use crate::log::options::Options;
use crate::log::reader::Place;
use crate::log::tail::Tail;
use bytes::BytesMut;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
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
    /// Another node's log goes as far as this, although it has not all arrived; never of use for a
    /// log of this process.
    pub(super) reach: Position,
    /// The other node has said how far; always so of a log of this process.
    pub(super) heard: bool,
    pub(super) phase: Phase,
}

impl State {
    /// Of a log of which nothing before `position` will be shown.
    pub(super) fn at(position: Position) -> State {
        State { visible: position, reach: position, heard: true, phase: Phase::Open }
    }
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
#[derive(Default)]
pub(super) struct Dirty {
    pub(super) durable: Position,
    /// Bytes of records before `durable`.
    pub(super) durable_bytes: u64,
    /// Files that are not known to be durable, oldest first; the last is the one being written.
    pub(super) files: Vec<(u32, PathBuf, Arc<dyn LogFile>)>,
    /// A name was added to the log's directory, or the directory itself is new.
    pub(super) names: bool,
    /// When the oldest bytes were written that no sync covers yet.
    pub(super) since: Option<Mono>,
    /// ... and those that the sync under way covers.
    pub(super) syncing: Option<Mono>,
    /// The first extent whose sync failed, and since when what is in it waits: *durable* stands
    /// before it for good.
    pub(super) lost: Option<(u32, Option<Mono>)>,
    /// When the sync that is due was asked for.
    pub(super) asked: Option<Mono>,
    /// How long the last one took, the wait for its turn included.
    pub(super) took: Duration,
}

impl Dirty {
    /// When the oldest bytes were written that a machine crash could lose.
    pub(super) fn oldest(&self) -> Option<Mono> {
        self.lost.and_then(|l| l.1).or(self.syncing).or(self.since)
    }
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
    /// Why *durable* stands for good, if it does.
    pub(super) sync_error: OnceLock<LogError>,
    /// One more than the extent that the writer is to leave; 0 for none.
    pub(super) leave: AtomicU64,
    /// Held while the log is being synced.
    pub(super) turn: Mutex<()>,
    /// A sync is queued already.
    pub(super) sync_queued: AtomicBool,
    pub(super) health: Arc<Health>,
    pub(super) lock: Mutex<Option<Lock>>,
    pub(super) written: AtomicU64,
}

impl Shared {
    /// A log that has just been made: `current` is its first extent, `held` its lock.
    pub(super) fn new(
        id: LogId,
        data: &Path,
        fs: &Arc<dyn FileSystem>,
        options: Options,
        current: Current,
        health: &Arc<Health>,
        held: Lock,
    ) -> Shared {
        let file = (0, current.path.clone(), Arc::clone(&current.file));
        let files = vec![file];
        let dirty = Dirty { durable: HEADER_POSITION, files, names: true, ..Dirty::default() };
        Shared {
            dir: id.dir(data),
            id,
            data: data.to_owned(),
            fs: Arc::clone(fs),
            options: Arc::new(options),
            queue: Mutex::new(Queue::default()),
            backlog: AtomicUsize::new(0),
            room: Notify::new(),
            state: watch::Sender::new(Shared::start()),
            tail: Mutex::new(Tail::default()),
            spare: Mutex::new(None),
            current: Mutex::new(current),
            dirty: Mutex::new(dirty),
            error: OnceLock::new(),
            sync_error: OnceLock::new(),
            leave: AtomicU64::new(0),
            turn: Mutex::new(()),
            sync_queued: AtomicBool::new(false),
            health: Arc::clone(health),
            lock: Mutex::new(Some(held)),
            written: AtomicU64::new(0),
        }
    }

    /// The initial state of a new log.
    pub(super) fn start() -> State {
        State::at(HEADER_POSITION)
    }

    /// Its files, for whoever reads them.
    pub(super) fn place(&self) -> Place<'_> {
        let reads = self.options.format.reads();
        Place { fs: self.fs.as_ref(), dir: &self.dir, id: &self.id, reads }
    }

    /// Notes the first failure, wakes whoever waits for room, and says it once in the process's
    /// log.
    pub(super) fn fail(&self, error: LogError) {
        self.health.failed(&error);
        if self.error.set(error).is_ok()
            && let Some(error) = self.error.get()
        {
            tracing::error!(log = %self.id, "the log has stopped: {error}");
        }
        self.room.notify_waiters();
    }

    /// Takes nothing more, though nothing is wrong: what is on its way is dropped.
    pub(super) fn replaced(&self) {
        let _ = self.error.set(LogError::Replaced { path: self.dir.clone() });
        self.room.notify_waiters();
    }

    /// Notes that an extent could not be synced. What the kernel could not write may be gone from
    /// its cache, so that trying again would lie: the first time, the writer is sent on to a new
    /// extent, and *durable* stays before this one; the second time, the log stops.
    pub(super) fn sync_failed(&self, extent: u32, error: LogError) {
        self.health.failed(&error);
        let first = {
            let mut dirty = lock(&self.dirty);
            let since = dirty.syncing;
            dirty.lost.get_or_insert((extent, since)).0 == extent
        };
        if !first || self.sync_error.set(error.clone()).is_err() {
            return self.fail(error);
        }
        tracing::error!(log = %self.id, extent,
            "{error}; what this extent holds could be lost if the machine crashes, and counts as \
            not durable from now on; the log goes on in a new extent");
        self.leave.store(u64::from(extent) + 1, Ordering::Release);
    }

    /// Is the writer to leave this extent?
    pub(super) fn is_to_leave(&self, extent: u32) -> bool {
        self.leave.load(Ordering::Acquire) == u64::from(extent) + 1
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
