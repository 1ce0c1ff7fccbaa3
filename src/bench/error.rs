//! Why a measurement could not be made.

use crate::base::error::Kind;
use crate::log::error::LogError;
use crate::media::flv::FlvError;
use crate::rtmp::error::SessionError;
use std::path::PathBuf;

/// Why a measurement could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A program that is needed is not installed.
    #[error("{what} is not installed ({path}): {mend}")]
    Missing {
        /// The program.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What to do about it.
        mend: &'static str,
    },
    /// Server and load cannot have a core each.
    #[error("this measurement pins the server to one core and the load to another: it needs two")]
    OneCore,
    /// The clip can't be read as FLV.
    #[error("clip {path}: {source}")]
    Clip {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: FlvError,
    },
    /// The clip can't be looped or measured with.
    #[error("clip {path} {why}")]
    UnfitClip {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        why: &'static str,
    },
    /// A program that was started failed.
    #[error("{name} {why}{}", words(.said))]
    Server {
        /// Which.
        name: String,
        /// What happened.
        why: String,
        /// The last of what it said on stderr.
        said: String,
    },
    /// A publisher lost its connection, or never had one.
    #[error("publisher {number} to {host}: {why}")]
    Publish {
        /// Which of the pool, from 0.
        number: usize,
        /// Where to.
        host: String,
        /// What happened.
        why: String,
    },
    /// The viewer saw nothing.
    #[error("the viewer of {url} {why}")]
    Viewer {
        /// What was watched.
        url: String,
        /// What was missing.
        why: String,
    },
    /// A file or process of ours.
    #[error("cannot {verb} {path}: {source}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A log could not be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The RTMP session could not begin.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl BenchError {
    /// Wraps an error of the file system.
    pub fn io(
        verb: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> BenchError {
        let path = path.into();
        move |source| BenchError::Io { verb, path, source }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            BenchError::Missing { .. }
            | BenchError::OneCore
            | BenchError::Clip { .. }
            | BenchError::UnfitClip { .. } => Kind::Invalid,
            _ => Kind::Internal,
        }
    }
}

fn words(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; it said:\n{said}") }
}
