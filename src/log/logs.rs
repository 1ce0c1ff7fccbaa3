//! All the logs of a data directory: making them, finding them, reading them.

use crate::base::ids::{Channel, Session};
use crate::log::batch::Batch;
use crate::log::damage::Damages;
use crate::log::error::LogError;
use crate::log::format::extent::Header;
use crate::log::format::version::Wrote;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::fs::{Disk, FileSystem};
use crate::log::health::{DiskState, Health};
use crate::log::id::{LOCK, LOGS, LogId};
use crate::log::index::{Index, read_index};
use crate::log::io::{IoThread, new_extent};
use crate::log::live::{Found, LiveLogs};
use crate::log::options::{Options, Sync};
use crate::log::reader::{extents, logs, there, wrote};
use crate::log::recover::{self, Adopted, Known, Recovered};
use crate::log::shared::{Shared, lock};
use crate::log::site::{Files, Site};
use crate::log::stats::{LogStats, LogSummary, Stats, SyncSample, stats, summaries};
use crate::log::subscription::{From, Piece, Subscription};
use crate::log::sync::{SyncOp, SyncThread, Totals};
use crate::log::writer::Writer;
use crate::media::timeline::mark::GenerationStart;
use crate::rt::clock::Clock;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use tokio::sync::{oneshot, watch};

/// Most bytes that one `Logs::read` gives: a segment at 100 Mbit/s and 4 s has 50 MiB.
pub const READ_MAX: u64 = 64 << 20;

/// The logs of one data directory. Cheap to clone; the threads live as long as a clone or a writer
/// does.
#[derive(Clone)]
pub struct Logs {
    inner: Arc<Inner>,
}

struct Inner {
    data: PathBuf,
    fs: Arc<dyn FileSystem>,
    options: Arc<Options>,
    io: Sender<Arc<Shared>>,
    sync: Sender<SyncOp>,
    live: LiveLogs,
    /// Counts the logs made, so that those who wait for one can look again.
    created: watch::Sender<u64>,
    totals: Arc<Totals>,
    damages: Arc<Damages>,
    health: Arc<Health>,
    clock: Clock,
}

impl Logs {
    /// Opens a data directory, making it when it is missing, and starts the two threads.
    ///
    /// # Errors
    /// The directory can't be made or listed; the message names it.
    pub fn open(data: &Path, options: Options) -> Result<Logs, LogError> {
        Logs::with(Arc::new(Disk), data, options)
    }

    /// As [`Logs::open`], on another file system.
    pub fn with(fs: Arc<dyn FileSystem>, data: &Path, options: Options) -> Result<Logs, LogError> {
        let (logs, writer, syncer) = Logs::parts(fs, data, options)?;
        for (name, run) in [
            ("log-io", Box::new(move || writer.run()) as Box<dyn FnOnce() + Send>),
            ("log-sync", Box::new(move || syncer.run())),
        ] {
            let thread = std::thread::Builder::new().name(name.to_owned());
            let spawned = thread.spawn(run);
            spawned.map_err(|e| LogError::io("start the threads for", data, e))?;
        }
        Ok(logs)
    }

    /// The logs and what their two threads run.
    pub(super) fn parts(
        fs: Arc<dyn FileSystem>,
        data: &Path,
        options: Options,
    ) -> Result<(Logs, IoThread, SyncThread), LogError> {
        let at = |what| move |e| LogError::io(what, data, e);
        fs.create_dir_all(data).map_err(at("use the data directory"))?;
        fs.list(data).map_err(at("read the data directory"))?;
        // Where the logs lie may be a volume of its own.
        let root = data.join(LOGS);
        let root = if fs.create_dir_all(&root).is_ok() { root } else { data.to_owned() };
        let health = Arc::new(Health::new(root, options.low_space));
        let (totals, clock) = (Arc::new(Totals::default()), Clock::system());
        let ((io, io_inbox), (sync, sync_inbox)) = (channel(), channel());
        let writer = IoThread {
            inbox: io_inbox,
            sync: sync.clone(),
            totals: Arc::clone(&totals),
            clock: clock.clone(),
        };
        let syncer = SyncThread {
            inbox: sync_inbox,
            totals: Arc::clone(&totals),
            clock: clock.clone(),
            threads: options.sync_threads,
        };
        let (data, options) = (data.to_owned(), Arc::new(options));
        let (live, created) = (LiveLogs::default(), watch::Sender::new(0));
        let damages = Arc::default();
        let inner =
            Inner { data, fs, options, io, sync, live, created, totals, damages, health, clock };
        Ok((Logs { inner: Arc::new(inner) }, writer, syncer))
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.inner.data
    }

    /// Makes a log, takes its lock and writes its first record.
    ///
    /// # Errors
    /// The lock is held, the log exists already, the disk is nearly full, or the system refuses.
    pub async fn create(&self, id: &LogId, start: GenerationStart) -> Result<Writer, LogError> {
        self.create_synced(id, start, self.inner.options.sync).await
    }

