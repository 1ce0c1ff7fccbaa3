//! Reads extents from the disk: whole, verified records, a bounded piece at a time, and footers.
//! Blocking; never writes.

use crate::base::ids::{Channel, Session};
use crate::log::error::LogError;
use crate::log::format::extent::{HEADER_LEN, Header, TRAILER_LEN, footer_start};
use crate::log::format::footer::{FOOTER_HEAD, Footer};
use crate::log::format::record::{Frame, FrameError, frame, kind};
use crate::log::format::scan::{Scan, Stop};
use crate::log::format::trimmed::Trimmed;
use crate::log::format::version::{Range, Wrote};
use crate::log::fs::{FileSystem, LogFile, Open};
use crate::log::id::{LOGS, LogId, extent_index, extent_name, numbered, written};
use crate::log::site::Files;
use crate::log::trim::trimmed;
use bytes::{Bytes, BytesMut};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes read at once: large enough that a disk streams, small enough that a thousand readers fit
/// in memory.
pub(super) const READ_BYTES: u64 = 1 << 20;

/// A log on a disk: where its extents lie, which log they must be of, and what may be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) fs: &'a dyn FileSystem,
    pub(super) dir: &'a Path,
    pub(super) id: &'a LogId,
    /// The versions of the format that the reader understands.
    pub(super) reads: Range,
}

#[cfg(test)]
impl<'a> Place<'a> {
    /// For a reader of this version.
    pub(super) fn of(fs: &'a dyn FileSystem, dir: &'a Path, id: &'a LogId) -> Place<'a> {
        Place { fs, dir, id, reads: Range::TODAY }
    }
}

/// One extent's file, opened for reading.
#[derive(Debug)]
pub(super) struct ExtentReader {
    file: Arc<dyn LogFile>,
    path: PathBuf,
    pub(super) extent: u32,
    /// Where the records end, when the extent is sealed.
    pub(super) sealed: Option<u64>,
}

/// Whole records, and why they end where they end (`None`: more may follow, or the limit was
/// reached).
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    pub(super) torn: Option<FrameError>,
}

impl ExtentReader {
    /// Opens an extent and looks at its two ends; `None` when there is no such file.
    pub(super) fn open(place: Place<'_>, extent: u32) -> Result<Option<ExtentReader>, LogError> {
        let Place { fs, dir, id, reads } = place;
        let path = dir.join(extent_name(extent));
        let file = match fs.open(&path, Open::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(LogError::io("open", &path, e)),
        };
        let mut reader = ExtentReader { file, path, extent, sealed: None };
        let head = reader.bytes(0, HEADER_LEN)?;
        let header = Header::decode_as(reads, &head)
            .map_err(|source| LogError::Header { path: reader.path.clone(), source })?;
        if header.extent != extent || header.generation != id.generation {
            let (e, g) = (header.extent, header.generation);
            return Err(reader.damaged(0, format!("it is extent {e} of generation {g}")));
        }
        let len = reader.len()?;
        if len >= (HEADER_LEN + TRAILER_LEN) as u64 {
            let tail = reader.bytes(len - TRAILER_LEN as u64, TRAILER_LEN)?;
            reader.sealed = match footer_start(len, &tail) {
                Some(start) if reader.is_footer(start, len)? => Some(start),
                _ => None,
            };
        }
        Ok(Some(reader))
    }

    /// Does the footer of this very extent start there and reach to the trailer? The last bytes of
    /// an extent that is not sealed are a stranger's payload and may imitate a trailer.
    fn is_footer(&self, start: u64, len: u64) -> Result<bool, LogError> {
        let head = self.bytes(start, FOOTER_HEAD)?;
        let fits =
            |f: Frame| f.kind == kind::FOOTER && start + f.len as u64 + TRAILER_LEN as u64 == len;
        let place = [&self.extent.to_le_bytes()[..], &start.to_le_bytes()].concat();
        Ok(frame(&head, false).is_ok_and(fits) && head.ends_with(&place))
    }

    /// The file's length.
    pub(super) fn len(&self) -> Result<u64, LogError> {
        self.file.len().map_err(|e| LogError::io("read", &self.path, e))
    }

