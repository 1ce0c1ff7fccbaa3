//! Removing from the disk what is in the bucket and not wanted here any more (`retention` says
//! what). The mark beside an extent is the proof that it is there, and is read again before the
//! extent goes; the bucket is not asked: what its owner let expire is not to fill the disk.
//!
//! | step | killed behind it |
//! |---|---|
//! | `head.collected` says that the extents before N are in the bucket | nothing has changed |
//! | the log begins with N (`log::trim`) | the next round goes on |
//! | the marks of the removed extents go, for which that one stands | the next round goes on |

use crate::base::time::{Wall, micros};
use crate::base::units::HumanBytes;
use crate::collect::marks::{self, Head, Mark};
use crate::collect::retention::{Extent, Log, Policy, Removal, choose};
use crate::collect::summary::Summary;
use crate::log::dir::{LogDir, all_of};
use crate::log::error::LogError;
use crate::log::fs::{Disk, FileSystem};
use crate::log::id::{LOGS, LogId};
use crate::log::trim::{self, Removed};
use crate::rt::clock::Clock;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// Removes what is collected. Cheap to clone.
#[derive(Clone)]
pub struct Retainer {
    inner: Arc<Inner>,
}

struct Inner {
    data: PathBuf,
    to: String,
    policy: Policy,
    clock: Clock,
    /// What was learned of extents: they never change.
    known: Mutex<HashMap<LogId, HashMap<u32, Extent>>>,
}

/// Why something stays that was to go.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("cannot write or remove marks in {}: {source}", path.display())]
    Mark { path: PathBuf, source: io::Error },
}

impl Retainer {
    /// For the logs of `data` that are collected to the bucket at `to`.
    pub fn new(data: &Path, to: &str, policy: Policy, clock: Clock) -> Retainer {
        let (data, to, known) = (data.to_owned(), to.to_owned(), Mutex::default());
        Retainer { inner: Arc::new(Inner { data, to, policy, clock, known }) }
    }

    /// Removes what may go now, and notes it in the summary of what was collected before.
    pub async fn round(&self, mut summary: Summary) -> Summary {
        if self.inner.policy.is_idle() {
            return summary;
        }
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || {
            inner.round(&mut summary);
            summary
        });
        done.await.expect("file work that panics is a bug")
    }
}

impl Inner {
    /// Blocks.
    fn round(&self, summary: &mut Summary) {
        let logs = match self.logs(summary) {
            Ok(logs) => logs,
            Err(e) => return summary.kept = Some(e.to_string()),
        };
        let free = self.free();
        let now = self.clock.now().wall;
        for removal in choose(&logs, self.policy, free.unwrap_or(u64::MAX), now) {
            match self.remove(&removal) {
                Ok(Some(removed)) => note(summary, &removal, removed),
                Ok(None) => {}
                Err(e) => {
                    tracing::warn!(log = %removal.id, "what is collected can't be removed: {e}");
                    summary.kept = Some(e.to_string());
                }
            }
        }
        if let (Some(wanted), Some(free)) = (self.policy.free, self.free())
            && free < wanted
        {
            let (free, wanted) = (HumanBytes(free), HumanBytes(wanted));
            let data = self.data.display();
            let why = format!(
                "{data} has {free} free, less than the {wanted} that are wanted, and nothing more \
                 may be removed"
            );
            summary.kept.get_or_insert(why);
        }
    }

    fn free(&self) -> Option<u64> {
        let logs = self.data.join(LOGS);
        Disk.free_space(&logs).inspect_err(|e| tracing::warn!("the free space: {e}")).ok()
    }

    /// What lies on the disk and is collected.
    fn logs(&self, summary: &mut Summary) -> Result<Vec<Log>, LogError> {
        let (mut found, ids) = (Vec::new(), all_of(&self.data)?);
        self.known().retain(|id, _| ids.binary_search(id).is_ok());
        for id in ids {
            match self.look(&id) {
                Ok(log) => found.extend(log),
                // Nothing is in it yet, or not any more.
                Err(LogError::NotFound { .. }) => {}
                // That is told by who collects it.
                Err(e) => {
                    tracing::debug!(log = %id, "{e}");
                    summary.kept.get_or_insert(e.to_string());
                }
            }
        }
        Ok(found)
    }

