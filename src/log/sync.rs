//! The threads that make logs durable: `log-sync` knows when each log is due, its workers sync.
//!
//! Several logs are synced at one time, each on its own: one whose sync takes long holds up no
//! other's, and the file system commits together what is asked of it together. The module's doc of
//! `log` has the figures.
//!
//! Invariant: *durable* moves only over what a sync has answered for; a sync that failed is never
//! asked for again.

use crate::base::time::Mono;
use crate::log::error::LogError;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::options::Sync;
use crate::log::recover;
use crate::log::sealed::Sealed;
use crate::log::shared::{Shared, lock};
use crate::log::stats::SyncSample;
use crate::rt::clock::Clock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};
use tokio::sync::oneshot;

/// Samples kept for whoever shows them: several seconds of 200 logs at the default interval.
const SAMPLES_MAX: usize = 4096;

/// What the sync thread is asked to do.
pub(super) enum SyncOp {
    Register(Weak<Shared>),
    /// A segment has started.
    Segment(Arc<Shared>),
    /// Everything, now.
    Now(oneshot::Sender<()>),
    /// The last sync of a log, then its lock is free.
    Seal {
        log: Arc<Shared>,
        sealed: Sealed,
        done: oneshot::Sender<Result<Sealed, LogError>>,
    },
}

/// Sums over all logs of the process.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) writes: AtomicU64,
    pub(super) write_micros: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) sync_errors: AtomicU64,
    pub(super) sync_micros: AtomicU64,
    pub(super) last_sync_micros: AtomicU64,
    samples: Mutex<Vec<SyncSample>>,
}

impl Totals {
    /// The samples since the last call, the first of them where there were too many.
    pub(super) fn take_samples(&self) -> Vec<SyncSample> {
        std::mem::take(&mut lock(&self.samples))
    }

    fn sample(&self, sample: SyncSample) {
        let took = sample.took.as_micros() as u64;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.sync_micros.fetch_add(took, Ordering::Relaxed);
        self.last_sync_micros.store(took, Ordering::Relaxed);
        let mut samples = lock(&self.samples);
        if samples.len() < SAMPLES_MAX {
            samples.push(sample);
        }
    }
}

/// Answers when the last of many is done.
pub(super) struct AllDone(Option<oneshot::Sender<()>>);

impl Drop for AllDone {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            let _ = done.send(());
        }
    }
}

/// What a worker does.
pub(super) enum Job {
    /// Syncs what is visible; not when that is being done already.
    Due(Arc<Shared>),
    /// Syncs what is visible, after a sync that is under way.
    All(Arc<Shared>, #[expect(dead_code, reason = "counts by being dropped")] Arc<AllDone>),
    Seal(Arc<Shared>, Sealed, oneshot::Sender<Result<Sealed, LogError>>),
}

/// The sync thread's life: ends when the io thread and every `Logs` are gone.
pub(super) struct SyncThread {
    pub(super) inbox: Receiver<SyncOp>,
    pub(super) totals: Arc<Totals>,
    pub(super) clock: Clock,
    pub(super) threads: usize,
}

/// A log and when it is due; never, where its policy is not an interval.
struct Watched {
    log: Weak<Shared>,
    due: Option<Mono>,
}

impl SyncThread {
    pub(super) fn run(self) {
        let mut pool = Pool::new(self.threads, self.worker());
        let mut logs: Vec<Watched> = Vec::new();
        loop {
            let next = logs.iter().filter_map(|w| w.due).min();
            let op = match next {
                Some(due) => self.inbox.recv_timeout(due.since(self.clock.now().mono)),
                None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match op {
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => self.round(&mut logs, &mut pool, None),
                Ok(SyncOp::Register(log)) => logs.push(self.watch(log)),
                Ok(SyncOp::Segment(log)) => pool.due(log),
                Ok(SyncOp::Now(done)) => {
                    self.round(&mut logs, &mut pool, Some(Arc::new(AllDone(Some(done)))));
                }
                Ok(SyncOp::Seal { log, sealed, done }) => pool.give(Job::Seal(log, sealed, done)),
            }
        }
    }

    /// What syncs, wherever it runs.
    pub(super) fn worker(&self) -> Worker {
        Worker { totals: Arc::clone(&self.totals), clock: self.clock.clone() }
    }

    /// Due an interval after now, less what the last sync took: a record is durable within the
    /// interval, not a sync later. At least a sixteenth of it, since syncs vary, and at most half,
    /// so that a slow disk is not asked without pause.
    fn watch(&self, log: Weak<Shared>) -> Watched {
        let now = self.clock.now().mono;
        let due = log.upgrade().and_then(|log| match log.options.sync {
            Sync::Interval(every) => {
                let took = lock(&log.dirty).took.clamp(every / 16, every / 2);
                Some(now.plus(every.saturating_sub(took)))
            }
            Sync::EachSegment | Sync::Never => None,
        });
        Watched { log, due }
    }

    /// Has every log synced that is due, or `all` of them; forgets those that are gone.
    fn round(&self, logs: &mut Vec<Watched>, pool: &mut Pool, all: Option<Arc<AllDone>>) {
        let now = self.clock.now().mono;
        logs.retain_mut(|watched| {
            let Some(log) = watched.log.upgrade() else { return false };
            let due = watched.due.is_some_and(|due| due <= now);
            if due || all.is_some() {
                *watched = self.watch(Arc::downgrade(&log));
            }
            match &all {
                Some(all) => pool.give(Job::All(log, Arc::clone(all))),
                None if due => {
                    lock(&log.dirty).asked.get_or_insert(now);
                    pool.due(log);
                }
                None => {}
            }
            true
        });
    }
}

/// The workers: started when there is more to do than there are of them, up to a limit.
struct Pool {
    jobs: Sender<Job>,
    waiting: Arc<Mutex<Receiver<Job>>>,
    /// Jobs queued or under way.
    open: Arc<AtomicUsize>,
    threads: usize,
    max: usize,
    worker: Worker,
}

impl Pool {
    fn new(max: usize, worker: Worker) -> Pool {
        let (jobs, waiting) = channel();
        let (waiting, open) = (Arc::new(Mutex::new(waiting)), Arc::default());
        Pool { jobs, waiting, open, threads: 0, max: max.max(1), worker }
    }

