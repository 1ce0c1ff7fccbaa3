//! Why a target cannot be looked at, at all. Whatever can be read in part is a report.

use crate::log::error::LogError;
use crate::log::format::extent::HeaderError;
use crate::rtmp::error::SessionError;
use std::path::PathBuf;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// A file or directory that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A path that is nothing castctl knows.
    #[error("{} is no log, no extent of one and no FLV file", path.display())]
    Unknown {
        /// The path.
        path: PathBuf,
    },
    /// A log of a later version of the format, whose meaning this one does not know.
    #[error("{}: {why}: nothing of the log is read", path.display())]
    Version {
        /// The extent's file.
        path: PathBuf,
        /// Which version.
        why: HeaderError,
    },
    /// One log can be followed at a time.
    #[error("there are {logs} logs below {}: name the directory of one (…/g1)", path.display())]
    Several {
        /// The path.
        path: PathBuf,
        /// How many.
        logs: usize,
    },
    /// A log that cannot be read on.
    #[error(transparent)]
    Log(LogError),
    /// No connection to an RTMP server.
    #[error("cannot connect to {host} port {port}: {source}")]
    Connect {
        /// Host of the URL.
        host: String,
        /// Port of the URL.
        port: u16,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The server does not let the stream be played.
    #[error("the stream cannot be played: {0}")]
    Play(#[from] SessionError),
    /// The server closed before it said anything.
    #[error("the server closed the connection without a reason")]
    Closed,
    /// A URL that cannot be fetched.
    #[error("cannot fetch {url}: {why}")]
    Fetch {
        /// The URL.
        url: String,
        /// What happened.
        why: String,
    },
    /// What was fetched is no playlist.
    #[error("{url} is no HLS playlist: {why}")]
    Playlist {
        /// The URL.
        url: String,
        /// Why not.
        why: String,
    },
}
