//! Telling the registry what is in the bucket, from the marks beside the extents, or from the
//! bucket's own catalog. What is told is how it is, not what was done: it may be told again.

use crate::api::cluster::{Archived, ArchivedLog, HELD_MAX, LogName};
use crate::api::peers::Peers;
use crate::api::types::Refusal;
use crate::base::ids::Msn;
use crate::base::time::Wall;
use crate::catalog::rebuild::{Catalog, Stored};
use crate::collect::marks::{self, Head, Mark};
use crate::log::dir::{LogDir, all_of};
use crate::log::error::LogError;
use crate::log::id::LogId;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The request that tells.
const PATH: &str = "/v1/archived";

/// Extents that are looked at for the last segment that a log's copy has: one that is all silence
/// or absence names none.
const LOOK_BACK: u32 = 4;

/// Why the registry does not know what is in the bucket.
#[derive(Debug, thiserror::Error)]
pub enum Untold {
    /// The marks can't be read.
    #[error(transparent)]
    Disk(#[from] LogError),
    /// The registry can't be told.
    #[error(transparent)]
    Registry(#[from] Refusal),
}

/// How much of a log was told.
type Level = (u32, bool);

/// Tells what is marked in a data directory. Begun anew it tells everything once.
pub struct Teller {
    peers: Peers,
    data: PathBuf,
    to: String,
    told: HashMap<LogId, Level>,
}

impl Teller {
    /// Of what lies in `data` and is in the bucket at `to`, to these API servers.
    pub fn new(peers: Peers, data: &Path, to: &str) -> Teller {
        Teller { peers, data: data.to_owned(), to: to.to_owned(), told: HashMap::new() }
    }

    /// Tells what has changed since it was told last; how many logs those were.
    ///
    /// # Errors
    /// The marks can't be read, or no API server takes it: it is told the next time.
    pub async fn tell(&mut self) -> Result<usize, Untold> {
        let (data, to, told) = (self.data.clone(), self.to.clone(), self.told.clone());
        let news = tokio::task::spawn_blocking(move || news(&data, &to, &told)).await;
        let news = news.expect("file work that panics is a bug")?;
        for some in news.chunks(HELD_MAX) {
            let logs = some.iter().map(|(_, log)| log.clone()).collect();
            tell(&self.peers, &self.to, logs).await?;
            self.told.extend(some.iter().map(|(id, of)| (id.clone(), (of.extents, of.whole))));
        }
        Ok(news.len())
    }
}

/// Tells what a bucket's own catalog says; how many logs those were.
///
/// # Errors
/// No API server takes it.
pub async fn tell_all(peers: &Peers, to: &str, catalog: &Catalog) -> Result<usize, Refusal> {
    let all: Vec<ArchivedLog> =
        catalog.logs.iter().filter_map(|(id, stored)| in_bucket(id, stored)).collect();
    for some in all.chunks(HELD_MAX) {
        tell(peers, to, some.to_vec()).await?;
    }
    Ok(all.len())
}

async fn tell(peers: &Peers, to: &str, logs: Vec<ArchivedLog>) -> Result<(), Refusal> {
    peers.post::<()>(PATH, &Archived { url: to.to_owned(), logs }).await
}

/// Who wrote a log; a rung lies where its source does, and is not told of by itself.
fn name(id: &LogId) -> Option<LogName> {
    let LogId { channel, session, generation, rung } = id.clone();
    rung.is_none().then_some(LogName { channel, session, generation })
}

/// What is marked beside the logs of a data directory, where it is more than was told. Blocks.
fn news(
    data: &Path,
    to: &str,
    told: &HashMap<LogId, Level>,
) -> Result<Vec<(LogId, ArchivedLog)>, LogError> {
    let mut out = Vec::new();
    for id in all_of(data)? {
        let known = told.get(&id).copied().unwrap_or_default();
        let Some(log) = name(&id).filter(|_| !known.1) else { continue };
        let dir = id.dir(data);
        let marked = |path: PathBuf| Mark::read(&path).is_some_and(|mark| mark.to == to);
        let whole = marked(marks::of_log(&dir));
        let removed = Head::read(&marks::of_head(&dir)).filter(|head| head.to == to);
        let mut extents = known.0.max(removed.map_or(0, |head| head.extents));
        while marked(marks::of_extent(&dir, extents)) {
            extents += 1;
        }
        if extents > 0 && (extents, whole) != known {
            let (last, until) = newest(&dir, extents);
            out.push((id, ArchivedLog { log, extents, whole, last, until }));
        }
    }
    Ok(out)
}

/// The last segment and moment of these extents, where they are still here.
fn newest(dir: &Path, extents: u32) -> (Option<Msn>, Option<Wall>) {
    let Ok(log) = LogDir::open(dir) else { return (None, None) };
    let mut found = (None, None);
    for extent in (extents.saturating_sub(LOOK_BACK)..extents).rev() {
        let Ok(Some(footer)) = log.footer(extent) else { break };
        found.0 = found.0.or(footer.msn.map(|m| m.1));
        found.1 = found.1.or(footer.wall.map(|w| w.1));
        if found.0.is_some() && found.1.is_some() {
            break;
        }
    }
    found
}

/// What a log in a bucket is to the registry: what is there from its beginning on.
fn in_bucket(id: &LogId, stored: &Stored) -> Option<ArchivedLog> {
    let log = name(id)?;
    let there = (0..).zip(&stored.extents).take_while(|(at, (n, _))| at == *n);
    let covered: Vec<_> =
        there.map(|(_, (_, e))| e.covers.as_ref().ok().copied().unwrap_or_default()).collect();
    let extents = u32::try_from(covered.len()).ok().filter(|n| *n > 0)?;
    let last = covered.iter().filter_map(|c| Some(c.msn?.1)).max();
    let until = covered.iter().filter_map(|c| Some(c.wall?.1)).max();
    Some(ArchivedLog { log, extents, whole: stored.sealed == Some(extents), last, until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::key::{Key, Part};
    use crate::catalog::rebuild::Covers;
    use crate::store::sum::Sum;

    fn log(text: &str) -> LogId {
        text.parse().expect("a log")
    }

    #[test]
    fn what_is_marked_is_news_until_it_was_told() {
        let data = tempfile::tempdir().expect("a directory");
        let (id, to) = (log("main/s1/g1"), "s3://b");
        let dir = id.dir(data.path());
        std::fs::create_dir_all(&dir).expect("made");
        let mark = |extent| {
            let mark = Mark::extent(to, 1, &Sum::of(b"x"));
            mark.write(&marks::of_extent(&dir, extent)).expect("written");
        };
        let mut told = HashMap::new();
        let mut levels = || {
            let news = news(data.path(), to, &told).expect("read");
            told.extend(news.iter().map(|(id, of)| (id.clone(), (of.extents, of.whole))));
            news.iter().map(|(id, of)| (id.to_string(), of.extents, of.whole)).collect::<Vec<_>>()
        };
        assert_eq!(levels(), []);
        // What stands behind a hole is not there for who reads from the beginning.
        [0, 1, 3].into_iter().for_each(mark);
        assert_eq!(levels(), [("main/s1/g1".to_owned(), 2, false)]);
        assert_eq!(levels(), []);
        mark(2);
        assert_eq!(levels(), [("main/s1/g1".to_owned(), 4, false)]);
        let whole = Mark { to: to.into(), bytes: 4, sha256: None };
        whole.write(&marks::of_log(&dir)).expect("written");
        assert_eq!(levels(), [("main/s1/g1".to_owned(), 4, true)]);
        assert_eq!(levels(), []);
        // Another bucket's marks say nothing of this one.
        assert!(news(data.path(), "s3://c", &HashMap::new()).expect("read").is_empty());
    }

    #[test]
    fn a_catalog_says_what_is_there_from_the_beginning_on() {
        let mut catalog = Catalog::default();
        for (name, msn) in [
            ("a/s1/g1/00000000.extent", 5),
            ("a/s1/g1/00000001.extent", 9),
            ("a/s1/g2/00000001.extent", 20),
            ("a/s1/g1.1-720p/00000000.extent", 5),
        ] {
            let key = catalog.name(name, 10).expect("a name");
            let covers = Covers { wall: Some((Wall(1), Wall(msn))), msn: None };
            let last = Msn(msn.unsigned_abs());
            catalog.covers(&key, Ok(Covers { msn: Some((Msn(1), last)), ..covers }));
        }
        let told = |catalog: &Catalog| {
            let all = catalog.logs.iter().filter_map(|(id, stored)| in_bucket(id, stored));
            all.map(|of| (of.extents, of.whole, of.last, of.until)).collect::<Vec<_>>()
        };
        assert_eq!(told(&catalog), [(2, false, Some(Msn(9)), Some(Wall(9)))]);
        catalog.sealed(&log("a/s1/g1"), 2);
        assert!(told(&catalog)[0].1);
        let third = Key { log: log("a/s1/g1"), part: Part::Extent(1) };
        catalog.covers(&third, Err("damaged".into()));
        assert_eq!(told(&catalog)[0].2, Some(Msn(5)), "what can't be read is not vouched for");
    }
}
