//! Names of logs: which writer of which session of which channel, and of which rung.

use crate::base::ids::{Channel, Generation, Job, Session, Writer};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// Names a log: one writer incarnation of one channel, or of one rung of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The channel.
    pub channel: Channel,
    /// The session that the generation belongs to.
    pub session: Session,
    /// The writer incarnation at an origin.
    pub generation: Generation,
    /// The rung that a transcoder made of it; `None`: the source.
    pub rung: Option<Arc<Rung>>,
}

/// Longest name of a rung in bytes: it is in URLs and paths.
pub const RUNG_NAME_MAX: usize = 32;

/// A rung of a generation, as one job made it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rung {
    /// The writer incarnation at a transcoder.
    pub job: Job,
    /// The rendition's name: 1 to [`RUNG_NAME_MAX`] of `a-z 0-9 -`.
    pub name: Arc<str>,
}

/// The directory below the data directory that all logs lie in.
pub const LOGS: &str = "logs";

impl LogId {
    /// The source's log of a generation.
    pub fn source(channel: Channel, session: Session, generation: Generation) -> LogId {
        LogId { channel, session, generation, rung: None }
    }

    /// Who writes it.
    pub fn writer(&self) -> Writer {
        Writer { generation: self.generation, job: self.rung.as_ref().map(|r| r.job) }
    }

    /// `{data}/logs/{channel}/s{session}/g{generation}`; of a rung
    /// `.../g{generation}.{job}-{rung}`.
    pub fn dir(&self, data: &Path) -> PathBuf {
        data.join(LOGS)
            .join(self.channel.as_str())
            .join(format!("s{}", self.session))
            .join(self.last())
    }

    /// The last component of its name.
    fn last(&self) -> String {
        match &self.rung {
            None => format!("g{}", self.generation),
            Some(rung) => format!("g{}-{}", self.writer(), rung.name),
        }
    }
}

/// Why a text names no log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a log is named by its channel, session and generation, like main/s1/g1, and a rung's by its \
     job and name too, like main/s1/g1.1-720p"
)]
pub struct NotALog;

impl FromStr for LogId {
    type Err = NotALog;

    /// Reads what [`fmt::Display`] wrote, and nothing else.
    fn from_str(s: &str) -> Result<LogId, NotALog> {
        let mut parts = s.split('/');
        let mut next = || parts.next().ok_or(NotALog);
        let (channel, session, last) = (next()?, next()?, next()?);
        let (generation, rung) = written(last).ok_or(NotALog)?;
        let channel = channel.parse().map_err(|_| NotALog)?;
        let session = Session(numbered(session, 's').ok_or(NotALog)?);
        let id = LogId { channel, session, generation, rung };
        if parts.next().is_none() { Ok(id) } else { Err(NotALog) }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s{}/{}", self.channel, self.session, self.last())
    }
}

/// The generation, and the rung, in a directory name like `g3` or `g3.1-720p`.
pub fn written(name: &str) -> Option<(Generation, Option<Arc<Rung>>)> {
    let Some((writer, rung)) = name.split_once('-') else {
        return Some((Generation(numbered(name, 'g')?), None));
    };
    let (generation, job) = writer.split_once('.')?;
    let number: u32 = job.parse().ok()?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_name = (1..=RUNG_NAME_MAX).contains(&rung.len())
        && rung.bytes().all(|b| plain(b) || b == b'-')
        && rung.bytes().next().is_some_and(plain);
    let good = is_name && number > 0 && number.to_string() == job;
    let generation = Generation(numbered(generation, 'g')?);
    let rung = Rung { job: Job(number), name: rung.into() };
    good.then(|| (generation, Some(Arc::new(rung))))
}

/// The number in a directory name like `s12`.
pub fn numbered(name: &str, letter: char) -> Option<u64> {
    let n: u64 = name.strip_prefix(letter)?.parse().ok()?;
    (format!("{letter}{n}") == name).then_some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_one_name() {
        for name in ["main/s1/g1", "a-b/s12/g3.1-720p", "a/s1/g2.13-1080p60-av1"] {
            let id: LogId = name.parse().expect(name);
            assert_eq!(id.to_string(), name);
            assert!(id.dir(Path::new("/data")).ends_with(format!("logs/{name}")));
        }
        for bad in [
            "main/s1",
            "main/s1/g1/x",
            "main/s1/g1.1",
            "main/s1/g1-720p",
            "a/s1/g1.0-a",
            "a/s1/g1.01-a",
            "a/s1/g1.1-",
            "a/s1/g1.1-A",
            "a/s1/g1.1-..",
            "a/s1/g1.1--a",
        ] {
            assert!(bad.parse::<LogId>().is_err(), "{bad}");
        }
        let long = format!("a/s1/g1.1-{}", "x".repeat(RUNG_NAME_MAX + 1));
        assert!(long.parse::<LogId>().is_err());
    }
}