    /// As [`Logs::create`], for a log that becomes durable by a policy of its own.
    pub async fn create_synced(
        &self,
        id: &LogId,
        start: GenerationStart,
        sync: Sync,
    ) -> Result<Writer, LogError> {
        let (inner, id) = (Arc::clone(&self.inner), id.clone());
        let shared = blocking(&self.inner.data, move || inner.create(id, sync)).await?;
        Writer::new(shared, self.inner.io.clone(), start)
    }

    /// Seals every log whose writer is dead (its lock is free) and whose last extent is not sealed.
    /// A log that is too damaged for that is reported in the process's log and left as it is.
    pub async fn recover(&self) -> Result<Vec<Recovered>, LogError> {
        let inner = Arc::clone(&self.inner);
        let all = move || Ok(inner.dead(&BTreeSet::new())?.sealed);
        blocking(&self.inner.data, all).await
    }

    /// As [`Logs::recover`], for who looks again and again: logs that are known to be whole are not
    /// looked at, and those that are found so or made so are known from then on.
    pub async fn adopt(&self, known: &Known) -> Result<Adopted, LogError> {
        let (inner, known) = (Arc::clone(&self.inner), Arc::clone(known));
        let news = move || {
            let mut known = lock(&known);
            let adopted = inner.dead(&known)?;
            known.extend(adopted.whole.iter().cloned());
            Ok(adopted)
        };
        blocking(&self.inner.data, news).await
    }

    /// Every log of the data directory, by channel, session and generation.
    pub async fn list(&self) -> Result<Vec<LogSummary>, LogError> {
        let inner = Arc::clone(&self.inner);
        let list = move || summaries(&*inner.fs, &inner.data, inner.options.format.reads());
        blocking(&self.inner.data, list).await
    }

    /// The source's logs of one session, oldest first.
    pub async fn of_session(
        &self,
        channel: &Channel,
        session: Session,
    ) -> Result<Vec<LogId>, LogError> {
        let (inner, channel) = (Arc::clone(&self.inner), channel.clone());
        let ours =
            move |id: &LogId| id.channel == channel && id.session == session && id.rung.is_none();
        let all = move || logs(inner.fs.as_ref(), &inner.data);
        let all = blocking(&self.inner.data, all).await?;
        Ok(all.into_iter().filter(ours).collect())
    }

    /// Reads a log from a position on, waiting for more while it is being written.
    ///
    /// # Errors
    /// There is no such log, or it has not come to that position.
    pub fn subscribe(&self, id: &LogId, from: From) -> Result<Subscription, LogError> {
        let source = self.inner.source(id)?;
        let cursor = match from {
            From::Position(position) => position,
            From::Start => {
                let oldest = extents(source.fs.as_ref(), &source.dir)?.first().copied();
                Position { extent: oldest.unwrap_or(0), ..HEADER_POSITION }
            }
        };
        if let Some(state) = source.state()
            && cursor > state.visible
        {
            return Err(LogError::NoSuchPosition { path: source.dir, position: cursor });
        }
        Ok(Subscription::new(Site::Disk(source), cursor))
    }

    /// The marks of a log's sealed extents, and where to read on for the rest.
    pub async fn index(&self, id: &LogId) -> Result<Index, LogError> {
        let source = self.inner.source(id)?;
        blocking(&self.inner.data, move || source.noted(read_index(&source))).await
    }

    /// Which version wrote a log, and who may read it.
    pub async fn wrote(&self, id: &LogId) -> Result<Wrote, LogError> {
        let files = self.inner.source(id)?;
        match &files.live {
            Some((shared, _)) => Ok(shared.options.format),
            None => blocking(&self.inner.data, move || wrote(&files)).await,
        }
    }

    /// The records from one position up to another, which must be records' ends; may cross extents.
    ///
    /// # Errors
    /// The log has no such positions, the range is longer than [`READ_MAX`], or bytes are damaged.
    pub async fn read(&self, id: &LogId, range: Range<Position>) -> Result<Vec<Batch>, LogError> {
        let source = self.inner.source(id)?;
        let Range { start, end } = range;
        let beyond = source.state().is_some_and(|s| end > s.visible);
        if beyond || start > end {
            return Err(LogError::NoSuchPosition { path: source.dir, position: end });
        }
        Subscription::new(Site::Disk(source), start).up_to(end, READ_MAX).await
    }

    /// What there is at a position: about 1 MiB of records at most.
    ///
    /// # Errors
    /// The log has no such position, or bytes are damaged.
    pub async fn piece(&self, id: &LogId, from: Position) -> Result<Piece, LogError> {
        self.subscribe(id, From::Position(from))?.now().await
    }

    /// What was taken for damage of this log was a place in it as it was before a repair.
    pub fn forget_damage(&self, id: &LogId) {
        self.inner.damages.forget(id);
    }

    /// Changes whenever a log has been made.
    pub fn created(&self) -> watch::Receiver<u64> {
        self.inner.created.subscribe()
    }

    /// Makes everything that is visible now durable.
    pub async fn sync_now(&self) {
        let (done, answer) = oneshot::channel();
        let _ = self.inner.sync.send(SyncOp::Now(done));
        let _ = answer.await;
    }

