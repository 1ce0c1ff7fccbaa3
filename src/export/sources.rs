//! What there is to read: the extents of one or more logs in the order in which they were written,
//! and what is known of each without reading its media.

use crate::base::ids::Msn;
use crate::base::time::Wall;
use crate::export::error::ExportError;
use crate::export::moment::Range;
use crate::export::shelf::Shelf;
use crate::log::dir::LogDir;
use crate::log::error::LogError;
use crate::log::format::index::Indexer;
use crate::log::format::record::Record;
use std::path::Path;

/// One extent.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Which log, an index into [`Sources::logs`].
    pub log: usize,
    /// Which extent of it.
    pub extent: u32,
    /// Length of its file.
    pub bytes: u64,
    /// What its marks date; `None` when nothing is known.
    pub wall: Option<(Wall, Wall)>,
    /// The segments that its marks name.
    pub msn: Option<(Msn, Msn)>,
}

/// Logs to export from.
#[derive(Debug)]
pub struct Sources {
    /// In the order of their generations.
    pub logs: Vec<Shelf>,
    /// All their extents, in order.
    pub pieces: Vec<Piece>,
}

impl Sources {
    /// Finds the logs at a path (see [`LogDir::all`]), of one session if one is named, and looks
    /// at every extent's footer. An extent that is not sealed, or whose footer is damaged, is read.
    ///
    /// # Errors
    /// There is no log, or none of that session.
    pub async fn open(path: &Path, session: Option<u64>) -> Result<Sources, ExportError> {
        let mut logs: Vec<Shelf> = LogDir::all(path)?.into_iter().map(Shelf::Path).collect();
        let sessions = sessions(&logs);
        if let Some(session) = session {
            logs.retain(|l| l.id().session.0 == session);
            if logs.is_empty() {
                let why = "there is none of that number";
                return Err(ExportError::Sessions { path: path.to_owned(), sessions, why });
            }
        }
        Ok(Sources::of(logs).await)
    }

    /// These logs, in the order of their generations.
    pub async fn of(logs: Vec<Shelf>) -> Sources {
        let mut pieces = Vec::new();
        for (log, dir) in logs.iter().enumerate() {
            for extent in dir.extents() {
                let bytes = dir.extent_bytes(extent);
                let (wall, msn) = match dir.footer(extent) {
                    Ok(Some(footer)) => (footer.wall, footer.msn),
                    _ => look(dir, extent).await,
                };
                pieces.push(Piece { log, extent, bytes, wall, msn });
            }
        }
        Sources { logs, pieces }
    }

    /// The sessions that the logs belong to.
    pub fn sessions(&self) -> Vec<u64> {
        sessions(&self.logs)
    }

    /// From the first to the last moment that is dated.
    pub fn covers(&self) -> Option<(Wall, Wall)> {
        let walls = || self.pieces.iter().filter_map(|p| p.wall);
        Some((walls().map(|w| w.0).min()?, walls().map(|w| w.1).max()?))
    }

    /// The extents that a range needs. One more is taken before the first, where a GOP may begin
    /// that reaches into it and where sound may begin its segment, and one after the last, where
    /// its last part may end.
    pub fn select(&self, range: &Range) -> Vec<Piece> {
        let before = |p: &&Piece| {
            let by_wall = range.from.zip(p.wall).is_some_and(|(from, w)| w.1 < from);
            let by_msn = range.first.zip(p.msn).is_some_and(|(first, m)| m.1 < first);
            by_wall || by_msn
        };
        let after = |p: &&Piece| {
            let by_wall = range.to.zip(p.wall).is_some_and(|(to, w)| w.0 >= to);
            let by_msn = range.last.zip(p.msn).is_some_and(|(last, m)| m.0 > last);
            by_wall || by_msn
        };
        let skip = self.pieces.iter().take_while(before).count().saturating_sub(1);
        let beyond = self.pieces.iter().rev().take_while(after).count().saturating_sub(1);
        let end = self.pieces.len().saturating_sub(beyond).max(skip);
        self.pieces[skip..end].to_vec()
    }
}

fn sessions(logs: &[Shelf]) -> Vec<u64> {
    let mut all: Vec<u64> = logs.iter().map(|l| l.id().session.0).collect();
    all.dedup();
    all
}

type Known = (Option<(Wall, Wall)>, Option<(Msn, Msn)>);

/// What the marks of an extent say, as far as it can be read.
async fn look(dir: &Shelf, extent: u32) -> Known {
    let (mut records, mut index) = (dir.read_from(extent), Indexer::new());
    while records.position().extent == extent
        && let Ok::<_, LogError>(Some(batch)) = records.next().await
    {
        if batch.first().extent != extent {
            break;
        }
        for entry in batch.records() {
            if let Record::Mark(mark) = &entry.record {
                // Only ranges are wanted: the bytes of the mark are not, so that no limit is met.
                let _ = index.mark(entry.start.offset, &[], Some(mark));
            }
        }
    }
    let footer = index.footer(0);
    (footer.wall, footer.msn)
}
