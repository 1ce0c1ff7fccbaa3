//! One log to export from, wherever it is: by its path on a disk or its URL in a bucket, or where a
//! cluster has it now, at a node or in a bucket.

use crate::log::batch::Batch;
use crate::log::dir::LogDir;
use crate::log::error::LogError;
use crate::log::format::footer::Footer;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::id::LogId;
use crate::log::index::Index;
use crate::log::source::Source;
use crate::log::subscription::{Piece, Subscription};
use std::path::PathBuf;

/// See the module.
#[derive(Debug, Clone)]
pub enum Shelf {
    /// By its path.
    Path(LogDir),
    /// Where a cluster has it.
    Afar(Afar),
}

/// A log of a cluster, as far as it was written when it was looked at.
#[derive(Debug, Clone)]
pub struct Afar {
    id: LogId,
    logs: Source,
    index: Index,
}

impl Shelf {
    /// A log that `logs` reads, which has these marks.
    pub fn afar(id: LogId, logs: Source, index: Index) -> Shelf {
        Shelf::Afar(Afar { id, logs, index })
    }

    /// Which log it is.
    pub fn id(&self) -> &LogId {
        match self {
            Shelf::Path(dir) => dir.id(),
            Shelf::Afar(log) => &log.id,
        }
    }

    /// Its extents, in order; one that is being written is the last.
    pub fn extents(&self) -> Vec<u32> {
        match self {
            Shelf::Path(dir) => dir.extents().to_vec(),
            Shelf::Afar(Afar { index, .. }) => {
                let open = (!index.sealed).then_some(index.tail.extent);
                index.footers.iter().map(|f| f.extent).chain(open).collect()
            }
        }
    }

    /// What an extent is called in messages.
    pub fn extent_path(&self, extent: u32) -> PathBuf {
        match self {
            Shelf::Path(dir) => dir.extent_path(extent),
            Shelf::Afar(log) => format!("extent {extent} of {}", log.id).into(),
        }
    }

    /// About how long an extent is, bytes; zero when it is not known.
    pub fn extent_bytes(&self, extent: u32) -> u64 {
        match self {
            Shelf::Path(dir) => dir.extent_bytes(extent),
            Shelf::Afar(log) => log.footer(extent).map_or(0, |f| f.end().offset),
        }
    }

    /// What a sealed extent holds; `None` of one that is not sealed. May block.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn footer(&self, extent: u32) -> Result<Option<Footer>, LogError> {
        match self {
            Shelf::Path(dir) => dir.footer(extent),
            Shelf::Afar(log) => Ok(log.footer(extent).cloned()),
        }
    }

    /// Reads on from a record's start.
    pub fn read_at(&self, position: Position) -> Records {
        match self {
            Shelf::Path(dir) => Records::Path(dir.read_at(position)),
            Shelf::Afar(log) => Records::Afar(log.clone(), position),
        }
    }

    /// Reads from an extent's first record on, to the end of what is written.
    pub fn read_from(&self, extent: u32) -> Records {
        self.read_at(Position { extent, ..HEADER_POSITION })
    }
}

impl Afar {
    fn footer(&self, extent: u32) -> Option<&Footer> {
        self.index.footers.iter().find(|f| f.extent == extent).map(|f| &**f)
    }
}

/// A log's records, one batch after another.
#[derive(Debug)]
pub enum Records {
    /// By its path.
    Path(Subscription),
    /// Where a cluster has it.
    Afar(Afar, Position),
}

impl Records {
    /// Where the next batch will start.
    pub fn position(&self) -> Position {
        match self {
            Records::Path(records) => records.position(),
            Records::Afar(_, at) => *at,
        }
    }

    /// The next records; `None` where there are no more now.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn next(&mut self) -> Result<Option<Batch>, LogError> {
        let (log, at) = match self {
            Records::Path(records) => return records.next().await,
            Records::Afar(log, at) => (log, at),
        };
        loop {
            match log.logs.piece(&log.id, *at).await? {
                Piece::Records(batch) => {
                    *at = batch.end();
                    return Ok(Some(batch));
                }
                Piece::Moved(to) => *at = to,
                Piece::Nothing | Piece::Sealed => return Ok(None),
            }
        }
    }
}