    /// Looks at the disk, and at the files of damaged logs, without writing; with `probe`, and
    /// where a write or a sync failed before, also by writing a block beside the logs, so that it
    /// is known when the disk is well again.
    pub async fn look(&self, probe: bool) -> DiskState {
        let inner = Arc::clone(&self.inner);
        let looked = blocking(&self.inner.data, move || {
            inner.damages.look(inner.fs.as_ref());
            Ok(inner.health.look(inner.fs.as_ref(), probe))
        });
        match looked.await {
            Ok(state) => state,
            Err(e) => DiskState { trouble: Some(e), ..DiskState::default() },
        }
    }

    /// Would a new log be taken now?
    ///
    /// # Errors
    /// Space is low, the file system is read-only, or it failed and no [`Logs::look`] has found it
    /// well since.
    pub async fn usable(&self) -> Result<(), LogError> {
        self.look(false).await.trouble.map_or(Ok(()), Err)
    }

    /// What is known of the disk, as it changes.
    pub fn disk(&self) -> watch::Receiver<DiskState> {
        self.inner.health.watch()
    }

    /// Syncs since the last call: at most 4096, the first of them.
    pub fn take_sync_samples(&self) -> Vec<SyncSample> {
        self.inner.totals.take_samples()
    }

    /// Figures of the logs being written.
    pub fn stats(&self) -> Stats {
        let (t, now) = (&self.inner.totals, self.inner.clock.now().mono);
        let get = |v: &AtomicU64| v.load(Ordering::Relaxed);
        let open = self.inner.live.open();
        let mut logs: Vec<LogStats> = open.iter().map(|s| stats(s, now)).collect();
        logs.sort_by(|a, b| a.id.cmp(&b.id));
        Stats {
            logs,
            writes: get(&t.writes),
            write_micros: get(&t.write_micros),
            syncs: get(&t.syncs),
            sync_errors: get(&t.sync_errors),
            sync_micros: get(&t.sync_micros),
            last_sync_micros: get(&t.last_sync_micros),
            damaged: self.inner.damages.count(),
            disk: self.inner.health.watch().borrow().clone(),
        }
    }
}

impl Inner {
    fn create(&self, id: LogId, sync: Sync) -> Result<Arc<Shared>, LogError> {
        let made = self.live.make(&id, || id.dir(&self.data), || self.make(id.clone(), sync));
        if let Ok(shared) = &made {
            let _ = self.sync.send(SyncOp::Register(Arc::downgrade(shared)));
            self.created.send_modify(|n| *n += 1);
        }
        made
    }

    /// Makes a log's directory, lock and first extent.
    fn make(&self, id: LogId, sync: Sync) -> Result<Arc<Shared>, LogError> {
        let dir = id.dir(&self.data);
        let fs = self.fs.as_ref();
        if let Some(trouble) = self.health.look(fs, false).trouble {
            return Err(trouble);
        }
        // Who removes the last log of a session takes its directory away, once.
        let made = fs.create_dir_all(&dir).or_else(|_| fs.create_dir_all(&dir));
        made.map_err(|e| LogError::io("create", &dir, e))?;
        let held = fs.lock(&dir.join(LOCK)).map_err(|e| LogError::io("lock", &dir, e))?;
        let Some(held) = held else { return Err(LogError::Held { path: dir }) };
        let (trimmed, extents) = there(fs, &dir)?;
        if trimmed.is_some() || !extents.is_empty() {
            return Err(LogError::Exists { path: dir });
        }
        let (generation, wrote) = (id.generation, self.options.format);
        let header = Header { extent: 0, generation, forced_roll: false, wrote };
        let current = new_extent(fs, &dir, header)?;
        let options = Options { sync, ..(*self.options).clone() };
        let (data, fs, health) = (&self.data, &self.fs, &self.health);
        Ok(Arc::new(Shared::new(id, data, fs, options, current, health, held)))
    }

    fn dead(&self, known: &BTreeSet<LogId>) -> Result<Adopted, LogError> {
        let reads = self.options.format.reads();
        recover::all(self.fs.as_ref(), &self.data, reads, &self.damages, known)
    }

    fn source(&self, id: &LogId) -> Result<Files, LogError> {
        let dir = id.dir(&self.data);
        let there = match self.live.find(id) {
            Found::Here(_) => true,
            _ => !extents(self.fs.as_ref(), &dir)?.is_empty(),
        };
        // Asked again: a writer may have come while the directory was read.
        let live = match self.live.find(id) {
            Found::Here(live) => Some(live),
            Found::Unknown if there => None,
            _ => return Err(LogError::NotFound { path: dir }),
        };
        let live = live.map(|s| {
            let rx = s.state.subscribe();
            (s, rx)
        });
        let reads = self.options.format.reads();
        let (fs, damages) = (Arc::clone(&self.fs), Some(Arc::clone(&self.damages)));
        Ok(Files { fs, id: id.clone(), dir, reads, live, damages })
    }
}

/// Runs file work where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    data: &Path,
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    let failed = |e: tokio::task::JoinError| {
        LogError::io("work in", data, std::io::Error::other(e.to_string()))
    };
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Logs({})", self.inner.data.display())
    }
}
