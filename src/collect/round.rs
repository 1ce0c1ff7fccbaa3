//! One look at everything that is on this disk, and into the bucket with what is not there.

use crate::catalog::about::{Claim, LAYOUT, Sealed, to_json};
use crate::catalog::key::{Key, Part};
use crate::collect::marks::{self, Head, Mark};
use crate::collect::pace::Pace;
use crate::collect::summary::{LogSummary, Summary};
use crate::collect::upload::{Carrier, Put, Trouble, blocking};
use crate::log::carried::Carried;
use crate::log::dir::{LogDir, all_of};
use crate::log::error::LogError;
use crate::log::id::LogId;
use crate::rt::clock::Clock;
use crate::rt::drain::Drain;
use crate::rt::task;
use crate::store::error::StoreError;
use crate::store::port::Store;
use crate::store::sum::Summer;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// How extents are brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Requests that carry bytes at a time, and logs that are worked on.
    pub concurrency: usize,
    /// Bytes a second, all together.
    pub bandwidth: Option<u64>,
    /// Read every object back, also where the store keeps its checksum.
    pub read_back: bool,
}

/// What is told while a round goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many bytes are to be sent, as far as is known before the bucket is asked.
    Found(u64),
    /// So many more were sent.
    Sent(u64),
    /// So many need not be sent.
    Spared(u64),
}

/// Who is told.
pub type Tell = Arc<dyn Fn(Step) + Send + Sync>;

/// Brings the extents of a data directory to a bucket. Cheap to clone.
#[derive(Clone)]
pub struct Collector {
    inner: Arc<Inner>,
}

struct Inner {
    data: PathBuf,
    carrier: Carrier,
    logs: Arc<Semaphore>,
    tell: Tell,
    /// What was learned before: the first extent of a log that has no mark.
    next: Mutex<HashMap<LogId, u32>>,
    /// Why the store takes nothing now: no other log waits for the same answer in this round.
    away: Mutex<Option<StoreError>>,
}

/// The first extent that is looked for in a log of which nothing is.
const DONE: u32 = u32::MAX;

/// A log in which something may have to be done.
struct Todo {
    id: LogId,
    path: PathBuf,
    dir: LogDir,
    /// How many extents it has, where none will follow.
    over: Option<u32>,
    /// Its last extent is not sealed.
    open: bool,
    /// Extents that have their mark.
    there: u32,
    /// Those that have none, and their bytes.
    wanted: Vec<(u32, u64)>,
    /// The first that is neither here nor marked: nobody knows whether it is in the bucket.
    gone: Option<u32>,
}

/// What was found on the disk.
#[derive(Default)]
struct Found {
    todo: Vec<Todo>,
    /// Logs that need nothing, or can't be read at all.
    rows: Vec<LogSummary>,
}

impl Collector {
    /// For the logs of `data`, into `store`.
    pub fn new(data: &Path, store: Store, options: Options, clock: Clock, tell: Tell) -> Collector {
        let told = Arc::clone(&tell);
        let carrier = Carrier {
            store,
            seats: Arc::new(Semaphore::new(options.concurrency)),
            pace: Pace::new(clock, options.bandwidth),
            read_back: options.read_back,
            sent: Arc::new(move |bytes| told(Step::Sent(bytes))),
        };
        let (next, away) = (Mutex::default(), Mutex::default());
        let (data, logs) = (data.to_owned(), Arc::new(Semaphore::new(options.concurrency)));
        Collector { inner: Arc::new(Inner { data, carrier, logs, tell, next, away }) }
    }

    /// Collects what is sealed now. Once the drain has started no extent is begun any more.
    ///
    /// # Errors
    /// The data directory cannot be listed. What cannot be collected is in the summary.
    pub async fn round(&self, drain: &Drain) -> Result<Summary, LogError> {
        *lock(&self.inner.away) = None;
        let Found { todo, mut rows } = self.find().await?;
        let bytes = todo.iter().flat_map(|t| &t.wanted).map(|(_, bytes)| bytes).sum();
        (self.inner.tell)(Step::Found(bytes));
        let mut tasks = Vec::new();
        for todo in todo {
            let (inner, drain) = (Arc::clone(&self.inner), drain.clone());
            let seat = Arc::clone(&self.inner.logs).acquire_owned().await;
            tasks.push(task::spawn("collect", async move {
                let row = inner.log(todo, &drain).await;
                drop(seat);
                row
            }));
        }
        for task in tasks {
            rows.extend(task.await.ok().flatten());
        }
        Ok(self.summary(rows))
    }

