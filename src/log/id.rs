//! Which log is meant, and where it lies below the data directory.

use crate::base::ids::{Channel, Generation, Session};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

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

/// Why a text names no log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a log is named by its channel, session and generation, like main/s1/g1")]
pub struct NotALog;

impl FromStr for LogId {
    type Err = NotALog;

    /// Reads what [`fmt::Display`] wrote, and nothing else.
    fn from_str(s: &str) -> Result<LogId, NotALog> {
        let mut parts = s.split('/');
        let mut next = || parts.next().ok_or(NotALog);
        let (channel, session, generation) = (next()?, next()?, next()?);
        let id = LogId {
            channel: channel.parse().map_err(|_| NotALog)?,
            session: Session(numbered(session, 's').ok_or(NotALog)?),
            generation: Generation(numbered(generation, 'g').ok_or(NotALog)?),
        };
        if parts.next().is_none() { Ok(id) } else { Err(NotALog) }
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
