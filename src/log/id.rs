//! Which log is meant, and where it lies below the data directory.

use crate::base::ids::{Channel, Generation, Session};
use std::fmt;
use std::path::{Path, PathBuf};

/// Names a log: one writer incarnation of one channel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The channel.
    pub channel: Channel,
    /// The session that the generation belongs to.
    pub session: Session,
    /// The writer incarnation.
    pub generation: Generation,
}

/// The directory below the data directory that all logs lie in.
pub const LOGS: &str = "logs";

/// The file whose lock a writer holds for life.
pub(super) const LOCK: &str = "lock";

/// The file that says, by being there, that the log was sealed and all of it made durable.
pub(super) const SEALED: &str = "sealed";

/// What an extent's file name ends with.
const EXTENT: &str = ".extent";

impl LogId {
    /// `{data}/logs/{channel}/s{session}/g{generation}`.
    pub fn dir(&self, data: &Path) -> PathBuf {
        data.join(LOGS)
            .join(self.channel.as_str())
            .join(format!("s{}", self.session))
            .join(format!("g{}", self.generation))
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s{}/g{}", self.channel, self.session, self.generation)
    }
}

/// The file name of an extent: eight digits, so that a directory listing is in order.
pub(super) fn extent_name(extent: u32) -> String {
    format!("{extent:08}{EXTENT}")
}

/// Reads what [`extent_name`] gave.
pub(super) fn extent_index(name: &str) -> Option<u32> {
    let index = name.strip_suffix(EXTENT)?.parse().ok()?;
    (extent_name(index) == name).then_some(index)
}

/// The number in a directory name like `s12`.
pub(super) fn numbered(name: &str, letter: char) -> Option<u64> {
    let n: u64 = name.strip_prefix(letter)?.parse().ok()?;
    (format!("{letter}{n}") == name).then_some(n)
}
