//! Where a log is read by its records: its files here, or another node's.

use crate::log::damage::Damages;
use crate::log::error::LogError;
use crate::log::format::version::Range;
use crate::log::fs::FileSystem;
use crate::log::id::LogId;
use crate::log::reader::Place;
use crate::log::remote::follow::Followed;
use crate::log::shared::{Shared, State};
use crate::log::tail::Tail;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

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
    pub(super) fn id(&self) -> &LogId {
        match self {
            Site::Disk(files) => &files.id,
            Site::Node(log, _) => &log.id,
        }
    }

    /// How far the log goes, where somebody here knows.
    pub(super) fn state(&self) -> Option<State> {
        match self {
            Site::Disk(files) => files.state(),
            Site::Node(_, rx) => Some(*rx.borrow()),
        }
    }

    pub(super) fn changes(&mut self) -> Option<&mut watch::Receiver<State>> {
        match self {
            Site::Disk(files) => files.live.as_mut().map(|(_, rx)| rx),
            Site::Node(_, rx) => Some(rx),
        }
    }

    /// The newest records in memory.
    pub(super) fn tail(&self) -> Option<&Mutex<Tail>> {
        match self {
            Site::Disk(files) => files.live.as_ref().map(|(shared, _)| &shared.tail),
            Site::Node(log, _) => Some(&log.tail),
        }
    }

    /// For messages.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Site::Disk(files) => files.dir.clone(),
            Site::Node(log, _) => log.path(),
        }
    }

    /// Why nothing comes any more of a log that is not sealed.
    pub(super) fn gone(&self) -> LogError {
        match self {
            Site::Disk(files) => LogError::WriterGone { path: files.dir.clone() },
            Site::Node(log, _) => log.gone(),
        }
    }
}