    /// What a round would collect: what is only here, by the marks.
    ///
    /// # Errors
    /// The data directory cannot be listed.
    pub async fn left(&self) -> Result<Summary, LogError> {
        let Found { todo, mut rows } = self.find().await?;
        for todo in todo {
            let mut row = todo.row();
            todo.leave(&mut row, 0, "it was not collected before the end".to_owned());
            rows.push(row);
        }
        Ok(self.summary(rows))
    }

    fn summary(&self, mut rows: Vec<LogSummary>) -> Summary {
        let to = self.inner.carrier.store.url().to_owned();
        let mut summary = Summary { to, ..Summary::default() };
        rows.sort_by(|a, b| a.log.cmp(&b.log));
        rows.into_iter().for_each(|row| summary.add(row));
        summary
    }

    async fn find(&self) -> Result<Found, LogError> {
        let inner = Arc::clone(&self.inner);
        let found = tokio::task::spawn_blocking(move || inner.find()).await;
        found.expect("file work that panics is a bug")
    }
}

impl Inner {
    fn find(&self) -> Result<Found, LogError> {
        let mut found = Found::default();
        for id in all_of(&self.data)? {
            let next = lock(&self.next).get(&id).copied().unwrap_or(0);
            if next == DONE {
                continue;
            }
            match self.look(&id, next) {
                Ok(Some(todo)) => found.todo.push(todo),
                Ok(None) => {
                    lock(&self.next).insert(id.clone(), DONE);
                    found.rows.push(LogSummary {
                        log: id.to_string(),
                        whole: true,
                        ..LogSummary::default()
                    });
                }
                // A writer that is about to begin has no extent yet.
                Err(LogError::NotFound { .. }) => {}
                Err(e) => found.rows.push(LogSummary {
                    log: id.to_string(),
                    why: Some(e.to_string()),
                    ..LogSummary::default()
                }),
            }
        }
        Ok(found)
    }

    /// Looks at a log on the disk; `None` when all of it is known to be in the bucket.
    fn look(&self, id: &LogId, next: u32) -> Result<Option<Todo>, LogError> {
        let (path, to) = (id.dir(&self.data), self.carrier.store.url());
        let marked = |path: &Path| Mark::read(path).is_some_and(|mark| mark.to == to);
        if next == 0 && marked(&marks::of_log(&path)) {
            return Ok(None);
        }
        let mut dir = LogDir::open(&path)?;
        let over = dir.sealed()?;
        if over.is_some() {
            // All extents are listed that were made before the log was sealed.
            dir = LogDir::open(&path)?;
        }
        let last = dir.extents().last().copied().unwrap_or(0);
        let open = matches!(dir.footer(last), Ok(None));
        let (mut there, mut wanted) = (0, Vec::new());
        for &extent in dir.extents().iter().filter(|n| !(open && **n == last)) {
            if extent < next || marked(&marks::of_extent(&path, extent)) {
                there += 1;
            } else {
                wanted.push((extent, dir.extent_bytes(extent)));
            }
        }
        let here = |n: &u32| dir.extents().binary_search(n).is_ok();
        let removed = Head::read(&marks::of_head(&path)).filter(|head| head.to == to);
        let removed = removed.map_or(0, |head| head.extents);
        let gone = (removed..last).find(|n| !here(n) && !marked(&marks::of_extent(&path, *n)));
        Ok(Some(Todo { id: id.clone(), path, dir, over, open, there, wanted, gone }))
    }

