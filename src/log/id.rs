//! What lies in a log's directory, by its name.

pub use crate::base::log_id::{LOGS, LogId, NotALog, RUNG_NAME_MAX, Rung, numbered, written};

/// The file whose lock a writer holds for life.
pub(super) const LOCK: &str = "lock";

/// The file that says, by being there, that the log was sealed and all of it made durable.
pub const SEALED: &str = "sealed";

/// The file that says which extents were removed.
pub(super) const TRIMMED: &str = "trimmed";

/// What an extent's file name ends with.
const EXTENT: &str = ".extent";

/// The file name of an extent: eight digits, so that a directory listing is in order.
pub(super) fn extent_name(extent: u32) -> String {
    format!("{extent:08}{EXTENT}")
}

/// Reads what [`extent_name`] gave.
pub(super) fn extent_index(name: &str) -> Option<u32> {
    let index = name.strip_suffix(EXTENT)?.parse().ok()?;
    (extent_name(index) == name).then_some(index)
}
