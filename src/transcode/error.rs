//! Why a job ends before its source does.

use crate::av::error::CoderError;
use crate::transcode::settings::SettingsError;
use crate::transcode::wire::WireError;

/// Why a worker gave up.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// What it was told to do cannot be done.
    #[error("the job's settings: {0}")]
    Settings(#[from] SettingsError),
    /// What it reads is no stream of records.
    #[error("the source: {0}")]
    Source(#[from] WireError),
    /// Reading failed.
    #[error("cannot read the source: {0}")]
    Read(#[source] std::io::Error),
    /// Writing failed: nobody takes what is made.
    #[error("cannot write what was made: {0}")]
    Write(#[source] std::io::Error),
    /// The source's pictures cannot be decoded.
    #[error("decoding the source: {0}")]
    Decode(#[source] CoderError),
    /// A rung, or the sound, cannot be made.
    #[error("{what}: {source}")]
    Encode {
        /// The rung's name, or `audio`.
        what: String,
        /// The library's answer.
        source: CoderError,
    },
    /// A thread ended in a way that it never should.
    #[error("the thread {0} is gone")]
    Thread(String),
}