    /// Brings what a log has, in order: what comes behind something that can't be brought waits,
    /// since a repair may give it another content.
    async fn log(&self, todo: Todo, drain: &Drain) -> LogSummary {
        let mut row = todo.row();
        for (at, &(extent, bytes)) in todo.wanted.iter().enumerate() {
            let away = lock(&self.away).clone();
            if drain.started() || away.is_some() {
                let why = away.map_or("the end came first".to_owned(), |e| e.to_string());
                todo.leave(&mut row, at, why);
                return row;
            }
            match self.extent(&todo, extent).await {
                Ok(Put::Sent) => {
                    row.uploaded += 1;
                    row.uploaded_bytes += bytes;
                }
                Ok(Put::There) => {
                    row.there += 1;
                    (self.tell)(Step::Spared(bytes));
                }
                Err(e) => {
                    self.note(&e);
                    tracing::warn!(log = %todo.id, extent, "an extent can't be collected: {e}");
                    todo.leave(&mut row, at, e.to_string());
                    return row;
                }
            }
            lock(&self.next).insert(todo.id.clone(), extent + 1);
        }
        if let Some(gone) = todo.gone {
            let dir = todo.path.display();
            row.why =
                Some(format!("extent {gone} is not in {dir}, and was not collected from there"));
        } else if let Some(extents) = todo.over.filter(|_| !todo.open) {
            match self.seal(&todo, extents, row.uploaded_bytes).await {
                Ok(()) => row.whole = true,
                Err(e) => {
                    self.note(&e);
                    row.why = Some(e.to_string());
                }
            }
        }
        row
    }

    /// A store that takes nothing now takes nothing of the next log either.
    fn note(&self, e: &Trouble) {
        if let Trouble::Store(e @ (StoreError::Unavailable { .. } | StoreError::Denied { .. })) = e
        {
            *lock(&self.away) = Some(e.clone());
        }
    }

    async fn extent(&self, todo: &Todo, extent: u32) -> Result<Put, Trouble> {
        let dir = todo.dir.clone();
        let opened = blocking(move || {
            let Some(carried) = Carried::open(&dir, extent)? else {
                return Err(dir.unsealed(extent));
            };
            let mut summer = Summer::default();
            carried.verify(&mut |bytes| summer.take(bytes))?;
            Ok((Arc::new(carried), summer.sum()))
        });
        let (carried, sum) = opened.await?;
        let log = &todo.id;
        if extent == 0 {
            let claim = Claim { layout: LAYOUT, log: log.to_string(), first: sum.to_string() };
            self.carrier.small(&Key::of(log, Part::Claim), to_json(&claim)).await?;
        }
        let put = self.carrier.extent(&Key::of(log, Part::Extent(extent)), &carried, &sum).await?;
        let path = marks::of_extent(&todo.path, extent);
        let mark = Mark::extent(self.carrier.store.url(), carried.bytes(), &sum);
        self.mark(mark, path).await?;
        Ok(put)
    }

    /// Says that no extent follows, in the bucket and then here.
    async fn seal(&self, todo: &Todo, extents: u32, bytes: u64) -> Result<(), Trouble> {
        let sealed = to_json(&Sealed { layout: LAYOUT, extents });
        self.carrier.small(&Key::of(&todo.id, Part::Sealed), sealed).await?;
        let to = self.carrier.store.url().to_owned();
        self.mark(Mark { to, bytes, sha256: None }, marks::of_log(&todo.path)).await?;
        lock(&self.next).insert(todo.id.clone(), DONE);
        Ok(())
    }

    async fn mark(&self, mark: Mark, path: PathBuf) -> Result<(), Trouble> {
        let written = tokio::task::spawn_blocking(move || {
            mark.write(&path).map_err(|source| Trouble::Mark { path, source })
        });
        written.await.expect("file work that panics is a bug")
    }
}

impl Todo {
    /// What is to be said of it before anything is done.
    fn row(&self) -> LogSummary {
        LogSummary {
            log: self.id.to_string(),
            extents: self.dir.extents().len() as u32,
            there: self.there,
            open: self.open,
            ..LogSummary::default()
        }
    }

    /// What is wanted from the one at `at` on is left.
    fn leave(&self, row: &mut LogSummary, at: usize, why: String) {
        let left = &self.wanted[at.min(self.wanted.len())..];
        row.left = left.len() as u32;
        row.left_bytes = left.iter().map(|(_, bytes)| bytes).sum();
        row.why = (row.left > 0).then_some(why);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
