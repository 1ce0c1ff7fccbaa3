//! The files of logs, found and read as they lie, on a disk or in an archive.

use crate::inspect::error::InspectError;
use crate::log::dir::extent_files;
use crate::log::format::extent::{HEADER_LEN, Header, HeaderError};
use crate::log::fs::{FileSystem, Open};
use crate::log::partly::{self, Partly};
use std::path::{Path, PathBuf};

/// Largest file that is taken for an extent: the writer rolls at 128 MiB, and a footer of marks
/// follows.
pub(super) const EXTENT_MAX: u64 = 256 << 20;

/// How deep below a directory logs are looked for: `logs`, channel, session, generation.
pub(super) const DEPTH: usize = 4;

/// Refuses an extent whose header is good and names a version that is not for this reader: what its
/// records mean is not known, however well they can be told apart.
pub(super) fn known_version(fs: &dyn FileSystem, path: &Path) -> Result<(), InspectError> {
    let mut head = [0; HEADER_LEN];
    let read = fs.open(path, Open::Read).and_then(|file| file.read_at(&mut head, 0));
    // What cannot be read is told where it is read.
    let Ok(n) = read else { return Ok(()) };
    match Header::decode(&head[..n]) {
        Err(why @ HeaderError::Version { .. }) => {
            Err(InspectError::Version { path: path.to_owned(), why })
        }
        _ => Ok(()),
    }
}

/// The directories that hold extents, in the order of their numbers.
pub(super) fn find(
    fs: &dyn FileSystem,
    dir: &Path,
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> std::io::Result<()> {
    if !extent_files(fs, dir)?.is_empty() {
        found.push(dir.to_owned());
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    let names = fs.list(dir)?;
    let mut below: Vec<PathBuf> =
        names.iter().map(|n| dir.join(n)).filter(|path| fs.is_dir(path)).collect();
    // `g10` comes after `g9`.
    let number = |p: &PathBuf| {
        let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
        (digits.parse::<u64>().unwrap_or(0), name.to_owned())
    };
    below.sort_by_key(number);
    below.iter().try_for_each(|b| find(fs, b, depth - 1, found))
}

/// The whole file as far as the disk gives it back, if it is no larger than an extent can be.
pub(super) fn read(fs: &dyn FileSystem, path: &Path) -> std::io::Result<Partly> {
    let file = fs.open(path, Open::Read)?;
    let len = file.len()?;
    if len > EXTENT_MAX {
        return Err(std::io::Error::other("it is larger than any extent of a log"));
    }
    partly::read(file.as_ref(), len as usize)
}
