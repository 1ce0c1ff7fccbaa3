//! Puts a repaired extent in the place of the original, so that whoever is killed in between leaves
//! one or the other, and never neither: the new file is written beside (`NAME.repair`), made
//! durable and read back; the original gets a second name (`NAME.damaged`); a rename puts the new
//! one in its place. Nothing is ever deleted.

use crate::log::aside::{DAMAGED, REPAIR};
use crate::log::fs::{FileSystem, LogFile, Open};
use crate::log::id::extent_name;
use crate::log::repair::rebuild::Rebuilt;
use crate::log::repair::{RepairError, io};
use bytes::{Bytes, BytesMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes copied or compared at once.
const PIECE: usize = 1 << 20;

/// A repaired extent that lies beside the original.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) index: u32,
    new: PathBuf,
    /// There is an original.
    replaces: bool,
}

/// Writes a repaired extent beside the original and reads it back.
pub(super) fn write(
    fs: &dyn FileSystem,
    dir: &Path,
    index: u32,
    rebuilt: &Rebuilt,
    old: Option<&Bytes>,
) -> Result<Beside, RepairError> {
    let new = dir.join(extent_name(index) + REPAIR);
    let file = create(fs, &new)?;
    let empty = Bytes::new();
    let bytes = old.unwrap_or(&empty);
    let slices: Vec<&[u8]> = rebuilt.slices(bytes).collect();
    file.write_at(&slices, 0).map_err(|e| io("write", &new, e))?;
    file.sync_data().map_err(|e| io("sync", &new, e))?;
    let back = fs.open(&new, Open::Read).map_err(|e| io("open", &new, e))?;
    let mut at = 0;
    for slice in slices {
        if !same(back.as_ref(), at, slice).map_err(|e| io("read", &new, e))? {
            return Err(RepairError::Differs { path: new, offset: at });
        }
        at += slice.len() as u64;
    }
    Ok(Beside { index, new, replaces: old.is_some() })
}

/// Puts it in place; answers where the original is now.
pub(super) fn place(
    fs: &dyn FileSystem,
    dir: &Path,
    beside: &Beside,
) -> Result<Option<PathBuf>, RepairError> {
    let path = dir.join(extent_name(beside.index));
    let mut kept = None;
    if beside.replaces {
        let name = free_name(fs, dir, &(extent_name(beside.index) + DAMAGED))?;
        let keep = dir.join(name);
        keep_original(fs, &path, &keep)?;
        // The second name must be there before the first one changes hands.
        fs.sync_dir(dir).map_err(|e| io("sync", dir, e))?;
        kept = Some(keep);
    }
    fs.rename(&beside.new, &path).map_err(|e| io("put in place", &beside.new, e))?;
    fs.sync_dir(dir).map_err(|e| io("sync", dir, e))?;
    Ok(kept)
}

/// A file of no length: what an earlier attempt left is written over.
fn create(fs: &dyn FileSystem, path: &Path) -> Result<Arc<dyn LogFile>, RepairError> {
    match fs.open(path, Open::Create) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            let file = fs.open(path, Open::Write).map_err(|e| io("open", path, e))?;
            file.truncate(0).map_err(|e| io("empty", path, e))?;
            Ok(file)
        }
        other => other.map_err(|e| io("create", path, e)),
    }
}

/// `name`, or the first of `name.2`, `name.3`, … that is free.
fn free_name(fs: &dyn FileSystem, dir: &Path, name: &str) -> Result<String, RepairError> {
    let taken = fs.list(dir).map_err(|e| io("list", dir, e))?;
    let mut free = name.to_owned();
    for n in 2.. {
        if !taken.contains(&free) {
            break;
        }
        free = format!("{name}.{n}");
    }
    Ok(free)
}

/// Gives the original a second name, or where the file system has no second names, a copy.
fn keep_original(fs: &dyn FileSystem, from: &Path, to: &Path) -> Result<(), RepairError> {
    let cannot = |e| io("keep the original of", from, e);
    if fs.link(from, to).is_ok() {
        return Ok(());
    }
    let (old, new) = (fs.open(from, Open::Read).map_err(cannot)?, create(fs, to)?);
    let (mut at, mut buf) = (0, BytesMut::zeroed(PIECE));
    loop {
        let n = old.read_at(&mut buf, at).map_err(cannot)?;
        if n == 0 {
            break;
        }
        new.write_at(&[&buf[..n]], at).map_err(cannot)?;
        at += n as u64;
    }
    new.sync_data().map_err(cannot)
}

/// Does the file hold `want` at `at`?
fn same(file: &dyn LogFile, at: u64, want: &[u8]) -> std::io::Result<bool> {
    let mut buf = BytesMut::zeroed(PIECE.min(want.len()));
    for (n, piece) in want.chunks(PIECE).enumerate() {
        let buf = &mut buf[..piece.len()];
        if file.read_at(buf, at + (n * PIECE) as u64)? < piece.len() || buf != piece {
            return Ok(false);
        }
    }
    Ok(true)
}
