//! One log by the path of its directory, or its URL in an archive, to be read without the data
//! directory around it: no lock, nothing written. A writer may be at work in it; it is read as far
//! as it is written now.

use crate::base::ids::{Channel, Generation, Session};
use crate::log::archive::Archive;
use crate::log::error::LogError;
use crate::log::format::footer::Footer;
use crate::log::format::version::Range;
use crate::log::format::{HEADER_POSITION, Position};
use crate::log::fs::{Disk, FileSystem, Open};
use crate::log::id::{LogId, SEALED, extent_index, extent_name, numbered, written};
use crate::log::reader::{ExtentReader, extents, header, logs};
use crate::log::site::{Files, Site};
use crate::log::subscription::Subscription;
use crate::log::trim::trimmed;
use crate::store::open::{Access, directory, is_url};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A log's directory, or one extent of it.
#[derive(Clone)]
pub struct LogDir {
    source: Files,
    extents: Vec<u32>,
}

impl LogDir {
    /// Opens a log's directory (`…/g{generation}`), or one extent's file in it. The channel's and
    /// the session's names come from the path where it has them. Blocks for two small reads.
    ///
    /// # Errors
    /// There is no such path, it holds no extent, or the first one's header cannot be read.
    pub fn open(path: &Path) -> Result<LogDir, LogError> {
        let (fs, path) = place(path)?;
        LogDir::on(&fs, &path)
    }

    /// As [`LogDir::open`], on a file system that is open already.
    ///
    /// # Errors
    /// As there.
    pub fn on(fs: &Arc<dyn FileSystem>, path: &Path) -> Result<LogDir, LogError> {
        let fs = Arc::clone(fs);
        let is_dir = fs.is_dir(path);
        let (dir, extents) = if is_dir {
            (path.to_owned(), extents(fs.as_ref(), path)?)
        } else {
            let name = path.file_name().and_then(|n| n.to_str()).and_then(extent_index);
            (path.parent().unwrap_or(Path::new("")).to_owned(), Vec::from_iter(name))
        };
        let first = match extents.first() {
            Some(first) => dir.join(extent_name(*first)),
            None if !is_dir && fs.open(path, Open::Read).is_ok() => path.to_owned(),
            None => return Err(LogError::NotFound { path: path.to_owned() }),
        };
        let header = header(fs.as_ref(), &first, Range::TODAY)?;
        if extents.is_empty() {
            let why = format!("it is extent {} under another name", header.extent);
            return Err(LogError::Damaged { path: first, offset: 0, why });
        }
        let id = id(&dir, header.generation);
        let source = Files { fs, id, dir, reads: Range::TODAY, live: None, damages: None };
        Ok(LogDir { source, extents })
    }

    /// All logs at a path: the one whose directory (or extent) it is, else those of a session's or
    /// a channel's directory, in the order in which they were written. Blocks for small reads.
    ///
    /// # Errors
    /// There is no log there, a directory cannot be listed, or a log's first header cannot be read.
    pub fn all(path: &Path) -> Result<Vec<LogDir>, LogError> {
        let (fs, path) = &place(path)?;
        let list = |dir: &Path, letter| {
            let names = fs.list(dir).map_err(|e| LogError::io("list", dir, e))?;
            let mut found: Vec<(u64, PathBuf)> =
                names.iter().filter_map(|n| Some((numbered(n, letter)?, dir.join(n)))).collect();
            found.sort_unstable();
            Ok::<_, LogError>(found)
        };
        if !fs.is_dir(path) || !extents(fs.as_ref(), path)?.is_empty() {
            return Ok(vec![LogDir::on(fs, path)?]);
        }
        let mut dirs = list(path, 'g')?;
        for (_, session) in list(path, 's')? {
            dirs.extend(list(&session, 'g')?);
        }
        let mut logs = Vec::with_capacity(dirs.len());
        for (_, dir) in dirs {
            // A writer that died before its first extent left a directory and nothing in it.
            if !extents(fs.as_ref(), &dir)?.is_empty() {
                logs.push(LogDir::on(fs, &dir)?);
            }
        }
        match logs.is_empty() {
            true => Err(LogError::NotFound { path: path.to_owned() }),
            false => Ok(logs),
        }
    }

    /// Which log it is, as far as the path and the extents tell.
    pub fn id(&self) -> &LogId {
        &self.source.id
    }

    /// The extents there are, or the one that was named; never empty.
    pub fn extents(&self) -> &[u32] {
        &self.extents
    }

    /// The file of an extent.
    pub fn extent_path(&self, extent: u32) -> PathBuf {
        self.source.dir.join(extent_name(extent))
    }

