//! Can the disk take a new log? What one look at it tells, and what writers ran into meanwhile. No
//! clock here: whoever looks says when.

use crate::log::error::LogError;
use crate::log::fs::{FileSystem, Open};
use crate::log::io::{RESERVE, RESERVE_STEP};
use crate::log::shared::lock;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tokio::sync::watch;

/// The file, beside the logs, that a probe writes to.
const PROBE: &str = ".probe";

/// Bytes that a probe writes: a block of any file system.
const PROBE_BYTES: usize = 4 << 10;

/// Room that a probe asks for: what a new log reserves, and as much again.
const PROBE_ROOM: u64 = 2 * (RESERVE + RESERVE_STEP);

/// What is known of the disk.
#[derive(Debug, Clone, Default)]
pub struct DiskState {
    /// Free bytes at the last look; `None` before the first, or where it could not be told.
    pub free: Option<u64>,
    /// Fewer bytes are free than new logs need.
    pub low: bool,
    /// Why no new log is taken; `None` when all is well.
    pub trouble: Option<LogError>,
}

/// The disk of one directory of logs.
#[derive(Debug)]
pub(super) struct Health {
    root: PathBuf,
    needed: u64,
    state: watch::Sender<DiskState>,
    /// What a write or a sync ran into, until a probe has written again.
    failing: Mutex<Option<LogError>>,
}

impl Health {
    pub(super) fn new(root: PathBuf, needed: u64) -> Health {
        let state = watch::Sender::new(DiskState::default());
        Health { root, needed, state, failing: Mutex::default() }
    }

    pub(super) fn watch(&self) -> watch::Receiver<DiskState> {
        self.state.subscribe()
    }

    /// A write or a sync failed.
    pub(super) fn failed(&self, error: &LogError) {
        if !matches!(error, LogError::Io { .. }) {
            return;
        }
        *lock(&self.failing) = Some(error.clone());
        self.state.send_modify(|s| {
            s.trouble.get_or_insert_with(|| error.clone());
        });
    }

    /// Looks at the disk without writing: free space and how it is mounted. With `probe`, and where
    /// something failed before, it also writes, syncs and reserves room as a log does: only that
    /// can tell that it is well again. May block.
    pub(super) fn look(&self, fs: &dyn FileSystem, probe: bool) -> DiskState {
        let was_low = self.state.borrow().low;
        let (free, space) = match fs.free_space(&self.root) {
            Ok(free) => (Some(free), None),
            Err(e) => (None, Some(LogError::io("measure the free space of", &self.root, e))),
        };
        // Once low, it takes an eighth more to be well: no flapping at the mark.
        let needed =
            if was_low { self.needed.saturating_add(self.needed / 8) } else { self.needed };
        let low = free.is_some_and(|free| free < needed);
        let read_only = fs.is_read_only(&self.root).unwrap_or(false);
        let trouble = if read_only {
            Some(LogError::ReadOnly { path: self.root.clone() })
        } else if let (true, Some(free)) = (low, free) {
            Some(LogError::LowSpace { path: self.root.clone(), free, needed })
        } else {
            space.or_else(|| self.still_failing(fs, probe))
        };
        let state = DiskState { free, low, trouble };
        self.state.send_replace(state.clone());
        state
    }

    fn still_failing(&self, fs: &dyn FileSystem, probe: bool) -> Option<LogError> {
        let failing = lock(&self.failing).clone();
        if failing.is_none() || !probe {
            return failing;
        }
        let now = try_write(fs, &self.root).err();
        // A failure that came meanwhile stays for the next look.
        let mut kept = lock(&self.failing);
        if kept.as_ref().map(ToString::to_string) == failing.map(|e| e.to_string()) {
            kept.clone_from(&now);
        }
        kept.clone()
    }
}

/// Writes a block, syncs it and reserves a log's room.
fn try_write(fs: &dyn FileSystem, root: &Path) -> Result<(), LogError> {
    let path = root.join(PROBE);
    let opened = fs.open(&path, Open::Write).or_else(|_| fs.open(&path, Open::Create));
    let tried = opened.and_then(|file| {
        file.allocate(0, PROBE_ROOM)?;
        file.write_at(&[&[0; PROBE_BYTES]], 0)?;
        file.sync_data()?;
        file.truncate(0)
    });
    tried.map_err(|e| LogError::io("write a probe to", &path, e))
}