    /// Makes the contents durable.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        self.file.sync_data().map_err(|e| LogError::io("sync", &self.path, e))
    }

    /// Up to `len` bytes at `offset`; fewer only at the file's end.
    pub(super) fn bytes(&self, offset: u64, len: usize) -> Result<Bytes, LogError> {
        let mut buf = BytesMut::zeroed(len);
        let n =
            self.file.read_at(&mut buf, offset).map_err(|e| LogError::io("read", &self.path, e))?;
        buf.truncate(n);
        Ok(buf.freeze())
    }

    /// Whole records from `offset` on, about [`READ_BYTES`] of them (at least one, however large),
    /// not beyond `limit`.
    pub(super) fn records(&self, offset: u64, limit: u64) -> Result<Piece, LogError> {
        let left = limit.saturating_sub(offset);
        let mut want = left.min(READ_BYTES);
        loop {
            let bytes = self.bytes(offset, want as usize)?;
            let Stop { at, why } = Scan::new(&bytes).run();
            let need = match why {
                Some(FrameError::Incomplete { need }) if want < left => Some(need as u64),
                _ => None,
            };
            match need {
                // The first record alone is larger than a piece: its length is checked, so this is
                // bounded.
                Some(need) if at == 0 && want < need => want = need.min(left),
                Some(_) if at == 0 => want = (want + 1).min(left),
                Some(_) => return Ok(Piece { bytes: bytes.slice(..at), torn: None }),
                None => return Ok(Piece { bytes: bytes.slice(..at), torn: why }),
            }
        }
    }

    /// The footer of a sealed extent.
    pub(super) fn footer(&self) -> Result<Option<Footer>, LogError> {
        let Some(start) = self.sealed else { return Ok(None) };
        let len = self.len()?.saturating_sub(start);
        let bytes = self.bytes(start, len as usize)?;
        let footer = Footer::decode(&bytes).map_err(|e| self.damaged(start, e.to_string()))?;
        Ok(Some(footer))
    }

    pub(super) fn damaged(&self, offset: u64, why: String) -> LogError {
        LogError::Damaged { path: self.path.clone(), offset, why }
    }
}

/// The indices of a log's extents, in order.
pub(super) fn extents(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<u32>, LogError> {
    Ok(there(fs, dir)?.1)
}

/// What was removed of a log, and the indices of the extents that were not, in order.
pub(super) fn there(
    fs: &dyn FileSystem,
    dir: &Path,
) -> Result<(Option<Trimmed>, Vec<u32>), LogError> {
    let names = names(fs, dir)?;
    let trimmed = trimmed(fs, dir, &names)?;
    let mut found: Vec<u32> = names.iter().filter_map(|n| extent_index(n)).collect();
    if let Some(trimmed) = &trimmed {
        found.retain(|n| *n >= trimmed.first);
    }
    found.sort_unstable();
    Ok((trimmed, found))
}

/// Which version wrote a log, as its first extent says. Blocks.
pub(super) fn wrote(files: &Files) -> Result<Wrote, LogError> {
    let (fs, dir) = (files.fs.as_ref(), &files.dir);
    let first = extents(fs, dir)?.first().copied();
    let first = first.ok_or(LogError::NotFound { path: dir.clone() })?;
    Ok(header(fs, &dir.join(extent_name(first)), files.reads)?.wrote)
}

/// An extent's header, for a reader of these versions. Blocks.
pub(super) fn header(fs: &dyn FileSystem, path: &Path, reads: Range) -> Result<Header, LogError> {
    let mut bytes = [0; HEADER_LEN];
    let read = fs.open(path, Open::Read).and_then(|file| file.read_at(&mut bytes, 0));
    let n = read.map_err(|e| LogError::io("read", path, e))?;
    let bad = |source| LogError::Header { path: path.to_owned(), source };
    Header::decode_as(reads, &bytes[..n]).map_err(bad)
}

/// Every log below the data directory, in order.
pub(super) fn logs(fs: &dyn FileSystem, data: &Path) -> Result<Vec<LogId>, LogError> {
    let root = data.join(LOGS);
    let mut found = Vec::new();
    for channel in names(fs, &root)? {
        let Ok(name) = channel.parse() else { continue };
        let dir = root.join(&channel);
        for s in names(fs, &dir)? {
            let Some(session) = numbered(&s, 's').map(Session) else { continue };
            for g in names(fs, &dir.join(&s))? {
                let Some((generation, rung)) = written(&g) else { continue };
                let channel = Channel::clone(&name);
                found.push(LogId { channel, session, generation, rung });
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The names in a directory; none when it does not exist or is a file.
pub(super) fn names(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<String>, LogError> {
    match fs.list(dir) {
        Ok(names) => Ok(names),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(e) => Err(LogError::io("list", dir, e)),
    }
}