    /// Looks at a log; `None` of one of which nothing may go.
    fn look(&self, id: &LogId) -> Result<Option<Log>, LogError> {
        let dir = id.dir(&self.data);
        if trim::is_being_removed(&Disk, &dir)? {
            trim::remove(&Disk, &dir, id, &is_own)?;
            return Ok(None);
        }
        let begins = trim::first(&Disk, &dir)?;
        let head = Head::read(&marks::of_head(&dir)).filter(|head| head.to == self.to);
        let log = LogDir::open(&dir)?;
        let (over, all) = (log.sealed()?, log.extents());
        // What was removed was not collected here, or something is missing.
        if head.map_or(0, |head| head.extents) < begins || all[0] != begins {
            return Ok(None);
        }
        let mut collected = Vec::new();
        for (due, extent) in (begins..).zip(all) {
            match self.extent(id, &log, *extent)? {
                Some(known) if due == *extent => collected.push(known),
                _ => break,
            }
        }
        let marked = Mark::read(&marks::of_log(&dir)).is_some_and(|mark| mark.to == self.to);
        let past = collected.last().map(|last| last.number + 1);
        let whole = marked && over.is_some() && over == past;
        Ok(Some(Log { id: id.clone(), collected, whole }))
    }

    /// What is known of an extent; `None` where it is not collected.
    fn extent(&self, id: &LogId, log: &LogDir, extent: u32) -> Result<Option<Extent>, LogError> {
        if let Some(known) = self.known().get(id).and_then(|log| log.get(&extent)) {
            return Ok(Some(*known));
        }
        if !self.is_marked(&id.dir(&self.data), extent) {
            return Ok(None);
        }
        let Some(footer) = log.footer(extent)? else { return Ok(None) };
        let (path, bytes) = (log.extent_path(extent), log.extent_bytes(extent));
        let written = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
        let written = written.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        // Of which nothing is known is young.
        let written = written.map_or(Wall(i64::MAX), |at| Wall(micros(at)));
        let newest = footer.wall.map_or(written, |wall| wall.1.max(written));
        let found = Extent { number: extent, bytes, newest };
        self.known().entry(id.clone()).or_default().insert(extent, found);
        Ok(Some(found))
    }

    fn is_marked(&self, dir: &Path, extent: u32) -> bool {
        Mark::read(&marks::of_extent(dir, extent)).is_some_and(|mark| mark.to == self.to)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<LogId, HashMap<u32, Extent>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes what was chosen; `None` where something speaks against it now.
    fn remove(&self, removal: &Removal) -> Result<Option<Removed>, Trouble> {
        let Removal { id, to, extents } = removal;
        let dir = id.dir(&self.data);
        let known = self.known().remove(id);
        if let Some(bare) = extents.iter().find(|e| !self.is_marked(&dir, e.number)) {
            tracing::warn!(log = %id, extent = bare.number, "its mark is gone, so it stays");
            return Ok(None);
        }
        let Some(to) = *to else { return Ok(trim::remove(&Disk, &dir, id, &is_own)?) };
        let path = marks::of_head(&dir);
        let before = Head::read(&path).map_or(0, |head| head.bytes);
        let head = Head { to: self.to.clone(), extents: to, bytes: before + removal.bytes() };
        head.write(&path).map_err(|source| Trouble::Mark { path, source })?;
        let removed = trim::trim(&Disk, &dir, id, to)?;
        forget_marks(&dir, to).map_err(|source| Trouble::Mark { path: dir, source })?;
        if let Some(mut known) = known {
            known.retain(|n, _| *n >= to);
            self.known().insert(id.clone(), known);
        }
        Ok(Some(removed))
    }
}

/// Removes the marks of the extents before `to`: one stands for them all.
fn forget_marks(dir: &Path, to: u32) -> io::Result<()> {
    for name in Disk.list(dir)? {
        let extent = name.strip_suffix(".collected").and_then(|n| n.parse().ok());
        if extent.is_some_and(|n: u32| n < to) {
            std::fs::remove_file(dir.join(name))?;
        }
    }
    Ok(())
}

/// Is this the name of a file that a collector writes beside a log?
fn is_own(name: &str) -> bool {
    name == "collected" || name.ends_with(".collected") || name.ends_with(".part")
}

/// Says what was removed.
fn note(summary: &mut Summary, removal: &Removal, removed: Removed) {
    let whole = removal.to.is_none();
    let newest = removal.extents.last().map(|e| e.newest).unwrap_or_default();
    tracing::info!(log = %removal.id, extents = removed.extents, bytes = removed.bytes, whole,
        until = %newest, "removed what is in the bucket");
    summary.remove(&removal.id.to_string(), removed.extents, removed.bytes, whole);
}
