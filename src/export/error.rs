//! Why nothing could be exported. What could be exported in part is a `summary` with its damage.

use crate::base::error::Kind;
use crate::base::time::Wall;
use crate::log::error::LogError;
use crate::media::codec::CodecError;
use crate::media::fmp4::init::Fmp4Error;
use std::path::PathBuf;

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A directory of several sessions and no word on which.
    #[error("{} holds the sessions {}: {why}", path.display(), list(sessions))]
    Sessions {
        /// The directory.
        path: PathBuf,
        /// Their numbers.
        sessions: Vec<u64>,
        /// What to do.
        why: &'static str,
    },
    /// The range ends before it begins.
    #[error("the range is empty: it ends at {to}, and begins at {from}")]
    Backwards {
        /// Its start.
        from: Wall,
        /// Its end.
        to: Wall,
    },
    /// No media in the range.
    #[error("nothing is recorded in that range{}", range(.covers))]
    Nothing {
        /// What the recording covers, as far as it is known.
        covers: Option<(Wall, Wall)>,
    },
    /// The target is there already.
    #[error("{} exists: give another name, or --force", path.display())]
    Exists {
        /// The file or directory.
        path: PathBuf,
    },
    /// The target is a directory that no export wrote.
    #[error("{} is not an exported folder and is left alone", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Somebody closed the pipe that was written to: they have what they want.
    #[error("the reader of the output is gone")]
    Closed,
    /// A configuration that cannot be written.
    #[error(transparent)]
    Mp4(#[from] Fmp4Error),
    /// A configuration that cannot be read.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A log says something else at the second look.
    #[error("the log changed while it was read: {what}; try again")]
    Changed {
        /// What was missing.
        what: String,
    },
}

impl ExportError {
    /// Wraps an error of the file system.
    pub fn io(
        verb: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> ExportError {
        let path = path.into();
        move |source| match source.kind() {
            std::io::ErrorKind::BrokenPipe => ExportError::Closed,
            _ => ExportError::Io { verb, path, source },
        }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            ExportError::Log(e) => match e.kind() {
                Kind::NotFound | Kind::DataLoss => Kind::Invalid,
                kind => kind,
            },
            ExportError::Sessions { .. }
            | ExportError::Backwards { .. }
            | ExportError::Nothing { .. }
            | ExportError::Exists { .. }
            | ExportError::Foreign { .. } => Kind::Invalid,
            _ => Kind::Internal,
        }
    }
}

fn list(sessions: &[u64]) -> String {
    let all: Vec<String> = sessions.iter().map(u64::to_string).collect();
    all.join(", ")
}

fn range(covers: &Option<(Wall, Wall)>) -> String {
    covers.map_or(String::new(), |(from, to)| format!(": the recording covers {from} to {to}"))
}
