//! How a log was sealed, as its writer is told.

use crate::log::error::LogError;
use crate::log::format::Position;
use crate::log::id::LogId;
use crate::media::timeline::mark::End;

/// How a log was sealed.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The log.
    pub id: LogId,
    /// Its end record, or what its marks amount to when it has none.
    pub end: End,
    /// Where its last record ends.
    pub position: Position,
    /// How many extents it has.
    pub extents: u32,
    /// Why it had to be sealed before everything that was appended was written, or is not known to
    /// be durable.
    pub failed: Option<LogError>,
    /// Not even the footer could be written: recovery will seal it. What it holds can be read.
    pub left_open: bool,
}