    /// Queues a log that is due, unless it is queued already.
    fn due(&mut self, log: Arc<Shared>) {
        if !log.sync_queued.swap(true, Ordering::AcqRel) {
            self.give(Job::Due(log));
        }
    }

    fn give(&mut self, job: Job) {
        let open = self.open.fetch_add(1, Ordering::AcqRel) + 1;
        if open > self.threads && self.threads < self.max {
            let (jobs, open, worker) =
                (Arc::clone(&self.waiting), Arc::clone(&self.open), self.worker.clone());
            let thread = std::thread::Builder::new().name("log-sync-worker".to_owned());
            let run = move || {
                loop {
                    let job = lock(&jobs).recv();
                    let Ok(job) = job else { return };
                    worker.work(job);
                    open.fetch_sub(1, Ordering::AcqRel);
                }
            };
            match thread.spawn(run) {
                Ok(_) => self.threads += 1,
                Err(e) if self.threads == 0 => {
                    tracing::error!("no thread to sync logs with, so it is done without: {e}");
                    self.open.fetch_sub(1, Ordering::AcqRel);
                    return self.worker.work(job);
                }
                Err(e) => tracing::warn!("no other thread to sync logs with: {e}"),
            }
        }
        // The workers hold the other end for as long as this one is there.
        let _ = self.jobs.send(job);
    }
}

/// What every worker has.
#[derive(Clone)]
pub(super) struct Worker {
    totals: Arc<Totals>,
    clock: Clock,
}

impl Worker {
    pub(super) fn work(&self, job: Job) {
        match job {
            Job::Due(log) => {
                log.sync_queued.store(false, Ordering::Release);
                match log.turn.try_lock() {
                    Ok(turn) => self.sync(&log, turn),
                    Err(TryLockError::Poisoned(turn)) => self.sync(&log, turn.into_inner()),
                    Err(TryLockError::WouldBlock) => {}
                }
            }
            Job::All(log, _) => self.sync(&log, lock(&log.turn)),
            Job::Seal(log, mut sealed, done) => {
                if log.options.sync != Sync::Never {
                    self.sync(&log, lock(&log.turn));
                    if !log.has_failed() && log.sync_error.get().is_none() {
                        recover::note_sealed(log.fs.as_ref(), &log.dir);
                    }
                }
                lock(&log.lock).take();
                let why = || log.error.get().or(log.sync_error.get()).cloned();
                sealed.failed = sealed.failed.or_else(why);
                let _ = done.send(Ok(sealed));
            }
        }
    }

    /// Makes one log durable up to what is visible now.
    fn sync(&self, log: &Shared, _turn: MutexGuard<'_, ()>) {
        let bytes = log.written.load(Ordering::Relaxed);
        let visible = log.state.borrow().visible;
        let asked;
        let (files, names, since) = {
            let mut dirty = lock(&log.dirty);
            if dirty.since.is_none() && dirty.files.len() <= 1 && !dirty.names {
                dirty.asked = None;
                return;
            }
            dirty.syncing = dirty.since.take();
            asked = dirty.asked.take();
            (dirty.files.clone(), std::mem::take(&mut dirty.names), dirty.syncing)
        };
        let started = self.clock.now().mono;
        let mut failed = Vec::new();
        for (extent, path, file) in &files {
            if let Err(e) = file.sync_data() {
                failed.push(*extent);
                self.totals.sync_errors.fetch_add(1, Ordering::Relaxed);
                log.sync_failed(*extent, LogError::io("sync", path, e));
            }
        }
        let mut named = true;
        if names && let Err(e) = sync_names(log) {
            // No new extent could help a directory.
            self.totals.sync_errors.fetch_add(1, Ordering::Relaxed);
            named = false;
            log.fail(e);
        }
        let ended = self.clock.now().mono;
        let mut dirty = lock(&log.dirty);
        dirty.syncing = None;
        let took = ended.since(started);
        dirty.took = ended.since(asked.unwrap_or(started));
        dirty.files.retain(|(x, ..)| *x >= visible.extent && !failed.contains(x));
        if !named {
            // A later sync would not ask for these names again, and must not answer for them.
            dirty.lost = Some((dirty.durable.extent, since));
            dirty.since = since.or(dirty.since);
            return;
        }
        match dirty.lost {
            None => {
                dirty.durable = dirty.durable.max(visible);
                dirty.durable_bytes = bytes;
            }
            Some((extent, _)) if failed.contains(&extent) && extent > dirty.durable.extent => {
                dirty.durable = Position { extent, ..HEADER_POSITION };
            }
            Some(_) => {}
        }
        if failed.is_empty() {
            let age = ended.since(since.unwrap_or(started));
            self.totals.sample(SyncSample { took, age });
        }
    }
}

/// Makes the names of the log's files and of the directories above it durable.
fn sync_names(log: &Shared) -> Result<(), LogError> {
    for dir in log.dir.ancestors().take_while(|d| d.starts_with(&log.data)) {
        log.fs.sync_dir(dir).map_err(|e| LogError::io("sync", dir, e))?;
    }
    Ok(())
}
