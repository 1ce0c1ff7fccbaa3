//! What can go wrong with a log, with the path in every message.

use crate::base::error::Kind;
use crate::base::units::HumanBytes;
use crate::log::format::extent::HeaderError;
use crate::log::format::{FormatError, Position};
use crate::store::error::StoreError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A log could not be written, read or opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The operating system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried: `write`, `sync`, `open`, ...
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Its answer.
        source: Arc<io::Error>,
    },
    /// Another writer holds the log's lock.
    #[error("the log {} is being written by a running process (its lock is held)", path.display())]
    Held {
        /// The log's directory.
        path: PathBuf,
    },
    /// A log is written once, by one writer.
    #[error("the log {} already holds records: a generation is written only once", path.display())]
    Exists {
        /// The log's directory.
        path: PathBuf,
    },
    /// New logs are refused while the disk is nearly full; running ones go on.
    #[error(
        "{} has {} free, less than the {} that new logs need",
        path.display(), HumanBytes(*free), HumanBytes(*needed)
    )]
    LowSpace {
        /// The data directory.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that must be free.
        needed: u64,
    },
    /// Nothing can be written.
    #[error(
        "the file system of {} is read-only: remount it for writing (the kernel's log says why, \
         where nobody did it)", path.display()
    )]
    ReadOnly {
        /// The directory of logs.
        path: PathBuf,
    },
    /// There is no such log.
    #[error("there is no log at {}", path.display())]
    NotFound {
        /// Where it would be.
        path: PathBuf,
    },
    /// It was there: this place keeps the log from a later extent on.
    #[error("the log {} begins with extent {first} here: what was before is gone", path.display())]
    Removed {
        /// The log's directory.
        path: PathBuf,
        /// The first extent that is there.
        first: u32,
    },
    /// The position is no record's start, or the log has not come that far.
    #[error("position {position} of the log {} is not the start of a record in it", path.display())]
    NoSuchPosition {
        /// The log's directory.
        path: PathBuf,
        /// The position.
        position: Position,
    },
    /// More was asked for at once than a reader may hold.
    #[error("{from} to {to} is longer than the {} one read may ask for", HumanBytes(*max))]
    RangeTooLong {
        /// Its start.
        from: Position,
        /// Its end.
        to: Position,
        /// The limit in bytes.
        max: u64,
    },
    /// Stored bytes are not what was written.
    #[error("{} is damaged at byte {offset}: {why}", path.display())]
    Damaged {
        /// The extent's file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// The file is not an extent of this log that this version reads.
    #[error("{}: {source}", path.display())]
    Header {
        /// The extent's file.
        path: PathBuf,
        /// Why not.
        source: HeaderError,
    },
    /// The value does not fit the format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The writer went away without sealing; `recover` will.
    #[error("the writer of the log {} is gone and has not sealed it", path.display())]
    WriterGone {
        /// The log's directory.
        path: PathBuf,
    },
    /// A newer generation goes on with the session: nothing more is taken.
    #[error("the log {} was replaced by a newer generation's", path.display())]
    Replaced {
        /// The log's directory.
        path: PathBuf,
    },
    /// An archive did not give what was asked of it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another node did not give what was asked of it.
    #[error("{url}: {why}")]
    Upstream {
        /// What was asked.
        url: String,
        /// Its answer, or why there is none.
        why: String,
        /// What can be done about it.
        kind: Kind,
    },
}

impl LogError {
    /// The operating system refused something.
    pub fn io(what: &'static str, path: &Path, source: io::Error) -> LogError {
        LogError::Io { what, path: path.to_owned(), source: Arc::new(source) }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            LogError::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Exhausted,
                io::ErrorKind::NotFound => Kind::NotFound,
                _ => Kind::Internal,
            },
            LogError::Held { .. } | LogError::Exists { .. } => Kind::Conflict,
            LogError::LowSpace { .. } => Kind::Exhausted,
            LogError::ReadOnly { .. } => Kind::Unavailable,
            LogError::NotFound { .. } | LogError::Removed { .. } => Kind::NotFound,
            LogError::NoSuchPosition { .. }
            | LogError::RangeTooLong { .. }
            | LogError::Format(_) => Kind::Invalid,
            // Nothing is wrong with it: a newer reader reads it.
            LogError::Header { source, .. } if !source.is_damage() => Kind::Unavailable,
            LogError::Damaged { .. } | LogError::Header { .. } => Kind::DataLoss,
            LogError::WriterGone { .. } | LogError::Replaced { .. } => Kind::Unavailable,
            LogError::Store(e) => e.kind(),
            LogError::Upstream { kind, .. } => *kind,
        }
    }
}