    /// Length of an extent's file in bytes; zero when it cannot be asked.
    pub fn extent_bytes(&self, extent: u32) -> u64 {
        let file = self.source.fs.open(&self.extent_path(extent), Open::Read);
        file.and_then(|f| f.len()).unwrap_or(0)
    }

    /// How many extents the log has, where it is known that none follows. Blocks.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn sealed(&self) -> Result<Option<u32>, LogError> {
        let Files { fs, dir, .. } = &self.source;
        let names = fs.list(dir).map_err(|e| LogError::io("list", dir, e))?;
        if !names.iter().any(|n| n == SEALED) {
            return Ok(None);
        }
        // Listed anew: what was made while the names were read may not be among them.
        Ok(extents(fs.as_ref(), dir)?.last().map(|last| last + 1))
    }

    /// For who needs an extent sealed that is not, though others follow.
    pub fn unsealed(&self, extent: u32) -> LogError {
        let (path, dir) = (self.extent_path(extent), self.source.dir.display());
        let why = format!("it is not sealed, and not the last; castctl repair {dir}");
        LogError::Damaged { path, offset: 0, why }
    }

    /// An extent's two ends, read and checked; `None` where it is not there. Blocks.
    pub(super) fn reader(&self, extent: u32) -> Result<Option<ExtentReader>, LogError> {
        ExtentReader::open(self.source.place(), extent)
    }

    /// What a sealed extent holds; `None` of one that is not sealed. Blocks.
    ///
    /// # Errors
    /// The file, its header or its footer cannot be read.
    pub fn footer(&self, extent: u32) -> Result<Option<Footer>, LogError> {
        match self.reader(extent)? {
            Some(reader) => reader.footer(),
            None => Err(LogError::NotFound { path: self.extent_path(extent) }),
        }
    }

    /// Reads on from a record's start, as a footer names it.
    pub fn read_at(&self, position: Position) -> Subscription {
        Subscription::new(Site::Disk(self.source.clone()), position)
    }

    /// Reads from an extent's first record on, to the end of what is written.
    pub fn read_from(&self, extent: u32) -> Subscription {
        Subscription::new(Site::Disk(self.source.clone()), Position { extent, ..HEADER_POSITION })
    }
}

/// Where a path leads: to the disk, or, where it is the URL of an archive, to that; and by which
/// path it is known there. The environment says how the archive is reached.
///
/// # Errors
/// The URL is none of a store that is known.
pub fn place(path: &Path) -> Result<(Arc<dyn FileSystem>, PathBuf), LogError> {
    let url = path.to_str().filter(|text| is_url(text));
    let Some(url) = url else { return Ok((Arc::new(Disk), path.to_owned())) };
    // A file store's objects are files.
    if let Some(dir) = directory(url) {
        return Ok((Arc::new(Disk), dir));
    }
    Ok((Arc::new(Archive::open(url, &Access::from_env())?), path.to_owned()))
}

/// Every log of a data directory, by channel, session and generation, whatever is in it. Blocks.
///
/// # Errors
/// A directory cannot be listed.
pub fn all_of(data: &Path) -> Result<Vec<LogId>, LogError> {
    logs(&Disk, data)
}

/// The files of a directory that are named as extents are, in order, whatever is in them; without
/// those that were removed and still lie there. Blocks.
///
/// # Errors
/// The directory cannot be listed.
pub fn extent_files(fs: &dyn FileSystem, dir: &Path) -> std::io::Result<Vec<(u32, PathBuf)>> {
    let names = fs.list(dir)?;
    let mut found: Vec<(u32, PathBuf)> =
        names.iter().filter_map(|n| Some((extent_index(n)?, dir.join(n)))).collect();
    // Where it cannot be read, all that lies there counts.
    let first = trimmed(fs, dir, &names).ok().flatten().map_or(0, |t| t.first);
    found.retain(|(n, _)| *n >= first);
    found.sort_unstable();
    Ok(found)
}

/// Reads `…/{channel}/s{session}/g{generation}`; what is missing is `log`, session 0 and the
/// generation of the extents.
fn id(dir: &Path, generation: Generation) -> LogId {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let name = |up: usize| dir.ancestors().nth(up)?.file_name()?.to_str();
    let session = name(1).and_then(|n| numbered(n, 's')).map(Session);
    let channel = session.and_then(|_| name(2)?.parse::<Channel>().ok());
    let channel = channel.unwrap_or_else(|| "log".parse().expect("a valid channel name"));
    let rung = name(0).and_then(written).and_then(|(_, rung)| rung);
    LogId { channel, session: session.unwrap_or_default(), generation, rung }
}

impl std::fmt::Debug for LogDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogDir({})", self.source.dir.display())
    }
}
